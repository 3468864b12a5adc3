/* images: folders of PNG and JPEG files, DIR/PART/CLASS/FILE, classes in alphabetical
 * order. Every image is scaled (area average) so that its shorter side fits, then cut
 * to the middle SIZE x SIZE, three colours. `images:DIR@SIZE`; SIZE is 32 unless said. */
#include <dirent.h>
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs it first */
#include <jpeglib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/data_internal.h"

struct picture {
    uint8_t *rgb; /* [h][w][3] */
    int h, w;
};

/* A header of a few bytes must not ask for gigabytes: deflate makes at most 1032 bytes of one, with 8 pixels
 * each; JPEG needs a bit for a block of 64. */
enum { PIXELS_PER_BYTE = 8 * 1032 };

static int check_size(struct picture *p, const char *path, unsigned w, unsigned h, size_t file_bytes)
{
    if (w < 1 || h < 1 || w > 16384 || h > 16384)
        return base_fail(BASE_INPUT, "%s: %u x %u pixels: empty or too large", path, w, h);
    if ((size_t)w * h > file_bytes * PIXELS_PER_BYTE)
        return base_fail(BASE_INPUT, "%s: %u x %u pixels cannot be in %zu bytes: truncated?", path, w, h, file_bytes);
    p->w = (int)w;
    p->h = (int)h;
    p->rgb = base_alloc((size_t)w * h * 3);
    return p->rgb ? BASE_OK : BASE_NOMEM;
}

static int read_png(struct picture *p, const char *path, const uint8_t *bytes, size_t len)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    int rc = BASE_OK;
    if (!png_image_begin_read_from_memory(&image, bytes, len))
        rc = base_fail(BASE_INPUT, "%s: corrupt PNG: %s", path, image.message);
    if (!rc)
        rc = check_size(p, path, image.width, image.height, len);
    image.format = PNG_FORMAT_RGB;
    static const png_color black = {0, 0, 0}; /* behind transparent pixels */
    if (!rc && !png_image_finish_read(&image, &black, p->rgb, 0, NULL))
        rc = base_fail(BASE_INPUT, "%s: corrupt PNG: %s", path, image.message);
    png_image_free(&image);
    return rc;
}

struct jpeg_failure {
    struct jpeg_error_mgr manager; /* first: libjpeg's pointer is ours */
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
};

static void on_jpeg_error(j_common_ptr j)
{
    struct jpeg_failure *f = (struct jpeg_failure *)j->err;
    f->manager.format_message(j, f->text);
    longjmp(f->jump, 1);
}

/* A cut file is only a warning to libjpeg; grey rows are no training image. */
static void on_jpeg_message(j_common_ptr j, int level)
{
    if (level < 0)
        on_jpeg_error(j);
}

static int read_jpeg(struct picture *p, const char *path, const uint8_t *bytes, size_t len)
{
    struct jpeg_decompress_struct j = {0};
    struct jpeg_failure failure = {0};
    volatile int rc = BASE_OK;
    j.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = on_jpeg_error;
    failure.manager.emit_message = on_jpeg_message;
    if (setjmp(failure.jump)) {
        rc = base_fail(BASE_INPUT, "%s: corrupt JPEG: %s", path, failure.text);
        goto done;
    }
    jpeg_create_decompress(&j);
    jpeg_mem_src(&j, bytes, len);
    jpeg_read_header(&j, TRUE);
    j.out_color_space = JCS_RGB;
    jpeg_start_decompress(&j);
    rc = check_size(p, path, j.output_width, j.output_height, len);
    while (!rc && j.output_scanline < j.output_height) {
        JSAMPROW row = p->rgb + (size_t)j.output_scanline * (size_t)p->w * 3;
        jpeg_read_scanlines(&j, &row, 1);
    }
    if (!rc)
        jpeg_finish_decompress(&j);
done:
    jpeg_destroy_decompress(&j);
    return rc;
}

static int read_picture(struct picture *p, const char *path)
{
    uint8_t *bytes;
    size_t len;
    *p = (struct picture){0};
    int rc = base_file_read(&bytes, &len, path, (size_t)256 << 20);
    if (rc)
        return rc;
    if (len >= 8 && png_sig_cmp(bytes, 0, 8) == 0)
        rc = read_png(p, path, bytes, len);
    else if (len >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        rc = read_jpeg(p, path, bytes, len);
    else
        rc = base_fail(BASE_INPUT, "%s: neither PNG nor JPEG", path);
    base_free(bytes);
    return rc;
}

/* Mean colour of the area [y0, y1) x [x0, x1), in pixels, borders counted in part. */
static void area_mean(uint8_t out[3], const struct picture *p, double y0, double y1, double x0, double x1)
{
    double sum[3] = {0, 0, 0}, area = 0;
    for (int y = BASE_MAX((int)y0, 0); y < p->h && y < y1; y++) {
        double wy = BASE_MIN(y1, y + 1.0) - BASE_MAX(y0, (double)y);
        for (int x = BASE_MAX((int)x0, 0); x < p->w && x < x1; x++) {
            double weight = wy * (BASE_MIN(x1, x + 1.0) - BASE_MAX(x0, (double)x));
            const uint8_t *rgb = p->rgb + ((size_t)y * (size_t)p->w + (size_t)x) * 3;
            for (int c = 0; c < 3; c++)
                sum[c] += weight * rgb[c];
            area += weight;
        }
    }
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)(sum[c] / area + 0.5);
}

