#!/bin/bash
# Board kits without the vendor's tools: what is missing is said; with tools that only record (tests/tools/vivado.tcl, a v++ of three
# lines) every Tcl command runs, every file it names is there, all RTL is packaged, and the numbers are those of board.yaml.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
skip() { echo "$*"; exit 77; }
fail() { echo "FAIL: $*"; exit 1; }
build=$(cd "$(dirname "$BITPRESS")" && pwd)
unset XILINX_VIVADO XILINX_VITIS PLATFORM
command -v tclsh >/dev/null || skip "tclsh is not installed (apt-get install tcl)"
! command -v vivado >/dev/null || skip "Vivado is here: this test is for machines without it"
field() { sed -n "s/^ *$2: *\([^ #]*\).*/\1/p" "$root/boards/$1/board.yaml"; }
kit() { "$root/scripts/bitstream.sh" "$1" "$SCRATCH/build" "$SCRATCH/build/gen/$1/bitpress_hw_pkg.sv"; }
mkdir -p "$SCRATCH/build" "$SCRATCH/tools" "$SCRATCH/vitis/bin"
ln -s "$BITPRESS" "$SCRATCH/build/bitpress" && cp -r "$build/gen" "$SCRATCH/build/gen"
export BITPRESS_BOARDS=$root/boards

echo "== without tools"
for b in pynq-z2 zcu104 kv260; do
    code=0; kit $b >"$SCRATCH/out" 2>"$SCRATCH/err" || code=$?
    [ $code = 3 ] && grep -q '^  vivado: Vivado 2022.1' "$SCRATCH/err" && grep -q '^hint: ' "$SCRATCH/err" || fail "$b: $code $(cat "$SCRATCH/err")"
done
grep -q '^  v++: Vitis' "$SCRATCH/err" && grep -q '^  PLATFORM: ' "$SCRATCH/err" || fail "$(cat "$SCRATCH/err")"
code=0; kit nowhere 2>"$SCRATCH/err" || code=$?
[ $code = 2 ] || fail "a board that is none: $code $(cat "$SCRATCH/err")"

printf '#!/bin/sh\nexec tclsh "%s" "$@"\n' "$root/tests/tools/vivado.tcl" >"$SCRATCH/tools/vivado"
printf '#!/bin/sh\necho v++ "$@" >>"$RECORD"\nwhile [ "$1" != -o ]; do shift; done\n[ -e "$3" ] && [ ! -e "$4" ] && touch "$2"\n' >"$SCRATCH/vitis/bin/v++"
chmod +x "$SCRATCH/tools/vivado" "$SCRATCH/vitis/bin/v++"
export PATH=$SCRATCH/tools:$PATH SLACK=0.1 RECORD=$SCRATCH/record XILINX_VITIS=$SCRATCH/vitis
for b in pynq-z2 zcu104 kv260; do
    echo "== $b with tools that record"
    : >"$RECORD"
    PLATFORM=$([ $b = kv260 ] && echo my_platform || true) kit $b >"$SCRATCH/out" 2>&1 || fail "$b: $(cat "$SCRATCH/out")"
    out=$SCRATCH/build/boards/$b
    for f in $(cd "$root/rtl" && echo *.sv) bitpress_hw_pkg.sv; do
        grep '^add_files' "$RECORD" | grep -q "/src/$f[ }]" || fail "$b: $f is not packaged"
    done
    grep -q "create_project .*-part $(field $b part) " "$RECORD" || fail "$b: part: $(grep create_project "$RECORD")"
    case $b in
    pynq-z2) ! head -1 "$out/src/bp_dsp48.sv" | grep -q define ;;
    *) head -1 "$out/src/bp_dsp48.sv" | grep -q '^`define ULTRASCALE$' ;;
    esac || fail "$b: DSP of the other family"
    "$BITPRESS" board kernel $b | cmp - "$out/kernel.xml" || fail "$b: kernel.xml"
    grep -q "set_property version $(sed -n 's/.*vlnv="bitpress:rtl:bitpress:\([0-9.]*\)".*/\1/p' "$out/kernel.xml") core" "$RECORD" || fail "$b: version"
    # a period of three decimals, that of the clock
    period=$(sed -n 's/.*-period \([0-9.]*\) .*/\1/p' "$root/boards/$b/clock.xdc")
    [ "$period" = "$(awk -v mhz="$(field $b mhz)" 'BEGIN { printf "%.3f", 1000 / mhz }')" ] || fail "$b: clock.xdc says $period ns"
    [ -s "$out/bitpress.xclbin" ] || [ $b != pynq-z2 ] || fail "$b: no xclbin"
    grep -q '^[^#]*\[get_ports ap_clk\]' "$root/boards/$b/clock.xdc" || fail "$b: clock.xdc"
