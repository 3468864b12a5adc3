# The published float networks: the files that docs/zoo.md describes, and as many test images right as it says.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
fail() { echo "zoo: $*"; exit 1; }
cd "$root/configs/zoo"
sha256sum --quiet -c SHA256SUMS || fail "a file is not the published one"
for net in *.onnx; do
    grep -q "^| \`$net\` " "$root/docs/zoo.md" || fail "docs/zoo.md does not know $net"
    grep -q " $net\$" SHA256SUMS || fail "SHA256SUMS does not know $net"
    "$BITPRESS" check "$net" --json >/dev/null || fail "check of $net"
done
[ -n "${BITPRESS_CIFAR10:-}" ] || { echo "BITPRESS_CIFAR10 names no folder: accuracy not measured"; exit 77; }
for net in *-cifar10.onnx; do
    "$BITPRESS" eval "$net" --data "cifar10:$BITPRESS_CIFAR10" --quiet --json >"$SCRATCH/eval.json"
    got=$(jq '100 * .top1 * 100 | round' "$SCRATCH/eval.json")
    want=$(sed -n "s/^| \`$net\` .* | \([0-9.]*\) % |\$/\1/p" "$root/docs/zoo.md" | tr -d .)
    [ "$got" -ge $((want - 2)) ] && [ "$got" -le $((want + 2)) ] || fail "$net: $got of 10000, docs/zoo.md says $want"
done
