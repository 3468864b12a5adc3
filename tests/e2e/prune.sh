# Channels removed, by hand and by the search: fewer cycles in RTL, bit for bit, and a float network that says the same.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 4000 500
config train.yaml run 4
"$BITPRESS" train train.yaml --quiet
mkdir float && cp run/model.onnx float/
apply() { # NAME: NAME.yaml applied into NAME
    "$BITPRESS" apply float/model.onnx --recipe "$1.yaml" --data idx:data --held-out 500 --verify 2 --quiet -o "$1" >"$1.txt"
}

echo 'default: {w_bits: 8, a_bits: 8}' >plain.yaml
apply plain
[ ! -e plain/pruned.onnx ] || fail "pruned.onnx of a network that keeps its channels"
jq -e '.macs == .macs_before and .params == .params_before' plain/summary.json >/dev/null || fail "counts of the plain network"

# Half of the channels that come in steps of the array's 16.
printf 'default: {w_bits: 8, a_bits: 8, keep: 0.5}\nprune: {method: lasso}\nfinetune: {mode: short, images: 2000}\n' >half.yaml
apply half
grep -q 'bit-exact: 2 whole images' half.txt || fail "whole images in RTL: $(cat half.txt)"
grep -q '^channels removed: .* of 5532544 multiply-accumulates, .* of 70330 parameters stay' half.txt || fail "the table: $(cat half.txt)"
jq -e '.cycles_source == "rtl" and .macs < .macs_before / 2 and .params < .params_before / 2' half/summary.json >/dev/null || fail "summary: $(jq -c '{macs, macs_before, params, params_before}' half/summary.json)"
jq -e '([.layers[].macs] | add) == .macs and ([.layers[].params] | add) == .params and ([.layers[].macs_before] | add) == .macs_before' half/summary.json >/dev/null || fail "layers do not add up"
[ "$(jq .best.cycles half/summary.json)" -lt "$(($(jq .best.cycles plain/summary.json) * 3 / 4))" ] || fail "cycles $(jq .best.cycles half/summary.json), before $(jq .best.cycles plain/summary.json)"

# The pack is what it says, and so is the float network.
"$BITPRESS" pack verify half/best.bpk >/dev/null
"$BITPRESS" eval half/best.bpk --data idx:data --json | jq -e "(.top1 - $(jq .best.top1 half/summary.json)) | fabs < 1e-9" >/dev/null || fail "eval of the pack"
"$BITPRESS" check half/pruned.onnx --json | jq -e ".macs == $(jq .macs half/summary.json)" >/dev/null || fail "check of pruned.onnx"
"$BITPRESS" eval half/pruned.onnx --data idx:data --json | jq -e '.top1 > 0.4' >/dev/null || fail "eval of pruned.onnx"

# Any count, by any method, runs as well.
for method in magnitude-l2 bn-scale dcp; do
    printf 'default: {w_bits: 4, a_bits: 4}\nprune: {method: %s, round: 1, macs: 0.6}\n' $method >$method.yaml
    apply $method
    grep -q 'bit-exact: 2 whole images' $method.txt || fail "$method: $(cat $method.txt)"
    jq -e '.macs <= 0.6 * .macs_before and .macs > 0.55 * .macs_before' $method/summary.json >/dev/null || fail "$method: $(jq -c '{macs, macs_before}' $method/summary.json)"
done

# The search takes channels away where that serves the limit, and says it in the recipe.
config search.yaml found 6 9000
sed -i 's|^model:.*|model: float/model.onnx|; s|^search: {|search: {keep: [0.5, 1.0], agent: random, |; s|^finetune:.*|finetune: {epochs: 0, top: 2}|' search.yaml
"$BITPRESS" compress search.yaml --quiet >found.txt
for trial in 0 1 2 3 4 5; do "$BITPRESS" study show found/study.db $trial; done >recipes.txt
grep -q 'keep: 0.5' recipes.txt || fail "no candidate without some channels: $(cat recipes.txt)"
grep -q 'method: magnitude-l1, round: 16' recipes.txt || fail "the recipe does not name the method"
jq -e '.best.cycles <= 9000 and .trials == 6' found/summary.json >/dev/null || fail "search: $(jq -c .best found/summary.json)"
"$BITPRESS" study best found/study.db --recipe >best.yaml
apply best
[ "$(jq .best.cycles best/summary.json)" -le 9000 ] || fail "the best recipe by hand: $(jq .best.cycles best/summary.json) cycles"
