/* apply.c: a recipe put into force on a float network, and what candidates share.
 *
 * The float network is run over the calibration images once; scales of a (layer, width) or an
 * (edge, width) are found once and kept. */
#include <math.h>
#include <string.h>

#include "compress/compress.h"
#include "compress/levels.h"
#include "compress/prune.h"
#include "compress/reconstruct.h"
#include "compress/sparse.h"

enum { WIDTHS = 9 };

struct compress_cache {
    struct graph *graph;
    struct graph_layers layers;
    struct compress_data data;
    struct base_pool *pool;
    struct nn_histogram *hist;            /* [n_edge] */
    float *weight_scale;                  /* [n layers][GRAPH_MAX_TERM][WIDTHS] rows of [max_cout]; found below */
    bool *weight_found;                   /* [n layers][GRAPH_MAX_TERM][WIDTHS] */
    float *edge_scale;                    /* [n_edge][WIDTHS]; 0 = not found yet */
    struct compress_quantize how;         /* they were found in this way */
    struct levels_memo *levels;           /* that are not uniform, found so far */
    int max_cout;
    struct prune_memo memo;               /* caches of pruned copies */
    struct graph *unpruned;               /* of a pruned copy: the network it was, the owner's; else NULL */
};

struct prune_memo *compress_cache_memo(struct compress_cache *c)
{
    return &c->memo;
}

const struct graph *compress_cache_graph(const struct compress_cache *c)
{
    return c->graph;
}

const struct graph_layers *compress_cache_layers(const struct compress_cache *c)
{
    return &c->layers;
}

static void negate(float *v, int64_t n)
{
    for (int64_t i = 0; v && i < n; i++)
        v[i] = -v[i];
}

void compress_positive_gamma(struct graph *g)
{
    for (int i = 0; i < g->n_node; i++) {
        struct graph_node *b = &g->node[i];
        struct graph_node *n = b->n_in ? &g->node[b->in[0]] : NULL;
        if (b->op != GRAPH_BATCHNORM || !n->weight)
            continue;
        int64_t per = (int64_t)n->kh * n->kw * (n->depthwise ? 1 : g->node[n->in[0]].shape.c);
        for (int c = 0; c < n->shape.c; c++) {
            if (!(b->gamma[c] < 0))
                continue;
            negate(n->weight + c * per, per);
            negate(n->bias ? n->bias + c : NULL, 1);
            negate(b->mean + c, 1);
            negate(b->gamma + c, 1);
        }
    }
}

/* ---- cache --------------------------------------------------------------------- */

void compress_cache_free(struct compress_cache *c)
{
    if (!c)
        return;
    prune_memo_free(&c->memo);
    levels_memo_free(c->levels);
    graph_free(c->graph);
    base_free(c->hist);
    base_free(c->weight_scale);
    base_free(c->weight_found);
    base_free(c->edge_scale);
    base_free(c);
}

static int calibrate(struct compress_cache *c)
{
    struct nn *m = NULL;
    struct nn_options o = NN_OPTIONS_INIT;
    o.pool = c->pool;
    o.max_batch = BASE_MIN(o.max_batch, c->data.n_calibration);      /* every map of each is kept: large images are many bytes */
    int rc = nn_new(&m, c->graph, &o);
    if (!rc)
        rc = nn_edge_histogram(m, c->data.calibration, c->data.n_calibration, c->hist);
    nn_free(m);
    return rc;
}

