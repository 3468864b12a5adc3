/* pack: the weight pack on disk (*.bpk). Format: docs/formats.md. Level 2: integer network,
 * opaque sections for program and weights (compiled by accel), recipe text, provenance.
 *
 * A file is checked as a whole before anything is taken from it: header, table and every section
 * have a CRC-32C, gaps must be zero, and no size is believed before it is compared with
 * the bytes that are there. What pack_read returns is the caller's, ended by pack_free.
 */
#ifndef PACK_H
#define PACK_H

#include "fixed/fixed.h"

enum {
    PACK_MAJOR = 1, PACK_MINOR = 1,
    PACK_MAX_BYTES = 256 << 20,                  /* of a file */
    PACK_MAX_WEIGHTS = 32 << 20,                 /* weights of a network, planes of zeros and ones included */
    PACK_MAX_ELEMENTS = 64 << 20,                /* values in all maps of one image */
    PACK_MAX_SECTIONS = 64,
};

struct pack {
    struct base_arena *arena;                    /* owns the arrays and texts below; pack_write ignores it */
    struct fixed_net *net;                       /* owned */
    /* Compiled image for one array, may be absent (board = "", no program) */
    char board[32]; uint64_t hw_hash;
    uint64_t *program; size_t program_words;
    uint64_t *weights; size_t weight_words;
    /* Self-test: one image [h][w][c], its logits [classes]; may be absent (NULL) */
    uint8_t *test_pixels; size_t test_pixel_bytes; int32_t *test_logits;
    const char *recipe;                          /* YAML text; NULL is written as none and read as "" */
    const char *origin;                          /* JSON text: model, data, seed, tool version; the same */
};

/* Atomic. BASE_INPUT for a network that fixed_check refuses or that is over a limit above. */
int pack_write(const struct pack *p, const char *path);
/* The file's bytes, added to `out`, which the caller ends whatever comes back; `name` stands for the file in messages. */
int pack_bytes(struct base_text *out, const struct pack *p, const char *name);
/* BASE_INPUT names the file, the section and a remedy: damage of any kind, a newer major version. */
int pack_read(struct pack **out, const char *path);
/* The same from memory; `name` stands for the file in messages. */
int pack_parse(struct pack **out, const uint8_t *bytes, size_t len, const char *name);
void pack_free(struct pack *p);
size_t pack_term_bytes(const struct fixed_term *t);          /* of one term */
size_t pack_weight_bytes(const struct fixed_net *net);       /* integer weights, bit-plane packed: what "size" means */
/* A C header with the same sections; its identifiers begin with the file's name up to the dot. */
int pack_export_c(const struct pack *p, const char *path);
struct pack_section_info { char name[8]; uint64_t offset, bytes; uint32_t crc; };
/* The section table as it stands in the file, sections unread: out[0 .. min(max, *n)). */
int pack_info(const char *path, struct pack_section_info *out, int max, int *n, int *major, int *minor);

#endif
