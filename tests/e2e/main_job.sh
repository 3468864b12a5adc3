# The main job with a tiny budget: everything it leaves behind, checked by the other subcommands.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 6000 1000
config job.yaml out 8
"$BITPRESS" compress job.yaml --quiet >table.txt
cat table.txt
for f in best.bpk best.onnx report.html summary.json layers.csv study.db model.onnx; do
    [ -s out/$f ] || fail "out/$f is missing"
done

jq -e '.best.top1 > 0.6 and .best.cycles <= .cycles_limit and .trials == 8 and .cycles_source == "rtl" and .test_openings == 1' out/summary.json >/dev/null ||
    fail "summary.json: $(jq -c '{best, trials, cycles_source, test_openings}' out/summary.json)"
jq -e '([.layers[].cycles] | add) <= .best.cycles and (.rows | length) == 4' out/summary.json >/dev/null || fail "layers do not add up"
grep -q 'bit-exact: 3 whole images' table.txt || fail "whole images in RTL"

# The pack by itself: intact, as accurate as said, the same cycles and logits on every backend.
"$BITPRESS" pack verify out/best.bpk
said=$(jq .best.top1 out/summary.json)
"$BITPRESS" eval out/best.bpk --data idx:data --json | jq -e "(.top1 - $said) | fabs < 1e-9" >/dev/null || fail "eval of the pack is not $said"
for backend in model verilator hls; do
    "$BITPRESS" score out/best.bpk --board pynq-z2 --backend $backend --data idx:data --images 2 --no-cache --json >$backend.json
done
jq -e '.bit_exact == true' verilator.json hls.json >/dev/null || fail "a backend is not bit-exact"
[ "$(jq .cycles verilator.json)" = "$(jq .cycles model.json)" ] || fail "RTL and model differ in cycles"
[ "$(jq .cycles verilator.json)" = "$(jq .best.cycles out/summary.json)" ] || fail "score and report differ in cycles"

# The recipe that was found, applied by hand.
"$BITPRESS" study best out/study.db --json | jq -r .recipe >best.yaml
"$BITPRESS" apply out/model.onnx --recipe best.yaml --data idx:data --held-out 500 --verify 2 --quiet -o applied
jq -e ".best.cycles == $(jq .best.cycles out/summary.json)" applied/summary.json >/dev/null || fail "apply takes other cycles than the search"

bash "$root/tests/report_browser.sh" "$SCRATCH/out/report.html" || { rc=$?; [ $rc -eq 77 ] || fail "report"; }

# A limit that nothing meets: exit 1, and by how much.
config tight.yaml tight 8 100
cp -r out/model.onnx model.onnx
sed -i 's|^model:.*|model: model.onnx|' tight.yaml
rc=0
"$BITPRESS" compress tight.yaml --quiet 2>tight.txt || rc=$?
[ $rc -eq 1 ] && grep -q 'cheapest candidate needs' tight.txt || fail "impossible limit: exit $rc, $(cat tight.txt)"
