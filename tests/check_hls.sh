#!/bin/sh
# check_hls.sh DIR: what Vitis HLS asks of C, as far as a pattern can see it: every loop has a label on the line
# before, pragmas stand first in what they govern, no allocation, no pointer casts. Prints each offending line.
set -eu
cd "$1"
awk '
    FNR == 1 { label = 0; open = 1 }
    FILENAME == "estimate.c" { next }        # software only
    /^ *(for|while) \(/ && !label { print FILENAME ":" FNR ": a loop without a label"; bad = 1 }
    /^#pragma HLS (PIPELINE|UNROLL|DATAFLOW|LOOP_TRIPCOUNT|INLINE)/ && !open { print FILENAME ":" FNR ": not the first line of its block"; bad = 1 }
    /(malloc|calloc|realloc|alloca|free) *\(/ { print FILENAME ":" FNR ": memory is static"; bad = 1 }
    /\( *(const )?(struct )?[a-z_0-9]+ \*+ *\)/ { print FILENAME ":" FNR ": a pointer cast"; bad = 1 }
    { label = /^ *[a-z_]+:$/; open = /\{$/ || (open && /^#pragma/) || (/^\{$/) }
    END { exit bad }' *.c
