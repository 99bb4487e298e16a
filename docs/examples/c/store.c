#include "store.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_BYTES (256 << 10)
#define AHEAD_MSEC_MAX 300000 /* section 7, "Stamps" */

static const char schema[] =
	"CREATE TABLE about (log TEXT, device TEXT, offset_msec INTEGER);"
	"CREATE TABLE confirmed (seq INTEGER PRIMARY KEY, device TEXT, ts INTEGER, type TEXT,"
	" payload TEXT, digest BLOB, link BLOB);"
	"CREATE INDEX confirmed_stamps ON confirmed (device, ts);"
	"CREATE TABLE queue (place INTEGER PRIMARY KEY, device TEXT, ts INTEGER, type TEXT,"
	" payload TEXT, digest BLOB, again INTEGER);"
	"CREATE TABLE aside (device TEXT, ts INTEGER, type TEXT, payload TEXT, why TEXT);";

/* --- SQLite, in three words --- */

static void
check(struct store *store, int code)
{
	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return;
	fprintf(stderr, "the state file: %s\n", sqlite3_errmsg(store->db));
	exit(4);
}

/* types has a letter a value: i int64_t, t text, j a JSON string or null, h a hash. */
static sqlite3_stmt *
prepare(struct store *store, const char *sql, const char *types, va_list values)
{
	sqlite3_stmt *statement;
	check(store, sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL));
	for (int i = 1; types[i - 1]; i++) {
		int code = SQLITE_OK;
		if (types[i - 1] == 'i') {
			code = sqlite3_bind_int64(statement, i, va_arg(values, int64_t));
		} else if (types[i - 1] == 't') {
			code = sqlite3_bind_text(statement, i, va_arg(values, const char *), -1,
						 SQLITE_TRANSIENT);
		} else if (types[i - 1] == 'h') {
			code = sqlite3_bind_blob(statement, i, va_arg(values, const uint8_t *),
						 HASH_SIZE, SQLITE_TRANSIENT);
		} else {
			const json_t *text = va_arg(values, const json_t *);
			code = sqlite3_bind_text(statement, i, json_string_value(text),
						 (int)json_string_length(text), SQLITE_TRANSIENT);
		}
		check(store, code);
	}
	return statement;
}

/* A statement whose rows the caller steps through. */
static sqlite3_stmt *
query(struct store *store, const char *sql, const char *types, ...)
{
	va_list values;
	va_start(values, types);
	sqlite3_stmt *statement = prepare(store, sql, types, values);
	va_end(values);
	return statement;
}

static bool
step(struct store *store, sqlite3_stmt *statement)
{
	const int code = sqlite3_step(statement);
	check(store, code);
	return code == SQLITE_ROW;
}

static void
run(struct store *store, const char *sql, const char *types, ...)
{
	va_list values;
	va_start(values, types);
	sqlite3_stmt *statement = prepare(store, sql, types, values);
	va_end(values);
	(void)step(store, statement);
	check(store, sqlite3_finalize(statement));
}

/* The first column of the first row. */
static int64_t
number(struct store *store, const char *sql, const char *types, ...)
{
	va_list values;
	va_start(values, types);
	sqlite3_stmt *statement = prepare(store, sql, types, values);
	va_end(values);
	const int64_t value = step(store, statement) ? sqlite3_column_int64(statement, 0) : 0;
	check(store, sqlite3_finalize(statement));
	return value;
}

/* --- opening --- */

static void
create(struct store *store, const char *log)
{
	/* Random for each install; a backup of the phone must not carry it to another one. */
	snprintf(store->device, sizeof(store->device), "c-%08x%08x", randombytes_random(),
		 randombytes_random());
	check(store, sqlite3_exec(store->db, schema, NULL, NULL, NULL));
	run(store, "INSERT INTO about VALUES (?, ?, 0)", "tt", log, store->device);
}

void
store_open(struct store *store, const char *path, const char *log)
{
	check(store, sqlite3_open(path, &store->db));
	run(store, "PRAGMA locking_mode = EXCLUSIVE", "");
	run(store, "PRAGMA synchronous = FULL", "");
	run(store, "BEGIN EXCLUSIVE", "");
	if (number(store, "SELECT count(*) FROM sqlite_master", "") == 0)
		create(store, log);
	run(store, "COMMIT", "");
	sqlite3_stmt *about = query(store, "SELECT log, device, offset_msec FROM about", "");
	(void)step(store, about);
	snprintf(store->log, sizeof(store->log), "%s", sqlite3_column_text(about, 0));
	snprintf(store->device, sizeof(store->device), "%s", sqlite3_column_text(about, 1));
	store->offset_msec = sqlite3_column_int64(about, 2);
	check(store, sqlite3_finalize(about));
	if (strcmp(store->log, log) != 0) {
		fprintf(stderr, "this state is of the log %s\n", store->log);
		exit(4);
	}
}

void
store_close(struct store *store)
{
	check(store, sqlite3_close(store->db));
}

