/*
 * wire: JSON <-> structs of the protocol, strict and bounded. No HTTP, no store.
 *
 * Decoding is one pass over the body, in place: the batch's texts point into it. Faults are
 * reported by the order of protocol section 5: MALFORMED anywhere in the body comes before
 * BATCH_TOO_LARGE, that before PAYLOAD_TOO_LARGE.
 */
#ifndef API_WIRE_H
#define API_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"
#include "chain/batch.h"
#include "store/engine.h"

#define WIRE_PULL_DEFAULT 500

struct wire_limits {
	size_t payload_bytes;
	size_t batch_actions;
};

/* What is wrong with a body. */
struct wire_fault {
	enum status status;
	char detail[256]; /* what, where (line and column, or the member's path), what is allowed */
	bool has_index;
	size_t index; /* the action at fault */
	bool has_limit;
	size_t limit;
};

/*
 * Decodes a sync request's body. log is already decoded and valid. The body is changed in place and
 * must live as long as the batch. STATUS_OK, or *fault says what (MALFORMED, BATCH_TOO_LARGE,
 * PAYLOAD_TOO_LARGE; INTERNAL when memory is out).
 */
MUST_CHECK enum status wire_read_sync(char *body, size_t size, struct text log,
				      const struct wire_limits *, struct arena *, struct batch *,
				      struct wire_fault *);

/* Most bytes that wire_read_sync takes from its arena. */
size_t wire_arena_bytes(const struct wire_limits *);

/* Member values: a quoted hash; a position as {"seq":…,"stateHash":"…"}. */
void wire_write_hash(struct buffer *, const struct hash *);
void wire_write_position(struct buffer *, const struct position *);

/* ,"drift":{…}; nothing when all agree. */
void wire_write_drift(struct buffer *, uint64_t seq, const struct drift *);

/* One action as pages, streams and `missed` show it; meta adds id, link, receivedAt and, if known,
 * writer. */
void wire_write_row(struct buffer *, const struct row *, bool meta);

#endif
