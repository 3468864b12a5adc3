/* png_folder OUT TRAIN TEST TIMES: Fashion-MNIST's first images as OUT/train/CLASS/N.png and OUT/test/CLASS/N.png,
 * each pixel TIMES (1 to 4) times in both directions. A helper of the end-to-end tests. */
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define SOURCE "/usr/share/datasets/fashion-mnist/"
enum { SIDE = 28, MAX_TIMES = 4 };

static const char *const names[] = { "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot" };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void write_one(const char *path, const uint8_t *pixels, int times)
{
    uint8_t big[MAX_TIMES * SIDE * MAX_TIMES * SIDE];
    int side = times * SIDE;
    png_image image = { .version = PNG_IMAGE_VERSION, .width = (unsigned)side, .height = (unsigned)side, .format = PNG_FORMAT_GRAY };
    for (int i = 0; i < side * side; i++)
        big[i] = pixels[i / side / times * SIDE + i % side / times];
    if (!png_image_write_to_file(&image, path, 0, big, 0, NULL))
        die(path);
}

static void write_part(const char *out, const char *part, const char *images, const char *labels, int n, int times)
{
    uint8_t pixels[SIDE * SIDE], label, header[16];
    char path[600];
    gzFile x = gzopen(images, "rb"), y = gzopen(labels, "rb");
    if (!x || !y || gzread(x, header, 16) != 16 || gzread(y, header, 8) != 8)
        die(images);
    snprintf(path, sizeof path, "%s/%s", out, part);
    mkdir(path, 0777);
    for (int k = 0; k < 10; k++) {
        snprintf(path, sizeof path, "%s/%s/%s", out, part, names[k]);
        mkdir(path, 0777);
    }
    for (int i = 0; i < n; i++) {
        if (gzread(x, pixels, sizeof pixels) != sizeof pixels || gzread(y, &label, 1) != 1 || label > 9)
            die(images);
        snprintf(path, sizeof path, "%s/%s/%s/%d.png", out, part, names[label], i);
        write_one(path, pixels, times);
    }
    gzclose(x);
    gzclose(y);
}

int main(int argc, char **argv)
{
    if (argc != 5 || atoi(argv[4]) < 1 || atoi(argv[4]) > MAX_TIMES)
        return 2;
    mkdir(argv[1], 0777);
    write_part(argv[1], "train", SOURCE "train-images-idx3-ubyte.gz", SOURCE "train-labels-idx1-ubyte.gz", atoi(argv[2]), atoi(argv[4]));
    write_part(argv[1], "test", SOURCE "t10k-images-idx3-ubyte.gz", SOURCE "t10k-labels-idx1-ubyte.gz", atoi(argv[3]), atoi(argv[4]));
    return 0;
}
