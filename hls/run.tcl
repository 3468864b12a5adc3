# run.tcl: bp_kernel through Vitis HLS: simulation of the C, synthesis, cosimulation of the RTL it makes. Untested: needs Vitis HLS.
# From the source tree, after `make gen` and `bitpress pack export PACK DIR/pack.h` (a pack of the board):
#   BOARD=pynq-z2 PART=xc7z020clg400-1 CLOCK_NS=6.667 PACK_DIR=DIR [STEPS="csim csynth cosim"] vitis_hls hls/run.tcl
# The reports beside the estimate (docs/hls.md): build/hls-BOARD/kernel/syn/report, sim/report.
set steps [expr {[info exists ::env(STEPS)] ? $::env(STEPS) : "csim csynth cosim"}]
set flags "-I. -Ihost -Ibuild/gen/$::env(BOARD)"
open_project -reset build/hls-$::env(BOARD)
set_top bp_kernel
foreach file {top load decode input fetch array requant maxpool store stream run} {
    add_files hls/$file.c -cflags $flags
}
add_files -tb hls/bench/bench.c -cflags "$flags -I$::env(PACK_DIR)"
open_solution -flow_target vitis kernel
set_part $::env(PART)
create_clock -period $::env(CLOCK_NS)
foreach step $steps {
    switch $step {
        csim { csim_design }
        csynth { csynth_design }
        cosim { cosim_design }
        default { error "STEPS: $step is not csim, csynth or cosim" }
    }
}
exit
