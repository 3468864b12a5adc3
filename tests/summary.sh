#!/bin/sh
# summary.sh RESULTS: lists what failed or was skipped; the last line counts.
# Exit 0 when something passed and nothing failed.
set -eu
grep -E '^(FAIL|SKIP)' "$1" || true
awk '/^PASS/{p++} /^FAIL/{f++} /^SKIP/{s++}
     END{printf "%d passed, %d failed", p, f; if (s) printf ", %d skipped", s; print ""
         exit !(f == 0 && p > 0)}' "$1"
