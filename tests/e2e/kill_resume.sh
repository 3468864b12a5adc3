# Killed at random moments and resumed until it is done, a run ends with the bytes of one that was not.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 3000 300
config job.yaml whole 10
"$BITPRESS" compress job.yaml --quiet --json >whole.json

kills=0
seed=${SEED:-7}
while :; do
    "$BITPRESS" compress job.yaml --out killed --resume --quiet --json >killed.json 2>killed.txt &
    pid=$!
    seed=$((seed * 1103515245 + 12345 & 0x7fffffff))
    # the first kills fall into training, later ones anywhere
    sleep $((kills < 2 ? 0 : seed / 65536 % 4)).$((seed / 256 % 10))
    if kill -9 $pid 2>/dev/null; then
        kills=$((kills + 1))
        wait $pid 2>/dev/null || true
        [ ! -e killed/best.bpk ] || "$BITPRESS" pack verify killed/best.bpk >/dev/null
        [ $kills -lt 6 ] && continue
        "$BITPRESS" compress job.yaml --out killed --resume --quiet --json >killed.json
        break
    fi
    wait $pid || fail "resumed run: $(cat killed.txt)"
    break
done
[ $kills -gt 0 ] || fail "the run was never killed"
for d in whole killed; do
    "$BITPRESS" study export $d/study.db | cut -d, -f1-4 >$d.csv
done
cmp whole/model.onnx killed/model.onnx || fail "float networks differ"
jq 'del(.wall_s, .facts, .test_openings, .finalists[].wall_s)' whole.json >a.json
jq 'del(.wall_s, .facts, .test_openings, .finalists[].wall_s)' killed.json >b.json
cmp a.json b.json || fail "outcomes differ: $(diff a.json b.json | head)"
cmp whole/best.bpk killed/best.bpk || fail "packs differ"
echo "killed $kills times"

# Another configuration does not go on with this study.
sed -i 's/cycles: 12000/cycles: 11000/' job.yaml
rc=0
"$BITPRESS" compress job.yaml --out killed --resume --quiet 2>other.txt || rc=$?
[ $rc -eq 2 ] && grep -q 'target.cycles' other.txt || fail "changed configuration: exit $rc, $(cat other.txt)"
