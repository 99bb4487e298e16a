/*
 * store_client: one device that appends to a log of a store, batch by batch, sends a batch again until
 * it is acknowledged, and knows what the log must hold. Action n of a log is the same in every run.
 *
 * What is wrong ends the process: it runs where the test's own failures are not seen (sweep).
 *
 * Threads: one; done() comes from the shard's writer.
 */
#ifndef SUPPORT_STORE_CLIENT_H
#define SUPPORT_STORE_CLIENT_H

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"

#define CLIENT_ACTIONS_MAX 256
#define CLIENT_BATCH_MAX 16
#define CLIENT_PAYLOAD_SIZE 700
#define CLIENT_PATIENCE_MSEC 60000

#define client_check(condition, ...)                                                               \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: " #condition ": ", __FILE__, __LINE__);            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			_exit(EXIT_FAILURE);                                                       \
		}                                                                                  \
	} while (0)

struct client {
	char name[32];
	struct hash links[CLIENT_ACTIONS_MAX + 1]; /* the first is the genesis */
	char payload[CLIENT_PAYLOAD_SIZE];
	size_t acknowledged;
	struct store *store;
	bool (*must_not_acknowledge)(void); /* asked when a batch is; may be NULL */

	/* The batch on its way. */
	struct batch batch;
	struct batch_action actions[CLIENT_BATCH_MAX];
	struct outcome outcomes[CLIENT_BATCH_MAX];
	char state[HASH_TEXT_SIZE]; /* that it reports */
	struct job job;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_done;
};

/* As a daemon does; on failure nothing is left open. */
static inline enum status
client_open_store(const struct store_options *options, struct store **store, const char **problem)
{
	enum status status = store_open(options, store, problem);
	if (status != STATUS_OK)
		return status;
	status = store_start(*store, problem);
	if (status != STATUS_OK)
		store_close(*store);
	return status;
}

static inline struct action
client_action(const struct client *client, size_t seq)
{
	return (struct action){.device = TEXT("phone"),
			       .ts = 1000 + seq,
			       .type = TEXT("note/add"),
			       .payload = {client->payload, seq * 37 % CLIENT_PAYLOAD_SIZE}};
}

static inline void
client_init(struct client *client, const char *name)
{
	memset(client, 0, sizeof(*client));
	snprintf(client->name, sizeof(client->name), "%s", name);
	for (size_t i = 0; i < CLIENT_PAYLOAD_SIZE; i++)
		client->payload[i] = (char)('a' + i % 26);
	chain_genesis(text_of(client->name), &client->links[0]);
	for (size_t seq = 1; seq <= CLIENT_ACTIONS_MAX; seq++) {
		const struct action action = client_action(client, seq);
		struct hash digest;
		chain_digest(&action, &digest);
		chain_link(&client->links[seq - 1], &digest, &client->links[seq]);
	}
	client_check(pthread_mutex_init(&client->lock, NULL) == 0, "mutex");
	client_check(pthread_cond_init(&client->changed, NULL) == 0, "condition");
}

/* Whose log is in the first or in the second half of the shards. */
static inline void
client_init_in(struct client *client, const char *prefix, bool second_half)
{
	for (unsigned i = 0;; i++) {
		char name[32];
		struct hash genesis;
		snprintf(name, sizeof(name), "%s-%u", prefix, i);
		chain_genesis(text_of(name), &genesis);
		if ((genesis.bytes[0] >= 128) == second_half) {
			client_init(client, name);
			return;
		}
	}
}

static inline void
client_done(struct job *job)
{
	struct client *client = job->cookie;
	if (job->status == STATUS_OK && job->verdict.status == STATUS_OK &&
	    job->verdict.applied > 0 && client->must_not_acknowledge != NULL)
		client_check(!client->must_not_acknowledge(), "acknowledged over a failed sync");
	pthread_mutex_lock(&client->lock);
	client->is_done = true;
	pthread_cond_signal(&client->changed);
	pthread_mutex_unlock(&client->lock);
}

