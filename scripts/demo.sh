#!/bin/sh
# demo.sh: the main job on Fashion-MNIST, from an empty machine to a report: installs what is
# missing, builds, trains, searches with the RTL in the loop; says how long each part took.
# An interrupted demo goes on where it was; a finished one is kept and the next gets a new folder.
set -eu
cd "$(dirname "$0")/.."
make=${MAKE:-make}

now() { date +%s; }
out=runs/demo
n=1
while [ -e "$out/report.html" ]; do
    n=$((n + 1))
    out=runs/demo-$n
done

t0=$(now)
$make --no-print-directory deps
t1=$(now)
echo "demo: building the program and the simulated accelerator"
$make --no-print-directory -j"$(nproc)" all sim-lib
t2=$(now)
build/bitpress compress configs/fmnist.yaml --resume --out "$out"
t3=$(now)
echo "install $((t1 - t0)) s, build $((t2 - t1)) s, main job $((t3 - t2)) s: $((t3 - t0)) s in all"