/* --- looking --- */

int64_t
now_msec(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
store_base(struct store *store)
{
	return number(store, "SELECT coalesce(max(seq), 0) FROM confirmed", "");
}

bool
store_link(struct store *store, int64_t seq, uint8_t link[HASH_SIZE])
{
	chain_genesis(store->log, link);
	if (seq == 0)
		return true;
	sqlite3_stmt *row = query(store, "SELECT link FROM confirmed WHERE seq = ?", "i", seq);
	const bool found = step(store, row);
	if (found)
		memcpy(link, sqlite3_column_blob(row, 0), HASH_SIZE);
	check(store, sqlite3_finalize(row));
	return found;
}

bool
store_has(struct store *store, const json_t *position)
{
	uint8_t link[HASH_SIZE];
	char hex[HEX_SIZE];
	const char *wanted = json_string_value(json_object_get(position, "stateHash"));
	if (!wanted ||
	    !store_link(store, json_integer_value(json_object_get(position, "seq")), link))
		return false;
	hash_to_hex(link, hex);
	return strcmp(hex, wanted) == 0;
}

static json_t *
text_at(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	return text ? json_stringn(text, (size_t)sqlite3_column_bytes(row, column)) : json_null();
}

/* Of a row that begins with place, device, ts, type, payload, again. */
static json_t *
action_at(sqlite3_stmt *row)
{
	return json_pack("{s:I, s:o, s:I, s:o, s:o, s:b}", "place", sqlite3_column_int64(row, 0),
			 "device", text_at(row, 1), "ts", sqlite3_column_int64(row, 2), "type",
			 text_at(row, 3), "payload", text_at(row, 4), "again",
			 sqlite3_column_int(row, 5));
}

json_t *
store_queue(struct store *store, int count)
{
	json_t *rows = json_array();
	sqlite3_stmt *row = query(store,
				  "SELECT place, device, ts, type, payload, again FROM queue"
				  " ORDER BY place LIMIT ?",
				  "i", (int64_t)count);
	while (step(store, row))
		json_array_append_new(rows, action_at(row));
	check(store, sqlite3_finalize(row));
	return rows;
}

json_t *
store_batch(struct store *store, int count)
{
	json_t *rows = store_queue(store, count);
	int64_t room = BATCH_BYTES;
	size_t fits = 0;
	for (; fits < json_array_size(rows); fits++) {
		const json_t *row = json_array_get(rows, fits);
		room -= (int64_t)json_string_length(json_object_get(row, "payload"));
		if (fits > 0 && room < 0)
			break;
	}
	while (json_array_size(rows) > fits)
		json_array_remove(rows, json_array_size(rows) - 1);
	return rows;
}

/* --- stamping --- */

/* A stamp for what goes to this place of the queue (section 7, "Stamps"). */
static int64_t
free_stamp(struct store *store, int64_t place, int64_t after)
{
	const int64_t newest = number(store,
				      "SELECT coalesce(max(ts), 0) FROM (SELECT ts FROM confirmed"
				      " WHERE device = ?1 UNION ALL SELECT ts FROM queue"
				      " WHERE device = ?1 AND place < ?2)",
				      "ti", store->device, place);
	int64_t ts = now_msec() + store->offset_msec;
	if (newest <= ts + AHEAD_MSEC_MAX && newest >= ts)
		ts = newest + 1;
	if (ts <= after)
		ts = after + 1;
	while (number(store,
		      "SELECT count(*) FROM (SELECT ts FROM confirmed WHERE device = ?1 AND ts = ?3"
		      " UNION ALL SELECT ts FROM queue WHERE device = ?1 AND ts = ?3"
		      " AND place != ?2)",
		      "tii", store->device, place, ts) > 0)
		ts++;
	return ts;
}

json_t *
store_act(struct store *store, const char *type, const char *payload)
{
	uint8_t digest[HASH_SIZE];
	run(store, "BEGIN", "");
	const int64_t place = number(store, "SELECT coalesce(max(place), 0) + 1 FROM queue", "");
	const int64_t ts = free_stamp(store, place, 0);
	json_t *action = json_pack("{s:s, s:I, s:s, s:s}", "device", store->device, "ts",
				   (json_int_t)ts, "type", type, "payload", payload);
	chain_digest(action, digest);
	run(store, "INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, 0)", "ititth", place, store->device,
	    ts, type, payload, digest);
	run(store, "COMMIT", "");
	return action;
}

static void
stamp(struct store *store, const json_t *row, int64_t ts)
{
	uint8_t digest[HASH_SIZE];
	json_t *action = json_copy((json_t *)row);
	json_object_set_new(action, "ts", json_integer(ts));
	chain_digest(action, digest);
	run(store, "UPDATE queue SET ts = ?, digest = ? WHERE place = ?", "ihi", ts, digest,
	    (int64_t)json_integer_value(json_object_get(row, "place")));
	json_decref(action);
}

void
store_stamp(struct store *store, const json_t *row, int64_t ts)
{
	stamp(store, row, ts);
}

void
store_restamp_from(struct store *store, const json_t *row, int64_t after)
{
	const json_int_t first = json_integer_value(json_object_get(row, "place"));
	json_t *rows = store_queue(store, -1);
	size_t i;
	json_t *later;
	run(store, "BEGIN", "");
	json_array_foreach(rows, i, later)
	{
		const json_int_t place = json_integer_value(json_object_get(later, "place"));
		if (place >= first && json_is_false(json_object_get(later, "again")))
			stamp(store, later, free_stamp(store, place, after));
	}
	run(store, "COMMIT", "");
	json_decref(rows);
}

/* --- changing --- */

/* The link after all of them. */
static void
chain_all(uint8_t link[HASH_SIZE], const json_t *actions)
{
	uint8_t digest[HASH_SIZE];
	size_t i;
	json_t *action;
	json_array_foreach(actions, i, action)
	{
		chain_digest(action, digest);
		chain_extend(link, digest);
	}
}

bool
store_confirm(struct store *store, const json_t *actions, int64_t seq, const char *state_hash)
{
	const int64_t base = store_base(store);
	uint8_t link[HASH_SIZE], digest[HASH_SIZE];
	char hex[HEX_SIZE];
	size_t i;
	json_t *action;
	(void)store_link(store, base, link);
	chain_all(link, actions);
	hash_to_hex(link, hex);
	if (base + (int64_t)json_array_size(actions) != seq || strcmp(hex, state_hash) != 0)
		return false;
	(void)store_link(store, base, link);
	run(store, "BEGIN", "");
	json_array_foreach(actions, i, action)
	{
		const json_t *device = json_object_get(action, "device");
		const int64_t ts = json_integer_value(json_object_get(action, "ts"));
		chain_digest(action, digest);
		chain_extend(link, digest);
		run(store, "INSERT INTO confirmed VALUES (?, ?, ?, ?, ?, ?, ?)", "ijijjhh",
		    base + 1 + (int64_t)i, device, ts, json_object_get(action, "type"),
		    json_object_get(action, "payload"), digest, link);
		run(store, "DELETE FROM queue WHERE device = ? AND ts = ? AND digest = ?", "jih",
		    device, ts, digest);
	}
	run(store, "COMMIT", "");
	return true;
}

void
store_roll_back(struct store *store, int64_t seq)
{
	run(store, "BEGIN", "");
	/* A redacted one cannot be given back. */
	run(store,
	    "INSERT INTO queue SELECT (SELECT coalesce(min(place), 1) FROM queue) - 1 -"
	    " (SELECT max(seq) FROM confirmed) + seq, device, ts, type, payload, digest, 1"
	    " FROM confirmed WHERE seq > ? AND type IS NOT NULL ORDER BY seq",
	    "i", seq);
	run(store, "DELETE FROM confirmed WHERE seq > ?", "i", seq);
	run(store, "COMMIT", "");
}

void
store_drop(struct store *store, const json_t *row)
{
	run(store, "DELETE FROM queue WHERE place = ?", "i",
	    (int64_t)json_integer_value(json_object_get(row, "place")));
}

void
store_set_aside(struct store *store, const json_t *row, const char *why)
{
	run(store, "BEGIN", "");
	run(store,
	    "INSERT INTO aside SELECT device, ts, type, payload, ? FROM queue WHERE place = ?",
	    "ti", why, (int64_t)json_integer_value(json_object_get(row, "place")));
	store_drop(store, row);
	run(store, "COMMIT", "");
}

void
store_set_offset(struct store *store, int64_t offset_msec)
{
	store->offset_msec = offset_msec;
	run(store, "UPDATE about SET offset_msec = ?", "i", offset_msec);
}

/* --- showing --- */

static json_t *
show(struct store *store, const char *sql)
{
	json_t *rows = json_array();
	sqlite3_stmt *row = query(store, sql, "");
	while (step(store, row))
		json_array_append_new(rows, json_pack("[o, I, o, o]", text_at(row, 0),
						      sqlite3_column_int64(row, 1), text_at(row, 2),
						      text_at(row, 3)));
	check(store, sqlite3_finalize(row));
	return rows;
}

json_t *
store_show(struct store *store)
{
	const int64_t base = store_base(store);
	uint8_t link[HASH_SIZE];
	char hex[HEX_SIZE];
	(void)store_link(store, base, link);
	hash_to_hex(link, hex);
	return json_pack(
		"{s:s, s:I, s:s, s:o, s:o, s:o}", "device", store->device, "seq", (json_int_t)base,
		"stateHash", hex, "actions",
		show(store, "SELECT device, ts, type, payload FROM confirmed ORDER BY seq"),
		"queue", show(store, "SELECT device, ts, type, payload FROM queue ORDER BY place"),
		"aside", show(store, "SELECT device, ts, type, payload FROM aside ORDER BY rowid"));
}
