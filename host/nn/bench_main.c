/* bench: how fast the engine trains and infers, against what the cores' multiply-add units could do and,
 * side by side in the same minutes, against outside programs.
 *   bench-train THREADS SECONDS [ROW,...] [COMMAND...]      `make bench-train`
 * Random images, batch 128. A row is measured in turns of about SECONDS, the engine's and each COMMAND's one after
 * the other, so that whatever else the machine does meets all alike. Printed: the median step of all turns; the
 * ratio is the median over the turns of this engine's rate through the fastest COMMAND's. Training counts 6 FLOP a
 * multiply-accumulate of the network, inference 2.
 *
 * A COMMAND (run by the shell) answers lines on stdin by lines on stdout: `open NET train|infer` by `ok ...`,
 * `step N` by the times of N steps in seconds; `no REASON` otherwise. It starts with `ok DESCRIPTION`. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nn/kernels.h"
#include "nn/nn.h"

enum { BATCH = 128, MAX_STEPS = 8192, TURNS = 5, MAX_RIVALS = 4 };

/* ---- the peak ------------------------------------------------------------------------- */

enum { CHAINS = 12, ROUNDS = 4000000 };  /* independent sums: latency 4 x 2 units, and some to spare */

static void multiply_add(void *ctx, int index, int worker)
{
    float *sink = ctx;
    nn_v8 a[CHAINS], x = nn_splat(0.9999f), y = nn_splat(1e-4f);
    (void)worker;
    for (int i = 0; i < CHAINS; i++)
        a[i] = x + (float)i;
    for (int r = 0; r < ROUNDS; r++)
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++)
            a[i] = a[i] * x + y;
    for (int i = 0; i < CHAINS; i++)
        sink[index] += a[i][0];
}

static double peak_gflops(struct base_pool *pool)
{
    int threads = base_pool_threads(pool);
    float *sink = BASE_NEW_N(float, threads);
    double best = 0;
    for (int i = 0; sink && i < 5; i++) {
        double start = base_seconds();
        base_pool_run(pool, threads, multiply_add, sink);
        double rate = 16.0 * CHAINS * ROUNDS * threads / (base_seconds() - start) / 1e9;
        best = BASE_MAX(best, rate);
    }
    base_free(sink);
    return best;
}

/* ---- a network ---------------------------------------------------------------------------- */

/* QAT: training with weights and activations of 4 bits, scales fixed. */
enum phase { TRAIN, QAT, INFER, PHASES };
static const char *const phase_name[] = { "train", "qat", "infer" };

struct subject {
    struct graph *g;
    struct nn *m;
    struct nn_quant *quant;
    uint8_t *pixels;
    uint16_t labels[BATCH];
    float *logits;
};

static void subject_close(struct subject *s)
{
    nn_free(s->m);
    nn_quant_free(s->quant);
    graph_free(s->g);
    base_free(s->pixels);
    base_free(s->logits);
}

static int quantize(struct subject *s)
{
    const struct graph_layers *ls = nn_layers(s->m);
    int rc = nn_quant_new(&s->quant, s->g, ls);
    for (int i = 0; !rc && i < ls->n; i++)
        for (int t = 0; t < ls->layer[i].n_term; t++) {
            struct nn_quant_term *q = &s->quant->layer[i].term[t];
            for (int c = 0; q->w_scale && c < s->g->node[ls->layer[i].term[t].node].shape.c; c++)
                q->w_scale[c] = 0.05f;
            q->w_bits = q->w_scale ? 4 : 0;
        }
    for (int e = 1; !rc && e < ls->n_edge; e++)
        s->quant->edge[e] = (struct nn_quant_edge){ .bits = 4, .scale = 0.2f, .is_signed = ls->layer[e - 1].relu == 0 };
    return rc ? rc : nn_set_quant(s->m, s->quant);
}

static int subject_open(struct subject *s, const char *name, struct base_pool *pool, enum phase phase)
{
    struct nn_options o = { .pool = pool, .max_batch = BATCH, .training = phase != INFER };
    struct base_rng r;
    base_rng_seed(&r, 1);
    *s = (struct subject){ .g = NULL };
    int rc = graph_zoo(&s->g, name);
    if (rc)
        return rc;
    nn_init_parameters(s->g, 1);
    if ((rc = nn_new(&s->m, s->g, &o)) || (phase == QAT && (rc = quantize(s))))
        return rc;
    size_t bytes = nn_image_bytes(s->m) * BATCH;
    s->pixels = base_alloc(bytes);
    s->logits = BASE_NEW_N(float, BATCH * nn_classes(s->m));
    if (!s->pixels || !s->logits)
        return BASE_NOMEM;
    for (size_t i = 0; i < bytes; i++)
        s->pixels[i] = (uint8_t)base_rng_below(&r, 256);
    for (int i = 0; i < BATCH; i++)
        s->labels[i] = (uint16_t)base_rng_below(&r, (uint32_t)nn_classes(s->m));
    return BASE_OK;
}

