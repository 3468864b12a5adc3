#!/bin/bash
# The emulated board through real ssh: a server of its own on a pipe, for this one connection; no port is opened.
. "$(dirname "$0")/common.inc"
build=$(dirname "$BITPRESS")
[ -e /usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.2 ] || skip "libxrt1 is not installed (apt-get install libxrt-dev)"
[ -x "$build/bitpress-xrt" ] || skip "built without the XRT headers (apt-get install libxrt-dev)"
sshd=${SSHD:-$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null || true)}
[ -n "$sshd" ] && command -v ssh >/dev/null || skip "OpenSSH is not installed (apt-get install openssh-server openssh-client)"
command -v verilator >/dev/null || [ -e "$build/sim/pynq-z2/libbpsim.so" ] || skip "there is no simulator"
exec 9>"$build/emulation.lock" && flock -w 300 9     # one test at a time has emulated boards: what is left over is its own
cd "$SCRATCH"
export BITPRESS_CACHE=$SCRATCH/cache
unset XILINX_XRT BITPRESS_XCLBIN XCL_EMULATION_MODE
ln -s "$BITPRESS" "$SCRATCH/board"       # a name of its own: other tests may have boards too
serve="$SCRATCH/board serve --stdio"
"$build/tests/random_pack" fmnist-cnn 3 3 pynq-z2 net.bpk
ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f me
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
printf 'HostKey %s/host\nAuthorizedKeysFile %s/me.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n' "$SCRATCH" "$SCRATCH" >sshd_config
printf 'board %s\n' "$(cat host.pub)" >known
ssh="ssh -F none -i $SCRATCH/me -o IdentitiesOnly=yes -o UserKnownHostsFile=$SCRATCH/known -o HostKeyAlias=board -o BatchMode=yes -o LogLevel=ERROR -o ProxyCommand='$sshd -i -e -f $SCRATCH/sshd_config 2>>$SCRATCH/sshd.log' $(id -un)@board"
"$BITPRESS" score net.bpk --backend remote --remote "$ssh $serve" --images 2 --json --quiet >ssh.json || fail "ssh: $(tail -3 sshd.log)"
jq -e '.bit_exact == true and .images == 2' ssh.json >/dev/null || fail "ssh: $(cat ssh.json)"
for _ in $(seq 50); do pgrep -f "$SCRATCH/board serve" >/dev/null || break; sleep 0.1; done
! pgrep -f "$SCRATCH/board serve" || fail "a board is left"
echo "remote over ssh ok"
