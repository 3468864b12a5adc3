/* base: files in and out, with the disk's failures; signals; progress. */
#define _GNU_SOURCE
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

static const char *dir;

static int set_up(void **state)
{
    (void)state;
    dir = unit_scratch();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unit_remove(dir);
    return 0;
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = -2; /* . and .. */
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void write_and_read(void **state)
{
    (void)state;
    uint8_t *data;
    size_t len;
    assert_ok(base_file_write(unit_path(dir, "f"), "hello", 5));
    assert_ok(base_file_read(&data, &len, unit_path(dir, "f"), 5));
    assert_int_equal(len, 5);
    assert_string_equal((char *)data, "hello"); /* the NUL byte behind */
    base_free(data);
    assert_error(base_file_read(&data, &len, unit_path(dir, "f"), 4), BASE_INPUT, "larger than the 4 bytes");
    assert_ok(base_file_write(unit_path(dir, "f"), NULL, 0));
    assert_ok(base_file_read(&data, &len, unit_path(dir, "f"), 4));
    assert_int_equal(len, 0);
    base_free(data);
    assert_true(base_file_exists(unit_path(dir, "f")));
    assert_false(base_file_exists(unit_path(dir, "g")));
    assert_int_equal(entries(dir), 1);
}

static void read_errors(void **state)
{
    (void)state;
    uint8_t *data;
    size_t len;
    assert_error(base_file_read(&data, &len, unit_path(dir, "none"), 9), BASE_INPUT, "none: No such file");
    assert_string_not_equal(base_error_hint(), "");
    assert_error(base_file_read(&data, &len, dir, 9), BASE_INPUT, "directory");
    assert_error(base_file_read_gz(&data, &len, unit_path(dir, "none"), 9), BASE_INPUT, "none: No such file");
    assert_ok(base_file_write(unit_path(dir, "f"), "hello", 5));
    assert_survives_nomem(base_file_read(&data, &len, unit_path(dir, "f"), 9), base_free(data));
    assert_survives_nomem(base_file_read_gz(&data, &len, unit_path(dir, "f"), 9), base_free(data));
    assert_error(base_file_read(&data, &len, "/dev/zero", 100000), BASE_INPUT, "larger");
}

static size_t write_gz(const char *path)
{
    gzFile gz = gzopen(path, "wb");
    for (int i = 0; i < 100000; i++)
        gzprintf(gz, "%d ", i * 7919 % 100003);
    gzclose(gz);
    struct stat st;
    stat(path, &st);
    return (size_t)st.st_size;
}

static void gzip_is_read_by_content(void **state)
{
    (void)state;
    uint8_t *data;
    size_t len;
    char path[256];
    snprintf(path, sizeof path, "%s/f.gz", dir);
    size_t size = write_gz(path);
    assert_ok(base_file_read_gz(&data, &len, path, 1 << 24));
    assert_memory_equal(data, "0 7919 15838", 12);
    assert_int_equal(data[len], 0);
    base_free(data);
    assert_error(base_file_read_gz(&data, &len, path, 1000), BASE_INPUT, "larger");
    assert_ok(base_file_write(unit_path(dir, "plain"), "hello", 5));
    assert_ok(base_file_read_gz(&data, &len, unit_path(dir, "plain"), 100));
    assert_int_equal(len, 5);
    base_free(data);

    for (size_t cut = 20; cut < size; cut += size / 7) {
        assert_int_equal(truncate(path, (off_t)(size - cut)), 0);
        assert_error(base_file_read_gz(&data, &len, path, 1 << 24), BASE_INPUT, "f.gz: truncated or corrupt");
        write_gz(path);
    }
    for (size_t at = 12; at < size; at += size / 7) {
        int fd = open(path, O_RDWR);
        uint8_t b = 0;
        assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
        b ^= 0x55;
        assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
        close(fd);
        assert_error(base_file_read_gz(&data, &len, path, 1 << 24), BASE_INPUT, "f.gz");
        write_gz(path);
    }
}

static void folders(void **state)
{
    (void)state;
    assert_ok(base_mkdirs(unit_path(dir, "a/b//c/")));
    assert_ok(base_mkdirs(unit_path(dir, "a/b/c")));
    assert_true(base_file_exists(unit_path(dir, "a/b/c")));
    assert_ok(base_file_write(unit_path(dir, "file"), "x", 1));
    assert_error(base_mkdirs(unit_path(dir, "file/b")), BASE_IO, "file");
    assert_error(base_mkdirs("/proc/none/b"), BASE_IO, "/proc/none");
    assert_survives_nomem(base_mkdirs(dir), );
}

static void old_content_stays_until_commit(void **state)
{
    (void)state;
    char path[256];
    uint8_t *data;
    size_t len;
    struct base_out o;
    snprintf(path, sizeof path, "%s/f", dir);
    assert_ok(base_file_write(path, "old", 3));
    assert_ok(base_out_open(&o, path));
    fputs("new text", o.fp);
    fflush(o.fp);
    assert_ok(base_file_read(&data, &len, path, 100));
    assert_string_equal((char *)data, "old");
    base_free(data);
    base_out_abort(&o);
    base_out_abort(&o);
    assert_int_equal(entries(dir), 1);
    assert_ok(base_out_open(&o, path));
    fputs("new text", o.fp);
    assert_ok(base_out_commit(&o));
    assert_ok(base_file_read(&data, &len, path, 100));
    assert_string_equal((char *)data, "new text");
    base_free(data);
    assert_int_equal(entries(dir), 1);
}

static void output_errors_leave_nothing(void **state)
{
    (void)state;
    struct base_out o;
    assert_error(base_out_open(&o, unit_path(dir, "none/f")), BASE_IO, "none/f: cannot write");
    assert_string_not_equal(base_error_hint(), "");
    assert_error(base_out_open(&o, dir), BASE_IO, "is a folder");
    assert_ok(base_file_write(unit_path(dir, "file"), "x", 1));
    assert_error(base_out_open(&o, unit_path(dir, "file/f")), BASE_IO, "Not a directory");
    assert_int_equal(entries(dir), 1);
    assert_survives_nomem(base_out_open(&o, unit_path(dir, "f")), base_out_abort(&o));
    assert_int_equal(entries(dir), 1);
}

static void read_only_folder(void **state)
{
    (void)state;
    struct base_out o;
    chmod(dir, 0555);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    int rc = base_out_open(&o, unit_path(dir, "f"));
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    chmod(dir, 0755);
    assert_int_equal(rc, BASE_IO);
    assert_non_null(strstr(base_error(), "Permission denied"));
    assert_non_null(strstr(base_error_hint(), "may write"));
}

static void full_disk(void **state)
{
    (void)state;
    char big[100000] = {0};
    struct base_out o;
    assert_error(base_file_write("/dev/full", "x", 1), BASE_IO, "/dev/full: cannot write: No space left");
    assert_error(base_file_write("/dev/full", big, sizeof big), BASE_IO, "No space left");
    assert_string_not_equal(base_error_hint(), "");
    assert_ok(base_out_open(&o, "/dev/full"));
    for (int i = 0; i < 100; i++)
        fprintf(o.fp, "%s%2000d", "", i);
    assert_error(base_out_commit(&o), BASE_IO, "No space left");
}

/* In a child, since the limit cannot be raised again: 0 if all went as it should. */
static int write_beyond_limit(const char *path)
{
    struct rlimit limit = {5000, 5000};
    char big[10000] = {0};
    base_stop_install(); /* SIGXFSZ becomes an error */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    if (base_file_write(path, big, sizeof big) != BASE_IO)
        return 2;
    if (!strstr(base_error(), "File too large"))
        return 3;
    return 0;
}

static void file_size_limit(void **state)
{
    (void)state;
    char path[256];
    uint8_t *data;
    size_t len;
    snprintf(path, sizeof path, "%s/f", dir);
    assert_ok(base_file_write(path, "old", 3));
    pid_t child = fork();
    if (child == 0)
        _exit(write_beyond_limit(path));
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(entries(dir), 1);
    assert_ok(base_file_read(&data, &len, path, 10));
    assert_string_equal((char *)data, "old");
    base_free(data);
}

static void signals_set_the_flag(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        base_stop_install();
        bool before = base_stop_requested();
        raise(SIGTERM);
        bool after = base_stop_requested();
        if (before || !after)
            _exit(1);
        raise(SIGTERM); /* the same request, sent to the group as well */
        usleep(1200000);
        raise(SIGTERM); /* the second kills */
        _exit(2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

/* stderr of a child that logs, into text; what it must and must not hold. */
static void log_in_child(char *text, size_t size, enum base_level level)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], STDERR_FILENO);
        base_log_level(level);
        base_log("info %d", 1);
        base_debug("fine");
        base_warn("careful");
        struct base_progress p;
        base_progress_begin(&p, "work", 0, 10);
        base_progress_update(&p, 5, "half");
        base_progress_end(&p, "all");
        _exit(0);
    }
    close(fd[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(fd[0], text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(fd[0]);
    waitpid(child, NULL, 0);
}

static void log_levels_and_progress(void **state)
{
    (void)state;
    char text[4096];
    log_in_child(text, sizeof text, BASE_LOG_QUIET);
    assert_string_equal(text, "warning: careful\n");
    log_in_child(text, sizeof text, BASE_LOG_INFO);
    assert_string_equal(text, "info 1\nwarning: careful\nwork: done in 0:00 all\n");
    log_in_child(text, sizeof text, BASE_LOG_DEBUG);
    assert_non_null(strstr(text, "debug: fine\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(write_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(read_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gzip_is_read_by_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_content_stays_until_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(output_errors_leave_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(read_only_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_size_limit, set_up, tear_down),
        cmocka_unit_test(signals_set_the_flag),
        cmocka_unit_test(log_levels_and_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
