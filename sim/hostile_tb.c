/* hostile_tb BOARD SEED N: N damaged programs. The device always ends: with a code, or as if nothing were wrong.
 *   check = accel_decode_check(image)
 *   check of the header (1, 2, 3, and 11 of its sizes): `load` ends with that code
 *   check 0:      the run ends with 0 in the cycle model's time
 *   other checks: the run ends with some code 4..11 or 16 (with several faults, the one it meets first); with 10 it
 *                 may also end with 0: the check wants whole maps in memory, the device what it touches; and with
 *                 16: the check wants an order that holds at any speed of the memory
 * Every other program is compiled for smaller tables, so that most of these stream, and half of these for
 * fewer activation words, so that most of them use the scratch.
 * A run that is longer than the limit ends with 13 instead. Every good program runs between damaged ones. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "sim/bpsim.h"
#include "sim/narrow.h"
#include "tests/unit/accel_nets.h"

enum { DAMAGES = 5, LIMIT = 60000, IMAGE_BYTES = 1 << 20, IMAGES = 3 };

struct job { struct hw hw; struct bpsim *sim; uint64_t seed; struct accel_program *p; uint8_t *pixels; int32_t *logits; };
struct tally { int load, run, clean, limit, scratch, parts; };

static int fail(const struct job *j, const char *what, int64_t got, int64_t want)
{
    printf("seed %" PRIu64 ": %s: got %" PRId64 ", want %" PRId64 "  (rerun: make -C sim hostile BOARD=%s SEED=%" PRIu64 " N=1)\n",
           j->seed, what, got, want, j->hw.name, j->seed);
    return 1;
}


static int run(const struct job *j, const uint64_t *image, uint32_t images, uint32_t limit, uint64_t *cycles)
{
    size_t in = BASE_MIN((uint32_t)image[4], IMAGE_BYTES), out = BASE_MIN(program_output_bytes(image), 4096);
    bpsim_poke(j->sim, REG_LIMIT, limit);
    return bpsim_run_images(j->sim, j->pixels, in, images, j->logits, out, cycles);
}

static int check_clean(const struct job *j, const uint64_t *image, int status, uint64_t cycles, struct tally *t)
{
    struct accel_cycles model;
    if (accel_model(&model, &j->hw, image, j->p->image_words))
        return fail(j, "accel_model", -1, 0);
    if (model.total >= LIMIT || status == PROGRAM_ERR_LIMIT) {
        t->limit++;
        return status == PROGRAM_ERR_LIMIT && model.total >= LIMIT ? 0 : fail(j, "status at the limit", status, PROGRAM_ERR_LIMIT);
    }
    t->clean++;
    if (status)
        return fail(j, "status of a sound program", status, 0);
    return (int64_t)cycles == model.total ? 0 : fail(j, "cycles of a sound program", (int64_t)cycles, model.total);
}

static int check_status(const struct job *j, const uint64_t *image, struct tally *t)
{
    uint64_t cycles;
    int check = accel_decode_check(&j->hw, image, j->p->image_words);
    int status = bpsim_load(j->sim, image, j->p->image_words, j->p->weights, j->p->weight_words64, NULL);
    uint64_t weights = (image[3] >> 32) * (uint64_t)(j->hw.m * j->hw.k / 64);
    if (status) {
        t->load++;
        int want = !check && weights > j->p->weight_words64 ? PROGRAM_ERR_SIZE : check;
        return status == want || (status == PROGRAM_ERR_SIZE && weights > j->p->weight_words64) ? 0 : fail(j, "load status", status, want);
    }
    /* Several images end too: what ends the first one ends the start. */
    int several = run(j, image, IMAGES, IMAGES * LIMIT, &cycles);
    bpsim_load(j->sim, image, j->p->image_words, j->p->weights, j->p->weight_words64, NULL);   /* a damaged stream may have written over it */
    status = run(j, image, 1, LIMIT, &cycles);
    if (several < 0 || (several != status && status != PROGRAM_OK && status != PROGRAM_ERR_LIMIT))
        return fail(j, "status of several images", several, status);
    if (!check)
        return check_clean(j, image, status, cycles, t);
    t->run++;
    bool code = (status >= PROGRAM_ERR_OP && status <= PROGRAM_ERR_IO) || status == PROGRAM_ERR_LIMIT ||
                status == PROGRAM_ERR_STREAM || (status == 0 && (check == PROGRAM_ERR_ACT || check == PROGRAM_ERR_STREAM));
    return code ? 0 : fail(j, "status of a damaged program", status, check);
}

