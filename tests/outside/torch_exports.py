"""Export small networks from PyTorch the ways people do, with an input and PyTorch's output for each.

usage: torch_exports.py DIR [all]  DIR/NAME.onnx, NAME.in (float32 C x H x W), NAME.out, list.txt: NAME C H W OUTPUTS
       torch_exports.py --check exit 0 if the packages are there

Both exporters: the older one of torch.onnx.export and, where onnxscript is there, the one behind dynamo=True, which
takes its time: it gets three networks unless `all` is said.
"""
import sys

try:
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as e:
    print(e)
    sys.exit(3)

import importlib.util
import inspect
import logging
import os
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def block(cin, cout, k=3, s=1, groups=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(cin, cout, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(cout), act())


class Residual(nn.Module):
    """Two units of a ResNet; shortcut A (every second pixel, zero channels) or B (1x1); a tail."""

    def __init__(self, kind, tail):
        super().__init__()
        self.first, self.kind, self.tail = block(3, 8), kind, tail
        self.a, self.b = block(8, 16, s=2), nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.short = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.last = nn.Linear(16, 10)

    def forward(self, x):
        x = self.first(x)
        skip = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4), "constant", 0) if self.kind == "A" else self.short(x)
        x = F.relu(self.b(self.a(x)) + skip)
        if self.tail == "view":
            x = F.avg_pool2d(x, int(x.size(3))).view(x.size(0), -1)
        elif self.tail == "mean":
            x = x.mean(3).mean(2)
        elif self.tail == "reshape":
            x = F.adaptive_avg_pool2d(x, 1).reshape(x.shape[0], -1)
        else:
            x = F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)
        return self.last(x)


class PreActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.body, self.end, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def logits(self, x):
        x = self.first(x)
        x = x + self.body(F.relu(self.norm(x)))
        return self.last(F.relu(self.end(x)).mean((2, 3)))

    def forward(self, x):
        return F.log_softmax(self.logits(x), 1)  # which the reader drops


class Branches(nn.Module):
    """Concat, 1x1, 5x5, an average pool whose padding counts, a 7x7 of stride 2."""

    def __init__(self):
        super().__init__()
        self.first = block(2, 8)
        self.one, self.five, self.pooled = block(8, 4, 1), block(8, 6, 5), block(8, 4, 1)
        self.wide, self.last = block(14, 12, 7, 2), nn.Conv2d(12, 6, 1)

    def forward(self, x):
        x = F.max_pool2d(self.first(x), 3, 2, ceil_mode=True)
        x = torch.cat([self.one(x), self.five(x), self.pooled(F.avg_pool2d(x, 3, 1, 1))], 1)
        return F.adaptive_avg_pool2d(self.last(self.wide(x)), 1).flatten(1)


class Normalizing(nn.Module):
    """Preprocessing inside; asymmetric padding; kernels of one row, one column."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.25]).view(1, 3, 1, 1))
        self.a, self.row, self.column = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, (1, 5), padding=(0, 2)), nn.Conv2d(8, 8, (5, 1), padding=(2, 0))
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.a(F.pad((x - self.mean) / self.std, (0, 1, 1, 0))))
        return self.last(F.relu(self.column(F.relu(self.row(x)))).mean((2, 3)))


def mobile(act):
    layers = [block(3, 8, s=2, act=act)]
    for cin, cout, s in ((8, 16, 1), (16, 24, 2)):
        layers += [block(cin, cin, s=s, groups=cin, act=act), block(cin, cout, 1, act=act)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(24, 2))


def keywords():
    return nn.Sequential(nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 16, (10, 4), 2), nn.BatchNorm2d(16), nn.ReLU(), block(16, 16, groups=16), block(16, 16, 1),
                         nn.AvgPool2d((12, 5)), nn.Flatten(), nn.Linear(16, 12))


def rows(sizes, norm):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b)] + ([nn.BatchNorm1d(b)] if norm else []) + [nn.ReLU()]
    return nn.Sequential(*layers[: -1 - norm])


def vgg():
    return nn.Sequential(block(3, 8), nn.MaxPool2d(2, 2), block(8, 16), nn.MaxPool2d(2, 2), nn.Flatten(), nn.Linear(16 * 9, 20), nn.ReLU(), nn.Linear(20, 10))


NETWORKS = {
    "view": (Residual("A", "view"), (3, 8, 8)), "mean": (Residual("B", "mean"), (3, 8, 10)), "reshape": (Residual("A", "reshape"), (3, 10, 8)),
    "squeeze": (Residual("B", "squeeze"), (3, 8, 8)), "preact": (PreActivation(), (3, 7, 7)), "branches": (Branches(), (2, 14, 14)),
    "normalizing": (Normalizing(), (3, 11, 12)), "mobile": (mobile(nn.ReLU), (3, 14, 14)), "mobile6": (mobile(nn.ReLU6), (3, 14, 14)),
    "keywords": (keywords(), (1, 24, 10)), "vgg": (vgg(), (3, 12, 12)), "perceptron": (nn.Sequential(nn.Flatten(), rows([72, 16, 10], False)), (1, 8, 9)),
    "autoencoder": (rows([60, 16, 4, 16, 60], True), (60,)),
}


def ways(new):
    choice = "dynamo" in inspect.signature(torch.onnx.export).parameters
    old = {"dynamo": False} if choice else {}
    yield "old13", {"opset_version": 13, **old}
    yield "old11", {"opset_version": 11, "do_constant_folding": False, **old}
    yield "free16", {"opset_version": 16, "input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}, **old}
    if new and choice and importlib.util.find_spec("onnxscript"):
        yield "new18", {"opset_version": 18, "dynamo": True}


def randomize(net):
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.running_mean.normal_(0, 0.3), m.running_var.uniform_(0.5, 1.5), m.weight.data.uniform_(0.6, 1.4), m.bias.data.normal_(0, 0.3)


def export(net, x, path, options):
    """The exporters talk; a failure of theirs is theirs."""
    out, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        torch.onnx.export(net, (x,), path, **options)
    finally:
        os.dup2(out, 1)


def main():
    if sys.argv[1] == "--check":
        return
    folder = sys.argv[1]
    torch.manual_seed(1)
    with open(os.path.join(folder, "list.txt"), "w") as names, torch.no_grad():
        for i, (name, (net, shape)) in enumerate(NETWORKS.items()):
            randomize(net)
            x = torch.randn(1, *shape)
            net.eval()
            y = getattr(net, "logits", net)(x)
            c, h, w = shape if len(shape) == 3 else (1, 1, shape[0])
            for way, options in ways(i < 3 or sys.argv[2:] == ["all"]):
                base = os.path.join(folder, f"{name}-{way}")
                export(net, x, base + ".onnx", options)
                x.numpy().astype(np.float32).tofile(base + ".in")
                y.numpy().astype(np.float32).tofile(base + ".out")
                names.write(f"{name}-{way} {c} {h} {w} {y.numel()}\n")


main()
