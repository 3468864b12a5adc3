/* What the room's files share. */
#ifndef DEVICE_INTERNAL_H
#define DEVICE_INTERNAL_H

#include "device/device.h"

/* xml.c: the kernel as XRT's metadata describes it; appended to `t`. */
void device_kernel_xml(struct base_text *t, const struct hw *hw);
/* Name of the emulated platform, the same in xclbin and emconfig.json. */
void device_platform(char name[64], const struct hw *hw);

/* remove.c: a folder and all in it; what cannot be removed stays. */
void device_remove_tree(const char *dir);

#endif
