"""PyTorch's side of `make bench-train`: one process, one way of running, driven by lines on stdin.

    torch_bench.py THREADS BATCH eager|compile

answers first `ok VERSION ...` or `no REASON`; then `open NET train|infer` with `ok` (warm) or `no REASON`,
`step N` with N times in seconds. Input is normalized already; training is SGD with Nesterov momentum.
"""
import os
import sys
import time

# What libraries print must not be taken for an answer.
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(text):
    out.write(" ".join(str(text).split()) + "\n")
    out.flush()


try:
    import torch
    from torch import nn
except Exception as e:  # a broken installation is no better than none
    answer(f"no {sys.executable}: {e}")
    sys.exit(0)

threads, batch, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)
torch.manual_seed(1)


def conv_bn(i, o, k, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o))


def conv_bn_relu(*a, **k):
    return nn.Sequential(conv_bn(*a, **k), nn.ReLU(inplace=True))


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.body = nn.Sequential(conv_bn_relu(i, o, 3, stride), conv_bn(o, o, 3))
        self.stride, self.more = stride, (o - i) // 2

    def forward(self, x):
        s = x
        if self.more:
            s = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return torch.relu(self.body(x) + s)


def resnet(n):
    m, i = [conv_bn_relu(3, 16, 3)], 16
    for o in (16, 32, 64):
        for b in range(n):
            m.append(Block(i, o, 2 if b == 0 and o > 16 else 1))
            i = o
    return nn.Sequential(*m, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), (3, 32, 32)


def mobilenet(width):
    m, i = [conv_bn_relu(3, int(32 * width), 3)], int(32 * width)
    for o, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]:
        o = int(o * width)
        m += [conv_bn_relu(i, i, 3, stride, groups=i), conv_bn_relu(i, o, 1)]
        i = o
    return nn.Sequential(*m, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 10)), (3, 32, 32)


def lenet():
    return nn.Sequential(conv_bn_relu(1, 16, 5), nn.MaxPool2d(2), conv_bn_relu(16, 32, 5), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(32 * 49, 128), nn.ReLU(inplace=True), nn.Linear(128, 10)), (1, 28, 28)


NETS = {"lenet": lenet, "resnet20": lambda: resnet(3), "resnet56": lambda: resnet(9), "mobilenet-v1-x0.5": lambda: mobilenet(0.5)}


def opened(name, phase):
    model, shape = NETS[name]()
    model = model.to(memory_format=torch.channels_last)
    x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,))
    if phase == "infer":
        model.eval()
        if how == "compile":
            from torch._inductor import config
            config.freezing = True
        run = torch.compile(model) if how == "compile" else model

        def step():
            with torch.no_grad():
                run(x)
        return step
    run = torch.compile(model) if how == "compile" else model
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loss = nn.CrossEntropyLoss()

    def step():
        sgd.zero_grad(set_to_none=True)
        loss(run(x), y).backward()
        sgd.step()
    return step


def main():
    if how == "compile" and not hasattr(torch, "compile"):
        answer(f"no torch {torch.__version__} has no torch.compile")
        return
    flags = dict(line.split(": ", 1) for line in torch.__config__.show().replace("  - ", "").splitlines() if ": " in line)
    mkldnn = [w for w in torch.__config__.show().splitlines() if "MKL-DNN" in w]
    answer(f"ok torch {torch.__version__} {how} channels_last, {torch.get_num_threads()} threads, {flags.get('CPU capability usage', '?')}, "
           f"oneDNN {mkldnn[0].split(' v')[1].split()[0] if mkldnn else 'none'}")
    step = None
    for line in sys.stdin:
        word = line.split()
        try:
            if word[0] == "open":
                step = opened(word[1], word[2])
                for _ in range(3):
                    step()
                answer("ok")
            else:
                times = []
                for _ in range(int(word[1])):
                    start = time.perf_counter()
                    step()
                    times.append(time.perf_counter() - start)
                answer(" ".join(f"{t:.6f}" for t in times))
        except Exception as e:
            answer(f"no {type(e).__name__}: {str(e)[:200]}")


main()
