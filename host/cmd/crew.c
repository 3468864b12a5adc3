#include "cmd/crew.h"

#include <string.h>
#include <time.h>

#include "cmd/crew_message.h"

enum {
    SILENCE_S = 20,                  /* after which a rank that says nothing is dead */
    LOST_TWICE = 2,                  /* a candidate has failed */
    LOST_IN_A_ROW = 3,               /* it is the rank that cannot judge */
};

static void pause_ms(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

enum stage { FREE, WAITING, OUT, DONE };
struct seat {
    enum stage stage;
    int id, rc;
    int rank;                        /* that has it, or lost it last */
    int turn;                        /* when it was sent: the earliest is being judged */
    int lost;                        /* how often the process that judged it ended */
    struct crew_order order;
    int *genes;
    char source[16], board[32];
    struct search_result result;
    char *message, *hint;
};

struct crew {
    struct dist *dist;
    const struct candidate_bench *bench;
    int n, genes, turns;
    struct member {
        int load;                    /* candidates that it has */
        int lost;                    /* in a row */
        double heard;                /* when it last said something */
        bool gone;
    } *member;                       /* [ranks] */
    double listened;                 /* when messages were last looked for */
    int *store;                      /* [n][genes] */
    struct seat seat[];              /* by id modulo n */
};

static bool is_there(const struct crew *c, int rank)
{
    return !c->member[rank].gone;
}

/* Any rank other than 0 and `but`. */
static bool any_there(const struct crew *c, int but)
{
    for (int i = 1; i < dist_ranks(c->dist); i++)
        if (i != but && is_there(c, i))
            return true;
    return false;
}

int crew_new(struct crew **out, struct dist *d, const struct candidate_bench *b, int n, const void *hello, size_t bytes)
{
    struct crew *c = *out = base_alloc(sizeof *c + sizeof *c->seat * (size_t)n);
    if (!c)
        return BASE_NOMEM;
    c->dist = d;
    c->bench = b;
    c->n = n;
    c->genes = b->space->search.n;
    c->member = BASE_NEW_N(struct member, dist_ranks(d));
    c->store = BASE_NEW_N(int, n * c->genes);
    c->listened = base_seconds();
    int rc = c->member && c->store ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < n; i++)
        c->seat[i].genes = c->store + i * c->genes;
    for (int i = 1; !rc && i < dist_ranks(d); i++) {
        c->member[i].heard = c->listened;
        rc = dist_send(d, i, hello, bytes);
    }
    return rc;
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
    base_free(c->member);
    base_free(c->store);
    base_free(c);
}

/* Not where it was lost, as long as there is another rank; rank 0 has the study to lose. */
static bool may_take(const struct crew *c, int rank, const struct seat *s)
{
    return !s->lost || (rank ? rank != s->rank || !any_there(c, rank) : !any_there(c, 0));
}

/* The candidate that has waited longest for this rank. */
static struct seat *next_waiting(struct crew *c, int rank)
{
    struct seat *first = NULL;
    for (int i = 0; i < c->n; i++)
        if (c->seat[i].stage == WAITING && may_take(c, rank, &c->seat[i]) && (!first || c->seat[i].id < first->id))
            first = &c->seat[i];
    return first;
}

static int send_word(const struct crew *c, int rank, enum crew_word word)
{
    const char byte = (char)word;
    return dist_send(c->dist, rank, &byte, 1);
}

int crew_dismiss(struct crew *c, bool *alone)
{
    int rc = BASE_OK;
    for (int i = 1; i < dist_ranks(c->dist); i++)
        *alone |= !is_there(c, i);
    for (int i = 1; !rc && i < dist_ranks(c->dist); i++)
        if (is_there(c, i))
            rc = send_word(c, i, *alone ? CREW_GO : CREW_JOIN);
    return rc;
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
        s->rank = rank;
        s->turn = c->turns++;
        c->member[rank].load++;
    }
    return rc;
}

static int hand_out(struct crew *c)
{
    struct seat *s;
    int rc = BASE_OK;
    for (int depth = 1; depth <= CREW_AT_HAND; depth++)
        for (int rank = 1; !rc && rank < dist_ranks(c->dist); rank++)
            if (is_there(c, rank) && c->member[rank].load < depth && (s = next_waiting(c, rank)))
                rc = send_order(c, rank, s);
    return rc;
}

/* ---- what is lost ---- */

static void give_out_again(struct crew *c, struct seat *s, const char *how)
{
    c->member[s->rank].load--;
    s->stage = WAITING;
    if (!how)
        return;
    if (++s->lost < LOST_TWICE) {
        base_log("candidate %d is lost by rank %d (%s), it is given out again", s->id, s->rank, how);
        return;
    }
    s->rc = BASE_INPUT;
    s->message = base_format("two processes have ended while they judged this candidate, the second on rank %d (%s)", s->rank, how);
    s->stage = DONE;
}

