#include "cmd/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fine-tuning wins back about this much of what a candidate has lost: candidates may lose more than the result. */
static const double REGAINED = 0.01;

int target_make(struct target *out, const struct run_config *c, const struct hw *hw)
{
    double limit = c->target.cycles ? (double)c->target.cycles : floor(c->target.latency_ms * hw->clock_mhz * 1e3);
    *out = (struct target){ .search = { .goal = SEARCH_MAX_TOP1 }, .loss_max = c->target.max_loss / 100 };
    if (limit < 1 && c->target.latency_ms > 0)
        return base_fail(BASE_INPUT, "%s: target: %g ms is less than a cycle", c->path, c->target.latency_ms);
    bool pareto = !strcmp(c->target.objective, "pareto");
    if (limit < 1 && out->loss_max >= 1 && !pareto)
        return base_hint(base_fail(BASE_INPUT, "%s: no target", c->path), "target: {latency_ms: 0.1}, target: {cycles: 10000}, target: {max_loss: 0.5} or target: {objective: pareto}");
    if (pareto)
        out->search = (struct search_objective){ .goal = SEARCH_PARETO, .cycles_limit = (int64_t)limit, .loss_max = BASE_MIN(out->loss_max + REGAINED, 1) };
    else if (limit >= 1)
        out->search.cycles_limit = (int64_t)limit;
    else
        out->search = (struct search_objective){ .goal = SEARCH_MIN_CYCLES, .loss_max = out->loss_max + REGAINED };
    return BASE_OK;
}

void target_words(char buf[200], const struct target *t, const struct hw *hw)
{
    char loss[64] = "", limit[96] = "";
    if (t->search.cycles_limit)
        snprintf(limit, sizeof limit, " within %lld cycles an image (%.4f ms at %g MHz, %s)", (long long)t->search.cycles_limit, (double)t->search.cycles_limit / (hw->clock_mhz * 1e3), hw->clock_mhz, hw->clock_is);
    if (t->loss_max < 1)
        snprintf(loss, sizeof loss, "%.3g points less accurate than in float", 100 * t->loss_max);
    if (t->search.goal == SEARCH_MIN_CYCLES)
        snprintf(buf, 200, "The fastest network that is at most %s", loss);
    else
        snprintf(buf, 200, "%s%s%s%s", t->search.goal == SEARCH_PARETO ? "The trade-off of accuracy against cycles" : "The most accurate network", limit, *loss ? ", at most " : "", loss);
}

int target_latency(double *ms, const char *text)
{
    static const struct { const char *unit; double ms; } units[] = { { "", 1 }, { "ms", 1 }, { "us", 1e-3 }, { "s", 1e3 } };
    char *end;
    double v = strtod(text, &end);
    for (int i = 0; i < BASE_COUNT(units); i++)
        if (end != text && !strcmp(end, units[i].unit) && v > 0 && v * units[i].ms <= 1e6) {
            *ms = v * units[i].ms;
            return BASE_OK;
        }
    return base_fail(BASE_INPUT, "'%.40s' is no latency: 1ms, 250us, 0.001s, or a number of milliseconds", text);
}
