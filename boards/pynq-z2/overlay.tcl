# overlay.tcl OUT PART MHZ: the bitstream of a PYNQ-Z2: the processor, the kernel at 0x40000000 of GP0, its memory port on HP0.
# Untested: needs Vivado. scripts/bitstream.sh calls it; OUT/ip is what scripts/package.tcl made.
#
# The processor's memory, pins and PLLs are set by the board's boot image, before this design is loaded: no board file is needed here.
# FCLK0 is 100 MHz in PYNQ's image; the kernel's clock is made of it in the logic, so that no software has to set it.
lassign $argv out part mhz

create_project -force -part $part overlay $out/overlay
set_property ip_repo_paths $out/ip [current_project]
update_ip_catalog
create_bd_design bitpress

set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7:5.5 ps]
set_property -dict [list CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ 100 CONFIG.PCW_EN_CLK0_PORT 1 CONFIG.PCW_EN_RST0_PORT 1 \
    CONFIG.PCW_USE_M_AXI_GP0 1 CONFIG.PCW_USE_S_AXI_HP0 1 CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64 \
    CONFIG.PCW_USE_FABRIC_INTERRUPT 1 CONFIG.PCW_IRQ_F2P_INTR 1] $ps
set clock [create_bd_cell -type ip -vlnv xilinx.com:ip:clk_wiz:6.0 clock]
set_property -dict [list CONFIG.PRIM_IN_FREQ 100 CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $mhz CONFIG.USE_RESET false] $clock
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset
set control [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 control]
set memory [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 memory]
foreach smart [list $control $memory] {
    set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 1} $smart
}
create_bd_cell -type ip -vlnv bitpress:rtl:bitpress bitpress_1

make_bd_intf_pins_external [get_bd_intf_pins ps/DDR]
make_bd_intf_pins_external [get_bd_intf_pins ps/FIXED_IO]
connect_bd_net [get_bd_pins ps/FCLK_CLK0] [get_bd_pins clock/clk_in1]
connect_bd_net [get_bd_pins clock/clk_out1] [get_bd_pins bitpress_1/ap_clk] [get_bd_pins reset/slowest_sync_clk] \
    [get_bd_pins control/aclk] [get_bd_pins memory/aclk] [get_bd_pins ps/M_AXI_GP0_ACLK] [get_bd_pins ps/S_AXI_HP0_ACLK]
connect_bd_net [get_bd_pins ps/FCLK_RESET0_N] [get_bd_pins reset/ext_reset_in]
connect_bd_net [get_bd_pins clock/locked] [get_bd_pins reset/dcm_locked]
connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins bitpress_1/ap_rst_n] [get_bd_pins control/aresetn] [get_bd_pins memory/aresetn]
connect_bd_net [get_bd_pins bitpress_1/interrupt] [get_bd_pins ps/IRQ_F2P]
connect_bd_intf_net [get_bd_intf_pins ps/M_AXI_GP0] [get_bd_intf_pins control/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins bitpress_1/s_axi_control]
connect_bd_intf_net [get_bd_intf_pins bitpress_1/m_axi_gmem] [get_bd_intf_pins memory/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins memory/M00_AXI] [get_bd_intf_pins ps/S_AXI_HP0]
# The addresses that `bitpress board xclbin` tells XRT.
assign_bd_address -offset 0x40000000 -range 4K -target_address_space [get_bd_addr_spaces ps/Data] [get_bd_addr_segs bitpress_1/s_axi_control/reg0]
assign_bd_address -offset 0x00000000 -range 512M -target_address_space [get_bd_addr_spaces bitpress_1/m_axi_gmem] [get_bd_addr_segs ps/S_AXI_HP0/HP0_DDR_LOWOCM]
validate_bd_design
save_bd_design

set design [get_files bitpress.bd]
generate_target all $design
add_files -norecurse [make_wrapper -files $design -top]
set_property top bitpress_wrapper [current_fileset]
update_compile_order -fileset sources_1
foreach run {synth_1 impl_1} {
    launch_runs $run -jobs 4
    wait_on_run $run
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        error "$run failed: $out/overlay/overlay.runs/$run/runme.log"
    }
}
open_run impl_1
report_timing_summary -file $out/timing.rpt
report_utilization -file $out/utilization.rpt
set slack [get_property SLACK [get_timing_paths -delay_type max]]
write_bitstream -force $out/bitpress.bit
# What Linux's FPGA manager takes: no header, bytes of a word swapped.
write_cfgmem -force -format BIN -interface SMAPx32 -disablebitswap -loadbit "up 0x0 $out/bitpress.bit" $out/bitpress.bin
file copy -force {*}[glob $out/overlay/overlay.gen/sources_1/bd/bitpress/hw_handoff/bitpress.hwh] $out/bitpress.hwh
puts "slack of the slowest path: $slack ns"
if {$slack < 0} {
    error "$mhz MHz are not reached: lower clock.mhz in boards/pynq-z2/board.yaml, and the period in clock.xdc ($out/timing.rpt)"
}
