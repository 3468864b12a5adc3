#!/bin/bash
# run.sh RESULTS FILE: the command-line tests of one *.test file, which are data. Several files run side by side.
#
# A case is a block ended by a blank line:
#   # any comment
#   $ bitpress board list          a command (bash); several $ lines run one after the other
#   ! exit 2                       the expected exit code of the last command (default 0)
#   expected output line           compared exactly, in order (stdout and stderr together)
#   ~ ^regex$                      a line that must match (extended regular expression)
#   ...                            any number of lines
# A block without $ lines is a comment. Commands run in a scratch folder that the file's
# cases share; `bitpress` is the program under test, $REPO the source tree. The lines
# `$SCRATCH` and `$REPO` in expected text stand for these paths.
# `%skip-unless COMMAND` as a file's first line skips the file when COMMAND fails.
set -u
results=$(realpath -m "$1")
file=$2
REPO=$(cd "$(dirname "$0")/../.." && pwd)
BITPRESS=${BITPRESS:-$REPO/build/bitpress}
export REPO BITPRESS
bad=0

# match EXPECTED-INDEX ACTUAL-INDEX: do the rest of both agree?
match() {
    local e=$1 a=$2
    while ((e < ${#want[@]})); do
        local w=${want[e]}
        if [[ $w == "..." ]]; then
            ((e + 1 == ${#want[@]})) && return 0
            local k
            for ((k = a; k <= ${#got[@]}; k++)); do
                match $((e + 1)) "$k" && return 0
            done
            return 1
        fi
        ((a < ${#got[@]})) || return 1
        if [[ $w == "~ "* ]]; then
            local re=${w:2}
            [[ ${got[a]} =~ $re ]] || return 1
        else
            [[ ${got[a]} == "$w" ]] || return 1
        fi
        ((++e, ++a))
    done
    ((a == ${#got[@]}))
}

run_case() { # uses name, line, commands, exit_want, want
    ((${#commands[@]})) || return 0
    local script out rc
    script=$(printf '%s\n' "${commands[@]}")
    out=$(cd "$scratch" && PATH="$bin:$PATH" timeout "${CLI_TIMEOUT:-120}" bash -c "$script" 2>&1)
    rc=$?
    got=()
    [[ -n $out ]] && mapfile -t got <<<"$out"
    if ((rc == exit_want)) && match 0 0; then
        echo "PASS cli.$name:$line" >>"$results"
        ((++ok))
        return 0
    fi
    bad=1
    echo "FAIL cli.$name:$line" >>"$results"
    echo "---- $file:$line: ${commands[-1]}"
    ((rc == exit_want)) || echo "exit $rc, expected $exit_want"
    echo "expected:"; printf '  %s\n' "${want[@]}"
    echo "got:"; printf '  %s\n' "${got[@]}"
}

new_case() { commands=(); want=(); exit_want=0; }

name=$(basename "$file" .test)
scratch=$(mktemp -d)
bin=$(mktemp -d)
trap 'rm -rf "$scratch" "$bin"' EXIT
ln -s "$BITPRESS" "$bin/bitpress"
export SCRATCH=$scratch
n=0
ok=0
new_case
while IFS= read -r text || [[ -n $text ]]; do
    ((++n))
    if ((n == 1)) && [[ $text == "%skip-unless "* ]]; then
        if ! (cd "$scratch" && PATH="$bin:$PATH" bash -c "${text#%skip-unless }") >/dev/null 2>&1; then
            echo "SKIP cli.$name: needs ${text#%skip-unless }" >>"$results"
            break
        fi
        continue
    fi
    if [[ -z $text ]]; then
        run_case
        new_case
    elif [[ $text == "$ "* ]]; then
        ((${#commands[@]})) || line=$n
        commands+=("${text:2}")
    elif ((${#commands[@]} == 0)); then
        continue # comment
    elif [[ $text == "! exit "* ]]; then
        exit_want=${text#! exit }
    else
        text=${text//\$SCRATCH/$scratch}
        want+=("${text//\$REPO/$REPO}")
    fi
done <"$file"
run_case
echo "cli $name: $ok ok"
exit $bad
