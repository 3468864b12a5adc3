/* data, images: the filter against Pillow's results (tests/data/pictures/make.py wrote both), formats that
 * Pillow does not write, damaged and lying files, folders of every shape, threads. */
#define _GNU_SOURCE
#include "unit.h"

#include <fcntl.h>
#include <jpeglib.h>
#include <png.h>
#include <sys/stat.h>

#include "data/data.h"

#define PICTURES "tests/data/pictures"

static const char *dir;
static char spec[300];

static int set_up(void **state)
{
    (void)state;
    dir = unit_scratch();
    snprintf(spec, sizeof spec, "images:%s@4", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unit_remove(dir);
    return 0;
}

static void put(const char *name, const void *data, size_t len)
{
    FILE *f = fopen(unit_path(dir, name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static void make_folder(const char *name)
{
    assert_ok(base_mkdirs(unit_path(dir, name)));
}

static void put_png(const char *name, int w, int h, const uint8_t *rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (unsigned)w, .height = (unsigned)h};
    image.format = PNG_FORMAT_RGB;
    assert_true(png_image_write_to_file(&image, unit_path(dir, name), 0, rgb, 0, NULL));
}

/* One colour, 5 x 5. */
static void put_dot(const char *name, uint8_t value)
{
    uint8_t rgb[5 * 5 * 3];
    memset(rgb, value, sizeof rgb);
    put_png(name, 5, 5, rgb);
}

static void put_jpeg(const char *name, unsigned w, unsigned h, uint8_t red, bool progressive)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr err;
    j.err = jpeg_std_error(&err);
    jpeg_create_compress(&j);
    FILE *f = fopen(unit_path(dir, name), "wb");
    assert_non_null(f);
    jpeg_stdio_dest(&j, f);
    j.image_width = w;
    j.image_height = h;
    j.input_components = 3;
    j.in_color_space = JCS_RGB;
    jpeg_set_defaults(&j);
    if (progressive)
        jpeg_simple_progression(&j);
    jpeg_start_compress(&j, TRUE);
    uint8_t *row = base_alloc((size_t)w * 3);
    JSAMPROW rows = row;
    for (unsigned i = 0; i < w; i++)
        row[3 * i] = red;
    while (j.next_scanline < j.image_height)
        jpeg_write_scanlines(&j, &rows, 1);
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    base_free(row);
    fclose(f);
}

/* Two classes with a picture each, below `part`. */
static void make_part(const char *part)
{
    char name[200];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s", part, i ? "dog" : "cat");
        make_folder(name);
        snprintf(name, sizeof name, "%s/%s/1.png", part, i ? "dog" : "cat");
        put_dot(name, (uint8_t)(10 + 50 * i));
    }
}

static void refuse(enum data_part part, const char *message)
{
    struct data_set s;
    assert_error(data_open(&s, spec, part), BASE_INPUT, message);
    assert_null(s.pixels);
    assert_null(strchr(base_error(), '\n'));
}

static void accept(enum data_part part, int n, int classes)
{
    struct data_set s;
    assert_ok(data_open(&s, spec, part));
    assert_int_equal(s.n, n);
    assert_int_equal(s.classes, classes);
    data_free(&s);
}

/* ---- the filter ------------------------------------------------------------------- */

/* Lossless files exactly; JPEG decoders may differ by a little. */
static void compare(const char *size, struct data_shape shape, const char *expected, int jpeg_tolerance)
{
    struct data_set a, b;
    char name[300];
    struct data_options o = DATA_OPTIONS_INIT;
    o.shape = shape;
    snprintf(name, sizeof name, "images:" PICTURES "%s", size);
    assert_ok(data_open_as(&a, name, DATA_TEST, &o));
    snprintf(name, sizeof name, "npy:" PICTURES "/%s.npy," PICTURES "/labels.npy", expected);
    assert_ok(data_open_as(&b, name, DATA_TEST, &o));
    assert_int_equal(a.n, b.n);
    assert_int_equal(a.c, b.c);
    assert_int_equal(a.h, b.h);
    assert_int_equal(a.w, b.w);
    assert_memory_equal(a.label, b.label, (size_t)a.n * 2);
    /* alpha.png baseline.jpg full.jpg ink.jpg palette.png plain.png progressive.jpg tiny.png wide.png; bit1.png
     * deep16.png jpeg.jpg plain.png with_alpha.png */
    static const bool is_jpeg[] = {0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0};
    assert_int_equal(a.n, BASE_COUNT(is_jpeg));
    size_t image = (size_t)(a.h * a.w * a.c);
    for (int i = 0; i < a.n; i++)
        for (size_t k = 0; k < image; k++) {
            int got = a.pixels[(size_t)i * image + k], want = b.pixels[(size_t)i * image + k];
            if (abs(got - want) > (is_jpeg[i] ? jpeg_tolerance : 0))
                fail_msg("%s %s: picture %d, byte %zu: %d instead of %d", size, expected, i, k, got, want);
        }
    data_free(&a);
    data_free(&b);
}

static void pictures_are_what_pillow_makes(void **state)
{
    (void)state;
    compare("@12", (struct data_shape){0}, "rgb12", 1);
    compare("", (struct data_shape){.h = 12, .w = 12, .c = 3, .classes = 2}, "rgb12", 1);
    compare("", (struct data_shape){.h = 12, .w = 12, .c = 1}, "grey12", 1);
    compare("@14x10,16", (struct data_shape){0}, "rgb14x10", 1);
    compare("@,16", (struct data_shape){.h = 10, .w = 14, .c = 3}, "rgb14x10", 1);
    compare("@28", (struct data_shape){.c = 3}, "rgb28", 1);
}

static void same_size_is_a_copy(void **state)
{
    (void)state;
    struct data_set s;
    uint8_t rgb[7 * 9 * 3];
    struct base_rng rng;
    base_rng_seed(&rng, 5);
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)base_rng_below(&rng, 256);
    make_part("train");
    put_png("train/cat/1.png", 9, 7, rgb);
    struct data_options o = DATA_OPTIONS_INIT;
    o.shape = (struct data_shape){.h = 7, .w = 9, .c = 3};
    snprintf(spec, sizeof spec, "images:%s", dir);
    assert_ok(data_open_as(&s, spec, DATA_TRAIN, &o));
    assert_memory_equal(s.pixels, rgb, sizeof rgb);
    data_free(&s);
    assert_survives_nomem(data_open_as(&s, spec, DATA_TRAIN, &o), data_free(&s));
}

