#!/bin/sh
# run_fuzz.sh RESULTS SECONDS BINARY...: runs libFuzzer targets, SECONDS each, from tests/fuzz/corpus/NAME.
# Each is a line in RESULTS. An input that breaks one is kept in build-fuzz/found and named.
set -u
results=$1
seconds=$2
shift 2
found=build-fuzz/found
mkdir -p "$found"
log=$(mktemp)
new=$(mktemp -d)
trap 'rm -rf "$log" "$new"' EXIT
bad=0
for bin in "$@"; do
    name=$(basename "$bin")
    mkdir -p "$new/$name"
    "$bin" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=20000 -print_final_stats=1 \
        -artifact_prefix="$found/$name-" "$new/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1
    if [ $? -eq 0 ]; then
        echo "PASS fuzz.$name" >>"$results"
        echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs ok"
    else
        bad=1
        echo "FAIL fuzz.$name" >>"$results"
        echo "---- $name"
        grep -v -E '^(#|NEW|INFO)' "$log" | tail -n 60
    fi
done
exit $bad
