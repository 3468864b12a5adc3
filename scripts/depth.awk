# depth.awk: longest path between registers in a mapped BLIF netlist: LUTs, and carry or wide-multiplexer
# cells at a quarter of one; then how many ends have more than `bar` LUTs in front of them, carries left out (-v list=1: which).
# Registers, block RAMs and DSPs begin and end paths. No wire delays.
$1 == ".subckt" || $1 == ".gate" {
    type = $2
    lut = type ~ /^LUT[1-6]$|^LUT6_2$|^INV$/; fast = type ~ /^(CARRY4|MUXF[78])$/
    if (lut || fast) { n++; weight[n] = lut ? 1 : 0.25; cell[n] = type }
    for (i = 3; i <= NF; i++) {
        at = index($i, "=")
        pin = substr($i, 1, at - 1); net = substr($i, at + 1)
        if (!(lut || fast)) { if (net in ends) continue; ends[net] = 1; continue }
        if (pin ~ /^O/ || pin ~ /^CO/) driver[net] = n
        else input[n] = input[n] " " net
    }
}
# Arrival at a cell's output; deep recursion is bounded by the depth itself.
function arrive(c,   k, m, list, d, most, best, from) {
    if (c in time) return time[c]
    time[c] = 0                            # a loop, were there one, ends here
    m = split(input[c], list, " ")
    for (k = 1; k <= m; k++)
        if (list[k] in driver) {
            d = driver[list[k]]
            if (arrive(d) > best) { best = arrive(d); from = d }
            if (luts[d] > most) most = luts[d]
        }
    before[c] = from
    luts[c] = most + (weight[c] == 1)
    return time[c] = best + weight[c]
}
BEGIN { if (bar == "") bar = 7 }
END {
    for (net in ends) {
        if (!(net in driver)) continue
        if (arrive(driver[net]) > worst) { worst = arrive(driver[net]); at_net = net }
        if (luts[driver[net]] > bar) { deep++; if (list) print luts[driver[net]], net }
        if (luts[driver[net]] > deepest) deepest = luts[driver[net]]
    }
    for (c = driver[at_net]; c; c = before[c]) { if (weight[c] == 1) path++; else carries++ }
    printf "longest path between registers: %d LUTs and %d carry cells, into %s\n", path, carries, at_net
    printf "%d ends deeper than %d LUTs, the deepest %d\n", deep, bar, deepest
}
