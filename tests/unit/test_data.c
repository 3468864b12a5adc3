/* data: readers on small files written here (and on Debian's Fashion-MNIST when it is
 * installed), the split, and the feed. */
#define _GNU_SOURCE
#include "unit.h"

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include "data/data.h"

static const char *dir;
static char spec[300];

static int set_up(void **state)
{
    (void)state;
    dir = unit_scratch();
    snprintf(spec, sizeof spec, "idx:%s", dir);
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
    assert_ok(base_file_write(unit_path(dir, name), data, len));
}

/* ---- idx -------------------------------------------------------------------- */

enum { IMAGES = 4, H = 3, W = 2 };
static uint8_t image_file[16 + IMAGES * H * W] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, H, 0, 0, 0, W};
static uint8_t label_file[8 + IMAGES] = {0, 0, 8, 1, 0, 0, 0, IMAGES, 9, 0, 5, 1};
#define IMAGES_NAME "t10k-images-idx3-ubyte"
#define LABELS_NAME "t10k-labels-idx1-ubyte"

static void write_idx(void)
{
    for (int i = 0; i < IMAGES * H * W; i++)
        image_file[16 + i] = (uint8_t)(i * 10);
    put(IMAGES_NAME, image_file, sizeof image_file);
    put(LABELS_NAME, label_file, sizeof label_file);
}

static void idx_is_read(void **state)
{
    (void)state;
    struct data_set s;
    write_idx();
    assert_ok(data_open(&s, spec, DATA_TEST));
    assert_int_equal(s.n, IMAGES);
    assert_int_equal(s.h, H);
    assert_int_equal(s.w, W);
    assert_int_equal(s.c, 1);
    assert_int_equal(s.classes, 10);
    assert_memory_equal(s.pixels, image_file + 16, IMAGES * H * W);
    assert_int_equal(s.label[0], 9);
    assert_int_equal(s.label[2], 5);
    data_free(&s);
    data_free(&s);
    data_free(NULL);
    assert_survives_nomem(data_open(&s, spec, DATA_TEST), data_free(&s));
}

static void refuse(const char *part)
{
    struct data_set s;
    assert_error(data_open(&s, spec, DATA_TEST), BASE_INPUT, part);
    assert_null(s.pixels);
}

static void idx_errors_name_the_file(void **state)
{
    (void)state;
    struct data_set s;
    uint8_t bad[sizeof image_file + 1];
    refuse(IMAGES_NAME ": neither this file nor its .gz");
    assert_non_null(strstr(base_error_hint(), "dataset-fashion-mnist"));
    write_idx();
    assert_error(data_open(&s, spec, DATA_TRAIN), BASE_INPUT, "train-images-idx3-ubyte");
    memcpy(bad, image_file, sizeof image_file);
    put(IMAGES_NAME, bad, sizeof image_file - 1);
    refuse(IMAGES_NAME ": 23 bytes of data where its header promises 24: truncated");
    put(IMAGES_NAME, bad, sizeof image_file + 1);
    refuse(IMAGES_NAME ": 25 bytes of data where");
    put(IMAGES_NAME, bad, 10);
    refuse(IMAGES_NAME ": truncated inside its header");
    put(IMAGES_NAME, bad, 0);
    refuse(IMAGES_NAME ": not an idx file");
    bad[3] = 1;
    put(IMAGES_NAME, bad, sizeof image_file);
    refuse(IMAGES_NAME ": not an idx file");
    bad[3] = 3;
    bad[4] = 0xff;
    put(IMAGES_NAME, bad, sizeof image_file);
    refuse(IMAGES_NAME ": dimension 0 is");
    bad[4] = bad[7] = 0;
    put(IMAGES_NAME, bad, sizeof image_file);
    refuse(IMAGES_NAME ": dimension 0 is 0");
    write_idx();
    uint8_t labels[sizeof label_file];
    memcpy(labels, label_file, sizeof labels);
    labels[8 + 2] = 10;
    put(LABELS_NAME, labels, sizeof labels);
    refuse(LABELS_NAME ": label 10 of image 2 is not in 0..9");
    labels[7] = IMAGES - 1;
    put(LABELS_NAME, labels, sizeof labels - 1);
    refuse(LABELS_NAME ": 3 labels for the 4 images of");
}

