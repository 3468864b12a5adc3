#!/bin/bash
# XRT and OpenCL drive the RTL: the same logits and cycles as the simulator in process, Debian's own unchanged libraries, what
# happens when the device lies, stalls, dies or is not there, and that nothing is left behind.
. "$(dirname "$0")/common.inc"
build=$(dirname "$BITPRESS")
repo=$root
libs=/usr/lib/x86_64-linux-gnu
[ -e $libs/libxrt_coreutil.so.2 ] || skip "libxrt1 is not installed (apt-get install libxrt-dev)"
[ -x "$build/bitpress-xrt" ] && [ -x "$build/bitpress-opencl" ] || skip "built without the XRT and OpenCL headers (apt-get install libxrt-dev ocl-icd-opencl-dev)"
command -v verilator >/dev/null || [ -e "$build/sim/pynq-z2/libbpsim.so" ] || skip "there is no simulator"
exec 9>"$build/emulation.lock" && flock -w 300 9     # one test at a time has emulated boards: what is left over is its own
cd "$SCRATCH"
export BITPRESS_CACHE=$SCRATCH/cache
unset XILINX_XRT BITPRESS_XCLBIN XCL_EMULATION_MODE
step() { echo "== $* ($SECONDS s)"; }

# What this build has running or left in /tmp; others may use the machine. Zombies that nobody reaped are gone.
processes() {
    for name in bitpress-simdev bitpress-xrt bitpress-opencl; do
        for p in $(pgrep -x $name || true); do
            [ "$(readlink "/proc/$p/exe" 2>/dev/null)" != "$(realpath "$build")/$name" ] || echo "$p"
        done
    done
}
folders() { grep -ls "$build/" /tmp/bitpress-xrt-*/sim/simulate.sh 2>/dev/null || true; }
nothing_left() {
    for _ in $(seq 50); do [ -z "$(processes)" ] && break; sleep 0.1; done
    [ -z "$(processes)" ] || fail "$1: processes are left: $(processes)"
    [ -z "$(folders)" ] || fail "$1: folders are left: $(folders)"
    [ ! -e "$build/emulation_debug.log" ] || fail "$1: XRT left a log beside the program"
}
nothing_left "before"

step "networks of real shape"
for net in fmnist-cnn resnet8 resnet20; do "$build/tests/random_pack" $net 3 3 pynq-z2 $net.bpk; done
for net in fmnist-cnn resnet8 resnet20; do
    for backend in verilator xrt opencl; do "$BITPRESS" score $net.bpk --backend $backend --images 2 --threads 2 --no-cache --json --quiet >$net.$backend.json; done
    for backend in xrt opencl; do
        jq -e '.bit_exact == true and .images == 2 and .cycles_source == "xrt-emulation"' $net.$backend.json >/dev/null || fail "$net $backend: $(jq -c 'del(.layers)' $net.$backend.json)"
        diff <(jq '.cycles, .load_cycles, .layers, .units' $net.verilator.json) <(jq '.cycles, .load_cycles, .layers, .units' $net.$backend.json) ||
            fail "$net: $backend and verilator differ"
    done
done

step "run: accuracy and figures"
subset data 100 24
for api in xrt opencl; do
    "$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 0 --api $api --json --quiet >run.$api.json
    jq -e --argjson eval "$("$BITPRESS" eval fmnist-cnn.bpk --data idx:data --json)" --argjson score "$(cat fmnist-cnn.verilator.json)" '
        def near($x): . - $x | fabs < 1e-6;
        .images == 24 and .bit_exact and (.top1 | near($eval.top1)) and (.top5 | near($eval.top5)) and .cycles == $score.cycles and .cycles_max == .cycles and
        .load_cycles == $score.load_cycles and .cycles_source == "xrt-emulation" and .clock_is == "assumed" and .host_time_is == "of a simulation"' run.$api.json >/dev/null ||
        fail "run $api: $(cat run.$api.json)"
done
"$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 4 --quiet >run.txt
grep -q 'cycles_source xrt-emulation' run.txt && grep -q 'the time of a simulation says nothing about a board' run.txt || fail "run's words"
nothing_left "run"

step "whose libraries, and who holds the RTL"
if command -v dpkg >/dev/null; then
    [ -z "$(dpkg -V libxrt1)" ] || fail "libxrt1 was changed: $(dpkg -V libxrt1)"
