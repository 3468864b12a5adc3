#!/bin/sh
# run_unit.sh RESULTS BINARY: runs one cmocka test program. Each test is a line in
# RESULTS; a program that crashes, hangs or is silent is a failure itself. Several run side by side.
set -u
results=$1
bin=$2
name=$(basename "$bin")
log=$(mktemp)
lines=$(mktemp)
trap 'rm -f "$log" "$lines"' EXIT
CMOCKA_MESSAGE_OUTPUT=TAP timeout "${UNIT_TIMEOUT:-300}" "$bin" >"$log" 2>&1
rc=$?
# a test says why it is skipped in a line `skipped: reason` before it ends
awk -v n="$name" '
    /^skipped: / { why = substr($0, 10) }
    /^not ok [0-9]+ # SKIP / { print "SKIP " n "." $NF ": " (why ? why : "not possible here"); why = "" }
    /^not ok [0-9]+ - / { print "FAIL " n "." $NF }
    /^ok [0-9]+ - / { print "PASS " n "." $NF }' "$log" >"$lines"
failed=$(grep -c '^FAIL' "$lines")
if [ "$rc" -ne 0 ] || ! grep -qE '^(ok|not ok [0-9]+ # SKIP) ' "$log"; then
    [ "$failed" -gt 0 ] || echo "FAIL $name (exit $rc)" >>"$lines"
    cat "$lines" >>"$results"
    echo "---- $name (exit $rc)"
    grep -v '^ok ' "$log" | tail -n 60
    exit 1
fi
cat "$lines" >>"$results" # in one piece
echo "unit $name: $(grep -c '^ok ' "$log") ok"
