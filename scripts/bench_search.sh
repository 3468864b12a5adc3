#!/bin/bash
# bench_search.sh BITPRESS: experiments on the search, on ResNet-20 of configs/zoo and CIFAR-10; resumable: a run that is done
# (its summary.json is there) is not repeated, an interrupted one goes on. ROWS names some of
#
#   headline  activations at 8 bits, at the cycles of uniform W3 and W2: searched against the best uniform pair within the
#             limit, before training and after the same fine-tuning. The share of the uniform network's loss that is won back.
#   agents    every agent from a uniform start, and some from sensitivities, at the cycles of W4A4: best so far by trial.
#             (The ablation of ddpg's repairs: make bench-ablation.)
#   joint     channels and bits at 1/2, 1/4, 1/8 of the cycles of W8A8: hypervolume of each agent's front.
#   boards    a policy found for one board, run on the others: what it takes there against the policy found for that board.
#   speed     100 trials with cycles by the RTL: wall time, and the share that is not spent on evaluating candidates.
#
# SEEDS, TRIALS, AGENTS, EPOCHS, OUT (default runs/bench-search), MODEL and DATA have defaults below; all accuracies but the last
# column of headline are of held-out training images.
set -eu
bitpress=$1
root=$(cd "$(dirname "$0")/.." && pwd)
out=${OUT:-runs/bench-search}
seeds=${SEEDS:-1 2 3 4 5}
trials=${TRIALS:-100}
epochs=${EPOCHS:-2}
validation=${VALIDATION:-2000}
held_out=${HELD_OUT:-5000}
agents=${AGENTS:-random evolve gp tpe ddpg-amc ddpg-haq ddpg-pocketflow ilp}
model=${MODEL:-$root/configs/zoo/resnet20-cifar10.onnx}
rows=${ROWS:-headline agents joint boards speed}
[ -n "${DATA:-}" ] || [ -n "${BITPRESS_CIFAR10:-}" ] || { echo "BITPRESS_CIFAR10 names no folder with data_batch_1..5.bin and test_batch.bin"; exit 77; }
data=${DATA:-cifar10:$BITPRESS_CIFAR10}
export BITPRESS_BOARDS=${BITPRESS_BOARDS:-$root/boards}
boards="pynq-z2 kv260 zcu104"
mkdir -p "$out"

# uniform W A BOARD: cycles of a uniform pair
uniform() { "$bitpress" sweep "$model" --w "$1" --a "$2" --board "$3" --json --quiet | jq '.points[0].cycles'; }

