/* The sums of gradients over the ranks while the backward pass runs, by MPI's non-blocking collectives: exact ones by
 * an all-reduce, packed ones by an all-gather that every rank adds up in the order of the ranks. MPI moves them along when it is
 * called: `progress`, between images, and every other sum.
 *
 * Everything is the same on each rank, bit for bit, and follows from the seed and the number of ranks: the random numbers of
 * an array's packing come from a stream named by (step, rank, array). */
#include "dist/dist_internal.h"

#include <math.h>
#include <string.h>

#include "nn/nn.h"

struct array {
    int64_t n;
    float *grad;                           /* on its way; NULL: not */
    float *error;                          /* [n], of ECQ */
    uint8_t *mine, *all;                   /* packed: [bytes], [ranks][bytes] */
    size_t bytes;
    bool done;
    MPI_Request request;
};

struct dist_gradients {
    struct dist *d;
    struct dist_code code;
    struct nn_ranks ranks;
    struct base_arena *arena;              /* of the arrays */
    struct array *array;
    int n, next;                           /* next: in `order`, the first that is not known to be done */
    int *order, n_order;                   /* arrays of this step as they set out */
    int64_t step;
    struct dist_traffic traffic;
};

static double ring_bytes(const struct dist *d, double bytes)
{
    return 2 * bytes * (d->ranks - 1) / d->ranks;
}

/* ---- life -------------------------------------------------------------------------------- */

static int check_code(const struct dist_code *c)
{
    if (c->method == DIST_EXACT)
        return BASE_OK;
    if ((c->bits != 2 && c->bits != 4 && c->bits != 8) || c->bucket < 1)
        return base_fail(BASE_INPUT, "gradients of %d bits in buckets of %d (2, 4 or 8 bits, at least 1 value)", c->bits, c->bucket);
    if (!(c->feedback >= 0 && c->feedback <= 1 && c->decay >= 0 && c->decay <= 1))
        return base_fail(BASE_INPUT, "gradients with feedback %g and decay %g (0 to 1)", (double)c->feedback, (double)c->decay);
    return BASE_OK;
}

static int plan_array(struct dist_gradients *g, struct array *a, int64_t n)
{
    *a = (struct array){ .n = n, .request = MPI_REQUEST_NULL };
    if (n > INT32_MAX)
        return base_fail(BASE_INPUT, "a layer of %lld weights is more than ranks exchange at once", (long long)n);
    if (g->code.method == DIST_EXACT)
        return BASE_OK;
    a->bytes = dist_packed_bytes(&g->code, n);
    a->mine = base_arena_alloc(g->arena, a->bytes);
    a->all = base_arena_alloc(g->arena, a->bytes * (size_t)g->d->ranks);
    a->error = g->code.method == DIST_ECQ ? BASE_ARENA_NEW_N(g->arena, float, n) : NULL;
    return a->mine && a->all && (a->error || g->code.method != DIST_ECQ) ? BASE_OK : BASE_NOMEM;
}

static int plan(void *ctx, int n, const int64_t *floats)
{
    struct dist_gradients *g = ctx;
    base_arena_free(g->arena);
    if (!(g->arena = base_arena_new()))
        return BASE_NOMEM;
    g->n = n;
    g->array = BASE_ARENA_NEW_N(g->arena, struct array, n + 1);
    g->order = BASE_ARENA_NEW_N(g->arena, int, n + 1);
    int rc = g->array && g->order ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < n; i++)
        rc = plan_array(g, &g->array[i], floats[i]);
    return rc;
}

void dist_gradients_free(struct dist_gradients *g)
{
    if (!g)
        return;
    base_arena_free(g->arena);
    base_free(g);
}

const struct nn_ranks *dist_gradients_ranks(const struct dist_gradients *g)
{
    return g->d->ranks > 1 ? &g->ranks : NULL;
}

struct dist_traffic dist_gradients_traffic(const struct dist_gradients *g)
{
    return g->traffic;
}

/* ---- a step --------------------------------------------------------------------------------- */

/* mpirun ends all ranks when one dies, but with --enable-recovery, and so does srun only where it is told to. */
static int wait_for(const struct dist_gradients *g, MPI_Request *request)
{
    int rc = dist_wait_at_most(request, g->d->rank ? 0 : g->code.silence_s);
    if (rc == BASE_IO)
        base_warn("%s", base_error());       /* nn_train says where it stopped */
    return rc;
}

static int sum(void *ctx, double *v, int n)
{
    struct dist_gradients *g = ctx;
    double start = base_seconds();
    MPI_Request request;
    int rc = dist_check(MPI_Iallreduce(MPI_IN_PLACE, v, n, MPI_DOUBLE, MPI_SUM, g->d->comm, &request), "MPI_Iallreduce");
    if (!rc)
        rc = wait_for(g, &request);
    g->traffic.wait_s += base_seconds() - start;
    g->traffic.other_bytes += ring_bytes(g->d, sizeof *v * (double)n);
    return rc;
}