/* `like`: its ranges are taken; NULL: the calibration images are run. */
static int cache_fill(struct compress_cache *c, const struct graph *g, const struct compress_cache *like)
{
    c->graph = graph_clone(g);
    if (!c->graph)
        return BASE_NOMEM;
    compress_positive_gamma(c->graph);
    int rc = graph_make_layers(c->graph, &c->layers);
    if (rc)
        return rc;
    for (int i = 0; i < c->graph->n_node; i++)
        c->max_cout = BASE_MAX(c->max_cout, c->graph->node[i].shape.c);
    int64_t rows = (int64_t)c->layers.n * GRAPH_MAX_TERM * WIDTHS;
    c->hist = BASE_NEW_N(struct nn_histogram, c->layers.n_edge);
    c->weight_scale = BASE_NEW_N(float, rows * c->max_cout);
    c->weight_found = BASE_NEW_N(bool, rows);
    c->edge_scale = BASE_NEW_N(float, c->layers.n_edge * WIDTHS);
    if (!c->hist || !c->weight_scale || !c->weight_found || !c->edge_scale)
        return BASE_NOMEM;
    if (!like)
        return calibrate(c);
    c->hist[0] = like->hist[0];
    for (int i = 0; i < c->layers.n; i++)
        c->hist[i + 1] = like->hist[BASE_MAX(compress_layer_was(like->graph, &like->layers, &c->layers.layer[i]), 0) + 1];
    return BASE_OK;
}

static int cache_make(struct compress_cache **out, const struct graph *g, const struct compress_data *data, struct base_pool *pool, const struct compress_cache *like)
{
    struct compress_cache *c = BASE_NEW(struct compress_cache);
    if (!c)
        return BASE_NOMEM;
    c->data = *data;
    c->pool = pool;
    int rc = cache_fill(c, g, like);
    if (rc) {
        compress_cache_free(c);
        return rc;
    }
    *out = c;
    return BASE_OK;
}

int compress_cache_pruned(struct compress_cache **out, struct compress_cache *c, const struct compress_recipe *r, bool draft, int batchnorm_images)
{
    *out = NULL;
    struct graph *g = NULL;
    int rc = prune_graph(&g, c->graph, &c->layers, r, &c->data, c->pool, draft ? 0 : batchnorm_images);
    if (!rc)
        rc = cache_make(out, g, &c->data, c->pool, draft ? c : NULL);
    if (!rc)
        (*out)->unpruned = c->graph;
    graph_free(g);
    return rc;
}

int compress_cache_new(struct compress_cache **out, const struct graph *g, const struct compress_data *data, struct base_pool *pool)
{
    *out = NULL;
    if (data->n_calibration < 1)
        return base_fail(BASE_INPUT, "calibration needs at least one training image");
    return cache_make(out, g, data, pool, NULL);
}

/* ---- scales ---------------------------------------------------------------------- */

/* Output channels that share a scale. */
static int group_of(const struct compress_quantize *how, int cout)
{
    return how->group ? BASE_MIN(how->group, cout) : cout;
}

/* Weights that multiply raw pixels are scaled in that unit; masked ones are 0. */
static int find_weight_scales(float *scale, const struct graph *g, const struct graph_node *n, const struct nn_quant_term *t, int bits, const struct compress_quantize *how)
{
    int cin = n->depthwise ? 1 : g->node[n->in[0]].shape.c, cout = n->shape.c, group = group_of(how, cout), rc = BASE_OK;
    int64_t per = (int64_t)n->kh * n->kw * cin;
    float *w = BASE_NEW_N(float, per * cout);
    if (!w)
        return BASE_NOMEM;
    for (int64_t i = 0; i < per * cout; i++)
        w[i] = n->weight[i] * (t->in_factor ? t->in_factor[n->depthwise ? i / per : i % cin] : 1) * (t->mask ? t->mask[i] : 1);
    for (int o = 0, k; !rc && o < cout; o += k) {
        k = BASE_MIN(group, cout - o);
        float s = compress_clip_weights(w + o * per, k * per, bits, how->weights, how->percentile);
        rc = s > 0 ? BASE_OK : BASE_NOMEM;
        for (int i = o; i < o + k; i++)
            scale[i] = s;
    }
    base_free(w);
    return rc;
}

