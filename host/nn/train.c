/* The training loop: schedule, progress, checkpoints, resuming.
 *
 * A run is a sequence of numbered steps; step s uses batch number s of the data and a
 * learning rate that depends on s alone, so a run continued from a checkpoint does what
 * the uninterrupted one would have done. */
#include "nn/nn_internal.h"

#include <math.h>

struct loop {
    struct nn *m;
    const struct nn_source *data;
    const struct nn_train_options *o;
    int64_t step, steps, saved;          /* saved: step of the checkpoint on disk, -1 none */
    const struct nn_ranks *ranks;        /* NULL: alone */
    int first, count;                    /* this rank's images of a batch */
    struct nn_checkpoint start;          /* of several ranks: as the step began */
    uint8_t *pixels;
    uint16_t *labels;
    float *teacher;                      /* logits */
    double loss;                         /* sums of the epoch so far */
    int64_t correct, images;
    double epoch_start;
    struct nn_train_report report;
    struct base_progress progress;
};

static int check_options(const struct nn *m, const struct nn_train_options *o)
{
    if (o->epochs < 1 || o->batches_per_epoch < 1)
        return base_fail(BASE_INPUT, "training: %d epochs of %d batches (at least 1 each)", o->epochs, o->batches_per_epoch);
    int ranks = o->ranks ? o->ranks->ranks : 1;
    if (o->batch < ranks || (o->batch + ranks - 1) / ranks > m->max_batch)
        return base_fail(BASE_INPUT, "training: a batch of %d images (%d to %d)", o->batch, ranks, m->max_batch * ranks);
    if (!(o->lr >= 0 && isfinite(o->lr)) || !(o->momentum >= 0 && o->momentum < 1) || !(o->weight_decay >= 0 && isfinite(o->weight_decay)))
        return base_fail(BASE_INPUT, "training: lr %g, momentum %g, weight decay %g (0 or more; momentum below 1)", (double)o->lr, (double)o->momentum, (double)o->weight_decay);
    if (!(o->loss.label_smoothing >= 0 && o->loss.label_smoothing < 1) || !(o->loss.distill_weight >= 0 && o->loss.distill_weight <= 1) || !(o->loss.temperature > 0))
        return base_fail(BASE_INPUT, "training: label smoothing %g (0 to below 1), distillation %g (0 to 1) at temperature %g (positive)", (double)o->loss.label_smoothing,
                         (double)o->loss.distill_weight, (double)o->loss.temperature);
    if (o->schedule == NN_STEP && !(o->gamma > 0 && o->gamma <= 1))
        return base_fail(BASE_INPUT, "training: a step schedule with gamma %g (above 0, at most 1)", (double)o->gamma);
    for (int i = 0; i < o->n_drop; i++)
        if (o->drop[i] < 1 || (i && o->drop[i] <= o->drop[i - 1]))
            return base_fail(BASE_INPUT, "training: the learning rate drops at epoch %d (epochs from 1 on, ascending)", o->drop[i]);
    if (o->teacher && (nn_classes(o->teacher) != m->classes || nn_image_bytes(o->teacher) != nn_image_bytes(m)))
        return base_fail(BASE_INPUT, "training: the teacher '%s' has other images or classes than '%s'", o->teacher->graph->name, m->graph->name);
    return BASE_OK;
}

/* Linear rise over the warm-up, then as the schedule says. */
static float learning_rate(const struct nn_train_options *o, int64_t step, int64_t steps)
{
    if (step < o->warmup)
        return o->lr * (float)(step + 1) / (float)o->warmup;
    if (o->schedule == NN_STEP) {
        double lr = (double)o->lr;
        for (int i = 0; i < o->n_drop && step >= (int64_t)o->drop[i] * o->batches_per_epoch; i++)
            lr *= (double)o->gamma;
        return (float)lr;
    }
    double part = (double)(step - o->warmup) / (double)BASE_MAX(steps - o->warmup, 1);
    return (float)((double)o->lr * 0.5 * (1 + cos(M_PI * part)));
}

/* Ranks that differ would each go their own way from here on, unseen. */
static int check_alike(struct loop *l)
{
    double own = (double)(nn_checkpoint_hash(&l->start) >> 32), sum = own;       /* 32 bits: the sum is exact */
    int rc = l->ranks->sum(l->ranks->ctx, &sum, 1);
    if (!rc && sum != own * l->ranks->ranks)
        rc = base_fail(BASE_INTERNAL, "training '%s': the ranks' networks differ at step %lld", l->m->graph->name, (long long)l->step);
    return rc;
}

