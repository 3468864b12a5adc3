#!/bin/bash
# bench_area.sh BUILD RTL...: Yosys' count of the kernel for several arrays beside the prediction (host/hw/area.c), one
# after another; a row each, as tests/unit/area_yosys.h holds them. SHAPES="N:DRAIN ..." picks others. An array
# takes minutes, one of 32 pixels some ten.
set -eu
build=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
shapes=${SHAPES:-8:16 8:32 8:64 16:64 32:128}
dir=$build/area
for shape in $shapes; do
    n=${shape%:*} drain=${shape#*:} name=area-$n-$drain
    mkdir -p "$dir/boards/$name" "$dir/$name"
    sed -e "s/^name: .*/name: $name/" -e "s/^  n: .*/  n: $n/" -e "s/^  drain: .*/  drain: $drain/" \
        "$root/boards/pynq-z2/board.yaml" > "$dir/boards/$name/board.yaml"
    "$build/hwgen" "$dir/boards/$name/board.yaml" "$dir/$name"
    BOARD_YAML=$dir/boards/$name/board.yaml nice "$root/scripts/synth.sh" "$name" "$dir" \
        "$dir/$name/bitpress_hw_pkg.sv" "$@" > "$dir/$name/log" 2>&1
    predicted=$("$build/bitpress" board show "$dir/boards/$name/board.yaml" | sed -n 's/^area *\([0-9]*\) LUT.*/\1/p')
    awk -v n="$n" -v drain="$drain" -v p="$predicted" '
        $1 == "LUT" || $1 == "BRAM36" || $1 == "DSP" { v[$1] = $2 }
        END { printf "    { %d, %d, %d, %d, %d },    /* predicted %d LUT, %+.1f %% */\n", n, drain, v["LUT"], v["BRAM36"], v["DSP"], p,
              100 * (p / v["LUT"] - 1) }' "$dir/$name/log"
done
