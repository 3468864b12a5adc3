/* apply: one recipe put into force, no search: pack, ONNX and report. Of several ranks, rank 0 does it, and the others take part
 * in the fine-tuning. */
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/contender.h"
#include "cmd/outcome.h"
#include "cmd/pipeline.h"
#include "cmd/ranks.h"
#include "cmd/remote.h"
#include "onnx/onnx.h"

struct apply {
    const struct cmd *cmd;
    const char *model, *input, *recipe, *data, *board, *out, *distributed;
    struct contender_scorer scorer;
    struct cmd_list remote;
    long held_out, verify, pad, round;
    bool flip, qonnx, resume, validate;
    uint64_t seed;
    struct dist *dist;
    struct run_config config;        /* of which `distributed` counts */
    struct dist_gradients *gradients;
    struct compress_recipe wanted;
    struct hw hw;
    struct base_pool *pool;
    struct pipeline_data images;
    struct graph *graph;
    struct pipeline_bench bench;
    struct contender result;
    struct outcome outcome;
};

/* What is wrong with the recipe is said before any data is looked at. */
static int read_recipe(struct apply *a)
{
    struct graph_layers ls;
    int rc = graph_make_layers(a->graph, &ls);
    if (!rc)
        rc = compress_recipe_read(&a->wanted, a->recipe, a->graph, &ls);
    if (a->round)
        a->wanted.prune.round = (int)a->round;
    return rc ? rc : compress_recipe_settle(&a->wanted, a->graph, &ls, contender_channel_step(&a->hw));
}

/* All that fine-tuning depends on, but how gradients are exchanged; the caller's. */
static char *job_text(const struct apply *a, uint64_t model_hash)
{
    struct graph_layers ls;
    char *recipe = graph_make_layers(a->graph, &ls) ? NULL : compress_recipe_text(&a->wanted, &ls);
    char *text = recipe ? base_format("%s\n%s\n%016llx %lld %ld %ld %d", recipe, a->data, (unsigned long long)model_hash, (long long)a->seed, a->held_out, a->pad, a->flip) : NULL;
    base_free(recipe);
    return text;
}

static int check_ranks(const struct apply *a)
{
    const struct run_distributed *d = &a->config.distributed;
    char *job = job_text(a, 0);      /* models are compared by themselves */
    char *text = job ? base_format("%s\n%s %s %ld %.17g %.17g %s", job, d->gradients, d->bits, d->bucket, d->feedback, d->decay, d->batchnorm) : NULL;
    int rc = text ? ranks_same_job(a->dist, text, a->model) : BASE_NOMEM;
    base_free(job);
    base_free(text);
    return rc;
}

/* Named after the job, so that --resume never goes on with another one's. */
static int checkpoint_name(char **out, const struct apply *a)
{
    uint8_t *model;
    size_t len;
    int rc = base_file_read(&model, &len, a->model, ONNX_MAX_BYTES);
    if (rc)
        return rc;
    char *job = job_text(a, base_hash64(0, model, len));
    *out = job ? contender_checkpoint(a->out, job) : NULL;
    base_free(model);
    base_free(job);
    return *out ? BASE_OK : BASE_NOMEM;
}

static int build(struct apply *a)
{
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    char *checkpoint = NULL;
    double start = base_seconds();
    int rc = checkpoint_name(&checkpoint, a);
    o.label = "fine-tune";
    o.checkpoint = checkpoint;
    o.resume = a->resume;
    o.ranks = dist_gradients_ranks(a->gradients);
    if (!rc)
        rc = dist_rank(a->dist) ? contender_tune(&a->wanted, a->bench.cache, &a->hw, &o) : contender_build(&a->result, "recipe", -1, &a->wanted, a->bench.cache, (struct contender_arrays){ &a->hw, 1 }, &o);
    if (!rc && o.ranks)
        ranks_log_traffic(a->dist, a->gradients);
    outcome_time(&a->outcome, "apply", base_seconds() - start);
    base_free(checkpoint);
    return rc;
}

