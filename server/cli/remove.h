/*
 * remove: content goes, from a running daemon's logs (through its admin listener) or from those of a stopped
 * one's data directory: what redact, erase and prune share.
 *
 *     remove_open ─▶ remove_from, … ─▶ remove_end     every shard that was touched is overwritten
 *
 * Each step is a transaction: interrupted anywhere, the same command can be run again, and ends it. Ctrl-C
 * waits for the end of a step (cli/interrupt), and says how far it is.
 *
 * Threads: one. What goes wrong is reported.
 */
#ifndef CLI_REMOVE_H
#define CLI_REMOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/backoff.h"
#include "cli/cli.h"
#include "cli/transport.h"
#include "store/directory.h"
#include "store/engine.h"
#include "store/snapshots.h"

#define REMOVE_LEFTOVERS_MAX 128

struct removing {
	const struct cli_options *options;

	/* One of these two. */
	struct transport *transport;
	struct directory directory;
	bool has_directory;
	struct snapshots snapshots; /* the directory's */
	int record;		    /* --record's descriptor; -1: it was not given */

	struct engine *engines[SHARDS_MAX]; /* of the directory, those that were needed */
	bool touched[SHARDS_MAX];	    /* by the first byte of logs' genesis links */
	uint64_t shards;		    /* of the daemon; 0 until it has said so */
	struct backoff backoff;
	const struct removal *removal;		     /* under way; NULL: none is */
	bool is_noted;				     /* it is in the list, or cannot be */
	enum exit_code noting;			     /* what came of that */
	uint64_t actions_total;			     /* redact: that are asked for; 0: not known */
	uint64_t logs, removed, gone_before, absent; /* all in all */
	uint64_t failed;      /* logs of prune --all from which nothing could go */
	uint64_t bad_lines;   /* of a list */
	uint64_t stayed_open; /* logs of it that have got more since they were erased */
	uint64_t kept;	      /* journal's records that have rotted, and may hold anything */
	char *leftovers[REMOVE_LEFTOVERS_MAX];
	bool in_the_way[REMOVE_LEFTOVERS_MAX]; /* of those: the content may be in it */
	size_t leftover_count;
	bool has_in_the_way; /* also where there was no room to name it */
	bool has_failed;     /* a removal from the directory has */
	bool is_incomplete;  /* of a log content may still be in the store */
	bool is_not_reached; /* set by remove_end: what must be gone may be in one of those */
};

/* By --url or --data, one of which must be given. --record can be written when this is EXIT_FINE. */
enum exit_code remove_open(struct removing *, const struct cli_options *);

/* Removes from one log, all steps of it; its log is set, and by how it is answered the rest. Its ids may be
 * NULL when they are not known. EXIT_UNVERIFIED: there is no such log, or not all of these actions, or it
 * is damaged. */
enum exit_code remove_from(struct removing *, struct removal *);

/* Each log that has a snapshot. What the visitor returns but EXIT_FINE ends it, and is returned. */
typedef enum exit_code remove_visitor(struct removing *, const char *log);
enum exit_code remove_visit(struct removing *, remove_visitor *);

/* Whether there is something to end: a log was gone through, or content went before another failed. */
bool remove_needs_end(const struct removing *, enum exit_code);

/* What files keep of it, too. EXIT_UNVERIFIED also where everything was removed, and what was put aside may have
 * content of it: is_not_reached, which is named and nothing else when what is removed may stay there (prune). */
enum exit_code remove_end(struct removing *, bool may_stay);

/* Sums it up on stdout, or with --json as an object of which `members` are the first ("\"log\":…,"). */
void remove_show(const struct removing *, const char *members);
void remove_close(struct removing *);

/* Between two steps, and two attempts at one: shows how far it is, and ends the process where that was asked for. */
void remove_look(const struct removing *);

/* After each step that was done: once it is known what to note in the list that is noted, for whoever goes on with a
 * removal that is cut off need not be this command. Where there is more it looks, too. */
void remove_step_done(struct removing *);

/* The parts of both kinds. */
enum exit_code remove_online(struct removing *, struct removal *);
enum exit_code remove_online_end(struct removing *);
enum exit_code remove_online_visit(struct removing *, remove_visitor *);
enum exit_code remove_offline(struct removing *, struct removal *);
enum exit_code remove_offline_end(struct removing *);
enum exit_code remove_offline_visit(struct removing *, remove_visitor *);
void remove_add_leftover(void *cookie, const char *path,
			 bool is_in_the_way); /* the cookie: the removing */

#endif
