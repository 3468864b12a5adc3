# Fine-tuning that was killed goes on where its checkpoint is and ends with the pack of a run that was not; another
# recipe does not take that checkpoint.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
subset data 2000 200
config job.yaml trained 1
"$BITPRESS" train job.yaml --quiet
cat >r.yaml <<END
default: {w_bits: 3, a_bits: 3}
quantize: {rounding: adaptive, bias_correction: true, granularity: 4}
distill: {weight: 0.5, temperature: 3}
finetune: {mode: full, epochs: 8}
END
apply() { "$BITPRESS" apply trained/model.onnx --recipe r.yaml --data "idx:$SCRATCH/data" --held-out 500 --backend model --verify 1 --quiet --json "$@"; }
apply --out whole >whole.json

touch mark
for kills in 1 2; do
    apply --out killed --resume >killed.json 2>killed.txt &
    pid=$!
    while kill -0 $pid 2>/dev/null; do # until it has got further than the kill before
        [ -z "$(find killed -name 'finetune-*.ckpt' -newer mark 2>/dev/null)" ] || break
        sleep 0.05
    done
    kill -9 $pid 2>/dev/null || fail "ended before it could be killed: $(cat killed.txt)"
    wait $pid 2>/dev/null || true
    touch mark
done
[ ! -e killed/best.bpk ] || fail "a killed run left a pack"
ls killed/finetune-*.ckpt >/dev/null || fail "no checkpoint"
apply --out killed --resume >killed.json
cmp whole/best.bpk killed/best.bpk || fail "packs differ"

sed -i 's/weight: 0.5/weight: 0.25/' r.yaml
apply --out killed --resume >other.json
[ "$(ls killed/finetune-*.ckpt | wc -l)" -eq 2 ] || fail "another recipe took the same checkpoint"
! cmp -s whole/best.bpk killed/best.bpk || fail "distillation changed nothing"