static int step(struct subject *s, enum phase phase)
{
    static const struct nn_loss_options loss = NN_LOSS_OPTIONS_INIT;
    if (phase == INFER)
        return nn_forward(s->m, s->pixels, BATCH, s->logits);
    int rc = nn_gradient(s->m, s->pixels, s->labels, BATCH, &loss, NULL, NULL, NULL);
    if (!rc)
        nn_sgd_step(s->m, &(struct nn_sgd){ .lr = 0.01f, .momentum = 0.9f, .weight_decay = 5e-4f, .nesterov = true });
    return rc;
}

static double network_macs(const struct graph *g)
{
    double macs = 0;
    for (int i = 0; i < g->n_node; i++)
        macs += (double)graph_macs(g, i);
    return macs;
}

/* ---- outside programs ------------------------------------------------------------------------- */

struct rival { const char *command; pid_t pid; FILE *to, *from; char *line; size_t cap; bool open; };

/* The next line without its end; NULL when the program has gone. */
static const char *rival_line(struct rival *r)
{
    ssize_t n = r->from ? getline(&r->line, &r->cap, r->from) : -1;
    if (n <= 0)
        return NULL;
    r->line[strcspn(r->line, "\n")] = '\0';
    return r->line;
}

static const char *rival_ask(struct rival *r, const char *question)
{
    fprintf(r->to, "%s\n", question);
    fflush(r->to);
    return rival_line(r);
}

static void rival_close(struct rival *r)
{
    if (r->to)
        fclose(r->to);
    if (r->from)
        fclose(r->from);
    if (r->pid > 0)
        waitpid(r->pid, NULL, 0);
    free(r->line);
    *r = (struct rival){ .command = r->command };
}

static bool rival_start(struct rival *r, const char *command)
{
    int in[2], back[2];
    *r = (struct rival){ .command = command };
    if (pipe2(in, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
        return false;
    if (!(r->pid = fork())) {
        dup2(in[0], 0);
        dup2(back[1], 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(back[1]);
    r->to = fdopen(in[1], "w");
    r->from = fdopen(back[0], "r");
    const char *answer = r->pid > 0 && r->to && r->from ? rival_line(r) : NULL;
    bool ok = answer && !strncmp(answer, "ok", 2);
    printf("%s: %s\n", ok ? "against" : "skipped", answer ? answer + 3 : command);
    if (!ok)
        rival_close(r);
    return ok;
}

/* ---- a row -------------------------------------------------------------------------------------- */

struct times { double *v; int n; double turn[TURNS]; };   /* seconds a step; median of each turn */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n ? v[n / 2] : 0;
}

static int own_turn(struct subject *s, struct times *t, int turn, enum phase phase, double seconds)
{
    int from = t->n, rc = BASE_OK;
    for (double start = base_seconds(), now = start; !rc && t->n < MAX_STEPS && (t->n - from < 3 || now - start < seconds); t->n++) {
        rc = step(s, phase);
        t->v[t->n] = base_seconds() - now;
        now += t->v[t->n];
    }
    t->turn[turn] = median(t->v + from, t->n - from);
    return rc;
}

static void rival_turn(struct rival *r, struct times *t, int turn, double seconds)
{
    int from = t->n, steps = t->n ? (int)(seconds / t->turn[turn - 1]) : 3;
    char question[32];
    snprintf(question, sizeof question, "step %d", BASE_MIN(BASE_MAX(steps, 3), 500));
    const char *answer = rival_ask(r, question);
    char *end = (char *)answer;
    for (double v; answer && (v = strtod(answer, &end), end != answer) && t->n < MAX_STEPS; answer = end)
        t->v[t->n++] = v;
    t->turn[turn] = median(t->v + from, t->n - from);
    r->open = t->n > from;
}

static void rivals_open(struct rival *r, int n, const char *name, enum phase phase)
{
    char question[96];
    snprintf(question, sizeof question, "open %s %s", name, phase_name[phase]);
    for (int i = 0; i < n; i++) {
        const char *answer = rival_ask(&r[i], question);
        r[i].open = answer && !strncmp(answer, "ok", 2);
        if (!r[i].open)
            printf("  %s does not run %s: %s\n", r[i].command, question + 5, answer ? answer + 3 : "it ended");
    }
}

static double fastest_ratio(const struct times *t, const struct rival *r, int n)
{
    double ratio[TURNS] = { 0 };
    for (int k = 0; k < TURNS; k++)
        for (int i = 0; i < n; i++)
            if (r[i].open && (ratio[k] == 0 || t[1 + i].turn[k] / t[0].turn[k] < ratio[k]))
                ratio[k] = t[1 + i].turn[k] / t[0].turn[k];
    return median(ratio, TURNS);
}

static void print_row(const char *name, enum phase phase, struct times *t, const struct rival *r, int n, double macs, double bytes, double peak)
{
    double ratio = fastest_ratio(t, r, n), mid = median(t[0].v, t[0].n), flops = (phase == INFER ? 2 : 6) * macs * BATCH / mid / 1e9;
    printf("%-18s %-6s %9.0f %9.0f %9.1f %7.0f %6.0f", name, phase_name[phase], BATCH / mid, BATCH / t[0].v[0], flops, 100 * flops / peak, bytes / (1 << 20));
    for (int i = 0; i < n; i++)
        printf(" %9.0f", r[i].open ? BATCH / median(t[1 + i].v, t[1 + i].n) : 0);
    if (ratio > 0)
        printf(" %7.2f", ratio);
    printf("\n");
    fflush(stdout);
}

/* Beside the same network's training in float: the ratio is what is left of its speed. */
static int bench_qat(const char *name, struct base_pool *pool, double seconds, double peak)
{
    static double memory[2][MAX_STEPS];
    struct times t[2] = { { .v = memory[0] }, { .v = memory[1] } };
    struct subject s, plain = { .g = NULL };
    struct rival in_float = { .open = true };
    int rc = subject_open(&s, name, pool, QAT);
    if (!rc)
        rc = subject_open(&plain, name, pool, TRAIN);
    for (int k = -1; !rc && k < TURNS; k++) {
        rc = own_turn(&s, &t[0], BASE_MAX(k, 0), QAT, k < 0 ? 0 : seconds);
        if (!rc)
            rc = own_turn(&plain, &t[1], BASE_MAX(k, 0), TRAIN, k < 0 ? 0 : seconds);
        if (k < 0)
            t[0].n = t[1].n = 0;         /* pages and caches */
    }
    if (!rc)
        print_row(name, QAT, t, &in_float, 1, network_macs(s.g), (double)nn_memory(s.m), peak);
    subject_close(&s);
    subject_close(&plain);
    return rc;
}

static int bench(const char *name, struct base_pool *pool, enum phase phase, double seconds, double peak, struct rival *r, int n)
{
    static double memory[1 + MAX_RIVALS][MAX_STEPS];
    struct times t[1 + MAX_RIVALS] = { { .n = 0 } };
    struct subject s;
    int rc = subject_open(&s, name, pool, phase);
    for (int i = 0; i <= n; i++)
        t[i].v = memory[i];
    if (!rc)
        rc = step(&s, phase);            /* pages and caches */
    if (!rc)
        rivals_open(r, n, name, phase);
    for (int k = 0; !rc && k < TURNS; k++) {
        rc = own_turn(&s, &t[0], k, phase, seconds);
        for (int i = 0; !rc && i < n; i++)
            if (r[i].open) {
                rival_turn(&r[i], &t[1 + i], k, seconds);
                usleep(200000);          /* its threads may look for more work a while */
            }
    }
    if (!rc)
        print_row(name, phase, t, r, n, network_macs(s.g), (double)nn_memory(s.m), peak);
    subject_close(&s);
    return rc;
}

/* NAME in LIST, which has commas between its names. */
static bool chosen(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; (p = strstr(p, name)); p += n)
        if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ','))
            return true;
    return !*list;
}

