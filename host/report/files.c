/* files: summary.json and layers.csv. */
#include "report/report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* User texts may be any bytes; jansson takes UTF-8 only. */
static json_t *text(const char *s)
{
    if (!s)
        return json_null();
    json_t *j = json_string(s);
    if (j)
        return j;
    struct base_text t = {0};
    for (; *s; s++)
        base_text_add(&t, "%c", (unsigned char)*s < 0x80 ? *s : '?');
    j = t.s ? json_string(t.s) : NULL;
    base_text_free(&t);
    return j;
}

/* A number or null: JSON has no NaN, and unknown is not zero. */
static json_t *number(double v, bool known)
{
    return known && isfinite(v) ? json_real(v) : json_null();
}

static json_t *count(int64_t v, bool known)
{
    return known ? json_integer((json_int_t)v) : json_null();
}

static json_t *row_json(const struct report_row *r)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", text(r->name), "top1", number(r->top1, r->top1 >= 0),
                     "loss", number(r->loss.value, r->loss.known), "loss_half", number(r->loss.half, r->loss.known),
                     "cycles", count(r->cycles, r->cycles > 0), "latency_ms", number(r->latency_ms, r->cycles > 0),
                     "size_bytes", count(r->size_bytes, r->size_bytes > 0));
}

static json_t *trial_json(const struct report_trial *t)
{
    return json_pack("{s:i, s:o, s:o, s:o, s:b, s:b, s:o, s:i, s:o}", "trial", t->id, "top1", number(t->top1, true), "cycles",
                     count(t->cycles, true), "size_bytes", count(t->size_bytes, true), "pareto", t->pareto, "feasible",
                     t->feasible, "agent", text(t->agent), "rung", t->rung, "cycles_source", text(t->cycles_source));
}

static json_t *finalist_json(const struct report_finalist *f)
{
    return json_pack("{s:i, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id", f->id, "parent", count(f->parent, f->parent >= 0), "rung", f->rung, "name", text(f->name), "top1", number(f->top1, true),
                     "loss", number(f->loss, true), "cycles", count(f->cycles, true), "cycles_source", text(f->cycles_source), "wall_s", number(f->wall_s, true), "best", f->best);
}

static double sparsity_of(const struct report_layer *l)
{
    return l->weights > 0 ? (double)l->zeros / (double)l->weights : 0;
}

static json_t *layer_json(const struct report_layer *l)
{
    return json_pack("{s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", text(l->name), "kind", text(l->kind),
                     "w_bits", l->w_bits, "a_bits", l->a_bits, "macs", count(l->macs, true), "cycles_before",
                     count(l->cycles_before, l->cycles_before > 0), "cycles", count(l->cycles_after, true),
                     "ideal_cycles", count(l->ideal_cycles, true), "params", count(l->params, l->params_before > 0),
                     "macs_before", count(l->macs_before, l->params_before > 0), "params_before", count(l->params_before, l->params_before > 0),
                     "sparsity", number(sparsity_of(l), l->weights > 0), "planes", count(l->planes, l->dense_planes > 0),
                     "dense_planes", count(l->dense_planes, l->dense_planes > 0), "weight_bytes", count(l->weight_bytes, l->weights > 0),
                     "w_sensitivity", number(l->w_worth.value, l->w_worth.known), "a_sensitivity", number(l->a_worth.value, l->a_worth.known));
}

static json_t *settings_json(const struct report_setting *v, int n)
{
    json_t *o = json_object();
    for (int i = 0; i < n; i++)
        json_object_set_new_nocheck(o, v[i].key, text(v[i].value));
    return o;
}

static json_t *list_json(const struct report_data *d, bool pareto_only)
{
    json_t *list = json_array();
    for (int i = 0; i < d->n_trial; i++)
        if (!pareto_only || d->trial[i].pareto)
            json_array_append_new(list, trial_json(&d->trial[i]));
    return list;
}

