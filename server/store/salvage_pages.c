#include "store/salvage_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "base/problem.h"
#include "store/sqlite/wal.h"

#define FRAME_SIZE (FRAME_HEAD_SIZE + PAGE_SIZE)

#define COUNT_AT 28 /* in page 1 */
#define FREE_LIST_AT 32

/* --- the write-ahead log --- */

/* Each frame has the sum of all up to it, so that each can be verified from what the one before it has,
 * also where that one has rotted. */
struct wal {
	int fd;
	uint8_t head[WAL_HEAD_SIZE];
	uint8_t frame[FRAME_SIZE];
	struct wal_sum before;
};

static bool
begin_wal(struct wal *wal)
{
	if (pread(wal->fd, wal->head, WAL_HEAD_SIZE, 0) != WAL_HEAD_SIZE)
		return false;
	return wal_sum_begin(&wal->before, wal->head) &&
	       big_endian_get(wal->head + WAL_PAGE_SIZE_AT, 4) == PAGE_SIZE;
}

/* *good: it verifies. What older logs left behind has other salts. False: there is no frame there. */
static bool
read_frame(struct wal *wal, uint64_t at, bool *good)
{
	if (pread(wal->fd, wal->frame, FRAME_SIZE, (off_t)at) != (ssize_t)FRAME_SIZE)
		return false;
	struct wal_sum sum = wal->before;
	*good = wal_sum_add(&sum, wal->frame, PAGE_SIZE) && wal_has_frame(wal->head, wal->frame);
	for (unsigned i = 0; i < 2; i++)
		wal->before.words[i] =
			(uint32_t)big_endian_get(wal->frame + FRAME_SUM_AT + 4 * i, 4);
	return true;
}

/* Where the last transaction ends; 0 when there is none. *count: the file's pages after it. A frame that
 * has rotted takes no other with it, for rows prove themselves. */
static uint64_t
find_wal_end(struct wal *wal, uint64_t *count, bool *is_rotten)
{
	struct stat info;
	uint64_t end = 0, frames = 0, good_ones = 0;
	bool good;
	if (!begin_wal(wal)) {
		*is_rotten = fstat(wal->fd, &info) == -1 || info.st_size > 0;
		return 0;
	}
	for (uint64_t at = WAL_HEAD_SIZE; read_frame(wal, at, &good); at += FRAME_SIZE) {
		frames++;
		if (!good) {
			*is_rotten |= wal_has_frame(wal->head, wal->frame);
			continue;
		}
		*is_rotten |= ++good_ones < frames;
		if (big_endian_get(wal->frame + FRAME_COMMIT_AT, 4) != 0) {
			*count = big_endian_get(wal->frame + FRAME_COMMIT_AT, 4);
			end = at + FRAME_SIZE;
		}
	}
	return end;
}

static void
note_frames(struct pages *pages, struct wal *wal, uint64_t end)
{
	bool good;
	if (end == 0 || !begin_wal(wal))
		return;
	for (uint64_t at = WAL_HEAD_SIZE; at < end && read_frame(wal, at, &good);
	     at += FRAME_SIZE) {
		const uint64_t number = big_endian_get(wal->frame, 4);
		if (good && number >= 1 && number <= pages->count)
			pages->frames[number - 1] = at + FRAME_HEAD_SIZE;
	}
}

/* --- free pages --- */

/* A list that has rotted leads nowhere, or to pages in use: those are taken for old, which makes no row of
 * them less proven. */
static void
note_free(struct pages *pages)
{
	static _Thread_local uint8_t page[PAGE_SIZE];
	if (!pages_read(pages, 1, page))
		return;
	uint64_t trunk = big_endian_get(page + FREE_LIST_AT, 4);
	pages->said = big_endian_get(page + COUNT_AT, 4);
	while (trunk >= 1 && trunk <= pages->count && !pages->is_free[trunk - 1] &&
	       pages_read(pages, trunk, page)) {
		const uint64_t leaves = big_endian_get(page + 4, 4);
		pages->is_free[trunk - 1] = true;
		if (leaves > PAGE_SIZE / 4 - 2)
			return;
		for (uint64_t i = 0; i < leaves; i++) {
			const uint64_t leaf = big_endian_get(page + 8 + 4 * i, 4);
			if (leaf >= 1 && leaf <= pages->count)
				pages->is_free[leaf - 1] = true;
		}
		trunk = big_endian_get(page, 4);
	}
}

/* --- opening, reading --- */

static int
open_wal(const char *path)
{
	char *name;
	if (asprintf(&name, "%s-wal", path) == -1) {
		errno = ENOMEM;
		return -1;
	}
	const int fd = open(name, O_RDONLY | O_CLOEXEC);
	free(name);
	return fd;
}

static enum status
failed(struct pages *pages, const char *path, const char **problem)
{
	const int error = errno;
	pages_close(pages);
	return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s cannot be read: %s", path,
			   strerrordesc_np(error));
}

enum status
pages_open(struct pages *pages, const char *path, const char **problem)
{
	struct stat info;
	uint64_t of_wal = 0;
	*pages = (struct pages){.wal = -1, .file = open(path, O_RDONLY | O_CLOEXEC)};
	if (pages->file == -1 || fstat(pages->file, &info) == -1)
		return failed(pages, path, problem);
	pages->wal = open_wal(path);
	if (pages->wal == -1 && errno != ENOENT)
		return failed(pages, path, problem);
	static _Thread_local struct wal wal;
	wal.fd = pages->wal;
	const uint64_t end = wal.fd == -1 ? 0 : find_wal_end(&wal, &of_wal, &pages->is_wal_rotten);
	pages->count = (uint64_t)info.st_size / PAGE_SIZE;
	if (of_wal > pages->count)
		pages->count = of_wal;
	if (pages->count > PAGE_NUMBER_MAX)
		pages->count = PAGE_NUMBER_MAX;
	errno = ENOMEM;
	pages->frames = calloc(pages->count + 1, sizeof(*pages->frames));
	pages->is_free = calloc(pages->count + 1, sizeof(*pages->is_free));
	pages->is_rest = calloc(pages->count + 1, sizeof(*pages->is_rest));
	if (pages->frames == NULL || pages->is_free == NULL || pages->is_rest == NULL)
		return failed(pages, path, problem);
	note_frames(pages, &wal, end);
	note_free(pages);
	return STATUS_OK;
}

void
pages_close(struct pages *pages)
{
	if (pages->file != -1)
		(void)close(pages->file);
	if (pages->wal != -1)
		(void)close(pages->wal);
	free(pages->frames);
	free(pages->is_free);
	free(pages->is_rest);
	*pages = (struct pages){.file = -1, .wal = -1};
}

bool
pages_read(const struct pages *pages, uint64_t number, uint8_t page[PAGE_SIZE])
{
	if (number == 0 || number > pages->count)
		return false;
	const uint64_t frame = pages->frames[number - 1];
	const int fd = frame == 0 ? pages->file : pages->wal;
	const uint64_t at = frame == 0 ? (number - 1) * PAGE_SIZE : frame;
	return pread(fd, page, PAGE_SIZE, (off_t)at) == (ssize_t)PAGE_SIZE;
}
