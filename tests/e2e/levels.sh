# Kinds of levels as genes: the recipe of a trial names them at as many AND planes as uniform weights would take, and by hand it is the same network.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 3000 400
config train.yaml run 4
"$BITPRESS" train train.yaml --quiet
mkdir float && cp run/model.onnx float/

config search.yaml found 14 9000
sed -i 's|^model:.*|model: float/model.onnx|; s|^search: {|search: {levels: [codebook, pot, basis], agent: random, w_max: 4, backend: model, |; s|^finetune:.*|finetune: {epochs: 0, top: 1}|' search.yaml
"$BITPRESS" compress search.yaml --quiet >found.txt || [ $? = 1 ] || fail "search: $(cat found.txt)"
for trial in $(seq 0 13); do "$BITPRESS" study show found/study.db $trial; done >recipes.txt
for kind in codebook pot basis; do grep -q "levels: $kind" recipes.txt || fail "no trial with $kind: $(cat recipes.txt)"; done
jq -e '.best.cycles <= 9000 and .trials == 14' found/summary.json >/dev/null || fail "search: $(jq -c .best found/summary.json)"

# A codebook of p planes has integers of p bits, half as many of them as there are.
! grep 'levels: codebook' recipes.txt | grep -vE 'w_bits: (1, levels: codebook, planes: 2|2, levels: codebook, planes: 3|3, levels: codebook, planes: 4),' || fail "a codebook"

# The best trial by hand is the same network.
"$BITPRESS" study best found/study.db --recipe >best.yaml
"$BITPRESS" apply float/model.onnx --recipe best.yaml --data idx:data --held-out 500 --verify 2 --quiet -o best >best.txt
grep -q 'bit-exact: 2 whole images' best.txt || fail "whole images in RTL: $(cat best.txt)"
trial=$("$BITPRESS" study best found/study.db --json | jq .cycles)
[ "$(jq .best.cycles best/summary.json)" = "$trial" ] || fail "by hand $(jq .best.cycles best/summary.json) cycles, the trial's $trial"

# What the key takes.
for bad in cubic 'pot, pot' uniform; do
    sed "s|levels: \[[^]]*\]|levels: [$bad]|" search.yaml >bad.yaml
    ! "$BITPRESS" compress bad.yaml --quiet 2>err.txt || fail "levels: [$bad] was taken"
    grep -q 'levels' err.txt || fail "levels: [$bad]: $(cat err.txt)"
done
