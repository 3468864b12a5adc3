/* remove.c: a folder and all in it. Links are removed, never followed. */
#define _GNU_SOURCE
#include <ftw.h>

#include "device/device_internal.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    (void)remove(path);
    return 0;
}

void device_remove_tree(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