/* Another way to find them: what was found is forgotten. */
static void scales_as(struct compress_cache *c, const struct compress_quantize *how)
{
    if (c->how.weights == how->weights && c->how.edges == how->edges && c->how.percentile == how->percentile && c->how.group == how->group)
        return;
    c->how = *how;
    memset(c->weight_found, 0, sizeof *c->weight_found * (size_t)(c->layers.n * GRAPH_MAX_TERM * WIDTHS));
    memset(c->edge_scale, 0, sizeof *c->edge_scale * (size_t)(c->layers.n_edge * WIDTHS));
}

static int weight_scales(struct compress_cache *c, struct nn_quant *q, int layer, int term, int bits, bool draft)
{
    struct nn_quant_term *t = &q->layer[layer].term[term];
    const struct graph_node *n = &c->graph->node[c->layers.layer[layer].term[term].node];
    int64_t row = ((int64_t)layer * GRAPH_MAX_TERM + term) * WIDTHS + bits;
    float *kept = c->weight_scale + row * c->max_cout;
    t->w_bits = bits;
    t->group = group_of(&c->how, n->shape.c);
    if (t->mask && !draft)               /* other shares have other scales, which cost no cycles */
        return find_weight_scales(t->w_scale, c->graph, n, t, bits, &c->how);
    if (!c->weight_found[row]) {
        int rc = find_weight_scales(kept, c->graph, n, t, bits, &c->how);
        if (rc)
            return rc;
        c->weight_found[row] = true;
    }
    memcpy(t->w_scale, kept, sizeof *kept * (size_t)n->shape.c);
    return BASE_OK;
}

static void edge_scale(struct compress_cache *c, struct nn_quant_edge *e, int edge, int bits)
{
    float *kept = &c->edge_scale[edge * WIDTHS + bits];
    bool is_signed = graph_edge_signed(c->graph, &c->layers, edge);
    if (!(*kept > 0))
        *kept = compress_clip_edge(&c->hist[edge], bits, is_signed, c->how.edges, c->how.percentile);
    *e = (struct nn_quant_edge){ .bits = bits, .is_signed = is_signed, .scale = *kept };
}

/* A max pool's output stays as it is: it picks values that are quantized already. */
static int set_scales(struct compress_cache *c, struct nn_quant *q, const struct compress_recipe *r, bool draft)
{
    const struct graph_layers *ls = &c->layers;
    scales_as(c, &r->quantize);
    for (int i = 0; i < ls->n; i++) {
        const struct graph_layer *l = &ls->layer[i];
        for (int t = 0; t < l->n_term; t++) {
            if (l->term[t].node < 0 || !c->graph->node[l->term[t].node].weight)
                continue;
            int rc = weight_scales(c, q, i, t, r->layer[i].w_bits, draft);
            if (rc)
                return rc;
        }
        int bits = compress_recipe_edge_bits(r, c->graph, ls, i + 1);
        if (bits && l->kind == GRAPH_LAYER_MAC)
            edge_scale(c, &q->edge[i + 1], i + 1, bits);
    }
    return BASE_OK;
}

/* ---- apply ------------------------------------------------------------------------ */

void compress_model_free(struct compress_model *m)
{
    if (!m)
        return;
    nn_quant_free(m->quant);
    graph_free(m->graph);
    compress_recipe_free(&m->recipe);
    base_free(m);
}

static int model_fill(struct compress_model *m, struct compress_cache *c, const struct compress_recipe *r, bool draft)
{
    m->graph = graph_clone(c->graph);
    if (!m->graph)
        return BASE_NOMEM;
    int rc = graph_make_layers(m->graph, &m->layers);
    if (!rc)
        rc = compress_recipe_copy(&m->recipe, r);
    if (!rc)
        rc = nn_quant_new(&m->quant, m->graph, &m->layers);
    if (!rc)
        rc = nn_quant_pixel_factor(m->quant, m->graph, &m->layers);
    if (!rc)
        rc = sparse_begin(m, r->finetune.mode != COMPRESS_FAST);
    if (!rc)
        rc = set_scales(c, m->quant, r, draft);
    if (!rc)
        rc = levels_begin(m, &c->levels, draft);
    return rc;
}

