#!/bin/sh
# bitstream.sh BOARD BUILD PACKAGE.sv: BOARD's bitstream and xclbin into BUILD/boards/BOARD, by Vivado (a board with an overlay.tcl) or by
# Vivado and v++ (a board with a link.cfg). Untested: needs Vivado, Vitis. Exit code 3: a tool or the platform is missing.
# Tools are looked for in PATH, $XILINX_VIVADO/bin and $XILINX_VITIS/bin; PLATFORM names a Vitis platform, as v++ --platform.
set -eu
board=$1 build=$2 package=$3
root=$(cd "$(dirname "$0")/.." && pwd)
kit=$root/boards/$board
out=$build/boards/$board
[ -f "$kit/board.yaml" ] || { echo "bitstream: there is no board '$board' (boards/*/board.yaml)" >&2; exit 2; }
field() { sed -n "s/^ *$1: *\([^ #]*\).*/\1/p" "$kit/board.yaml"; }
part=$(field part) mhz=$(field mhz)

missing=
tool() { # NAME WHERE INSTALL
    for t in "$(command -v "$1" || true)" "${XILINX_VIVADO:-/nonexistent}/bin/$1" "${XILINX_VITIS:-/nonexistent}/bin/$1"; do
        if [ -x "$t" ]; then found=$t; return; fi
    done
    missing="$missing
  $1: $2"
    found=
}
tool vivado "Vivado 2022.1 (others untried); PATH, XILINX_VIVADO/bin, XILINX_VITIS/bin"
vivado=$found
platform=${PLATFORM:-}
if [ -f "$kit/link.cfg" ]; then
    tool v++ "Vitis 2022.1 (others untried), which brings Vivado; PATH, XILINX_VITIS/bin"
    vpp=$found
    if [ "$board" = zcu104 ] && [ -z "$platform" ]; then
        platform=xilinx_zcu104_base_202210_1      # of Vitis 2022.1; v++ looks in its base_platforms and in PLATFORM_REPO_PATHS
    fi
    [ -n "$platform" ] || missing="$missing
  PLATFORM: a Vitis platform of the board, its name or FILE.xpfm (docs/boards.md)"
fi
if [ -n "$missing" ]; then
    echo "bitstream: $board needs what is not here:$missing" >&2
    echo "hint: install AMD's Vitis (Vivado is enough for a PYNQ-Z2) and 'source .../settings64.sh'; docs/boards.md" >&2
    exit 3
fi

mkdir -p "$out/src"
out=$(cd "$out" && pwd)
rm -f "$out"/src/*
cp "$package" "$root"/rtl/*.sv "$out/src"
case $part in
xc7*) ;;
*) sed -i '1i `define ULTRASCALE' "$out/src/bp_dsp48.sv" ;;      # a definition of the project would not go along with the IP
esac
"$build/bitpress" board kernel "$kit/board.yaml" >"$out/kernel.xml"
cd "$out"
if [ -f "$kit/overlay.tcl" ]; then
    "$vivado" -mode batch -nojournal -source "$root/scripts/package.tcl" -tclargs "$out" "$part" "$kit/clock.xdc" "$out/kernel.xml" ip
    "$vivado" -mode batch -nojournal -source "$kit/overlay.tcl" -tclargs "$out" "$part" "$mhz"
    "$build/bitpress" board xclbin "$kit/board.yaml" "$out/bitpress.xclbin"
    echo "bitstream: $out: bitpress.bit bitpress.bin bitpress.hwh bitpress.xclbin; $mhz MHz are met"
else
    "$vivado" -mode batch -nojournal -source "$root/scripts/package.tcl" -tclargs "$out" "$part" "$kit/clock.xdc" "$out/kernel.xml" xo
    "$vpp" --link --target hw --platform "$platform" --config "$kit/link.cfg" --temp_dir "$out/link" --save-temps -o "$out/bitpress.xclbin" "$out/bitpress.xo"
    echo "bitstream: $out: bitpress.xclbin; the clock that v++ reached: xclbinutil --info --input $out/bitpress.xclbin"
fi
echo "bitstream: write that clock into $kit/board.yaml, as 'is: routed'"
