/* narrow.h: a program for fewer activation words than its maps want: they go through the scratch. */
#ifndef BITPRESS_NARROW_H
#define BITPRESS_NARROW_H

#include "accel/accel.h"

/* Of a device with the fewest eighths of the words that the maps want with which it still goes. */
static inline int compile_narrow(struct accel_program **p, const struct fixed_net *net, const struct hw *board)
{
    struct hw hw = *board;
    int rc = accel_compile(p, net, board), words = rc ? 0 : (*p)->act_words;
    for (int k = 1; !rc && k < 8; k++) {
        struct accel_program *q;
        hw.act_depth = words * k / 8;
        if (hw.act_depth == 0 || accel_compile(&q, net, &hw))
            continue;
        accel_program_free(*p);
        *p = q;
        return 0;
    }
    return rc;
}

#endif