/* ---- formats ---------------------------------------------------------------------------- */

/* 16 bits of RGB and alpha, interlaced: what Pillow does not write. */
static void put_deep_png(const char *name, unsigned side, uint16_t red)
{
    FILE *f = fopen(unit_path(dir, name), "wb");
    assert_non_null(f);
    png_struct *png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_info *info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, side, side, 16, PNG_COLOR_TYPE_RGB_ALPHA, PNG_INTERLACE_ADAM7, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    uint8_t row[64 * 8];
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (unsigned y = 0; y < side; y++) {
            for (unsigned x = 0; x < side; x++) {
                uint16_t v[4] = {red, (uint16_t)(y * 1000), (uint16_t)(x * 1000), 3};
                for (int c = 0; c < 4; c++) {
                    row[8 * x + 2 * (unsigned)c] = (uint8_t)(v[c] >> 8);
                    row[8 * x + 2 * (unsigned)c + 1] = (uint8_t)v[c];
                }
            }
            png_write_row(png, row);
        }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void deep_and_interlaced(void **state)
{
    (void)state;
    struct data_set s;
    make_part("train");
    put_deep_png("train/cat/1.png", 16, 51400); /* 200 * 257 */
    snprintf(spec, sizeof spec, "images:%s@16", dir);
    assert_ok(data_open(&s, spec, DATA_TRAIN));
    const uint8_t *p = s.pixels + (5 * 16 + 9) * 3;
    assert_int_equal(p[0], 200);
    assert_int_equal(p[1], 19); /* 5000 / 257 = 19.46 */
    assert_int_equal(p[2], 35); /* 9000 / 257 = 35.02 */
    data_free(&s);
    assert_int_equal(truncate(unit_path(dir, "train/cat/1.png"), 200), 0);
    refuse(DATA_TRAIN, "cat/1.png: corrupt PNG: truncated");
}

/* Large photos are decoded at a fraction: the colour and the size must still be right. */
static void large_photo(void **state)
{
    (void)state;
    struct data_set s;
    make_part("train");
    for (int progressive = 0; progressive < 2; progressive++) {
        put_jpeg("train/cat/1.png", 1601, 1203, 240, progressive); /* the content counts, not the name */
        assert_ok(data_open(&s, spec, DATA_TRAIN));
        for (int i = 0; i < 16; i++) {
            assert_in_range(s.pixels[3 * i], 238, 242);
            assert_in_range(s.pixels[3 * i + 1], 0, 2);
        }
        data_free(&s);
    }
}

/* ---- damage -------------------------------------------------------------------------------- */

static void damaged_files(void **state)
{
    (void)state;
    make_part("train");
    put_jpeg("train/dog/a.JPG", 40, 40, 240, false);
    accept(DATA_TRAIN, 3, 2);
    struct data_set s;
    assert_survives_nomem(data_open(&s, spec, DATA_TRAIN), data_free(&s));
    assert_int_equal(truncate(unit_path(dir, "train/dog/a.JPG"), 640), 0);
    refuse(DATA_TRAIN, "a.JPG: corrupt JPEG");
    assert_non_null(strstr(base_error_hint(), "remove it"));
    assert_int_equal(truncate(unit_path(dir, "train/dog/a.JPG"), 5), 0);
    refuse(DATA_TRAIN, "a.JPG: corrupt JPEG");
    put("train/dog/a.JPG", "", 0);
    refuse(DATA_TRAIN, "a.JPG: an empty file");
    put("train/dog/a.JPG", "<html>", 6);
    refuse(DATA_TRAIN, "a.JPG: neither PNG nor JPEG");
    assert_int_equal(truncate(unit_path(dir, "train/cat/1.png"), 60), 0);
    refuse(DATA_TRAIN, "1.png: corrupt PNG"); /* the first by name */
}

/* Every cut of a file and every flipped byte: an answer, and no more memory or time than the file is worth. */
static void any_damage(void **state)
{
    (void)state;
    static const char *const source[] = {"colour/alpha.png", "grey/bit1.png", "colour/palette.png", "colour/progressive.jpg", "colour/ink.jpg"};
    struct data_set s;
    make_part("train");
    for (int f = 0; f < BASE_COUNT(source); f++) {
        uint8_t *bytes;
        size_t len;
        int refused = 0;
        assert_ok(base_file_read(&bytes, &len, unit_path(PICTURES "/test", source[f]), 1 << 20));
        int fd = open(unit_path(dir, "train/cat/1.png"), O_RDWR);
        for (size_t at = 0; at < len; at += 1 + len / 150) {
            uint8_t old = bytes[at];
            bytes[at] ^= (uint8_t)(1 << (at % 8));
            assert_int_equal(ftruncate(fd, (off_t)(at % 2 ? at : len)), 0);
            assert_int_equal(pwrite(fd, bytes, at % 2 ? at : len, 0), at % 2 ? at : len);
            bytes[at] = old;
            base_error_clear();
            int rc = data_open(&s, spec, DATA_TRAIN);
            assert_true(rc == BASE_OK || (rc == BASE_INPUT && strstr(base_error(), "cat/1.png: ")));
            refused += rc != BASE_OK;
            data_free(&s);
        }
        assert_true(refused > 50);
        close(fd);
        base_free(bytes);
    }
}

static void put_big(uint8_t *p, unsigned v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A PNG's header with a right CRC, and one with a JPEG's size overwritten. */
static void lying_headers(void **state)
{
    (void)state;
    uint8_t png[41] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R'};
    make_part("train");
    static const struct { unsigned w, h; const char *message; } lie[] = {
        {16000, 16000, "41 bytes cannot hold the 16000 x 16000 pixels of its header"},
        {70000, 1, "70000 x 1 pixels: empty or too large (at most 16384 a side)"},
        {1, 0x7fffffff, "pixels: empty or too large"},
        {0, 5, "corrupt PNG"},
    };
    for (int i = 0; i < BASE_COUNT(lie); i++) {
        put_big(png + 16, lie[i].w);
        put_big(png + 20, lie[i].h);
        png[24] = 8;
        png[25] = 2;
        uint32_t crc = 0xffffffff;
        for (int k = 12; k < 29; k++) {
            crc ^= png[k];
            for (int b = 0; b < 8; b++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        put_big(png + 29, ~crc);
        memcpy(png + 33, "\0\0\0\x20IDAT", 8);
        put("train/cat/1.png", png, sizeof png);
        refuse(DATA_TRAIN, lie[i].message);
    }
    for (int progressive = 0; progressive < 2; progressive++) {
        uint8_t *bytes;
        size_t len;
        put_jpeg("train/cat/1.png", 40, 40, 9, progressive);
        assert_ok(base_file_read(&bytes, &len, unit_path(dir, "train/cat/1.png"), 1 << 20));
        uint8_t *sof = memmem(bytes, len, progressive ? "\xff\xc2" : "\xff\xc0", 2);
        assert_non_null(sof);
        sof[5] = sof[7] = 0x3e;
        put("train/cat/1.png", bytes, len);
        refuse(DATA_TRAIN, "bytes cannot hold the 15912 x 15912 pixels of its header");
        sof[5] = sof[7] = 0xff;
        put("train/cat/1.png", bytes, len);
        refuse(DATA_TRAIN, "pixels: empty or too large");
        base_free(bytes);
    }
}

/* ---- folders -------------------------------------------------------------------------------- */

static void layout(void **state)
{
    (void)state;
    refuse(DATA_TRAIN, "there is no folder 'train' in it");
    assert_non_null(strstr(base_error_hint(), "DIR/train/CLASS/"));
    make_folder("cat");
    put_dot("cat/1.png", 1); /* class folders without a part */
    refuse(DATA_TRAIN, "there is no folder 'train' in it");
    refuse(DATA_TEST, "there is no folder 'test' (or 'val') in it");
    make_folder("train");
    refuse(DATA_TRAIN, "train: 0 class folders; 2 to 65535 are expected");
    put_dot("train/1.png", 1);
    refuse(DATA_TRAIN, "train/1.png: a picture outside the class folders");
    unlink(unit_path(dir, "train/1.png"));
    put("train/readme.txt", "text", 4);
    make_folder("train/cat");
    refuse(DATA_TRAIN, "train: 1 class folders");
    make_folder("train/dog");
    refuse(DATA_TRAIN, "no .png or .jpg");
    put_dot("train/dog/1.png", 1);
    put("train/dog/notes.txt", "text", 4);
    put("train/dog/Thumbs.db", "", 0);
    put("train/dog/.hidden.png", "", 0);
    accept(DATA_TRAIN, 1, 2); /* a class may be empty */
    put("train/dog/2.webp", "", 0);
    refuse(DATA_TRAIN, "2.webp: only PNG and JPEG are read");
    struct data_set s;
    snprintf(spec, sizeof spec, "images:%s/none@4", dir);
    assert_error(data_open(&s, spec, DATA_TRAIN), BASE_INPUT, "none: no such folder");
}

static void parts_agree(void **state)
{
    (void)state;
    make_part("test");
    accept(DATA_TEST, 2, 2); /* a test part alone is enough to evaluate */
    make_part("train");
    make_folder("train/ant");
    put_dot("train/ant/1.png", 1);
    struct data_set s;
    const struct data_options o = DATA_OPTIONS_INIT;
    assert_ok(data_check(spec, DATA_TEST, &o));
    assert_ok(data_open(&s, spec, DATA_TEST));
    assert_int_equal(s.classes, 3); /* train says what the classes are: ant cat dog */
    assert_int_equal(s.label[0], 1);
    assert_int_equal(s.label[1], 2);
    data_free(&s);
    make_folder("test/zebra");
    refuse(DATA_TEST, "test/zebra: a class that is not in ");
    assert_non_null(strstr(base_error_hint(), "both parts"));
    assert_int_equal(rename(unit_path(dir, "test"), unit_path(dir, "val")), 0);
    refuse(DATA_TEST, "val/zebra: a class that is not in ");
    assert_int_equal(rmdir(unit_path(dir, "val/zebra")), 0);
    accept(DATA_TEST, 2, 3);
}

static void class_list(void **state)
{
    (void)state;
    struct data_set s;
    struct data_options o = DATA_OPTIONS_INIT;
    make_part("train");
    o.shape.classes = 4;
    assert_error(data_open_as(&s, spec, DATA_TRAIN, &o), BASE_INPUT, "train: 2 classes do not fit the network, which has 4 outputs");
    assert_non_null(strstr(base_error_hint(), "classes.txt"));
    put("classes.txt", "dog\r\nbee\r\ncat\r\nant", 18);
    assert_ok(data_open_as(&s, spec, DATA_TRAIN, &o));
    assert_int_equal(s.classes, 4);
    assert_int_equal(s.label[0], 2); /* cat */
    assert_int_equal(s.label[1], 0);
    data_free(&s);
    assert_survives_nomem(data_open_as(&s, spec, DATA_TRAIN, &o), data_free(&s));
    o.shape.classes = 3;
    assert_error(data_open_as(&s, spec, DATA_TRAIN, &o), BASE_INPUT, "classes.txt: 4 classes do not fit the network, which has 3");
    put("classes.txt", "dog\nbee\n", 8);
    refuse(DATA_TRAIN, "train/cat: a class that is not in ");
    put("classes.txt", "dog\ncat\ndog\n", 12);
    refuse(DATA_TRAIN, "classes.txt: class 'dog' is there twice");
    put("classes.txt", "dog\n\ncat\n", 9);
    refuse(DATA_TRAIN, "classes.txt:2: not the name of a folder");
    put("classes.txt", "dog\ncat/..\n", 11);
    refuse(DATA_TRAIN, "classes.txt:2: not the name of a folder");
}

static void links_and_names(void **state)
{
    (void)state;
    struct data_set s;
    make_part("train");
    make_folder("train/cat/more/deep.png");
    put_dot("train/cat/more/deep.png/\xff odd\n'%s\x1b[31m.png", 7);
    put_dot("train/cat/zz.png", 9);
    accept(DATA_TRAIN, 4, 2);
    assert_ok(data_open(&s, spec, DATA_TRAIN)); /* in the order of names, folders in their place */
    assert_int_equal(s.pixels[48], 7);
    assert_int_equal(s.pixels[96], 9);
    data_free(&s);
    assert_int_equal(symlink("../dog", unit_path(dir, "train/cat/other")), 0); /* pictures of another class: as one says */
    accept(DATA_TRAIN, 5, 2);
    assert_int_equal(symlink("..", unit_path(dir, "train/cat/more/up")), 0);
    refuse(DATA_TRAIN, "more/up: a link to a folder above it");
    unlink(unit_path(dir, "train/cat/more/up"));
    assert_int_equal(symlink("loop.png", unit_path(dir, "train/cat/loop.png")), 0);
    refuse(DATA_TRAIN, "loop.png: ");
    unlink(unit_path(dir, "train/cat/loop.png"));
    assert_int_equal(symlink("nowhere", unit_path(dir, "train/cat/gone.png")), 0);
    refuse(DATA_TRAIN, "gone.png: No such file");
    unlink(unit_path(dir, "train/cat/gone.png"));
    assert_int_equal(mkfifo(unit_path(dir, "train/cat/pipe.png"), 0600), 0);
    refuse(DATA_TRAIN, "pipe.png: not a regular file");
    unlink(unit_path(dir, "train/cat/pipe.png"));
    char deep[300] = "train/dog";
    for (int i = 0; i < 20; i++)
        strcat(deep, "/d");
    make_folder(deep);
    refuse(DATA_TRAIN, "more than 16 folders deep");
}

static void thousands_of_classes(void **state)
{
    (void)state;
    struct data_set s;
    struct base_text list = {0};
    make_part("train");
    for (int i = 0; i < 40000; i++)
        base_text_add(&list, "e%05d\n", i);
    base_text_add(&list, "dog\ncat\n");
    put("classes.txt", list.s, list.len);
    make_folder("train/e31234");
    put_dot("train/e31234/x.png", 3);
    assert_ok(data_open(&s, spec, DATA_TRAIN));
    assert_int_equal(s.classes, 40002);
    assert_int_equal(s.label[0], 40001);
    assert_int_equal(s.label[2], 31234);
    data_free(&s);
    for (int i = 0; i < 30000; i++)
        base_text_add(&list, "f%05d\n", i);
    put("classes.txt", list.s, list.len);
    refuse(DATA_TRAIN, "classes.txt: 70002 classes; 2 to 65535 are expected");
    base_text_free(&list);
}

/* 400 links in a folder, 60 links to the folder: 24,000 pictures of 48 MB. */
static void memory_is_asked_for_first(void **state)
{
    (void)state;
    char name[64];
    make_part("train");
    make_folder("many");
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "many/%d.png", i);
        assert_int_equal(symlink("../train/cat/1.png", unit_path(dir, name)), 0);
    }
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "train/dog/%d", i);
        assert_int_equal(symlink("../../many", unit_path(dir, name)), 0);
    }
    snprintf(spec, sizeof spec, "images:%s@4096", dir);
    refuse(DATA_TRAIN, "train: 24002 images of 4096 x 4096 x 3 need 1125.1 GiB of memory");
    const struct data_options o = DATA_OPTIONS_INIT;
    assert_error(data_check(spec, DATA_TRAIN, &o), BASE_INPUT, "train: 24002 images");
}

