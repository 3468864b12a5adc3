# vivado.tcl: stands for Vivado and Vitis HLS in tests: `tclsh vivado.tcl -mode batch -source SCRIPT -tclargs ARG...` runs SCRIPT with the commands below in place
# of Vivado's. It knows their names and options and holds them to what it has seen: files exist, pins belong to cells, a run
# follows its launch. Each call is a line of $RECORD; SLACK is the timing's answer. It says nothing about the real tool.
set known {
    create_project {-force -part} add_files {-norecurse -fileset -tb -cflags} set_property {-dict} current_fileset {} update_compile_order {-fileset}
    get_files {} ipx::package_project {-root_dir -vendor -library -taxonomy -import_files -set_current} ipx::current_core {}
    ipx::associate_bus_interfaces {-busif -clock} ipx::create_xgui_files {} ipx::update_checksums {} ipx::check_integrity {} ipx::save_core {}
    close_project {} package_xo {-force -xo_path -kernel_name -ip_directory -kernel_xml} current_project {} update_ip_catalog {}
    create_bd_design {} create_bd_cell {-type -vlnv} make_bd_intf_pins_external {} get_bd_intf_pins {} get_bd_pins {} connect_bd_net {}
    connect_bd_intf_net {} assign_bd_address {-offset -range -target_address_space} get_bd_addr_spaces {} get_bd_addr_segs {} validate_bd_design {}
    save_bd_design {} generate_target {} make_wrapper {-files -top} launch_runs {-jobs} wait_on_run {} get_property {} get_runs {} open_run {}
    report_timing_summary {-file} report_utilization {-file} get_timing_paths {-delay_type} write_bitstream {-force}
    write_cfgmem {-force -format -interface -disablebitswap -loadbit}
    open_project {-reset} set_top {} open_solution {-flow_target} set_part {} create_clock {-period} csim_design {} csynth_design {} cosim_design {}
}
set flags {-force -norecurse -import_files -top -disablebitswap -dict -reset -tb}
set files {} ; set cells {} ; set runs {} ; set connected {}
set record [open $env(RECORD) a]

proc fail {text} { puts stderr "vivado.tcl: $text"; exit 1 }
proc must_exist {file} { if {![file exists $file]} { fail "there is no file $file" } }
proc touch {file} { file mkdir [file dirname $file]; close [open $file w] }
proc of_cell {pins} {
    foreach pin $pins {
        if {[lindex [split $pin /] 0] ni $::cells} { fail "$pin: no such cell" }
    }
}
# {options arguments}: options with their values, taken out of `words`.
proc options {name words} {
    set options {} ; set rest {}
    while {[llength $words]} {
        set words [lassign $words word]
        if {![regexp {^-[a-z]} $word]} { lappend rest $word; continue }
        if {$word ni [dict get $::known $name]} { fail "$name has no option $word" }
        if {$word in $::flags} { dict set options $word 1; continue }
        set words [lassign $words value]
        dict set options $word $value
    }
    list $options $rest
}
proc call {name words} {
    puts $::record [list $name {*}$words]
    lassign [options $name $words] o rest
    switch $name {
        create_project { if {![dict exists $o -part]} { fail "a project without a part" }; set ::project [lindex $rest 1]/[lindex $rest 0] }
        add_files { foreach f [join $rest] { must_exist $f; lappend ::files $f } }
        get_files { foreach f $rest { if {[lsearch -glob $::files *$f] < 0} { fail "$f was not added" } }; return $rest }
        ipx::current_core { return core }
        ipx::package_project { touch [dict get $o -root_dir]/component.xml }
        package_xo { must_exist [dict get $o -kernel_xml]; must_exist [dict get $o -ip_directory]/component.xml; touch [dict get $o -xo_path] }
        create_bd_design { lappend ::files [lindex $rest 0].bd }
        create_bd_cell { lappend ::cells [lindex $rest 0]; return $rest }
        get_bd_pins - get_bd_intf_pins - get_bd_addr_segs - get_bd_addr_spaces { of_cell $rest; return $rest }
        connect_bd_net - connect_bd_intf_net {
            foreach pin [lrange $rest 1 end] { if {$pin in $::connected} { fail "$pin is connected twice" } }
            lappend ::connected {*}$rest
        }
        generate_target { touch [file dirname $::project]/overlay.gen/sources_1/bd/bitpress/hw_handoff/bitpress.hwh }
        make_wrapper { set w [file dirname $::project]/wrapper.v; touch $w; return $w }
        launch_runs { lappend ::runs {*}$rest }
        wait_on_run - open_run - get_runs { if {[lindex $rest 0] ni $::runs} { fail "$name [lindex $rest 0]: not launched" }; return $rest }
        get_timing_paths { return path }
        get_property { return [dict get {PROGRESS 100%} [lindex $rest 0]] }
        report_timing_summary - report_utilization { touch [dict get $o -file] }
        write_bitstream { touch [lindex $rest 0] }
        write_cfgmem { must_exist [lindex [dict get $o -loadbit] 2]; touch [lindex $rest 0] }
        current_fileset - current_project { return $name }
    }
    return
}
foreach {name allowed} $known {
    if {[string match ipx::* $name]} { namespace eval ipx {} }
    proc ::$name args "call $name \$args"
}
proc ::get_property args {
    if {[lindex $args 0] eq "SLACK"} { call get_timing_paths {}; return $::env(SLACK) }
    call get_property $args
}

set script [lindex $argv [expr {[lsearch $argv -source] + 1}]]
set f [open $script]; set text [read $f]; close $f
if {![info complete $text]} { fail "$script is not complete" }
set argv [lrange $argv [expr {[lsearch $argv -tclargs] + 1}] end]
if {[catch {source $script} message]} { puts stderr "$script: $message"; exit 1 }
