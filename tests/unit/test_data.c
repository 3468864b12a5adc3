/* data: readers on small files written here (and on Debian's Fashion-MNIST when it is
 * installed), the split, and the feed. */
#define _GNU_SOURCE
#include "unit.h"

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
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "y.npy: 1 labels for the 2 images of");
    put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }\n", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: uint8");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 2, 3), }\n", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: an array in C order");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2, 3), }\n", x, 23);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: 23 bytes");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 99999999, 99999999), }\n", x, 23);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: an array with 1 to 4 dimensions");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 2, 2, 3), }\n", x, 0);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: the array is empty");
    put_npy("x.npy", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }\n", x, 4);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: an array of plain numbers");
    put_npy("x.npy", "{'descr': '|u1', 'shape': (2, 2), }\n", x, 4);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: its header is damaged");
    put("x.npy", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: not a NumPy array");
    static const char *const bad[] = {"npy:only", "npy:a,b,c", "npy:a,b,c,d,e", "npy:,b", "npy:a,", "npy:a,,b,c"};
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(data_open(&s, bad[i], DATA_TEST), BASE_INPUT, "two files or four");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 1, 12), }\n", x, 24);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "x.npy: [n][2][1][12]: the channels must come last");
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }\n", x, 24);
    put_npy("y.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", y, 16);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "y.npy: 2 integer labels are expected, not <f8");
    y[0] = 65535;
    y[1] = 0;
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n", y, 16);
    assert_error(data_open(&s, where, DATA_TEST), BASE_INPUT, "y.npy: label 65535 of image 0 is not in 0..65534");
}

/* What is missing or damaged shows before long work. */
static void parts_are_looked_for(void **state)
{
    (void)state;
    struct data_options o = DATA_OPTIONS_INIT;
    char where[700];
    assert_error(data_check(spec, DATA_TEST, &o), BASE_INPUT, IMAGES_NAME ": neither this file nor its .gz");
    write_idx();
    remove(unit_path(dir, LABELS_NAME));
    assert_error(data_check(spec, DATA_TEST, &o), BASE_INPUT, LABELS_NAME ": neither this file nor its .gz");
    put(LABELS_NAME, "x", 1);
    assert_error(data_check(spec, DATA_TEST, &o), BASE_INPUT, LABELS_NAME ": not an idx file");
    write_idx();
    assert_ok(data_check(spec, DATA_TEST, &o));
    assert_survives_nomem(data_check(spec, DATA_TEST, &o), (void)0);
    o.shape.classes = 5;
    assert_error(data_check(spec, DATA_TEST, &o), BASE_INPUT, LABELS_NAME ": label 9 of image 0");
    o.shape.classes = 0;
    snprintf(where, sizeof where, "cifar10:%s", dir);
    assert_error(data_check(where, DATA_TEST, &o), BASE_INPUT, "test_batch.bin: no such file");
    assert_non_null(strstr(base_error_hint(), "binary version"));
    put("test_batch.bin", "x", 1);
    assert_error(data_check(where, DATA_TEST, &o), BASE_INPUT, "test_batch.bin: 1 bytes instead of 30730000");
    assert_error(data_check(where, DATA_TRAIN, &o), BASE_INPUT, "data_batch_1.bin: no such file");
    snprintf(where, sizeof where, "npy:%s/test_batch.bin,%s/y.npy", dir, dir);
    assert_error(data_check(where, DATA_TEST, &o), BASE_INPUT, "y.npy: no such file");
    put("y.npy", "x", 1);
    assert_error(data_check(where, DATA_TEST, &o), BASE_INPUT, "test_batch.bin: not a NumPy array");
    assert_error(data_check("idx", DATA_TEST, &o), BASE_INPUT, "not a data set");
}

/* Four files are two parts; Keras writes labels as a column. */
static void npy_parts(void **state)
{
    (void)state;
    struct data_set s;
    char where[1400];
    uint8_t x[24], y[4] = {3, 1, 2, 0};
    for (int i = 0; i < 24; i++)
        x[i] = (uint8_t)i;
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }\n", x, 24);
    put_npy("y.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1), }\n", y, 2);
    put_npy("tx.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 4), }\n", x + 12, 12);
    put_npy("ty.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", y + 2, 1);
    snprintf(where, sizeof where, "npy:%s/x.npy,%s/y.npy,%s/tx.npy,%s/ty.npy", dir, dir, dir, dir);
    assert_ok(data_open(&s, where, DATA_TRAIN));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.label[1], 1);
    data_free(&s);
    assert_ok(data_open(&s, where, DATA_TEST));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.pixels[0], 12);
    assert_int_equal(s.label[0], 2);
    data_free(&s);
    assert_survives_nomem(data_open(&s, where, DATA_TEST), data_free(&s));
}

