#!/bin/sh
# run_e2e.sh RESULTS SCRIPT: runs one end-to-end test; exit 0 passes, 77 skips (its last line says why).
# It gets an empty folder as $SCRATCH and the program as $BITPRESS. Several run side by side.
set -u
results=$1
script=$2
name=e2e.$(basename "$script" .sh)
SCRATCH=$(mktemp -d)
export SCRATCH
log=$(mktemp)
trap 'rm -rf "$SCRATCH" "$log"' EXIT
start=$(date +%s)
timeout -k 10 "${E2E_TIMEOUT:-600}" bash "$script" >"$log" 2>&1       # 124: it hangs; all it started is ended
rc=$?
took=$(($(date +%s) - start))
case $rc in
0) echo "PASS $name" >>"$results"; echo "$name: ok ($took s)" ;;
77) echo "SKIP $name: $(tail -n 1 "$log")" >>"$results" ;;
*)
    echo "FAIL $name" >>"$results"
    echo "---- $name (exit $rc, $took s)"
    tail -n 60 "$log"
    exit 1
    ;;
esac
