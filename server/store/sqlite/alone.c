#include "store/sqlite/alone.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "store/sqlite/beside.h"

/* The WAL's bytes (sqlite.org/fileformat2.html, section 4). */
#define WAL_HEAD_SIZE 32
#define WAL_MAGIC 0x377f0682u /* its last bit: the checksum's words are big-endian */
#define WAL_PAGE_SIZE_AT 8
#define WAL_SALT_AT 16
#define WAL_SUM_AT 24
#define FRAME_HEAD_SIZE 24
#define FRAME_COMMIT_AT 4
#define FRAME_SALT_AT 8
#define FRAME_SUM_AT 16
#define PAGE_SIZE_MAX 65536

/* --- the WAL --- */

struct sum {
	uint32_t words[2];
	bool big_endian;
};

static void
sum_add(struct sum *sum, const uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at < size; at += 8) {
		uint32_t first, second;
		if (sum->big_endian) {
			first = (uint32_t)big_endian_get(bytes + at, 4);
			second = (uint32_t)big_endian_get(bytes + at + 4, 4);
		} else {
			first = __builtin_bswap32((uint32_t)big_endian_get(bytes + at, 4));
			second = __builtin_bswap32((uint32_t)big_endian_get(bytes + at + 4, 4));
		}
		sum->words[0] += first + sum->words[1];
		sum->words[1] += second + sum->words[0];
	}
}

static bool
sum_is(const struct sum *sum, const uint8_t *bytes)
{
	return big_endian_get(bytes, 4) == sum->words[0] &&
	       big_endian_get(bytes + 4, 4) == sum->words[1];
}

/* Whether the log begins with a transaction that SQLite will take: all frames up to the first that
 * commits verify. */
static bool
begins_with_commit(int fd)
{
	uint8_t head[WAL_HEAD_SIZE];
	if (pread(fd, head, sizeof(head), 0) != WAL_HEAD_SIZE)
		return false;
	const uint32_t magic = (uint32_t)big_endian_get(head, 4);
	const uint64_t page_size = big_endian_get(head + WAL_PAGE_SIZE_AT, 4);
	struct sum sum = {.big_endian = (magic & 1) != 0};
	sum_add(&sum, head, WAL_SUM_AT);
	if ((magic & ~1u) != WAL_MAGIC || page_size > PAGE_SIZE_MAX || page_size % 8 != 0 ||
	    !sum_is(&sum, head + WAL_SUM_AT))
		return false;
	static _Thread_local uint8_t frame[FRAME_HEAD_SIZE + PAGE_SIZE_MAX];
	const size_t size = FRAME_HEAD_SIZE + (size_t)page_size;
	for (off_t at = WAL_HEAD_SIZE; pread(fd, frame, size, at) == (ssize_t)size;
	     at += (off_t)size) {
		sum_add(&sum, frame, FRAME_SALT_AT);
		sum_add(&sum, frame + FRAME_HEAD_SIZE, (size_t)page_size);
		if (memcmp(frame + FRAME_SALT_AT, head + WAL_SALT_AT, 8) != 0 ||
		    !sum_is(&sum, frame + FRAME_SUM_AT))
			return false;
		if (big_endian_get(frame + FRAME_COMMIT_AT, 4) != 0)
			return true;
	}
	return false;
}

static enum status
look_at_wal(const char *path, bool *has_commit)
{
	char *wal;
	if (asprintf(&wal, "%s-wal", path) == -1)
		return beside_failed(path, "asprintf");
	enum status status = STATUS_OK;
	const int fd = open(wal, O_RDONLY | O_CLOEXEC);
	*has_commit = fd != -1 && begins_with_commit(fd);
	if (fd != -1)
		(void)close(fd);
	else if (errno != ENOENT)
		status = beside_failed(wal, "open");
	free(wal);
	return status;
}

/* --- the file --- */

/* As a URI that makes SQLite look at the file and at nothing beside it. From malloc. */
static char *
uri_of(const char *path)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char ending[] = "?immutable=1";
	char *uri = malloc(sizeof("file:") + 3 * strlen(path) + sizeof(ending));
	if (uri == NULL)
		return NULL;
	memcpy(uri, "file:", 5);
	char *at = uri + 5;
	for (; *path != '\0'; path++) {
		const unsigned char byte = (unsigned char)*path;
		if (byte > ' ' && byte < 0x7f && strchr("%?#", byte) == NULL) {
			*at++ = (char)byte;
			continue;
		}
		*at++ = '%';
		*at++ = hex[byte >> 4];
		*at++ = hex[byte & 15];
	}
	memcpy(at, ending, sizeof(ending));
	return uri;
}

static bool
read_commits(sqlite3 *db, uint64_t *commits)
{
	sqlite3_stmt *select = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT commits FROM in_place", -1, &select, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(select);
	if (rc == SQLITE_ROW)
		*commits = (uint64_t)sqlite3_column_int64(select, 0);
	(void)sqlite3_finalize(select);
	return rc == SQLITE_ROW;
}

enum status
alone_look(const char *path, struct alone *alone)
{
	struct stat info;
	sqlite3 *db = NULL;
	*alone = (struct alone){0};
	if (stat(path, &info) == -1)
		return beside_failed(path, "stat");
	alone->size = (uint64_t)info.st_size;
	char *uri = uri_of(path);
	if (uri == NULL)
		return beside_failed(path, "malloc");
	if (sqlite3_open_v2(uri, &db,
			    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
				    SQLITE_OPEN_PRIVATECACHE,
			    NULL) == SQLITE_OK)
		alone->is_readable = read_commits(db, &alone->commits);
	(void)sqlite3_close(db);
	free(uri);
	return look_at_wal(path, &alone->wal_has_commit);
}
