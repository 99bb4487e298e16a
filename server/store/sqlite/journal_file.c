#include "store/sqlite/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_generichash.h>
#include <sodium/randombytes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/problem.h"
#include "store/sqlite/beside.h"

#define MAGIC "ERjrnl1"
#define ID_AT 8
#define KEY_AT 24
#define GENERATION_AT 40
#define FIRST_ID_AT 48
#define HEAD_SUM_AT 56
#define HEAD_SUM_SIZE 8
#define SUM_SIZE 16
/* Most that one pwritev takes: Linux writes less than 2 GiB at once. */
#define VECTORS 512
#define WRITE_SIZE_MAX ((size_t)1 << 30)

enum status
journal_file_failed(const char *path, const char *operation)
{
	const int error = errno;
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	log_error("store", "journal file failed", LOG_STR("file", path), LOG_STR("op", operation),
		  LOG_STR("message", strerrordesc_np(error)));
	return STATUS_STORAGE_UNAVAILABLE;
}

char *
journal_file_path(const char *shard_path, unsigned which)
{
	return beside_path(shard_path, which == 0 ? "journal-0" : "journal-1");
}

/* --- the head --- */

static void
head_sum(const uint8_t head[JOURNAL_HEAD_SIZE], uint8_t sum[HEAD_SUM_SIZE])
{
	uint8_t whole[SUM_SIZE];
	CHECK(crypto_generichash(whole, SUM_SIZE, head, HEAD_SUM_AT, NULL, 0) == 0);
	memcpy(sum, whole, HEAD_SUM_SIZE);
}

static void
make_head(uint8_t head[JOURNAL_HEAD_SIZE], const struct journal_file *file)
{
	memcpy(head, MAGIC, sizeof(MAGIC));
	memcpy(head + ID_AT, file->id, JOURNAL_ID_SIZE);
	memcpy(head + KEY_AT, file->key, JOURNAL_KEY_SIZE);
	big_endian_put(head + GENERATION_AT, file->generation, 8);
	big_endian_put(head + FIRST_ID_AT, file->first_id, 8);
	head_sum(head, head + HEAD_SUM_AT);
}

static enum status
write_head(struct journal_file *file)
{
	uint8_t head[JOURNAL_HEAD_SIZE];
	make_head(head, file);
	if (pwrite(file->fd, head, JOURNAL_HEAD_SIZE, 0) != JOURNAL_HEAD_SIZE)
		return journal_file_failed(file->path, "write");
	return STATUS_OK;
}

enum status
journal_file_create(const char *path, const uint8_t id[JOURNAL_ID_SIZE], const char **problem)
{
	struct journal_file file = {.fd = beside_make(path)};
	memcpy(file.id, id, JOURNAL_ID_SIZE);
	*problem = problem_format("%s cannot be made: %s", path, strerrordesc_np(errno));
	if (file.fd == -1)
		return journal_file_failed(path, "create");
	file.path = (char *)path;
	enum status status = write_head(&file);
	if (status == STATUS_OK && fsync(file.fd) == -1)
		status = journal_file_failed(path, "sync");
	(void)close(file.fd);
	return status == STATUS_OK ? beside_sync_folder(path) : status;
}

/* NULL, or what a head is instead of this shard's. */
static const char *
take_head(struct journal_file *file, const uint8_t head[JOURNAL_HEAD_SIZE],
	  const uint8_t id[JOURNAL_ID_SIZE])
{
	uint8_t sum[HEAD_SUM_SIZE];
	if (memcmp(head, MAGIC, sizeof(MAGIC)) != 0)
		return "is no journal";
	head_sum(head, sum);
	if (memcmp(sum, head + HEAD_SUM_AT, HEAD_SUM_SIZE) != 0)
		return "has a rotten head";
	if (memcmp(head + ID_AT, id, JOURNAL_ID_SIZE) != 0)
		return "is not the journal of the shard file beside it";
	memcpy(file->id, id, JOURNAL_ID_SIZE);
	memcpy(file->key, head + KEY_AT, JOURNAL_KEY_SIZE);
	file->generation = big_endian_get(head + GENERATION_AT, 8);
	file->first_id = big_endian_get(head + FIRST_ID_AT, 8);
	return NULL;
}

