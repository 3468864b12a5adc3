/* run_pack.c: a pack on device 0, image by image, in 40 lines.
 *
 *   cc -o run_pack run_pack.c $(pkg-config --cflags --libs bitpress-runtime)
 *   on a board:  ./run_pack net.bpk images.u8 bitpress.xclbin
 *   without one: bitpress xrt-env -- ./run_pack net.bpk images.u8
 *
 * images.u8 holds images one after the other, [height][width][channels], a byte a value. */
#include <bitpress_runtime.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, int code)
{
    fprintf(stderr, "%s: %s: %s\n%s%s", what, bitpress_code_name(code), bitpress_error(), bitpress_hint(), *bitpress_hint() ? "\n" : "");
    quick_exit(1); /* XRT's clean-up would wait for a device that stalled */
}

int main(int argc, char **argv)
{
    struct bitpress_options options = { .xclbin = argc > 3 ? argv[3] : NULL };
    struct bitpress_network net;
    bitpress *device = NULL;
    int code = argc < 3 ? BITPRESS_INPUT : bitpress_open(&device, &options);
    if (code || (code = bitpress_load(device, argv[1])) || (code = bitpress_self_test(device)) || (code = bitpress_network(&net, device)))
        fail(argc > 1 ? argv[1] : "usage: run_pack PACK IMAGES [XCLBIN]", code);
    size_t bytes = (size_t)(net.height * net.width * net.channels);
    enum { MOST = 1000 };
    uint8_t *pixels = malloc(MOST * bytes);
    int32_t *logits = malloc(MOST * sizeof(int32_t) * (size_t)net.classes);
    struct bitpress_image *image = malloc(MOST * sizeof *image);
    FILE *f = fopen(argv[2], "rb");
    int n = f && pixels && logits && image ? (int)fread(pixels, bytes, MOST, f) : 0;
    if ((code = bitpress_run(device, pixels, n, logits, image)))
        fail(argv[2], code);
    for (int i = 0; i < n; i++)
        printf("%d: class %d, %llu cycles\n", i, bitpress_class(logits + i * net.classes, net.classes), (unsigned long long)image[i].cycles);
    printf("p50 %llu, p99 %llu cycles\n", (unsigned long long)bitpress_cycles_percentile(image, n, 50), (unsigned long long)bitpress_cycles_percentile(image, n, 99));
    bitpress_close(device);
    free(pixels), free(logits), free(image);
    return f && fclose(f) == 0 ? 0 : 1;
}
