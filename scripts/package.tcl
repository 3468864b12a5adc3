# package.tcl OUT PART CLOCK.xdc KERNEL.xml ip|xo: Vivado packages OUT/src/*.sv as the IP OUT/ip and, for xo, as the Vitis kernel
# OUT/bitpress.xo. Untested: needs Vivado (xo: that of a Vitis installation). scripts/bitstream.sh calls it.
lassign $argv out part xdc kernel what

create_project -force -part $part package $out/package
add_files -norecurse [lsort [glob $out/src/*.sv]]
set_property top bp_kernel [current_fileset]
update_compile_order -fileset sources_1
add_files -fileset constrs_1 -norecurse $xdc
set_property USED_IN {out_of_context synthesis implementation} [get_files $xdc]

ipx::package_project -root_dir $out/ip -vendor bitpress -library rtl -taxonomy /UserIP -import_files -set_current true
set core [ipx::current_core]
# Name and version are those of vlnv in kernel.xml.
set file [open $kernel]
if {![regexp {vlnv="bitpress:rtl:(\w+):([0-9.]+)"} [read $file] all name version]} {
    error "$kernel: no vlnv"
}
close $file
set_property name $name $core
set_property version $version $core
set_property display_name Bitpress $core
# Ports are found by their names (rtl/bp_kernel.sv); the clock's rate is the design's that instantiates it.
ipx::associate_bus_interfaces -busif s_axi_control -clock ap_clk $core
ipx::associate_bus_interfaces -busif m_axi_gmem -clock ap_clk $core
set_property ipi_drc {ignore_freq_hz true} $core
if {$what eq "xo"} {
    set_property sdx_kernel true $core
    set_property sdx_kernel_type rtl $core
    set_property vitis_drc {ctrl_protocol ap_ctrl_hs} $core
}
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project

if {$what eq "xo"} {
    package_xo -force -xo_path $out/bitpress.xo -kernel_name $name -ip_directory $out/ip -kernel_xml $kernel
}
