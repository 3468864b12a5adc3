/* nn: the training loop, its schedule, checkpoints, resuming. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "nn_nets.h"

enum { SIDE = 6, IMAGE = SIDE * SIDE, CLASSES = 3, BATCH = 16, PER_EPOCH = 4 };

/* A bright row, column or diagonal among noise: easy to tell apart. */
static void draw(uint8_t *pixels, uint16_t *label, uint64_t index)
{
    struct base_rng r;
    base_rng_stream(&r, 77, index);
    int kind = (int)base_rng_below(&r, CLASSES), at = (int)base_rng_below(&r, SIDE);
    for (int i = 0; i < IMAGE; i++) {
        int y = i / SIDE, x = i % SIDE;
        bool on = kind == 0 ? y == at : kind == 1 ? x == at : x == y;
        pixels[i] = (uint8_t)(base_rng_below(&r, 60) + (on ? 180 : 0));
    }
    *label = (uint16_t)kind;
}

static int fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    int *calls = ctx;
    if (calls)
        ++*calls;
    for (int i = 0; i < n; i++)
        draw(pixels + i * IMAGE, &labels[i], (uint64_t)((batch * n + i) % (BATCH * PER_EPOCH)));
    return BASE_OK;
}

static struct graph *small(void)
{
    struct graph *g = net_start(SIDE, SIDE, 1);
    int x = net_relu(g, net_bn(g, net_conv(g, 0, 8, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    x = net_relu(g, net_bn(g, net_conv(g, x, 12, 3, 3, 2, net_pad1, false)), GRAPH_RELU);
    return net_end(g, net_dense(g, x, CLASSES, true));
}

static struct nn_train_options options(int epochs)
{
    struct nn_train_options o = NN_TRAIN_OPTIONS_INIT;
    o.epochs = epochs;
    o.batch = BATCH;
    o.batches_per_epoch = PER_EPOCH;
    o.lr = 0.05f;
    return o;
}

static int64_t differing(const struct graph *a, const struct graph *b)
{
    int64_t n = 0;
    for (int i = 0; i < a->n_node; i++) {
        const struct graph_node *p = &a->node[i], *q = &b->node[i];
        const float *const v[][2] = { { p->bias, q->bias }, { p->gamma, q->gamma }, { p->beta, q->beta }, { p->mean, q->mean }, { p->var, q->var } };
        for (int k = 0; k < BASE_COUNT(v); k++)
            for (int c = 0; v[k][0] && c < p->shape.c; c++)
                n += v[k][0][c] != v[k][1][c];
        int64_t weights = p->weight ? (int64_t)p->kh * p->kw * p->shape.c * a->node[p->in[0]].shape.c : 0;
        for (int64_t k = 0; k < weights; k++)
            n += p->weight[k] != q->weight[k];
    }
    return n;
}

/* ---- learning ------------------------------------------------------------------------------ */

static void learns_a_separable_set(void **state)
{
    (void)state;
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, 2);
    struct nn_train_options o = options(40);
    struct nn_train_report r;
    struct nn_result v;
    uint8_t pixels[64 * IMAGE];
    uint16_t labels[64];
    fill(NULL, 0, 64, pixels, labels);
    assert_ok(nn_evaluate(m, pixels, labels, 64, &v));
    assert_true(v.top1 < 0.8);
    assert_ok(nn_train(m, &(struct nn_source){ fill, NULL }, &o, &r));
    assert_int_equal(r.step, 160);
    assert_int_equal(r.steps, 160);
    assert_int_equal(r.epoch, 39);
    assert_true(r.loss < 0.02 && r.accuracy == 1 && r.images_per_s > 0);
    assert_ok(nn_evaluate(m, pixels, labels, 64, &v));
    assert_true(v.top1 == 1 && v.loss < 0.02);
    nn_free(m);
    graph_free(g);
}

static int note_report(void *ctx, const struct nn_train_report *r)
{
    double *lr = ctx;
    lr[r->epoch] = r->lr;
    return r->epoch == 5 ? -99 : BASE_OK;
}

/* Rise over the warm-up, then half a cosine; an epoch's callback can end the run. */
static void schedule_and_callback(void **state)
{
    (void)state;
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, 1);
    struct nn_train_options o = options(8);
    double lr[8] = { 0 };
    o.warmup = 10;
    o.epoch_done = note_report;
    o.ctx = lr;
    assert_int_equal(nn_train(m, &(struct nn_source){ fill, NULL }, &o, NULL), -99);
    for (int e = 0; e < 6; e++) {
        int step = e * PER_EPOCH + PER_EPOCH - 1;
        double want = step < 10 ? 0.05 * (step + 1) / 10 : 0.025 * (1 + cos(M_PI * (step - 10) / (8 * PER_EPOCH - 10)));
        assert_true(fabs(lr[e] - want) < 1e-7);
    }
    assert_true(lr[6] == 0);
    nn_free(m);
    graph_free(g);
}

/* The rate drops at the first batch of the epochs named, after the same warm-up. */
static void step_schedule(void **state)
{
    (void)state;
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, 1);
    struct nn_train_options o = options(5);
    double lr[8] = { 0 };
    o.warmup = PER_EPOCH + 2;
    o.schedule = NN_STEP;
    o.gamma = 0.2f;
    o.drop[0] = 2, o.drop[1] = 4;
    o.n_drop = 2;
    o.epoch_done = note_report;
    o.ctx = lr;
    assert_ok(nn_train(m, &(struct nn_source){ fill, NULL }, &o, NULL));
    const double want[5] = { 0.05 * PER_EPOCH / (PER_EPOCH + 2), 0.05, 0.01, 0.01, 0.002 };
    for (int e = 0; e < 5; e++)
        assert_true(fabs(lr[e] - want[e]) < 1e-7);
    nn_free(m);
    graph_free(g);
}

