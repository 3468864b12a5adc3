#!/bin/bash
# The board's programs for ARM, under qemu: unit tests, and a host here that scores through `serve` there. ARCHES: of 32 bits, where
# surprises are; long/cross_units.sh has both and more UNITS.
. "$(dirname "$0")/common.inc"
build=$(dirname "$BITPRESS")
command -v make >/dev/null || skip "make is not installed"
units=${UNITS:-fixed runtime}
ran=0
code=0; PATH=$SCRATCH /bin/sh "$root/scripts/cross.sh" armhf build 2>"$SCRATCH/err" || code=$?
[ $code = 3 ] && grep -q '^hint: apt-get install gcc-arm-linux-gnueabihf' "$SCRATCH/err" || fail "no compiler: $code $(cat "$SCRATCH/err")"
"$build/tests/random_pack" fmnist-cnn 3 3 pynq-z2 "$SCRATCH/net.bpk"
"$BITPRESS" score "$SCRATCH/net.bpk" --backend model --json --quiet >"$SCRATCH/model.json"
cd "$root"
for arch in ${ARCHES:-armhf}; do
    case $arch in
    aarch64) triple=aarch64-linux-gnu qemu=qemu-aarch64-static ;;
    armhf) triple=arm-linux-gnueabihf qemu=qemu-arm-static ;;
    esac
    echo "== $arch ($SECONDS s)"
    code=0; JOBS=2 TARGET="build-$arch/board.tar.gz $(printf "build-$arch/tests/test_%s " $units)" scripts/cross.sh $arch "$build" >"$SCRATCH/log" 2>&1 || code=$?
    [ $code != 3 ] || { grep -v '^ ' "$SCRATCH/log"; why="$arch: $(grep -m 1 -E '^(cross|sysroot): .*(missing|cannot)' "$SCRATCH/log")"; continue; }
    [ $code = 0 ] || fail "$arch does not build: $(tail -5 "$SCRATCH/log")"
    # what a board must have: libc of Ubuntu 22.04 (2.35) or later, for the worker XRT and zlib, too
    needed() { $triple-readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort | tr '\n' ' '; }
    [ "$(needed "build-$arch/bitpress")" = "libc.so.6 libm.so.6 " ] || fail "$arch: bitpress needs $(needed "build-$arch/bitpress")"
    [ "$(needed "build-$arch/bitpress-xrt")" = "libc.so.6 libm.so.6 libxrt_coreutil.so.2 libz.so.1 " ] || fail "$arch: bitpress-xrt needs $(needed "build-$arch/bitpress-xrt")"
    newest=$($triple-objdump -T "build-$arch/bitpress" "build-$arch/bitpress-xrt" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    printf '%s\n' "$newest" GLIBC_2.35 | sort -CV || fail "$arch: needs $newest"
    command -v $qemu >/dev/null || { why="$arch: $qemu is not installed (apt-get install qemu-user-static)"; continue; }
    run="$qemu -L /usr/$triple -E LD_LIBRARY_PATH=build-$arch/sysroot/usr/lib/$triple"
    for u in $units; do
        $run "build-$arch/tests/test_$u" >"$SCRATCH/log" 2>&1 || fail "$arch: test_$u: $(grep -m 3 ERROR "$SCRATCH/log")"
    done
    mkdir "$SCRATCH/$arch" && tar -C "$SCRATCH/$arch" -xzf "build-$arch/board.tar.gz"
    board="$qemu -L /usr/$triple $SCRATCH/$arch/bin/bitpress"
    (cd "$SCRATCH" && $board pack verify net.bpk >/dev/null) || fail "$arch: pack verify"
    (cd "$SCRATCH" && "$BITPRESS" score net.bpk --backend remote --remote "$board serve --stdio --api model" --images 3 --json --quiet) >"$SCRATCH/remote.json" || fail "$arch: serve"
    jq -e '.bit_exact == true and .images == 3 and .cycles_source == "model"' "$SCRATCH/remote.json" >/dev/null || fail "$arch: $(jq -c 'del(.layers)' "$SCRATCH/remote.json")"
    diff <(jq '.cycles, .load_cycles, .layers' "$SCRATCH/model.json") <(jq '.cycles, .load_cycles, .layers' "$SCRATCH/remote.json") || fail "$arch and this machine differ"
    for api in xrt opencl; do
        code=0; $board serve --stdio --api $api </dev/null >/dev/null 2>"$SCRATCH/err" || code=$?
        [ $code = 3 ] && grep -q '^hint:' "$SCRATCH/err" || fail "$arch: serve without a device: $code $(cat "$SCRATCH/err")"
    done
    ran=$((ran + 1))
done
[ $ran -gt 0 ] || skip "$why"
echo "cross ok"
