/*
 * remove_list: what was removed, kept as a list outside the store: a backup that is restored has it again.
 *
 *     {"log":"alice","seq":17,"id":"…"}                                    an action
 *     {"log":"bob","erased":true,"seq":40,"stateHash":"…","erasedAt":…}    a log: its actions up to its head
 *     {"log":"bob","reopened":true}                                        it takes actions again
 *
 * NDJSON; the same line twice does no harm. Whether a log is erased in the end says the last of its lines.
 *
 * Threads: one. What goes wrong is reported.
 */
#ifndef CLI_REMOVE_LIST_H
#define CLI_REMOVE_LIST_H

#include "cli/cli.h"
#include "store/engine.h"

/* A descriptor to be appended to; the file is made where it is not. -1: it cannot be written. */
int remove_list_open(const char *path);

/* Appends what a removal took, or that it opened a log again; synced, and while other processes wait. Its ids are
 * known, and the head. What an earlier one was cut off in gets a line of its own. EXIT_LOCAL: it cannot be written. */
enum exit_code remove_list_append(int, const struct removal *);

/* is_last: no later line erases the log. */
typedef enum exit_code remove_list_visitor(void *cookie, struct removal *, bool is_last);

struct remove_list_order {
	const char *path; /* a file, which is read twice */
	size_t max;	  /* of one log's actions at a time */
	remove_list_visitor *visit;
	void *cookie;
};

/* Visits what the lines of a list say, in their order: REMOVE_ACTIONS, REMOVE_ALL with what was erased, and
 * REMOVE_NOTHING for logs that are open in the end. What the visitor returns but EXIT_FINE ends it, unless it is
 * EXIT_UNVERIFIED. *bad: lines that cannot be read; each is reported, and the others are visited. */
enum exit_code remove_list_read(const struct remove_list_order *, uint64_t *bad);

#endif
