#!/bin/sh
# check_levels.sh HOST: a room includes itself and rooms of lower levels, nothing else.
# Levels are in HOST/levels.txt. Prints each offending line; exit 1 if there is one.
set -eu
cd "$1"
grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' ./*/*.[ch] | awk '
    FILENAME == "levels.txt" { if ($0 !~ /^#/ && NF) level[$2] = $1; next }
    {
        split($0, part, ":")
        split(part[1], dir, "/")
        room = dir[2]
        match($0, /"[^"]*"/)
        file = substr($0, RSTART + 1, RLENGTH - 2)
        if (!(room in level)) { print "host/" substr(part[1], 3) ": room " room " is not in levels.txt"; bad = 1; next }
        if (index(file, "/") == 0) next
        split(file, dir, "/")
        other = dir[1]
        # generated headers (onnx/onnx.pb-c.h) and hls/ are not rooms
        if (other == room || !(other in level)) next
        if (level[other] >= level[room]) {
            printf "host/%s:%s: %s (level %d) includes %s (level %d)\n", \
                substr(part[1], 3), part[2], room, level[room], file, level[other]
            bad = 1
        }
    }
    END { exit bad }' levels.txt -