static int judge(struct apply *a, const uint8_t *pixels, const uint16_t *label, int n)
{
    struct contender_exam exam = { 0 };
    double start = base_seconds();
    a->outcome.verified = BASE_MIN((int)a->verify, n);
    int rc = contender_score(&a->result, &a->scorer, pixels, a->outcome.verified, NULL);
    if (!rc)
        rc = contender_exam_open(&exam, a->graph, pixels, label, n, a->pool);
    if (!rc)
        rc = contender_test(&a->result, &exam);
    contender_exam_close(&exam);
    a->outcome.float_test = exam.float_top1;
    a->outcome.test_images = n;
    a->outcome.test_openings = !a->validate;
    outcome_time(&a->outcome, "verify", base_seconds() - start);
    return rc;
}

static int finish(struct apply *a, double start)
{
    struct data_set test = { 0 };
    struct contender *row[] = { &a->result };
    const struct pipeline_data *d = &a->images;
    int rc = a->validate ? judge(a, d->val_pixels, d->val_label, d->n_val) : pipeline_images_open(&test, a->graph, a->data, DATA_TEST, a->pool);
    if (!rc && !a->validate)
        rc = judge(a, test.pixels, test.label, test.n);
    char *config = rc ? NULL : compress_recipe_text(&a->result.recipe, compress_cache_layers(a->bench.cache));
    if (!rc && !config)
        rc = BASE_NOMEM;
    if (!rc) {
        a->outcome.row = row;
        a->outcome.cache = a->bench.cache;
        a->outcome.n_row = 1;
        a->outcome.config = config;
        a->outcome.wall_s = base_seconds() - start;
        rc = outcome_write(&a->outcome, a->validate ? d->val_pixels : test.pixels);
    }
    if (!rc)
        rc = outcome_print(&a->outcome, a->cmd);
    base_free(config);
    data_free(&test);
    return rc;
}

/* Network, recipe and images; ranks that have nothing to do are spared the images. */
static int open_job(struct apply *a, bool first, bool *tunes)
{
    int rc = pipeline_model(&a->graph, a->model, a->input);
    if (!rc)
        rc = read_recipe(a);
    if (!rc)
        rc = check_ranks(a);
    *tunes = !rc && a->wanted.finetune.mode != COMPRESS_FAST;
    if (!rc && first && !a->validate)
        rc = pipeline_images_check(a->graph, a->data, DATA_TEST);
    if (rc || (!first && !*tunes))
        return rc;
    rc = pipeline_data_open(&a->images, a->graph, a->data, (int)a->held_out, a->seed, a->pool);
    if (!rc && *tunes)
        rc = ranks_same_data(a->dist, &a->images.train);
    if (!rc)
        rc = pipeline_bench_open(&a->bench, a->graph, &a->images, a->seed, (int)a->pad, a->flip, a->pool);
    return rc;
}

static int open_output(struct apply *a)
{
    int rc = cmd_remote(&a->scorer, &a->remote);
    return rc ? rc : base_out_folder(a->out);
}

static int apply(struct apply *a)
{
    char title[160];
    double start = base_seconds();
    bool first = dist_rank(a->dist) == 0, tunes;
    a->seed = a->cmd->seed < 0 ? 1 : (uint64_t)a->cmd->seed;
    int rc = run_config_of(&a->config, "model", "data", a->distributed);    /* the names may be no text, which a configuration is */
    if (!rc)
        rc = cmd_check_name("backend", a->scorer.backend, score_backends());
    if (!rc)
        rc = hw_load(&a->hw, a->board);
    if (!rc && first)
        rc = open_output(a);
    if (!rc)
        rc = (a->pool = base_pool_new((int)a->cmd->threads)) ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = open_job(a, first, &tunes);
    if (rc || (!first && !tunes))
        return rc;
    if (!tunes && dist_ranks(a->dist) > 1)
        base_warn("%s: there is no fine-tuning: the ranks have nothing to share", a->recipe);
    if ((rc = ranks_gradients(&a->gradients, a->dist, &a->config.distributed, (long)a->seed)))
        return rc;
    snprintf(title, sizeof title, "%.60s on %.60s", a->model, a->hw.board);
    a->outcome = (struct outcome){ .title = title, .objective = "One recipe, no search", .dir = a->out, .data = a->data, .model = a->model, .hw = &a->hw, .baseline = -1, .seed = a->seed, .qonnx = a->qonnx };
    rc = build(a);
    return rc || !first ? rc : finish(a, start);
}

