#!/bin/bash
# Boards at the other end of commands: the emulated board as a remote one, alone and two at once, in `score` and inside the
# search; and a board that dies in the middle of one. Through real ssh: remote_ssh.sh.
. "$(dirname "$0")/common.inc"
build=$(dirname "$BITPRESS")
[ -e /usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.2 ] || skip "libxrt1 is not installed (apt-get install libxrt-dev)"
[ -x "$build/bitpress-xrt" ] || skip "built without the XRT headers (apt-get install libxrt-dev)"
command -v verilator >/dev/null || [ -e "$build/sim/pynq-z2/libbpsim.so" ] || skip "there is no simulator"
exec 9>"$build/emulation.lock" && flock -w 300 9     # one test at a time has emulated boards: what is left over is its own
cd "$SCRATCH"
export BITPRESS_CACHE=$SCRATCH/cache
unset XILINX_XRT BITPRESS_XCLBIN XCL_EMULATION_MODE
ln -s "$BITPRESS" "$SCRATCH/board"       # a name of its own: other tests may have boards too
serve="$SCRATCH/board serve --stdio"
step() { echo "== $* ($SECONDS s)"; }

step "score: the same cycles, layer by layer"
"$build/tests/random_pack" fmnist-cnn 3 3 pynq-z2 net.bpk
"$BITPRESS" score net.bpk --no-cache --json --quiet >verilator.json
"$BITPRESS" score net.bpk --backend remote --remote "$serve" --images 3 --json --quiet >remote.json
jq -e '.bit_exact == true and .images == 3 and .backend == "remote" and .cycles_source == "xrt-emulation"' remote.json >/dev/null || fail "$(jq -c 'del(.layers)' remote.json)"
diff <(jq '.cycles, .load_cycles, .layers, .units' verilator.json) <(jq '.cycles, .load_cycles, .layers, .units' remote.json) || fail "remote and verilator differ"

step "two boards, one that cannot be reached"
"$BITPRESS" score net.bpk --backend remote --remote "$serve" --remote "exit 255" --remote "$serve --api opencl" --images 6 --quiet >two.txt 2>two.err
grep -q '6 images: every logit equals the reference' two.txt || fail "$(cat two.txt)"
grep -q "dropped 'exit 255': the command has ended" two.err || fail "$(cat two.err)"

step "errors"
code=0; "$BITPRESS" score net.bpk --backend remote 2>err || code=$?
[ $code = 2 ] && grep -q 'go together' err || fail "no command: $code $(cat err)"
code=0; "$BITPRESS" score net.bpk --backend remote --remote "echo 'Host key verification failed.' >&2; exit 255" 2>err || code=$?
[ $code = 3 ] && grep -q 'Host key verification failed' err || fail "no host: $code $(cat err)"
sed 's/^name: .*/name: other/; s/  coef: .*/  coef: 2048/' "$root/boards/pynq-z2/board.yaml" >other.yaml
code=0; "$BITPRESS" score net.bpk --backend remote --remote "$serve --board $SCRATCH/other.yaml" 2>err || code=$?
[ $code != 0 ] && grep -q "other" err || fail "another array: $code $(cat err)"
code=0; head -c 5000 /dev/urandom | $serve >/dev/null 2>err || code=$?
[ $code = 2 ] && grep -q "not Bitpress's protocol" err || fail "noise: $code $(cat err)"
code=0; $serve </dev/null >hello 2>err || code=$?
[ $code = 0 ] && head -c 4 hello | grep -q BPRM || fail "no host: $code $(cat err)"