/* ---- sizes ------------------------------------------------------------------------------------ */

static void sizes(void **state)
{
    (void)state;
    struct data_set s;
    struct data_options o = DATA_OPTIONS_INIT;
    static const char *const bad[] = {"@9999", "@8x", "@3", "@8x2", "@8,", "@8,1", "@8,9x", "@,", "@8x9x9", "@99999999999999999999"};
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        snprintf(spec, sizeof spec, "images:/x%s", bad[i]);
        refuse(DATA_TRAIN, "sizes behind @ must be 4..4096");
    }
    make_part("a@b/train");
    snprintf(spec, sizeof spec, "images:%s/a@b", dir);
    refuse(DATA_TRAIN, "the size of the network's input is not known");
    assert_non_null(strstr(base_error_hint(), "@SIZE"));
    o.shape = (struct data_shape){.h = 6, .w = 8};
    assert_ok(data_open_as(&s, spec, DATA_TRAIN, &o));
    assert_int_equal(s.h, 6);
    assert_int_equal(s.w, 8);
    assert_int_equal(s.c, 3);
    data_free(&s);
    o.shape.c = 4;
    assert_error(data_open_as(&s, spec, DATA_TRAIN, &o), BASE_INPUT, "the network takes 4 channels");
    o.shape.c = 1;
    snprintf(spec, sizeof spec, "images:%s/a@b@8x6", dir);
    assert_ok(data_open_as(&s, spec, DATA_TRAIN, &o));
    assert_int_equal(s.c, 1);
    data_free(&s);
    snprintf(spec, sizeof spec, "images:%s/a@b@8", dir);
    assert_error(data_open_as(&s, spec, DATA_TRAIN, &o), BASE_INPUT, "the network takes 8x6 pixels");
    /* A network that takes a row of values. */
    o.shape = (struct data_shape){.h = 1, .w = 48, .c = 1};
    assert_error(data_open_as(&s, spec, DATA_TRAIN, &o), BASE_INPUT, "the network takes a row of 48 values");
    assert_non_null(strstr(base_error_hint(), "@WIDTHxHEIGHT"));
    snprintf(spec, sizeof spec, "images:%s/a@b@8x6", dir);
    assert_ok(data_open_as(&s, spec, DATA_TRAIN, &o));
    assert_int_equal(s.h, 1);
    assert_int_equal(s.w, 48);
    data_free(&s);
    snprintf(spec, sizeof spec, "images:%s/a@b", dir);
    assert_error(data_open_as(&s, spec, DATA_TRAIN, &o), BASE_INPUT, "the network takes a row of 48 values");
    snprintf(spec, sizeof spec, "images:%s/a@b@8,6", dir);
    refuse(DATA_TRAIN, "cat/1.png: 5 x 5 pixels scaled to 6 x 6 are smaller than the 8 x 8 to cut out");
}

