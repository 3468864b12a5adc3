#!/bin/bash
# synth.sh BOARD BUILD SOURCE...: Yosys for 7-series or UltraScale+; prints LUT, FF, BRAM, DSP against the board's budget
# and the longest path in cells. BOARD_YAML: the board's description, where it is not in boards/. Not a timing run: there is no place and route here. Hierarchical: a unit of
# the array is mapped once. SYNTH_FLAGS is added to synth_xilinx's; -nowidelut because it would spend
# four LUTs on what two levels do with two.
set -eu
board=$1 build=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
yaml=${BOARD_YAML:-$root/boards/$board/board.yaml}
out=$build/synth
log=$out/$board.log
mkdir -p "$out"
case $(sed -n 's/^part: *//p' "$yaml") in
xczu* | xck2*) family=xcup define=-DULTRASCALE ;;
*)             family=xc7 define= ;;
esac
echo "yosys synth_xilinx -family $family on bp_kernel; log $log (takes minutes)"
yosys -q -l "$log" -p "read_verilog -sv -DSYNTHESIS $define $*
    synth_xilinx -family $family -top bp_kernel -nowidelut ${SYNTH_FLAGS:-}
    tee -q -o $out/$board.stat stat -top bp_kernel
    flatten; clean; write_blif $out/$board.blif"
awk -v board="$board" -v yaml="$yaml" '
    function row(name, used, budget) {
        printf "  %-8s %8d of %8d  %5.1f %%\n", name, used, budget, budget ? 100 * used / budget : 0
    }
    BEGIN {
        while ((getline line < yaml) > 0)
            if (split(line, f, /[: ]+/) >= 2) { sub(/^ +/, "", line); split(line, f, /: */); v[f[1]] = f[2] + 0 }
    }
    /design hierarchy/ { total = 1 }
    { seen[$1] = $2 }
    END {
        for (c in seen) {
            n = seen[c]
            if (c ~ /^LUT[1-6]$|^LUT6_2$/) lut += n
            else if (c ~ /^(FDRE|FDSE|FDCE|FDPE)$/) ff += n
            else if (c ~ /^RAMB36E[12]$/) bram += n
            else if (c ~ /^RAMB18E[12]$/) bram += n / 2
            else if (c ~ /^DSP48E[12]$/) dsp += n
            else if (c == "RAM32M" || c == "RAM64M") lut += 4 * n
            else if (c ~ /^RAM(32|64)X1D$/) lut += 2 * n
            else if (c ~ /^RAM128X1D$/) lut += 4 * n
            else if (c ~ /^SRL/) lut += n
        }
        print "bp_kernel on " board " (LUT with LUT RAM; before packing, no place and route):"
        row("LUT", lut, v["lut"]); row("FF", ff, v["ff"])
        row("BRAM36", bram, v["bram36"]); row("DSP", dsp, v["dsp"])
    }' "$out/$board.stat"
awk -f "$root/scripts/depth.awk" "$out/$board.blif"
