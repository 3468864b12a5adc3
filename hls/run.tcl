# run.tcl: synthesis of bp_kernel. Untested: needs Vitis HLS.
# From the source tree, after `make gen`: BOARD=pynq-z2 PART=xc7z020clg400-1 CLOCK_NS=6.67 vitis_hls hls/run.tcl
set flags "-I. -Ihost -Ibuild/gen/$::env(BOARD)"
open_project -reset build/hls-$::env(BOARD)
set_top bp_kernel
foreach file {top load decode input fetch array requant maxpool store stream run} {
    add_files hls/$file.c -cflags $flags
}
open_solution -flow_target vitis kernel
set_part $::env(PART)
create_clock -period $::env(CLOCK_NS)
csynth_design
exit