fi
"$BITPRESS" run fmnist-cnn.bpk --data idx:/usr/share/datasets/fashion-mnist --images 2000 --quiet 2>killed.txt &
job=$!
for _ in $(seq 100); do worker=$(pgrep -x bitpress-xrt -P $job || true) && simdev=$(pgrep -x bitpress-simdev -P "${worker:-1}" || true) && [ -n "$simdev" ] && break; sleep 0.1; done
[ -n "$simdev" ] || fail "no device process"
sleep 0.5
for lib in libxrt_coreutil libxrt_hwemu; do
    file=$(sed -n "s|.* \(/.*/$lib\.so\.[0-9.]*\)$|\1|p" "/proc/$worker/maps" | head -n 1)
    [ -n "$file" ] || fail "the worker has no $lib"
    if [ -e /var/lib/dpkg/info/libxrt1:amd64.md5sums ] || [ -e /var/lib/dpkg/info/libxrt1.md5sums ]; then
        grep -qF "$(md5sum <"$file" | cut -d' ' -f1)" /var/lib/dpkg/info/libxrt1*.md5sums || fail "$file is not Debian's"
    fi
done
grep -q libbpsim "/proc/$simdev/maps" || fail "the device process has no RTL"
! grep -q libbpsim "/proc/$worker/maps" || fail "the worker has the RTL itself"
! grep -q libxrt "/proc/$job/maps" || fail "XRT is in the main program"

step "the device process is killed"
start=$SECONDS rc=0
kill -9 "$simdev"
wait $job || rc=$?
[ $rc = 3 ] && [ $((SECONDS - start)) -lt 10 ] || fail "killed device: exit $rc after $((SECONDS - start)) s"
grep -qx 'bitpress: xrt: .*the emulated device has ended' killed.txt || fail "killed device: $(cat killed.txt)"
nothing_left "killed device"

step "devices that lie, fail, stall, die"
broken() { # FAULT API EXIT PATTERN
    rc=0 start=$SECONDS
    BITPRESS_SIMDEV_FAULT=$1 BITPRESS_DEADLINE_MS=1500 timeout -k 1 30 "$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 6 --api "$2" --quiet >out.txt 2>err.txt || rc=$?
    [ $rc = "$3" ] && grep -q "^bitpress: $4" err.txt && [ "$(grep -c ^bitpress: err.txt)" = 1 ] && [ ! -s out.txt ] || fail "$1 $2: exit $rc, $(cat out.txt err.txt)"
    [ $((SECONDS - start)) -lt 10 ] || fail "$1 $2: an error only after $((SECONDS - start)) s"
}
for api in xrt opencl; do
    broken wrong $api 4 "$api: image 0: logit 0 is -\?[0-9]*, the reference says"
    broken bus $api 4 "$api: the device reports error 12 in layer 0: the memory answered with an error"
    broken stall $api 3 "$api: the device is not done after 1500 ms"
    broken die $api 3 "$api: the process that drives the device has ended"
done
rc=0
BITPRESS_SIMDEV_FAULT=wrong "$BITPRESS" score fmnist-cnn.bpk --backend xrt --quiet --json >wrong.json 2>wrong.txt || rc=$?
[ $rc = 4 ] && jq -e '.bit_exact == false' wrong.json >/dev/null || fail "score does not see a wrong logit: exit $rc"
nothing_left "faults"

step "the program itself is killed"
"$BITPRESS" run fmnist-cnn.bpk --data idx:/usr/share/datasets/fashion-mnist --images 2000 --quiet 2>/dev/null &
job=$!
for _ in $(seq 100); do [ -n "$(processes)" ] && break; sleep 0.1; done
sleep 0.5
kill -9 $job
wait $job 2>/dev/null || true
for _ in $(seq 50); do [ -z "$(processes)" ] && break; sleep 0.1; done
[ -z "$(processes)" ] || fail "the device outlives its host"
[ -n "$(folders)" ] || fail "the test is too late to see a folder left"
"$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 1 --quiet >/dev/null
nothing_left "killed program"

