/* eval: accuracy on real data of a float model or, bit-exact, of a pack. */
#include <string.h>

#include "cmd/output.h"
#include "cmd/pipeline.h"
#include "onnx/onnx.h"

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

struct eval {
    const char *spec, *input;        /* data; YAML with the preprocessing or NULL */
    enum data_part part;
    struct base_pool *pool;
    double seconds;                  /* reading the images not counted */
    struct nn_result result;
};

static int eval_pack(struct eval *e, const char *path)
{
    struct pack *p = NULL;
    struct data_set s = { 0 };
    int rc = pack_read(&p, path);
    if (!rc) {
        const struct fixed_edge *in = &p->net->edge[0];
        struct data_options o = { .shape = { .h = in->h, .w = in->w, .c = in->c, .classes = p->net->classes }, .pool = e->pool, .label = "read pictures" };
        rc = data_open_as(&s, e->spec, e->part, &o);
    }
    double start = base_seconds();
    if (!rc)
        rc = pipeline_eval_fixed(p->net, s.pixels, s.label, s.n, e->pool, &e->result, NULL);
    e->seconds = base_seconds() - start;
    data_free(&s);
    pack_free(p);
    return rc;
}

static int eval_model(struct eval *e, const char *path)
{
    struct graph *g = NULL;
    struct data_set s = { 0 };
    int rc = pipeline_model(&g, path, e->input);
    if (!rc)
        rc = pipeline_images_open(&s, g, e->spec, e->part, e->pool);
    double start = base_seconds();
    if (!rc)
        rc = pipeline_eval_float(g, s.pixels, s.label, s.n, e->pool, &e->result, NULL);
    e->seconds = base_seconds() - start;
    data_free(&s);
    graph_free(g);
    return rc;
}

static int eval_file(struct eval *e, const char *path)
{
    if (ends_with(path, ".bpk"))
        return eval_pack(e, path);
    if (ends_with(path, ".onnx"))
        return eval_model(e, path);
    return base_fail(BASE_INPUT, "%s: neither a model (.onnx) nor a pack (.bpk)", path);
}

int cmd_eval(int argc, char **argv)
{
    struct eval e = { 0 };
    bool training = false;
    const struct cmd_option options[] = {
        { "data", CMD_TEXT, &e.spec, "SPEC", "idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" },
        { "input", CMD_TEXT, &e.input, "FILE", "YAML with the preprocessing, `input: {scale, mean, std}`, where the model lacks it" },
        { "training-images", CMD_FLAG, &training, NULL, "the training part instead of the test part" },
    };
    const struct cmd_usage u = { "MODEL|PACK --data SPEC", "Top-1 and top-5 accuracy: a float model (.onnx) or a pack (.bpk, by the integer reference).", options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    if (!e.spec)
        return cmd_fail(base_hint(base_fail(BASE_INPUT, "eval: --data is missing"), "bitpress eval %s --data idx:%s", c.arg[0], DATA_FASHION_MNIST_DIR));
    e.part = training ? DATA_TRAIN : DATA_TEST;
    e.pool = base_pool_new((int)c.threads);
    rc = e.pool ? eval_file(&e, c.arg[0]) : BASE_NOMEM;
    const struct nn_result r = e.result;
    double rate = e.seconds > 0 ? r.n / e.seconds : 0;
    if (!rc && c.json) {
        rc = cmd_print_json(json_pack("{s:f, s:f, s:i, s:f}", "top1", r.top1, "top5", r.top5, "images", r.n, "images_per_s", rate));
    } else if (!rc) {
        printf("top-1 %.2f %%  top-5 %.2f %%  (%d of %d images right, %.0f images/s)\n", 100 * r.top1, 100 * r.top5, (int)(r.top1 * r.n + 0.5), r.n, rate);
        rc = cmd_end_output();
    }
    base_pool_free(e.pool);
    return rc ? cmd_fail(rc) : 0;
}
