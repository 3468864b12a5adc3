/* train: float training of a built-in network, by one process or by the ranks that mpirun starts. */
#include <stdlib.h>
#include <string.h>

#include "cmd/output.h"
#include "cmd/ranks.h"
#include "onnx/onnx.h"

struct train {
    const struct cmd *cmd;
    const char *out;
    bool resume;
    struct dist *dist;
    struct run_config config;
    struct base_pool *pool;
    struct graph *graph;
    struct pipeline_data data;
    struct dist_gradients *gradients;
};

static int open_job(struct train *t)
{
    struct run_config *c = &t->config;
    int rc = run_config_load(c, t->cmd->arg[0]);
    if (rc)
        return rc;
    if (t->cmd->seed >= 0)
        c->seed = t->cmd->seed;
    t->out = t->out ? t->out : c->out;
    char *text = run_config_text(c);
    rc = text ? ranks_same_job(t->dist, text, c->model) : BASE_NOMEM;
    base_free(text);
    if (!rc)
        rc = (t->pool = base_pool_new((int)t->cmd->threads)) ? BASE_OK : BASE_NOMEM;
    if (!rc && dist_rank(t->dist) == 0)
        rc = base_out_folder(t->out);
    if (!rc)
        rc = pipeline_model(&t->graph, c->model, c->input ? c->path : NULL);
    if (!rc)
        rc = pipeline_data_open(&t->data, t->graph, c->data, (int)c->held_out, (uint64_t)c->seed, t->pool);
    return rc ? rc : ranks_same_data(t->dist, &t->data.train);
}

/* What one rank sent, and how much of it while it computed. */
static json_t *traffic_of(const struct train *t)
{
    struct dist_traffic f = dist_gradients_traffic(t->gradients);
    double steps = BASE_MAX(f.steps, 1);
    return json_pack("{s:i, s:s, s:f, s:f, s:f, s:f}", "count", dist_ranks(t->dist), "gradients", t->config.distributed.gradients, "gradient_bytes_per_step", f.gradient_bytes / steps,
                     "other_bytes_per_step", f.other_bytes / steps, "early", (double)f.early / (double)BASE_MAX(f.arrays, 1), "wait_s", f.wait_s);
}

static int report(const struct train *t, const char *path, const struct nn_result *v, double wall)
{
    bool several = dist_ranks(t->dist) > 1;
    if (t->cmd->json)
        return cmd_print_json(json_pack("{s:o, s:f, s:i, s:f, s:o*}", "model", cmd_json_text(path), "validation_top1", v->top1, "validation_images", v->n, "wall_s", wall,
                                        "ranks", several ? traffic_of(t) : NULL));
    printf("%s: %.2f %% of %d held-out images, %.0f s\n", path, 100 * v->top1, v->n, wall);
    if (several) {
        char words[RANKS_WORDS];
        ranks_traffic_words(words, t->dist, t->gradients);
        printf("%s\n", words);
    }
    return cmd_end_output();
}

/* Rank 0's part. */
static int finish(const struct train *t, double wall)
{
    struct nn_result v = { 0 };
    int rc = pipeline_eval_float(t->graph, t->data.val_pixels, t->data.val_label, t->data.n_val, t->pool, &v, NULL);
    char *path = base_format("%s/model.onnx", t->out);
    if (!rc)
        rc = path ? onnx_write(t->graph, path) : BASE_NOMEM;
    if (!rc)
        rc = report(t, path, &v, wall);
    base_free(path);
    return rc;
}

static int train(struct train *t)
{
    int rc = open_job(t);
    if (!rc)
        rc = ranks_gradients(&t->gradients, t->dist, &t->config.distributed, t->config.seed);
    double start = base_seconds();
    if (!rc)
        rc = pipeline_train(t->graph, &t->config, &t->data, t->pool, t->out, t->resume, dist_gradients_ranks(t->gradients));
    return rc || dist_rank(t->dist) > 0 ? rc : finish(t, base_seconds() - start);
}

int cmd_train(int argc, char **argv)
{
    struct train t = { 0 };
    const struct cmd_option options[] = {
        { "out", CMD_TEXT, &t.out, "DIR", "where model.onnx goes (default: the configuration's out)" },
        { "resume", CMD_FLAG, &t.resume, NULL, "continue an interrupted training, with any number of ranks" },
    };
    const struct cmd_usage u = { "CONFIG", "Train the configuration's built-in network in float; writes model.onnx. Started by mpirun, the\nranks share each batch.", options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    t.cmd = &c;
    rc = ranks_open(&t.dist, &c);
    if (!rc)
        rc = train(&t);
    dist_gradients_free(t.gradients);
    graph_free(t.graph);
    pipeline_data_free(&t.data);
    base_pool_free(t.pool);
    run_config_free(&t.config);
    return ranks_end(t.dist, rc);
}