static int save_of_ranks(struct loop *l)
{
    int rc = nn_checkpoint_take(&l->start, l->m, l->step);
    if (!rc)
        rc = check_alike(l);
    if (!rc && l->ranks->rank == 0)
        rc = nn_checkpoint_put(&l->start, l->o->checkpoint);
    return rc ? rc : l->ranks->save(l->ranks->ctx, l->o->checkpoint, l->step);
}

static int save(struct loop *l)
{
    if (!l->o->checkpoint || l->saved == l->step)
        return BASE_OK;
    int rc = l->ranks ? save_of_ranks(l) : nn_checkpoint_write(l->m, l->o->checkpoint, l->step);
    if (!rc)
        l->saved = l->step;
    return rc;
}

static void update(struct nn *m, const struct nn_train_options *o, float lr, int64_t step)
{
    struct nn_adam adam = NN_ADAM_INIT;
    if (o->optimizer == NN_SGD) {
        nn_sgd_step(m, &(struct nn_sgd){ .lr = lr, .momentum = o->momentum, .weight_decay = o->weight_decay, .nesterov = o->nesterov });
        return;
    }
    adam.lr = lr;
    adam.beta1 = o->momentum;
    adam.weight_decay = o->weight_decay;
    nn_adam_step(m, &adam, step);
}

/* A rank may die at any moment, and the step is lost with it: what it began with is kept. */
static int begin_of_ranks(struct loop *l)
{
    int rc = l->ranks->rank == 0 && l->o->checkpoint ? nn_checkpoint_take(&l->start, l->m, l->step) : BASE_OK;
    return rc ? rc : l->ranks->begin(l->ranks->ctx, l->step);
}

static int one_step(struct loop *l)
{
    const struct nn_train_options *o = l->o;
    double loss;
    int correct, rc = o->step_begin ? o->step_begin(o->ctx, l->step, l->steps) : BASE_OK;
    if (!rc)
        rc = l->data->fill(l->data->ctx, l->step, o->batch, l->pixels, l->labels);
    const uint8_t *pixels = l->pixels + nn_image_bytes(l->m) * (size_t)l->first;
    if (!rc && o->teacher)
        rc = nn_forward(o->teacher, pixels, l->count, l->teacher);
    if (!rc && l->ranks)
        rc = begin_of_ranks(l);
    if (!rc)
        rc = nn_gradient(l->m, pixels, l->labels + l->first, l->count, &o->loss, l->teacher, &loss, &correct);
    if (rc)
        return rc;
    if (!isfinite(loss)) {
        base_fail(BASE_INPUT, "training '%s': the loss is not finite at step %lld", l->m->graph->name, (long long)l->step);
        return base_hint(BASE_INPUT, "use a smaller learning rate (now %g) or a longer warm-up", (double)o->lr);
    }
    float lr = learning_rate(o, l->step, l->steps);
    l->step++;
    update(l->m, o, lr, l->step);
    l->loss += loss * o->batch;
    l->correct += correct;
    l->images += o->batch;
    l->report = (struct nn_train_report){ .step = l->step, .steps = l->steps, .epoch = (int)((l->step - 1) / o->batches_per_epoch), .lr = (double)lr,
                                          .loss = l->loss / (double)l->images, .accuracy = (double)l->correct / (double)l->images,
                                          .images_per_s = (double)l->images / fmax(base_seconds() - l->epoch_start, 1e-9) };
    return BASE_OK;
}

static void start_epoch(struct loop *l)
{
    l->loss = 0;
    l->correct = l->images = 0;
    l->epoch_start = base_seconds();
}

static void show(struct loop *l)
{
    const struct nn_train_report *r = &l->report;
    if (l->o->label)
        base_progress_update(&l->progress, (double)r->step, "epoch %d/%d loss %.3f accuracy %.1f %% lr %.4f %.0f images/s", r->epoch + 1, l->o->epochs, r->loss,
                             100 * r->accuracy, r->lr, r->images_per_s);
}

/* Ranks do not stop at the same step, nor between steps: what counts is rank 0's state, as its step began. */
static int save_alone(struct loop *l)
{
    if (!l->ranks)
        return save(l);
    if (l->ranks->rank > 0 || !l->o->checkpoint || l->saved == l->step)
        return BASE_OK;
    int rc = l->start.file && l->start.step == l->step ? BASE_OK : nn_checkpoint_take(&l->start, l->m, l->step);
    return rc ? rc : nn_checkpoint_put(&l->start, l->o->checkpoint);
}