static void learns_with_adam(void **state)
{
    (void)state;
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, 2);
    struct nn_train_options o = options(40);
    struct nn_train_report r;
    o.optimizer = NN_ADAM;
    o.lr = 0.01f;
    o.weight_decay = 0.01f;
    o.loss.kind = NN_MSE;
    assert_ok(nn_train(m, &(struct nn_source){ fill, NULL }, &o, &r));
    assert_true(r.loss < 0.02 && r.accuracy == 1);
    nn_free(m);
    graph_free(g);
}

/* A teacher that knows the answers, and students without labels of their own. */
static void learns_from_a_teacher(void **state)
{
    (void)state;
    struct graph *gt = small(), *gs = small();
    nn_init_parameters(gs, 99);
    struct nn *teacher = net_engine(gt, BATCH, true, 1), *student = net_engine(gs, BATCH, true, 1);
    struct nn_train_options o = options(40);
    assert_ok(nn_train(teacher, &(struct nn_source){ fill, NULL }, &o, NULL));
    o.teacher = teacher;
    o.loss.distill_weight = 1;
    assert_ok(nn_train(student, &(struct nn_source){ fill, NULL }, &o, NULL));
    struct nn_result v;
    uint8_t pixels[64 * IMAGE];
    uint16_t labels[64];
    fill(NULL, 0, 64, pixels, labels);
    assert_ok(nn_evaluate(student, pixels, labels, 64, &v));
    assert_true(v.top1 == 1);
    nn_free(teacher);
    nn_free(student);
    graph_free(gt);
    graph_free(gs);
}

/* ---- checkpoints ---------------------------------------------------------------------------- */

static struct graph *run_to(int64_t stop_at, const char *checkpoint, bool resume, int period, int threads)
{
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, threads);
    struct nn_train_options o = options(5);
    o.warmup = 3;
    o.checkpoint = checkpoint;
    o.checkpoint_steps = period;
    o.resume = resume;
    o.stop_at = stop_at;
    assert_ok(nn_train(m, &(struct nn_source){ fill, NULL }, &o, NULL));
    nn_free(m);
    return g;
}

/* Killed after 1, 5, 9 ... steps, wherever the last checkpoint was. */
static void resumed_equals_uninterrupted(void **state)
{
    const char *file = unit_path(*state, "run.ckpt");
    struct graph *whole = run_to(0, NULL, false, 0, 2);
    for (int64_t stop = 1; stop < 20; stop += 4)
        for (int period = 0; period < 4; period += 3) {
            remove(file);
            graph_free(run_to(stop, file, false, period, 1));
            struct graph *g = run_to(0, file, true, period, 2);
            assert_int_equal(differing(whole, g), 0);
            graph_free(g);
        }
    /* Killed twice; and a finished run is not trained further. */
    remove(file);
    graph_free(run_to(7, file, false, 2, 1));
    graph_free(run_to(13, file, true, 2, 1));
    for (int i = 0; i < 2; i++) {
        struct graph *g = run_to(0, file, true, 2, 1);
        assert_int_equal(differing(whole, g), 0);
        graph_free(g);
    }
    graph_free(whole);
}

