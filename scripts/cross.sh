#!/bin/sh
# cross.sh ARCH BUILD: what runs on a board, for its processor, into build-ARCH: bitpress, its worker, the runtime, and all of it as
# board.tar.gz to unpack in /usr/local. BUILD has the hardware generator, which runs here. Exit code 3: a compiler is missing.
set -eu
case $1 in
aarch64) triple=aarch64-linux-gnu deb=arm64 ;;
armhf) triple=arm-linux-gnueabihf deb=armhf ;;
*) echo "cross: ARCH=$1 is not one of aarch64 (ZCU104, KV260), armhf (PYNQ-Z2)" >&2; exit 2 ;;
esac
missing=
command -v $triple-gcc >/dev/null || missing="$missing gcc-$triple libc6-dev-$deb-cross"
[ -e /usr/include/xrt/xrt/xrt_device.h ] || missing="$missing libxrt-dev"
if [ -n "$missing" ]; then
    echo "cross: missing:$missing" >&2
    echo "hint: apt-get install$missing" >&2
    exit 3
fi
build=build-$1
scripts/sysroot.sh $deb "$build/sysroot" libyaml-dev libcyaml-dev zlib1g-dev zlib1g libjansson-dev libpng-dev libjpeg62-turbo-dev libcmocka-dev libcmocka0
exec make --no-print-directory ${JOBS:+-j"$JOBS"} CC=$triple-gcc AR=$triple-ar LD=$triple-ld NM=$triple-nm OBJCOPY=$triple-objcopy \
    BUILD="$build" SYSROOT="$build/sysroot" TRIPLE=$triple HWGEN="$2/hwgen" ${TARGET:-"$build/board.tar.gz"}
