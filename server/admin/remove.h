/*
 * remove: the requests by which content goes (edgereplay redact, erase, prune), for one log each.
 *
 *     POST /redact     {"log":"…","seqs":[17,18]}, or "actions":[{"seq":17,"id":"…"}] of a kept list
 *     POST /prune      {"log":"…","before":1000,"receivedBefore":1790000000000}: content before that seq, of
 *                      actions received before that time (both are optional), as far as a snapshot of the
 *                      log stands for it, unless there is "withoutSnapshot":true and one of the two
 *     POST /erase      {"log":"…"}: all content; the log answers 410 from then on, also one that is not there.
 *                      Of a kept list also "seq", "stateHash", "receivedBefore": nothing that came later;
 *                      "reopened":true: the log stays as it is
 *     POST /reopen     {"log":"…"}: an erased log takes actions again
 *     POST /overwrite  {"shard":0}: what files keep of what is gone
 *
 *     begin ─▶ body ─▶ park ─▶ the shard's writer: a step ─▶ resume ─▶ 200 with "more", or a problem
 *
 * The first three overwrite at their end, unless the body says "overwrite":false: so does who removes much,
 * and overwrites once. While "more" is true the same is to be sent again, and nothing is overwritten yet.
 * The body's media type keeps web pages out (admin/backups.h).
 * "leftovers" are files beside the shards that may hold content too, and belong to the operator (leftovers);
 * "inTheWay" those of them that may hold what was just removed (put_aside). Who overwrites last is told of all of them;
 * where there is more, of none.
 *
 * Private to this room. Threads: the listener's; done() runs on a shard's writer.
 */
#ifndef ADMIN_REMOVE_H
#define ADMIN_REMOVE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/request.h"

struct admin;

#define REMOVE_BODY_SIZE_MAX ((size_t)128 * 1024)
#define REMOVE_SEQS_MAX 1000

void remove_redact(struct admin *, struct request *);
void remove_prune(struct admin *, struct request *);
void remove_erase(struct admin *, struct request *);
void remove_reopen(struct admin *, struct request *);
void remove_overwrite(struct admin *, struct request *);

#endif
