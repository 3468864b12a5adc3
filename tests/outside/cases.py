"""What the judges of this folder share: the cases in a folder, and the loop over them.

A case is NAME.txt: MODEL N INPUT-SHAPE... OUTPUTS MODE LIMIT; NAME.in and NAME.out: float32, N images each.
"""
import glob
import os
import sys

import numpy as np


def read(path):
    """(model's file, N, MODE, LIMIT, input [N][shape], expected [N][outputs])"""
    words = open(path).read().split()
    n, *shape, outputs = [int(w) for w in words[1:-2]]
    base = path[: -len(".txt")]
    x = np.fromfile(base + ".in", np.float32).reshape([n] + shape)
    want = np.fromfile(base + ".out", np.float32).reshape(n, outputs)
    return os.path.join(os.path.dirname(path), words[0]), n, words[-2], float(words[-1]), x, want


def judge(compare):
    """One line for each case of the folder sys.argv[1]; compare(path) says whether it passes, and a text. The exit code."""
    if sys.argv[1] == "--check":
        return 0
    bad = 0
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.txt"))):
        ok, text = compare(path)
        bad += not ok
        print("ok  " if ok else "FAIL", os.path.basename(path), text)
    return 1 if bad else 0
