/* picture: PNG and JPEG files, decoded row by row into the scaler.
 *
 * Alpha, gamma, colour profiles and orientation tags are not looked at, as the usual training loaders do
 * not; 16 bits become 8. A header decides nothing about memory that the file's length cannot back. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs it first */
#include <jpeglib.h>
#include <jerror.h>
#include <string.h>

#include "data/data_internal.h"

enum {
    MAX_FILE_BYTES = 256 << 20,
    MAX_SCANS = 100,
    ROW_OFFSET = 16, /* libjpeg-turbo writes rows at multiples of 32 past the cache, where we want them */
};

int data_picture_size(const char *path, uint64_t w, uint64_t h)
{
    if (w < 1 || h < 1 || w > DATA_MAX_PICTURE || h > DATA_MAX_PICTURE)
        return base_fail(BASE_INPUT, "%s: %llu x %llu pixels: empty or too large (at most %d a side)", path,
                         (unsigned long long)w, (unsigned long long)h, DATA_MAX_PICTURE);
    return BASE_OK;
}

static int too_short(const char *path, size_t len, unsigned w, unsigned h)
{
    base_fail(BASE_INPUT, "%s: %zu bytes cannot hold the %u x %u pixels of its header: truncated?", path, len, w, h);
    return base_hint(BASE_INPUT, "fetch the file again, or remove it");
}

static int corrupt(const char *path, const char *format, const char *why)
{
    base_fail(BASE_INPUT, "%s: corrupt %s: %s", path, format, why);
    return base_hint(BASE_INPUT, "fetch the file again, or remove it");
}

/* ---- PNG ------------------------------------------------------------------------ */

struct png_job {
    const char *path;
    const uint8_t *bytes;
    size_t len, at;
    const struct data_fit *fit;
    png_struct *png;
    png_info *info;
    struct data_scaler *scaler;
    int passes;
    size_t row_bytes;
    uint8_t *rows;      /* one row; all of them if interlaced */
    char text[200];
    jmp_buf jump;
};

static void on_png_error(png_struct *png, const char *text)
{
    struct png_job *p = png_get_error_ptr(png);
    snprintf(p->text, sizeof p->text, "%s", text);
    longjmp(p->jump, 1);
}

static void on_png_warning(png_struct *png, const char *text)
{
    (void)png;
    (void)text; /* about ancillary chunks */
}

static void pull_png(png_struct *png, uint8_t *to, size_t n)
{
    struct png_job *p = png_get_io_ptr(png);
    if (n > p->len - p->at)
        png_error(png, "truncated");
    memcpy(to, p->bytes + p->at, n);
    p->at += n;
}