step "what is missing"
missing() { # PATTERN COMMAND...
    rc=0 pattern=$1
    shift
    "$@" >out.txt 2>err.txt || rc=$?
    [ $rc = 3 ] && grep -q "^bitpress: $pattern" err.txt && [ "$(grep -vc ^hint: err.txt)" = 1 ] && grep -q ^hint: err.txt || fail "$*: exit $rc, $(cat out.txt err.txt)"
}
run="$BITPRESS run fmnist-cnn.bpk --data idx:data --images 1 --quiet"
missing 'xrt: XILINX_XRT=/nonexistent has no lib/libxrt_coreutil.so.2' env XILINX_XRT=/nonexistent $run
missing 'xrt: XILINX_XRT is not set' $run --xclbin fmnist-cnn.bpk
mkdir xrtroot && ln -s $libs xrtroot/lib
missing 'xrt: there is no device 0' env XILINX_XRT="$SCRATCH/xrtroot" $run --xclbin fmnist-cnn.bpk
missing "opencl: there is no platform 'Xilinx'" env XILINX_XRT="$SCRATCH/xrtroot" OCL_ICD_VENDORS=/nonexistent $run --xclbin fmnist-cnn.bpk --api opencl
mkdir alone && cp "$BITPRESS" alone/
missing 'xrt: .* is not built' env BITPRESS_SIM="$build/sim" BITPRESS_BOARDS="$repo/boards" alone/bitpress run fmnist-cnn.bpk --data idx:data --images 1 --quiet
missing 'xrt: XILINX_XRT=/nonexistent' env XILINX_XRT=/nonexistent "$BITPRESS" score fmnist-cnn.bpk --backend opencl

step "the library in a program of one's own"
pc() { PKG_CONFIG_PATH=$build pkg-config --define-variable=libdir="$build" --define-variable=includedir="$repo/host/runtime" "$@" bitpress-runtime; }
# shellcheck disable=SC2046
gcc -Wall -Wextra -Werror -o own $(pc --cflags) "$repo/docs/run_pack.c" $(pc --libs)
# shellcheck disable=SC2046
gcc -Wall -Wextra -Werror -o own_static $(pc --cflags) "$repo/docs/run_pack.c" "$build/libbitpress-runtime.a" $(pc --static --libs-only-l | sed 's/-lbitpress-runtime//')
[ -z "$(nm -D --defined-only "$build/libbitpress-runtime.so.1" | awk '$3 !~ /^bitpress_/ && $2 != "A"')" ] || fail "the shared library shows more than its header"
tail -c +17 data/t10k-images-idx3-ubyte | head -c $((5 * 784)) >images.u8
cycles=$(jq .cycles fmnist-cnn.verilator.json)
for program in own own_static; do
    LD_LIBRARY_PATH=$build "$BITPRESS" xrt-env -- ./$program fmnist-cnn.bpk images.u8 >$program.txt || fail "$program: $(cat $program.txt)"
    [ "$(grep -c ", $cycles cycles" $program.txt)" = 5 ] && grep -qx "p50 $cycles, p99 $cycles cycles" $program.txt || fail "$program: $(cat $program.txt)"
done
rc=0
BITPRESS_SIMDEV_FAULT=wrong "$BITPRESS" xrt-env -- ./own_static fmnist-cnn.bpk images.u8 >own.txt 2>&1 || rc=$?
[ $rc = 1 ] && grep -q 'wrong: fmnist-cnn.bpk: self-test: logit 0' own.txt || fail "the self-test sees nothing: exit $rc, $(cat own.txt)"
rc=0
BITPRESS_SIMDEV_FAULT=stall BITPRESS_DEADLINE_MS=500 timeout -k 1 20 "$BITPRESS" xrt-env -- ./own_static fmnist-cnn.bpk images.u8 >own.txt 2>&1 || rc=$?
[ $rc = 1 ] && grep -q 'stalled: xrt: the device is not done after 500 ms' own.txt || fail "stall in a program: exit $rc, $(cat own.txt)"
sed 's/pynq-z2/elsewhere/; s/^  act: 1024/  act: 2048/' "$repo/boards/pynq-z2/board.yaml" >other.yaml
"$build/tests/random_pack" fmnist-cnn 3 3 other.yaml other.bpk
rc=0
"$BITPRESS" xrt-env -- ./own_static other.bpk images.u8 >own.txt 2>&1 || rc=$?
[ $rc = 1 ] && grep -q "mismatch: other.bpk: compiled for 'elsewhere', .*; the device holds" own.txt || fail "a pack for another array: exit $rc, $(cat own.txt)"

