#!/bin/bash
# Boards at the other end of commands: the emulated board as a remote one, alone and two at once, in `score` and inside the
# search; and a board that dies in the middle of one. Through real ssh: remote_ssh.sh.
. "$(dirname "$0")/common.inc"
build=$(dirname "$BITPRESS")
[ -e /usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.2 ] || skip "libxrt1 is not installed (apt-get install libxrt-dev)"
[ -x "$build/bitpress-xrt" ] || skip "built without the XRT headers (apt-get install libxrt-dev)"
command -v verilator >/dev/null || [ -e "$build/sim/pynq-z2/libbpsim.so" ] || skip "there is no simulator"
cd "$SCRATCH"
export BITPRESS_CACHE=$SCRATCH/cache
unset XILINX_XRT BITPRESS_XCLBIN XCL_EMULATION_MODE
serve="$BITPRESS serve --stdio"
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
"$BITPRESS" study export run/study.db --quiet >trials.csv
[ "$(cut -d, -f9 trials.csv | sort -u | tr '\n' ' ')" = "cycles_source xrt-emulation " ] || fail "sources: $(cut -d, -f9 trials.csv | sort -u)"

for _ in $(seq 50); do pgrep -f "$build/bitpress serve" >/dev/null || break; sleep 0.1; done
! pgrep -f "$build/bitpress serve" || fail "a board is left"
echo "remote ok"
