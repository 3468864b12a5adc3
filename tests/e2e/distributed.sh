# Training and fine-tuning by several ranks: as many as there are, the same network; a rank that dies, another number that goes on;
# ranks that differ.
. "$(dirname "$0")/common.inc"
command -v mpirun >/dev/null || skip "mpirun is not installed"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cd "$SCRATCH"
subset data 840 200

# job NAME EPOCHS LINE: a configuration of 10 steps an epoch
job() {
    printf 'model: fmnist-cnn\ndata: idx:%s/data\nheld_out: 200\nout: %s\ntrain: {epochs: %s, batch: 64, lr: 0.02, warmup: 5}\n%s\n' "$SCRATCH" "$1" "$2" "${3:-}" >"$1.yaml"
}
# ranks N ARGUMENT...
ranks() {
    n=$1
    shift
    mpirun -q -n "$n" --oversubscribe "$BITPRESS" train --threads 1 --quiet "$@"
}
# apply DIR LAUNCHER...: the recipe r.yaml on the network that `exact` trains
apply() {
    d=$1
    shift
    "$@" "$BITPRESS" apply exact/model.onnx --recipe r.yaml --data "idx:$SCRATCH/data" --held-out 200 --backend model --verify 1 --threads 1 --json --out "$d" "${options[@]}" >"$d.json" 2>"$d.txt"
}
# kill_one JOB: the last rank of an mpirun
kill_one() { kill -9 "$(pgrep -P "$(pgrep -P "$1")" | tail -n 1)"; }
# loses_one NAME CHECKPOINT: once CHECKPOINT (a pattern) is there, a rank of $job, which writes NAME.txt, is killed: one message, and the
# checkpoint is at $step
loses_one() {
    until [ -s "$(echo $2)" ]; do
        sleep 0.1
        kill -0 $job 2>/dev/null || fail "training ended: $(cat $1.txt)"
    done
    kill_one $job
    rc=0
    wait $job || rc=$?
    [ $rc -ne 0 ] && [ "$(grep -c '^bitpress: training .* stopped after step' $1.txt)" = 1 ] && [ "$(grep -c '^bitpress' $1.txt)" = 1 ] || fail "killed: exit $rc, $(cat $1.txt)"
    step=$(od -An -t d8 -j16 -N8 $2 | tr -d ' ')
}
# floats FILE: the network of a checkpoint: its first third; what Adam and momentum keep follows
floats() { od -An -v -w4 -t f4 -j32 -N$((($(wc -c <"$1") - 36) / 12 * 4)) "$1"; }
# apart FILE FILE: the largest difference
apart() {
    floats "$1" >one
    floats "$2" >two
    paste one two | awk '{ d = $1 - $2; d = d < 0 ? -d : d; most = d > most ? d : most } END { print most + 0 }'
}

# 20 steps of 1, 2 and 4 ranks
job exact 2
"$BITPRESS" train exact.yaml --threads 1 --quiet >/dev/null
for n in 2 4; do
    ranks $n exact.yaml --out exact$n --json >exact$n.json
    d=$(apart exact/train.ckpt exact$n/train.ckpt)
    echo "$n ranks: $d from one"
    awk -v d="$d" 'BEGIN { exit !(d < 1e-5) }' || fail "$n ranks: another network than one: $d"
    jq -e ".ranks.count == $n and .ranks.gradient_bytes_per_step > 200000 and .ranks.early > 0" exact$n.json >/dev/null || fail "$n ranks: $(cat exact$n.json)"
done

# each method
for m in qsgd ecq; do
    job $m 1 "distributed: {gradients: $m, bits: 2, batchnorm: local}"
    ranks 2 $m.yaml --json >$m.json
    jq -e '.ranks.gradient_bytes_per_step < 20000 and .validation_top1 > 0.15' $m.json >/dev/null || fail "$m: $(cat $m.json)"
done

