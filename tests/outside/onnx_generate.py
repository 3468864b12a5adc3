"""Write random ONNX models of the operators that are read, with an input and onnxruntime's output for each.

usage: onnx_generate.py DIR COUNT SEED     DIR/gNN.onnx, gNN.in (float32 C x H x W), gNN.out, list.txt: NAME C H W OUTPUTS
       onnx_generate.py --check            exit 0 if the packages are there
"""
import sys

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
except ImportError as e:
    print(e)
    sys.exit(3)

import os
import random


class Maker:
    """A network built node by node; maps are N x C x H x W unless `nhwc`."""

    def __init__(self, rng):
        self.r, self.nodes, self.tensors, self.n = rng, [], [], 0
        self.c, self.h, self.w = rng.choice([1, 2, 3, 4]), rng.randint(5, 12), rng.randint(5, 12)
        self.input_shape = [self.c, self.h, self.w]
        self.value, self.positive = "x", False

    def name(self, what):
        self.n += 1
        return f"{what}{self.n}"

    def tensor(self, array):
        name = self.name("t")
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def floats(self, *shape, scale=1.0, low=None):
        a = np.random.default_rng(self.r.randrange(1 << 30)).normal(size=shape) * scale
        return self.tensor((a if low is None else low + np.abs(a)).astype(np.float32))

    def ints(self, v):
        return self.tensor(np.array(v, np.int64))

    def add(self, op, inputs, positive=False, **attributes):
        out = self.name(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        self.value, self.positive = out, positive
        return out

    # ---- one step each; False: not possible here

    def window(self, kh, kw, s):
        """Pads one way or another, and the size that follows."""
        kind = self.r.choice(["none", "pads", "VALID"] + ["SAME_UPPER", "SAME_LOWER"] * (s <= min(kh, kw)))
        pads = [0, 0, 0, 0]
        if kind == "pads":
            pads = [self.r.randrange(kh), self.r.randrange(kw), self.r.randrange(kh), self.r.randrange(kw)]
        if kind.startswith("SAME"):
            h, w = -(-self.h // s), -(-self.w // s)
        else:
            h, w = self.h + pads[0] + pads[2] - kh, self.w + pads[1] + pads[3] - kw
            if h < 0 or w < 0:
                return None
            h, w = h // s + 1, w // s + 1
        attributes = {"strides": [s, s]}
        if kind == "pads":
            attributes["pads"] = pads
        elif kind != "none":
            attributes["auto_pad"] = kind
        return attributes, h, w

    def conv(self):
        kh, kw, s = self.r.randint(1, 4), self.r.randint(1, 4), self.r.randint(1, 2)
        got = self.window(kh, kw, s)
        if not got:
            return False
        attributes, h, w = got
        deep = self.c > 1 and self.r.random() < 0.3
        cout = self.c if deep else self.r.randint(1, 6)
        inputs = [self.value, self.floats(cout, 1 if deep else self.c, kh, kw, scale=0.5)]
        if self.r.random() < 0.5:
            inputs.append(self.floats(cout))
        self.add("Conv", inputs, kernel_shape=[kh, kw], group=self.c if deep else 1, **attributes)
        self.c, self.h, self.w = cout, h, w

    def padded_conv(self):
        p = [self.r.randrange(3) for _ in range(4)]
        self.add("Pad", [self.value, self.ints([0, 0, p[0], p[1], 0, 0, p[2], p[3]])])
        self.add("Conv", [self.value, self.floats(3, self.c, 3, 3, scale=0.4)])
        self.c, self.h, self.w = 3, self.h + p[0] + p[2] - 2, self.w + p[1] + p[3] - 2

    def pool(self):
        k, s = self.r.randint(1, 3), self.r.randint(1, 3)
        op = self.r.choice(["MaxPool", "AveragePool"])
        got = self.window(k, k, s)
        if not got or (op == "AveragePool" and "auto_pad" in got[0] and got[0]["auto_pad"].startswith("SAME")):
            return False
        attributes, h, w = got
        if op == "MaxPool" and attributes.keys() == {"strides"} and s <= k and self.r.random() < 0.5:
            attributes["ceil_mode"] = 1
            h, w = -(-(self.h - k) // s) + 1, -(-(self.w - k) // s) + 1
        self.add(op, [self.value], self.positive, kernel_shape=[k, k], **attributes)
        self.h, self.w = h, w

    def norm(self):
        self.add("BatchNormalization", [self.value, self.floats(self.c), self.floats(self.c), self.floats(self.c), self.floats(self.c, low=0.5)], epsilon=1e-3)

    def rectify(self):
        if self.r.random() < 0.5:
            self.add("Relu", [self.value], True)
        else:
            zero, six = self.tensor(np.float32(0)), self.tensor(np.float32(6))
            self.add("Clip", [self.value, zero, six], True)

    def constant(self):
        op = self.r.choice(["Mul", "Add", "Sub", "Div"])
        shape = self.r.choice([(), (1,), (self.c, 1, 1), (1, self.c, 1, 1)])
        k = self.floats(*shape, low=0.5)
        self.add(op, [self.value, k] if op == "Div" or self.r.random() < 0.6 else [k, self.value])

    def residual(self):
        skip = self.value
        weight = self.floats(self.c, self.c, 3, 3, scale=0.3)
        body = self.add("Conv", [skip, weight], pads=[1, 1, 1, 1])
        self.add("Add", [body, skip] if self.r.random() < 0.5 else [skip, body])

    def concat(self):
        one = self.value
        other = self.add("Conv", [one, self.floats(2, self.c, 1, 1)])
        self.add("Concat", [one, other, one], axis=self.r.choice([1, -3]))
        self.c = 2 * self.c + 2

    def shortcut(self):
        s, a, b = self.r.randint(1, 3), self.r.randrange(3), self.r.randrange(3)
        v = self.add("Slice", [self.value, self.ints([0, 0]), self.ints([10**6, 10**6]), self.ints([2, 3]), self.ints([s, s])])
        self.add("Pad", [v, self.ints([0, a, 0, 0, 0, b, 0, 0])])
        self.c, self.h, self.w = self.c + a + b, -(-self.h // s), -(-self.w // s)

    def nhwc(self):
        """A piece as TensorFlow's exporter writes it."""
        v = self.add("Transpose", [self.value], perm=[0, 2, 3, 1])
        v = self.add("MatMul", [v, self.floats(self.c, 4)])
        self.c = 4
        v = self.add("Add", [v, self.floats(self.c)])
        v = self.add("BatchNormalization", [self.add("Transpose", [v], perm=[0, 3, 1, 2]), *(self.floats(4) for _ in range(3)), self.floats(4, low=0.5)])

    def tail(self):
        kind = self.r.choice(["pool", "mean", "flatten", "reshape", "nhwc"])
        if kind == "pool":
            self.add("Flatten", [self.add("GlobalAveragePool", [self.value])])
            n = self.c
        elif kind == "mean":
            self.add("ReduceMean", [self.value], axes=[2, 3], keepdims=0)
            n = self.c
        else:
            n = self.c * self.h * self.w
            if kind == "nhwc":
                self.add("Transpose", [self.value], perm=[0, 2, 3, 1])
            if kind == "flatten":
                self.add("Flatten", [self.value])
            else:
                self.add("Reshape", [self.value, self.ints(self.r.choice([[1, -1], [-1, n], [0, n]]))])
        if self.r.random() < 0.5:
            self.add("Gemm", [self.value, self.floats(5, n, scale=0.3), self.floats(5)], transB=1, alpha=0.5)
        else:
            self.add("Add", [self.add("MatMul", [self.value, self.floats(n, 5, scale=0.3)]), self.floats(5)])

    def build(self):
        steps = [self.conv, self.conv, self.padded_conv, self.pool, self.norm, self.rectify, self.constant, self.residual, self.concat, self.shortcut, self.nhwc]
        for _ in range(self.r.randint(2, 7)):
            if min(self.h, self.w) < 3 or self.c > 24:
                break
            self.r.choice(steps)()
        if self.r.random() < 0.3:
            self.rectify()
        self.tail()
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"] + self.input_shape)
        y = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, ["N", 5])
        graph = helper.make_graph(self.nodes, "random", [x], [y], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.r.choice([13, 15, 17]))])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def main():
    if sys.argv[1] == "--check":
        return
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open(os.path.join(folder, "list.txt"), "w") as names:
        for i in range(count):
            maker = Maker(random.Random(seed * 100000 + i))
            model = maker.build()
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 3
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            x = np.random.default_rng(i).normal(size=[1] + maker.input_shape).astype(np.float32)
            y = session.run(None, {"x": x})[0]
            base = os.path.join(folder, f"g{i:03d}")
            onnx.save(model, base + ".onnx")
            x.tofile(base + ".in")
            y.astype(np.float32).tofile(base + ".out")
            names.write(f"g{i:03d} {' '.join(map(str, maker.input_shape))} {y.size}\n")


main()
