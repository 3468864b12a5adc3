/* frame: the messages between an optimizer and an accelerator elsewhere, as they go over a pipe. docs/remote.md.
 *
 *   magic "BPRM", u16 version, u16 kind, u32 number, u32 bytes, u32 CRC-32C of the bytes, u32 CRC-32C of these 20; the bytes
 *
 * Little-endian. A length is believed once the head's checksum is right and the kind allows it; memory grows with
 * what arrives. The head's layout is the same in all versions.
 */
#ifndef DEVICE_FRAME_H
#define DEVICE_FRAME_H

#include "base/base.h"

enum { FRAME_VERSION = 1, FRAME_HEAD = 24, FRAME_MAX_TEXT = 4096 };

enum frame_kind {
    FRAME_HELLO = 1,  /* board: u64 array hash, u8 frame_source, board's name (1..31 bytes) */
    FRAME_HAVE,       /* host: u64 pack hash: READY if it is there, else NEED */
    FRAME_NEED,       /* board: nothing */
    FRAME_PACK,       /* host: u64 pack hash, the pack's bytes: READY */
    FRAME_READY,      /* board: u64 pack hash, u64 load cycles, u32 bytes of an image, u32 classes */
    FRAME_RUN,        /* host: u32 images, their pixels: RESULT, of the pack made ready last */
    FRAME_RESULT,     /* board: an image: u64 cycles, u64 nanoseconds, i32 logits; then u64 cycles, u32 layers, u32 cycles of each, 15 u32 (units: run, stall, idle) */
    FRAME_FAILED,     /* board: i32 base_code, message NUL hint NUL; the number is the request's */
    FRAME_KINDS
};

/* Where a board's results come from: the accelerator, XRT's emulation of it, or the reference and the cycle model in C. */
enum frame_source { FRAME_BOARD, FRAME_EMULATED, FRAME_MODEL, FRAME_SOURCES };

struct frame {
    enum frame_kind kind;
    uint32_t number;           /* of the request, the same in its answer */
    const uint8_t *bytes;      /* within the reader, until the next call */
    size_t n;
};

/* What has arrived and was not taken yet. */
struct frame_reader { struct base_text in; size_t taken; };

/* More bytes from the other side. BASE_NOMEM. */
int frame_feed(struct frame_reader *r, const void *bytes, size_t n);
/* The next whole frame: 1; 0: more bytes are needed; BASE_INPUT: these are no frames, or of another version. */
int frame_next(struct frame_reader *r, struct frame *out);
void frame_reader_free(struct frame_reader *r);

/* A frame of one or two parts, added to `out` (out->failed on lack of memory). */
void frame_add(struct base_text *out, enum frame_kind kind, uint32_t number, const void *a, size_t a_bytes, const void *b, size_t b_bytes);

/* Little-endian numbers of n bytes; take moves *at on, false where fewer are left. */
void frame_put(struct base_text *t, uint64_t v, int n);
bool frame_take(struct frame *f, int n, uint64_t *v);

#endif
