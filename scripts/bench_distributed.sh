#!/bin/bash
# bench_distributed.sh BITPRESS: the tables of docs/distributed.md: ResNet-20 on CIFAR-10 by several ranks.
#
#   PARTS   "accuracy scaling network" (default: all)
#   CODES   rows of accuracy (default: exact, and ecq and qsgd at 8, 4 and 2 bits)
#   EPOCHS  of each row of accuracy (default 70)      RANKS  of accuracy and network (default 4)
#   HELD_OUT  training images not trained on (default 5000; 49000 leaves 7 steps an epoch, to see it run)
#   STEPS   of each row of network (default 24)
#   RATES   of the network's links (default "1gbit 100mbit"), as tc takes them
#   OUT     keeps the runs (default runs/distributed); a run that is done is not repeated, one that was interrupted goes on
#
# network: each rank has a network namespace of its own, all on one bridge in another; nothing outside them is touched, and they are
# removed at the end. It needs root, ip, tc and unshare.
set -eu
bitpress=$1
[ -n "${BITPRESS_CIFAR10:-}" ] || { echo "BITPRESS_CIFAR10 names no folder with data_batch_1..5.bin and test_batch.bin"; exit 77; }
command -v mpirun >/dev/null || { echo "mpirun is not installed (apt-get install openmpi-bin)"; exit 77; }
parts=${PARTS:-accuracy scaling network}
epochs=${EPOCHS:-70}
ranks=${RANKS:-4}
held_out=${HELD_OUT:-5000}
steps=${STEPS:-24}
rates=${RATES:-1gbit 100mbit}
out=$(mkdir -p "${OUT:-runs/distributed}" && cd "${OUT:-runs/distributed}" && pwd)
codes="${CODES:-exact ecq-8 ecq-4 ecq-2 qsgd-8 qsgd-4 qsgd-2}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# job NAME EPOCHS DATA HELD_OUT IMAGES CODE BATCHNORM: a configuration for IMAGES to train on; CODE is exact or METHOD-BITS
job() {
    mkdir -p "$out/$1"
    cat >"$out/$1/job.yaml" <<END
model: resnet20
data: $3
held_out: $4
out: $out/$1
train: {epochs: $2, batch: 128, lr: 0.2, warmup: $((2 * $5 / 128)), pad: 4, flip: true}
distributed: {gradients: ${6%-*}, bits: $([ "$6" = exact ] && echo 4 || echo "${6#*-}"), batchnorm: $7}
END
}
# npy TYPE SHAPE: the head of a NumPy file
npy() { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"; }
# noise N: images that are good for their time alone
noise() {
    { npy '|u1' "$1, 32, 32, 3"; cat "$BITPRESS_CIFAR10"/data_batch_*.bin | head -c $(($1 * 3072)); } >"$out/noise-x.npy"
    { npy '|u1' "$1,"; head -c "$1" "$BITPRESS_CIFAR10/data_batch_1.bin" | tr '\012-\377' '\000'; } >"$out/noise-y.npy"
}
done_already() { [ -s "$out/$1/result.json" ]; }
# train NAME COMMAND...: the configuration's training by COMMAND, its JSON kept when it is whole
train() {
    name=$1
    shift
    echo "-- $name" >&2
    "$@" train "$out/$name/job.yaml" --resume --json >"$out/$name/result.tmp"
    mv "$out/$name/result.tmp" "$out/$name/result.json"
}
value() { jq -r "$2" "$out/$1/$3.json"; }

accuracy() {
    left=0
    for c in $codes; do done_already "accuracy-$c" || left=$((left + 1)); done
    # an epoch of 45,000 images took about 70 s on two quiet cores
    echo "accuracy: $left rows to go, about $((left * epochs * (50000 - held_out) / 45000 * 70 / 60)) minutes on two cores" >&2
    for c in $codes; do
        name=accuracy-$c
        done_already $name && continue
        job $name "$epochs" "cifar10:$BITPRESS_CIFAR10" "$held_out" $((50000 - held_out)) "$c" synchronized
        train $name mpirun -q -n "$ranks" --oversubscribe "$bitpress"
    done
    echo "| $ranks ranks, $epochs epochs | held out top-1 | test top-1 | gradient bytes a step and rank | all bytes | fewer | s |"
    echo "|---|---|---|---|---|---|---|"
    exact=$(value accuracy-exact .ranks.gradient_bytes_per_step result)
    for c in $codes; do
        name=accuracy-$c
        [ -s "$out/$name/test.json" ] || "$bitpress" eval "$out/$name/model.onnx" --data "cifar10:$BITPRESS_CIFAR10" --json --quiet >"$out/$name/test.json"
        jq -r --arg c "$c" --argjson exact "$exact" --slurpfile t "$out/$name/test.json" '.ranks as $r |
            "| \($c) | \(10000 * .validation_top1 | round / 100) | \(10000 * $t[0].top1 | round / 100) | \($r.gradient_bytes_per_step | round) | \($r.gradient_bytes_per_step + $r.other_bytes_per_step | round) | \(10 * $exact / $r.gradient_bytes_per_step | round / 10) x | \(.wall_s | round) |"' "$out/$name/result.json"
    done
}

scaling() {
    echo "scaling: about 4 minutes on two cores" >&2
    for n in 1 2; do
        done_already "scaling-$n" && continue
        job "scaling-$n" 1 "cifar10:$BITPRESS_CIFAR10" "$held_out" $((50000 - held_out)) exact synchronized
        if [ $n = 1 ]; then train scaling-1 "$bitpress"; else train scaling-2 mpirun -q -n 2 --oversubscribe "$bitpress"; fi
    done
    echo "| two cores, one epoch | images/s |"
    echo "|---|---|"
    for n in 1 2; do
        jq -r --arg what "$([ $n = 1 ] && echo '1 rank, 2 threads' || echo '2 ranks, 1 thread each')" --argjson images $(((50000 - held_out) / 128 * 128)) \
            '"| \($what) | \($images / .wall_s | round) |"' "$out/scaling-$n/result.json"
    done
}

# ---- ranks that are hosts to each other ---------------------------------------------------------
ns=bitpress-$$
spaces_end() {
    for i in $(seq 0 "$ranks"); do ip netns del $ns-$i 2>/dev/null || true; done
    rm -f "$out/agent.sh"
}
# spaces RATE: namespaces 0 .. ranks-1 with the address 10.77.0.(i+1), and one for the bridge
spaces() {
    ip netns add $ns-"$ranks" && ip -n $ns-"$ranks" link add bridge type bridge && ip -n $ns-"$ranks" link set bridge up || return 1
    for i in $(seq 0 $((ranks - 1))); do
        ip netns add $ns-$i &&
            ip link add name eth netns $ns-$i type veth peer name port$i netns $ns-"$ranks" &&
            ip -n $ns-"$ranks" link set port$i master bridge && ip -n $ns-"$ranks" link set port$i up &&
            ip -n $ns-$i addr add 10.77.0.$((i + 1))/24 dev eth && ip -n $ns-$i link set eth up && ip -n $ns-$i link set lo up &&
            ip netns exec $ns-$i tc qdisc add dev eth root tbf rate "$1" burst 256kb latency 50ms || return 1
    done
    # what mpirun starts the other hosts' daemons by
    printf '#!/bin/sh\nhost=$1\nshift\nn=$((${host##*.} - 1))\nexec ip netns exec %s-$n unshare --uts sh -c "hostname %s-$n; $*"\n' $ns $ns >"$out/agent.sh"
    chmod +x "$out/agent.sh"
}
in_spaces() {
    hosts=$(for i in $(seq 1 "$ranks"); do printf '%s10.77.0.%d' "$([ "$i" = 1 ] || echo ,)" "$i"; done)
    ip netns exec $ns-0 unshare --uts sh -c 'hostname "$0"; exec "$@"' $ns-0 mpirun -q -n "$ranks" --host "$hosts" --mca plm_rsh_agent "$out/agent.sh" \
        --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 --bind-to none "$bitpress" "$@" --threads 1
}
network() {
    for tool in ip tc unshare; do command -v $tool >/dev/null || { echo "network: skipped: there is no $tool"; return 0; }; done
    [ "$(id -u)" = 0 ] || { echo "network: skipped: needs root"; return 0; }
    echo "network: about 2 minutes a rate on two cores" >&2
    noise $((steps * 128 + 100))
    data=npy:$out/noise-x.npy,$out/noise-y.npy,$out/noise-x.npy,$out/noise-y.npy
    trap spaces_end EXIT
    trap 'exit 130' INT TERM
    for rate in $rates; do
        spaces_end
        spaces "$rate" 2>"$out/spaces.txt" || { echo "network: skipped: no namespaces with limited links here: $(tail -n 1 "$out/spaces.txt")"; return 0; }
        for c in exact ecq-8 ecq-4 ecq-2 exact+local ecq-2+local; do
            name=network-$rate-$c
            done_already "$name" && continue
            case $c in *+local) job "$name" 1 "$data" 100 $((steps * 128)) "${c%+*}" local ;; *) job "$name" 1 "$data" 100 $((steps * 128)) "$c" synchronized ;; esac
            train "$name" in_spaces
        done
    done
    echo "| $ranks ranks, links of | gradients | batch norm | ms a step |"
    echo "|---|---|---|---|"
    for rate in $rates; do
        for c in exact ecq-8 ecq-4 ecq-2 exact+local ecq-2+local; do
            jq -r --argjson steps "$steps" --arg rate "$rate" --arg c "${c%+*}" --arg bn "$(case $c in *+local) echo local ;; *) echo synchronized ;; esac)" \
                '"| \($rate) | \($c) | \($bn) | \(1000 * .wall_s / $steps | round) |"' "$out/network-$rate-$c/result.json"
        done
    done
}

for part in $parts; do
    case $part in
    accuracy | scaling | network) $part ;;
    *) echo "PARTS: '$part' is none of accuracy, scaling, network" >&2; exit 2 ;;
    esac
done
