#!/bin/bash
# Post-training quantization of ResNet-20 on CIFAR-10 by fixed recipes, no training: the table of widths x rounding x bias
# correction on the test images, by the integer network, and two bounds on what it may lose. `make bench-ptq`.
set -eu
[ -n "${BITPRESS_MODELS:-}" ] && [ -n "${BITPRESS_CIFAR10:-}" ] || { echo "BITPRESS_MODELS and BITPRESS_CIFAR10 name no folders"; exit 77; }

# apply W A OPTIONS: percent of the test images right, percent lost against the float network, seconds of it all
apply() {
    printf 'default: {w_bits: %d, a_bits: %d}\nquantize: {%s}\n' "$1" "$2" "$3" >"$SCRATCH/r.yaml"
    "$BITPRESS" apply "$BITPRESS_MODELS/resnet20-cifar10.onnx" --recipe "$SCRATCH/r.yaml" --data "cifar10:$BITPRESS_CIFAR10" --pad 4 --flip \
        --backend model --verify 1 --out "$SCRATCH/out" --quiet --json >"$SCRATCH/out.json"
    jq -r '(.rows[] | select(.name == "float") | .top1) as $float | [.best.top1 * 100, ($float - .best.top1) * 100, .facts["time: apply"]] | @tsv' "$SCRATCH/out.json"
}

echo "widths   rounding  bias correction   top-1   lost  time"
for widths in 8.8 4.4 3.3 2.4; do
    w=${widths%.*} a=${widths#*.}
    for rounding in nearest adaptive; do
        for bias in false true; do
            result=$(apply "$w" "$a" "rounding: $rounding, bias_correction: $bias")
            read -r top1 lost time <<<"$result"
            printf 'W%dA%d     %-9s %-15s %7.2f %6.2f  %s\n' "$w" "$a" "$rounding" "$bias" "$top1" "$lost" "$time" | tee -a "$SCRATCH/table"
        done
    done
done

# bound WIDTHS MOST: the default recipe (adaptive rounding, bias correction) loses at most that
bound() {
    awk -v w="$1" -v most="$2" '$1 == w && $2 == "adaptive" && $3 == "true" { seen = 1; if ($5 > most) exit 1 } END { if (!seen) exit 1 }' "$SCRATCH/table" || { echo "$1 loses more than $2"; exit 1; }
}
bound W8A8 0.2
bound W4A4 1.8
