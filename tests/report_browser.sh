#!/bin/bash
# report_browser.sh [PAGE]: opens a report in headless Chromium without a network: nothing on the
# console, nothing loaded from outside, every chart has ink. Without PAGE the unit test's sample
# page is used, and a page that asks for something from outside must be seen to fail.
# Exit 0 passes, 77 skips (the last line says why). $SCRATCH keeps the screenshot.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(dirname "${BITPRESS:-$root/build/bitpress}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export HOME=$tmp

browser=$(command -v chromium || command -v chromium-browser) || { echo "chromium is not installed"; exit 77; }
[ -f /usr/share/javascript/chart.js/chart.min.js ] || { echo "libjs-chart.js is not installed"; exit 77; }

# visit PAGE NAME: the document after the scripts to NAME.dom, the browser's log to NAME.log
visit() {
    timeout 90 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$tmp/profile" --no-first-run --disable-background-networking \
        --disable-component-update --host-resolver-rules="MAP * ~NOTFOUND" \
        --enable-logging=stderr --window-size=1240,1900 --hide-scrollbars \
        --virtual-time-budget=5000 "${@:3}" --dump-dom "file://$1" >"$tmp/$2.dom" 2>"$tmp/$2.log"
}

# judge NAME: says what is wrong with a visit
judge() {
    local bad=0
    grep -q 'data-charts="[1-9][0-9]* drawn"' "$tmp/$1.dom" ||
        { echo "charts: $(grep -o 'data-charts="[^"]*"' "$tmp/$1.dom" || echo 'the script did not finish')"; bad=1; }
    if grep -q 'CONSOLE' "$tmp/$1.log"; then
        grep 'CONSOLE' "$tmp/$1.log" | cut -c1-300
        bad=1
    fi
    return $bad
}

page=${1:-}
if [ -z "$page" ]; then
    page=$tmp/sample.html
    [ -x "$build/tests/test_report" ] || { echo "$build/tests/test_report is not built (make test-unit)"; exit 77; }
    REPORT_SAMPLE=$page "$build/tests/test_report" >"$tmp/unit.log" 2>&1 || { cat "$tmp/unit.log"; exit 1; }
fi
page=$(realpath "$page") || exit 1

# What a browser would load on its own, seen in the text outside the scripts.
if sed 's/<script>.*//' "$page" | grep -nEi '(src|href|action|poster)[[:space:]]*=[[:space:]]*["'\'']?(https?:)?//' | head -3 | grep .; then
    echo "FAIL: the page names something outside"
    exit 1
fi
visit "$page" page || { echo "FAIL: the browser ended with an error"; tail -n 5 "$tmp/page.log"; exit 1; }
judge page || { echo "FAIL: $page"; exit 1; }
charts=$(grep -o 'data-charts="[0-9]*' "$tmp/page.dom" | grep -o '[0-9]*$')
echo "report: $charts charts drawn, console silent, nothing loaded from outside"

if [ -n "${SCRATCH:-}" ]; then
    timeout 90 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
        --user-data-dir="$tmp/profile" --window-size=1240,2300 --virtual-time-budget=5000 \
        --screenshot="$SCRATCH/report.png" "file://$page" >/dev/null 2>&1
fi
[ -n "${1:-}" ] && exit 0

# The check itself is checked: an outside image, and charts that lost their data.
sed 's|<main>|<main><img src="https://example.org/x.png" alt="">|' "$page" >"$tmp/outside.html"
visit "$tmp/outside.html" outside
judge outside >/dev/null && { echo "FAIL: an outside image went unnoticed"; exit 1; }
sed 's|^  draw();|  Chart.prototype.draw = function () {}; draw();|' "$page" >"$tmp/blank.html"
visit "$tmp/blank.html" blank
judge blank >/dev/null && { echo "FAIL: blank charts went unnoticed"; exit 1; }
echo "report: an outside image and blank charts are noticed"