int main(int argc, char **argv)
{
    static const char *const nets[] = { "lenet", "fmnist-cnn", "resnet8", "resnet20", "resnet56", "mobilenet-v1-x0.5" };
    int threads = argc > 1 ? atoi(argv[1]) : 2, n = 0, rc = BASE_OK;
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    const char *rows = argc > 3 ? argv[3] : "";
    struct rival rival[MAX_RIVALS];
    struct base_pool *pool = base_pool_new(threads);
    if (!pool)
        return base_exit_code(BASE_NOMEM);
    signal(SIGPIPE, SIG_IGN);            /* a program that ends is noticed by its silence */
    double peak = peak_gflops(pool);
    printf("%d threads, batch %d, multiply-add peak %.0f GFLOP/s, compiler %s\n", base_pool_threads(pool), BATCH, peak, __VERSION__);
    for (int i = 4; i < argc && n < MAX_RIVALS; i++)
        n += rival_start(&rival[n], argv[i]);
    printf("%-18s %-6s %9s %9s %9s %7s %6s", "network", "", "images/s", "best", "GFLOP/s", "% peak", "MiB");
    for (int i = 0; i < n; i++)
        printf("   other %d", i + 1);
    printf(n ? "   ratio\n" : "\n");
    for (int i = 0; !rc && i < BASE_COUNT(nets); i++)
        for (int p = 0; !rc && chosen(rows, nets[i]) && p < PHASES; p++)
            rc = p == QAT ? bench_qat(nets[i], pool, seconds, peak) : bench(nets[i], pool, p, seconds, peak, rival, n);
    for (int i = 0; i < n; i++)
        rival_close(&rival[i]);
    base_pool_free(pool);
    if (rc)
        fprintf(stderr, "bench-train: %s\n", base_error());
    return base_exit_code(rc);
}