static int broadcast(void *ctx, void *data, size_t bytes)
{
    struct dist_gradients *g = ctx;
    return dist_broadcast(g->d, data, bytes);
}

static int begin(void *ctx, int64_t step)
{
    struct dist_gradients *g = ctx;
    g->step = step;
    g->next = g->n_order = 0;
    return BASE_OK;
}

/* The gradient becomes what is sent of it. */
static void pack(struct dist_gradients *g, struct array *a)
{
    struct base_rng rng;
    const int64_t name[3] = { g->step, g->d->rank, a - g->array };
    base_rng_stream(&rng, g->code.seed, base_hash64(0, name, sizeof name));
    for (int64_t i = 0; a->error && i < a->n; i++) {
        float e = a->error[i];
        a->error[i] = g->code.decay * e + a->grad[i];
        a->grad[i] += g->code.feedback * e;
    }
    dist_pack(a->mine, a->grad, a->n, &g->code, &rng);
    for (int64_t i = 0; a->error && i < a->n; i++)
        a->error[i] -= a->grad[i];
}

static int add(void *ctx, int array, float *grad)
{
    struct dist_gradients *g = ctx;
    struct array *a = &g->array[array];
    a->grad = grad;
    a->done = false;
    g->order[g->n_order++] = array;
    g->traffic.arrays++;
    if (g->code.method == DIST_EXACT) {
        g->traffic.gradient_bytes += ring_bytes(g->d, sizeof *grad * (double)a->n);
        return dist_check(MPI_Iallreduce(MPI_IN_PLACE, grad, (int)a->n, MPI_FLOAT, MPI_SUM, g->d->comm, &a->request), "MPI_Iallreduce");
    }
    pack(g, a);
    g->traffic.gradient_bytes += (double)a->bytes * (g->d->ranks - 1);
    return dist_check(MPI_Iallgather(a->mine, (int)a->bytes, MPI_BYTE, a->all, (int)a->bytes, MPI_BYTE, g->d->comm, &a->request), "MPI_Iallgather");
}

