/* images: folders of PNG and JPEG files. `images:DIR`, `images:DIR@SIZE`, `images:DIR@WxH`, each with
 * `,SHORTER` behind it: folder.c says what DIR holds, scale.c how a picture becomes the network's input.
 * Pictures are decoded by all threads; the first bad one, in the order of names, ends the reading. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

/* ---- the SPEC -------------------------------------------------------------------- */

static int bad_size(const char *arg)
{
    base_fail(BASE_INPUT, "data 'images:%s': sizes behind @ must be 4..%d", arg, DATA_MAX_SIDE);
    return base_hint(BASE_INPUT, "@32, @WIDTHxHEIGHT, or @224,256: scale the shorter side to 256, cut out 224 x 224");
}

/* 4..DATA_MAX_SIDE; moves *s behind it. */
static int parse_side(const char **s, int *out)
{
    char *end;
    long v = **s >= '0' && **s <= '9' ? strtol(*s, &end, 10) : 0;
    if (v < 4 || v > DATA_MAX_SIDE)
        return -1;
    *out = (int)v;
    *s = end;
    return 0;
}

/* The size in a SPEC: behind its last @, if a digit or a comma follows and no slash. */
static const char *find_size(const char *arg)
{
    const char *at = strrchr(arg, '@');
    return at && !strchr(at, '/') && strchr("0123456789,", at[1]) && at[1] ? at : NULL;
}

static int parse_size(struct data_fit *fit, const char *arg, const char *at)
{
    const char *s = at + 1;
    if (*s != ',') {
        if (parse_side(&s, &fit->w))
            return bad_size(arg);
        fit->h = fit->w;
        if (*s == 'x' && (s++, parse_side(&s, &fit->h)))
            return bad_size(arg);
    }
    if (*s == ',' && (s++, parse_side(&s, &fit->shorter)))
        return bad_size(arg);
    return *s ? bad_size(arg) : BASE_OK;
}

/* What the SPEC leaves open the network decides. */
static int complete_fit(struct data_fit *fit, const char *arg, const struct data_options *o)
{
    const struct data_shape *want = &o->shape;
    if (data_wants_row(o) && (int64_t)fit->w * fit->h != want->w) {
        base_fail(BASE_INPUT, "data 'images:%s': the network takes a row of %d values; which size of picture has as many pixels?", arg, want->w);
        return base_hint(BASE_INPUT, "images:DIR@WIDTHxHEIGHT, for example images:photos@28x28 for 784 values");
    }
    if (!fit->w) {
        fit->h = want->h;
        fit->w = want->w;
    }
    fit->c = want->c ? want->c : 3;
    if (!fit->w) {
        base_fail(BASE_INPUT, "data 'images:%s': the size of the network's input is not known", arg);
        return base_hint(BASE_INPUT, "images:DIR@SIZE, for example images:%s@32", arg);
    }
    if (!data_wants_row(o) && ((want->h && want->h != fit->h) || (want->w && want->w != fit->w))) {
        base_fail(BASE_INPUT, "data 'images:%s': the network takes %dx%d pixels (width x height)", arg, want->w, want->h);
        return base_hint(BASE_INPUT, "leave @SIZE out: the network's size is taken");
    }
    if (fit->c != 1 && fit->c != 3) {
        base_fail(BASE_INPUT, "data 'images:%s': the network takes %d channels; pictures have 1 or 3", arg, fit->c);
        return base_hint(BASE_INPUT, "use npy:X,Y with [n][height][width][%d] arrays", fit->c);
    }
    if (fit->h > DATA_MAX_SIDE || fit->w > DATA_MAX_SIDE)
        return base_fail(BASE_INPUT, "data 'images:%s': the network's %dx%d pixels are too many (%d a side)", arg, fit->w, fit->h, DATA_MAX_SIDE);
    return BASE_OK;
}

/* ---- decoding ----------------------------------------------------------------------- */

