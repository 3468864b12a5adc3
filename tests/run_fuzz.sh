#!/bin/sh
# run_fuzz.sh RESULTS SECONDS BINARY: runs a libFuzzer target for SECONDS, from tests/fuzz/corpus/NAME. It is a line in RESULTS.
# An input that breaks it is kept in build-fuzz/found and named. Several run side by side.
set -u
results=$1
seconds=$2
bin=$3
name=$(basename "$bin")
found=build-fuzz/found
mkdir -p "$found"
log=$(mktemp)
new=$(mktemp -d)
trap 'rm -rf "$log" "$new"' EXIT
if "$bin" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=20000 -print_final_stats=1 \
    -artifact_prefix="$found/$name-" "$new" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    echo "PASS fuzz.$name" >>"$results"
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs ok"
else
    echo "FAIL fuzz.$name" >>"$results"
    echo "---- $name"
    grep -v -E '^(#|NEW|INFO)' "$log" | tail -n 60
    exit 1
fi