/* A failure is seen again when the array is waited for. */
static void progress(void *ctx)
{
    struct dist_gradients *g = ctx;
    for (int i = g->next; i < g->n_order; i++) {
        struct array *a = &g->array[g->order[i]];
        int done = 0;
        if (a->done || MPI_Test(&a->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
            continue;
        a->done = true;
        g->traffic.early++;
        g->next += i == g->next;
    }
}

static int unpack(const struct dist_gradients *g, const struct array *a)
{
    int rc = BASE_OK;
    memset(a->grad, 0, sizeof *a->grad * (size_t)a->n);
    for (int r = 0; !rc && r < g->d->ranks; r++)
        if ((rc = dist_unpack_add(a->grad, a->n, a->all + a->bytes * (size_t)r, a->bytes, &g->code)))
            base_hint(rc, "from rank %d, weight array %d; where a gradient is not finite, use a smaller learning rate", r, (int)(a - g->array));
    return rc;
}

static int finish(void *ctx)
{
    struct dist_gradients *g = ctx;
    double start = base_seconds();
    int rc = BASE_OK;
    progress(g);
    for (int i = 0; !rc && i < g->n_order; i++)
        if (!g->array[g->order[i]].done)
            rc = wait_for(g, &g->array[g->order[i]].request);
    g->traffic.wait_s += base_seconds() - start;
    for (int i = 0; !rc && g->code.method != DIST_EXACT && i < g->n_order; i++)
        rc = unpack(g, &g->array[g->order[i]]);
    g->n_order = 0;
    g->traffic.steps++;
    return rc;
}

/* ---- errors of ECQ, beside the checkpoint ------------------------------------------------------
 * "BPERRS01", i64 step, i64 ranks, u64 floats of a rank, the floats rank by rank, u32 CRC32C of all before. */

static const char magic[8] = "BPERRS01";
struct head { char magic[8]; int64_t step, ranks; uint64_t floats; };

static uint64_t error_floats(const struct dist_gradients *g)
{
    uint64_t n = 0;
    for (int i = 0; i < g->n; i++)
        n += (uint64_t)g->array[i].n;
    return n;
}

static char *error_path(const char *checkpoint)
{
    return base_format("%s.errors", checkpoint);
}

/* This rank's errors to or from a row of them. */
static void move_errors(struct dist_gradients *g, float *row, bool in)
{
    for (int i = 0; i < g->n; row += g->array[i++].n)
        memcpy(in ? g->array[i].error : row, in ? row : g->array[i].error, sizeof *row * (size_t)g->array[i].n);
}

static int gather_errors(struct dist_gradients *g, float *rows, float *mine, uint64_t floats)
{
    MPI_Request request;
    move_errors(g, mine, false);
    int rc = floats > INT32_MAX ? base_fail(BASE_INPUT, "%llu weights are more than ranks exchange at once", (unsigned long long)floats) : BASE_OK;
    if (!rc)
        rc = dist_check(MPI_Igather(mine, (int)floats, MPI_FLOAT, rows, (int)floats, MPI_FLOAT, 0, g->d->comm, &request), "MPI_Igather");
    return rc ? rc : dist_wait(&request);
}

static int save(void *ctx, const char *checkpoint, int64_t step)
{
    struct dist_gradients *g = ctx;
    if (g->code.method != DIST_ECQ)
        return BASE_OK;
    struct head h = { .step = step, .ranks = g->d->ranks, .floats = error_floats(g) };
    memcpy(h.magic, magic, sizeof magic);
    size_t body = sizeof h + sizeof(float) * (size_t)h.floats * (size_t)g->d->ranks;
    bool writes = g->d->rank == 0;
    char *path = error_path(checkpoint);
    uint8_t *file = writes ? base_alloc(body + sizeof(uint32_t)) : NULL;
    float *mine = BASE_NEW_N(float, h.floats + 1);
    int rc = path && mine && (file || !writes) ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = gather_errors(g, file ? (float *)(file + sizeof h) : NULL, mine, h.floats);
    if (!rc && writes) {
        memcpy(file, &h, sizeof h);
        uint32_t crc = base_crc32c(0, file, body);
        memcpy(file + body, &crc, sizeof crc);
        rc = base_file_write(path, file, body + sizeof crc);
    }
    base_free(path);
    base_free(file);
    base_free(mine);
    return rc;
}

/* Whether the file holds the errors of this step, of as many ranks and weights. */
static bool fits(const struct dist_gradients *g, const uint8_t *file, size_t len, int64_t step)
{
    struct head h;
    uint32_t crc;
    size_t body = sizeof h + sizeof(float) * (size_t)error_floats(g) * (size_t)g->d->ranks;
    if (len != body + sizeof crc)
        return false;
    memcpy(&h, file, sizeof h);
    memcpy(&crc, file + body, sizeof crc);
    return !memcmp(h.magic, magic, sizeof magic) && h.step == step && h.ranks == g->d->ranks && h.floats == error_floats(g) && crc == base_crc32c(0, file, body);
}

/* Rank 0 reads and tells the others; errors of another step or number of ranks are dropped. */
static int load(void *ctx, const char *checkpoint, int64_t step)
{
    struct dist_gradients *g = ctx;
    if (g->code.method != DIST_ECQ)
        return BASE_OK;
    size_t floats = (size_t)error_floats(g) * (size_t)g->d->ranks, len = 0;
    char *path = error_path(checkpoint);
    uint8_t *file = NULL;
    float *rows = BASE_NEW_N(float, floats + 1);
    int rc = path && rows ? BASE_OK : BASE_NOMEM, found = 0;
    if (!rc && g->d->rank == 0 && base_file_exists(path) && !base_file_read(&file, &len, path, (size_t)1 << 40) && fits(g, file, len, step)) {
        memcpy(rows, file + sizeof(struct head), sizeof *rows * floats);
        found = 1;
    }
    if (!rc)
        rc = dist_broadcast(g->d, &found, sizeof found);
    if (!rc && found)
        rc = dist_broadcast(g->d, rows, sizeof *rows * floats);
    if (!rc && found)
        move_errors(g, rows + (size_t)g->d->rank * (floats / (size_t)g->d->ranks), true);
    if (!rc && !found)
        base_log("gradients: errors to make up for start at 0: there are none of step %lld and %d ranks", (long long)step, g->d->ranks);
    base_free(path);
    base_free(file);
    base_free(rows);
    return rc;
}

int dist_gradients_new(struct dist_gradients **out, struct dist *d, const struct dist_code *code)
{
    *out = NULL;
    int rc = check_code(code);
    if (rc)
        return rc;
    struct dist_gradients *g = *out = BASE_NEW(struct dist_gradients);
    if (!g)
        return BASE_NOMEM;
    g->d = d;
    g->code = *code;
    g->ranks = (struct nn_ranks){ .rank = d->rank, .ranks = d->ranks, .local_batchnorm = code->local_batchnorm, .plan = plan, .broadcast = broadcast, .sum = sum,
                                  .begin = begin, .add = add, .progress = progress, .finish = finish, .save = save, .load = load, .ctx = g };
    return BASE_OK;
}
