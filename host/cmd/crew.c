#include "cmd/crew.h"

#include <string.h>
#include <time.h>

enum { AT_HAND = 2 };                /* candidates that a rank has: the one it judges and the next */

/* ---- messages: the same program on machines of one kind, so plain structures ------------------------ */

struct order { int id; double hopeless_below; };   /* then the genes */
struct answer { int id, rc; struct search_result result; char source[16]; int recipe, message, hint; };   /* bytes of three texts, which follow */

static int with_zero(const char *s)
{
    return s ? (int)strlen(s) + 1 : 0;
}

static int send_answer(struct dist *d, int id, int rc, struct search_result *r)
{
    struct base_text t = { 0 };
    const char *message = rc ? base_error() : NULL, *hint = rc ? base_error_hint() : NULL;
    struct answer a = { .id = id, .rc = rc, .result = *r, .recipe = with_zero(r->recipe_yaml), .message = with_zero(message), .hint = with_zero(hint) };
    snprintf(a.source, sizeof a.source, "%s", r->cycles_source ? r->cycles_source : "");
    base_text_add_bytes(&t, &a, sizeof a);
    base_text_add_bytes(&t, r->recipe_yaml, (size_t)a.recipe);
    base_text_add_bytes(&t, message, (size_t)a.message);
    base_text_add_bytes(&t, hint, (size_t)a.hint);
    base_free(r->recipe_yaml);
    int sent = t.failed ? BASE_NOMEM : dist_send(d, 0, t.s, t.len);
    base_text_free(&t);
    return sent;
}

static void pause_ms(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* ---- any other rank -------------------------------------------------------------------------------- */

static int judge(struct dist *d, const struct candidate_bench *b, const void *bytes, size_t n)
{
    struct order o;
    if (n != sizeof o + sizeof(int) * (size_t)b->space->search.n)
        return base_fail(BASE_INTERNAL, "a candidate of %zu bytes", n);
    memcpy(&o, bytes, sizeof o);
    struct search_result r = { .feasible = 1, .hopeless_below = o.hopeless_below };
    double start = base_seconds();
    int rc = candidate_evaluate(b, (const int *)((const char *)bytes + sizeof o), &r);
    r.wall_s = base_seconds() - start;
    return send_answer(d, o.id, rc, &r);
}

int crew_serve(struct dist *d, const struct candidate_bench *b)
{
    int rc = BASE_OK;
    for (bool dismissed = false; !rc && !dismissed;) {
        void *bytes;
        size_t n;
        int from;
        rc = base_stop_requested() ? base_fail(BASE_STOPPED, "stopped") : dist_receive(d, &from, &bytes, &n);
        if (!rc && from < 0)
            pause_ms();
        dismissed = !rc && from >= 0 && !n;
        if (!rc && n)
            rc = judge(d, b, bytes, n);
        base_free(bytes);
    }
    return rc;
}

int crew_dismiss(struct dist *d)
{
    int rc = BASE_OK;
    for (int i = 1; !rc && i < dist_ranks(d); i++)
        rc = dist_send(d, i, NULL, 0);
    return rc;
}

/* ---- rank 0 ------------------------------------------------------------------------------------------ */

enum stage { FREE, WAITING, OUT, DONE };
struct seat {
    enum stage stage;
    int id, rc;
    struct order order;
    int *genes;
    char source[16];
    struct search_result result;
    char *message, *hint;
};

struct crew {
    struct dist *dist;
    const struct candidate_bench *bench;
    int n, genes;
    int *load;                       /* [ranks] candidates that each has */
    int *store;                      /* [n][genes] */
    struct seat seat[];              /* by id modulo n */
};

int crew_new(struct crew **out, struct dist *d, const struct candidate_bench *b, int n)
{
    struct crew *c = *out = base_alloc(sizeof *c + sizeof *c->seat * (size_t)n);
    if (!c)
        return BASE_NOMEM;
    c->dist = d;
    c->bench = b;
    c->n = n;
    c->genes = b->space->search.n;
    c->load = BASE_NEW_N(int, dist_ranks(d));
    c->store = BASE_NEW_N(int, n * c->genes);
    for (int i = 0; c->store && i < n; i++)
        c->seat[i].genes = c->store + i * c->genes;
    return c->load && c->store ? BASE_OK : BASE_NOMEM;
}

void crew_free(struct crew *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++) {     /* after a signal some are left */
        base_free(c->seat[i].result.recipe_yaml);
        base_free(c->seat[i].message);
        base_free(c->seat[i].hint);
    }
    base_free(c->load);
    base_free(c->store);
    base_free(c);
}

