#!/bin/sh
# sysroot.sh ARCH DIR PACKAGE...: unpacks Debian packages of another architecture (arm64, armhf) into DIR. They are not installed and
# this machine's package database is not touched: apt keeps its lists for that architecture in DIR/apt. No root.
set -eu
arch=$1 dir=$2
shift 2
if [ "$(cat "$dir/done" 2>/dev/null)" = "$*" ]; then exit 0; fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    echo "sysroot: no Debian system: put headers and libraries of $* ($arch) into $dir/usr, and '$*' into $dir/done" >&2
    exit 3
}
rm -rf "$dir"
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/apt/deb"
dir=$(cd "$dir" && pwd)
apt() {
    apt-get -q -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State="$dir/apt" -o Dir::State::Lists="$dir/apt/lists" \
        -o Dir::State::status=/dev/null -o Dir::Cache="$dir/apt/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
}
echo "sysroot: $* of $arch into $dir"
# An index that fails need not be one that is used: the download decides.
apt update >"$dir/apt/log" 2>&1 || true
(cd "$dir/apt/deb" && apt download "$@" >>"$dir/apt/log" 2>&1) || {
    tail -n 5 "$dir/apt/log" >&2
    echo "sysroot: packages of $arch cannot be fetched (log: $dir/apt/log)" >&2
    exit 3
}
for deb in "$dir"/apt/deb/*.deb; do dpkg-deb -x "$deb" "$dir"; done
rm -rf "$dir/apt"
echo "$*" >"$dir/done"
