/* judge: which trial is better, the best, the Pareto front. */
#include "search/search_internal.h"

#include <math.h>
#include <stdlib.h>

static int compare_cycles(const struct search_trial *a, const struct search_trial *b)
{
    return (a->cycles > b->cycles) - (a->cycles < b->cycles);
}

bool search_better(const struct search_objective *o, const struct search_trial *a, const struct search_trial *b)
{
    if (a->feasible != b->feasible)
        return a->feasible > b->feasible;
    if (o->goal == SEARCH_MIN_CYCLES && a->feasible) {
        if (compare_cycles(a, b))
            return a->cycles < b->cycles;
        if (a->top1 != b->top1)
            return a->top1 > b->top1;
    } else {
        if (a->top1 != b->top1)
            return a->top1 > b->top1;
        if (compare_cycles(a, b))
            return a->cycles < b->cycles;
    }
    return a->id < b->id;
}

static bool is_judged(const struct search_trial *t)
{
    return t->state == SEARCH_DONE && t->rung >= SEARCH_CHEAP;
}

/* At least as good in both and better in one, or the same and earlier. */
static bool dominates(const struct search_trial *a, const struct search_trial *b)
{
    if (a->top1 < b->top1 || a->cycles > b->cycles)
        return false;
    return a->top1 > b->top1 || a->cycles < b->cycles || a->id < b->id;
}

int search_pareto(const struct search_trials *t, bool *flag)
{
    int count = 0;
    for (int i = 0; i < t->n; i++) {
        flag[i] = is_judged(&t->trial[i]);
        for (int k = 0; flag[i] && k < t->n; k++)
            if (k != i && is_judged(&t->trial[k]) && dominates(&t->trial[k], &t->trial[i]))
                flag[i] = false;
        count += flag[i];
    }
    return count;
}

/* ---- the trade-off ---------------------------------------------------------------------------------- */

static bool counts(const struct search_trial *t)
{
    return is_judged(t) && t->feasible;
}

static bool is_on_front(const struct search_trials *t, int i)
{
    for (int k = 0; k < t->n; k++)
        if (k != i && counts(&t->trial[k]) && dominates(&t->trial[k], &t->trial[i]))
            return false;
    return counts(&t->trial[i]);
}

/* The point of the front that is farthest above the line between its ends, both axes in units of their distance; of two
 * points the more accurate. */
static int knee(const struct search_trials *t)
{
    int first = -1, last = -1, best = -1;
    double most = -1;
    for (int i = 0; i < t->n; i++)
        if (is_on_front(t, i)) {
            first = first < 0 || t->trial[i].cycles < t->trial[first].cycles ? i : first;
            last = last < 0 || t->trial[i].cycles > t->trial[last].cycles ? i : last;
        }
    if (first < 0 || first == last)
        return first;
    const struct search_trial *a = &t->trial[first], *b = &t->trial[last];
    for (int i = 0; i < t->n; i++) {
        const struct search_trial *p = &t->trial[i];
        if (!is_on_front(t, i))
            continue;
        double above = (p->top1 - a->top1) / (b->top1 - a->top1) - (double)(p->cycles - a->cycles) / (double)(b->cycles - a->cycles);
        if (above > most || (above == most && p->top1 > t->trial[best].top1)) {
            most = above;
            best = i;
        }
    }
    return best;
}

double search_gain(const struct search_objective *o, const struct search_trials *t, int64_t cycles, search_gain_fn *gain, void *ctx)
{
    double sum = 0;
    while (cycles < o->reference_cycles) {
        double level = o->reference_top1;
        int64_t next = o->reference_cycles;
        for (int i = 0; i < t->n; i++) {
            const struct search_trial *p = &t->trial[i];
            if (!counts(p))
                continue;
            if (p->cycles <= cycles)
                level = BASE_MAX(level, p->top1);
            else
                next = BASE_MIN(next, p->cycles);
        }
        sum += (double)(next - cycles) * gain(ctx, level);
        cycles = next;
    }
    return sum / ((1 - o->reference_top1) * (double)o->reference_cycles);
}

static double above_reference(void *reference, double level)
{
    return level - *(double *)reference;
}

/* With fewer trials than are fine-tuned nothing is hopeless. */
static double last_of_best(const struct search_trials *t)
{
    enum { FINALISTS = 4 };
    double top[FINALISTS] = {0};
    for (int i = 0; i < t->n; i++) {
        double v = counts(&t->trial[i]) ? t->trial[i].top1 : 0;
        for (int k = 0; k < FINALISTS; k++)
            if (v > top[k]) {
                double was = top[k];
                top[k] = v;
                v = was;
            }
    }
    return top[FINALISTS - 1];
}

double search_hopeless_below(const struct search_objective *o, const struct search_trials *t, int64_t cycles)
{
    double least = 0;
    if (o->goal == SEARCH_MAX_TOP1)
        return last_of_best(t);
    for (int i = 0; i < t->n; i++) {
        const struct search_trial *p = &t->trial[i];
        if (is_judged(p))              /* top1 + loss is the float network's accuracy */
            least = BASE_MAX(least, p->top1 + p->loss - o->loss_max);
        if (o->goal == SEARCH_PARETO && counts(p) && p->cycles <= cycles)
            least = BASE_MAX(least, p->top1);
    }
    return least;
}

double search_hypervolume(const struct search_objective *o, const struct search_trials *t)
{
    double reference = o->reference_top1;
    return search_gain(o, t, 0, above_reference, &reference);
}

/* ---- sensitivities ---------------------------------------------------------------------------------- */

