/* pack: the weight pack on disk (*.bpk). Format: docs/formats.md. Level 2: integer network,
 * opaque sections for program and weights (compiled by accel), recipe text, provenance. */
#ifndef PACK_H
#define PACK_H

#include "fixed/fixed.h"

struct pack {
    struct base_arena *arena;
    struct fixed_net *net;                       /* owned */
    /* Compiled image for one array, may be absent (board = "") */
    char board[32]; uint64_t hw_hash;
    uint64_t *program; size_t program_words;
    uint64_t *weights; size_t weight_words;
    /* Self-test: one image, its logits */
    uint8_t *test_pixels; size_t test_pixel_bytes; int32_t *test_logits;
    const char *recipe;                          /* YAML text */
    const char *origin;                          /* JSON text: model, data, seed, tool version */
};

int pack_write(const struct pack *p, const char *path);      /* atomic */
int pack_read(struct pack **out, const char *path);          /* survives any corruption with a clear error */
void pack_free(struct pack *p);
size_t pack_weight_bytes(const struct fixed_net *net);       /* integer weights, bit-plane packed: what "size" means */
int pack_export_c(const struct pack *p, const char *path);   /* a C header with the same sections */
struct pack_section_info { char name[8]; uint64_t offset, bytes; uint32_t crc; };
int pack_info(const char *path, struct pack_section_info *out, int max, int *n, int *major, int *minor);

#endif
