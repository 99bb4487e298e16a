/*
 * A whole Edgereplay client, to read and to begin from: docs/clients.md goes through it. libcurl,
 * SQLite, jansson and libsodium are all that it needs: what Swift and, through JNI, Kotlin can call.
 *
 *     client --state=FILE --url=URL --log=NAME act TYPE PAYLOAD…  the user did something
 *     client --state=FILE --url=URL --log=NAME sync [--tries=N]   0: done; 1: stopped; 3: later
 *     client --state=FILE --url=URL --log=NAME show               what it holds, as JSON
 *     client vectors schema/vectors.json                          whether its bytes are right
 *
 * A token is taken from the environment, EDGEREPLAY_TOKEN. Sections are those of
 * schema/protocol.md. chain.h has the bytes, store.h what is kept, http.h what goes over the wire.
 */
#include <curl/curl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain.h"
#include "http.h"
#include "store.h"

#define BATCH 500 /* actions in a request; /v1/info says how many the server takes at most */
#define LOCATOR_PAIRS 64
#define MISMATCHES_MAX 5

enum outcome {
	DONE,
	MORE,	/* another round */
	LATER,	/* unknown, or the server asks to wait: the same again after a pause */
	PAUSED, /* when the app says so */
	STOPPED /* repeating does not help: the app, its user or the operator must do something */
};

struct client {
	struct store store;
	struct http *http;
	char *log; /* as it stands in a path */
	int batch, mismatches;
	bool full;	  /* a quota: it only reads */
	double after_sec; /* LATER */
	char why[512];	  /* LATER, PAUSED, STOPPED */
};

static enum outcome
fail(struct client *client, enum outcome outcome, const char *why)
{
	snprintf(client->why, sizeof(client->why), "%s", why);
	return outcome;
}