static void idx_gzip(void **state)
{
    (void)state;
    struct data_set s;
    char path[300];
    write_idx();
    unlink(unit_path(dir, IMAGES_NAME));
    snprintf(path, sizeof path, "%s/%s.gz", dir, IMAGES_NAME);
    gzFile gz = gzopen(path, "wb");
    gzwrite(gz, image_file, sizeof image_file);
    gzclose(gz);
    assert_ok(data_open(&s, spec, DATA_TEST));
    assert_memory_equal(s.pixels, image_file + 16, IMAGES * H * W);
    data_free(&s);
    assert_int_equal(truncate(path, 30), 0);
    refuse(".gz: truncated or corrupt");
}

static void bad_specs(void **state)
{
    (void)state;
    struct data_set s;
    static const char *const bad[] = {"", "idx", "idx:", ":x", "mnist:/x", "/usr", "idxx:/"};
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        assert_error(data_open(&s, bad[i], DATA_TEST), BASE_INPUT, "not a data set");
        assert_non_null(strstr(base_error_hint(), "idx:DIR"));
    }
}

static void fashion_mnist(void **state)
{
    (void)state;
    struct data_set s;
    if (!base_file_exists(DATA_FASHION_MNIST_DIR))
        skip_because("dataset-fashion-mnist is not installed");
    assert_ok(data_open(&s, "idx:" DATA_FASHION_MNIST_DIR, DATA_TEST));
    assert_int_equal(s.n, 10000);
    assert_int_equal(s.h, 28);
    int count[10] = {0};
    for (int i = 0; i < s.n; i++)
        count[s.label[i]]++;
    for (int k = 0; k < 10; k++)
        assert_int_equal(count[k], 1000);
    assert_int_equal(s.label[0], 9);
    data_free(&s);
    assert_ok(data_open(&s, "idx:" DATA_FASHION_MNIST_DIR, DATA_TRAIN));
    assert_int_equal(s.n, 60000);
    data_free(&s);
}

/* ---- cifar10 ----------------------------------------------------------------- */

static void write_cifar10(uint8_t *bytes)
{
    for (int i = 0; i < 10000; i++) {
        bytes[i * 3073] = (uint8_t)(i % 10);
        for (int k = 1; k <= 3072; k++)
            bytes[i * 3073 + k] = (uint8_t)(i + k / 1024 * 50 + k % 7);
    }
}

static void cifar10(void **state)
{
    (void)state;
    struct data_set s;
    char where[300];
    size_t size = 10000 * 3073;
    uint8_t *bytes = base_alloc(size);
    write_cifar10(bytes);
    snprintf(where, sizeof where, "cifar10:%s", dir);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "test_batch.bin: No such file");
    put("test_batch.bin", bytes, size);
    assert_ok(data_open(&s, where, DATA_TEST));
    assert_int_equal(s.n, 10000);
    assert_int_equal(s.c, 3);
    int i = 77, y = 5, x = 9, at = (y * 32 + x);
    assert_int_equal(s.label[i], 7);
    for (int c = 0; c < 3; c++)
        assert_int_equal(s.pixels[((size_t)i * 1024 + (size_t)at) * 3 + (size_t)c], bytes[i * 3073 + 1 + c * 1024 + at]);
    data_free(&s);
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "data_batch_1.bin");
    bytes[3073 * 12] = 11;
    put("test_batch.bin", bytes, size);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "test_batch.bin: label 11 of image 12");
    put("test_batch.bin", bytes, size - 1);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "test_batch.bin: 30729999 bytes instead of 30730000");
    base_free(bytes);
}

/* The real set, where BITPRESS_CIFAR10 says that it is unpacked. */
static void real_cifar10(void **state)
{
    (void)state;
    const char *where = getenv("BITPRESS_CIFAR10");
    if (!where || !*where)
        skip_because("BITPRESS_CIFAR10 names no folder");
    char text[600];
    snprintf(text, sizeof text, "cifar10:%s", where);
    for (int part = DATA_TRAIN; part <= DATA_TEST; part++) {
        struct data_set s;
        int count[10] = {0}, n = part == DATA_TRAIN ? 50000 : 10000;
        assert_ok(data_open(&s, text, part == DATA_TRAIN ? DATA_TRAIN : DATA_TEST));
        assert_int_equal(s.n, n);
        for (int i = 0; i < n; i++)
            count[s.label[i]]++;
        for (int k = 0; k < 10; k++)
            assert_int_equal(count[k], n / 10);
        data_free(&s);
    }
}

/* ---- npy ---------------------------------------------------------------------- */