static enum status
read_head(struct journal_file *file, const char *path, const uint8_t id[JOURNAL_ID_SIZE],
	  const char **problem)
{
	uint8_t head[JOURNAL_HEAD_SIZE];
	const ssize_t got = pread(file->fd, head, JOURNAL_HEAD_SIZE, 0);
	if (got == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s cannot be read: %s",
				   path, strerrordesc_np(errno));
	const char *wrong =
		got == (ssize_t)JOURNAL_HEAD_SIZE ? take_head(file, head, id) : "is cut off";
	if (wrong == NULL)
		return STATUS_OK;
	return problem_set(problem, STATUS_LOG_DAMAGED, "%s %s", path, wrong);
}

enum status
journal_file_open(struct journal_file *file, const char *path, const uint8_t id[JOURNAL_ID_SIZE],
		  bool writable, const char **problem)
{
	*file = (struct journal_file){.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
	if (file->fd == -1)
		return problem_set(
			problem, errno == ENOENT ? STATUS_LOG_DAMAGED : STATUS_STORAGE_UNAVAILABLE,
			"%s: %s", path, strerrordesc_np(errno));
	enum status status = read_head(file, path, id, problem);
	if (status == STATUS_OK) {
		file->path = strdup(path);
		if (file->path == NULL)
			status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "out of memory");
	}
	if (status != STATUS_OK)
		journal_file_close(file);
	return status;
}

void
journal_file_close(struct journal_file *file)
{
	if (file->fd != -1)
		(void)close(file->fd);
	free(file->path);
	*file = (struct journal_file){.fd = -1};
}

enum status
journal_file_begin(struct journal_file *file, uint64_t generation, uint64_t first_id)
{
	CHECK(generation > file->generation);
	randombytes_buf(file->key, sizeof(file->key));
	file->generation = generation;
	file->first_id = first_id;
	file->end = JOURNAL_HEAD_SIZE;
	return write_head(file);
}

enum status
journal_file_empty(struct journal_file *file)
{
	file->end = file->end == 0 ? 0 : JOURNAL_HEAD_SIZE;
	if (ftruncate(file->fd, JOURNAL_HEAD_SIZE) == -1)
		return journal_file_failed(file->path, "truncate");
	return fsync(file->fd) == -1 ? journal_file_failed(file->path, "sync") : STATUS_OK;
}

/* --- frames --- */

/* Everything, or nothing is known. */
static enum status
write_all(struct journal_file *file, struct iovec *vectors, int count, size_t size)
{
	ssize_t written = pwritev(file->fd, vectors, count, (off_t)file->end);
	if (written == (ssize_t)size) {
		file->end += size;
		return STATUS_OK;
	}
	if (written >= 0)
		errno = ENOSPC; /* what a short write of a file means */
	return journal_file_failed(file->path, "append");
}

enum status
journal_file_append(struct journal_file *file, struct tail_batch *first)
{
	struct iovec vectors[VECTORS];
	enum status status = STATUS_OK;
	size_t index = 0;
	CHECK(first != NULL && file->end >= JOURNAL_HEAD_SIZE);
	FAIL_POINT(BEFORE_APPEND);
	for (struct tail_batch *batch = first; batch != NULL && status == STATUS_OK;) {
		int count = 0;
		size_t size = 0;
		for (; batch != NULL && count < VECTORS && size < WRITE_SIZE_MAX;
		     batch = batch->next) {
			const struct frame frame = {.id = batch->journal_id,
						    .index = index,
						    .record_size = batch->record_size};
			frame_write(batch->frame, &frame, file->key);
			index++;
			vectors[count++] = (struct iovec){batch->frame, batch->frame_size};
			size += batch->frame_size;
		}
		status = write_all(file, vectors, count, size);
	}
	FAIL_POINT(BEFORE_SYNC);
	const uint64_t began = clock_monotonic_usec();
	if (status == STATUS_OK && fdatasync(file->fd) == -1)
		status = journal_file_failed(file->path, "sync");
	histogram_add(HISTOGRAM_JOURNAL_SYNC, clock_monotonic_usec() - began);
	FAIL_POINT(AFTER_SYNC);
	return status;
}
