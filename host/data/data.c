/* data: the table of readers, the split, and copying by index. */
#include <stdio.h>
#include <string.h>

#include "data/data_internal.h"

static const struct {
    const char *name;
    data_reader *read;
} readers[] = {
    {"idx", data_read_idx},
    {"cifar10", data_read_cifar10},
    {"images", data_read_images},
    {"npy", data_read_npy},
};

int data_open(struct data_set *out, const char *spec, enum data_part part)
{
    const struct data_options o = DATA_OPTIONS_INIT;
    return data_open_as(out, spec, part, &o);
}

static int read_spec(struct data_set *out, const char *spec, enum data_part part, const struct data_options *o)
{
    const char *colon = strchr(spec, ':');
    for (int i = 0; colon && i < BASE_COUNT(readers); i++) {
        size_t n = strlen(readers[i].name);
        if ((size_t)(colon - spec) == n && strncmp(spec, readers[i].name, n) == 0 && colon[1])
            return readers[i].read(out, colon + 1, part, o);
    }
    base_fail(BASE_INPUT, "data '%s': not a data set", spec);
    return base_hint(BASE_INPUT, "use idx:DIR, cifar10:DIR, images:DIR or npy:X,Y; for example idx:%s",
                     DATA_FASHION_MNIST_DIR);
}

int data_open_as(struct data_set *out, const char *spec, enum data_part part, const struct data_options *o)
{
    *out = (struct data_set){0};
    int rc = read_spec(out, spec, part, o);
    if (rc)
        data_free(out);
    return rc;
}

int data_check(const char *spec, enum data_part part, const struct data_options *o)
{
    struct data_set s = {0};
    int rc = read_spec(NULL, spec, part, o);
    if (!rc && strncmp(spec, "images:", 7)) /* what is quickly read */
        rc = data_open_as(&s, spec, part, o);
    data_free(&s);
    return rc;
}

void data_free(struct data_set *s)
{
    if (!s)
        return;
    base_free(s->memory[0]);
    base_free(s->memory[1]);
    *s = (struct data_set){0};
}

/* ---- what readers check ------------------------------------------------------ */

/* Bytes that the kernel says are to be had, or the limit of our control group if that is less. */
static uint64_t free_memory(void)
{
    unsigned long long kib, bytes, available = UINT64_MAX;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            available = kib << 10;
    if (f)
        fclose(f);
    f = fopen("/sys/fs/cgroup/memory.max", "r");
    if (f && fscanf(f, "%llu", &bytes) == 1)
        available = BASE_MIN(available, bytes);
    if (f)
        fclose(f);
    return available;
}

int data_check_memory(const struct data_set *s, const char *where)
{
    const double gib = 1024.0 * 1024 * 1024;
    uint64_t available = free_memory();
    double need = (double)s->n * ((double)s->h * s->w * s->c + 2);
    if (need < (double)available)
        return BASE_OK;
    base_fail(BASE_INPUT, "%s: %d images of %d x %d x %d need %.1f GiB of memory, %.1f GiB are free", where, s->n, s->w, s->h, s->c,
              need / gib, (double)available / gib);
    return base_hint(BASE_INPUT, "take fewer images of each class: a folder of links to some of them will do");
}

int data_set_alloc(struct data_set *s, uint8_t **pixels, uint16_t **label)
{
    size_t bytes = (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c;
    s->memory[0] = *pixels = base_alloc(bytes);
    s->memory[1] = *label = BASE_NEW_N(uint16_t, s->n);
    s->pixels = *pixels;
    s->label = *label;
    return *pixels && *label ? BASE_OK : BASE_NOMEM;
}

bool data_wants_row(const struct data_options *o)
{
    return o->shape.h == 1 && o->shape.c == 1 && o->shape.w > 1;
}

int data_check_shape(const struct data_options *o, const char *path, int *height, int *width, int c)
{
    const struct data_shape *want = &o->shape;
    int h = *height, w = *width;
    if ((!want->h || want->h == h) && (!want->w || want->w == w) && (!want->c || want->c == c))
        return BASE_OK;
    if (data_wants_row(o) && c == 1 && want->w == h * w) {
        *height = 1;
        *width = h * w;
        return BASE_OK;
    }
    base_fail(BASE_INPUT, "%s: images of %dx%dx%d do not fit the network, which takes %dx%dx%d (height x width x channels)", path, h, w, c,
              want->h, want->w, want->c);
    return base_hint(BASE_INPUT, "use the data that the network was trained on; images:DIR scales pictures to the network's input");
}

int data_check_label(const struct data_options *o, const char *path, int64_t label, int image, int classes)
{
    int outputs = o->shape.classes;
    int limit = outputs ? outputs : classes;
    if (label >= 0 && label < limit)
        return BASE_OK;
    base_fail(BASE_INPUT, "%s: label %lld of image %d is not in 0..%d%s", path, (long long)label, image, limit - 1,
              outputs ? ", the network's outputs" : "");
    return base_hint(BASE_INPUT, label < 0 || !outputs ? "labels count from 0; fetch or write the file again"
                                                       : "labels count from 0; use a network with an output for every class");
}

char *data_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return base_format("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

/* ---- split ----------------------------------------------------------------- */

int data_split(struct data_split *out, const struct data_set *s, int held_out, uint64_t seed)
{
    *out = (struct data_split){0};
    if (held_out < 0 || held_out >= s->n)
        return base_hint(base_fail(BASE_INPUT, "cannot hold out %d of %d training images: nothing is left to train on",
                                   held_out, s->n), "a fifth would be %d (held_out in a configuration, --held-out)", s->n / 5);
    uint32_t *order = BASE_NEW_N(uint32_t, s->n);
    uint8_t *held = BASE_NEW_N(uint8_t, s->n);
    out->train = BASE_NEW_N(uint32_t, s->n - held_out);
    out->validation = BASE_NEW_N(uint32_t, held_out);
    int rc = BASE_NOMEM;
    if (!order || !held || !out->train || !out->validation)
        goto done;
    for (int i = 0; i < s->n; i++)
        order[i] = (uint32_t)i;
    struct base_rng rng;
    base_rng_stream(&rng, seed, 0x5b117); /* a stream that no epoch uses */
    base_rng_shuffle(&rng, order, (uint32_t)s->n);
    for (int i = 0; i < held_out; i++)
        held[order[i]] = 1;
    for (int i = 0; i < s->n; i++)
        if (held[i])
            out->validation[out->n_validation++] = (uint32_t)i;
        else
            out->train[out->n_train++] = (uint32_t)i;
    rc = BASE_OK;
done:
    base_free(order);
    base_free(held);
    if (rc)
        data_split_free(out);
    return rc;
}

void data_split_free(struct data_split *s)
{
    if (!s)
        return;
    base_free(s->train);
    base_free(s->validation);
    *s = (struct data_split){0};
}

void data_gather(const struct data_set *s, const uint32_t *index, int n, uint8_t *pixels, uint16_t *labels)
{
    size_t image = (size_t)s->h * (size_t)s->w * (size_t)s->c;
    for (int i = 0; i < n; i++) {
        memcpy(pixels + (size_t)i * image, s->pixels + (size_t)index[i] * image, image);
        if (labels)
            labels[i] = s->label[index[i]];
    }
}
