/* out: files that are either complete or not there.
 *
 * Written under a temporary name in the same folder, then flushed, synced and
 * renamed. Devices and pipes (/dev/stdout) cannot be replaced and are written
 * directly. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot_write(const char *path, int err)
{
    base_fail(BASE_IO, "%s: cannot write: %s", path, strerror(err));
    switch (err) {
    case ENOSPC:
    case EDQUOT: return base_hint(BASE_IO, "free some space, or write to another folder");
    case EACCES:
    case EPERM:
    case EROFS: return base_hint(BASE_IO, "choose a folder you may write to");
    case ENOENT: return base_hint(BASE_IO, "create the folder first");
    case EFBIG: return base_hint(BASE_IO, "raise the file size limit (ulimit -f)");
    default: return BASE_IO;
    }
}

static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* ".NAME.PID.COUNT.tmp" beside the file: unique among processes and threads. */
static char *temporary_name(const char *path)
{
    static atomic_uint count;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    return base_format("%.*s.%s.%ld.%u.tmp", folder, path, path + folder, (long)getpid(),
                       atomic_fetch_add(&count, 1));
}

int base_out_folder(const char *path)
{
    int rc = base_mkdirs(path);
    return !rc && access(path, W_OK | X_OK) ? cannot_write(path, errno) : rc;
}

int base_out_open(struct base_out *o, const char *path)
{
    *o = (struct base_out){0};
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return base_fail(BASE_IO, "%s: cannot write: it is a folder", path);
    bool direct = is_special(path);
    o->path = base_strdup(path);
    if (o->path && !direct)
        o->tmp = temporary_name(path);
    if (!o->path || (!direct && !o->tmp)) {
        base_out_abort(o);
        return BASE_NOMEM;
    }
    int flags = O_WRONLY | O_CLOEXEC | (direct ? 0 : O_CREAT | O_EXCL);
    int fd = open(direct ? path : o->tmp, flags, 0666);
    if (fd < 0) {
        int rc = cannot_write(path, errno);
        base_free(o->tmp); /* not ours: nothing to remove */
        o->tmp = NULL;
        base_out_abort(o);
        return rc;
    }
    o->fp = fdopen(fd, "wb");
    if (!o->fp) {
        int err = errno;
        close(fd);
        base_out_abort(o);
        return cannot_write(path, err);
    }
    return BASE_OK;
}

/* The rename itself must survive a power cut too; failure here is not the file's. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? base_format("%.*s", (int)(slash - path) + 1, path) : base_strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    base_free(folder);
}

int base_out_commit(struct base_out *o)
{
    int err = 0;
    /* Without errno of the first failed write, a full disk is the likely cause. */
    if (ferror(o->fp))
        err = ENOSPC;
    if (fflush(o->fp) != 0)
        err = errno;
    if (!err && o->tmp && fsync(fileno(o->fp)) != 0)
        err = errno;
    if (fclose(o->fp) != 0 && !err)
        err = errno;
    o->fp = NULL;
    if (!err && o->tmp && rename(o->tmp, o->path) != 0)
        err = errno;
    if (err) {
        int rc = cannot_write(o->path, err);
        base_out_abort(o);
        return rc;
    }
    if (o->tmp)
        sync_folder(o->path);
    base_free(o->tmp);
    base_free(o->path);
    *o = (struct base_out){0};
    return BASE_OK;
}

void base_out_abort(struct base_out *o)
{
    if (!o)
        return;
    if (o->fp)
        fclose(o->fp);
    if (o->tmp)
        unlink(o->tmp);
    base_free(o->tmp);
    base_free(o->path);
    *o = (struct base_out){0};
}

int base_file_write(const char *path, const void *data, size_t len)
{
    struct base_out o;
    int rc = base_out_open(&o, path);
    if (rc)
        return rc;
    errno = 0;
    if (len && fwrite(data, 1, len, o.fp) != len) {
        rc = cannot_write(path, errno ? errno : ENOSPC);
        base_out_abort(&o);
        return rc;
    }
    return base_out_commit(&o);
}