enum { SHORT_IMAGES = 10000, FULL_EPOCHS = 10, CHECKPOINT_STEPS = 100 };

/* Of several ranks rank 0 does all but the fine-tuning, and what it has is everybody's when that begins. */
static bool only_tunes(const struct compress_options *o)
{
    return o->ranks && o->ranks->rank > 0;
}

/* Images that an engine takes at once: batch norms are measured in whole batches, by rank 0. */
static int engine_batch(const struct compress_options *o)
{
    return only_tunes(o) ? (o->batch + o->ranks->ranks - 1) / o->ranks->ranks : o->batch;
}

static int finetune_epochs(const struct compress_finetune *f)
{
    return f->epochs > 0 ? f->epochs : f->mode == COMPRESS_FULL ? FULL_EPOCHS : 1;
}

static int epoch_batches(const struct compress_finetune *f, const struct compress_cache *c, int batch)
{
    int images = f->images > 0 ? f->images : f->mode == COMPRESS_SHORT ? SHORT_IMAGES : c->data.n_train;
    return BASE_MAX(BASE_MIN(images, c->data.n_train) / batch, 1);
}

int64_t compress_finetune_images(const struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o)
{
    const struct compress_finetune *f = &r->finetune;
    return f->mode == COMPRESS_FAST ? 0 : (int64_t)finetune_epochs(f) * epoch_batches(f, c, o->batch) * o->batch;
}

static struct nn_train_options finetune_options(const struct compress_recipe *r, const struct compress_cache *c, const struct compress_options *o)
{
    const struct compress_finetune *f = &r->finetune;
    struct nn_train_options t = NN_TRAIN_OPTIONS_INIT;
    t.epochs = finetune_epochs(f);
    t.batch = o->batch;
    t.batches_per_epoch = epoch_batches(f, c, o->batch);
    t.lr = f->lr > 0 ? (float)f->lr : 0.01f;
    t.weight_decay = (float)o->weight_decay;
    t.label = only_tunes(o) ? NULL : o->label;
    t.checkpoint = o->checkpoint;
    t.checkpoint_steps = BASE_MIN(CHECKPOINT_STEPS, t.batches_per_epoch);
    t.resume = o->resume;
    t.ranks = o->ranks;
    t.loss.distill_weight = (float)r->distill.weight;
    if (r->distill.temperature > 0)
        t.loss.temperature = (float)r->distill.temperature;
    t.loss.no_t2 = r->distill.no_t2;
    return t;
}

/* The float network teaches where the recipe distils: the unpruned one where channels were removed. */
static int finetune(struct compress_model *m, struct nn *nn, const struct compress_cache *c, const struct compress_options *o)
{
    struct nn_train_options t = finetune_options(&m->recipe, c, o);
    struct nn_options no = NN_OPTIONS_INIT;
    struct nn *teacher = NULL;
    no.pool = c->pool;
    no.max_batch = engine_batch(o);
    m->quant->learn_edge_scale = m->quant->learn_weight_scale = !m->recipe.finetune.fixed_scales;
    m->quant->scale_lr = 0.1f;
    int rc = m->recipe.distill.weight > 0 ? nn_new(&teacher, c->unpruned ? c->unpruned : c->graph, &no) : BASE_OK;
    t.teacher = teacher;
    t.step_begin = sparse_step;
    t.ctx = m;
    if (!rc)
        rc = nn_train(nn, &c->data.train, &t, NULL);
    if (!rc)
        sparse_end(m);
    nn_free(teacher);
    compress_positive_gamma(m->graph);
    return rc;
}

static int batchnorm_images(const struct compress_recipe *r, const struct compress_options *o)
{
    return r->quantize.batchnorm_images >= 0 ? r->quantize.batchnorm_images : o->batchnorm_images;
}

