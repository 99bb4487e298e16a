/*
 * wire_reader: what each step of reading a body needs: the text, where in the document it stands,
 * the fault.
 *
 * Where it stands is kept as scope, index and member, from which a fault makes the member's path.
 * Functions that return bool return false after setting the fault: then the reading ends.
 *
 * Threads: a reader is on one function's stack.
 */
#ifndef API_WIRE_READER_H
#define API_WIRE_READER_H

#include "api/json.h"
#include "api/wire.h"

struct reader {
	struct json json;
	const struct wire_limits *limits;
	struct arena *arena;
	struct batch *batch;
	struct wire_fault *fault;

	size_t capacity;       /* of batch->actions */
	size_t actions;	       /* seen, also those over the limit, which are not kept */
	size_t without_device; /* the first action that names no device; SIZE_MAX: none */
	struct text device;    /* of the batch; data is NULL when there is none */
	bool has_state_hash;
	struct state_report state;

	const char *scope; /* "actions", "locator", or NULL at the top */
	size_t index;
	const char *member; /* static, or NULL */
};

/* A fault in what the text means. Returns false. */
bool reader_malformed(struct reader *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A fault in the text itself, which the json reader found. Returns false. */
bool reader_syntax(struct reader *);

/* Notes that something is too large, and goes on: a malformed part behind it comes first. Of two
 * the smaller status stays, of one status the first. */
void reader_too_large(struct reader *, enum status, size_t limit, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The fault's index, when it stands in an action. */
void reader_set_index(struct reader *);

/* The next value is of that kind; nothing is consumed. rule: "must be a string". */
bool reader_expect(struct reader *, enum json_kind, const char *rule);
bool reader_string(struct reader *, struct text *);
bool reader_integer(struct reader *, uint64_t min, uint64_t max, uint64_t *);
bool reader_hash(struct reader *, struct hash *);
bool reader_device(struct reader *, struct text *);

/* Which of the known members this is, once each; sets reader->member. -1: a fault was set. */
int reader_member(struct reader *, struct text name, const struct text *known, size_t count,
		  unsigned *seen);

/* The member `state`, into reader->state. */
bool reader_state(struct reader *);

/* All wanted members (a bit each) were seen. */
bool reader_require(struct reader *, const struct text *known, unsigned seen, unsigned wanted);

#endif
