"""Write tests/data/torch_gradients.f32, which tests/unit/test_nn_torch.c holds the float engine against.

    python3 tests/outside/torch_gradients.py tests/data/torch_gradients.f32

The network of `network()` in that test, in double, in training mode. Little-endian float32, in this order: pixels
[6][8][8][3]; labels [6]; the loss; then for every array of every layer in order (weight, bias; gamma, beta) its start,
its gradient, its value after 3 steps of SGD and after 3 of AdamW, both from the start; for every batch norm after its
beta the running mean and variance after the 3 steps of SGD. Weights are [out][kh][kw][in]. Written with torch 1.13.
"""
import copy
import sys

import numpy as np
import torch
from torch import nn

N, CLASSES, STEPS = 6, 5, 3
torch.manual_seed(3)
torch.set_default_dtype(torch.float64)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        conv = nn.Conv2d
        self.c1, self.b1 = conv(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.c2, self.b2 = conv(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.d1, self.b3 = conv(8, 8, 3, 2, 1, groups=8), nn.BatchNorm2d(8)
        self.p1, self.b4 = conv(8, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.d2, self.b5 = conv(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16)
        self.c3 = conv(16, 8, 3, 1, 1)
        self.c4, self.b6 = conv(8, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, CLASSES)

    def layers(self):
        return [self.c1, self.b1, self.c2, self.b2, self.d1, self.b3, self.p1, self.b4, self.d2, self.b5, self.c3, self.c4, self.b6, self.fc]

    def forward(self, x):
        a = torch.relu(self.b1(self.c1(x)))
        x = torch.relu(self.b2(self.c2(a)) + a)
        x = nn.functional.relu6(self.b3(self.d1(x)))
        x = torch.relu(self.b4(self.p1(x)))
        x = torch.relu(self.b5(self.d2(x)))
        x = torch.relu(self.c3(x))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(self.b6(self.c4(x)))
        return self.fc(x.mean((2, 3)))


def arrays(layer):
    return [p for p in (layer.weight, layer.bias) if p is not None]


def laid_out(t):
    t = t.detach()
    return (t.permute(0, 2, 3, 1) if t.dim() == 4 else t).reshape(-1).numpy().astype("<f4")


def rounded(t):
    return t.float().double()


net = Net()
with torch.no_grad():
    for layer in net.layers():
        for p in arrays(layer):
            p.copy_(rounded(torch.randn_like(p) * 0.4 + (1 if isinstance(layer, nn.BatchNorm2d) and p is layer.weight else 0)))
pixels = torch.randint(0, 256, (N, 8, 8, 3))
labels = torch.randint(0, CLASSES, (N,))
mean, std = torch.tensor([0.3, 0.4, 0.5]), torch.tensor([0.25, 0.3, 0.35])
x = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)


def trained(make):
    m = copy.deepcopy(net)
    weights = [layer.weight for layer in m.layers() if not isinstance(layer, nn.BatchNorm2d)]
    others = [p for p in m.parameters() if all(p is not w for w in weights)]
    o = make(weights, others)
    for _ in range(STEPS):
        o.zero_grad()
        loss_of(m(x), labels).backward()
        o.step()
    return m


sgd = trained(lambda w, b: torch.optim.SGD([{"params": w, "weight_decay": 0.01}, {"params": b}], lr=0.05, momentum=0.9, nesterov=True))
adam = trained(lambda w, b: torch.optim.AdamW([{"params": w, "weight_decay": 0.1}, {"params": b, "weight_decay": 0.0}], lr=0.01, eps=1e-3))
start = copy.deepcopy(net)
loss = loss_of(start(x), labels)
loss.backward()

out = [pixels.reshape(-1).numpy(), labels.numpy(), [loss.item()]]
for first, s, a in zip(start.layers(), sgd.layers(), adam.layers()):
    for p, ps, pa in zip(arrays(first), arrays(s), arrays(a)):
        out += [laid_out(p), laid_out(p.grad), laid_out(ps), laid_out(pa)]
    if isinstance(s, nn.BatchNorm2d):
        out += [laid_out(s.running_mean), laid_out(s.running_var)]
np.concatenate([np.asarray(v, "<f4").reshape(-1) for v in out]).tofile(sys.argv[1])
