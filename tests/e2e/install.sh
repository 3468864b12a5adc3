# make install, then the installed tree alone: put elsewhere than PREFIX says, read-only, from an empty folder and, where
# the test may, as another user.
. "$(dirname "$0")/common.inc"
build=$(dirname "$BITPRESS") # as the Makefile knows it: another name of the same folder would build all anew
build=${build#"$root"/}
cd "$root"
[ -e "$build/sim/pynq-z2/libbpsim.so" ] || skip "the simulator of pynq-z2 is not built (make sim)"
stage=$SCRATCH/stage
make -s BUILD="$build" DESTDIR="$stage" install >"$SCRATCH/make.txt" 2>&1 || fail "make install: $(cat "$SCRATCH/make.txt")"
mkdir "$SCRATCH/work" && mv "$(dirname "$(dirname "$(find "$stage" -name bitpress -path "*/bin/*")")")" "$SCRATCH/tree"
tree=$SCRATCH/tree
[ -z "$(find "$tree" -type f ! -perm -004)" ] || fail "not everybody can read $(find "$tree" -type f ! -perm -004)"
[ -s "$tree/share/man/man1/bitpress-compress.1" ] || fail "no man page"
subset "$SCRATCH/work/data" 300 100
cat >"$SCRATCH/use.sh" <<'END'
set -eu
fail() { echo "FAIL: $*"; exit 1; }
cd "$WORK"
mkdir home && export HOME=$WORK/home PATH=$TREE/bin:/usr/bin:/bin
unset BITPRESS BITPRESS_BOARDS BITPRESS_SIM BITPRESS_CACHE BITPRESS_XCLBIN
bitpress doctor --json >doctor.json || true
jq -e --arg lib "$TREE/bin/../share/bitpress/sim/pynq-z2/libbpsim.so" '[.items[]? | select(.name == "simulator") | .found] == [true]' doctor.json >/dev/null || fail "doctor: $(cat doctor.json)"
bitpress board list | grep -q pynq-z2 || fail "no board"
bitpress check fmnist-cnn | grep -q '^W4A4 *fits' || fail "check"
printf 'model: fmnist-cnn\ndata: idx:data\nheld_out: 100\nout: float\ntrain: {epochs: 1, batch: 50}\n' >my.yaml
bitpress train my.yaml --quiet >/dev/null || fail "train"
printf 'default: {w_bits: 3, a_bits: 3}\n' >r.yaml
bitpress apply float/model.onnx --recipe r.yaml --data idx:data --held-out 100 --verify 2 --quiet >/dev/null || fail "apply"
for backend in model verilator hls; do
    bitpress score apply/best.bpk --backend $backend --data idx:data --images 2 --no-cache --quiet --json >$backend.json || fail "score: $backend"
done
jq -e '.bit_exact and .cycles_source == "rtl"' verilator.json >/dev/null && [ "$(jq .cycles model.json)" = "$(jq .cycles verilator.json)" ] || fail "score: $(jq -c 'del(.layers)' verilator.json)"
[ -x "$TREE/lib/bitpress/bitpress-xrt" ] && [ -e /usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.2 ] || { echo "without XRT"; exit 0; }
bitpress run apply/best.bpk --data idx:data --images 2 --quiet --json >run.json || fail "run"
[ "$(jq .cycles run.json)" = "$(jq .cycles verilator.json)" ] || fail "run: $(cat run.json)"
export PKG_CONFIG_PATH=$TREE/lib/pkgconfig
command -v pkg-config >/dev/null || { echo "without pkg-config"; exit 0; }
${CC:-cc} -o run_pack "$TREE/share/doc/bitpress/docs/run_pack.c" $(pkg-config --cflags --libs bitpress-runtime) || fail "run_pack.c"
tail -c +17 data/t10k-images-idx3-ubyte | head -c 1568 >images.u8
LD_LIBRARY_PATH=$TREE/lib bitpress xrt-env -- ./run_pack apply/best.bpk images.u8 >pack.txt || fail "run_pack: $(cat pack.txt)"
[ "$(grep -c '^[01]: class [0-9], [0-9]* cycles' pack.txt)" -eq 2 ] || fail "run_pack: $(cat pack.txt)"
END
chmod -R a-w "$tree" && chmod 755 "$SCRATCH" && touch "$SCRATCH/before"
export TREE=$tree WORK=$SCRATCH/work
other=
[ "$(id -u)" -ne 0 ] || ! command -v setpriv >/dev/null || other="setpriv --reuid=65534 --regid=65534 --clear-groups"
[ -z "$other" ] || chown -R 65534:65534 "$WORK"
$other bash "$SCRATCH/use.sh"
[ -z "$(find "$tree" -newer "$SCRATCH/before")" ] || fail "written into the installed tree: $(find "$tree" -newer "$SCRATCH/before")"
chmod -R u+w "$tree"
