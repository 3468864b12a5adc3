#!/bin/bash
# prove.sh: what is synthesized as LUTs and carry chains, the counters of bp_popcount and the clamp's comparison, in the
# models of Yosys' cell library, against the plain form: Yosys' SAT solver over all inputs. Then the heap that they make. Then three mutants, which must fail: one
# bit of the LUT's table, the two stages of the carry exchanged, a carry in that is lost.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
command -v yosys > /dev/null || { echo "prove: no yosys (apt-get install yosys)"; exit 1; }
cells=$(dirname "$(command -v yosys)")/../share/yosys/xilinx/cells_sim.v
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# equal MODULE FILE: is FILE's MODULE the same with and without primitives?
equal() {
    yosys -q -p "read_verilog $cells; read_verilog -sv $2
        chparam -set Primitive 1 $1; hierarchy -top $1; proc; flatten; clean; rename $1 gate; design -stash gate
        read_verilog -sv $2; chparam -set Primitive 0 $1; hierarchy -top $1; proc; flatten; clean; rename $1 gold
        design -copy-from gate -as gate gate
        miter -equiv -flatten -make_assert gold gate miter
        sat -verify -prove-asserts miter" > "$dir/log" 2>&1
}

for m in bp_count7 bp_count31 bp_less; do
    equal $m "$root/rtl/$m.sv" || { cat "$dir/log"; echo "prove: $m differs from its plain form"; exit 1; }
done

# The heap of counters, over all 2^42 inputs.
cat > "$dir/gold.v" << 'V'
module gold(input [20:0] low_i, input [20:0] high_i, output [7:0] count_o);
  assign count_o = low_i[2:0] + low_i[5:3] + low_i[8:6] + low_i[11:9] + low_i[14:12] + low_i[17:15] + low_i[20:18] +
    2 * (high_i[2:0] + high_i[5:3] + high_i[8:6] + high_i[11:9] + high_i[14:12] + high_i[17:15] + high_i[20:18]);
endmodule
V
yosys -q -p "read_verilog -nosynthesis -sv $root/rtl/bp_count7.sv $root/rtl/bp_count31.sv $root/rtl/bp_heap.sv
    hierarchy -top bp_heap; proc; flatten; clean; rename bp_heap gate; design -stash gate
    read_verilog $dir/gold.v; hierarchy -top gold; proc; opt; design -copy-from gate -as gate gate
    miter -equiv -flatten -make_assert gold gate miter
    sat -verify -prove-asserts miter" > "$dir/log" 2>&1 || { cat "$dir/log"; echo "prove: bp_heap is not the sum"; exit 1; }

# mutant NAME SED: bp_count7 changed by SED must be found out by the proof, not by a syntax error.
mutant() {
    sed "$2" "$root/rtl/bp_count7.sv" > "$dir/bp_count7.sv"
    if cmp -s "$dir/bp_count7.sv" "$root/rtl/bp_count7.sv"; then echo "prove: mutant '$1' changes nothing"; exit 1; fi
    if equal bp_count7 "$dir/bp_count7.sv"; then echo "prove: mutant '$1' passes"; exit 1; fi
    grep -q 'proof did fail' "$dir/log" || { cat "$dir/log"; echo "prove: mutant '$1' broke the run"; exit 1; }
}
mutant table "s/177e7ee8/177e7ee0/"
mutant stages 's/{2.b00, second, parity}/{2'"'"'b00, parity, second}/'
mutant carry 's/CYINIT(in_i\[6\])/CYINIT(1'"'"'b0)/'