static json_t *root_json(const struct report_data *d)
{
    json_t *rows = json_array(), *layers = json_array(), *finalists = json_array();
    for (int i = 0; i < d->n_finalist; i++)
        json_array_append_new(finalists, finalist_json(&d->finalist[i]));
    for (int i = 0; i < d->n_row; i++)
        json_array_append_new(rows, row_json(&d->row[i]));
    for (int i = 0; i < d->n_layer; i++)
        json_array_append_new(layers, layer_json(&d->layer[i]));
    bool has_best = d->best_row >= 0 && d->best_row < d->n_row;
    bool has_baseline = d->baseline >= 0 && d->baseline < d->n_row;
    json_t *best = has_best ? row_json(&d->row[d->best_row]) : json_null();
    if (has_best)
        json_object_set_new(best, "trial", count(d->best_trial, d->best_trial >= 0));
    json_t *root = json_object();
    json_object_set_new(root, "title", text(d->title));
    json_object_set_new(root, "objective", text(d->objective));
    json_object_set_new(root, "best", best);
    json_object_set_new(root, "baseline", has_baseline ? row_json(&d->row[d->baseline]) : json_null());
    json_object_set_new(root, "trials", json_integer(d->n_trial));
    json_object_set_new(root, "pareto", list_json(d, true));
    json_object_set_new(root, "wall_s", number(d->wall_s, true));
    json_object_set_new(root, "rows", rows);
    json_object_set_new(root, "history", list_json(d, false));
    json_object_set_new(root, "finalists", finalists);
    json_object_set_new(root, "layers", layers);
    json_object_set_new(root, "macs", count(d->macs, d->params > 0));
    json_object_set_new(root, "params", count(d->params, d->params > 0));
    json_object_set_new(root, "macs_before", count(d->macs_before, d->params_before > 0));
    json_object_set_new(root, "params_before", count(d->params_before, d->params_before > 0));
    json_object_set_new(root, "cycles_limit", count(d->cycles_limit, d->cycles_limit > 0));
    json_object_set_new(root, "cycles_source", text(d->cycles_source));
    json_object_set_new(root, "board", text(d->board));
    json_object_set_new(root, "clock_mhz", number(d->clock_mhz, true));
    json_object_set_new(root, "clock_is", text(d->clock_is));
    json_object_set_new(root, "test_openings", json_integer(d->test_openings));
    json_object_set_new(root, "pack", text(d->pack_file));
    json_object_set_new(root, "versions", settings_json(d->version, d->n_version));
    json_object_set_new(root, "facts", settings_json(d->fact, d->n_fact));
    return root;
}

int report_json_text(const struct report_data *d, struct base_text *out)
{
    json_t *root = root_json(d);
    char *s = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!s)
        return base_fail(BASE_NOMEM, "out of memory for the summary");
    base_text_add_bytes(out, s, strlen(s));
    base_text_add(out, "\n");
    free(s);
    return out->failed ? BASE_NOMEM : BASE_OK;
}

static int write_text(struct base_text *t, int rc, const char *path)
{
    if (!rc && t->failed)
        rc = BASE_NOMEM;
    if (!rc)
        rc = base_file_write(path, t->s, t->len);
    base_text_free(t);
    return rc;
}

int report_json(const struct report_data *d, const char *path)
{
    struct base_text t = {0};
    return write_text(&t, report_json_text(d, &t), path);
}

int report_csv(const struct report_data *d, const char *path)
{
    struct base_text t = {0};
    base_text_add(&t, "name,kind,w_bits,a_bits,macs,cycles_before,cycles,ideal_cycles,params,macs_before,params_before,sparsity,planes,dense_planes,weight_bytes\n");
    for (int i = 0; i < d->n_layer; i++) {
        const struct report_layer *l = &d->layer[i];
        base_text_add_csv(&t, l->name);
        base_text_add(&t, ",");
        base_text_add_csv(&t, l->kind);
        base_text_add(&t, ",%d,%d,%lld,%lld,%lld,%lld,%lld,%lld,%lld,%.4f,%lld,%lld,%lld\n", l->w_bits, l->a_bits, (long long)l->macs,
                      (long long)l->cycles_before, (long long)l->cycles_after, (long long)l->ideal_cycles,
                      (long long)l->params, (long long)l->macs_before, (long long)l->params_before, sparsity_of(l),
                      (long long)l->planes, (long long)l->dense_planes, (long long)l->weight_bytes);
    }
    return write_text(&t, BASE_OK, path);
}
