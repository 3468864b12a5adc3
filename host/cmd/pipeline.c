#include "cmd/pipeline.h"

#include <string.h>

#include "onnx/onnx.h"

static struct data_options fitting(const struct graph *g, enum data_part part, struct base_pool *pool)
{
    struct graph_shape in = g->node[0].shape, out = g->node[g->output].shape;
    struct data_options o = DATA_OPTIONS_INIT;
    o.shape = (struct data_shape){ .h = in.h, .w = in.w, .c = in.c, .classes = out.h * out.w * out.c };
    o.pool = pool;
    o.label = part == DATA_TRAIN ? "read training pictures" : "read test pictures";
    return o;
}

/* Values in a row are not moved about: that would be other images. */
static bool is_row(const struct graph *g)
{
    return g->node[0].shape.h == 1;
}

int pipeline_images_open(struct data_set *out, const struct graph *g, const char *spec, enum data_part part, struct base_pool *pool)
{
    const struct data_options o = fitting(g, part, pool);
    int rc = data_open_as(out, spec, part, &o);
    if (!rc && (rc = pipeline_check_fit(g, out, spec)))
        data_free(out);
    return rc;
}

int pipeline_images_check(const struct graph *g, const char *spec, enum data_part part)
{
    const struct data_options o = fitting(g, part, NULL);
    return data_check(spec, part, &o);
}

enum { HELD_OUT = 5000 };         /* at most, where the user does not say */

int pipeline_data_open(struct pipeline_data *d, const struct graph *g, const char *spec, int held_out, uint64_t seed, struct base_pool *pool)
{
    memset(d, 0, sizeof *d);
    int rc = pipeline_images_open(&d->train, g, spec, DATA_TRAIN, pool);
    if (!rc)
        rc = data_split(&d->split, &d->train, held_out ? held_out : BASE_MIN(d->train.n / 5, HELD_OUT), seed);
    if (rc)
        goto fail;
    size_t image = (size_t)d->train.h * (size_t)d->train.w * (size_t)d->train.c;
    d->n_val = d->split.n_validation;
    d->val_pixels = base_alloc(image * (size_t)d->n_val);
    d->val_label = BASE_NEW_N(uint16_t, d->n_val);
    if (!d->val_pixels || !d->val_label) {
        rc = BASE_NOMEM;
        goto fail;
    }
    data_gather(&d->train, d->split.validation, d->n_val, d->val_pixels, d->val_label);
    return BASE_OK;
fail:
    pipeline_data_free(d);
    return rc;
}

void pipeline_data_free(struct pipeline_data *d)
{
    base_free(d->val_pixels);
    base_free(d->val_label);
    data_split_free(&d->split);
    data_free(&d->train);
    memset(d, 0, sizeof *d);
}

int pipeline_check_fit(const struct graph *g, const struct data_set *s, const char *spec)
{
    struct graph_shape in = g->node[0].shape, out = g->node[g->output].shape;
    if (in.h != s->h || in.w != s->w || in.c != s->c)
        return base_fail(BASE_INPUT, "%s: images of %dx%dx%d do not fit the network '%s', which takes %dx%dx%d", spec, s->h, s->w, s->c, g->name, in.h, in.w, in.c);
    if (out.c < s->classes || out.h != 1 || out.w != 1)
        return base_fail(BASE_INPUT, "%s: %d classes do not fit the network '%s' with %d outputs", spec, s->classes, g->name, out.h * out.w * out.c);
    return BASE_OK;
}

bool pipeline_is_file(const char *model)
{
    size_t n = strlen(model);
    return n > 5 && !strcmp(model + n - 5, ".onnx");
}

int pipeline_prep(struct graph *g, const char *input)
{
    struct graph_prep p;
    int rc = input ? onnx_prep_read(&p, input, g->node[0].shape.c) : BASE_OK;
    if (!rc && input)
        rc = graph_prep_set(g, &p);
    return rc ? rc : graph_prep_check(g);
}

int pipeline_model(struct graph **out, const char *model, const char *input)
{
    bool file = pipeline_is_file(model);
    int rc = file ? onnx_read(out, model) : graph_zoo(out, model);
    if (rc)
        return rc == BASE_INPUT && !file ? base_hint(rc, "a file must end in .onnx") : rc;
    if ((rc = pipeline_prep(*out, input))) {
        graph_free(*out);
        *out = NULL;
    }
    return rc;
}