done
v=$(grep '^v++' "$RECORD")
echo "$v" | grep -q -- "--link --target hw --platform my_platform --config $root/boards/kv260/link.cfg .* -o $out/bitpress.xclbin $out/bitpress.xo" || fail "$v"
for b in zcu104 kv260; do
    [ "$(sed -n 's/^freqHz=\([0-9]*\):bitpress_1.ap_clk$/\1/p' "$root/boards/$b/link.cfg")" = "$(($(field $b mhz) * 1000000))" ] || fail "$b: clock of link.cfg"
    grep -q '^nk=bitpress:1:bitpress_1$' "$root/boards/$b/link.cfg" && grep -q '^sp=bitpress_1.m_axi_gmem:HP0$' "$root/boards/$b/link.cfg" || fail "$b: link.cfg"
done

echo "== the overlay's addresses and clock; a clock that is not met"
: >"$RECORD"
kit pynq-z2 >"$SCRATCH/out"
base=$(sed -n 's/.*DEVICE_OVERLAY_CU_BASE UINT64_C(\(.*\))/\1/p' "$root/host/device/device.h")
grep -q "^assign_bd_address -offset $base -range 4K .*s_axi_control" "$RECORD" || fail "$base: $(grep assign "$RECORD")"
grep -q "CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $(field pynq-z2 mhz) " "$RECORD" || fail "$(grep CLKOUT1 "$RECORD")"
ls "$SCRATCH"/build/boards/pynq-z2/bitpress.{bit,bin,hwh,xclbin} >/dev/null || fail "files"
code=0; SLACK=-0.3 kit pynq-z2 >"$SCRATCH/out" 2>&1 || code=$?
[ $code != 0 ] && grep -q '150 MHz are not reached' "$SCRATCH/out" || fail "$code $(cat "$SCRATCH/out")"

echo "== the HLS bench, by gcc and in the steps of run.tcl"
: >"$RECORD"
(cd "$SCRATCH" && "$BITPRESS" pack export "$root/tests/data/golden.bpk" pack.h >/dev/null)
sources=$(cd "$root" && ls hls/*.c | grep -v estimate)
for f in $sources; do grep -q "[ {]$(basename "$f" .c)[ }]" "$root/hls/run.tcl" || fail "hls/run.tcl lacks $f"; done
cc=${CC:-gcc}
(cd "$root" && $cc -std=gnu11 -O1 -I. -Ihost "-I$build/gen/pynq-z2" "-I$SCRATCH" hls/bench/bench.c $sources -o "$SCRATCH/bench") && "$SCRATCH/bench" || fail "bench"
(cd "$root" && BOARD=pynq-z2 PART=$(field pynq-z2 part) CLOCK_NS=6.667 PACK_DIR=$SCRATCH tclsh tests/tools/vivado.tcl -source hls/run.tcl) || fail "hls/run.tcl"
[ "$(grep -c '^add_files hls/' "$RECORD")" = "$(echo "$sources" | wc -l)" ] && grep -q '^add_files -tb hls/bench/bench.c ' "$RECORD" || fail "$(cat "$RECORD")"
[ "$(tail -n 3 "$RECORD" | tr '\n' ' ')" = "csim_design csynth_design cosim_design " ] || fail "$(cat "$RECORD")"

echo "== run.tcl and whatever else is Tcl is complete; all of it says that nothing here ran it"
for f in "$root"/boards/*/*.tcl "$root"/boards/*/*.xdc "$root"/boards/*/link.cfg "$root"/hls/*.tcl "$root"/scripts/package.tcl "$root"/scripts/bitstream.sh; do
    head -5 "$f" | grep -qi 'untested: needs Vi' || fail "$f does not say untested"
    case $f in *.tcl | *.xdc) echo 'set f [open [lindex $argv 0]]; exit [expr {![info complete [read $f]]}]' | tclsh /dev/stdin "$f" || fail "$f is not complete" ;; esac
done
echo "boards ok"
