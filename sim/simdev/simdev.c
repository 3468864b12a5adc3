/* bitpress-simdev: the accelerator as a device of XRT's hardware emulation. XRT starts it when a program
 * loads an xclbin, and calls it over a socket: memory, registers, until it closes. docs/xrt.md.
 *
 * It ends with its host whatever happens: at Close, at the end of the socket, or by the kernel's signal. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sim/simdev/board.h"
#include "sim/simdev/rpc.h"

struct server {
    struct board *board;
    int main, back;            /* calls of the host; calls to the host, -1 until connected */
    char main_path[108], back_path[108];
    FILE *trace;               /* a line a call, NULL: none */
    size_t longest;            /* payload seen */
    uint8_t *call;             /* [RPC_MAX_BYTES] at most */
    size_t cap;
    struct rpc_answer answer;
    bool closed;
};

/* ---- sockets ----------------------------------------------------------------------------- */

/* XRT's names: below /tmp, in a folder named like the user. */
static void socket_paths(struct server *s)
{
    const char *user = getenv("USER"), *id = getenv("EMULATION_SOCKETID");
    char dir[40] = "/tmp";
    if (user && *user)
        snprintf(dir, sizeof dir, "/tmp/%.34s", user);
    snprintf(s->main_path, sizeof s->main_path, "%s/%.50s", dir, id ? id : "xcl_sock");
    snprintf(s->back_path, sizeof s->back_path, "%s/D2X_unix_sock%s%.50s", dir, id ? "_" : "", id ? id : "");
}

/* Nobody connects a second time, so the name can go: then no death leaves it behind. */
static int try_connect(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !connect(fd, (struct sockaddr *)&a, sizeof a)) {
        if (fd >= 0)
            unlink(path);
        return fd;
    }
    close(fd);
    return -1;
}

static int connect_main(const char *path)
{
    int fd = -1;
    for (int i = 0; fd < 0 && i < 3000; i++) {
        fd = try_connect(path);
        if (fd < 0)
            usleep(10000);
    }
    return fd;
}

static bool read_all(int fd, void *buf, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = read(fd, (char *)buf + got, n - got);
        if (r == 0 || (r < 0 && errno != EINTR))
            return false;
        got += r > 0 ? (size_t)r : 0;
    }
    return true;
}

static bool write_all(int fd, const void *buf, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = send(fd, (const char *)buf + done, n - done, MSG_NOSIGNAL);
        if (r < 0 && errno != EINTR)
            return false;
        done += r > 0 ? (size_t)r : 0;
    }
    return true;
}

/* ---- calls ------------------------------------------------------------------------------- */

/* Fields: 3 destination, 4 bytes, 5 size, 6 offset of this piece. */
static void to_device(struct server *s, const struct rpc_field *f)
{
    bool ok = f[4].at && f[5].value <= f[4].value && board_write_memory(s->board, f[3].value + f[6].value, f[4].at, f[5].value);
    rpc_add_number(&s->answer, 1, ok ? f[5].value : 0);
}

/* Fields: 4 source, 5 size, 6 offset of this piece. */
static void from_device(struct server *s, const struct rpc_field *f)
{
    uint64_t n = f[5].value <= RPC_MAX_BYTES ? f[5].value : 0;
    rpc_add_number(&s->answer, 1, n);
    uint8_t *p = rpc_add_bytes(&s->answer, 2, n);
    if (p && !board_read_memory(s->board, f[4].value + f[6].value, p, n))
        memset(p, 0, n);
}

/* Fields: 2 address, 3 size, 4 bytes. */
static void write_ram(struct server *s, const struct rpc_field *f)
{
    rpc_add_number(&s->answer, 1, f[4].at && f[3].value <= f[4].value && board_write_memory(s->board, f[2].value, f[4].at, f[3].value));
}

static void read_ram(struct server *s, const struct rpc_field *f)
{
    uint64_t n = f[3].value <= RPC_MAX_BYTES ? f[3].value : 0;
    rpc_add_number(&s->answer, 1, 1);
    uint8_t *p = rpc_add_bytes(&s->answer, 2, n);
    if (p && !board_read_memory(s->board, f[2].value, p, n))
        memset(p, 0, n);
}