static void sets_fit_the_network(void **state)
{
    (void)state;
    struct data_set s;
    struct data_options o = DATA_OPTIONS_INIT;
    write_idx();
    o.shape = (struct data_shape){.h = H, .w = W, .c = 1, .classes = 10};
    assert_ok(data_open_as(&s, spec, DATA_TEST, &o));
    data_free(&s);
    o.shape.c = 3;
    assert_error(data_open_as(&s, spec, DATA_TEST, &o), BASE_INPUT, IMAGES_NAME ": images of 3x2x1 do not fit the network, which takes 3x2x3");
    assert_non_null(strstr(base_error_hint(), "images:DIR"));
    o.shape = (struct data_shape){.classes = 6};
    assert_error(data_open_as(&s, spec, DATA_TEST, &o), BASE_INPUT, LABELS_NAME ": label 9 of image 0 is not in 0..5, the network's outputs");
    assert_non_null(strstr(base_error_hint(), "an output for every class"));
    label_file[8 + 1] = 46; /* letters: more classes than digits */
    write_idx();
    label_file[8 + 1] = 0;
    o.shape.classes = 47;
    assert_ok(data_open_as(&s, spec, DATA_TEST, &o));
    assert_int_equal(s.classes, 47);
    data_free(&s);

    char where[700];
    uint8_t x[12] = {0}, y[1] = {7};
    snprintf(where, sizeof where, "npy:%s/x.npy,%s/y.npy", dir, dir);
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 4), }\n", x, 12);
    put_npy("y.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", y, 1);
    o.shape = (struct data_shape){.h = 4, .w = 4};
    assert_error(data_open_as(&s, where, DATA_TEST, &o), BASE_INPUT, "x.npy: images of 3x4x1 do not fit");
    o.shape = (struct data_shape){.classes = 7};
    assert_error(data_open_as(&s, where, DATA_TEST, &o), BASE_INPUT, "y.npy: label 7 of image 0 is not in 0..6, the network's");
    /* A row of values: arrays of two dimensions, or images of one channel row by row. */
    o.shape = (struct data_shape){.h = 1, .w = 12, .c = 1};
    put_npy("y.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", y, 1);
    static const char *const rows[] = {"(1, 12)", "(1, 3, 4)", "(1, 2, 6, 1)"};
    for (int i = 0; i < BASE_COUNT(rows); i++) {
        char header[100];
        snprintf(header, sizeof header, "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }\n", rows[i]);
        put_npy("x.npy", header, x, 12);
        assert_ok(data_open_as(&s, where, DATA_TEST, &o));
        assert_int_equal(s.h, 1);
        assert_int_equal(s.w, 12);
        assert_int_equal(s.c, 1);
        data_free(&s);
    }
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2, 3), }\n", x, 12);
    assert_error(data_open_as(&s, where, DATA_TEST, &o), BASE_INPUT, "x.npy: images of 2x2x3 do not fit the network, which takes 1x12x1");
    write_idx();
    o.shape.w = H * W;
    assert_ok(data_open_as(&s, spec, DATA_TEST, &o));
    assert_int_equal(s.w, H * W);
    assert_memory_equal(s.pixels, image_file + 16, IMAGES * H * W);
    data_free(&s);
    snprintf(where, sizeof where, "cifar10:%s", dir);
    o.shape = (struct data_shape){.h = 28, .w = 28, .c = 1};
    assert_error(data_open_as(&s, where, DATA_TEST, &o), BASE_INPUT, "images of 32x32x3 do not fit the network, which takes 28x28x1");
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
    assert_error(data_feed_fill(f, 0, 0, pixels, labels), BASE_INPUT, "a batch of 0 images");
    data_feed_free(f);
    data_feed_free(NULL);
    uint32_t index[3] = {7, 8, 9};
    o.shuffle = false;
    assert_ok(data_feed_new(&f, &s, index, 3, &o));
    assert_ok(data_feed_fill(f, 5, 3, pixels, labels));
    assert_int_equal(labels[2], 9);
    assert_ok(data_feed_fill(f, 1, 8, pixels, labels)); /* over again */
    for (int i = 0; i < 8; i++)
        assert_int_equal(labels[i], 7 + i % 3);
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
        cmocka_unit_test_setup_teardown(parts_are_looked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(npy_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sets_fit_the_network, set_up, tear_down),
        cmocka_unit_test(split),
        cmocka_unit_test(feed_covers_each_image_once),
        cmocka_unit_test(augmentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
