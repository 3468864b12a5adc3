# Finalists are rows of the study, rung by rung; killed among them and resumed, a run does not build a finished one again
# and ends with the bytes of one that was not killed.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 3000 300
config job.yaml whole 6
sed -i 's/^finetune:.*/finetune: {epochs: 2, full: 3, top: 2}/' job.yaml
"$BITPRESS" compress job.yaml --quiet --json >whole.json

# Rungs and parents: uniform 8 bit and each finalist cheap and short, the winners in full; the best one measured by the RTL.
"$BITPRESS" study export whole/study.db --format json >study.json
jq -e '[.finalists[].state] | all(. == "done")' study.json >/dev/null || fail "a finalist is not done"
jq -e '[.finalists[].rung] | contains([0, 1, 2])' study.json >/dev/null || fail "a rung is missing: $(jq -c '[.finalists[].rung]' study.json)"
jq -e '[.trials[].id] as $t | [.finalists[].parent | select(. != null)] | length > 0 and all(. as $p | $t | index($p) != null)' study.json >/dev/null || fail "a parent is no trial"
jq -e '.finalists | all(.cycles > 0 and .wall_s > 0 and .images == 500) and any(.cycles_source == "rtl")' study.json >/dev/null || fail "numbers of finalists"
jq -e '(.finalists | length) > 0 and (.finalists | map(select(.best)) | length) == 1' whole/summary.json >/dev/null || fail "the report does not say which one is the best"
"$BITPRESS" study list whole/study.db | grep -q '^ *f[0-9]* *2  done' || fail "study list shows no rung 2"
"$BITPRESS" study show whole/study.db f1 | grep -q 'rung 0 (not fine-tuned)' || fail "study show f1"

finished() { "$BITPRESS" study export $1/study.db 2>/dev/null | grep '^f[0-9]*,done' | cut -d, -f1,2,4-7,15,16; }
"$BITPRESS" compress job.yaml --out killed --quiet --json >killed.json 2>killed.txt &
pid=$!
tries=0
until finished killed | grep -q '^f2,'; do
    kill -0 $pid 2>/dev/null || fail "it ended before it could be killed: $(cat killed.txt)"
    tries=$((tries + 1))
    [ $tries -lt 3000 ] || fail "no finalist"
    sleep 0.1
done
kill -9 $pid
wait $pid 2>/dev/null || true
finished killed >before.txt
"$BITPRESS" compress job.yaml --out killed --resume --quiet --json >killed.json
finished killed | cut -d, -f1,7,8 >after.txt
cut -d, -f1,7,8 before.txt | while read -r row; do
    grep -qxF "$row" after.txt || fail "built again: $row"
done
[ "$(finished killed | wc -l)" -eq "$(finished whole | wc -l)" ] || fail "another number of finalists: $(finished killed)"
cmp whole/best.bpk killed/best.bpk || fail "packs differ"
jq 'del(.wall_s, .facts, .test_openings, .finalists[].wall_s)' whole.json >a.json
jq 'del(.wall_s, .facts, .test_openings, .finalists[].wall_s)' killed.json >b.json
cmp a.json b.json || fail "outcomes differ: $(diff a.json b.json | head)"
echo "killed after $(wc -l <before.txt) finalists of $(wc -l <after.txt)"
