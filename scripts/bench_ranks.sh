#!/bin/bash
# What a second process brings: seconds of the same search by one process and by mpirun -n N, one thread each. Fashion-MNIST,
# cycles by the model, no training but the float network's one epoch; the machine should do nothing else.
# usage: bench_ranks.sh [N] [TRIALS]
set -eu
n=${1:-2}
trials=${2:-60}
bitpress=${BITPRESS:-build/bitpress}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cat >"$dir/run.yaml" <<END
model: fmnist-cnn
data: idx:/usr/share/datasets/fashion-mnist
train: {epochs: 1}
target: {cycles: 12000}
search: {trials: $trials, backend: model, parallel: $((2 * n))}
finetune: {epochs: 0, top: 1}
END
seconds() { "$@" "$bitpress" compress "$dir/run.yaml" --out "$dir/$#" --threads 1 2>/dev/null | sed -n 's/^time:.* search \([0-9]*\) s.*/\1/p'; }
one=$(seconds env)
many=$(seconds mpirun --oversubscribe -n "$n")
echo "$trials trials: one process $one s, $n ranks $many s, $(awk "BEGIN { printf \"%.2f\", $one / $many }") times as fast"
