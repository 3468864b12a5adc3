#!/bin/sh
# summary.sh RESULTS: lists what failed or was skipped; the last line counts. With JUNIT=FILE in the environment, the results
# also as XML there.
# Exit 0 when something passed and nothing failed.
set -eu
[ -z "${JUNIT:-}" ] || "$(dirname "$0")/junit.sh" "$1" >"$JUNIT"
grep -E '^(FAIL|SKIP)' "$1" || true
awk '/^PASS/{p++} /^FAIL/{f++} /^SKIP/{s++}
     END{printf "%d passed, %d failed", p, f; if (s) printf ", %d skipped", s; print ""
         exit !(f == 0 && p > 0)}' "$1"
