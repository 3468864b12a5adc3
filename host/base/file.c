/* file: whole files into memory, plain or gzip, and folders. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static int too_large(const char *path, size_t max_bytes)
{
    return base_fail(BASE_INPUT, "%s: larger than the %zu bytes allowed for such a file", path, max_bytes);
}

/* BASE_INPUT for what the user can only have named wrongly. */
static int cannot_open(const char *path, int err)
{
    int code = err == ENOENT || err == ENOTDIR || err == EISDIR ? BASE_INPUT : BASE_IO;
    base_fail(code, "%s: %s", path, strerror(err));
    return err == ENOENT ? base_hint(code, "check the path; relative paths start at the current folder") : code;
}

/* A named pipe whose writer has not come yet: waited for in steps, so that a signal is noticed. */
static int wait_for_writer(int fd, const char *path)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (poll(&p, 1, 200) <= 0)
        if (base_stop_requested())
            return base_fail(BASE_STOPPED, "%s: stopped; nothing wrote to this pipe", path);
    return fcntl(fd, F_SETFL, 0) ? cannot_open(path, errno) : BASE_OK;
}

static int open_for_reading(int *fd, size_t *size, const char *path)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);       /* the opening of a pipe would wait */
    if (*fd < 0)
        return cannot_open(path, errno);
    int err = fstat(*fd, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (err) {
        close(*fd);
        return cannot_open(path, err);
    }
    *size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 0;
    int rc = S_ISREG(st.st_mode) ? BASE_OK : wait_for_writer(*fd, path);
    if (rc)
        close(*fd);
    return rc;
}

/* Reads until end of file: `pull` returns the bytes read, 0 at the end, negative on error. */
typedef long pull_fn(void *source, void *buf, size_t n);

static int read_all(uint8_t **out, size_t *len, const char *path, size_t first_guess, size_t max_bytes,
                    pull_fn *pull, void *source)
{
    size_t cap = BASE_MIN(first_guess, max_bytes) + 2, n = 0; /* one to see an excess, one for the NUL */
    uint8_t *buf = base_alloc(cap);
    if (!buf)
        return BASE_NOMEM;
    for (;;) {
        long got = pull(source, buf + n, BASE_MIN(cap - 1 - n, (size_t)1 << 28));
        if (got < 0) {
            base_free(buf);
            return BASE_IO;
        }
        n += (size_t)got;
        if (n > max_bytes) {
            base_free(buf);
            return too_large(path, max_bytes);
        }
        if (got == 0)
            break;
        if (n == cap - 1) {
            size_t bigger = BASE_MIN(cap * 2, max_bytes + 2);
            uint8_t *q = base_realloc(buf, cap, bigger);
            if (!q) {
                base_free(buf);
                return BASE_NOMEM;
            }
            buf = q;
            cap = bigger;
        }
    }
    buf[n] = 0;
    *out = buf;
    *len = n;
    return BASE_OK;
}

static long pull_fd(void *source, void *buf, size_t n)
{
    ssize_t got;
    do
        got = read(*(int *)source, buf, n);
    while (got < 0 && errno == EINTR);
    return got;
}

int base_file_read(uint8_t **out, size_t *len, const char *path, size_t max_bytes)
{
    int fd;
    size_t size;
    int rc = open_for_reading(&fd, &size, path);
    if (rc)
        return rc;
    if (size > max_bytes)
        rc = too_large(path, max_bytes);
    else
        rc = read_all(out, len, path, size, max_bytes, pull_fd, &fd);
    if (rc == BASE_IO)
        base_fail(BASE_IO, "%s: cannot read: %s", path, strerror(errno));
    close(fd);
    return rc;
}

static long pull_gz(void *source, void *buf, size_t n)
{
    return gzread(source, buf, (unsigned)n);
}

int base_file_read_gz(uint8_t **out, size_t *len, const char *path, size_t max_bytes)
{
    int fd;
    size_t size;
    int rc = open_for_reading(&fd, &size, path);
    if (rc)
        return rc;
    gzFile gz = gzdopen(fd, "rb");
    if (!gz) {
        close(fd);
        return base_fail(BASE_NOMEM, "%s: out of memory for zlib", path);
    }
    uint8_t *data = NULL;
    size_t n = 0;
    rc = read_all(&data, &n, path, BASE_MAX(size, (size_t)65536), max_bytes, pull_gz, gz);
    int zerr = Z_OK;
    const char *why = gzerror(gz, &zerr); /* a cut stream shows here, not in gzread */
    if ((rc == BASE_OK || rc == BASE_IO) && zerr != Z_OK) {
        if (zerr == Z_ERRNO)
            rc = base_fail(BASE_IO, "%s: cannot read: %s", path, strerror(errno));
        else {
            rc = base_fail(BASE_INPUT, "%s: truncated or corrupt gzip data (%s)", path, why);
            base_hint(rc, "fetch the file again");
        }
    }
    gzclose_r(gz);
    if (rc) {
        base_free(data);
        return rc;
    }
    *out = data;
    *len = n;
    return BASE_OK;
}

bool base_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static int make_one(const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return BASE_OK;
    int err = errno;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return BASE_OK;
    base_fail(BASE_IO, "%s: cannot create the folder: %s", path, strerror(err == EEXIST ? ENOTDIR : err));
    return base_hint(BASE_IO, "name a folder that you may make, or one that is there");
}

int base_mkdirs(const char *path)
{
    char *p = base_strdup(path);
    if (!p)
        return BASE_NOMEM;
    int rc = BASE_OK;
    for (char *s = p; rc == BASE_OK && *s; s++) {
        if (*s != '/' || s == p || s[-1] == '/')
            continue;
        *s = '\0';
        rc = make_one(p);
        *s = '/';
    }
    if (rc == BASE_OK)
        rc = make_one(path);
    base_free(p);
    return rc;
}