/* Sends the next so many actions, or sends them again. STATUS_OK: they are acknowledged. */
static inline enum status
client_send(struct client *client, size_t count)
{
	struct batch *batch = &client->batch;
	const size_t from = client->acknowledged;
	client_check(count <= CLIENT_BATCH_MAX && from + count <= CLIENT_ACTIONS_MAX, "too many");
	*batch = (struct batch){.log = text_of(client->name),
				.genesis = client->links[0],
				.base = {from, client->links[from]},
				.actions = client->actions,
				.action_count = count,
				.state_hash = client->links[from + count],
				.device = TEXT("phone")};
	batch->state = (struct state_report){.seq = from + count,
					     .digest = {client->state, sizeof(client->state)},
					     .app = TEXT("1")};
	hash_to_text(&client->links[from + count], client->state);
	for (size_t i = 0; i < count; i++) {
		client->actions[i].action = client_action(client, from + 1 + i);
		client->actions[i].device = (unsigned)batch_device(batch, TEXT("phone"));
	}
	struct hash actual;
	client_check(batch_verify(batch, &actual) == STATUS_OK, "the batch");
	client->job = (struct job){.batch = batch,
				   .writer = TEXT("test"),
				   .outcomes = client->outcomes,
				   .done = client_done,
				   .cookie = client};
	client->is_done = false;
	client_check(store_submit(client->store, &client->job) == STATUS_OK, "submit");
	pthread_mutex_lock(&client->lock);
	while (!client->is_done)
		pthread_cond_wait(&client->changed, &client->lock);
	pthread_mutex_unlock(&client->lock);
	if (client->job.status != STATUS_OK)
		return client->job.status;
	const struct verdict *verdict = &client->job.verdict;
	client_check(client->job.drift.differ == 0, "a state differs from itself");
	client_check(verdict->status == STATUS_OK && verdict->refused == 0 &&
			     verdict->head.position.seq == from + count &&
			     hash_equal(&verdict->head.position.link, &client->links[from + count]),
		     "verdict %d, seq %ju", (int)verdict->status,
		     (uintmax_t)verdict->head.position.seq);
	client->acknowledged += count;
	return STATUS_OK;
}

/* Until it is acknowledged: the shard must rise by itself. */
static inline void
client_insist(struct client *client, size_t count)
{
	const uint64_t begun = clock_monotonic_msec();
	while (client_send(client, count) != STATUS_OK) {
		client_check(clock_monotonic_msec() - begun < CLIENT_PATIENCE_MSEC,
			     "%s: the shard does not rise", client->name);
		(void)poll(NULL, 0, 5);
	}
}

struct client_reading {
	const struct client *client;
	size_t seq;
};

static inline bool
client_visit(void *cookie, const struct row *row)
{
	struct client_reading *reading = cookie;
	const size_t seq = ++reading->seq;
	const struct action action = client_action(reading->client, seq);
	client_check(row->seq == seq && row->action.ts == action.ts &&
			     text_equal(row->action.payload, action.payload) &&
			     hash_equal(&row->link, &reading->client->links[seq]),
		     "%s: action %zu is another one", reading->client->name, seq);
	return true;
}

/* Reads the whole log and compares it. *count: how many actions there are, if it was read. */
static inline enum status
client_read(const struct client *client, size_t *count)
{
	struct client_reading reading = {.client = client};
	const struct range range = {.upto = UINT64_MAX, .rows_max = UINT64_MAX};
	struct position start, end;
	const enum status status =
		store_read(client->store, text_of(client->name), &client->links[0], &range,
			   client_visit, &reading, &start, &end);
	*count = reading.seq;
	return status;
}

static inline void
client_release(struct client *client)
{
	pthread_mutex_destroy(&client->lock);
	pthread_cond_destroy(&client->changed);
}

#endif