static const struct search_trial *widest_trial(const struct search_space *s, const struct search_trials *t)
{
    const struct search_trial *widest = NULL;
    int most = 0;
    for (int i = 0; i < t->n; i++) {
        int sum = 0;
        for (int k = 0; k < s->n; k++)
            sum += t->trial[i].genes[k] - s->dim[k].lo;
        if (is_judged(&t->trial[i]) && (!widest || sum > most)) {
            widest = &t->trial[i];
            most = sum;
        }
    }
    return widest;
}

/* The one gene in which b is at its least and a is not; -1: they differ in others, or in none. */
static int lone_difference(const struct search_space *s, const int *a, const int *b)
{
    int at = -1;
    for (int k = 0; k < s->n; k++) {
        if (a[k] == b[k])
            continue;
        if (at >= 0 || b[k] != s->dim[k].lo)
            return -1;
        at = k;
    }
    return at;
}

void search_sensitivities(double *worth, const struct search_space *s, const struct search_trials *t)
{
    const struct search_trial *all = widest_trial(s, t);
    for (int k = 0; k < s->n; k++)
        worth[k] = (double)NAN;
    for (int i = 0; all && i < t->n; i++) {
        int k = is_judged(&t->trial[i]) ? lone_difference(s, all->genes, t->trial[i].genes) : -1;
        if (k >= 0)
            worth[k] = all->top1 - t->trial[i].top1;
    }
}

/* ---- the best -------------------------------------------------------------------------------------- */

int search_best(const struct search_objective *o, const struct search_trials *t)
{
    int best = -1;
    if (o->goal == SEARCH_PARETO)
        return knee(t);
    for (int i = 0; i < t->n; i++)
        if (counts(&t->trial[i]) &&
            (best < 0 || search_better(o, &t->trial[i], &t->trial[best])))
            best = i;
    return best;
}

/* Deb, Pratap, Agarwal, Meyarivan: "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE TEC 2002: fronts
 * one behind the other, within a front the lonelier first. */
struct place { int trial, rank; double crowding; };

static bool beats(const struct search_trial *a, const struct search_trial *b)
{
    return a->feasible != b->feasible ? a->feasible > b->feasible : dominates(a, b);
}

static void rank_places(struct place *p, int n, const struct search_trial *t)
{
    int left = n;
    for (int i = 0; i < n; i++)
        p[i].rank = -1;
    for (int rank = 0; left; rank++) {
        for (int i = 0; i < n; i++) {
            bool beaten = p[i].rank >= 0;
            for (int k = 0; k < n && !beaten; k++)
                beaten = k != i && (p[k].rank < 0 || p[k].rank == rank) && beats(&t[p[k].trial], &t[p[i].trial]);
            if (!beaten) {
                p[i].rank = rank;
                left--;
            }
        }
    }
}

/* Distance between the neighbours on the same front, in both axes; on one front more cycles go with more accuracy. */
static void crowd_places(struct place *p, int n, const struct search_trial *t)
{
    double top1_lo = 1, top1_hi = 0, cycles_lo = 1e18, cycles_hi = 0;
    for (int i = 0; i < n; i++) {
        top1_lo = BASE_MIN(top1_lo, t[p[i].trial].top1), top1_hi = BASE_MAX(top1_hi, t[p[i].trial].top1);
        cycles_lo = BASE_MIN(cycles_lo, (double)t[p[i].trial].cycles), cycles_hi = BASE_MAX(cycles_hi, (double)t[p[i].trial].cycles);
    }
    for (int i = 0; i < n; i++) {
        const struct search_trial *below = NULL, *above = NULL, *me = &t[p[i].trial];
        for (int k = 0; k < n; k++) {
            const struct search_trial *other = &t[p[k].trial];
            if (k == i || p[k].rank != p[i].rank)
                continue;
            if (other->cycles <= me->cycles && (!below || other->cycles > below->cycles))
                below = other;
            if (other->cycles >= me->cycles && (!above || other->cycles < above->cycles))
                above = other;
        }
        p[i].crowding = 1e18;
        if (below && above)
            p[i].crowding = (above->top1 - below->top1) / BASE_MAX(top1_hi - top1_lo, 1e-12) + (double)(above->cycles - below->cycles) / BASE_MAX(cycles_hi - cycles_lo, 1);
    }
}

static int by_place(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank - b->rank;
    if (a->crowding != b->crowding)
        return a->crowding < b->crowding ? 1 : -1;
    return a->trial - b->trial;
}

/* index [n] into trials; by place. */
static int order_front(const struct search_trial *t, int *index, int n)
{
    struct place *p = BASE_NEW_N(struct place, n + 1);
    if (!p)
        return BASE_NOMEM;
    for (int i = 0; i < n; i++)
        p[i].trial = index[i];
    rank_places(p, n, t);
    crowd_places(p, n, t);
    qsort(p, (size_t)n, sizeof *p, by_place);
    for (int i = 0; i < n; i++)
        index[i] = p[i].trial;
    base_free(p);
    return n;
}

int search_order(const struct search_view *view, int *index)
{
    const struct search_objective *o = &view->job->objective;
    int n = 0;
    for (int i = 0; i < view->history->n; i++) {
        const struct search_trial *t = &view->history->trial[i];
        if (t->state != SEARCH_DONE)
            continue;
        int at = n++;
        for (; o->goal != SEARCH_PARETO && at > 0 && search_better(o, t, &view->history->trial[index[at - 1]]); at--)
            index[at] = index[at - 1];
        index[at] = i;
    }
    return o->goal == SEARCH_PARETO ? order_front(view->history->trial, index, n) : n;
}
