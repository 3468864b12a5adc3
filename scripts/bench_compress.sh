#!/bin/bash
# bench_compress.sh BITPRESS: the rows of docs/results.md: recipes of configs/results/ applied to the float networks of
# configs/zoo/, on CIFAR-10. The first lines of a recipe say what else its row needs:
#
#   # model: resnet20     the float network, configs/zoo/resnet20-cifar10.onnx
#   # seeds: 1 2 3        one run each
#   # minutes: 20         of two cores, for one run: measured, for the announcement alone
#
# ROWS names some (default: all whose network is in configs/zoo). A run that is done is not repeated; one that was interrupted goes on from its
# checkpoint. OUT (default runs/results) keeps them; remove a folder there to have it run again.
set -eu
bitpress=$1
root=$(cd "$(dirname "$0")/.." && pwd)
out=${OUT:-runs/results}
[ -n "${BITPRESS_CIFAR10:-}" ] || { echo "BITPRESS_CIFAR10 names no folder with data_batch_1..5.bin and test_batch.bin"; exit 77; }
recipes=$root/configs/results
rows=${ROWS:-$(cd "$recipes" && ls ./*.yaml | sed 's|^\./||; s|\.yaml$||')}

# said RECIPE KEY: what a recipe's head says
said() { sed -n "s/^# $2: *//p" "$recipes/$1.yaml" | head -n 1; }
network() { echo "$root/configs/zoo/$(said "$1" model)-cifar10.onnx"; }
done_already() { [ -e "$out/$1/summary.json" ]; }

mkdir -p "$out"
minutes=0 left=0
here=
for row in $rows; do
    [ -e "$recipes/$row.yaml" ] || { echo "$recipes/$row.yaml: no such recipe" >&2; exit 2; }
    [ -e "$(network "$row")" ] || { echo "$row is left out: there is no $(network "$row")" >&2; continue; }
    here="$here $row"
    for seed in $(said "$row" seeds); do
        done_already "$row-$seed" || { minutes=$((minutes + $(said "$row" minutes))); left=$((left + 1)); }
    done
done
rows=$here
echo "$left runs to go, about $minutes minutes on two cores" >&2

for row in $rows; do
    for seed in $(said "$row" seeds); do
        done_already "$row-$seed" && continue
        echo "-- $row, seed $seed" >&2
        "$bitpress" apply "$(network "$row")" --recipe "$recipes/$row.yaml" --data "cifar10:$BITPRESS_CIFAR10" \
            --pad 4 --flip --seed "$seed" --verify 4 --resume --out "$out/$row-$seed" >"$out/$row-$seed.txt" || { cat "$out/$row-$seed.txt"; exit 1; }
    done
done

echo "| recipe | seed | float | top-1 | lost | MACs | RTL cycles | KiB | images seen | processor s |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for row in $rows; do
    for seed in $(said "$row" seeds); do
        jq -r --arg row "$row" --arg seed "$seed" '
            def fixed(n): . * pow(10; n) | round | tostring | ("0" * ([n + 1 - length, 0] | max)) + . | .[:-n] + "." + .[-n:];
            def signed(n): if . < 0 then "-" + (-. | fixed(n)) else fixed(n) end;
            (.rows[] | select(.name == "recipe")) as $r | (.rows[] | select(.name == "float")) as $f |
            "| \($row) | \($seed) | \(100 * $f.top1 | fixed(2)) | \(100 * $r.top1 | fixed(2)) | \(100 * $r.loss | signed(2)) ± \(100 * $r.loss_half | fixed(2)) | 1/\(.macs_before / .macs | fixed(2)) | \($r.cycles) | \($r.size_bytes / 1024 | fixed(1)) | \(.facts["fine-tuning"] | split(" ")[0]) | \(.facts["processor time"] | split(" ")[0]) |"
        ' "$out/$row-$seed/summary.json"
    done
done
