#!/bin/bash
# run.sh RESULTS PATH...: command-line tests as data. PATH: a *.test file or a folder of them.
#
# A case is a block ended by a blank line:
#   # any comment
#   $ bitpress board list          a command (bash); several $ lines run one after the other
#   ! exit 2                       the expected exit code of the last command (default 0)
#   expected output line           compared exactly, in order (stdout and stderr together)
#   ~ ^regex$                      a line that must match (extended regular expression)
#   ...                            any number of lines
# A block without $ lines is a comment. Commands run in a scratch folder that one file's
# cases share; `bitpress` is the program under test, $REPO the source tree. The lines
# `$SCRATCH` and `$REPO` in expected text stand for these paths.
# `%skip-unless COMMAND` as a file's first line skips the file when COMMAND fails.
set -u
results=$(realpath -m "$1")
shift
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

run_file() {
    file=$1
    name=$(basename "$file" .test)
    scratch=$(mktemp -d)
    export SCRATCH=$scratch
    local n=0 text
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
    rm -rf "$scratch"
    echo "cli $name: $ok ok"
}

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
ln -s "$BITPRESS" "$bin/bitpress"
for path in "$@"; do
    if [[ -d $path ]]; then
        for f in "$path"/*.test; do
            [[ -f $f ]] && run_file "$f"
        done
    else
        run_file "$path"
    fi
done
exit $bad
