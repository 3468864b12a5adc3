/* What the room's files share. */
#ifndef DEVICE_INTERNAL_H
#define DEVICE_INTERNAL_H

#include "device/device.h"

/* Where an xclbin's kernel and memory are, and what loads it. */
struct device_place {
    const char *what, *target;     /* in names and metadata */
    int mode;                      /* of the header */
    uint64_t cu_base, mem_base, mem_bytes;
};
extern const struct device_place device_emulation;

/* xml.c: the kernel as XRT's metadata describes it; appended to `t`. */
void device_metadata(struct base_text *t, const struct hw *hw, const struct device_place *at);
/* Name of the platform, the same in xclbin and emconfig.json. */
void device_platform(char name[64], const struct hw *hw, const struct device_place *at);

/* remove.c: a folder and all in it; what cannot be removed stays. */
void device_remove_tree(const char *dir);

#endif
