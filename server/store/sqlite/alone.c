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
#include "store/sqlite/wal.h"

#define PAGE_SIZE_MAX 65536

/* --- the WAL --- */

/* Whether the log begins with a transaction that SQLite will take: all frames up to the first that
 * commits verify. */
static bool
begins_with_commit(int fd)
{
	uint8_t head[WAL_HEAD_SIZE];
	if (pread(fd, head, sizeof(head), 0) != WAL_HEAD_SIZE)
		return false;
	const uint64_t page_size = big_endian_get(head + WAL_PAGE_SIZE_AT, 4);
	struct wal_sum sum;
	if (!wal_sum_begin(&sum, head) || page_size > PAGE_SIZE_MAX || page_size % 8 != 0)
		return false;
	static _Thread_local uint8_t frame[FRAME_HEAD_SIZE + PAGE_SIZE_MAX];
	const size_t size = FRAME_HEAD_SIZE + (size_t)page_size;
	for (off_t at = WAL_HEAD_SIZE; pread(fd, frame, size, at) == (ssize_t)size;
	     at += (off_t)size) {
		if (!wal_has_frame(head, frame) || !wal_sum_add(&sum, frame, (size_t)page_size))
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
