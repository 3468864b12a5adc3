#!/bin/bash
# `hardware: search` with the RTL as the judge: the simulator of each searched array is built, the answer's cycles are its own RTL's and its
# logits the reference's. A simulator is minutes of one core.
. "$(dirname "$0")/../common.inc"
root=$(cd "$(dirname "$0")/../../.." && pwd)
command -v verilator >/dev/null || skip "verilator is not installed"
cd "$SCRATCH"

subset data 1500 200
config run.yaml run 4 30000
sed -i 's/search: {/search: {tied: network, start: uniform, /; s/epochs: 1, top/epochs: 0, top/' run.yaml
printf 'board: kv260\nhardware: search\n' >>run.yaml
code=0; "$BITPRESS" compress run.yaml --json >run.json 2>run.err || code=$?
[ $code -le 1 ] || fail "compress: $code $(tail -5 run.err)"
jq -e '.cycles_source == "rtl"' run.json >/dev/null || fail "$(jq -c '{cycles_source}' run.json)"

export BITPRESS_BOARDS=$SCRATCH/run/boards
"$BITPRESS" score run/best.bpk --backend verilator --images 3 --data "idx:$SCRATCH/data" --no-cache --json >score.json
jq -e --argjson run "$(jq .best.cycles run.json)" '.bit_exact == true and .cycles_source == "rtl" and .cycles == $run and .model_cycles == $run' score.json >/dev/null ||
    fail "$(jq -c '{board, cycles, model_cycles, bit_exact}' score.json), in the run $(jq .best.cycles run.json)"
echo "hardware in RTL ok: $(jq -c '{board, cycles}' score.json)"