/* Grey or RGB, 8 bits. */
static void choose_png_format(struct png_job *p)
{
    if (png_get_color_type(p->png, p->info) == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(p->png);
    else if (png_get_bit_depth(p->png, p->info) < 8)
        png_set_expand_gray_1_2_4_to_8(p->png);
    if (png_get_bit_depth(p->png, p->info) == 16)
        png_set_scale_16(p->png);
    png_set_strip_alpha(p->png);
}

static int png_begin(struct png_job *p)
{
    png_set_read_fn(p->png, p, pull_png);
    png_set_user_limits(p->png, 0x7fffffff, 0x7fffffff); /* ours has a better message */
    png_read_info(p->png, p->info);
    unsigned w = png_get_image_width(p->png, p->info), h = png_get_image_height(p->png, p->info);
    int rc = data_picture_size(p->path, w, h);
    if (rc)
        return rc;
    /* deflate makes at most 1032 bytes of one */
    if (png_get_rowbytes(p->png, p->info) * h / 1032 > p->len)
        return too_short(p->path, p->len, w, h);
    choose_png_format(p);
    p->passes = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
    p->row_bytes = png_get_rowbytes(p->png, p->info);
    p->rows = base_alloc(p->row_bytes * (p->passes > 1 ? h : 1));
    return p->rows ? data_scaler_new(&p->scaler, p->path, p->fit, (int)h, (int)w, png_get_channels(p->png, p->info)) : BASE_NOMEM;
}

static int png_rows(struct png_job *p)
{
    int rc = png_begin(p);
    if (rc)
        return rc;
    unsigned h = png_get_image_height(p->png, p->info);
    for (int pass = 0; pass < p->passes - 1; pass++)
        for (unsigned y = 0; y < h; y++)
            png_read_row(p->png, p->rows + y * p->row_bytes, NULL);
    for (unsigned y = 0; y < h; y++) {
        uint8_t *row = p->rows + (p->passes > 1 ? y * p->row_bytes : 0);
        png_read_row(p->png, row, NULL);
        data_scaler_row(p->scaler, row);
    }
    png_read_end(p->png, NULL);
    return BASE_OK;
}

static int png_guarded(struct png_job *p)
{
    if (setjmp(p->jump))
        return corrupt(p->path, "PNG", p->text);
    return png_rows(p);
}

int data_png_read(uint8_t *out, const char *path, const uint8_t *bytes, size_t len, const struct data_fit *fit)
{
    struct png_job p = {.path = path, .bytes = bytes, .len = len, .fit = fit};
    p.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &p, on_png_error, on_png_warning);
    p.info = p.png ? png_create_info_struct(p.png) : NULL;
    int rc = p.info ? png_guarded(&p) : base_fail(BASE_NOMEM, "%s: out of memory for libpng", path);
    if (!rc)
        data_scaler_finish(p.scaler, out);
    png_destroy_read_struct(&p.png, &p.info, NULL);
    data_scaler_free(p.scaler);
    base_free(p.rows);
    return rc;
}

/* ---- JPEG ------------------------------------------------------------------------ */

struct jpeg_job {
    struct jpeg_error_mgr error; /* first: libjpeg's pointer to it is a pointer to us */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    const char *path;
    const struct data_fit *fit;
    size_t len;
    struct data_scaler *scaler;
    uint8_t *row;
    char text[JMSG_LENGTH_MAX];
    jmp_buf jump;
};

static void on_jpeg_error(j_common_ptr j)
{
    struct jpeg_job *p = (struct jpeg_job *)j->err;
    p->error.format_message(j, p->text);
    longjmp(p->jump, 1);
}

/* A cut file is only a warning to libjpeg; grey rows are no image. Stray bytes between markers, which some
 * cameras and editors leave, do no harm. */
static void on_jpeg_message(j_common_ptr j, int level)
{
    int code = j->err->msg_code;
    bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_NOT_SEQUENTIAL || code == JWRN_ADOBE_XFORM;
    if (level < 0 && !harmless)
        on_jpeg_error(j);
}

/* Every scan goes over the whole picture, however few bytes it has. */
static void on_jpeg_progress(j_common_ptr j)
{
    struct jpeg_job *p = (struct jpeg_job *)j->err;
    if (p->jpeg.input_scan_number > MAX_SCANS) {
        snprintf(p->text, sizeof p->text, "more than %d scans", MAX_SCANS);
        longjmp(p->jump, 1);
    }
}

/* A photo many times larger than needed is decoded at 1/2, 1/4 or 1/8: still twice what the filter ends at. */
static int choose_jpeg_size(struct jpeg_job *p)
{
    int sh = 0, sw = 0, rc = data_fit_size(&sh, &sw, p->path, p->fit, (int)p->jpeg.image_height, (int)p->jpeg.image_width);
    unsigned by = 1;
    while (!rc && by < 8 && p->jpeg.image_height / (4 * by) >= (unsigned)sh && p->jpeg.image_width / (4 * by) >= (unsigned)sw)
        by *= 2;
    p->jpeg.scale_num = 1;
    p->jpeg.scale_denom = by;
    return rc;
}

