/* pack_parse: the bytes as they are, and once more as sections whose places and checksums are right, since
 * no mutation finds a CRC by chance. What is accepted must be measurable, and runs if it is small. */
#include "fuzz.h"

#include "pack/pack.h"

enum { HEADER = 64, ENTRY = 32, MOST = 12 };

static void put(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    while (n--)
        v = v << 8 | p[n];
    return v;
}

/* Sections keep their names and, as far as bytes reach, their lengths. */
static uint8_t *mend(const uint8_t *bytes, size_t len, size_t *out)
{
    size_t n = get(bytes + 12, 4) % (MOST + 1), from = HEADER + ENTRY * n, to = from;
    if (len < from)
        return NULL;
    uint8_t *f = calloc(1, len + 64 * (n + 1));
    memcpy(f, bytes, from);
    for (size_t i = 0; i < n; i++) {
        uint8_t *e = f + HEADER + ENTRY * i;
        from = BASE_MIN((from + 63) / 64 * 64, len);
        to = (to + 63) / 64 * 64;
        size_t want = get(e + 16, 8), have = len - from, size = want < have ? want : have;
        memcpy(f + to, bytes + from, size);
        put(e + 8, to, 8);
        put(e + 16, size, 8);
        put(e + 24, base_crc32c(0, f + to, size), 4);
        from += size;
        to += size;
    }
    put(f + 12, n, 4);
    put(f + 16, to, 8);
    put(f + 56, base_crc32c(0, f + HEADER, ENTRY * n), 4);
    put(f + 60, base_crc32c(0, f, 60), 4);
    *out = to;
    return f;
}

/* Adds per image, bounded: networks that take seconds are slow and no fault. */
static bool is_small(const struct fixed_net *n)
{
    double work = 0;
    for (int i = 0; i < n->n_layer; i++)
        for (int k = 0; k < BASE_MAX(n->layer[i].n_term, 1); k++) {
            const struct fixed_layer *l = &n->layer[i];
            const struct fixed_term *t = &l->term[k];
            work += (double)l->h * l->w * BASE_MAX(t->cout, 1) * t->kh * t->kw * BASE_MAX(t->cin, 1) * 128;
        }
    for (int e = 0; e < n->n_edge; e++)
        work += (double)n->edge[e].h * n->edge[e].w * n->edge[e].c;
    return work < 3e6;
}

static void use(struct pack *p)
{
    FUZZ_DEMAND(pack_weight_bytes(p->net) <= (size_t)PACK_MAX_WEIGHTS * 2);
    if (is_small(p->net)) {
        const struct fixed_edge *in = &p->net->edge[0];
        uint8_t *pixels = calloc((size_t)in->h * (size_t)in->w, (size_t)in->c);
        int32_t *logits = calloc((size_t)p->net->classes, 4);
        struct qref *q = qref_new(p->net, NULL);
        FUZZ_DEMAND(q && !qref_run(q, p->test_pixels ? p->test_pixels : pixels, 1, logits));
        qref_free(q);
        free(pixels);
        free(logits);
    }
    pack_free(p);
}

static void try(const uint8_t *bytes, size_t len)
{
    struct pack *p;
    int rc = pack_parse(&p, bytes, len, "fuzz.bpk");
    FUZZ_DEMAND(!rc == !!p);
    fuzz_result(rc);
    if (!rc)
        use(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    try(bytes, len);
    size_t n;
    uint8_t *mended = len >= HEADER ? mend(bytes, len, &n) : NULL;
    if (mended) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, mended, n);
        try(exact, n);
        free(exact);
        free(mended);
    }
    return 0;
}