static struct nn_train_options train_options(const struct run_config *c)
{
    struct nn_train_options to = NN_TRAIN_OPTIONS_INIT;
    to.epochs = (int)c->train.epochs;
    to.batch = (int)c->train.batch;
    to.optimizer = strcmp(c->train.optimizer, "adam") ? NN_SGD : NN_ADAM;
    to.schedule = strcmp(c->train.schedule, "step") ? NN_COSINE : NN_STEP;
    to.n_drop = c->train.steps.n;
    for (int i = 0; i < to.n_drop; i++)
        to.drop[i] = (int)c->train.steps.v[i];
    to.gamma = (float)c->train.gamma;
    to.lr = (float)c->train.lr;
    to.warmup = (int)c->train.warmup;
    to.momentum = (float)c->train.momentum;
    to.weight_decay = (float)c->train.weight_decay;
    to.loss.kind = strcmp(c->train.loss, "mse") ? NN_CROSS_ENTROPY : NN_MSE;
    to.loss.label_smoothing = (float)c->train.label_smoothing;
    to.label = "train";
    return to;
}

int pipeline_train(struct graph *g, const struct run_config *c, const struct pipeline_data *d, struct base_pool *pool, const char *dir, bool resume, const struct nn_ranks *ranks)
{
    struct nn *m = NULL;
    struct data_feed *feed = NULL;
    char *checkpoint = base_format("%s/train.ckpt", dir);
    struct data_feed_options fo = DATA_FEED_OPTIONS_INIT;
    fo.seed = (uint64_t)c->seed;
    fo.pad = is_row(g) ? 0 : (int)c->train.pad;
    fo.flip = !is_row(g) && c->train.flip;
    fo.pool = pool;
    struct nn_options no = NN_OPTIONS_INIT;
    no.pool = pool;
    int others = ranks ? ranks->ranks - 1 : 0;
    no.max_batch = ((int)c->train.batch + others) / (others + 1);
    no.training = true;
    if (d->split.n_train < c->train.batch) {
        base_free(checkpoint);
        return base_hint(base_fail(BASE_INPUT, "%s: %d images are left for training, fewer than one batch of %ld", c->data, d->split.n_train, c->train.batch),
                         "a smaller train.batch or held_out");
    }
    nn_init_parameters(g, (uint64_t)c->seed);
    int rc = checkpoint ? nn_new(&m, g, &no) : BASE_NOMEM;
    if (!rc)
        rc = data_feed_new(&feed, &d->train, d->split.train, d->split.n_train, &fo);
    if (!rc) {
        struct nn_train_options to = train_options(c);
        to.batches_per_epoch = data_feed_batches(feed, to.batch);
        to.checkpoint = checkpoint;
        to.resume = resume;
        to.ranks = ranks;
        to.label = ranks && ranks->rank > 0 ? NULL : to.label;
        rc = nn_train(m, &(struct nn_source){ .fill = data_feed_fill, .ctx = feed }, &to, NULL);
    }
    data_feed_free(feed);
    nn_free(m);
    base_free(checkpoint);
    return rc;
}

enum { CALIBRATION_IMAGES = 512, BLANK_IMAGES = 4 };

int pipeline_bench_open(struct pipeline_bench *b, const struct graph *g, const struct pipeline_data *d, uint64_t seed, int pad, bool flip, struct base_pool *pool)
{
    memset(b, 0, sizeof *b);
    int n = BASE_MIN(CALIBRATION_IMAGES, d->split.n_train);
    struct data_feed_options fo = DATA_FEED_OPTIONS_INIT;
    fo.seed = seed;
    fo.pad = is_row(g) ? 0 : pad;
    fo.flip = !is_row(g) && flip;
    fo.pool = pool;
    b->calibration = base_alloc((size_t)n * (size_t)d->train.h * (size_t)d->train.w * (size_t)d->train.c);
    int rc = b->calibration ? data_feed_new(&b->feed, &d->train, d->split.train, d->split.n_train, &fo) : BASE_NOMEM;
    if (!rc) {
        data_gather(&d->train, d->split.train, n, b->calibration, NULL);
        struct compress_data cd = { .calibration = b->calibration, .n_calibration = n, .train = { data_feed_fill, b->feed }, .n_train = d->split.n_train,
                                    .val_pixels = d->val_pixels, .val_labels = d->val_label, .n_val = d->n_val };
        rc = compress_cache_new(&b->cache, g, &cd, pool);
    }
    if (rc)
        pipeline_bench_free(b);
    return rc;
}

