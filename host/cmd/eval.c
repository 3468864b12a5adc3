/* eval: accuracy on real data of a float model or, bit-exact, of a pack. */
#include <jansson.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/pipeline.h"
#include "onnx/onnx.h"

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static int eval_file(const char *path, const char *input, const struct data_set *s, const char *spec, struct base_pool *pool, struct nn_result *out)
{
    if (ends_with(path, ".bpk")) {
        struct pack *p = NULL;
        int rc = pack_read(&p, path);
        if (!rc && (p->net->edge[0].h != s->h || p->net->edge[0].w != s->w || p->net->edge[0].c != s->c || p->net->classes < s->classes))
            rc = base_fail(BASE_INPUT, "%s: images of %dx%dx%d in %d classes do not fit the pack's network, which takes %dx%dx%d in %d", spec, s->h, s->w, s->c, s->classes, p->net->edge[0].h, p->net->edge[0].w, p->net->edge[0].c, p->net->classes);
        if (!rc)
            rc = pipeline_eval_fixed(p->net, s->pixels, s->label, s->n, pool, out);
        pack_free(p);
        return rc;
    }
    if (!ends_with(path, ".onnx"))
        return base_fail(BASE_INPUT, "%s: neither a model (.onnx) nor a pack (.bpk)", path);
    struct graph *g = NULL;
    int rc = pipeline_model(&g, path, input);
    if (!rc)
        rc = pipeline_check_fit(g, s, spec);
    if (!rc)
        rc = pipeline_eval_float(g, s->pixels, s->label, s->n, pool, out);
    graph_free(g);
    return rc;
}

int cmd_eval(int argc, char **argv)
{
    const char *spec = NULL, *input = NULL;
    bool training = false;
    const struct cmd_option options[] = {
        { "data", CMD_TEXT, &spec, "SPEC", "idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" },
        { "input", CMD_TEXT, &input, "FILE", "YAML with the preprocessing, `input: {scale, mean, std}`, where the model lacks it" },
        { "training-images", CMD_FLAG, &training, NULL, "the training part instead of the test part" },
    };
    const struct cmd_usage u = { "MODEL|PACK --data SPEC", "Top-1 and top-5 accuracy: a float model (.onnx) or a pack (.bpk, by the integer reference).", options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    if (!spec)
        return cmd_fail(base_hint(base_fail(BASE_INPUT, "eval: --data is missing"), "bitpress eval %s --data idx:%s", c.arg[0], DATA_FASHION_MNIST_DIR));
    struct data_set s = { 0 };
    struct nn_result r = { 0 };
    struct base_pool *pool = base_pool_new((int)c.threads);
    rc = pool ? data_open(&s, spec, training ? DATA_TRAIN : DATA_TEST) : BASE_NOMEM;
    double start = base_seconds();
    if (!rc)
        rc = eval_file(c.arg[0], input, &s, spec, pool, &r);
    double rate = r.n / (base_seconds() - start);
    if (!rc && c.json) {
        json_t *j = json_pack("{s:f, s:f, s:i, s:f}", "top1", r.top1, "top5", r.top5, "images", r.n, "images_per_s", rate);
        json_dumpf(j, stdout, JSON_INDENT(2));
        puts("");
        json_decref(j);
    } else if (!rc) {
        printf("top-1 %.2f %%  top-5 %.2f %%  (%d of %d images right, %.0f images/s)\n", 100 * r.top1, 100 * r.top5, (int)(r.top1 * r.n + 0.5), r.n, rate);
    }
    data_free(&s);
    base_pool_free(pool);
    return rc ? cmd_fail(rc) : 0;
}