# a rank is killed in the middle: one message, a checkpoint; another number goes on, and so does one process
job killed 400 "distributed: {gradients: ecq}"
ranks 3 killed.yaml 2>killed.txt &
job=$!
loses_one killed 'killed/train.ckpt'
[ "$step" -ge 10 ] || fail "the checkpoint is at step $step"
sed -i "s/epochs: 400/epochs: $((step / 10 + 1))/" killed.yaml
cp -r killed alone
ranks 2 killed.yaml --resume >/dev/null
"$BITPRESS" train killed.yaml --out alone --resume --threads 1 --quiet >/dev/null
for d in killed alone; do
    [ "$(od -An -t d8 -j16 -N8 $d/train.ckpt | tr -d ' ')" = $((step / 10 * 10 + 10)) ] && [ -s $d/model.onnx ] || fail "$d did not go on from step $step"
done
echo "killed after step $step"

# fine-tuning at 4 bits by one process and by three ranks: the same network, as far as rounding to codes lets it be
printf 'default: {w_bits: 4, a_bits: 4}\nquantize: {rounding: nearest, bias_correction: false}\ndistill: {weight: 0.5}\nfinetune: {mode: full, epochs: 5, images: 256}\n' >r.yaml
options=()
apply tuned1
apply tuned3 mpirun -q -n 3 --oversubscribe
d=$(apart tuned1/finetune-*.ckpt tuned3/finetune-*.ckpt)
echo "3 ranks, 4 bits: $d from one"
awk -v d="$d" 'BEGIN { exit !(d < 1e-4) }' || fail "fine-tuning by 3 ranks: another network than one's: $d"
[ "$(jq .best.cycles tuned1.json)" = "$(jq .best.cycles tuned3.json)" ] && grep -q '^each of 3 ranks sent' tuned3.txt || fail "fine-tuning by 3 ranks: $(cat tuned3.json tuned3.txt)"

# one of its ranks is killed; another number goes on, and so does one process
options=(--quiet --distributed 'gradients: ecq, bits: 8')
apply cut mpirun -q -n 3 --oversubscribe &
job=$!
loses_one cut 'cut/finetune-*.ckpt'
[ ! -e cut/best.bpk ] || fail "a killed run left a pack"
cp -r cut cut1
options=(--quiet --resume)
apply cut mpirun -q -n 2 --oversubscribe
apply cut1
for d in cut cut1; do
    [ "$(od -An -t d8 -j16 -N8 $d/finetune-*.ckpt | tr -d ' ')" = 10 ] && [ "$(ls $d/finetune-*.ckpt | wc -l)" = 1 ] && [ -s $d/best.bpk ] || fail "$d did not go on from step $step"
done
echo "fine-tuning killed after step $step"