static int no_images(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    (void)ctx, (void)batch, (void)n, (void)pixels, (void)labels;
    return base_fail(BASE_INTERNAL, "there are no training images");
}

/* Images of noise: every edge gets some range. */
int pipeline_bench_blank(struct pipeline_bench *b, const struct graph *g, struct base_pool *pool)
{
    memset(b, 0, sizeof *b);
    struct graph_shape s = g->node[0].shape;
    size_t n = (size_t)s.h * (size_t)s.w * (size_t)s.c * BLANK_IMAGES;
    struct base_rng r;
    b->calibration = base_alloc(n);
    base_rng_seed(&r, 1);
    for (size_t i = 0; b->calibration && i < n; i++)
        b->calibration[i] = (uint8_t)base_rng_below(&r, 256);
    struct compress_data d = { .calibration = b->calibration, .n_calibration = BLANK_IMAGES, .train = { no_images, NULL } };
    int rc = b->calibration ? compress_cache_new(&b->cache, g, &d, pool) : BASE_NOMEM;
    if (rc)
        pipeline_bench_free(b);
    return rc;
}

void pipeline_bench_free(struct pipeline_bench *b)
{
    compress_cache_free(b->cache);
    data_feed_free(b->feed);
    base_free(b->calibration);
    memset(b, 0, sizeof *b);
}

int pipeline_eval_float(struct graph *g, const uint8_t *pixels, const uint16_t *labels, int n, struct base_pool *pool, struct nn_result *out, uint8_t *right)
{
    struct nn *m = NULL;
    struct nn_options no = NN_OPTIONS_INIT;
    no.pool = pool;
    int rc = nn_new(&m, g, &no);
    if (!rc)
        rc = nn_evaluate_each(m, pixels, labels, n, out, right);
    nn_free(m);
    return rc;
}

/* Rank of the label's logit: how many classes come before it (ties: the lower index wins). */
static int rank_of(const int32_t *logits, int classes, int label)
{
    int rank = 0;
    for (int k = 0; k < classes; k++)
        rank += logits[k] > logits[label] || (logits[k] == logits[label] && k < label);
    return rank;
}

int pipeline_eval_fixed(const struct fixed_net *net, const uint8_t *pixels, const uint16_t *labels, int n, struct base_pool *pool, struct nn_result *out, uint8_t *right)
{
    int32_t *logits = BASE_NEW_N(int32_t, (size_t)n * (size_t)net->classes);
    struct qref *q = logits ? qref_new(net, pool) : NULL;
    int rc = q ? qref_run(q, pixels, n, logits) : BASE_NOMEM;
    int top1 = 0, top5 = 0;
    for (int i = 0; !rc && i < n; i++) {
        int rank = rank_of(logits + (size_t)i * (size_t)net->classes, net->classes, labels[i]);
        top1 += rank < 1;
        if (right)
            right[i] = rank < 1;
        top5 += rank < 5;
    }
    if (!rc)
        *out = (struct nn_result){ .top1 = (double)top1 / n, .top5 = (double)top5 / n, .n = n };
    qref_free(q);
    base_free(logits);
    return rc;
}

int pipeline_write_pack(const char *path, struct fixed_net *net, const struct accel_program *p, const uint8_t *pixels, const char *recipe, const char *origin)
{
    struct pack k = { .net = net, .hw_hash = p->hw.hash, .program = p->image, .program_words = p->image_words,
                      .weights = p->weights, .weight_words = p->weight_words64, .test_pixel_bytes = p->input_bytes, .recipe = recipe, .origin = origin };
    snprintf(k.board, sizeof k.board, "%s", p->hw.name);
    k.test_pixels = base_alloc(p->input_bytes);
    k.test_logits = BASE_NEW_N(int32_t, net->classes);
    struct qref *q = k.test_pixels && k.test_logits ? qref_new(net, NULL) : NULL;
    int rc = q ? BASE_OK : BASE_NOMEM;
    if (!rc) {
        memcpy(k.test_pixels, pixels, p->input_bytes);
        rc = qref_run(q, pixels, 1, k.test_logits);
    }
    if (!rc)
        rc = pack_write(&k, path);
    qref_free(q);
    base_free(k.test_pixels);
    base_free(k.test_logits);
    return rc;
}
