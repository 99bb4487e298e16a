#include "store/snapshot_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "base/check.h"
#include "store/sqlite/beside.h"

#define ZEROS_SIZE ((size_t)64 * 1024)

#define MAGIC "ERsnap1\n"
#define MAGIC_SIZE 8
#define CHECKSUM_AT (SNAPSHOT_HEAD_SIZE - HASH_SIZE)
#define VERIFY_PIECE ((size_t)64 * 1024)

bool
snapshot_text_set(struct snapshot_text *to, struct text text)
{
	const bool fits = text.size <= SNAPSHOT_TEXT_MAX;
	to->size = fits ? (uint8_t)text.size : 0;
	if (to->size > 0)
		memcpy(to->data, text.data, to->size);
	to->data[to->size] = '\0';
	return fits;
}

/* --- the head --- */

static void
sum_head(const uint8_t head[SNAPSHOT_HEAD_SIZE], uint8_t sum[HASH_SIZE])
{
	crypto_generichash(sum, HASH_SIZE, head, CHECKSUM_AT, NULL, 0);
}

static uint8_t *
put_hash(uint8_t *at, const struct hash *hash)
{
	memcpy(at, hash->bytes, HASH_SIZE);
	return at + HASH_SIZE;
}

static uint8_t *
put_text(uint8_t *at, const struct snapshot_text *text)
{
	*at++ = text->size;
	memcpy(at, text->data, text->size);
	return at + text->size;
}

static void
write_head(const struct snapshot_facts *facts, uint8_t head[SNAPSHOT_HEAD_SIZE])
{
	uint8_t *at = head + MAGIC_SIZE;
	memset(head, 0, SNAPSHOT_HEAD_SIZE);
	memcpy(head, MAGIC, MAGIC_SIZE);
	at = big_endian_put(at, facts->position.seq, 8);
	at = put_hash(at, &facts->position.link);
	at = put_hash(at, &facts->genesis);
	at = big_endian_put(at, facts->size, 8);
	at = big_endian_put(at, facts->received_at, 8);
	at = put_hash(at, &facts->checksum);
	at = put_text(at, &facts->log);
	at = put_text(at, &facts->media_type);
	at = put_text(at, &facts->app_version);
	at = put_text(at, &facts->writer);
	CHECK(at <= head + CHECKSUM_AT);
	sum_head(head, head + CHECKSUM_AT);
}

static const uint8_t *
get_hash(const uint8_t *at, struct hash *hash)
{
	memcpy(hash->bytes, at, HASH_SIZE);
	return at + HASH_SIZE;
}

static const uint8_t *
get_text(const uint8_t *at, struct snapshot_text *text)
{
	const uint8_t size = *at++;
	(void)snapshot_text_set(text, (struct text){(const char *)at, size});
	return at + size;
}

static bool
read_head(const uint8_t head[SNAPSHOT_HEAD_SIZE], struct snapshot_facts *facts)
{
	uint8_t sum[HASH_SIZE];
	const uint8_t *at = head + MAGIC_SIZE;
	sum_head(head, sum);
	if (memcmp(sum, head + CHECKSUM_AT, HASH_SIZE) != 0 || memcmp(head, MAGIC, MAGIC_SIZE) != 0)
		return false;
	facts->position.seq = big_endian_get(at, 8);
	at = get_hash(at + 8, &facts->position.link);
	at = get_hash(at, &facts->genesis);
	facts->size = big_endian_get(at, 8);
	facts->received_at = big_endian_get(at + 8, 8);
	at = get_hash(at + 16, &facts->checksum);
	at = get_text(at, &facts->log);
	at = get_text(at, &facts->media_type);
	at = get_text(at, &facts->app_version);
	(void)get_text(at, &facts->writer);
	return true;
}

/* --- the body's checksum --- */

#define STATE_ALIGNMENT 64

static_assert(sizeof(crypto_generichash_state) + STATE_ALIGNMENT - 1 == sizeof(struct snapshot_sum),
	      "the state fits wherever it stands");

static crypto_generichash_state *
state_of(struct snapshot_sum *sum)
{
	const size_t over = (uintptr_t)sum->room % STATE_ALIGNMENT;
	return (void *)(sum->room + (over == 0 ? 0 : STATE_ALIGNMENT - over));
}

static void
sum_begin(struct snapshot_sum *sum)
{
	CHECK(crypto_generichash_init(state_of(sum), NULL, 0, HASH_SIZE) == 0);
}

static void
sum_add(struct snapshot_sum *sum, const char *data, size_t size)
{
	CHECK(crypto_generichash_update(state_of(sum), (const uint8_t *)data, size) == 0);
}

static void
sum_end(struct snapshot_sum *sum, struct hash *hash)
{
	CHECK(crypto_generichash_final(state_of(sum), hash->bytes, HASH_SIZE) == 0);
}

/* --- a draft --- */

enum status
snapshot_draft_create(struct snapshot_draft *draft, char *path)
{
	draft->path = NULL;
	draft->fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (draft->fd == -1) {
		const enum status status = beside_failed(path == NULL ? "" : path, "create");
		free(path);
		return status;
	}
	draft->path = path;
	draft->facts.size = 0;
	sum_begin(&draft->sum);
	return STATUS_OK;
}

