/* judge: which trial is better, the best, the Pareto front. */
#include "search/search_internal.h"

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

int search_best(const struct search_objective *o, const struct search_trials *t)
{
    int best = -1;
    for (int i = 0; i < t->n; i++)
        if (t->trial[i].state == SEARCH_DONE && t->trial[i].feasible &&
            (best < 0 || search_better(o, &t->trial[i], &t->trial[best])))
            best = i;
    return best;
}

int search_order(const struct search_view *view, int *index)
{
    int n = 0;
    for (int i = 0; i < view->history->n; i++) {
        const struct search_trial *t = &view->history->trial[i];
        if (t->state != SEARCH_DONE)
            continue;
        int at = n++;
        for (; at > 0 && search_better(&view->job->objective, t, &view->history->trial[index[at - 1]]); at--)
            index[at] = index[at - 1];
        index[at] = i;
    }
    return n;
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
        flag[i] = t->trial[i].state == SEARCH_DONE;
        for (int k = 0; flag[i] && k < t->n; k++)
            if (k != i && t->trial[k].state == SEARCH_DONE && dominates(&t->trial[k], &t->trial[i]))
                flag[i] = false;
        count += flag[i];
    }
    return count;
}
