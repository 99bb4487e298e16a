/*
 * snapshot_fixture: a store with one log that a client has written, its keeper of snapshots, and a way to
 * put one and wait.
 */
#ifndef SUPPORT_SNAPSHOT_FIXTURE_H
#define SUPPORT_SNAPSHOT_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/snapshot_keeper.h"
#include "support/store_client.h"

#define SNAPSHOT_SIZE 9000

struct snapshot_world {
	char dir[256];
	struct store *store;
	struct client client;
	struct snapshot_keeper *keeper;

	/* The one on its way. */
	struct snapshot_job job;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_done;
};

/* Byte n of what version v of the state at a seq is. */
static inline char
snapshot_byte(uint64_t seq, unsigned version, size_t n)
{
	return (char)((n * 31 + n / 256 + seq * 7 + version) & 0xff);
}

static inline void
snapshot_fill(uint64_t seq, unsigned version, char body[SNAPSHOT_SIZE])
{
	for (size_t n = 0; n < SNAPSHOT_SIZE; n++)
		body[n] = snapshot_byte(seq, version, n);
}

static inline void
snapshot_world_open(struct snapshot_world *world, size_t actions, uint64_t keep)
{
	const char *tmp = getenv("TMPDIR"), *problem = "";
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR, LOG_LOGFMT);
	snprintf(world->dir, sizeof(world->dir), "%s/snapshots.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	ck_assert_ptr_nonnull(mkdtemp(world->dir));
	const struct store_options options = {.dir = world->dir,
					      .shards = 1,
					      .queue_jobs = 16,
					      .tail_bytes = 1 << 20,
					      .group_jobs = 16,
					      .slice_actions = 100,
					      .cache_logs = 16,
					      .readers = 2};
	ck_assert_msg(client_open_store(&options, &world->store, &problem) == STATUS_OK, "%s",
		      problem);
	client_init(&world->client, "anna");
	world->client.store = world->store;
	for (size_t sent = 0; sent < actions; sent += CLIENT_BATCH_MAX)
		client_insist(&world->client, actions - sent < CLIENT_BATCH_MAX ? actions - sent
										: CLIENT_BATCH_MAX);
	const struct snapshot_keeper_options keeper = {
		.dir = world->dir, .store = world->store, .keep = keep, .transfers = 4};
	ck_assert_msg(snapshot_keeper_start(&keeper, &world->keeper, &problem) == STATUS_OK, "%s",
		      problem);
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->changed, NULL);
}

static inline void
snapshot_world_close(struct snapshot_world *world)
{
	char command[300];
	snapshot_keeper_stop(world->keeper);
	snapshot_keeper_free(world->keeper);
	store_stop(world->store);
	store_close(world->store);
	client_release(&world->client);
	pthread_mutex_destroy(&world->lock);
	pthread_cond_destroy(&world->changed);
	snprintf(command, sizeof(command), "rm -rf '%s'", world->dir);
	ck_assert_int_eq(system(command), 0);
}

static inline const struct hash *
snapshot_genesis(const struct snapshot_world *world)
{
	return &world->client.links[0];
}

static inline void
snapshot_done(struct snapshot_job *job)
{
	struct snapshot_world *world = job->cookie;
	pthread_mutex_lock(&world->lock);
	world->is_done = true;
	pthread_cond_signal(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

/* As PUT does it; the link is that of link_seq. */
static inline enum status
snapshot_put_as(struct snapshot_world *world, uint64_t seq, uint64_t link_seq, unsigned version)
{
	static char body[SNAPSHOT_SIZE];
	struct snapshot_job *job = &world->job;
	struct snapshot_draft *draft = &job->draft;
	*job = (struct snapshot_job){
		.log = text_of(world->client.name), .done = snapshot_done, .cookie = world};
	draft->facts = (struct snapshot_facts){.genesis = *snapshot_genesis(world),
					       .position = {seq, world->client.links[link_seq]},
					       .received_at = 1000 + seq};
	snapshot_text_set(&draft->facts.log, text_of(world->client.name));
	snapshot_text_set(&draft->facts.media_type, TEXT("application/octet-stream"));
	snapshot_fill(seq, version, body);
	enum status status = snapshots_begin(snapshot_keeper_folder(world->keeper), draft);
	for (size_t at = 0; at < SNAPSHOT_SIZE && status == STATUS_OK; at += 4000)
		status = snapshot_draft_append(
			draft, body + at, SNAPSHOT_SIZE - at < 4000 ? SNAPSHOT_SIZE - at : 4000);
	if (status != STATUS_OK) {
		snapshot_draft_discard(draft, false);
		return status;
	}
	snapshot_draft_finish(draft);
	world->is_done = false;
	ck_assert_int_eq(snapshot_keeper_submit(world->keeper, job), STATUS_OK);
	pthread_mutex_lock(&world->lock);
	while (!world->is_done)
		pthread_cond_wait(&world->changed, &world->lock);
	pthread_mutex_unlock(&world->lock);
	return job->status;
}

static inline enum status
snapshot_put(struct snapshot_world *world, uint64_t seq, unsigned version)
{
	return snapshot_put_as(world, seq, seq, version);
}

/* Which version of the state at its seq an open one has, read to its end; -1: it is none of them. */
static inline int
snapshot_version(struct snapshot_source *source)
{
	static char piece[SNAPSHOT_SIZE];
	const uint64_t seq = source->facts.position.seq;
	size_t at = 0, got = 0;
	int version = -1;
	while (at < source->facts.size) {
		if (snapshot_source_read(source, piece, 1000, &got) != STATUS_OK)
			return -1;
		if (at == 0)
			version = (uint8_t)(piece[0] - snapshot_byte(seq, 0, 0));
		for (size_t n = 0; n < got; n++)
			if (piece[n] != snapshot_byte(seq, (unsigned)version, at + n))
				return -1;
		at += got;
	}
	return at == SNAPSHOT_SIZE ? version : -1;
}

#endif