static json_int_t
integer(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *
word(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

/* LATER, or DONE with the answer, whose document the caller gives back. */
static enum outcome
call(struct client *client, const char *target, const json_t *body, struct answer *answer)
{
	http_call(client->http, target, body, answer);
	client->after_sec = answer->after_sec;
	if (answer->status == 0)
		return fail(client, LATER, answer->why);
	const int64_t took_msec = (int64_t)(1000 * answer->took_sec);
	const int64_t clock_set_msec = llabs(now_msec() - answer->sent_msec - took_msec);
	if (clock_set_msec < 100) /* else somebody set the clock meanwhile */
		store_set_offset(&client->store, integer(answer->document, "serverTimestamp") -
							 answer->sent_msec - took_msec / 2);
	return DONE;
}

/* --- what is sent --- */

static json_t *
hex_of(const uint8_t hash[HASH_SIZE])
{
	char hex[HEX_SIZE];
	hash_to_hex(hash, hex);
	return json_string(hex);
}

/* Older links with growing gaps, so that the place where histories part is found at once. */
static json_t *
locator(struct client *client, int64_t seq)
{
	json_t *pairs = json_array();
	uint8_t link[HASH_SIZE];
	int64_t gap = 1;
	do {
		seq = seq > gap ? seq - gap : 0;
		gap *= 2;
		(void)store_link(&client->store, seq, link);
		json_array_append_new(pairs, json_pack("[I, o]", (json_int_t)seq, hex_of(link)));
	} while (seq > 0 && json_array_size(pairs) < LOCATOR_PAIRS);
	return pairs;
}

static json_t *
request_of(struct client *client, const json_t *batch)
{
	struct store *store = &client->store;
	const int64_t seq = store_base(store);
	uint8_t link[HASH_SIZE], digest[HASH_SIZE];
	json_t *actions = json_array(), *row;
	size_t i;
	(void)store_link(store, seq, link);
	json_t *body = json_pack("{s:s, s:I, s:o, s:o, s:o}", "device", store->device, "seq",
				 (json_int_t)seq, "prevHash", hex_of(link), "locator",
				 locator(client, seq), "actions", actions);
	json_array_foreach(batch, i, row)
	{
		json_array_append_new(actions, json_pack("{s:O, s:O, s:O, s:O}", "device",
							 json_object_get(row, "device"), "ts",
							 json_object_get(row, "ts"), "type",
							 json_object_get(row, "type"), "payload",
							 json_object_get(row, "payload")));
		chain_digest(row, digest);
		chain_extend(link, digest);
	}
	if (json_array_size(batch) > 0)
		json_object_set_new(body, "stateHash", hex_of(link));
	return body;
}

/* --- what is heard --- */

static enum outcome heal(struct client *, const json_t *problem);

/* What the server's advice asks for (section 7). */
static enum outcome
refused(struct client *client, const json_t *batch, const json_t *problem)
{
	const char *code = word(problem, "code"), *retry = word(problem, "retry");
	const json_t *row = json_array_get(batch, (size_t)integer(problem, "index"));
	const bool has_index = json_object_get(problem, "index") != NULL;
	const size_t count = json_array_size(batch);
	char why[sizeof(client->why)];
	snprintf(why, sizeof(why), "%s: %s", code, word(problem, "detail"));
	if (strcmp(retry, "after") == 0)
		return fail(client, LATER, why);
	if (strcmp(retry, "auth") == 0)
		return fail(client, PAUSED, why); /* the app gets a new token */
	if (strcmp(retry, "rebase") == 0)
		return json_object_get(problem, "ancestor") ? heal(client, problem) : MORE;
	if (strcmp(code, "QUOTA_EXCEEDED") == 0) {
		client->full = true; /* go on reading, keep everything, tell the user */
		(void)fail(client, STOPPED, why);
	} else if (strcmp(retry, "split") == 0 && count > 1) {
		client->batch = (int)count / 2;
	} else if (strcmp(retry, "split") == 0 && count == 1) {
		store_set_aside(&client->store, json_array_get(batch, 0), code);
	} else if (strcmp(retry, "never") == 0 && has_index && row) {
		store_set_aside(&client->store, row, why);
	} else {
		return fail(client, STOPPED, why);
	}
	return MORE;
}

/* A page (section 4.2). MORE: there are others. */
static enum outcome
pull_page(struct client *client)
{
	struct store *store = &client->store;
	struct answer answer;
	char target[1024];
	const int64_t base = store_base(store);
	snprintf(target, sizeof(target), "logs/%s/actions?after=%jd", client->log, (intmax_t)base);
	enum outcome outcome = call(client, target, NULL, &answer);
	if (outcome != DONE)
		return outcome;
	const json_t *page = answer.document;
	json_t *start = json_pack("{s:I, s:s}", "seq", integer(page, "after"), "stateHash",
				  word(page, "prevHash"));
	if (answer.status != 200) {
		/* MORE is the next sync's, which finds where the histories part. */
		outcome = refused(client, NULL, page);
		outcome = outcome == MORE ? DONE : outcome;
	} else if (integer(page, "after") != base || !store_has(store, start) ||
		   !store_confirm(store, json_object_get(page, "actions"), integer(page, "seq"),
				  word(page, "stateHash"))) {
		outcome = fail(client, LATER, "a page does not lead to its hash: report this");
	} else if (json_is_true(json_object_get(page, "hasMore"))) {
		outcome = MORE;
	}
	json_decref(start);
	json_decref(answer.document);
	return outcome;
}

/* From the base to the head. */
static enum outcome
pull(struct client *client)
{
	enum outcome outcome;
	do
		outcome = pull_page(client);
	while (outcome == MORE);
	return outcome;
}

/* The server lost what we have, or has another history: give back what it lost, take what it has. */
static enum outcome
heal(struct client *client, const json_t *problem)
{
	const json_t *common = json_object_get(problem, "head");
	client->mismatches++;
	if (!store_has(&client->store, common))
		common = json_object_get(problem, "ancestor");
	if (!store_has(&client->store, common))
		return fail(client, LATER, "an ancestor that we do not have: report this");
	store_roll_back(&client->store, integer(common, "seq"));
	/* What comes back leaves the queue; the rest is pushed, oldest first. */
	const enum outcome outcome = pull(client);
	if (outcome == DONE && client->mismatches > MISMATCHES_MAX)
		return fail(client, LATER, "five mismatches in a row: report this");
	return outcome == DONE ? MORE : outcome;
}

/* CLOCK_SKEW: a little ahead is waited for, a new stamp would make a new action. */
static enum outcome
wait_for_clock(struct client *client, const json_t *row, json_int_t ahead_msec)
{
	struct answer answer;
	const enum outcome outcome = call(client, "info", NULL, &answer);
	if (outcome != DONE)
		return outcome;
	const json_t *clock = json_object_get(answer.document, "clock");
	if (ahead_msec >= integer(clock, "maxSkewMs") + 60000)
		store_restamp_from(&client->store, row, 0);
	json_decref(answer.document);
	return fail(client, LATER, "actions are stamped ahead of the server's clock");
}

/* The log does not have it (section 7, "refused"). */
static enum outcome
refused_action(struct client *client, const json_t *row, const json_t *result)
{
	const char *code = word(result, "refused");
	if (strcmp(code, "TIMESTAMP_TAKEN") == 0)
		store_stamp(&client->store, row, integer(row, "ts") + 1);
	else if (json_is_true(json_object_get(row, "again")))
		store_set_aside(&client->store, row, code);
	else if (strcmp(code, "NON_MONOTONIC_TIMESTAMP") == 0)
		store_restamp_from(&client->store, row, integer(result, "newest"));
	else
		return wait_for_clock(client, row, integer(result, "aheadMs"));
	return DONE;
}

/* missed and our own, by seq: what comes after the base. */
static json_t *
place(int64_t base, const json_t *batch, const json_t *answer)
{
	json_t *placed = json_array(), *action, *result;
	size_t i;
	for (json_int_t seq = base; seq < integer(answer, "seq"); seq++)
		json_array_append_new(placed, json_null());
	json_array_foreach(json_object_get(answer, "missed"), i, action)
	{
		json_array_set(placed, (size_t)(integer(action, "seq") - base - 1), action);
	}
	json_array_foreach(json_object_get(answer, "results"), i, result)
	{
		if (integer(result, "seq") > base)
			json_array_set(placed, (size_t)(integer(result, "seq") - base - 1),
				       json_array_get(batch, i));
	}
	return placed;
}

static enum outcome
rebased(struct client *client, const json_t *batch, const json_t *answer)
{
	struct store *store = &client->store;
	const int64_t base = store_base(store);
	enum outcome outcome = DONE, waits = DONE;
	json_t *result;
	size_t i;
	if (json_is_true(json_object_get(answer, "hasMore"))) {
		outcome = pull(client);
	} else {
		json_t *placed = place(base, batch, answer);
		if (!store_confirm(store, placed, integer(answer, "seq"),
				   word(answer, "stateHash")))
			outcome = fail(client, LATER, "not what its hash says: report this");
		json_decref(placed);
	}
	if (outcome != DONE)
		return outcome;
	/* Last: what was accepted must have left the queue before stamps change. */
	json_array_foreach(json_object_get(answer, "results"), i, result)
	{
		const json_t *row = json_array_get(batch, i);
		if (!json_object_get(result, "refused") && integer(result, "seq") <= base)
			store_drop(store, row); /* it is there already, in what is confirmed */
		if (json_object_get(result, "refused"))
			outcome = refused_action(client, row, result);
		if (outcome != DONE)
			waits = outcome;
	}
	return waits;
}

static enum outcome
accepted(struct client *client, const json_t *batch, const json_t *answer)
{
	if (!json_is_true(json_object_get(answer, "fastForward")))
		return rebased(client, batch, answer);
	/* Our chain is the log's. */
	if (store_confirm(&client->store, batch, integer(answer, "seq"), word(answer, "stateHash")))
		return DONE;
	return fail(client, LATER, "a fast-forward to elsewhere: report this");
}

static void
pause_sec(double seconds)
{
	const struct timespec time = {.tv_sec = (time_t)seconds,
				      .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
	nanosleep(&time, NULL);
}

/* One request and what follows from its answer. */
static enum outcome
sync_round(struct client *client)
{
	struct answer answer;
	char target[1024];
	snprintf(target, sizeof(target), "logs/%s/sync", client->log);
	json_t *batch = client->full ? json_array() : store_batch(&client->store, client->batch);
	json_t *body = request_of(client, batch);
	enum outcome outcome = call(client, target, body, &answer);
	json_decref(body);
	if (outcome == DONE && answer.status != 200) {
		outcome = refused(client, batch, answer.document);
	} else if (outcome == DONE) {
		client->mismatches = 0;
		client->batch = 2 * client->batch < BATCH ? 2 * client->batch : BATCH;
		outcome = accepted(client, batch, answer.document);
		pause_sec((double)integer(answer.document, "backoffMs") / 1000);
		json_t *left = store_queue(&client->store, 1);
		if (outcome == DONE && client->full)
			outcome = STOPPED;
		else if (outcome == DONE && json_array_size(left) > 0)
			outcome = MORE;
		json_decref(left);
	}
	json_decref(answer.document);
	json_decref(batch);
	return outcome;
}

/* Until nothing is left. n of the protocol's pause is counted since the last success. */
static enum outcome
sync_all(struct client *client, int tries)
{
	int failures = 0;
	for (;;) {
		client->after_sec = 0;
		const enum outcome outcome = sync_round(client);
		if (outcome != MORE && outcome != DONE)
			fprintf(stderr, "%s\n", client->why);
		if (outcome == MORE)
			failures = 0;
		else if (outcome != LATER || ++failures >= tries)
			return outcome;
		else
			pause_sec(client->after_sec +
				  randombytes_uniform(1000) / 1000.0 *
					  (failures < 9 ? 0.1 * (1 << failures) : 30));
	}
}

/* --- the commands --- */

static bool
check_case(const json_t *vector, size_t *count)
{
	uint8_t link[HASH_SIZE], digest[HASH_SIZE];
	char hex[HEX_SIZE], id[ID_TEXT_SIZE];
	size_t i;
	json_t *action;
	chain_genesis(word(vector, "log"), link);
	hash_to_hex(link, hex);
	bool equal = strcmp(hex, word(vector, "genesis")) == 0;
	json_array_foreach(json_object_get(vector, "actions"), i, action)
	{
		json_t *bare = json_copy(action);
		json_object_del(bare, "digest");
		chain_digest(bare, digest);
		chain_extend(link, digest);
		hash_to_hex(digest, hex);
		equal = equal && strcmp(hex, word(action, "digest")) == 0;
		hash_to_hex(link, hex);
		equal = equal && strcmp(hex, word(action, "link")) == 0;
		chain_id(bare, id);
		equal = equal && strcmp(id, word(action, "id")) == 0;
		json_decref(bare);
		++*count;
	}
	return equal;
}

static int
check_vectors(const char *path)
{
	json_t *vectors = json_load_file(path, JSON_ALLOW_NUL, NULL);
	const json_t *cases = json_object_get(vectors, "cases");
	size_t i, count = 0;
	json_t *vector;
	bool equal = json_array_size(cases) > 0;
	json_array_foreach(cases, i, vector) equal = check_case(vector, &count) && equal;
	printf("%zu cases, %zu actions: %s\n", json_array_size(cases), count,
	       equal ? "equal" : "DIFFERENT");
	json_decref(vectors);
	return equal ? 0 : 1;
}

static void
print_and_free(json_t *document)
{
	json_dumpf(document, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(document);
}

static int
run_command(struct client *client, char **words, int tries)
{
	if (strcmp(words[0], "sync") == 0) {
		const enum outcome outcome = sync_all(client, tries);
		return outcome == DONE ? 0 : outcome == STOPPED ? 1 : 3;
	}
	if (strcmp(words[0], "act") != 0) {
		print_and_free(store_show(&client->store));
		return 0;
	}
	for (int i = 2; words[1] && words[i]; i++)
		print_and_free(store_act(&client->store, words[1], words[i]));
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"state", required_argument, NULL, 's'},
						{"url", required_argument, NULL, 'u'},
						{"log", required_argument, NULL, 'l'},
						{"tries", required_argument, NULL, 't'},
						{NULL, 0, NULL, 0}};
	const char *state = "", *url = "", *log = "";
	int option, tries = 10;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			state = optarg;
		else if (option == 'u')
			url = optarg;
		else if (option == 'l')
			log = optarg;
		else if (option == 't')
			tries = (int)strtol(optarg, NULL, 10);
	}
	if (optind == argc || sodium_init() == -1)
		return 4;
	if (strcmp(argv[optind], "vectors") == 0 && argv[optind + 1])
		return check_vectors(argv[optind + 1]);
	struct client client = {.batch = BATCH};
	store_open(&client.store, state, log);
	client.http = http_new(url, getenv("EDGEREPLAY_TOKEN"));
	if (!client.http)
		return 4;
	client.log = http_escape(client.http, log);
	const int code = run_command(&client, argv + optind, tries);
	curl_free(client.log);
	http_free(client.http);
	store_close(&client.store);
	return code;
}
