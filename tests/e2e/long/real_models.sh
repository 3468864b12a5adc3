#!/bin/bash
# Three published CIFAR-10 networks read from ONNX and run on the whole test set: as many right answers as
# their publishers and onnxruntime have (to two images), and preprocessing that is not given is refused.
set -eu
[ -n "${BITPRESS_MODELS:-}" ] && [ -n "${BITPRESS_CIFAR10:-}" ] || { echo "BITPRESS_MODELS and BITPRESS_CIFAR10 name no folders"; exit 77; }

fail() { echo "real_models: $*"; exit 1; }

while read -r model want; do
    "$BITPRESS" eval "$BITPRESS_MODELS/$model.onnx" --data "cifar10:$BITPRESS_CIFAR10" --quiet >"$SCRATCH/out"
    cat "$SCRATCH/out"
    right=$(sed -n 's/.*(\([0-9]*\) of 10000 images right.*/\1/p' "$SCRATCH/out")
    [ "$right" -ge $((want - 2)) ] && [ "$right" -le $((want + 2)) ] || fail "$model: $right right, expected $want"
done <<'MODELS'
resnet8-mlperftiny 8719
resnet20-cifar10 9173
resnet56-cifar10 9339
MODELS

# The same file without its metadata (the keys renamed), first alone, then with the YAML that came with it.
sed 's/input_scale/other_scale/; s/input_mean/other_mean/; s/input_std/other_std/' "$BITPRESS_MODELS/resnet20-cifar10.onnx" >"$SCRATCH/bare.onnx"
rc=0
"$BITPRESS" eval "$SCRATCH/bare.onnx" --data "cifar10:$BITPRESS_CIFAR10" --quiet 2>"$SCRATCH/err" || rc=$?
[ "$rc" = 2 ] && grep -q "is not given" "$SCRATCH/err" || fail "a model without preprocessing ran, or was refused otherwise ($rc)"
"$BITPRESS" eval "$SCRATCH/bare.onnx" --input "$BITPRESS_MODELS/resnet20-cifar10.yaml" --data "cifar10:$BITPRESS_CIFAR10" --quiet | tee "$SCRATCH/out"
grep -q "(917[1-5] of 10000" "$SCRATCH/out" || fail "the YAML beside the model gives another accuracy"