static void resume_skips_what_was_done(void **state)
{
    const char *file = unit_path(*state, "skip.ckpt");
    graph_free(run_to(8, file, false, 4, 1));
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, 1);
    struct nn_train_options o = options(5);
    int calls = 0;
    o.checkpoint = file;
    o.resume = true;
    assert_ok(nn_train(m, &(struct nn_source){ fill, &calls }, &o, NULL));
    assert_int_equal(calls, 12);
    nn_free(m);
    graph_free(g);
}

/* Every byte matters; a damaged file changes nothing in the network. */
static void damaged_checkpoints_are_refused(void **state)
{
    const char *file = unit_path(*state, "good.ckpt"), *bad = unit_path(*state, "bad.ckpt");
    struct graph *g = small(), *before = graph_clone(g);
    struct nn *m = net_engine(g, BATCH, true, 1);
    uint8_t *data;
    size_t len;
    int64_t step = -1;
    assert_ok(nn_checkpoint_write(m, file, 17));
    assert_ok(nn_checkpoint_read(m, file, &step));
    assert_int_equal(step, 17);
    assert_ok(base_file_read(&data, &len, file, 1 << 24));
    for (size_t i = 0; i < len; i += i < 64 ? 1 : 997) {
        data[i] ^= 0x10;
        assert_ok(base_file_write(bad, data, len));
        assert_error(nn_checkpoint_read(m, bad, &step), BASE_INPUT, bad);
        data[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < len; cut += cut < 64 ? 7 : 1499) {
        assert_ok(base_file_write(bad, data, cut));
        assert_error(nn_checkpoint_read(m, bad, &step), BASE_INPUT, bad);
    }
    assert_int_equal(differing(g, before), 0);
    assert_error(nn_checkpoint_read(m, unit_path(*state, "none.ckpt"), &step), BASE_INPUT, "none.ckpt");
    base_free(data);
    nn_free(m);
    graph_free(g);
    graph_free(before);
}

static void checkpoints_of_others_are_refused(void **state)
{
    const char *file = unit_path(*state, "other.ckpt");
    struct graph *g = small(), *other = net_convs();
    struct nn *m = net_engine(g, BATCH, true, 1), *o = net_engine(other, BATCH, true, 1), *inference = net_engine(g, BATCH, false, 1);
    int64_t step;
    assert_ok(nn_checkpoint_write(m, file, 1000));
    assert_error(nn_checkpoint_read(o, file, &step), BASE_INPUT, "another network");
    assert_error(nn_checkpoint_read(inference, file, &step), BASE_INPUT, "another network");
    struct nn_train_options t = options(2);
    t.checkpoint = file;
    t.resume = true;
    assert_error(nn_train(m, &(struct nn_source){ fill, NULL }, &t, NULL), BASE_INPUT, "step 1000");
    t.checkpoint = "/nonexistent/run.ckpt";
    assert_error(nn_train(m, &(struct nn_source){ fill, NULL }, &t, NULL), BASE_IO, "/nonexistent");
    nn_free(m);
    nn_free(o);
    nn_free(inference);
    graph_free(g);
    graph_free(other);
}

/* ---- signals ---------------------------------------------------------------------------------- */

static int raise_once(void *ctx, const struct nn_train_report *r)
{
    (void)ctx;
    if (r->epoch == 1)
        raise(SIGTERM);
    return BASE_OK;
}

/* In a process of its own: the wish to stop stays. Exits with 0 if all was as it should be. */
static int stopped_child(const char *file)
{
    base_stop_install();
    struct graph *g = small();
    struct nn *m = net_engine(g, BATCH, true, 1);
    struct nn_train_options o = options(5);
    o.warmup = 3;
    o.checkpoint = file;
    o.checkpoint_steps = 1000;
    o.epoch_done = raise_once;
    int rc = nn_train(m, &(struct nn_source){ fill, NULL }, &o, NULL);
    int64_t step = 0;
    bool ok = rc == BASE_STOPPED && strstr(base_error(), "after step 8 of 20") && strstr(base_error_hint(), "--resume");
    ok = ok && nn_checkpoint_read(m, file, &step) == BASE_OK && step == 8;
    nn_free(m);
    graph_free(g);
    return ok ? 0 : 1;
}

static void a_signal_stops_and_saves(void **state)
{
    const char *file = unit_path(*state, "stopped.ckpt");
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (!child)
        _exit(stopped_child(file));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct graph *whole = run_to(0, NULL, false, 0, 1), *g = run_to(0, file, true, 0, 1);
    assert_int_equal(differing(whole, g), 0);
    graph_free(whole);
    graph_free(g);
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* Everything that allocates, on one graph; each failure leaves a network that the next run can use. */
static int train_and_measure(struct graph *g, const char *file)
{
    struct nn_train_options o = options(1);
    struct nn *m = NULL;
    struct nn_quant *q = NULL;
    struct nn_options no = { .threads = 1, .max_batch = BATCH, .training = true };
    int rc = nn_new(&m, g, &no);
    o.checkpoint = file;
    o.resume = true;
    if (!rc)
        rc = nn_quant_new(&q, g, nn_layers(m));
    if (!rc)
        rc = nn_quant_pixel_factor(q, g, nn_layers(m));
    if (!rc) {
        q->edge[1] = (struct nn_quant_edge){ .bits = 4, .scale = 0.2f };
        q->learn_edge_scale = true;
        rc = nn_set_quant(m, q);
    }
    if (!rc)
        rc = nn_train(m, &(struct nn_source){ fill, NULL }, &o, NULL);
    if (!rc)
        rc = nn_batchnorm_reestimate(m, &(struct nn_source){ fill, NULL }, 0, 1);
    nn_free(m);
    nn_quant_free(q);
    return rc;
}

static void survives_lack_of_memory(void **state)
{
    const char *file = unit_path(*state, "nomem.ckpt");
    struct graph *g = small();
    assert_survives_nomem(train_and_measure(g, file), (void)0); /* from the beginning, then from its checkpoint */
    graph_free(g);
}

/* ---- refusals ------------------------------------------------------------------------------------ */

static int fail_fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    (void)ctx;
    fill(NULL, batch, n, pixels, labels);
    return batch == 3 ? base_fail(BASE_IO, "batch 3 cannot be read") : BASE_OK;
}

static int bad_label(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    fill(ctx, batch, n, pixels, labels);
    labels[2] = CLASSES;
    return BASE_OK;
}

static void bad_training_is_refused(void **state)
{
    (void)state;
    struct graph *g = small(), *other = net_convs();
    struct nn *m = net_engine(g, BATCH, true, 1), *stranger = net_engine(other, BATCH, false, 1);
    struct nn_source data = { fill, NULL };
    struct nn_train_options good = options(2), o = good;
#define REFUSED(change, text)                                            \
    do {                                                                 \
        o = good;                                                        \
        change;                                                          \
        assert_error(nn_train(m, &data, &o, NULL), BASE_INPUT, (text));  \
    } while (0)
    REFUSED(o.epochs = 0, "0 epochs");
    REFUSED(o.batches_per_epoch = 0, "of 0 batches");
    REFUSED(o.batch = BATCH + 1, "1 to 16");
    REFUSED(o.lr = NAN, "lr nan");
    REFUSED(o.momentum = 1, "momentum 1");
    REFUSED(o.weight_decay = -1, "weight decay -1");
    REFUSED((o.schedule = NN_STEP, o.gamma = 0), "gamma 0");
    REFUSED((o.n_drop = 2, o.drop[0] = 3, o.drop[1] = 3), "epoch 3");
    REFUSED((o.n_drop = 1, o.drop[0] = 0), "epoch 0");
    REFUSED(o.loss.label_smoothing = 1, "smoothing 1");
    REFUSED(o.loss.distill_weight = 2, "distillation 2");
    REFUSED(o.loss.temperature = 0, "temperature 0");
    REFUSED(o.teacher = stranger, "teacher");
    assert_error(nn_train(m, &(struct nn_source){ fail_fill, NULL }, &good, NULL), BASE_IO, "batch 3");
    assert_error(nn_train(m, &(struct nn_source){ bad_label, NULL }, &good, NULL), BASE_INPUT, "label 3 of image 2");
    REFUSED(o.lr = 1e30f, "not finite");
#undef REFUSED
    nn_free(m);
    nn_free(stranger);
    graph_free(g);
    graph_free(other);
}

static int make_dir(void **state)
{
    *state = (void *)unit_scratch();
    return 0;
}

static int remove_dir(void **state)
{
    unit_remove(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_a_separable_set),
        cmocka_unit_test(schedule_and_callback),
        cmocka_unit_test(step_schedule),
        cmocka_unit_test(learns_with_adam),
        cmocka_unit_test(learns_from_a_teacher),
        cmocka_unit_test(resumed_equals_uninterrupted),
        cmocka_unit_test(resume_skips_what_was_done),
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(checkpoints_of_others_are_refused),
        cmocka_unit_test(a_signal_stops_and_saves),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(bad_training_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
