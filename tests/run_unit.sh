#!/bin/sh
# run_unit.sh RESULTS BINARY...: runs cmocka test programs. Each test is a line in
# RESULTS; a program that crashes, hangs or is silent is a failure itself.
set -u
results=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bad=0
for bin in "$@"; do
    name=$(basename "$bin")
    CMOCKA_MESSAGE_OUTPUT=TAP timeout "${UNIT_TIMEOUT:-300}" "$bin" >"$log" 2>&1
    rc=$?
    # a test says why it is skipped in a line `skipped: reason` before it ends
    awk -v n="$name" '
        /^skipped: / { why = substr($0, 10) }
        /^not ok [0-9]+ # SKIP / { print "SKIP " n "." $NF ": " (why ? why : "not possible here"); why = "" }
        /^not ok [0-9]+ - / { print "FAIL " n "." $NF }
        /^ok [0-9]+ - / { print "PASS " n "." $NF }' "$log" >>"$results"
    failed=$(grep -c '^not ok [0-9]* - ' "$log")
    if [ "$rc" -ne 0 ] || ! grep -qE '^(ok|not ok [0-9]+ # SKIP) ' "$log"; then
        bad=1
        echo "---- $name (exit $rc)"
        grep -v '^ok ' "$log" | tail -n 60
        [ "$failed" -gt 0 ] || echo "FAIL $name (exit $rc)" >>"$results"
    else
        echo "unit $name: $(grep -c '^ok ' "$log") ok"
    fi
done
exit $bad
