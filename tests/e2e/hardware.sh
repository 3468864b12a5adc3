#!/bin/bash
# `hardware: search`: every number of a study is one of a shape that fits the board, the answer's is the fastest for it and measured in its
# own RTL; what cannot be is refused.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
step() { echo "== $* ($SECONDS s)"; }

subset data 1500 200
config run.yaml run 4 30000
sed -i 's/search: {/search: {backend: model, tied: network, start: uniform, /; s/epochs: 1, top/epochs: 0, top/' run.yaml
printf 'board: kv260\nhardware: search\n' >>run.yaml

step "a search over recipes and shapes"
code=0; "$BITPRESS" compress run.yaml --threads 1 --json >run.json 2>run.err || code=$?
[ $code -le 1 ] || fail "compress: $code $(tail -5 run.err)"
"$BITPRESS" study export run/study.db --quiet | awk -F, 'NR > 1 && $2 == "done" && $NF !~ /^kv260\.n[0-9]+\.a[0-9]+\.w[0-9]+$/ { bad = 1 } END { exit bad }' || fail "a trial without its shape"
"$BITPRESS" study best run/study.db | grep -q '^board     kv260\.n' || fail "the best trial does not name its shape"

step "the pack is its shape's, and no other one is faster"
best=$(ls run/boards)
[ "$(echo "$best" | wc -l)" = 1 ] && grep -q "searched: $best" run/report.html || fail "the report does not name $best"
export BITPRESS_BOARDS=$SCRATCH/run/boards
"$BITPRESS" pack verify run/best.bpk | grep -q "program *equal, board $best" || fail "pack verify: $("$BITPRESS" pack verify run/best.bpk 2>&1)"
cycles=$("$BITPRESS" score run/best.bpk --backend model --json | jq .cycles)
[ "$cycles" = "$(jq .best.cycles run.json)" ] || fail "$cycles cycles of the pack, $(jq .best.cycles run.json) of the run"
unset BITPRESS_BOARDS

step "what cannot be"
sed 's/^name: .*/name: small/; s/  dsp: .*/  dsp: 150/' "$root/boards/kv260/board.yaml" >small.yaml
sed 's/^board: .*/board: small.yaml/; s/^out: .*/out: small/' run.yaml >small-run.yaml
code=0; "$BITPRESS" compress small-run.yaml 2>err >/dev/null || code=$?
[ $code = 2 ] && grep -q "no array fits board 'small'" err || fail "a board too small: $code $(cat err)"
sed 's/backend: model/backend: hls/; s/^out: .*/out: hls/' run.yaml >hls.yaml
code=0; "$BITPRESS" compress hls.yaml 2>err >/dev/null || code=$?
[ $code = 2 ] && grep -q "arrays that backend 'hls' does not have" err || fail "another backend: $code $(cat err)"
echo "hardware ok"