static int stop(struct loop *l)
{
    int rc = save_alone(l);
    if (rc)
        return rc;
    base_fail(BASE_STOPPED, "training '%s': stopped after step %lld of %lld", l->m->graph->name, (long long)l->step, (long long)l->steps);
    return l->o->checkpoint ? base_hint(BASE_STOPPED, "run again with --resume to continue from %s", l->o->checkpoint) : BASE_STOPPED;
}

static int run(struct loop *l)
{
    const struct nn_train_options *o = l->o;
    int64_t period = o->checkpoint_steps > 0 ? o->checkpoint_steps : o->batches_per_epoch;
    int rc = BASE_OK;
    start_epoch(l);
    while (!rc && l->step < l->steps && !(o->stop_at > 0 && l->step >= o->stop_at)) {
        if (base_stop_requested())
            return stop(l);
        if ((rc = one_step(l)))
            return l->ranks && (rc == BASE_STOPPED || rc == BASE_IO) ? stop(l) : rc;
        show(l);
        if (l->step % period == 0)
            rc = save(l);
        if (!rc && l->step % o->batches_per_epoch == 0) {
            rc = o->epoch_done ? o->epoch_done(o->ctx, &l->report) : BASE_OK;
            if (l->step < l->steps)
                start_epoch(l);
        }
    }
    return !rc && l->step >= l->steps ? save(l) : rc;
}

static int resume(struct loop *l)
{
    if (!l->o->resume || !l->o->checkpoint || !base_file_exists(l->o->checkpoint))
        return BASE_OK;
    int rc = nn_checkpoint_read(l->m, l->o->checkpoint, &l->step);
    if (!rc && l->step > l->steps)
        return base_fail(BASE_INPUT, "%s: the checkpoint is at step %lld, beyond the %lld of this training", l->o->checkpoint, (long long)l->step, (long long)l->steps);
    l->saved = l->step;
    return rc;
}

/* Rank 0 has the checkpoint; all begin with its values. */
static int start_ranks(struct loop *l)
{
    const struct nn_ranks *r = l->ranks;
    struct { int64_t rc, step, saved; } at = { BASE_OK, 0, -1 };
    l->m->ranks = r;
    l->m->total = l->o->batch;
    int rc = nn_ranks_plan(l->m);
    if (!rc && r->rank == 0)
        at.rc = resume(l), at.step = l->step, at.saved = l->saved;
    if (!rc)
        rc = r->broadcast(r->ctx, &at, sizeof at);
    if (rc || at.rc)
        return rc ? rc : r->rank == 0 ? (int)at.rc : base_fail((int)at.rc, "rank 0 could not go on from its checkpoint");
    l->step = at.step;
    l->saved = at.saved;
    rc = nn_checkpoint_broadcast(l->m, r);
    return rc || at.saved < 0 ? rc : r->load(r->ctx, l->o->checkpoint, l->step);
}

int nn_train(struct nn *m, const struct nn_source *data, const struct nn_train_options *o, struct nn_train_report *out)
{
    int rc = check_options(m, o);
    if (rc)
        return rc;
    struct loop l = { .m = m, .data = data, .o = o, .steps = (int64_t)o->epochs * o->batches_per_epoch, .saved = -1, .count = o->batch };
    if (o->ranks && o->ranks->ranks > 1) {
        l.ranks = o->ranks;
        l.first = (int)((int64_t)o->batch * l.ranks->rank / l.ranks->ranks);
        l.count = (int)((int64_t)o->batch * (l.ranks->rank + 1) / l.ranks->ranks) - l.first;
    }
    l.pixels = base_alloc(nn_image_bytes(m) * (size_t)o->batch);
    l.labels = BASE_NEW_N(uint16_t, o->batch);
    l.teacher = o->teacher ? BASE_NEW_N(float, (size_t)o->batch * (size_t)m->classes) : NULL;
    rc = l.pixels && l.labels && (l.teacher || !o->teacher) ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = l.ranks ? start_ranks(&l) : resume(&l);
    l.report = (struct nn_train_report){ .step = l.step, .steps = l.steps, .epoch = (int)(l.step / o->batches_per_epoch) };
    if (!rc) {
        if (o->label)
            base_progress_begin(&l.progress, o->label, (double)l.step, (double)l.steps);
        rc = run(&l);
        if (o->label && (!rc || l.progress.tty)) /* a failed run is not "done", but its bar has to go */
            base_progress_end(&l.progress, "loss %.3f accuracy %.1f %% %.0f images/s", l.report.loss, 100 * l.report.accuracy, l.report.images_per_s);
    }
    if (!rc && out)
        *out = l.report;
    m->ranks = NULL;
    base_free(l.start.file);
    base_free(l.pixels);
    base_free(l.labels);
    base_free(l.teacher);
    return rc;
}
