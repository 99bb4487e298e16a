/*
 * rot_fixture: a shard whose logs are all in place, and its files, of which bytes can be made to rot.
 */
#ifndef ROT_FIXTURE_H
#define ROT_FIXTURE_H

#include "base/log.h"
#include "support/store_fixture.h"

#define LOGS 12
#define ROUNDS 8
#define PER_ROUND 4
#define DEVICE_SERIAL_TYPE 29 /* in an index entry: a text of 8 bytes */

struct world {
	struct fixture fixture;
	struct model_log logs[LOGS];
	uint8_t *files[4]; /* all of the shard's, whole; the first one rots */
	size_t sizes[4], page_size;
};

static const char *const SUFFIXES[4] = {".db", ".journal-0", ".journal-1", ".anchor"};

UNUSED static void
read_files(struct world *world)
{
	for (unsigned i = 0; i < 4; i++)
		world->files[i] = fixture_file(&world->fixture, SUFFIXES[i], &world->sizes[i]);
	world->page_size = fixture_number(&world->fixture, "PRAGMA page_size");
}

/* As it was when all was in place, but for some bytes of one page. */
UNUSED static void
put_file(struct world *world, size_t at, const uint8_t *rotten, size_t size)
{
	static const char *const suffixes[] = {"-wal", "-shm"};
	for (size_t i = 0; i < 2; i++) {
		char path[1100];
		snprintf(path, sizeof(path), "%s%s", world->fixture.path, suffixes[i]);
		unlink(path);
	}
	for (unsigned i = 0; i < 4; i++)
		fixture_set_file(&world->fixture, SUFFIXES[i], world->files[i], world->sizes[i]);
	const int fd = open(world->fixture.path, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, rotten, size, (off_t)at), (ssize_t)size);
	close(fd);
}

/* Stamps that no two logs share: an entry that rots is then never another log's true one. */
UNUSED static enum status
write_own(struct world *world, int index, size_t count)
{
	struct fixture *fixture = &world->fixture;
	struct model_log *log = &world->logs[index];
	const struct head expected = log->head;
	struct model_append append;
	fixture->now++;
	for (size_t i = 0; i < count; i++) {
		char device[16];
		snprintf(device, sizeof(device), "device-%d", (int)fixture_random(fixture, 3));
		model_add(fixture, log, device, 1000000 + 1000 * (uint64_t)index + 2 * log->count,
			  fixture_random(fixture, 300));
	}
	model_append_init(&append, log, count, &expected);
	const enum status status = fixture->engine->ops->write(fixture->engine, &append.append, 1);
	model_append_release(&append);
	return status;
}

UNUSED static void
world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR + 1, LOG_LOGFMT);
	fixture_init(&world->fixture);
	fixture_open(&world->fixture, true);
	for (int i = 0; i < LOGS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "log-%c", 'a' + i);
		model_init(&world->logs[i], name);
	}
	/* Each batch by itself: which rows share a page is then the same in every run. */
	struct engine *engine = world->fixture.engine;
	for (int n = 0; n < ROUNDS * LOGS; n++) {
		ck_assert_int_eq(write_own(world, n % LOGS, PER_ROUND), STATUS_OK);
		ck_assert_int_eq(engine->ops->settle_down(engine), STATUS_OK);
	}
	fixture_crash(&world->fixture);
	read_files(world);
}

UNUSED static void
world_release(struct world *world)
{
	for (int i = 0; i < LOGS; i++)
		model_free(&world->logs[i]);
	for (unsigned i = 0; i < 4; i++)
		free(world->files[i]);
	fixture_remove(&world->fixture);
}

UNUSED static uint64_t
root_of(struct world *world, const char *name)
{
	char sql[200];
	snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", name);
	return fixture_number(&world->fixture, sql);
}

#endif