static enum status
write_all(struct snapshot_draft *draft, const void *data, size_t size, uint64_t at)
{
	while (size > 0) {
		const ssize_t written = pwrite(draft->fd, data, size, (off_t)at);
		if (written == -1 && errno == EINTR)
			continue;
		if (written <= 0)
			return beside_failed(draft->path, "write");
		data = (const char *)data + written;
		size -= (size_t)written;
		at += (uint64_t)written;
	}
	return STATUS_OK;
}

enum status
snapshot_draft_append(struct snapshot_draft *draft, const char *data, size_t size)
{
	const enum status status =
		write_all(draft, data, size, SNAPSHOT_HEAD_SIZE + draft->facts.size);
	if (status != STATUS_OK)
		return status;
	sum_add(&draft->sum, data, size);
	draft->facts.size += size;
	return STATUS_OK;
}

void
snapshot_draft_finish(struct snapshot_draft *draft)
{
	sum_end(&draft->sum, &draft->facts.checksum);
}

enum status
snapshot_draft_sync(struct snapshot_draft *draft)
{
	uint8_t head[SNAPSHOT_HEAD_SIZE];
	write_head(&draft->facts, head);
	const enum status status = write_all(draft, head, sizeof(head), 0);
	if (status == STATUS_OK && fsync(draft->fd) == -1)
		return beside_failed(draft->path, "sync");
	return status;
}

enum status
snapshot_file_overwrite(int fd, const char *name)
{
	static const char zeros[ZEROS_SIZE];
	struct stat info;
	if (fstat(fd, &info) == -1)
		return beside_failed(name, "look at");
	for (off_t at = 0; at < info.st_size;) {
		const off_t left = info.st_size - at;
		const size_t size = left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);
		const ssize_t written = pwrite(fd, zeros, size, at);
		if (written == -1 && errno == EINTR)
			continue;
		if (written <= 0)
			return beside_failed(name, "overwrite");
		at += written;
	}
	return fsync(fd) == -1 ? beside_failed(name, "sync") : STATUS_OK;
}

void
snapshot_draft_discard(struct snapshot_draft *draft, bool erased)
{
	if (draft->path != NULL && unlink(draft->path) == -1) {
		if (errno != ENOENT)
			(void)beside_failed(draft->path, "remove");
		erased = erased || errno == ENOENT;
	}
	if (draft->path != NULL && erased && draft->fd != -1)
		(void)!snapshot_file_overwrite(draft->fd, draft->path);
	if (draft->fd != -1)
		close(draft->fd);
	draft->fd = -1;
	free(draft->path);
	draft->path = NULL;
}

/* --- a source --- */

/* STATUS_LOG_DAMAGED: the file is shorter, or the disk has lost it. */
static enum status
read_all(const struct snapshot_source *source, void *data, size_t size, uint64_t at)
{
	while (size > 0) {
		const ssize_t got = pread(source->fd, data, size, (off_t)at);
		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0)
			return STATUS_LOG_DAMAGED;
		data = (char *)data + got;
		size -= (size_t)got;
		at += (uint64_t)got;
	}
	return STATUS_OK;
}

enum status
snapshot_source_open(struct snapshot_source *source, const char *path)
{
	uint8_t head[SNAPSHOT_HEAD_SIZE];
	struct stat info;
	source->at = 0;
	sum_begin(&source->sum);
	source->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (source->fd == -1)
		return errno == ENOENT ? STATUS_NO_SNAPSHOT : beside_failed(path, "open");
	enum status status = read_all(source, head, sizeof(head), 0);
	if (status == STATUS_OK &&
	    (!read_head(head, &source->facts) || fstat(source->fd, &info) == -1 ||
	     (uint64_t)info.st_size != SNAPSHOT_HEAD_SIZE + source->facts.size))
		status = STATUS_LOG_DAMAGED;
	if (status != STATUS_OK)
		snapshot_source_close(source);
	return status;
}

static size_t
next_size(const struct snapshot_source *source, size_t size_max)
{
	const uint64_t left = source->facts.size - source->at;
	return left < size_max ? (size_t)left : size_max;
}

static bool
is_whole(struct snapshot_source *source)
{
	struct hash sum;
	sum_end(&source->sum, &sum);
	return hash_equal(&sum, &source->facts.checksum);
}

enum status
snapshot_source_read(struct snapshot_source *source, char *to, size_t size, size_t *got)
{
	*got = next_size(source, size);
	const enum status status = read_all(source, to, *got, SNAPSHOT_HEAD_SIZE + source->at);
	if (status != STATUS_OK)
		return status;
	sum_add(&source->sum, to, *got);
	source->at += *got;
	return source->at < source->facts.size || is_whole(source) ? STATUS_OK : STATUS_LOG_DAMAGED;
}

enum status
snapshot_source_verify(struct snapshot_source *source, size_t size, bool *verified)
{
	char piece[VERIFY_PIECE];
	enum status status = STATUS_OK;
	*verified = false;
	do {
		size_t got = 0;
		status = snapshot_source_read(source, piece,
					      size < sizeof(piece) ? size : sizeof(piece), &got);
		size -= got;
	} while (status == STATUS_OK && size > 0 && source->at < source->facts.size);
	if (status == STATUS_OK && source->at == source->facts.size) {
		*verified = true;
		source->at = 0;
		sum_begin(&source->sum);
	}
	return status;
}

void
snapshot_source_close(struct snapshot_source *source)
{
	if (source->fd != -1)
		close(source->fd);
	source->fd = -1;
}
