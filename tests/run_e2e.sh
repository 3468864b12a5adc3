#!/bin/sh
# run_e2e.sh RESULTS DIR: runs DIR/*.sh; exit 0 passes, 77 skips (its last line says why).
# Each gets an empty folder as $SCRATCH and the program as $BITPRESS.
set -u
results=$1
dir=$2
bad=0
for t in "$dir"/*.sh; do
    [ -f "$t" ] || continue
    name=e2e.$(basename "$t" .sh)
    SCRATCH=$(mktemp -d)
    export SCRATCH
    log=$(mktemp)
    start=$(date +%s)
    bash "$t" >"$log" 2>&1
    rc=$?
    took=$(($(date +%s) - start))
    case $rc in
    0) echo "PASS $name" >>"$results"; echo "$name: ok ($took s)" ;;
    77) echo "SKIP $name: $(tail -n 1 "$log")" >>"$results" ;;
    *)
        bad=1
        echo "FAIL $name" >>"$results"
        echo "---- $name (exit $rc, $took s)"
        tail -n 60 "$log"
        ;;
    esac
    rm -rf "$SCRATCH" "$log"
done
exit $bad