static void fit(uint8_t *out, const struct picture *p, int size)
{
    double step = (double)BASE_MIN(p->h, p->w) / size;
    double top = (p->h - step * size) / 2, left = (p->w - step * size) / 2;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            area_mean(out + 3 * (y * size + x), p, top + y * step, top + (y + 1) * step, left + x * step,
                      left + (x + 1) * step);
}

/* ---- folders ----------------------------------------------------------------- */

struct list { char **name; int n; };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_free(struct list *l)
{
    for (int i = 0; i < l->n; i++)
        base_free(l->name[i]);
    base_free(l->name);
    *l = (struct list){0};
}

/* Entries of a folder that `wanted` accepts, sorted; hidden ones are left out. */
static int list_folder(struct list *out, const char *dir, bool (*wanted)(const char *))
{
    *out = (struct list){0};
    DIR *d = opendir(dir);
    if (!d) {
        base_fail(BASE_INPUT, "%s: %s", dir, strerror(errno));
        return base_hint(BASE_INPUT, "expected: DIR/train/CLASS/*.png and DIR/test/CLASS/*.png (or .jpg)");
    }
    int cap = 0, rc = BASE_OK;
    for (struct dirent *e; !rc && (e = readdir(d));) {
        if (e->d_name[0] == '.' || (wanted && !wanted(e->d_name)))
            continue;
        if (out->n == cap) {
            int bigger = cap ? 2 * cap : 64;
            char **q = base_realloc(out->name, (size_t)cap * sizeof *q, (size_t)bigger * sizeof *q);
            if (!q) {
                rc = BASE_NOMEM;
                break;
            }
            out->name = q;
            cap = bigger;
        }
        char *name = base_strdup(e->d_name);
        if (name)
            out->name[out->n++] = name;
        else
            rc = BASE_NOMEM;
    }
    closedir(d);
    if (rc)
        list_free(out);
    else if (out->n)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
    return rc;
}

static bool is_picture(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

/* Paths of all pictures below DIR/CLASS, with the class of each. */
struct pictures { struct list path; uint16_t *label; };

static int add_class(struct pictures *all, const char *dir, const char *class_name, int label)
{
    struct list files;
    char *folder = data_join(dir, class_name);
    int rc = folder ? list_folder(&files, folder, is_picture) : BASE_NOMEM;
    if (rc) {
        base_free(folder);
        return rc;
    }
    int old = all->path.n, n = old + files.n;
    char **path = base_realloc(all->path.name, (size_t)old * sizeof *path, (size_t)n * sizeof *path);
    if (path)
        all->path.name = path;
    uint16_t *l = base_realloc(all->label, (size_t)old * sizeof *l, (size_t)n * sizeof *l);
    if (l)
        all->label = l;
    rc = path && l ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < files.n; i++) {
        char *p = data_join(folder, files.name[i]);
        if (!p) {
            rc = BASE_NOMEM;
            break;
        }
        all->label[all->path.n] = (uint16_t)label;
        all->path.name[all->path.n++] = p;
    }
    list_free(&files);
    base_free(folder);
    return rc;
}

static int read_pictures(struct data_set *out, const struct pictures *all)
{
    uint8_t *pixels;
    uint16_t *label;
    int rc = data_set_alloc(out, &pixels, &label);
    size_t image = (size_t)out->h * (size_t)out->w * 3;
    for (int i = 0; !rc && i < out->n; i++) {
        struct picture p;
        rc = read_picture(&p, all->path.name[i]);
        if (!rc)
            fit(pixels + (size_t)i * image, &p, out->h);
        base_free(p.rgb);
        label[i] = all->label[i];
    }
    return rc;
}

static int read_part(struct data_set *out, const char *dir, int size)
{
    struct list classes;
    struct pictures all = {0};
    int rc = list_folder(&classes, dir, NULL);
    if (rc)
        return rc;
    if (classes.n < 2 || classes.n > DATA_MAX_CLASSES)
        rc = base_fail(BASE_INPUT, "%s: %d class folders; 2 to %d are expected", dir, classes.n, DATA_MAX_CLASSES);
    for (int i = 0; !rc && i < classes.n; i++)
        rc = add_class(&all, dir, classes.name[i], i);
    if (!rc && all.path.n == 0)
        rc = base_fail(BASE_INPUT, "%s: no .png or .jpg file in its class folders", dir);
    if (!rc) {
        *out = (struct data_set){.n = all.path.n, .h = size, .w = size, .c = 3, .classes = classes.n};
        rc = read_pictures(out, &all);
    }
    list_free(&classes);
    list_free(&all.path);
    base_free(all.label);
    return rc;
}

int data_read_images(struct data_set *out, const char *arg, enum data_part part)
{
    const char *at = strrchr(arg, '@');
    char *end = NULL;
    long size = at ? strtol(at + 1, &end, 10) : 32;
    if (size < 4 || size > 512 || (at && (*end || end == at + 1)))
        return base_fail(BASE_INPUT, "data 'images:%s': the size behind @ must be 4..512", arg);
    char *dir = base_format("%.*s/%s", at ? (int)(at - arg) : (int)strlen(arg), arg,
                            part == DATA_TRAIN ? "train" : "test");
    if (!dir)
        return BASE_NOMEM;
    int rc = read_part(out, dir, (int)size);
    base_free(dir);
    return rc;
}
