#!/bin/bash
# `mpirun -n N bitpress compress`: the same trials as one process with as many in flight; a rank that dies ends the run, and
# another number of ranks goes on with it.
. "$(dirname "$0")/common.inc"
command -v mpirun >/dev/null || skip "mpirun is not installed (apt-get install openmpi-bin)"
cd "$SCRATCH"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { local n=$1; shift; mpirun --oversubscribe -n "$n" "$BITPRESS" "$@" --threads 1; }
# what does not depend on when trials ran
trials() { "$BITPRESS" study export "$1/study.db" --quiet | grep -v '^f' | cut -d, -f1-9,14; }
step() { echo "== $* ($SECONDS s)"; }

subset data 1500 200
config solo.yaml solo 12
sed -i 's/search: {/search: {backend: model, parallel: 4, /; s/epochs: 1, top/epochs: 0, top/' solo.yaml
sed 's/^out: .*/out: ranks/; s/parallel: 4, //' solo.yaml >ranks.yaml

step "one process, four in flight"
code=0; "$BITPRESS" compress solo.yaml --threads 1 --json >solo.json 2>solo.err || code=$?
[ $code -le 1 ] || fail "solo: $code $(tail -5 solo.err)"

step "two ranks, one of which is killed"
ranks 2 compress ranks.yaml >killed.txt 2>killed.err & pid=$!
for _ in $(seq 600); do [ "$(trials ranks 2>/dev/null | grep -c ',done,')" -ge 3 ] && break; sleep 0.1; done
for p in $(pgrep -P $pid); do rank=$p; done
kill -9 "$rank"
code=0; wait $pid || code=$?
[ $code != 0 ] || fail "a rank was killed and mpirun does not say so"

# mpirun ends before the last of its ranks does
for _ in $(seq 300); do pgrep -f 'compress ranks.yaml' >/dev/null || break; sleep 0.1; done

step "three ranks go on"
code=0; ranks 3 compress ranks.yaml --resume --json >ranks.json 2>ranks.err || code=$?
[ $code -le 1 ] || fail "ranks: $code $(tail -5 ranks.err)"
diff <(trials solo) <(trials ranks) || fail "other trials than one process has"
[ "$(jq -c .best.cycles solo.json)" = "$(jq -c .best.cycles ranks.json)" ] || fail "another best"
[ -z "$(ls ranks/rank-*.onnx 2>/dev/null)" ] || fail "a rank left its copy of the network"

step "what cannot be"
sed 's/backend: model/backend: remote/' ranks.yaml >remote.yaml
echo 'remote: {commands: ["true"]}' >>remote.yaml
code=0; ranks 2 compress remote.yaml --out other 2>err >/dev/null || code=$?
[ $code = 2 ] && grep -q 'without mpirun' err || fail "boards under mpirun: $code $(cat err)"
cp -r data data2
printf '\001' | dd of=data2/train-images-idx3-ubyte bs=1 seek=5000 conv=notrunc 2>/dev/null
sed 's|^data: .*|data: idx:here|; s|^model: .*|model: '"$SCRATCH"'/solo/model.onnx|' ranks.yaml >apart.yaml
for i in 0 1; do mkdir rank$i; cp apart.yaml rank$i; done
ln -s ../data rank0/here
ln -s ../data2 rank1/here
code=0; mpirun --oversubscribe -q -n 2 sh -c "cd rank\$OMPI_COMM_WORLD_RANK; exec '$BITPRESS' compress apart.yaml --threads 1 --quiet" 2>err >/dev/null || code=$?
[ $code = 2 ] && grep -q '^bitpress: rank 1 has another set of training images than rank 0' err || fail "ranks with other images: $code $(cat err)"
echo "ranks ok"
