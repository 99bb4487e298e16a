/*
 * backups: copies of shards, which the tool has made (edgereplay backup):
 *
 *     POST   /backup?shard=0   {"to":"/folder/shard-00.db","rate":33554432}   202: it begins
 *     GET    /backup?shard=0   {"shard":0,"shards":1,"directory":"/data","state":"running","bytes":…,
 *                              "bytesTotal":…,"commits":…}
 *     DELETE /backup?shard=0   gives it up
 *
 * state: none, running, done, failed (then problem says why, and again whether one that begins now may end:
 * content was removed from the shard). Who does not ask for BACKUP_PATIENCE_MSEC
 * (store/engine.h) does not want it any more. The body's media type keeps web pages out: they would have to
 * ask first (CORS), and nobody answers.
 *
 * Private to this room. Threads: any.
 */
#ifndef ADMIN_BACKUPS_H
#define ADMIN_BACKUPS_H

#include "base/mem.h"
#include "http/request.h"

#define BACKUP_BODY_MAX ((size_t)16 * 1024)

struct admin;

/* Writes what the answer is into out; else says why not, with *detail or what the status says. */
MUST_CHECK enum status backups_serve(struct admin *, struct request *, struct buffer *out,
				     const char **detail);

#endif
