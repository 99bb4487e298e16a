/*
 * log: structured lines on stderr, one an event.
 *
 *     log_info("store", "shard opened", LOG_U64("shard", 3), LOG_STR("file", path));
 *     → time=2026-11-22T18:04:08.123Z level=info room=store event="shard opened" shard=3 file=…
 *
 * or the same as one JSON object a line. Values are escaped; a line is written with one write() and
 * is bounded (LOG_LINE_SIZE, longer values are cut and marked with "…").
 *
 * Rate limit: events that a client can cause go through log_limited, which lets LOG_BURST lines per
 * event (its call site) and second through and then says how many it held back.
 *
 * A text field without data (NULL) is left out.
 *
 * Threads: all functions from any thread. The daemon's only globals are in this folder: this, what is
 * counted (metrics, tally), the time that was last shown (clock) and the hash tables' key (map).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define LOG_LINE_SIZE 4096
#define LOG_BURST 10

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum log_field_kind { LOG_FIELD_TEXT, LOG_FIELD_U64, LOG_FIELD_I64 };

struct log_field {
	const char *key;
	enum log_field_kind kind;
	struct text text;
	uint64_t u64;
	int64_t i64;
};

#define LOG_TEXT(k, t) ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .text = (t)})
#define LOG_STR(k, s) LOG_TEXT(k, text_of(s))
#define LOG_U64(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_U64, .u64 = (v)})
#define LOG_I64(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_I64, .i64 = (v)})

/* May be called again at any time (SIGHUP). Before the first call: info, logfmt. */
void log_configure(enum log_level, enum log_format);
bool log_enabled(enum log_level);

/* The level alone; its word: debug, info, warn, error; and the level of a word. */
void log_set_level(enum log_level);
const char *log_level_word(void);
bool log_level_find(struct text word, enum log_level *);

void log_write(enum log_level, const char *room, const char *event, const struct log_field *fields,
	       size_t count);

/* One per call site, static. */
struct log_limit {
	uint64_t second; /* guarded by the logger's lock */
	uint64_t let_through;
	uint64_t held_back;
};

void log_write_limited(struct log_limit *, enum log_level, const char *room, const char *event,
		       const struct log_field *fields, size_t count);

#define LOG_EVENT(level, room, event, ...)                                                         \
	do {                                                                                       \
		if (log_enabled(level)) {                                                          \
			const struct log_field log_fields_[] = {__VA_ARGS__};                      \
			log_write(level, room, event, log_fields_,                                 \
				  sizeof(log_fields_) / sizeof(log_fields_[0]));                   \
		}                                                                                  \
	} while (0)

/* Each takes at least one field. */
#define log_debug(room, event, ...) LOG_EVENT(LOG_DEBUG, room, event, __VA_ARGS__)
#define log_info(room, event, ...) LOG_EVENT(LOG_INFO, room, event, __VA_ARGS__)
#define log_warn(room, event, ...) LOG_EVENT(LOG_WARN, room, event, __VA_ARGS__)
#define log_error(room, event, ...) LOG_EVENT(LOG_ERROR, room, event, __VA_ARGS__)

#define log_limited(level, room, event, ...)                                                       \
	do {                                                                                       \
		if (log_enabled(level)) {                                                          \
			static struct log_limit log_limit_;                                        \
			const struct log_field log_fields_[] = {__VA_ARGS__};                      \
			log_write_limited(&log_limit_, level, room, event, log_fields_,            \
					  sizeof(log_fields_) / sizeof(log_fields_[0]));           \
		}                                                                                  \
	} while (0)

#endif
