# A full disk and a folder that cannot be written: one line, exit 2, nothing half-written under a final name.
. "$(dirname "$0")/common.inc"
cd "$SCRATCH"
[ "$(id -u)" -eq 0 ] || skip "needs root to mount a small file system"
subset data 2000 200
config job.yaml disk/out 3
mkdir disk
mount -t tmpfs -o size=400k tmpfs disk 2>/dev/null || skip "mounting is not allowed here"
trap 'umount "$SCRATCH/disk"' EXIT
rc=0
"$BITPRESS" compress job.yaml --quiet 2>full.txt || rc=$?
cat full.txt
[ $rc -eq 2 ] || fail "full disk: exit $rc"
grep -qi 'no space left' full.txt || fail "full disk: the message does not say so"
for f in disk/out/best.bpk disk/out/report.html disk/out/summary.json disk/out/best.onnx; do
    [ ! -e $f ] || fail "$f was left behind"
done
mount -o remount,ro disk
rc=0
"$BITPRESS" compress job.yaml --out disk/other --quiet 2>readonly.txt || rc=$?
[ $rc -eq 2 ] && grep -qi 'read-only' readonly.txt || fail "read-only folder: exit $rc, $(cat readonly.txt)"
