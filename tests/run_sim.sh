#!/bin/sh
# run_sim.sh RESULTS COMMAND...: runs the simulations; lines `PASS name` and `FAIL name`
# of its output are results. A failing command without a FAIL line is one itself.
set -u
results=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ "$@" 2>&1; echo "exit $?" >"$log.rc"; } | tee "$log"
rc=$(cat "$log.rc")
rm -f "$log.rc"
grep -E '^(PASS|FAIL|SKIP) ' "$log" >>"$results"
if [ "$rc" != "exit 0" ] && ! grep -q '^FAIL ' "$log"; then
    echo "FAIL sim ($rc)" >>"$results"
fi
exit 0