/* ---- threads ------------------------------------------------------------------------------------- */

static void threads_do_not_matter(void **state)
{
    (void)state;
    struct data_set a, b;
    struct data_options o = DATA_OPTIONS_INIT;
    char name[64];
    make_part("train");
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "train/dog/%03d.png", i);
        put_dot(name, (uint8_t)i);
    }
    assert_ok(data_open(&a, spec, DATA_TRAIN));
    o.pool = base_pool_new(4);
    assert_ok(data_open_as(&b, spec, DATA_TRAIN, &o));
    assert_int_equal(b.n, 202);
    assert_memory_equal(a.pixels, b.pixels, 202 * 48);
    assert_memory_equal(a.label, b.label, 202 * 2);
    data_free(&a);
    data_free(&b);
    put("train/dog/150.png", "", 0);
    put("train/dog/070.png", "", 0);
    put("train/dog/190.png", "", 0);
    for (int i = 0; i < 20; i++)
        assert_error(data_open_as(&b, spec, DATA_TRAIN, &o), BASE_INPUT, "dog/070.png: an empty file");
    base_pool_free(o.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_what_pillow_makes),
        cmocka_unit_test_setup_teardown(same_size_is_a_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deep_and_interlaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_photo, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lying_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(class_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_and_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(thousands_of_classes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_asked_for_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_do_not_matter, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