static void put_npy(const char *name, const char *header, const void *data, size_t len)
{
    uint8_t buf[1024] = "\x93NUMPY\x01";
    size_t n = strlen(header);
    buf[7] = 0;
    buf[8] = (uint8_t)n;
    buf[9] = 0;
    memcpy(buf + 10, header, n);
    memcpy(buf + 10 + n, data, len);
    put(name, buf, 10 + n + len);
}

static void npy(void **state)
{
    (void)state;
    struct data_set s;
    char where[700];
    uint8_t x[24];
    int64_t y[2] = {3, 1};
    for (int i = 0; i < 24; i++)
        x[i] = (uint8_t)i;
    snprintf(where, sizeof where, "npy:%s/x.npy,%s/y.npy", dir, dir);
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2, 3), }\n", x, 24);
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n", y, 16);
    assert_ok(data_open(&s, where, DATA_TEST));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.c, 3);
    assert_int_equal(s.classes, 4);
    assert_int_equal(s.label[0], 3);
    assert_memory_equal(s.pixels, x, 24);
    data_free(&s);
    assert_survives_nomem(data_open(&s, where, DATA_TEST), data_free(&s));
    y[1] = -1;
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n", y, 16);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "y.npy: label -1 of image 1");
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n", y, 8);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "y.npy: 2 integer labels");
    put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }\n", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: uint8");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 2, 3), }\n", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: an array in C order");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2, 3), }\n", x, 23);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: 23 bytes");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 99999999, 99999999), }\n", x, 23);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: an array in C order");
    put("x.npy", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: not a NumPy array");
    assert_error(data_open(&s, "npy:only", DATA_TEST), BASE_INPUT, "two files");
}

/* ---- images -------------------------------------------------------------------- */

/* The header says `side` x `side`; its checksum is right. */
static void lie_about_size(const char *name, uint32_t side)
{
    uint8_t *png;
    size_t len;
    assert_ok(base_file_read(&png, &len, unit_path(dir, name), 1 << 20));
    for (int i = 0; i < 4; i++)
        png[16 + i] = png[20 + i] = (uint8_t)(side >> (24 - 8 * i));
    uint32_t crc = (uint32_t)crc32(0, png + 12, 17);
    for (int i = 0; i < 4; i++)
        png[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    put(name, png, len);
    base_free(png);
}

static void put_png(const char *name, int w, int h, const uint8_t *rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (unsigned)w, .height = (unsigned)h};
    image.format = PNG_FORMAT_RGB;
    assert_true(png_image_write_to_file(&image, unit_path(dir, name), 0, rgb, 0, NULL));
}

static void put_jpeg(const char *name, int side, uint8_t red)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr err;
    j.err = jpeg_std_error(&err);
    jpeg_create_compress(&j);
    FILE *f = fopen(unit_path(dir, name), "wb");
    jpeg_stdio_dest(&j, f);
    j.image_width = j.image_height = (unsigned)side;
    j.input_components = 3;
    j.in_color_space = JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_start_compress(&j, TRUE);
    uint8_t row[64 * 3];
    JSAMPROW rows = row;
    for (int i = 0; i < side; i++) {
        row[3 * i] = red;
        row[3 * i + 1] = row[3 * i + 2] = 0;
    }
    while (j.next_scanline < j.image_height)
        jpeg_write_scanlines(&j, &rows, 1);
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    fclose(f);
}