step "inside the search; the first board dies in the middle"
subset data 1500 200
config run.yaml run 6
sed -i 's/search: {/search: {backend: remote, /' run.yaml
# the dying board: it ends within the second or third result
cat >dying.sh <<END
$serve | { stdbuf -o0 head -c 500; kill \$\$; }
END
chmod +x dying.sh
printf 'remote: {commands: ["%s/dying.sh", "%s"]}\n' "$SCRATCH" "$serve" >>run.yaml
code=0; "$BITPRESS" compress run.yaml --json >search.json 2>search.err || code=$?
[ $code -le 1 ] || fail "search: $code $(tail -5 search.err)"
grep -q "dropped '$SCRATCH/dying.sh'" search.err || fail "the dying board was not noticed: $(tail -5 search.err)"
[ -s run/best.bpk ] || fail "no pack: $(tail -5 search.err)"
"$BITPRESS" study export run/study.db --quiet | grep -v '^f' >trials.csv # finalists' rows have cycles by the model
[ "$(cut -d, -f9 trials.csv | sort -u | tr '\n' ' ')" = "cycles_source xrt-emulation " ] || fail "sources: $(cut -d, -f9 trials.csv | sort -u)"

step "several candidates at once: the same trials on one board, on two, and on two of which one dies"
# a board that does nothing until both have been asked for something
cat >meet.sh <<END
perl -e '\$| = 1; while (sysread STDIN, \$b, 65536) {
    if (!\$met) { open F, ">asked.\$ARGV[0]"; for (1 .. 600) { last if \$met = -e "asked.a" && -e "asked.b"; select undef, undef, undef, 0.1 } \$met or die "alone\\n" }
    print \$b }' \$1 | $serve --api model
END
cat >mortal.sh <<END
$serve --api model | { stdbuf -o0 head -c 1500; kill \$\$; }
END
chmod +x meet.sh mortal.sh
# trials NAME: what does not depend on when they ran
trials() { "$BITPRESS" study export $1/study.db --quiet | grep -v '^f' | cut -d, -f1-9,14; }
# several NAME COMMAND...: a search of 8 trials, three in flight
several() {
    local name=$1; shift
    config $name.yaml $name 8
    sed -i "s/search: {/search: {backend: remote, parallel: 3, /; s|^model: .*|model: $SCRATCH/run/model.onnx|; /^train:/d; s/epochs: 1/epochs: 0/" $name.yaml
    printf 'remote: {commands: [%s]}\n' "$(printf '"%s",' "$@")" | sed 's/,]/]/' >>$name.yaml
    code=0; "$BITPRESS" compress $name.yaml --json >$name.json 2>$name.err || code=$?
    [ $code -le 1 ] || fail "$name: $code $(tail -5 $name.err)"
    trials $name >$name.csv
}
several one "$serve --api model"
several both "$SCRATCH/meet.sh a" "$SCRATCH/meet.sh b"
several mortal "$SCRATCH/mortal.sh" "$serve --api model"
diff one.csv both.csv || fail "one board and two boards: other trials"
diff one.csv mortal.csv || fail "a board that died: other trials"
! grep dropped both.err || fail "two boards were not asked at once"
grep -q "dropped '$SCRATCH/mortal.sh'" mortal.err || fail "the dying board was not noticed: $(tail -5 mortal.err)"

step "killed with three in flight, resumed: the same trials"
rm -rf both/study.db* ; "$BITPRESS" compress both.yaml --quiet >killed.json 2>killed.err & pid=$!
for _ in $(seq 300); do [ "$(trials both 2>/dev/null | grep -c ',done,')" -ge 4 ] && break; sleep 0.1; done
kill -9 $pid; wait $pid 2>/dev/null || true
sed -i 's/parallel: 3, //' both.yaml
code=0; "$BITPRESS" compress both.yaml --resume --json >both.json 2>both.err || code=$?
[ $code -le 1 ] || fail "resumed: $code $(tail -5 both.err)"
trials both | diff one.csv - || fail "resumed: other trials"

for _ in $(seq 50); do pgrep -f "$SCRATCH/board serve" >/dev/null || break; sleep 0.1; done
! pgrep -f "$SCRATCH/board serve" || fail "a board is left"
echo "remote ok"
