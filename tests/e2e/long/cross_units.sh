#!/bin/bash
# The unit tests of what runs on a board, for both ARMs, under qemu.
ARCHES="aarch64 armhf" UNITS="base base_files config fixed qref pack hw accel_model accel_structure runtime device data" exec bash "$(dirname "$0")/../cross.sh"
