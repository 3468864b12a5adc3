/* What the files of base share among themselves; nobody else includes it. */
#ifndef BASE_INTERNAL_H
#define BASE_INTERNAL_H

#include "base/base.h"

enum { BASE_ERROR_LEN = 8192, BASE_HINT_LEN = 512 };

/* The message and hint of one thread, so that a pool can carry them to its caller. */
struct base_error_state {
    char message[BASE_ERROR_LEN];
    char hint[BASE_HINT_LEN];
};
void base_error_save(struct base_error_state *out);
void base_error_restore(const struct base_error_state *in);

bool base_log_is_quiet(void);
/* A progress bar occupies the last terminal line: messages must clear it first. */
void base_log_bar(bool open);

/* CRC-32C without the processor's instruction; base_crc32c must equal it. */
uint32_t base_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
