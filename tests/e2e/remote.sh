#!/bin/bash
# Boards at the other end of commands: the emulated board as a remote one, alone, two at once and through real ssh, in `score`
# and inside the search; and a board that dies in the middle of one.
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

step "real ssh"
sshd=${SSHD:-$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null || true)}
if [ -n "$sshd" ] && command -v ssh >/dev/null; then
    ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f me
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
    # no port: a server on a pipe for this one connection
    printf 'HostKey %s/host\nAuthorizedKeysFile %s/me.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n' "$SCRATCH" "$SCRATCH" >sshd_config
    printf 'board %s\n' "$(cat host.pub)" >known
    ssh="ssh -F none -i $SCRATCH/me -o IdentitiesOnly=yes -o UserKnownHostsFile=$SCRATCH/known -o HostKeyAlias=board -o BatchMode=yes -o LogLevel=ERROR -o ProxyCommand='$sshd -i -e -f $SCRATCH/sshd_config 2>>$SCRATCH/sshd.log' $(id -un)@board"
    "$BITPRESS" score net.bpk --backend remote --remote "$ssh $serve" --images 2 --json --quiet >ssh.json || fail "ssh: $(tail -3 sshd.log)"
    jq -e '.bit_exact == true and .images == 2' ssh.json >/dev/null || fail "ssh: $(cat ssh.json)"
else
    echo "real ssh: skipped (apt-get install openssh-server openssh-client)"
fi
for _ in $(seq 50); do pgrep -f "$build/bitpress serve" >/dev/null || break; sleep 0.1; done
! pgrep -f "$build/bitpress serve" || fail "a board is left"
echo "remote ok"
