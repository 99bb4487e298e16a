#include "store/sqlite/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium/crypto_generichash.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/problem.h"

#define HEAD_SIZE 64
#define MAGIC "ERjrnl1"
#define ID_AT 8
#define KEY_AT 24
#define GENERATION_AT 40
#define FIRST_ID_AT 48
#define HEAD_SUM_AT 56
#define HEAD_SUM_SIZE 8
#define SUM_SIZE 16
#define SUM_AT 16
#define VECTORS 512 /* of one pwritev */

static enum status
failed(const char *path, const char *operation)
{
	const int error = errno;
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	log_error("store", "journal file failed", LOG_STR("file", path), LOG_STR("op", operation),
		  LOG_STR("message", strerrordesc_np(error)));
	return STATUS_STORAGE_UNAVAILABLE;
}

static enum status
sync_folder(const char *path)
{
	char *copy = strdup(path);
	if (copy == NULL)
		return failed(path, "strdup");
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd == -1)
		return failed(path, "open the folder");
	const int result = fsync(fd);
	(void)close(fd);
	return result == -1 ? failed(path, "sync the folder") : STATUS_OK;
}

char *
journal_file_path(const char *shard_path, unsigned which)
{
	const char *dot = strrchr(shard_path, '.');
	const size_t stem = dot == NULL ? strlen(shard_path) : (size_t)(dot - shard_path);
	char *made;
	const int size = asprintf(&made, "%.*s.journal-%u", (int)stem, shard_path, which);
	return size == -1 ? NULL : made;
}

static void
put(uint8_t *at, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static uint64_t
get(const uint8_t *at, unsigned size)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

/* --- the head --- */

static void
head_sum(const uint8_t head[HEAD_SIZE], uint8_t sum[HEAD_SUM_SIZE])
{
	uint8_t whole[SUM_SIZE];
	CHECK(crypto_generichash(whole, SUM_SIZE, head, HEAD_SUM_AT, NULL, 0) == 0);
	memcpy(sum, whole, HEAD_SUM_SIZE);
}

static void
make_head(uint8_t head[HEAD_SIZE], const struct journal_file *file)
{
	memcpy(head, MAGIC, sizeof(MAGIC));
	memcpy(head + ID_AT, file->id, JOURNAL_ID_SIZE);
	memcpy(head + KEY_AT, file->key, JOURNAL_KEY_SIZE);
	put(head + GENERATION_AT, file->generation, 8);
	put(head + FIRST_ID_AT, file->first_id, 8);
	head_sum(head, head + HEAD_SUM_AT);
}

static enum status
write_head(struct journal_file *file)
{
	uint8_t head[HEAD_SIZE];
	make_head(head, file);
	if (pwrite(file->fd, head, HEAD_SIZE, 0) != HEAD_SIZE)
		return failed(file->path, "write");
	return STATUS_OK;
}

enum status
journal_file_create(const char *path, const uint8_t id[JOURNAL_ID_SIZE], const char **problem)
{
	struct journal_file file = {
		.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640)};
	memcpy(file.id, id, JOURNAL_ID_SIZE);
	*problem = problem_format("%s cannot be made: %s", path, strerrordesc_np(errno));
	if (file.fd == -1)
		return failed(path, "create");
	file.path = (char *)path;
	enum status status = write_head(&file);
	if (status == STATUS_OK && fsync(file.fd) == -1)
		status = failed(path, "sync");
	(void)close(file.fd);
	return status == STATUS_OK ? sync_folder(path) : status;
}

static const char *
read_head(struct journal_file *file, const uint8_t id[JOURNAL_ID_SIZE])
{
	uint8_t head[HEAD_SIZE], sum[HEAD_SUM_SIZE];
	if (pread(file->fd, head, HEAD_SIZE, 0) != HEAD_SIZE ||
	    memcmp(head, MAGIC, sizeof(MAGIC)) != 0)
		return "is no journal";
	head_sum(head, sum);
	if (memcmp(sum, head + HEAD_SUM_AT, HEAD_SUM_SIZE) != 0)
		return "has a rotten head";
	if (memcmp(head + ID_AT, id, JOURNAL_ID_SIZE) != 0)
		return "is not the journal of the shard file beside it";
	memcpy(file->id, id, JOURNAL_ID_SIZE);
	memcpy(file->key, head + KEY_AT, JOURNAL_KEY_SIZE);
	file->generation = get(head + GENERATION_AT, 8);
	file->first_id = get(head + FIRST_ID_AT, 8);
	return NULL;
}