/* The rank is sent nothing any more. Of what it had, the candidate that came first was being judged. */
static void part_with(struct crew *c, int rank, const char *how)
{
    struct seat *first = NULL;
    base_log("rank %d is lost (%s)", rank, how);
    c->member[rank].gone = true;
    for (int i = 0; i < c->n; i++)
        if (c->seat[i].stage == OUT && c->seat[i].rank == rank && (!first || c->seat[i].turn < first->turn))
            first = &c->seat[i];
    for (int i = 0; i < c->n; i++)
        if (c->seat[i].stage == OUT && c->seat[i].rank == rank)
            give_out_again(c, &c->seat[i], &c->seat[i] == first ? how : NULL);
}

/* Ranks that should have said something while it was listened to. */
static void look_for_silence(struct crew *c, double now)
{
    for (int i = 1; i < dist_ranks(c->dist); i++)
        if (is_there(c, i) && now - c->member[i].heard > SILENCE_S) {
            dist_lost(c->dist);
            part_with(c, i, "silent");
        }
}

/* ---- what is answered ---- */

/* Three texts, of a.recipe, a.message and a.hint bytes, each with its zero or empty. */
static int take_answer(struct crew *c, int from, const char *bytes, size_t n)
{
    struct crew_answer a = { 0 };
    if (n >= sizeof a)
        memcpy(&a, bytes, sizeof a);
    struct seat *s = &c->seat[(unsigned)a.id % (unsigned)c->n];
    if (n < sizeof a || n != sizeof a + (size_t)a.recipe + (size_t)a.message + (size_t)a.hint || s->stage != OUT || s->id != a.id || s->rank != from)
        return base_fail(BASE_INTERNAL, "rank %d answers %zu bytes that are no candidate's", from, n);
    const char *recipe = bytes + sizeof a, *message = recipe + a.recipe, *hint = message + a.message;
    if (a.lost) {
        give_out_again(c, s, message);
        if (++c->member[from].lost < LOST_IN_A_ROW)
            return BASE_OK;
        part_with(c, from, "no process that judges stays alive there: is there too little memory?");
        return send_word(c, from, CREW_GO);
    }
    s->result = a.result;
    memcpy(s->source, a.source, sizeof s->source);
    memcpy(s->board, a.board, sizeof s->board);
    s->result.recipe_yaml = a.recipe ? base_strdup(recipe) : NULL;
    s->message = a.message ? base_strdup(message) : NULL;
    s->hint = a.hint ? base_strdup(hint) : NULL;
    s->rc = a.rc;
    s->stage = DONE;
    c->member[from].load--;
    c->member[from].lost = 0;
    return BASE_OK;
}

static int take_message(struct crew *c, int from, const char *bytes, size_t n, double now)
{
    if (!is_there(c, from))
        return BASE_OK;              /* not dead after all: its candidates are others' by now */
    c->member[from].heard = now;
    return n ? take_answer(c, from, bytes, n) : BASE_OK;
}

/* What has arrived, then what there is to do goes out. */
static int turn(struct crew *c)
{
    double now = base_seconds();
    for (int i = 1; i < dist_ranks(c->dist); i++)
        c->member[i].heard += BASE_MAX(now - c->listened - CREW_BEAT_S, 0);   /* while a candidate was judged here */
    c->listened = now;
    for (;;) {
        void *bytes;
        size_t n;
        int from, rc = dist_receive(c->dist, &from, &bytes, &n);
        if (!rc && from < 0) {
            look_for_silence(c, now);
            return hand_out(c);
        }
        if (!rc)
            rc = take_message(c, from, bytes, n, now);
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
    snprintf(s->board, sizeof s->board, "%s", s->result.board ? s->result.board : "");
    s->stage = DONE;
}

int crew_start(struct crew *c, int id, const int *genes, double hopeless_below)
{
    struct seat *s = &c->seat[id % c->n];
    s->stage = WAITING;
    s->id = id;
    s->order = (struct crew_order){ id, hopeless_below };
    s->lost = 0;
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
        if ((mine = next_waiting(c, 0)))
            judge_here(c, mine);
        else
            pause_ms();
    }
    if (rc)
        return rc;
    *out = s->result;
    out->cycles_source = s->source;
    out->board = s->board;
    rc = s->rc;
    if (rc)
        base_fail_again(rc, s->message, s->hint);
    s->message = s->hint = s->result.recipe_yaml = NULL;
    s->stage = FREE;
    return rc;
}