# compress: finalists that two ranks fine-tune are those of one process. small.onnx: Conv 2x2/2, Relu, GlobalAveragePool, Conv, Flatten on 8x8x1
echo CAcSADrDAgonCgF4CgFrEgFjGgRjb252IgRDb252KhAKB3N0cmlkZXNAAkACoAEHChIKAWMSAXIaBHJlbHUiBFJlbHUKHwoBchIBcBoEcG9vbCIRR2xvYmFsQXZlcmFnZVBvb2wKEwoBcAoBdxIBZhoCZmMiBENvbnYKFQoBZhIBeRoEZmxhdCIHRmxhdHRlbhIBZypPCAQIAQgCCAIQASJAAACAPwAAgL8AAAA/AACAPgAAgL8AAIA/AAAAQAAAAD8AAIA/AACAPwAAgL8AAIC/AACAPwAAAAAAAAAAAACAP0IBayovCAIIBAgBCAEQASIgAACAPwAAgL8AAAA/AACAPgAAgL8AAIA/AAAAQAAAAD9CAXdaHAoBeBIXChUIARIRCgMSAU4KAggBCgIICAoCCAhiFAoBeRIPCg0IARIJCgMSAU4KAggCQgQKABAN | base64 -d >small.onnx
npy() { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"; }
{ npy '400, 8, 8, 1'; LC_ALL=C awk 'BEGIN { for (i = 1; i <= 400; i++) for (k = 1; k <= 64; k++) printf "%c", (i % 2 ? k : 65 - k) * 3 + i * k % 7 }'; } >x.npy
{ npy '400,'; for _ in $(seq 200); do printf '\001\000'; done; } >y.npy
cat >small.yaml <<END
model: small.onnx
data: npy:x.npy,y.npy,x.npy,y.npy
held_out: 100
verify: 1
input: {scale: 1/255}
target: {cycles: 12000}
search: {agent: random, backend: model, trials: 3, parallel: 4, validation: 100, batchnorm: 128}
finetune: {epochs: 4, full: 6, top: 1, lr: 0.01}
END
"$BITPRESS" compress small.yaml --out small1 --threads 1 --json >small1.json 2>small1.txt || fail "compress: $(cat small1.txt)"
mpirun -q -n 2 --oversubscribe "$BITPRESS" compress small.yaml --out small2 --threads 1 --json >small2.json 2>small2.txt || fail "compress by 2 ranks: $(cat small2.txt)"
[ "$(ls small1/finetune-*.ckpt | wc -l)" = 4 ] && grep -q '^each of 2 ranks sent' small2.txt || fail "compress by 2 ranks: $(ls small1) $(cat small2.txt)"
for f in small1/finetune-*.ckpt; do
    d=$(apart "$f" "small2/${f#*/}")
    awk -v d="$d" 'BEGIN { exit !(d < 1e-5) }' || fail "compress by 2 ranks: $f: another network than one's: $d"
done
finalists() { "$BITPRESS" study export "$1/study.db" --quiet | grep '^f' | cut -d, -f1-10; }
diff <(finalists small1) <(finalists small2) || fail "compress by 2 ranks: other finalists"

# ranks that differ, and a failure of one
sed 's/lr: 0.02/lr: 0.03/' exact.yaml >other.yaml
subset data2 840 200
printf '\001' | dd of=data2/train-images-idx3-ubyte bs=1 seek=5000 conv=notrunc 2>/dev/null
# differ WHAT: rank 1 takes the configuration other.yaml
differ() {
    rc=0
    mpirun -q -n 2 --oversubscribe sh -c "[ \$OMPI_COMM_WORLD_RANK = 0 ] && f=exact.yaml || f=other.yaml; exec '$BITPRESS' train \$f --out differ --quiet" 2>differ.txt || rc=$?
    [ $rc -eq 2 ] && [ "$(grep -c '^bitpress' differ.txt)" = 1 ] && grep -q "^bitpress: rank 1.*$1" differ.txt || fail "$1: exit $rc, $(cat differ.txt)"
    [ ! -e differ/train.ckpt ] || fail "$1: trained all the same"
}
differ 'another configuration than rank 0'
sed "s|data: .*|data: idx:$SCRATCH/gone|" exact.yaml >other.yaml
differ 'another configuration than rank 0'
mv data data1
ln -s data1 data
mkdir a b
cp exact.yaml other.yaml
sed -i 's|data: .*|data: idx:here|' exact.yaml other.yaml
ln -s ../data1 a/here
ln -s ../data2 b/here
rc=0
mpirun -q -n 2 --oversubscribe sh -c "[ \$OMPI_COMM_WORLD_RANK = 0 ] && cd a || cd b; exec '$BITPRESS' train ../exact.yaml --out differ --quiet" 2>differ.txt || rc=$?
[ $rc -eq 2 ] && grep -q '^bitpress: rank 1 has another set of training images than rank 0' differ.txt || fail "data: exit $rc, $(cat differ.txt)"
sed 's/a_bits: 4/a_bits: 5/' r.yaml >other-r.yaml
rc=0
mpirun -q -n 2 --oversubscribe sh -c "[ \$OMPI_COMM_WORLD_RANK = 0 ] && r=r.yaml || r=other-r.yaml; exec '$BITPRESS' apply exact/model.onnx --recipe \$r --data 'idx:$SCRATCH/data' --held-out 200 --quiet --out differ" 2>differ.txt || rc=$?
[ $rc -eq 2 ] && [ "$(grep -c '^bitpress' differ.txt)" = 1 ] && grep -q '^bitpress: rank 1 has another configuration than rank 0' differ.txt || fail "recipe: exit $rc, $(cat differ.txt)"