enum { PTQ_IMAGES = 512 };

/* Augmented training images where there are any, else the calibration images; *memory is the caller's. */
static int ptq_images(struct compress_images *out, uint8_t **memory, const struct compress_cache *c, int batch)
{
    const struct compress_data *d = &c->data;
    struct graph_shape s = c->graph->node[0].shape;
    size_t image = (size_t)s.h * (size_t)s.w * (size_t)s.c;
    int batches = (PTQ_IMAGES + batch - 1) / batch, rc = BASE_OK;
    *memory = NULL;
    *out = (struct compress_images){ d->calibration, BASE_MIN(d->n_calibration, PTQ_IMAGES) };
    if (!d->train.fill)
        return BASE_OK;
    uint16_t *labels = BASE_NEW_N(uint16_t, batch);
    *memory = base_alloc(image * (size_t)(batches * batch));
    rc = labels && *memory ? BASE_OK : BASE_NOMEM;
    for (int b = 0; !rc && b < batches; b++)
        rc = d->train.fill(d->train.ctx, b, batch, *memory + image * (size_t)(b * batch), labels);
    *out = (struct compress_images){ *memory, batches * batch };
    base_free(labels);
    return rc;
}

static int measure_batchnorms(struct nn *nn, const struct compress_model *m, const struct compress_cache *c, const struct compress_options *o)
{
    int images = batchnorm_images(&m->recipe, o);
    return images > 0 && c->data.train.fill ? nn_batchnorm_reestimate(nn, &c->data.train, 0, images) : BASE_OK;
}

/* How far the accuracy on all n images may be above that on the first k of them: three standard errors. */
static double margin(double top1, int k, int n)
{
    return 3 * sqrt(BASE_MAX(top1 * (1 - top1), 0.01) / k * (1 - (double)k / n));
}

static int measure_accuracy(struct nn *nn, struct compress_model *m, const struct compress_cache *c, const struct compress_options *o)
{
    int n = o->val_images > 0 ? BASE_MIN(o->val_images, c->data.n_val) : o->val_images < 0 ? 0 : c->data.n_val;
    int first = o->hopeless_below > 0 ? n / 4 : 0;
    const struct graph_shape s = c->graph->node[0].shape;
    size_t image = (size_t)s.h * (size_t)s.w * (size_t)s.c;
    struct nn_result rest;
    int rc = first ? nn_evaluate(nn, c->data.val_pixels, c->data.val_labels, first, &m->val) : BASE_OK;
    if (rc || first == n || (first && m->val.top1 + margin(m->val.top1, first, n) < o->hopeless_below))
        return rc;
    rc = nn_evaluate(nn, c->data.val_pixels + image * (size_t)first, c->data.val_labels + first, n - first, &rest);
    double share = (double)first / n;
    m->val = (struct nn_result){ share * m->val.top1 + (1 - share) * rest.top1, share * m->val.top5 + (1 - share) * rest.top5, share * m->val.loss + (1 - share) * rest.loss, n };
    return rc;
}

/* Fine-tune (its own memory for backward), then measure on an engine for inference. */
static int train_and_measure(struct compress_model *m, struct compress_cache *c, const struct compress_options *o, const struct compress_images *images)
{
    struct nn *nn = NULL;
    struct nn_options no = NN_OPTIONS_INIT;
    bool tune = m->recipe.finetune.mode != COMPRESS_FAST, again = false;
    no.pool = c->pool;
    no.max_batch = engine_batch(o);
    no.training = tune;
    int rc = nn_new(&nn, m->graph, &no);
    if (!rc)
        rc = nn_set_quant(nn, m->quant);
    if (!rc && tune)
        rc = finetune(m, nn, c, o);
    if (rc || only_tunes(o))
        goto done;
    rc = measure_batchnorms(nn, m, c, o);
    if (!rc && !tune && m->recipe.quantize.bias_correction)
        rc = compress_correct_bias(m, c->graph, c->pool, images, batchnorm_images(&m->recipe, o) <= 0 || !c->data.train.fill, &again);
    if (!rc && again)
        rc = measure_batchnorms(nn, m, c, o);
    if (!rc)
        rc = measure_accuracy(nn, m, c, o);
done:
    nn_free(nn);
    return rc;
}

