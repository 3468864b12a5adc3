#!/bin/bash
# bench_anchors.sh BITPRESS: cycles of one image for the networks of published FPGA designs, beside theirs: the table of docs/comparison.md.
# Random weights, which leave no plane out; by the cycle model, which equals the RTL (make sim). NETS names some (default: all),
# WIDTHS the bits (default "8 4 3 2"), BOARD (default pynq-z2).
set -eu
bitpress=$1

# network | design | its cycles (latency x clock) | its MHz
anchors() {
    cat <<'TABLE'
resnet8|fpgaConvNet, int8|58814|143
mobilenet-v1-x0.25-96|fpgaConvNet, int8|1053131|111
ds-cnn|fpgaConvNet, int8|46308|143
cnv|FINN, W1A1|151178|100
kws-mlp|FINN, W3A3|1746|100
TABLE
}

widths=${WIDTHS:-8 4 3 2}
printf '| network | design | cycles | ms |'
for w in $widths; do printf ' W%dA%d | ms at its clock |' "$w" "$w"; done
printf '\n|---|---|---|---|'
for w in $widths; do printf -- '---|---|'; done
echo
anchors | while IFS='|' read -r net design theirs mhz; do
    case " ${NETS:-$net} " in *" $net "*) ;; *) continue ;; esac
    row="| \`$net\` | $design | $theirs | $(jq -n "$theirs / $mhz | round / 1000") |"
    for w in $widths; do
        ours=$("$bitpress" sweep "$net" --board "${BOARD:-pynq-z2}" --w "$w" --a "$w" --quiet --json | jq '.points[0].cycles')
        row="$row $ours | $(jq -n "$ours / $mhz | round / 1000") |"
    done
    echo "$row"
done
