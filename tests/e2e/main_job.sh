# The main job with a tiny budget: everything it leaves behind, checked by the other subcommands.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 6000 1000
config job.yaml out 8
"$BITPRESS" compress job.yaml --qonnx --quiet >table.txt
cat table.txt
for f in best.bpk best.onnx best.qonnx.onnx report.html summary.json layers.csv study.db model.onnx; do
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
"$BITPRESS" apply out/model.onnx --recipe best.yaml --data idx:data --held-out 500 --verify 2 --qonnx --quiet -o applied
jq -e ".best.cycles == $(jq .best.cycles out/summary.json)" applied/summary.json >/dev/null || fail "apply takes other cycles than the search"

bash "$root/tests/report_browser.sh" "$SCRATCH/out/report.html" || { rc=$?; [ $rc -eq 77 ] || fail "report"; }

# A limit that nothing meets: exit 1, and by how much.
config tight.yaml tight 8 100
cp -r out/model.onnx model.onnx
sed -i 's|^model:.*|model: model.onnx|' tight.yaml
rc=0
"$BITPRESS" compress tight.yaml --quiet 2>tight.txt || rc=$?
[ $rc -eq 1 ] && grep -q 'cheapest candidate needs' tight.txt || fail "impossible limit: exit $rc, $(cat tight.txt)"

# Names are bytes: a folder that is not UTF-8 is as good as any.
odd=$(printf 'a\377b')
mkdir "$odd" && cp out/model.onnx "$odd/m.onnx"
"$BITPRESS" apply "$odd/m.onnx" --recipe best.yaml --data idx:data --held-out 500 --verify 1 --quiet -o "$odd/o" >/dev/null || fail "a name that is not UTF-8"
"$BITPRESS" pack verify "$odd/o/best.bpk" >/dev/null || fail "the pack of a name that is not UTF-8"

# One-bit activations are searched where the configuration asks for them and an edge can have them.
config narrow.yaml narrow 2
sed -i 's|^model:.*|model: model.onnx|; s|^search: {|search: {tied: network, a_min: 1, a_max: 1, |; s|^finetune:.*|finetune: {epochs: 0, top: 1}|' narrow.yaml
"$BITPRESS" compress narrow.yaml --quiet >/dev/null
"$BITPRESS" study best narrow/study.db --recipe | grep -q '"conv2": {w_bits: [0-9], a_bits: 1}' || fail "a_max: 1 searches wider activations"
# Tied, all layers between the first and the last have one gene for each kind of width, clamped to what an edge can have.
"$BITPRESS" study export narrow/study.db --format json | jq -e '.trials | all(.genes | length == 2)' >/dev/null || fail "tied: network has other genes than two"

# --resume without a study begins anew: a float network of another run that lies there is not taken.
cp out/model.onnx other.onnx
mkdir -p stale && cp other.onnx stale/model.onnx
config stale.yaml stale 1
sed -i 's|^model:.*|model: lenet|; s|^finetune:.*|finetune: {epochs: 0, top: 1}|' stale.yaml
"$BITPRESS" compress stale.yaml --resume --quiet >/dev/null || fail "--resume without a study"
! cmp -s stale/model.onnx other.onnx || fail "--resume without a study takes another run's network"

# A study belongs to its board's file: another clock or memory is another search.
mkdir -p changed/pynq-z2
sed 's|mhz: 150|mhz: 75|; s|gbytes_per_s: .*|gbytes_per_s: 0.5|' "$root/boards/pynq-z2/board.yaml" >changed/pynq-z2/board.yaml
rc=0
BITPRESS_BOARDS=$SCRATCH/changed "$BITPRESS" compress job.yaml --resume --quiet 2>board.txt || rc=$?
[ $rc -eq 2 ] && grep -q 'made with another configuration: board file' board.txt || fail "another board file: exit $rc, $(cat board.txt)"

# Genes outside the space are not this search's.
if command -v sqlite3 >/dev/null; then
    sqlite3 out/study.db "UPDATE trial SET genes='500'||substr(genes,2) WHERE id=0"
    rc=0
    "$BITPRESS" compress job.yaml --resume --quiet 2>genes.txt || rc=$?
    [ $rc -eq 2 ] && grep -q 'does not belong to this search' genes.txt || fail "damaged genes: exit $rc, $(cat genes.txt)"
fi