static void write_register(struct server *s, const struct rpc_field *f)
{
    for (uint64_t i = 0; f[4].at && i + 4 <= f[4].value && i + 4 <= f[3].value; i += 4) {
        const uint8_t *p = f[4].at + i;
        board_write_register(s->board, f[2].value + i, (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    }
    rpc_add_number(&s->answer, 1, 1);
}

static void read_register(struct server *s, const struct rpc_field *f)
{
    uint64_t n = f[3].value <= 4096 ? f[3].value / 4 * 4 : 0;
    rpc_add_number(&s->answer, 1, 1);
    uint8_t *p = rpc_add_bytes(&s->answer, 2, n);
    for (uint64_t i = 0; p && i < n; i += 4) {
        uint32_t v = board_read_register(s->board, f[2].value + i);
        for (int k = 0; k < 4; k++)
            p[i + (uint64_t)k] = (uint8_t)(v >> (8 * k));
    }
}

static void answer(struct server *s, uint32_t call, const struct rpc_field *f)
{
    rpc_begin(&s->answer);
    switch (call) {
    case RPC_TO_DEVICE: to_device(s, f); break;
    case RPC_FROM_DEVICE: from_device(s, f); break;
    case RPC_WRITE_RAM: write_ram(s, f); break;
    case RPC_READ_RAM: read_ram(s, f); break;
    case RPC_WRITE_REGISTER: write_register(s, f); break;
    case RPC_READ_REGISTER: read_register(s, f); break;
    case RPC_TIMESTAMP: rpc_add_number(&s->answer, 1, board_now(s->board)); break;
    case RPC_MESSAGES:
    case RPC_TRACE: break;
    default: rpc_add_number(&s->answer, 1, 1);     /* acknowledged */
    }
    s->closed = call == RPC_CLOSE;
    rpc_end(&s->answer);
}

static void trace(struct server *s, uint32_t call, size_t bytes, const struct rpc_field *f)
{
    size_t longest = bytes > s->answer.n ? bytes : s->answer.n;
    s->longest = longest > s->longest ? longest : s->longest;
    if (s->trace && call != RPC_MESSAGES)
        fprintf(s->trace, "%u %zu 0x%llx %llu\n", call, bytes, (unsigned long long)f[call == RPC_TO_DEVICE ? 3 : call == RPC_FROM_DEVICE ? 4 : 2].value,
                (unsigned long long)board_now(s->board));
}

/* False: the host is gone, or speaks another language. */
static bool serve_one(struct server *s)
{
    uint8_t head[RPC_CALL_HEAD];
    uint32_t call, bytes;
    struct rpc_fields fields;
    if (!read_all(s->main, head, sizeof head) || !rpc_parse_head(head, &call, &bytes))
        return false;
    if (bytes > s->cap) {
        uint8_t *p = realloc(s->call, bytes);
        if (!p)
            return false;
        s->call = p;
        s->cap = bytes;
    }
    if (!read_all(s->main, s->call, bytes) || !rpc_parse(&fields, s->call, bytes))
        return false;
    answer(s, call, fields.f);
    trace(s, call, bytes, fields.f);
    return !s->answer.failed && write_all(s->main, s->answer.p, s->answer.n);
}

/* ---- life -------------------------------------------------------------------------------- */

/* Ends at Close, at the host's end, and when the accelerator breaks a rule of its bus: then nothing it
 * says counts any more, and the host must hear of it. */
static void serve(struct server *s)
{
    const char *broken = NULL;
    while (!s->closed && !(broken = board_violation(s->board))) {
        struct pollfd p = { .fd = s->main, .events = POLLIN };
        if (s->back < 0)
            s->back = try_connect(s->back_path);
        int ready = poll(&p, 1, board_busy(s->board) ? 0 : s->back < 0 ? 20 : -1);
        if (ready > 0 && !serve_one(s))
            return;
        if (ready == 0 && board_busy(s->board))
            board_advance(s->board);
    }
    if (broken)
        fprintf(stderr, "bitpress-simdev: the accelerator broke a rule of its bus: %s\n", broken);
    /* The host's thread at the other end waits for this word. */
    uint8_t head[RPC_CALL_HEAD];
    rpc_write_head(head, RPC_CLOSE, 0);
    if (s->back >= 0)
        write_all(s->back, head, sizeof head);
}

static enum board_fault fault_named(const char *name)
{
    static const char *const names[] = { "", "wrong", "stall", "die", "bus" };
    for (int i = 1; name && i < 5; i++)
        if (!strcmp(name, names[i]))
            return (enum board_fault)i;
    return FAULT_NONE;
}

static bool parse(struct board_options *o, int argc, char **argv)
{
    *o = (struct board_options){ .fault = fault_named(getenv("BITPRESS_SIMDEV_FAULT")) };
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--simulator")) {
            o->simulator = value;
        } else if (!strcmp(name, "--cu-base")) {
            o->cu_base = strtoull(value, NULL, 0);
        } else if (!strcmp(name, "--memory-end")) {
            o->memory_end = strtoull(value, NULL, 0);
        } else if (!strcmp(name, "--read-latency")) {
            o->read_latency = atoi(value);
        } else if (!strcmp(name, "--write-latency")) {
            o->write_latency = atoi(value);
        } else if (!strcmp(name, "--gbytes-per-s")) {
            o->gbytes_s = strtod(value, NULL);
        } else if (!strcmp(name, "--mhz")) {
            o->mhz = strtod(value, NULL);
        } else if (strncmp(name, "--", 2)) {
            break;                                 /* what XRT adds for a simulator's window */
        }
    }
    return o->simulator && o->memory_end > o->cu_base;
}

int main(int argc, char **argv)
{
    struct board_options options;
    struct server s = { .main = -1, .back = -1 };
    const char *trace_path = getenv("BITPRESS_SIMDEV_TRACE");
    if (!parse(&options, argc, argv)) {
        fprintf(stderr, "bitpress-simdev is started by XRT's hardware emulation: bitpress xrt-env -- PROGRAM\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    socket_paths(&s);
    if (trace_path && *trace_path)
        s.trace = fopen(trace_path, "w");
    if ((s.board = board_open(&options)) && (s.main = connect_main(s.main_path)) >= 0)
        serve(&s);
    if (s.trace)
        fprintf(s.trace, "longest %zu\n", s.longest);
    if (s.trace)
        fclose(s.trace);
    board_close(s.board);
    free(s.call);
    free(s.answer.p);
    return s.closed ? 0 : 1;
}