/* The candidate that has waited longest. */
static struct seat *next_waiting(struct crew *c)
{
    struct seat *first = NULL;
    for (int i = 0; i < c->n; i++)
        if (c->seat[i].stage == WAITING && (!first || c->seat[i].id < first->id))
            first = &c->seat[i];
    return first;
}

static int send_order(struct crew *c, int rank, struct seat *s)
{
    struct base_text t = { 0 };
    base_text_add_bytes(&t, &s->order, sizeof s->order);
    base_text_add_bytes(&t, s->genes, sizeof *s->genes * (size_t)c->genes);
    int rc = t.failed ? BASE_NOMEM : dist_send(c->dist, rank, t.s, t.len);
    base_text_free(&t);
    if (!rc) {
        s->stage = OUT;
        c->load[rank]++;
    }
    return rc;
}

static int hand_out(struct crew *c)
{
    struct seat *s;
    int rc = BASE_OK;
    for (int depth = 1; depth <= AT_HAND; depth++)
        for (int rank = 1; !rc && rank < dist_ranks(c->dist); rank++)
            if (c->load[rank] < depth && (s = next_waiting(c)))
                rc = send_order(c, rank, s);
    return rc;
}

/* Three texts, of a.recipe, a.message and a.hint bytes, each with its zero or empty. */
static int take_answer(struct crew *c, int from, const char *bytes, size_t n)
{
    struct answer a = { 0 };
    if (n >= sizeof a)
        memcpy(&a, bytes, sizeof a);
    struct seat *s = &c->seat[(unsigned)a.id % (unsigned)c->n];
    if (n < sizeof a || n != sizeof a + (size_t)a.recipe + (size_t)a.message + (size_t)a.hint || s->stage != OUT || s->id != a.id)
        return base_fail(BASE_INTERNAL, "rank %d answers %zu bytes that are no candidate's", from, n);
    const char *recipe = bytes + sizeof a, *message = recipe + a.recipe, *hint = message + a.message;
    s->result = a.result;
    memcpy(s->source, a.source, sizeof s->source);
    s->result.recipe_yaml = a.recipe ? base_strdup(recipe) : NULL;
    s->message = a.message ? base_strdup(message) : NULL;
    s->hint = a.hint ? base_strdup(hint) : NULL;
    s->rc = a.rc;
    s->stage = DONE;
    c->load[from]--;
    return BASE_OK;
}

/* What has arrived, then what there is to do goes out. */
static int turn(struct crew *c)
{
    for (;;) {
        void *bytes;
        size_t n;
        int from, rc = dist_receive(c->dist, &from, &bytes, &n);
        if (rc || from < 0)
            return rc ? rc : hand_out(c);
        rc = take_answer(c, from, bytes, n);
        base_free(bytes);
        if (rc)
            return rc;
    }
}

static void judge_here(struct crew *c, struct seat *s)
{
    double start = base_seconds();
    s->rc = candidate_evaluate(c->bench, s->genes, &s->result);
    s->message = s->rc ? base_strdup(base_error()) : NULL;
    s->hint = s->rc ? base_strdup(base_error_hint()) : NULL;
    s->result.wall_s = base_seconds() - start;
    snprintf(s->source, sizeof s->source, "%s", s->result.cycles_source ? s->result.cycles_source : "");
    s->stage = DONE;
}

int crew_start(struct crew *c, int id, const int *genes, double hopeless_below)
{
    struct seat *s = &c->seat[id % c->n];
    s->stage = WAITING;
    s->id = id;
    s->order = (struct order){ id, hopeless_below };
    s->result = (struct search_result){ .feasible = 1, .hopeless_below = hopeless_below };
    memcpy(s->genes, genes, sizeof *genes * (size_t)c->genes);
    return turn(c);
}

int crew_collect(struct crew *c, int id, struct search_result *out)
{
    struct seat *s = &c->seat[id % c->n];
    int rc = BASE_OK;
    while (!rc && s->stage != DONE) {
        struct seat *mine;
        rc = base_stop_requested() ? base_fail(BASE_STOPPED, "stopped") : turn(c);
        if (rc || s->stage == DONE)
            break;
        if ((mine = next_waiting(c)))
            judge_here(c, mine);
        else
            pause_ms();
    }
    if (rc)
        return rc;
    *out = s->result;
    out->cycles_source = s->source;
    rc = s->rc;
    if (rc)
        base_fail_again(rc, s->message, s->hint);
    s->message = s->hint = s->result.recipe_yaml = NULL;
    s->stage = FREE;
    return rc;
}