static int model_run(struct compress_model *m, struct compress_cache *c, const struct compress_options *o)
{
    const struct compress_quantize *q = &m->recipe.quantize;
    if (m->recipe.finetune.mode == COMPRESS_FAST && (only_tunes(o) || (o->batchnorm_images <= 0 && o->val_images < 0)))
        return BASE_OK;                  /* scales alone: no engine to set up */
    if (only_tunes(o))
        return train_and_measure(m, c, o, NULL);
    struct compress_images images;
    uint8_t *memory = NULL;
    int rc = BASE_OK;
    if (q->rounding == COMPRESS_ADAPTIVE || q->bias_correction)
        rc = ptq_images(&images, &memory, c, o->batch);
    if (!rc && q->rounding == COMPRESS_ADAPTIVE)
        rc = compress_reconstruct(m, c->graph, c->pool, &images);
    if (!rc)
        rc = train_and_measure(m, c, o, &images);
    base_free(memory);
    return rc;
}

/* The cache of what the recipe leaves, and the recipe for that. */
static int pruned_for(struct compress_cache **c, struct compress_recipe *r, const struct compress_options *o)
{
    const struct compress_cache *was = *c;
    int rc = prune_cache(c, *c, r, o);
    return rc || *c == was ? rc : prune_narrow(r, was->graph, &was->layers, (*c)->graph, &(*c)->layers);
}

int compress_apply(struct compress_model **out, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o)
{
    *out = NULL;
    int rc = compress_recipe_check(r, c->graph, &c->layers);
    if (rc)
        return rc;
    if (o->batch < 1)
        return base_fail(BASE_INPUT, "compress: a batch of %d images (at least 1)", o->batch);
    if (r->finetune.mode != COMPRESS_FAST && (!c->data.train.fill || c->data.n_train < 1))
        return base_fail(BASE_INPUT, "compress: fine-tuning needs training images");
    struct compress_recipe settled;
    if ((rc = compress_recipe_copy(&settled, r)))
        return rc;
    if ((rc = compress_recipe_settle(&settled, c->graph, &c->layers, 1)) || (rc = pruned_for(&c, &settled, o))) {
        compress_recipe_free(&settled);
        return rc;
    }
    struct compress_model *m = BASE_NEW(struct compress_model);
    rc = m ? model_fill(m, c, &settled, o->draft) : BASE_NOMEM;
    if (!rc)
        rc = model_run(m, c, o);
    compress_recipe_free(&settled);
    if (rc) {
        compress_model_free(m);
        return rc;
    }
    *out = m;
    return BASE_OK;
}

int compress_pruned(const struct graph **out, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o)
{
    struct compress_recipe settled;
    int rc = compress_recipe_check(r, c->graph, &c->layers);
    if (rc || (rc = compress_recipe_copy(&settled, r)))
        return rc;
    rc = compress_recipe_settle(&settled, c->graph, &c->layers, 1);
    if (!rc)
        rc = prune_cache(&c, c, &settled, o);
    if (!rc)
        *out = c->graph;
    compress_recipe_free(&settled);
    return rc;
}

int compress_evaluate(struct nn_result *val, struct fixed_net **net, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o)
{
    struct compress_model *m = NULL;
    if (net)
        *net = NULL;
    int rc = compress_apply(&m, c, r, o);
    if (!rc && net)
        rc = compress_lower(net, m);
    if (!rc)
        *val = m->val;
    compress_model_free(m);
    return rc;
}