int cmd_apply(int argc, char **argv)
{
    struct apply a = { .board = "pynq-z2", .out = "apply", .scorer.backend = "verilator", .held_out = 5000, .verify = 20, .pad = 2 };
    const struct cmd_option options[] = {
        { "recipe", CMD_TEXT, &a.recipe, "FILE", "the recipe (YAML)" },
        { "data", CMD_TEXT, &a.data, "SPEC", "idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" },
        { "input", CMD_TEXT, &a.input, "FILE", "YAML with `input: {scale, mean, std}`: how pixels become the network's input" },
        { "board", CMD_TEXT, &a.board, "NAME", "board description (default pynq-z2)" },
        { "out", CMD_TEXT, &a.out, "DIR", "where everything goes (default: apply)" },
        { "backend", CMD_TEXT, &a.scorer.backend, "NAME", "who measures the cycles (default: verilator)" },
        { "remote", CMD_LIST, &a.remote, "COMMAND", CMD_REMOTE_HELP },
        { "held-out", CMD_INT, &a.held_out, "N", "training images kept for validation (default 5000)" },
        { "round", CMD_INT, &a.round, "N", "channels stay in steps of N, whatever the recipe says (unless said there or here: the array's; 1: any count)" },
        { "pad", CMD_INT, &a.pad, "N", "augmentation: shifts by up to N pixels, as the network was trained (default 2)" },
        { "flip", CMD_FLAG, &a.flip, NULL, "augmentation: mirrors half of the images" },
        { "validate", CMD_FLAG, &a.validate, NULL, "judge on the held-out images; the test images stay closed, for the recipe that is chosen" },
        { "verify", CMD_INT, &a.verify, "N", "whole images run through the backend (default 20)" },
        { "resume", CMD_FLAG, &a.resume, NULL, "go on with interrupted fine-tuning of the same recipe, with any number of ranks" },
        { "distributed", CMD_TEXT, &a.distributed, "TEXT", "how ranks exchange gradients, as a configuration's distributed: {TEXT} says: \"gradients: ecq, bits: 2\"" },
        { "qonnx", CMD_FLAG, &a.qonnx, NULL, "write best.qonnx.onnx as well: QONNX, with bit widths below 8" },
    };
    const struct cmd_usage u = { "MODEL --recipe FILE --data SPEC", "Compress a float network (.onnx) by one recipe: quantize, measure batch norms anew, fine-tune if the\nrecipe says so; leaves best.bpk, best.onnx and report.html. Started by mpirun, the ranks share each batch of the\nfine-tuning.", options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    a.cmd = &c;
    a.model = c.arg[0];
    if (!a.recipe || !a.data)
        rc = base_fail(BASE_INPUT, "apply: --%s is missing", a.recipe ? "data" : "recipe");
    else if (!pipeline_is_file(a.model))
        rc = base_hint(base_fail(BASE_INPUT, "apply: '%s' is not a trained network (.onnx)", a.model), "bitpress train CONFIG makes one");
    else if (a.verify < 1 || a.verify > 10000 || a.held_out < 1 || a.held_out > 1000000)
        rc = base_fail(BASE_INPUT, "apply: --verify must be 1 to 10000, --held-out 1 to 1000000");
    else if (a.round < 0 || a.round > 4096)
        rc = base_fail(BASE_INPUT, "apply: --round %ld is outside 1..4096", a.round);
    else if (a.pad < 0 || a.pad > 64)
        rc = base_fail(BASE_INPUT, "apply: --pad %ld is outside 0..64", a.pad);
    else if (!(rc = ranks_open(&a.dist, &c)))
        rc = apply(&a);
    dist_gradients_free(a.gradients);
    run_config_free(&a.config);
    compress_recipe_free(&a.wanted);
    contender_free(&a.result);
    remote_close(a.scorer.boards);
    pipeline_bench_free(&a.bench);
    pipeline_data_free(&a.images);
    graph_free(a.graph);
    base_pool_free(a.pool);
    return ranks_end(a.dist, rc);
}
