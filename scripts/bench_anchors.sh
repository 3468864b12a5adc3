#!/bin/bash
# bench_anchors.sh BITPRESS: cycles of one image, in simulated RTL, for the networks of published FPGA designs: the table of
# docs/comparison.md. Weights come from a step of training on random pixels: values do not matter for cycles, but that planes of zeros
# are left out, and there are none. NETS names some (default: all), WIDTHS the bits (default "8 4 3 2"), BOARD (default pynq-z2).
set -eu
bitpress=$1
board=${BOARD:-pynq-z2}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# network | height, width, channels, classes | design | its cycles (latency x clock) | its MHz
anchors() {
    cat <<'TABLE'
resnet8|32, 32, 3|10|fpgaConvNet, int8|58814|143
mobilenet-v1-x0.25-96|96, 96, 3|2|fpgaConvNet, int8|1053131|111
ds-cnn|49, 10, 1|12|fpgaConvNet, int8|46308|143
cnv|32, 32, 3|10|FINN, W1A1|151178|100
kws-mlp|49, 10, 1|12|FINN, W3A3|1746|100
TABLE
}

# npy_head DTYPE SHAPE: a header of NumPy's format 1.0, 128 bytes
npy_head() {
    local dict
    dict=$(printf "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" "$1" "$2")
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "$dict"
}

# data NET SHAPE CLASSES: 200 images of random pixels
data() {
    local pixels=$((${2//, / * }))
    { npy_head '|u1' "200, $2"; head -c $((200 * pixels)) /dev/urandom; } >"$out/$1.x.npy"
    { npy_head '|u1' '200,'; for i in $(seq 0 199); do printf "\\x$(printf %02x $((i % $3)))"; done; } >"$out/$1.y.npy"
}

# cycles NET BITS
cycles() {
    echo "default: {w_bits: $2, a_bits: $2}" >"$out/recipe.yaml"
    "$bitpress" apply "$out/$1/model.onnx" --recipe "$out/recipe.yaml" --data "npy:$out/$1.x.npy,$out/$1.y.npy" --held-out 100 --backend verilator \
        --board "$board" --verify 1 --quiet --json --out "$out/$1/w$2" >"$out/summary.json" 2>"$out/log" || { cat "$out/log" >&2; exit 1; }
    jq '.rows[] | select(.name == "recipe") | .cycles' "$out/summary.json"
}

widths=${WIDTHS:-8 4 3 2}
printf '| network | design | cycles | ms |'
for w in $widths; do printf ' W%dA%d | ms at its clock |' "$w" "$w"; done
printf '\n|---|---|---|---|'
for w in $widths; do printf -- '---|---|'; done
echo
anchors | while IFS='|' read -r net shape classes design theirs mhz; do
    case " ${NETS:-$net} " in *" $net "*) ;; *) continue ;; esac
    data "$net" "$shape" "$classes"
    cat >"$out/train.yaml" <<YAML
model: $net
data: npy:$out/$net.x.npy,$out/$net.y.npy
held_out: 100
out: $out/$net
train: {epochs: 1, batch: 16, pad: 0}
YAML
    "$bitpress" train "$out/train.yaml" --quiet >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
    row="| \`$net\` | $design | $theirs | $(jq -n "$theirs / $mhz | round / 1000") |"
    for w in $widths; do
        ours=$(cycles "$net" "$w")
        row="$row $ours | $(jq -n "$ours / $mhz | round / 1000") |"
    done
    echo "$row"
done
