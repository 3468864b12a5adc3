"""Run ONNX models in onnxruntime on the inputs beside them and compare with the outputs beside them.

usage: onnx_compare.py DIR        compares every NAME.txt of DIR, one line each, exit 1 if one fails
       onnx_compare.py --check    exit 0 if the packages are there

NAME.txt: MODEL N INPUT-SHAPE... OUTPUTS MODE LIMIT; NAME.in and NAME.out: float32, N images each.
MODE diff: largest difference over the largest output, at most LIMIT.
MODE top1: share of images whose largest output is at the same place, at least LIMIT.
"""
import sys

try:
    import numpy as np
    import onnxruntime as ort
except ImportError as e:
    print(e)
    sys.exit(3)

import glob
import os


def run(model, x):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    step = 50 if isinstance(session.get_inputs()[0].shape[0], str) else session.get_inputs()[0].shape[0]
    return np.concatenate([session.run(None, {name: x[i : i + step]})[0] for i in range(0, len(x), step)])


def compare(path):
    words = open(path).read().split()
    model, mode, limit = words[0], words[-2], float(words[-1])
    n, *shape, outputs = [int(w) for w in words[1:-2]]
    base = path[: -len(".txt")]
    x = np.fromfile(base + ".in", np.float32).reshape([n] + shape)
    want = np.fromfile(base + ".out", np.float32).reshape(n, outputs)
    got = run(os.path.join(os.path.dirname(path), model), x).reshape(n, -1)
    if got.shape != want.shape:
        return False, f"shape {got.shape}, expected {want.shape}"
    if mode == "diff":
        d = np.abs(got - want).max() / np.abs(want).max()
        return d <= limit, f"largest difference {d:.2e} of the largest output (limit {limit:g})"
    same = (got.argmax(1) == want.argmax(1)).mean()
    d = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
    return same >= limit, f"top-1 agrees on {100 * same:.2f} % of {n} (limit {100 * limit:g} %), largest difference {d:.2e}"


def main():
    if sys.argv[1] == "--check":
        return 0
    bad = 0
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.txt"))):
        ok, text = compare(path)
        bad += not ok
        print("ok  " if ok else "FAIL", os.path.basename(path), text)
    return 1 if bad else 0


sys.exit(main())
