# A model, data and one limit: the search by one line, for a latency, for a loss, for both; its words and exit codes.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 3000 500
config train.yaml trained 1
"$BITPRESS" train train.yaml --quiet >/dev/null
cp trained/model.onnx my.onnx
loss() { jq '(.rows[] | select(.name == "float") | .top1) as $f | ($f - .best.top1) * 100' "$1/summary.json"; }

"$BITPRESS" compress my.onnx --data idx:data --latency 60us --trials 4 -o fast --quiet >fast.txt || fail "latency: $(cat fast.txt)"
jq -e '.best.latency_ms <= 0.06 and .cycles_limit == 9000 and (.objective | startswith("The most accurate network within 9000 cycles"))' fast/summary.json >/dev/null || fail "latency: $(jq -c .best fast/summary.json)"
grep -q 'held_out: 600' fast/report.html || fail "the resolved configuration is not in the report"

# The fastest within a loss: exit 0 exactly if the test images agree.
rc=0
"$BITPRESS" compress my.onnx --data idx:data --max-loss 3 --trials 8 -o lossy --quiet >lossy.txt 2>lossy.err || rc=$?
[ $rc -le 1 ] || fail "loss: $rc $(cat lossy.err)"
[ "$(loss lossy | jq '. <= 3')" = "$([ $rc -eq 0 ] && echo true || echo false)" ] || fail "loss: exit $rc, $(loss lossy) points"
jq -e '(.objective == "The fastest network that is at most 3 points less accurate than in float") and .best.cycles < .rows[1].cycles' lossy/summary.json >/dev/null || fail "loss: $(jq -c .best lossy/summary.json)"
jq -e '[.rows[] | select(.name | startswith("best uniform")) | .cycles][0] >= .best.cycles' lossy/summary.json >/dev/null || fail "a uniform network is faster"

# Both: as fast as asked, and the exit code says whether it is accurate enough. Few bits without fine-tuning are not.
rc=0
config both.yaml both 3 4500
sed -i 's|^model:.*|model: my.onnx|; s|^finetune:.*|finetune: {epochs: 0, top: 1}|' both.yaml
"$BITPRESS" compress both.yaml --max-loss 0 --quiet >both.txt 2>both.err || rc=$?
[ $rc -eq 1 ] && grep -q 'points on the test images' both.err || fail "both: $rc $(cat both.err)"
[ -s both/best.bpk ] && [ -s both/report.html ] || fail "what was reached is not there"

# The trade-off: every recipe of the front can be applied and costs what the study says; the knee is packed.
"$BITPRESS" compress my.onnx --data idx:data --pareto --trials 12 -o trade --quiet >trade.txt || fail "trade-off: $(cat trade.txt)"
n=$(ls trade/front/trial-*.yaml | wc -l)
[ "$n" -ge 2 ] && grep -q "^front:  $n recipes in trade/front" trade.txt || fail "front: $n $(cat trade.txt)"
[ "$("$BITPRESS" study show trade/study.db --json | jq -r .hypervolume | cut -c1-2)" = "0." ] || fail "no hypervolume in the study"
[ -s "trade/front/trial-$(jq .best.trial trade/summary.json).yaml" ] || fail "the knee is not on the front"
point=$(ls trade/front/trial-*.yaml | head -1)
id=$(basename "$point" .yaml)
want=$("$BITPRESS" study list trade/study.db --json | jq ".trials[] | select(.id == ${id#trial-}) | .cycles")
sed -i 's/mode: full/mode: fast/' "$point"
"$BITPRESS" apply my.onnx --recipe "$point" --data idx:data --held-out 600 --backend model --verify 1 -o point --quiet >/dev/null || fail "apply $point"
[ "$(jq .best.cycles point/summary.json)" = "$want" ] || fail "$point: $(jq .best.cycles point/summary.json) cycles, not $want"
echo "one line ok"