static int choose_jpeg_format(struct jpeg_job *p)
{
    int n = p->jpeg.num_components;
    if (n != 1 && n != 3 && n != 4) {
        base_fail(BASE_INPUT, "%s: a JPEG with %d colour components is not supported", p->path, n);
        return base_hint(BASE_INPUT, "convert it to grey, RGB or CMYK");
    }
    p->jpeg.out_color_space = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
    return BASE_OK;
}

static int jpeg_begin(struct jpeg_job *p, const uint8_t *bytes)
{
    jpeg_create_decompress(&p->jpeg);
    p->jpeg.mem->max_memory_to_use = 512L << 20;
    p->progress.progress_monitor = on_jpeg_progress;
    p->jpeg.progress = &p->progress;
    jpeg_mem_src(&p->jpeg, bytes, p->len);
    jpeg_read_header(&p->jpeg, TRUE);
    unsigned w = p->jpeg.image_width, h = p->jpeg.image_height;
    int rc = data_picture_size(p->path, w, h);
    if (!rc && (uint64_t)w * h / 1024 > p->len) /* a Huffman code needs at least a bit for 64 pixels: 512 a byte */
        rc = too_short(p->path, p->len, w, h);
    if (!rc)
        rc = choose_jpeg_format(p);
    return rc ? rc : choose_jpeg_size(p);
}

static int jpeg_rows(struct jpeg_job *p, const uint8_t *bytes)
{
    int rc = jpeg_begin(p, bytes);
    if (rc)
        return rc;
    jpeg_start_decompress(&p->jpeg);
    p->row = base_alloc(ROW_OFFSET + (size_t)p->jpeg.output_width * (size_t)p->jpeg.output_components);
    rc = p->row ? data_scaler_new(&p->scaler, p->path, p->fit, (int)p->jpeg.output_height, (int)p->jpeg.output_width,
                                  p->jpeg.output_components)
                : BASE_NOMEM;
    if (rc)
        return rc;
    uint8_t *row = p->row + ROW_OFFSET;
    while (p->jpeg.output_scanline < p->jpeg.output_height) {
        jpeg_read_scanlines(&p->jpeg, &row, 1);
        data_scaler_row(p->scaler, row);
    }
    jpeg_finish_decompress(&p->jpeg);
    return BASE_OK;
}

static int jpeg_guarded(struct jpeg_job *p, const uint8_t *bytes)
{
    p->jpeg.err = jpeg_std_error(&p->error);
    p->error.error_exit = on_jpeg_error;
    p->error.emit_message = on_jpeg_message;
    if (setjmp(p->jump))
        return corrupt(p->path, "JPEG", p->text);
    return jpeg_rows(p, bytes);
}

int data_jpeg_read(uint8_t *out, const char *path, const uint8_t *bytes, size_t len, const struct data_fit *fit)
{
    struct jpeg_job p = {.path = path, .fit = fit, .len = len};
    int rc = jpeg_guarded(&p, bytes);
    if (!rc)
        data_scaler_finish(p.scaler, out);
    jpeg_destroy_decompress(&p.jpeg);
    data_scaler_free(p.scaler);
    base_free(p.row);
    return rc;
}

/* ---- either ------------------------------------------------------------------------ */

int data_picture_read(uint8_t *out, const char *path, const struct data_fit *fit)
{
    uint8_t *bytes;
    size_t len;
    int rc = base_file_read(&bytes, &len, path, MAX_FILE_BYTES);
    if (rc)
        return rc;
    if (len == 0)
        rc = base_hint(base_fail(BASE_INPUT, "%s: an empty file", path), "fetch the file again, or remove it");
    else if (len >= 8 && png_sig_cmp(bytes, 0, 8) == 0)
        rc = data_png_read(out, path, bytes, len, fit);
    else if (len >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        rc = data_jpeg_read(out, path, bytes, len, fit);
    else
        rc = base_hint(base_fail(BASE_INPUT, "%s: neither PNG nor JPEG", path), "convert the file, or remove it");
    base_free(bytes);
    return rc;
}
