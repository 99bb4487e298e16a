#include "store/sqlite/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_generichash.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/problem.h"
#include "store/sqlite/beside.h"

#define MAGIC "ERanchr"
#define ID_AT 8
#define TURN_AT 24
#define LAST_AT 32
#define FILED_AT 40
#define SIZE_AT 48
#define SUM_AT 56
#define SUM_SIZE 8
#define WHOLE_SUM_SIZE 16
#define SLOT_SIZE 64

/* From one slot to the other: what a disk writes at once is no larger. */
#define STRIDE 4096

char *
anchor_path(const char *shard_path)
{
	return beside_path(shard_path, "anchor");
}

static void
sum_of(const uint8_t slot[SLOT_SIZE], uint8_t sum[SUM_SIZE])
{
	uint8_t whole[WHOLE_SUM_SIZE];
	CHECK(crypto_generichash(whole, sizeof(whole), slot, SUM_AT, NULL, 0) == 0);
	memcpy(sum, whole, SUM_SIZE);
}

static void
make_slot(uint8_t slot[SLOT_SIZE], const struct anchor *anchor)
{
	memcpy(slot, MAGIC, sizeof(MAGIC));
	memcpy(slot + ID_AT, anchor->id, ANCHOR_ID_SIZE);
	big_endian_put(slot + TURN_AT, anchor->turn, 8);
	big_endian_put(slot + LAST_AT, anchor->last, 8);
	big_endian_put(slot + FILED_AT, anchor->filed, 8);
	big_endian_put(slot + SIZE_AT, anchor->size, 8);
	sum_of(slot, slot + SUM_AT);
}

/* Takes the slot over if it verifies and is newer than what was taken before. */
static void
take_slot(struct anchor *anchor, const uint8_t slot[SLOT_SIZE])
{
	uint8_t sum[SUM_SIZE];
	sum_of(slot, sum);
	const uint64_t turn = big_endian_get(slot + TURN_AT, 8);
	if (memcmp(slot, MAGIC, sizeof(MAGIC)) != 0 || memcmp(sum, slot + SUM_AT, SUM_SIZE) != 0 ||
	    turn <= anchor->turn)
		return;
	memcpy(anchor->id, slot + ID_AT, ANCHOR_ID_SIZE);
	anchor->turn = turn;
	anchor->last = big_endian_get(slot + LAST_AT, 8);
	anchor->filed = big_endian_get(slot + FILED_AT, 8);
	anchor->size = big_endian_get(slot + SIZE_AT, 8);
}

enum status
anchor_create(const char *path, const uint8_t id[ANCHOR_ID_SIZE], uint64_t last,
	      const char **problem)
{
	uint8_t bytes[STRIDE + SLOT_SIZE] = {0};
	struct anchor anchor = {.turn = 1, .last = last};
	FAIL_POINT(BEFORE_ANCHOR_CREATE);
	const int fd = beside_make(path);
	*problem = problem_format("%s cannot be made: %s", path, strerrordesc_np(errno));
	if (fd == -1)
		return beside_failed(path, "create");
	memcpy(anchor.id, id, ANCHOR_ID_SIZE);
	make_slot(bytes, &anchor);
	enum status status = STATUS_OK;
	FAIL_POINT(AFTER_ANCHOR_OPEN);
	/* All of it: a later write changes no size. */
	if (pwrite(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		status = beside_failed(path, "write");
	else if (fsync(fd) == -1)
		status = beside_failed(path, "sync");
	(void)close(fd);
	FAIL_POINT(BEFORE_ANCHOR_FOLDER);
	status = status == STATUS_OK ? beside_sync_folder(path) : status;
	FAIL_POINT(AFTER_ANCHOR_CREATE);
	return status;
}

static enum status
read_slots(struct anchor *anchor, const char *path, const uint8_t id[ANCHOR_ID_SIZE],
	   const char **problem)
{
	for (unsigned which = 0; which < 2; which++) {
		uint8_t slot[SLOT_SIZE] = {0};
		if (pread(anchor->fd, slot, SLOT_SIZE, (off_t)which * STRIDE) == -1)
			return problem_set(problem, STATUS_STORAGE_UNAVAILABLE,
					   "%s cannot be read: %s", path, strerrordesc_np(errno));
		take_slot(anchor, slot);
	}
	if (anchor->turn == 0)
		return problem_set(problem, STATUS_LOG_DAMAGED,
				   "%s is no anchor, or has rotted in both of its slots: what the "
				   "shard must have is not known",
				   path);
	if (memcmp(anchor->id, id, ANCHOR_ID_SIZE) != 0)
		return problem_set(problem, STATUS_LOG_DAMAGED,
				   "%s is not the anchor of the shard file beside it", path);
	return STATUS_OK;
}

enum status
anchor_open(struct anchor *anchor, const char *path, const uint8_t id[ANCHOR_ID_SIZE],
	    bool writable, const char **problem)
{
	*anchor = (struct anchor){.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
	if (anchor->fd == -1)
		return problem_set(
			problem, errno == ENOENT ? STATUS_LOG_DAMAGED : STATUS_STORAGE_UNAVAILABLE,
			"%s: %s", path, strerrordesc_np(errno));
	enum status status = read_slots(anchor, path, id, problem);
	if (status == STATUS_OK) {
		anchor->path = strdup(path);
		if (anchor->path == NULL)
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	}
	if (status != STATUS_OK)
		anchor_close(anchor);
	atomic_store(&anchor->synced, anchor->last);
	return status;
}

void
anchor_close(struct anchor *anchor)
{
	if (anchor->fd != -1)
		(void)close(anchor->fd);
	free(anchor->path);
	*anchor = (struct anchor){.fd = -1};
}

void
anchor_synced(struct anchor *anchor, uint64_t last)
{
	atomic_store_explicit(&anchor->synced, last, memory_order_release);
}

void
anchor_filed(struct anchor *anchor, uint64_t filed, uint64_t size)
{
	CHECK(filed >= anchor->filed);
	anchor->filed = filed;
	anchor->size = size;
}

enum status
anchor_write(struct anchor *anchor)
{
	uint8_t slot[SLOT_SIZE];
	const uint64_t last = atomic_load_explicit(&anchor->synced, memory_order_acquire);
	CHECK(last >= anchor->last);
	anchor->last = last;
	anchor->turn++;
	make_slot(slot, anchor);
	FAIL_POINT(BEFORE_ANCHOR_WRITE);
	if (pwrite(anchor->fd, slot, SLOT_SIZE, anchor->turn % 2 == 0 ? STRIDE : 0) != SLOT_SIZE)
		return beside_failed(anchor->path, "write");
	FAIL_POINT(BEFORE_ANCHOR_SYNC);
	if (fdatasync(anchor->fd) == -1)
		return beside_failed(anchor->path, "sync");
	FAIL_POINT(AFTER_ANCHOR_SYNC);
	return STATUS_OK;
}
