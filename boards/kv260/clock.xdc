# The kernel's clock where it is synthesized by itself: 200 MHz of board.yaml. Within a design the clock is that design's.
# Untested: needs Vivado.
create_clock -name ap_clk -period 5.000 [get_ports ap_clk]