static void images(void **state)
{
    (void)state;
    struct data_set s;
    char where[300];
    uint8_t rgb[16 * 8 * 3];
    snprintf(where, sizeof where, "images:%s@4", dir);
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "/train: No such file");
    assert_ok(base_mkdirs(unit_path(dir, "train/cat")));
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "1 class folders");
    assert_ok(base_mkdirs(unit_path(dir, "train/dog")));
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "no .png or .jpg");
    /* 16 x 8 pixels: columns 0-3 and 12-15 are cut; each 2 x 2 becomes one pixel. */
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 16; x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * 16 + x) * 3 + c] = (uint8_t)(c == 0 ? x * 10 : c == 1 ? y * 10 : 200);
    put_png("train/cat/b.png", 16, 8, rgb);
    put_jpeg("train/dog/a.JPG", 40, 240);
    put("train/dog/readme.txt", "no picture", 10);
    assert_ok(data_open(&s, where, DATA_TRAIN));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.h, 4);
    assert_int_equal(s.classes, 2);
    assert_int_equal(s.label[1], 1);
    const uint8_t *p = s.pixels + (2 * 4 + 1) * 3; /* y 2, x 1: columns 6, 7, rows 4, 5 */
    assert_int_equal(p[0], 65);
    assert_int_equal(p[1], 45);
    assert_int_equal(p[2], 200);
    assert_true(abs(s.pixels[4 * 4 * 3] - 240) < 3);
    data_free(&s);
    assert_survives_nomem(data_open(&s, where, DATA_TRAIN), data_free(&s));
    assert_int_equal(truncate(unit_path(dir, "train/dog/a.JPG"), 600), 0);
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "a.JPG: corrupt JPEG");
    assert_int_equal(truncate(unit_path(dir, "train/cat/b.png"), 60), 0);
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "b.png: corrupt PNG");
    put("train/cat/b.png", "text", 4);
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "b.png: neither PNG nor JPEG");
    put_png("train/cat/b.png", 16, 8, rgb);
    lie_about_size("train/cat/b.png", 16000);
    assert_error(data_open(&s, where, DATA_TRAIN), BASE_INPUT, "b.png: 16000 x 16000 pixels cannot be in");
    assert_error(data_open(&s, "images:/x@9999", DATA_TRAIN), BASE_INPUT, "4..512");
    assert_error(data_open(&s, "images:/x@8x", DATA_TRAIN), BASE_INPUT, "4..512");
}

/* ---- split and feed ------------------------------------------------------------- */

/* Pixel value (index * 3 + position) mod 256, label = index. */
static void make_set(struct data_set *s, int n)
{
    static uint8_t pixels[1000 * 6 * 6];
    static uint16_t label[1000];
    for (int i = 0; i < n; i++) {
        label[i] = (uint16_t)i;
        for (int k = 0; k < 36; k++)
            pixels[i * 36 + k] = (uint8_t)(i * 3 + k);
    }
    *s = (struct data_set){.n = n, .h = 6, .w = 6, .c = 1, .classes = n, .pixels = pixels, .label = label};
}

static void split(void **state)
{
    (void)state;
    struct data_set s;
    struct data_split a, b;
    make_set(&s, 1000);
    assert_ok(data_split(&a, &s, 100, 7));
    assert_ok(data_split(&b, &s, 100, 7));
    assert_int_equal(a.n_train, 900);
    assert_int_equal(a.n_validation, 100);
    assert_memory_equal(a.validation, b.validation, 400);
    bool seen[1000] = {false};
    for (int i = 0; i < 900; i++)
        seen[a.train[i]] = true;
    for (int i = 0; i < 100; i++) {
        assert_false(seen[a.validation[i]]);
        seen[a.validation[i]] = true;
        assert_true(i == 0 || a.validation[i] > a.validation[i - 1]);
    }
    for (int i = 0; i < 1000; i++)
        assert_true(seen[i]);
    data_split_free(&b);
    assert_ok(data_split(&b, &s, 100, 8));
    assert_memory_not_equal(a.validation, b.validation, 400);
    data_split_free(&a);
    data_split_free(&b);
    assert_ok(data_split(&a, &s, 0, 1));
    assert_int_equal(a.n_validation, 0);
    data_split_free(&a);
    assert_error(data_split(&a, &s, 1000, 1), BASE_INPUT, "cannot hold out 1000 of 1000");
    assert_error(data_split(&a, &s, -1, 1), BASE_INPUT, "cannot hold out");
    assert_survives_nomem(data_split(&a, &s, 100, 7), data_split_free(&a));
    uint32_t index[2] = {5, 3};
    uint8_t pixels[72];
    uint16_t labels[2];
    data_gather(&s, index, 2, pixels, labels);
    assert_int_equal(labels[0], 5);
    assert_int_equal(pixels[36], 9);
}

