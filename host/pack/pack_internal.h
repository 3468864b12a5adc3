/* What writing, reading and exporting share: layout, little-endian fields, sections. */
#ifndef PACK_INTERNAL_H
#define PACK_INTERNAL_H

#include <string.h>

#include "pack/pack.h"

/* Header: magic 0, major 8, minor 10, sections 12, file bytes 16, reserved 24..55, CRC of the table 56,
 * CRC of the header 60. Its layout is for ever; the rest may change with the major version. */
#define PACK_MAGIC "\x89" "BPK\r\n\x1a\n" /* not text, and damaged by what treats it as text */
enum { PACK_HEADER = 64, PACK_ENTRY = 32, PACK_ALIGN = 64, PACK_MAX_NAME = 4096 };

enum pack_section {
    PACK_NET, PACK_PLANES, PACK_BOARD, PACK_PROGRAM, PACK_WEIGHTS, PACK_TEST, PACK_RECIPE, PACK_ORIGIN,
    PACK_SECTIONS
};
extern const char pack_section_name[PACK_SECTIONS][8];

/* ---- little-endian fields -------------------------------------------------- */

static inline void pack_put(struct base_text *t, uint64_t v, int bytes)
{
    uint8_t b[8];
    for (int i = 0; i < bytes; i++)
        b[i] = (uint8_t)(v >> 8 * i);
    base_text_add_bytes(t, b, (size_t)bytes);
}

static inline uint64_t pack_little_endian(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* Bytes yet to be read. Reading past the end gives zeros and sets `ended`. */
struct pack_source { const uint8_t *p; size_t left; bool ended; };

static inline const uint8_t *pack_take(struct pack_source *s, size_t n)
{
    if (s->left < n) {
        s->ended = true;
        return NULL;
    }
    const uint8_t *p = s->p;
    s->p += n;
    s->left -= n;
    return p;
}

static inline uint64_t pack_get(struct pack_source *s, int bytes)
{
    const uint8_t *p = pack_take(s, (size_t)bytes);
    return p ? pack_little_endian(p, bytes) : 0;
}

static inline int32_t pack_get_i32(struct pack_source *s) { return (int32_t)(uint32_t)pack_get(s, 4); }

/* ---- parts ----------------------------------------------------------------- */

/* planes.c: how a plane of a term is stored. */
enum pack_plane {
    PACK_PLANE_ZEROS,   /* nothing stored */
    PACK_PLANE_ONES,    /* nothing stored */
    PACK_PLANE_ALL,     /* one bit a weight */
    PACK_PLANE_ROWS,    /* one bit an output channel, then the weights of those whose bit is 1 */
    PACK_PLANE_WEIGHTS, /* one bit for each weight whose code is not 0; the term's map of them stands before its first such plane */
    PACK_PLANE_RUNS,    /* the same by runs of 16 weights */
    PACK_PLANE_TABLE,   /* nothing stored: the planes in front number the codes of a table, which stands before them */
    PACK_PLANE_KINDS
};
static inline int64_t pack_row(const struct fixed_term *t) { return (int64_t)t->kh * t->kw * t->cin; }
/* The kinds that take the fewest bytes; how many. */
size_t pack_plane_kinds(uint8_t kind[FIXED_MAX_PLANES], const struct fixed_term *t);
void pack_planes_put(struct base_text *to, const struct fixed_term *t, const uint8_t *kind);
/* Adds the planes, of known kinds, to t->code, all 0. NULL, or what is wrong with them. */
const char *pack_planes_get(struct pack_source *from, struct fixed_term *t, const uint8_t *kind);

/* net.c: the network as bytes: structure and, apart, its weight planes. */
void pack_net_put(struct base_text *net, struct base_text *planes, const struct fixed_net *n);
/* `newer`: of a newer minor version, which may have appended fields. */
int pack_net_get(struct fixed_net **out, struct pack_source *net, struct pack_source *planes, bool newer, const char *name);
/* BASE_INPUT unless the network keeps the limits that a reader trusts in. */
int pack_net_limits(const struct fixed_net *n);

/* write.c: contents of every section; those that are absent stay empty with present[] false. */
struct pack_contents { struct base_text bytes[PACK_SECTIONS]; bool present[PACK_SECTIONS]; };
int pack_contents_make(struct pack_contents *c, const struct pack *p, const char *path);
void pack_contents_free(struct pack_contents *c);

/* BASE_INPUT: `name: section 'what': message`, with the remedy for a damaged file. */
int pack_damaged(const char *name, enum pack_section section, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