enum status
journal_file_open(struct journal_file *file, const char *path, const uint8_t id[JOURNAL_ID_SIZE],
		  bool writable, const char **problem)
{
	*file = (struct journal_file){.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
	if (file->fd == -1) {
		*problem = problem_format("%s: %s", path, strerrordesc_np(errno));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	const char *wrong = read_head(file, id);
	if (wrong != NULL) {
		*problem = problem_format("%s %s: restore it and the shard file from the same "
					  "backup",
					  path, wrong);
		journal_file_close(file);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	file->path = strdup(path);
	if (file->path == NULL) {
		*problem = "out of memory";
		journal_file_close(file);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	return STATUS_OK;
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
	file->end = HEAD_SIZE;
	return write_head(file);
}

enum status
journal_file_empty(struct journal_file *file)
{
	file->end = file->end == 0 ? 0 : HEAD_SIZE;
	if (ftruncate(file->fd, HEAD_SIZE) == -1)
		return failed(file->path, "truncate");
	return fsync(file->fd) == -1 ? failed(file->path, "sync") : STATUS_OK;
}

/* --- frames --- */

/* Binds the frame to its generation and to its record, whose own checksum vouches for its bytes. */
static void
frame_sum(const struct journal_file *file, const uint8_t *frame, uint8_t sum[SUM_SIZE])
{
	uint8_t bytes[SUM_AT + JOURNAL_CHECKSUM_SIZE];
	memcpy(bytes, frame, SUM_AT);
	memcpy(bytes + SUM_AT, frame + FRAME_SIZE + JOURNAL_CHECKSUM_AT, JOURNAL_CHECKSUM_SIZE);
	CHECK(crypto_generichash(sum, SUM_SIZE, bytes, sizeof(bytes), file->key,
				 JOURNAL_KEY_SIZE) == 0);
}

static void
fill_frame(const struct journal_file *file, struct tail_batch *batch, size_t index)
{
	uint8_t *frame = batch->frame;
	put(frame, batch->record_size, 4);
	put(frame + 4, index, 4);
	put(frame + 8, batch->journal_id, 8);
	frame_sum(file, frame, frame + SUM_AT);
}

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
	return failed(file->path, "append");
}

enum status
journal_file_append(struct journal_file *file, struct tail_batch *first)
{
	struct iovec vectors[VECTORS];
	enum status status = STATUS_OK;
	size_t index = 0;
	CHECK(first != NULL && file->end >= HEAD_SIZE);
#ifdef EDGEREPLAY_BREAK_ACK_BEFORE_COMMIT
	/* The control of the kill test: acknowledges what only the applier will write. */
	first = NULL;
#endif
	for (struct tail_batch *batch = first; batch != NULL && status == STATUS_OK;) {
		int count = 0;
		size_t size = 0;
		for (; batch != NULL && count < VECTORS; batch = batch->next) {
			fill_frame(file, batch, index++);
			vectors[count++] = (struct iovec){batch->frame, batch->frame_size};
			size += batch->frame_size;
		}
		status = write_all(file, vectors, count, size);
	}
	if (status == STATUS_OK && fdatasync(file->fd) == -1)
		status = failed(file->path, "sync");
	return status;
}

/* --- reading --- */

struct good_frame {
	size_t at, size; /* with its filling */
	uint64_t id;
	uint64_t group; /* id of its group's first */
};

struct frames {
	const struct journal_file *file;
	uint8_t *bytes;
	size_t size;
	struct good_frame *good;
	size_t count, capacity;
};

static enum status
load(struct frames *frames)
{
	const struct journal_file *file = frames->file;
	struct stat info;
	if (fstat(file->fd, &info) == -1)
		return failed(file->path, "stat");
	frames->size = (size_t)info.st_size;
	frames->bytes = malloc(frames->size == 0 ? 1 : frames->size);
	if (frames->bytes == NULL)
		return failed(file->path, "malloc");
	for (size_t at = 0; at < frames->size;) {
		ssize_t got = pread(file->fd, frames->bytes + at, frames->size - at, (off_t)at);
		if (got <= 0)
			return failed(file->path, "read");
		at += (size_t)got;
	}
	return STATUS_OK;
}

/* Whether a good frame is at this place. */
static bool
is_frame(const struct frames *frames, size_t at, struct good_frame *good)
{
	uint8_t sum[SUM_SIZE];
	if (frames->size - at < FRAME_SIZE + JOURNAL_CHECKSUM_AT + JOURNAL_CHECKSUM_SIZE)
		return false;
	const uint8_t *frame = frames->bytes + at;
	const size_t record_size = (size_t)get(frame, 4);
	const uint64_t index = get(frame + 4, 4), id = get(frame + 8, 8);
	const uint64_t last = frames->count == 0 ? frames->file->first_id - 1
						 : frames->good[frames->count - 1].id;
	if (record_size > frames->size - at - FRAME_SIZE || id <= last || index >= id)
		return false;
	frame_sum(frames->file, frame, sum);
	*good = (struct good_frame){.at = at,
				    .size = frame_aligned(FRAME_SIZE + record_size),
				    .id = id,
				    .group = id - index};
	return memcmp(sum, frame + SUM_AT, SUM_SIZE) == 0;
}

static bool
remember(struct frames *frames, const struct good_frame *good)
{
	if (frames->count == frames->capacity) {
		const size_t larger = frames->capacity == 0 ? 256 : 2 * frames->capacity;
		struct good_frame *grown =
			reallocarray(frames->good, larger, sizeof(*frames->good));
		if (grown == NULL)
			return false;
		frames->good = grown;
		frames->capacity = larger;
	}
	frames->good[frames->count++] = *good;
	return true;
}

static enum status
find_frames(struct frames *frames)
{
	struct good_frame good;
	for (size_t at = HEAD_SIZE; at < frames->size;) {
		if (!is_frame(frames, at, &good)) {
			at += FRAME_ALIGNMENT;
			continue;
		}
		if (!remember(frames, &good))
			return failed(frames->file->path, "malloc");
		at += good.size;
	}
	return STATUS_OK;
}

/* What stands between two good frames where others should be: as long as each says, as far as that
 * can be; the last one is the rest. */
static enum status
visit_rotten(const struct frames *frames, size_t at, const struct good_frame *next, uint64_t id,
	     journal_visitor *visitor, void *cookie)
{
	enum status status = STATUS_OK;
	for (; status == STATUS_OK && id < next->id && at < next->at; id++) {
		const size_t room = next->at - at;
		const size_t said = frame_aligned(FRAME_SIZE + (size_t)get(frames->bytes + at, 4));
		const bool fits = id + 1 < next->id && said < room;
		const size_t size = fits ? said : room;
		const size_t before = size < FRAME_SIZE ? 0 : FRAME_SIZE;
		const struct journal_entry entry = {.id = id,
						    .bytes = frames->bytes + at + before,
						    .size = size - before,
						    .rotten = true};
		status = visitor(cookie, &entry);
		at += size;
	}
	return status;
}

static struct journal_entry
entry_of(const struct frames *frames, const struct good_frame *good)
{
	return (struct journal_entry){.id = good->id,
				      .bytes = frames->bytes + good->at + FRAME_SIZE,
				      .size = (size_t)get(frames->bytes + good->at, 4)};
}

/* How many of the good frames count: the newest group's only as far as it is whole. group: the id
 * of its first. */
static size_t
count_whole(const struct frames *frames, uint64_t group)
{
	size_t count = 0;
	while (count < frames->count && frames->good[count].group < group)
		count++;
	for (uint64_t due = group; count < frames->count; count++, due++) {
		struct record record;
		const struct journal_entry entry = entry_of(frames, &frames->good[count]);
		if (entry.id == due && journal_decode(entry.bytes, entry.size, &record))
			continue;
		log_warn("store", "a group that was not acknowledged ends early",
			 LOG_STR("file", frames->file->path), LOG_U64("group", group),
			 LOG_U64("record", due));
		break;
	}
	return count;
}

static enum status
visit_all(const struct frames *frames, journal_visitor *visitor, void *cookie)
{
	if (frames->good == NULL)
		return STATUS_OK;
	const uint64_t group = frames->good[frames->count - 1].group;
	const size_t count = count_whole(frames, group);
	enum status status = STATUS_OK;
	size_t at = HEAD_SIZE;
	uint64_t due = frames->file->first_id;
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		const struct good_frame *good = &frames->good[i];
		const struct journal_entry entry = entry_of(frames, good);
		status = visit_rotten(frames, at, good, due, visitor, cookie);
		if (status == STATUS_OK)
			status = visitor(cookie, &entry);
		due = good->id + 1;
		at = good->at + good->size;
	}
	/* The groups before the newest were acknowledged to their last record. */
	if (status == STATUS_OK && due < group) {
		struct good_frame next = frames->good[count];
		next.id = group;
		status = visit_rotten(frames, at, &next, due, visitor, cookie);
	}
	return status;
}

enum status
journal_file_read(struct journal_file *file, uint64_t in_place, journal_visitor *visitor,
		  void *cookie)
{
	if (file->generation <= in_place)
		return STATUS_OK;
	struct frames frames = {.file = file};
	enum status status = load(&frames);
	if (status == STATUS_OK)
		status = find_frames(&frames);
	if (status == STATUS_OK)
		status = visit_all(&frames, visitor, cookie);
	free(frames.bytes);
	free(frames.good);
	return status;
}
