/* rpc: the messages of XRT's hardware emulation (common_em/rpc_messages.proto): proto2 fields in the wire
 * format, behind a head of two fixed fields. docs/xrt.md. */
#ifndef SIMDEV_RPC_H
#define SIMDEV_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rpc_call {
    RPC_CLOSE = 1, RPC_ALLOC = 4, RPC_FREE = 5, RPC_TO_DEVICE = 6, RPC_FROM_DEVICE = 7, RPC_WRITE_RAM = 8, RPC_WRITE_REGISTER = 9,
    RPC_READ_RAM = 10, RPC_READ_REGISTER = 11, RPC_TRACE = 16, RPC_TIMESTAMP = 17, RPC_MESSAGES = 19, RPC_ENVIRONMENT = 20,
};

enum { RPC_CALL_HEAD = 14, RPC_ANSWER_HEAD = 9, RPC_FIELDS = 16, RPC_MAX_BYTES = 64 << 20 };

/* The last value of each field of a call; for bytes `at` points into the call and value is their number. */
struct rpc_field { uint64_t value; const uint8_t *at; };
struct rpc_fields { struct rpc_field f[RPC_FIELDS]; };

/* False: no head of a call, or a length beyond RPC_MAX_BYTES. */
bool rpc_parse_head(const uint8_t head[RPC_CALL_HEAD], uint32_t *call, uint32_t *bytes);
void rpc_write_head(uint8_t head[RPC_CALL_HEAD], uint32_t call, uint64_t bytes);
/* False: cut or unknown fields. */
bool rpc_parse(struct rpc_fields *out, const uint8_t *p, size_t n);

/* An answer under construction. `failed`: out of memory. */
struct rpc_answer { uint8_t *p; size_t n, cap; bool failed; };
void rpc_begin(struct rpc_answer *a);                     /* empties it, leaves room for the head */
void rpc_add_number(struct rpc_answer *a, int field, uint64_t value);
/* Room for n bytes, to be filled at once; NULL: out of memory. */
uint8_t *rpc_add_bytes(struct rpc_answer *a, int field, size_t n);
void rpc_end(struct rpc_answer *a);                       /* writes the head */

#endif
