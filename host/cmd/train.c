/* train: float training of a built-in network. */
#include "cmd/output.h"
#include "cmd/pipeline.h"
#include "onnx/onnx.h"

static int train(const struct cmd *c, const char *out, bool resume)
{
    struct run_config rc_file;
    struct pipeline_data d = { 0 };
    struct graph *g = NULL;
    char *path = NULL;
    int rc = run_config_load(&rc_file, c->arg[0]);
    if (rc)
        return rc;
    if (c->seed >= 0)
        rc_file.seed = c->seed;
    const char *dir = out ? out : rc_file.out;
    struct base_pool *pool = base_pool_new((int)c->threads);
    rc = pool ? base_mkdirs(dir) : BASE_NOMEM;
    if (!rc)
        rc = pipeline_model(&g, rc_file.model, rc_file.input ? rc_file.path : NULL);
    if (!rc)
        rc = pipeline_data_open(&d, g, rc_file.data, (int)rc_file.held_out, (uint64_t)rc_file.seed, pool);
    double start = base_seconds();
    if (!rc)
        rc = pipeline_train(g, &rc_file, &d, pool, dir, resume);
    double wall = base_seconds() - start;
    struct nn_result v = { 0 };
    if (!rc)
        rc = pipeline_eval_float(g, d.val_pixels, d.val_label, d.n_val, pool, &v, NULL);
    path = base_format("%s/model.onnx", dir);
    if (!rc)
        rc = path ? onnx_write(g, path) : BASE_NOMEM;
    if (!rc && c->json) {
        rc = cmd_print_json(json_pack("{s:o, s:f, s:i, s:f}", "model", cmd_json_text(path), "validation_top1", v.top1, "validation_images", v.n, "wall_s", wall));
    } else if (!rc) {
        printf("%s: %.2f %% of %d held-out images, %.0f s\n", path, 100 * v.top1, v.n, wall);
        rc = cmd_end_output();
    }
    base_free(path);
    graph_free(g);
    pipeline_data_free(&d);
    base_pool_free(pool);
    run_config_free(&rc_file);
    return rc;
}

int cmd_train(int argc, char **argv)
{
    const char *out = NULL;
    bool resume = false;
    const struct cmd_option options[] = {
        { "out", CMD_TEXT, &out, "DIR", "where model.onnx goes (default: the configuration's out)" },
        { "resume", CMD_FLAG, &resume, NULL, "continue an interrupted training" },
    };
    const struct cmd_usage u = { "CONFIG", "Train the configuration's built-in network in float; writes model.onnx.", options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    rc = train(&c, out, resume);
    return rc ? cmd_fail(rc) : 0;
}
