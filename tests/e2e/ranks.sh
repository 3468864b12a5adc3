#!/bin/bash
# `mpirun -n N bitpress compress`: the same trials as one process with as many in flight, also where a process that judges is killed, or,
# under --enable-recovery, a whole rank. Without that a rank that dies ends the run, and another number of ranks goes on with it.
. "$(dirname "$0")/common.inc"
command -v mpirun >/dev/null || skip "mpirun is not installed (apt-get install openmpi-bin)"
cd "$SCRATCH"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { local n=$1; shift; mpirun --oversubscribe -n "$n" "$BITPRESS" "$@" --threads 1; }
# the same in the background: $pid is mpirun's
launch() { mpirun --oversubscribe -n "$1" ${recovery-} "$BITPRESS" compress "$2" --threads 1 >"$3.txt" 2>"$3.err" & pid=$!; }
# what does not depend on when trials ran
trials() { "$BITPRESS" study export "$1/study.db" --quiet | grep -v '^f' | cut -d, -f1-9,14; }
ranks_of() { pgrep -P "$1" || true; }
judges_of() { for r in $(ranks_of "$1"); do pgrep -P "$r" || true; done; }
wait_for() { for _ in $(seq 600); do eval "$1" && return; sleep 0.1; done; fail "never: $1"; }
judges_at_work() { wait_for '[ "$(trials lost 2>/dev/null | grep -c ,done,)" -ge 2 ] && [ "$(judges_of $pid | wc -l)" -ge 1 ]'; }
# goes_on LINE: the run says LINE and ends with the trials of the run without loss
goes_on() {
    code=0; wait $pid || code=$?
    [ $code -le 1 ] && grep -q "$1" lost.err || fail "$1: $code $(tail -5 lost.err)"
    diff <(trials solo) <(trials lost) || fail "other trials than without the loss"
}
step() { echo "== $* ($SECONDS s)"; }

subset data 1500 200
config solo.yaml solo 8
sed -i 's/search: {/search: {backend: model, parallel: 4, /; s/epochs: 1, top/epochs: 0, top/' solo.yaml
sed 's/^out: .*/out: ranks/; s/parallel: 4, //' solo.yaml >ranks.yaml

step "one process, four in flight"
code=0; "$BITPRESS" compress solo.yaml --threads 1 --json >solo.json 2>solo.err || code=$?
[ $code -le 1 ] || fail "solo: $code $(tail -5 solo.err)"

step "three ranks; a process that judges is killed"
sed 's/^out: .*/out: lost/; s/^model: .*/model: solo\/model.onnx/' solo.yaml >lost.yaml
launch 3 lost.yaml lost
judges_at_work
kill -9 "$(judges_of $pid | head -1)"
goes_on 'is lost by rank'

step "two ranks, one of which is killed and missed"
rm -r lost
recovery=--enable-recovery launch 2 lost.yaml lost
judges_at_work
for p in $(ranks_of $pid); do [ -n "$(pgrep -P "$p" || true)" ] && rank=$p; done
kill -9 "$rank"
goes_on 'rank 1 is lost (silent)\|no answer of another rank'    # silent with a candidate, or at the end

step "two ranks, one of which is killed when the search is over"
rm -r lost
recovery=--enable-recovery launch 2 lost.yaml lost
wait_for 'grep -q "search: done" lost.err'
for p in $(ranks_of $pid); do rank=$p; done
kill -9 "$rank"
goes_on 'search: done'

step "a rank where every process that judges is killed"
rm -r lost
launch 2 lost.yaml lost
while kill -0 $pid 2>/dev/null; do for p in $(judges_of $pid); do kill -9 "$p" 2>/dev/null || true; done; sleep 0.2; done
code=0; wait $pid || code=$?
[ $code -le 1 ] && grep -q 'rank 1 is lost (no process' lost.err || fail "killed processes: $code $(tail -5 lost.err)"
"$BITPRESS" study export lost/study.db --quiet | grep -q ',failed,.*two processes have ended' || fail "no candidate has failed"

step "two ranks, one of which is killed"
launch 2 ranks.yaml killed
wait_for '[ "$(trials ranks 2>/dev/null | grep -c ,done,)" -ge 3 ]'
for p in $(ranks_of $pid); do rank=$p; done
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
[ $code = 2 ] && grep -q 'rank 1.* has another set of training images than rank 0' err || fail "ranks with other images: $code $(cat err)"
echo "ranks ok"