cat >twice.c <<'END'
#include <bitpress_runtime.h>
#include <stdio.h>
int main(void)
{
    bitpress *a = NULL, *b = NULL, *c = NULL;
    int first = bitpress_open(&a, NULL), second = bitpress_open(&b, NULL);
    printf("%s %s: %s\n", bitpress_code_name(first), bitpress_code_name(second), bitpress_error());
    bitpress_close(a);
    printf("%s\n", bitpress_code_name(bitpress_open(&c, NULL)));
    bitpress_close(c);
    return 0;
}
END
# shellcheck disable=SC2046
gcc -Wall -Wextra -Werror -o twice $(pc --cflags) twice.c "$build/libbitpress-runtime.a" $(pc --static --libs-only-l | sed 's/-lbitpress-runtime//')
timeout -k 1 30 "$BITPRESS" xrt-env -- ./twice >twice.txt || fail "a device opened twice: $(cat twice.txt)"
grep -qx 'ok busy: xrt: device 0 is open in this program already' twice.txt && [ "$(tail -n 1 twice.txt)" = ok ] || fail "a device opened twice: $(cat twice.txt)"

step "the messages: none outgrows the first, a start for each image"
BITPRESS_SIMDEV_TRACE=$SCRATCH/trace "$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 7 --quiet >/dev/null
[ "$(head -n 1 trace | cut -d' ' -f1)" = 20 ] || fail "the first message is not the environment"
[ "$(sed -n 's/^longest //p' trace)" = "$(head -n 1 trace | cut -d' ' -f2)" ] || fail "a later message is longer than the first"
[ "$(grep -c '^9 [0-9]* 0x1800000 ' trace)" = 8 ] || fail "$(grep -c '^9 [0-9]* 0x1800000 ' trace) starts for one load and 7 images"

step "several images in one start: the same logits in fewer starts and cycles"
for api in xrt opencl; do
    BITPRESS_SIMDEV_TRACE=$SCRATCH/trace "$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 7 --batch 3 --api $api --json --quiet >batch.json
    jq -e --argjson one "$cycles" '.images == 7 and .batch == 3 and .bit_exact and .cycles < $one and .cycles_max == $one and .latency_ms == null' batch.json >/dev/null ||
        fail "batches through $api: $(cat batch.json)"
    [ "$(grep -c '^9 [0-9]* 0x1800000 ' trace)" = 4 ] || fail "$(grep -c '^9 [0-9]* 0x1800000 ' trace) starts for one load and 7 images in batches of 3"
    [ "$(sed -n 's/^longest //p' trace)" = "$(head -n 1 trace | cut -d' ' -f2)" ] || fail "batches: a later message is longer than the first"
done
"$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 24 --batch 24 --quiet >run.txt && grep -q '^up to 24 images a start' run.txt || fail "a batch of all images: $(cat run.txt)"
nothing_left "batches"

step "an environment to keep"
vars=$("$BITPRESS" xrt-env)
dir=$(sed -n "s/^export EMCONFIG_PATH='\(.*\)'/\1/p" <<<"$vars")
(eval "$vars" && ./own_static fmnist-cnn.bpk images.u8) >own.txt || fail "kept environment: $(cat own.txt)"
[ -d "$dir" ] || fail "the environment was not kept"
rm -r "$dir"
rc=0
"$BITPRESS" xrt-env -- sh -c 'exit 7' || rc=$?
[ $rc = 7 ] || fail "xrt-env: exit $rc, not the command's"
nothing_left "environments"

step "the optimizer with XRT as its scorer"
subset small 3000 200
config job.yaml out 6
sed -i -e 's|idx:.*/data|idx:small|' -e 's/^search: {/search: {backend: xrt, /' job.yaml
"$BITPRESS" compress job.yaml --quiet >table.txt || fail "compress: $(cat table.txt)"
jq -e '.cycles_source == "xrt-emulation" and .trials == 6' out/summary.json >/dev/null || fail "$(jq -c '{trials, cycles_source}' out/summary.json)"
[ "$("$BITPRESS" score out/best.bpk --no-cache --json --quiet | jq .cycles)" = "$(jq .best.cycles out/summary.json)" ] || fail "XRT and the simulator differ in the best candidate"
nothing_left "search"

step "${XRT_RUNS:-6} times in a row, through either interface"
for i in $(seq "${XRT_RUNS:-6}"); do
    for api in xrt opencl; do
        timeout -k 1 60 "$BITPRESS" run fmnist-cnn.bpk --data idx:data --images 3 --api $api --quiet >/dev/null || fail "run $i through $api"
    done
done
nothing_left "many runs"
step "done"
