"""Run ONNX models in onnxruntime on the inputs beside them and compare with the outputs beside them.

usage: onnx_compare.py DIR        compares every NAME.txt of DIR, one line each, exit 1 if one fails
       onnx_compare.py --check    exit 0 if the packages are there

cases.py says what a case is. MODE diff: largest difference over the largest output, at most LIMIT.
MODE top1: share of images whose largest output is at the same place, at least LIMIT.
"""
import sys

try:
    import numpy as np
    import onnxruntime as ort
except ImportError as e:
    print(e)
    sys.exit(3)

sys.dont_write_bytecode = True  # nothing appears in the source tree
import cases


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
    model, n, mode, limit, x, want = cases.read(path)
    got = run(model, x).reshape(n, -1)
    if got.shape != want.shape:
        return False, f"shape {got.shape}, expected {want.shape}"
    if mode == "diff":
        d = np.abs(got - want).max() / np.abs(want).max()
        return d <= limit, f"largest difference {d:.2e} of the largest output (limit {limit:g})"
    same = (got.argmax(1) == want.argmax(1)).mean()
    d = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
    return same >= limit, f"top-1 agrees on {100 * same:.2f} % of {n} (limit {100 * limit:g} %), largest difference {d:.2e}"


sys.exit(cases.judge(compare))