# The runs, one a line: row, name, limit, board, seed, settings of `search`, others of the file.
list=
add() { list="$list$1|$2-$5|$3|$4|$5|$6|$7
"; }
wanted() { case " $rows " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
# No fine-tuning where the cheap rung alone is compared.
none="finetune: {epochs: 0, top: 1}"
for seed in $seeds; do
    if wanted headline; then
        for w in 3 2; do
            add headline "headline-w$w" "$(uniform $w 8 pynq-z2)" pynq-z2 "$seed" "a_min: 8, a_max: 8, w_min: 1, agent: gp" "finetune: {epochs: $epochs, top: 2}"
        done
    fi
    if wanted agents; then
        for agent in $agents; do
            add agents "agents-$agent-uniform" "$(uniform 4 4 pynq-z2)" pynq-z2 "$seed" "agent: $agent, start: uniform, backend: model" "$none"
        done
        for agent in evolve gp tpe; do
            add agents "agents-$agent-sensitivities" "$(uniform 4 4 pynq-z2)" pynq-z2 "$seed" "agent: $agent, backend: model" "$none"
        done
    fi
    if wanted joint; then
        all=$(uniform 8 8 pynq-z2)
        for share in 2 4 8; do
            for agent in $agents; do
                add joint "joint-1_$share-$agent" $((all / share)) pynq-z2 "$seed" "agent: $agent, start: uniform, backend: model, keep: [0.5, 0.75, 1]" "$none"
            done
        done
    fi
    if wanted boards; then
        for board in $boards; do
            add boards "boards-$board" "$(uniform 4 4 "$board")" "$board" "$seed" "agent: gp, backend: model" "$none"
        done
    fi
done
wanted speed && add speed speed "$(uniform 4 4 pynq-z2)" pynq-z2 "${seeds%% *}" "agent: gp" "$none"

# seconds ROW: of one run, as the finished ones took; before the first of a row is done, 4 s a trial and 150 s an epoch and network
seconds() {
    local known guess=$((4 * trials + 60))
    [ "$1" = headline ] && guess=$((guess + 5 * epochs * 150))
    known=$(cat "$out/$1"-*/summary.json 2>/dev/null | jq -s 'if length > 0 then (map(.wall_s) | add / length | round) else empty end')
    echo "${known:-$guess}"
}
left=0 wall=0
while IFS='|' read -r row name _; do
    [ -n "$row" ] || continue
    [ -e "$out/$name/summary.json" ] || { left=$((left + 1)); wall=$((wall + $(seconds "$row"))); }
done <<<"$list"
echo "$left runs to go, about $((wall / 60)) minutes (measured where a run of the row is done, else assumed)" >&2

while IFS='|' read -r row name limit board seed search more; do
    [ -n "$row" ] && [ ! -e "$out/$name/summary.json" ] || continue
    echo "-- $name" >&2
    objective=best
    [ "$row" = joint ] && objective=pareto
    cat >"$out/$name.yaml" <<END
model: "$model"
data: "$data"
held_out: $held_out
seed: $seed
out: "$out/$name"
board: $board
verify: 4
train: {pad: 4, flip: true}
target: {cycles: $limit, objective: $objective}
search: {trials: $trials, validation: $validation, $search}
$more
END
    rc=0
    "$bitpress" compress "$out/$name.yaml" --resume --quiet >"$out/$name.txt" </dev/null || rc=$?
    [ $rc -eq 0 ] || { cat "$out/$name.txt"; echo "$name: exit $rc" >&2; exit 1; }
done <<<"$list"

# ---- the tables ----
# export NAME: the study as JSON
export_of() { "$bitpress" study export "$out/$1/study.db" --format json; }
# spread: mean and standard deviation of the numbers on stdin, each times $1
spread() {
    jq -rs --argjson f "$1" 'map(. * $f) | (add / length) as $m | (if length > 1 then (map((. - $m) * (. - $m)) | add / (length - 1) | sqrt) else 0 end) as $d |
        def digits: if $f > 1 then 100 else 10000 end; "\(($m * digits | round) / digits) ± \(($d * digits | round) / digits)"'
}
# over NAME FILTER FACTOR: a number of each seed's study; over_summary: of its summary
over() { for s in $seeds; do export_of "$1-$s" | jq "$2"; done | spread "$3"; }
over_summary() { for s in $seeds; do jq "$2" "$out/$1-$s/summary.json"; done | spread "$3"; }

if wanted headline; then
    echo "| headline: limit | points lost, best uniform, rung 0 | searched, rung 0 | best uniform, rung 1 | searched, rung 1 | best uniform, test | searched, test |"
    echo "|---|---|---|---|---|---|---|"
    for w in 3 2; do
        printf '| cycles of W%dA8 ' $w
        for rung in 0 1; do
            over "headline-w$w" "[.finalists[] | select(.state == \"done\" and .rung == $rung and .parent == null and (.name | startswith(\"best uniform\"))) | .loss] | min" 100 | tr -d '\n' | sed 's/^/| /; s/$/ /'
            over "headline-w$w" "[.finalists[] | select(.state == \"done\" and .rung == $rung and .parent != null) | .loss] | min" 100 | tr -d '\n' | sed 's/^/| /; s/$/ /'
        done
        over_summary "headline-w$w" '.rows[] | select(.name | startswith("best uniform")) | .loss' 100 | tr -d '\n' | sed 's/^/| /; s/$/ /'
        over_summary "headline-w$w" '.rows[] | select(.name == "searched") | .loss' 100 | sed 's/^/| /; s/$/ |/'
    done
fi
if wanted agents; then
    echo "| agents: best accuracy within the limit after | 10 trials | 25 | 50 | 100 |"
    echo "|---|---|---|---|---|"
    for run in $(for a in $agents; do echo "$a-uniform"; done) evolve-sensitivities gp-sensitivities tpe-sensitivities; do
        printf '| %s ' "$run"
        for n in 10 25 50 100; do
            over "agents-$run" "[.trials[] | select(.id < $n and .feasible and .rung >= 0 and .state == \"done\") | .top1] | max // 0" 100 | tr -d '\n' | sed 's/^/| /; s/$/ /'
        done
        echo "|"
    done
fi
if wanted joint; then
    echo "| joint: hypervolume against chance and the limit | 1/2 of W8A8 | 1/4 | 1/8 |"
    echo "|---|---|---|---|"
    for agent in $agents; do
        printf '| %s ' "$agent"
        for share in 2 4 8; do
            for s in $seeds; do "$bitpress" study show "$out/joint-1_$share-$agent-$s/study.db" --json | jq '.hypervolume | split(" ")[0] | tonumber'; done | spread 1 | tr -d '\n' | sed 's/^/| /; s/$/ /'
        done
        echo "|"
    done
fi
if wanted boards; then
    echo "| boards: cycles beside the policy found there, % more | on pynq-z2 | kv260 | zcu104 |"
    echo "|---|---|---|---|"
    for from in $boards; do
        printf '| found for %s ' "$from"
        for on in $boards; do
            for s in $seeds; do
                mine=$(jq .best.cycles "$out/boards-$on-$s/summary.json")
                "$bitpress" study best "$out/boards-$from-$s/study.db" --recipe >"$out/policy.yaml"
                theirs=$("$bitpress" check "$model" --recipe "$out/policy.yaml" --board "$on" --json | jq ".widths[] | select(.width == \"recipe\") | .cycles")
                jq -n "($theirs / $mine - 1)"
            done | spread 100 | tr -d '\n' | sed 's/^/| /; s/$/ /'
        done
        echo "|"
    done
fi
if wanted speed; then
    name=speed-${seeds%% *}
    export_of "$name" | jq -r --argjson search "$(jq '.facts["time: search"] | split(" ")[0] | tonumber' "$out/$name/summary.json")" '
        ([.trials[].wall_s] | add) as $spent | "speed: \(.trials | length) trials in \($search) s, \(($search - $spent) / $search * 1000 | round / 10) % of it not on candidates, cycles: \([.trials[].cycles_source] | unique | join(" "))"'
fi
