"""Run QONNX models with the qonnx package on the inputs beside them; their outputs must be those beside them.

usage: qonnx_compare.py DIR        compares every NAME.txt of DIR (cases.py says what they hold), exit 1 if one fails
       qonnx_compare.py --check    exit 0 if the packages are there

An image passes if all its outputs agree to 1e-6 of the largest; LIMIT is the share that must pass.
"""
import sys

try:
    import numpy as np
    import onnx
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes
except ImportError as e:
    print(e)
    sys.exit(3)

sys.dont_write_bytecode = True  # nothing appears in the source tree
import cases


def load(path, n):
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    for value in [proto.graph.input[0], proto.graph.output[0]]:
        value.type.tensor_type.shape.dim[0].dim_value = n
    return ModelWrapper(proto).transform(InferShapes()).transform(InferDataTypes())


def compare(path):
    file, n, _, limit, x, want = cases.read(path)
    model = load(file, n)
    got = execute_onnx(model, {model.graph.input[0].name: x})[model.graph.output[0].name]
    if got.shape != want.shape:
        return False, f"shape {got.shape}, expected {want.shape}"
    d = np.abs(got - want).max(1) / max(np.abs(want).max(), 1e-30)
    same = (d <= 1e-6).mean()
    kinds = sorted({getCustomOp(node).get_integer_datatype(model).name for node in model.graph.node if node.op_type in ("Quant", "BipolarQuant")})
    return same >= limit, f"{100 * same:.2f} % of {n} images agree, largest difference {d.max():.2e}, {' '.join(kinds)}"


sys.exit(cases.judge(compare))