/* EARLY in any layer record, flags of one, or bits, bytes or words, mostly in the tables that steer (maps, layers, K-words) and in the stream. */
static void damage(const struct job *j, uint64_t *image, struct base_rng *rng)
{
    size_t stream = (size_t)(image[5] & 0xffffffffu), tables = PROGRAM_HEADER_WORDS + (image[2] >> 16 & 0xffff) * PROGRAM_MAP_WORDS + (image[2] & 0xffff) * PROGRAM_LAYER_WORDS +
                    (image[2] >> 32 & 0xffff) * PROGRAM_KWORD_WORDS;
    size_t layers = image[2] & 0xffff, layer0 = PROGRAM_HEADER_WORDS + (image[2] >> 16 & 0xffff) * PROGRAM_MAP_WORDS;
    for (size_t i = 0, odds = base_rng_below(rng, 4); odds > 1 && i < layers; i++)
        image[layer0 + i * PROGRAM_LAYER_WORDS] |= base_rng_below(rng, (uint32_t)odds) ? 0 : PROGRAM_LY_EARLY << 8;
    for (uint32_t n = base_rng_below(rng, 4); n--;) {
        size_t first = base_rng_below(rng, 8) ? PROGRAM_HEADER_WORDS : 2;
        size_t end = base_rng_below(rng, 12) ? tables : j->p->image_words;
        if (stream < j->p->image_words && base_rng_below(rng, 2))
            first = stream, end = base_rng_below(rng, 2) ? BASE_MIN(stream + 16, j->p->image_words) : j->p->image_words;
        uint64_t *w = &image[first + base_rng_below(rng, (uint32_t)(end - first))];
        if (base_rng_below(rng, 16) == 0) {
            size_t at = layer0 + base_rng_below(rng, (uint32_t)layers) * PROGRAM_LAYER_WORDS;
            if (at < j->p->image_words)
                image[at] ^= 1ull << (8 + base_rng_below(rng, 6));
            continue;
        }
        switch (base_rng_below(rng, 4)) {
        case 0: *w ^= 1ull << base_rng_below(rng, 64); break;
        case 1: *w ^= 1ull << 8 * base_rng_below(rng, 8); break;
        case 2: *w = (*w & ~(0xffull << 8 * (n % 8))) | base_rng_u64(rng) << 56 >> 8 * base_rng_below(rng, 8); break;
        default: *w = base_rng_below(rng, 4) ? image[PROGRAM_HEADER_WORDS + base_rng_below(rng, (uint32_t)(tables - PROGRAM_HEADER_WORDS))]
                                             : base_rng_u64(rng);
        }
    }
}

static int run_seed(struct job *j, struct tally *t)
{
    struct base_rng rng;
    base_rng_seed(&rng, j->seed);
    struct fixed_net *net = nets_random(j->seed, 12, 40);
    struct hw small = j->hw;
    small.weight_depth = 32;
    small.coef_depth = 256;
    small.kword_depth = 32;
    small.map_depth = 8;
    int rc = j->seed % 4 == 1 ? compile_narrow(&j->p, net, &small) : accel_compile(&j->p, net, j->seed % 2 ? &small : &j->hw);
    fixed_net_free(net);
    if (rc)
        return 0;
    t->scratch += j->p->scratch_bytes > 0;
    t->parts += j->p->image[0] >> 48 == 4;
    uint64_t *image = malloc(j->p->image_words * 8);
    for (int i = 0; i < DAMAGES && !rc; i++) {
        memcpy(image, j->p->image, j->p->image_words * 8);
        damage(j, image, &rng);
        rc = check_status(j, image, t);
    }
    if (!rc && bpsim_load(j->sim, j->p->image, j->p->image_words, j->p->weights, j->p->weight_words64, NULL))
        rc = fail(j, "load after damage", 1, 0);
    uint64_t cycles;
    if (!rc && run(j, j->p->image, 1, 0, &cycles))
        rc = fail(j, "run after damage", 1, 0);
    const char *what;
    if (!rc && bpsim_violations(j->sim, &what)) {
        printf("%s: ", what);
        rc = fail(j, "AXI breaches", 1, 0);
    }
    free(image);
    accel_program_free(j->p);
    return rc;
}

int main(int argc, char **argv)
{
    struct job j = { .pixels = malloc(IMAGES * IMAGE_BYTES), .logits = malloc(IMAGES * 4096) };
    if (argc < 4 || hw_load(&j.hw, argv[1])) {
        fprintf(stderr, "usage: hostile_tb BOARD SEED N\n");
        return 2;
    }
    struct bpsim_options opt = {
        .read_latency = j.hw.read_latency, .write_latency = j.hw.write_latency,
        .port_gbytes_s = j.hw.port_gbytes_s, .clock_mhz = j.hw.clock_mhz,
    };
    j.sim = bpsim_open(&opt);
    for (int i = 0; i < IMAGES * IMAGE_BYTES; i++)
        j.pixels[i] = (uint8_t)(i * 7);
    struct tally t = { 0 };
    uint64_t seed = strtoull(argv[2], NULL, 10);
    int n = atoi(argv[3]), bad = 0;
    for (int i = 0; i < n && bad < 5; i++) {
        j.seed = seed + (uint64_t)i;
        bad += run_seed(&j, &t);
    }
    printf("damaged programs: %d ended in load, %d in run, %d ran to the end, %d to the limit; of %d %d with scratch, %d with lists in parts; %d failed\n", t.load, t.run,
           t.clean, t.limit, n, t.scratch, t.parts, bad);
    bpsim_close(j.sim);
    free(j.pixels);
    free(j.logits);
    return bad || !t.run || !t.clean;
}
