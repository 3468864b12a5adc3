#!/bin/bash
# The reported cycles are the RTL's: one wait state more a layer, in a copy of rtl/, shows up as exactly that many
# cycles more, the difference from the model is an error, and cycles measured on the unchanged RTL are not taken for it.
set -eu
command -v verilator >/dev/null || { echo "verilator is not installed"; exit 77; }
repo=$(cd "$(dirname "$0")/../.." && pwd)
build=$(dirname "$BITPRESS")
board=pynq-z2
pack=$repo/tests/data/golden.bpk
export BITPRESS_CACHE=$SCRATCH/cache

value() { sed -n "s/^  \"$2\": \(.*[^,]\),\{0,1\}\$/\1/p" "$1"; }
fail() { echo "rtl_change: $*"; exit 1; }

echo "the RTL as it is"
"$BITPRESS" score "$pack" --board $board --backend verilator --json >"$SCRATCH/before.json"
before=$(value "$SCRATCH/before.json" cycles)
[ "$before" = "$(value "$SCRATCH/before.json" model_cycles)" ] || fail "cycles are not the model's"
[ "$(value "$SCRATCH/before.json" bit_exact)" = true ] || fail "logits differ"
"$BITPRESS" score "$pack" --board $board --backend verilator --json >"$SCRATCH/again.json"
[ "$(value "$SCRATCH/again.json" cycles_source)" = '"rtl-table"' ] || fail "the cycles were not kept"
[ "$(value "$SCRATCH/again.json" cycles)" = "$before" ] || fail "the cycles kept are others"

echo "one wait state more in bp_seq, between two layers"
mkdir -p "$SCRATCH/src" "$SCRATCH/build"
cp -r "$repo/rtl" "$repo/sim" "$SCRATCH/src/"
mkdir -p "$SCRATCH/src/host/accel"
cp "$repo/host/accel/program.h" "$SCRATCH/src/host/accel/"
cp -r "$build/gen" "$SCRATCH/build/"
# Behind a pool the walk is what a layer waits for, behind others the unit's start.
sed -i -e 's/^      FrMap:    front_d = FrCheck;/      FrMap:    if (late_front_q) front_d = FrCheck;/' \
       -e 's/^      StSet:    state_d = StGo;/      StSet:    if (late_run_q) state_d = StGo;/' \
       -e 's/(state_q == StSet && !early_o/(late_run_q \&\& state_q == StSet \&\& !early_o/' \
       -e 's/^  state_e state_q, state_d;/&\n  logic late_front_q, late_run_q;\n  always_ff @(posedge clk_i) {late_front_q, late_run_q} <= {front_q == FrMap, state_q == StSet};/' "$SCRATCH/src/rtl/bp_seq.sv"
[ "$(diff "$repo/rtl/bp_seq.sv" "$SCRATCH/src/rtl/bp_seq.sv" | grep -c '^>')" = 5 ] || fail "bp_seq.sv no longer has the lines to change"
# one image of a small network: a quick build beats a quick simulation
env -u MAKEFLAGS -u MAKELEVEL make -j2 -C "$SCRATCH/src/sim" lib CXXFLAGS="-std=gnu++17 -O0 -march=x86-64-v3 -fPIC -include $SCRATCH/src/sim/fastpop.h" BOARD=$board BUILD="$SCRATCH/build" >/dev/null

rc=0
BITPRESS_SIM=$SCRATCH/build/sim "$BITPRESS" score "$pack" --board $board --backend verilator --json >"$SCRATCH/after.json" 2>"$SCRATCH/message" || rc=$?
cat "$SCRATCH/message"
layers=$(grep -c '"ideal_cycles"' "$SCRATCH/after.json")
after=$(value "$SCRATCH/after.json" cycles)
echo "$before cycles before, $after after, $layers layers"
# The first layer waits for the image in memory anyway.
[ "$after" = $((before + layers - 1)) ] || fail "the wait states do not show"
[ "$(value "$SCRATCH/after.json" cycles_source)" = '"rtl"' ] || fail "not measured"
[ "$(value "$SCRATCH/after.json" bit_exact)" = true ] || fail "logits differ"
[ $rc = 4 ] || fail "exit $rc where the model disagrees"
grep -q 'the model says' "$SCRATCH/message" || fail "the message does not tell"

echo "the RTL as it is, once more"
"$BITPRESS" score "$pack" --board $board --backend verilator --no-cache --json >"$SCRATCH/end.json"
[ "$(value "$SCRATCH/end.json" cycles)" = "$before" ] || fail "the change has left a trace"