static void feed_covers_each_image_once(void **state)
{
    (void)state;
    struct data_set s;
    struct data_feed *f;
    struct data_feed_options o = DATA_FEED_OPTIONS_INIT;
    uint8_t pixels[10 * 36];
    uint16_t labels[10], first[10];
    make_set(&s, 100);
    assert_ok(data_feed_new(&f, &s, NULL, 0, &o));
    assert_int_equal(data_feed_batches(f, 10), 10);
    int in_order = 0;
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[100] = {false};
        for (int b = 0; b < 10; b++) {
            assert_ok(data_feed_fill(f, epoch * 10 + b, 10, pixels, labels));
            for (int i = 0; i < 10; i++) {
                assert_false(seen[labels[i]]);
                seen[labels[i]] = true;
                in_order += labels[i] == b * 10 + i;
                assert_memory_equal(pixels + i * 36, s.pixels + labels[i] * 36, 36);
            }
            if (epoch == 0 && b == 0)
                memcpy(first, labels, sizeof first);
            if (epoch == 1 && b == 0)
                assert_memory_not_equal(first, labels, sizeof first);
        }
    }
    assert_true(in_order < 20);
    assert_ok(data_feed_fill(f, 0, 10, pixels, labels)); /* back to the start */
    assert_memory_equal(first, labels, sizeof first);
    assert_error(data_feed_fill(f, 0, 101, pixels, labels), BASE_INPUT, "a batch of 101 images out of 100");
    data_feed_free(f);
    data_feed_free(NULL);
    uint32_t index[3] = {7, 8, 9};
    o.shuffle = false;
    assert_ok(data_feed_new(&f, &s, index, 3, &o));
    assert_ok(data_feed_fill(f, 5, 3, pixels, labels));
    assert_int_equal(labels[2], 9);
    data_feed_free(f);
    assert_error(data_feed_new(&f, &s, index, 0, &o), BASE_INPUT, "no images");
    o.pad = 6;
    assert_error(data_feed_new(&f, &s, NULL, 0, &o), BASE_INPUT, "a shift of 6");
    assert_survives_nomem(data_feed_new(&f, &s, NULL, 0, NULL), data_feed_free(f));
}

/* Finds the shift and mirror that make `out` from `in`; false if there is none. */
static bool explain(const uint8_t *out, const uint8_t *in, int pad, uint8_t fill, int *dy, int *dx, bool *mirror)
{
    for (int m = 0; m < 2; m++)
        for (int y0 = -pad; y0 <= pad; y0++)
            for (int x0 = -pad; x0 <= pad; x0++) {
                bool same = true;
                for (int k = 0; k < 36 && same; k++) {
                    int y = k / 6 + y0, x = (m ? 5 - k % 6 : k % 6) + x0;
                    same = out[k] == (y < 0 || y > 5 || x < 0 || x > 5 ? fill : in[y * 6 + x]);
                }
                if (same) {
                    *dy = y0;
                    *dx = x0;
                    *mirror = m;
                    return true;
                }
            }
    return false;
}

static void augmentation(void **state)
{
    (void)state;
    struct data_set s;
    struct data_feed *f, *g;
    struct base_pool *pool = base_pool_new(3);
    struct data_feed_options o = DATA_FEED_OPTIONS_INIT;
    static uint8_t a[500 * 36], b[500 * 36];
    static uint16_t la[500], lb[500];
    make_set(&s, 500);
    o.pad = 2;
    o.flip = true;
    o.fill = 251;
    assert_ok(data_feed_new(&f, &s, NULL, 0, &o));
    o.pool = pool;
    assert_ok(data_feed_new(&g, &s, NULL, 0, &o));
    int shift_count[5] = {0}, mirrored = 0;
    for (int epoch = 0; epoch < 2; epoch++) {
        assert_ok(data_feed_fill(f, epoch, 500, a, la));
        assert_ok(data_feed_fill(g, epoch, 500, b, lb));
        assert_memory_equal(a, b, sizeof a); /* threads do not matter */
        assert_memory_equal(la, lb, sizeof la);
        for (int i = 0; i < 500; i++) {
            int dy = 0, dx = 0;
            bool mirror = false;
            assert_true(explain(a + i * 36, s.pixels + la[i] * 36, 2, 251, &dy, &dx, &mirror));
            shift_count[dy + 2]++;
            mirrored += mirror;
        }
    }
    for (int i = 0; i < 5; i++)
        assert_in_range(shift_count[i], 150, 250);
    assert_in_range(mirrored, 430, 570);
    data_feed_free(f);
    data_feed_free(g);
    base_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(idx_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idx_errors_name_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idx_gzip, set_up, tear_down),
        cmocka_unit_test(bad_specs),
        cmocka_unit_test(fashion_mnist),
        cmocka_unit_test_setup_teardown(cifar10, set_up, tear_down),
        cmocka_unit_test(real_cifar10),
        cmocka_unit_test_setup_teardown(npy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(images, set_up, tear_down),
        cmocka_unit_test(split),
        cmocka_unit_test(feed_covers_each_image_once),
        cmocka_unit_test(augmentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
