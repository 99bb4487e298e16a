/*
 * ready: whether traffic should be sent here, and if not, why.
 *
 *     {"ready":false,"reasons":[{"code":"SHARD_DOWN","detail":"…"}],"warnings":[…]}
 *
 * Reasons: STARTING and DRAINING; SHARD_DOWN (it tries again) and SHARD_REFUSED (only an operator can
 * help), since a part of the logs is not served; LOW_SPACE (store/free_space), since nothing is written.
 * Who would rather have the other shards, or reads, served asks with
 * ?exclude=SHARD_DOWN,SHARD_REFUSED,LOW_SPACE; what is excluded is a warning. So is LOGS_DAMAGED always: those logs
 * say so themselves, and taking the daemon away would take every other log with them.
 *
 * Private to this room. Threads: any.
 */
#ifndef ADMIN_READY_H
#define ADMIN_READY_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/text.h"

struct admin;

/* False: the query is not understood. */
bool ready_look(struct admin *, struct text query, struct buffer *out, bool *ready);

/* Without the words. */
bool ready_is(struct admin *);

#endif