struct job {
    const struct data_folder *folder;
    const struct data_fit *fit;
    uint8_t *pixels;
    size_t image;
    atomic_int first_bad, done;
    struct base_progress *progress; /* NULL: none; the calling thread's */
};

static int read_one(const struct job *j, int i)
{
    char *path = data_join(j->folder->root, j->folder->names + j->folder->at[i]);
    int rc = path ? data_picture_read(j->pixels + (size_t)i * j->image, path, j->fit) : BASE_NOMEM;
    base_free(path);
    return rc;
}

static void note_bad(struct job *j, int i)
{
    int first = atomic_load(&j->first_bad);
    while (i < first && !atomic_compare_exchange_weak(&j->first_bad, &first, i))
        ;
}

/* Pictures behind a bad one do not matter any more, those before it do. */
static void read_shared(void *ctx, int i, int worker)
{
    struct job *j = ctx;
    if (i > atomic_load(&j->first_bad) || base_stop_requested())
        return;
    if (read_one(j, i))
        note_bad(j, i);
    int done = atomic_fetch_add(&j->done, 1) + 1;
    if (worker == 0 && j->progress)
        base_progress_update(j->progress, done, "%d of %d pictures", done, j->folder->n);
}

/* Workers keep their messages to themselves: the bad picture is read again for its message. */
static int read_all(struct job *j, const struct data_options *o)
{
    struct base_progress progress;
    int n = j->folder->n;
    if (o->label) {
        base_progress_begin(&progress, o->label, 0, n);
        j->progress = &progress;
    }
    if (o->pool)
        base_pool_run_dynamic(o->pool, n, read_shared, j);
    else
        for (int i = 0; i < n; i++)
            read_shared(j, i, 0);
    if (o->label)
        base_progress_end(&progress, "%d pictures", atomic_load(&j->done));
    base_error_clear();
    int bad = atomic_load(&j->first_bad);
    if (base_stop_requested())
        return base_fail(BASE_STOPPED, "stopped while reading pictures");
    if (bad == n)
        return BASE_OK;
    int rc = read_one(j, bad);
    return rc ? rc : base_fail(BASE_NOMEM, "%s/%s: out of memory at first", j->folder->root, j->folder->names + j->folder->at[bad]);
}

static int read_folder(struct data_set *out, const struct data_folder *f, const struct data_fit *fit, const struct data_options *o)
{
    uint8_t *pixels;
    uint16_t *label;
    const struct data_set set = {.n = f->n, .h = fit->h, .w = fit->w, .c = fit->c, .classes = f->classes};
    int rc = data_check_memory(&set, f->root);
    if (rc || !out)
        return rc;
    *out = set;
    rc = data_set_alloc(out, &pixels, &label);
    if (rc)
        return rc;
    memcpy(label, f->label, (size_t)f->n * sizeof *label);
    if (data_wants_row(o)) {
        out->w *= out->h;
        out->h = 1;
    }
    struct job j = {.folder = f, .fit = fit, .pixels = pixels, .image = (size_t)fit->h * (size_t)fit->w * (size_t)fit->c};
    atomic_init(&j.first_bad, f->n);
    atomic_init(&j.done, 0);
    return read_all(&j, o);
}

int data_read_images(struct data_set *out, const char *arg, enum data_part part, const struct data_options *o)
{
    struct data_fit fit = {0};
    struct data_folder folder;
    const char *at = find_size(arg);
    int rc = at ? parse_size(&fit, arg, at) : BASE_OK;
    if (!rc)
        rc = complete_fit(&fit, arg, o);
    if (rc)
        return rc;
    char *dir = base_format("%.*s", at ? (int)(at - arg) : (int)strlen(arg), arg);
    rc = dir ? data_folder_read(&folder, dir, part, o) : BASE_NOMEM;
    base_free(dir);
    if (rc)
        return rc;
    rc = read_folder(out, &folder, &fit, o);
    data_folder_free(&folder);
    return rc;
}
