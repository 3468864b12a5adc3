#!/bin/bash
# Fifty runs in a row through either interface: the short test's last step, longer.
XRT_RUNS=50 exec bash "$(dirname "$0")/../xrt.sh"
