# docs/your-own-network.md on a network trained in PyTorch and exported by the page's own line: the same decisions there and here.
. "$(dirname "$0")/your_own_network.inc"
python=$(for p in python3 /usr/bin/python3; do "$p" -c 'import torch' 2>/dev/null && echo "$p" && break; done || true)
[ -n "$python" ] || skip "PyTorch is not installed (apt-get install python3-torch): the page's line of Python is not run"
mkdir torch && ./png_folder torch/photos 1500 400 1 && cd torch
{
    cat <<'END'
import gzip, torch
from torch import nn
torch.manual_seed(1)
where = "/usr/share/datasets/fashion-mnist/"
names = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
label = {n: sorted(names).index(n) for n in names}
def part(images, labels, n):
    x = torch.tensor(list(gzip.open(where + images).read(16 + n * 784)[16:]), dtype=torch.uint8).view(n, 1, 28, 28)
    y = torch.tensor([label[names[k]] for k in gzip.open(where + labels).read(8 + n)[8:]])
    return x.float() / 255, y
x, y = part("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", 1500)
model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                      nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10))
step = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
for i in range(0, 1500 * 2, 50):
    at = i % 1500
    step.zero_grad()
    nn.functional.cross_entropy(model(x[at:at + 50]), y[at:at + 50]).backward()
    step.step()
END
    blocks python 1
    cat <<'END'
x, y = part("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 400)
print(int((model(x).argmax(1) == y).sum()))
END
} >export.py
right=$("$python" export.py 2>/dev/null) || fail "export.py"
walk torch
got=$(sed -n 's/.*(\([0-9]*\) of 400 images right.*/\1/p' eval.txt)
[ "$got" -eq "$right" ] || fail "PyTorch: $right of 400 right, here $got"
