#include "store/sqlite/journal_read.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/sqlite/journal.h"

struct good_frame {
	size_t at, size; /* with its filling */
	size_t record_size;
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
		return journal_file_failed(file->path, "stat");
	frames->size = (size_t)info.st_size;
	frames->bytes = malloc(frames->size == 0 ? 1 : frames->size);
	if (frames->bytes == NULL)
		return journal_file_failed(file->path, "malloc");
	for (size_t at = 0; at < frames->size;) {
		ssize_t got = pread(file->fd, frames->bytes + at, frames->size - at, (off_t)at);
		if (got <= 0)
			return journal_file_failed(file->path, "read");
		at += (size_t)got;
	}
	return STATUS_OK;
}

/* Whether a good frame is at this place. */
static bool
is_frame(const struct frames *frames, size_t at, struct good_frame *good)
{
	struct frame frame;
	const struct journal_file *file = frames->file;
	const uint64_t last =
		frames->count == 0 ? file->first_id - 1 : frames->good[frames->count - 1].id;
	if (!frame_read(frames->bytes + at, frames->size - at, file->key, &frame) ||
	    frame.id <= last || frame.index >= frame.id)
		return false;
	*good = (struct good_frame){.at = at,
				    .size = frame_aligned(FRAME_SIZE + frame.record_size),
				    .record_size = frame.record_size,
				    .id = frame.id,
				    .group = frame.id - frame.index};
	return true;
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
	for (size_t at = JOURNAL_HEAD_SIZE; at < frames->size;) {
		if (!is_frame(frames, at, &good)) {
			at += FRAME_ALIGNMENT;
			continue;
		}
		if (!remember(frames, &good))
			return journal_file_failed(frames->file->path, "malloc");
		at += good.size;
	}
	return STATUS_OK;
}

/* Where reading stops short of the next good frame, or at the end of the file. */
struct reading_limit {
	size_t at;
	uint64_t id; /* of what stands there, or would come after the last */
	bool is_end;
};

/* What stands at a place where a record should: as long as it says, if that can be, else all of it. */
static struct journal_entry
rotten_entry(const struct frames *frames, size_t at, const struct reading_limit *limit, uint64_t id,
	     size_t *size)
{
	const size_t room = limit->at - at;
	const uint8_t *bytes = frames->bytes + at;
	struct journal_entry entry = {.id = id, .bytes = bytes, .size = room, .rotten = true};
	*size = room;
	if (room < FRAME_SIZE)
		return entry;
	const size_t record_size = frame_peek(bytes).record_size;
	const size_t said = frame_aligned(FRAME_SIZE + record_size);
	const bool is_last = id + 1 == limit->id && !limit->is_end;
	const bool fits = is_last ? said == room : said <= room;
	*size = fits ? said : room;
	entry.bytes += FRAME_SIZE;
	entry.size = fits ? record_size : room - FRAME_SIZE;
	return entry;
}

/* Each id that is missing up to a limit, also where no byte is left for it. */
static enum status
visit_rotten(const struct frames *frames, size_t at, const struct reading_limit *limit, uint64_t id,
	     journal_visitor *visitor, void *cookie)
{
	enum status status = STATUS_OK;
	for (; status == STATUS_OK && id < limit->id; id++) {
		size_t size;
		const struct journal_entry entry = rotten_entry(frames, at, limit, id, &size);
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
				      .size = good->record_size};
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

/* Which of the good frames count, and up to where all that is missing was acknowledged: the records
 * before the newest group, or before an id that is known. */
static size_t
find_limit(const struct frames *frames, uint64_t known_id, struct reading_limit *limit)
{
	if (known_id > 0 || frames->good == NULL) {
		*limit = (struct reading_limit){
			.at = frames->size < JOURNAL_HEAD_SIZE ? JOURNAL_HEAD_SIZE : frames->size,
			.id = known_id,
			.is_end = true};
		return frames->count;
	}
	const uint64_t group = frames->good[frames->count - 1].group;
	const size_t count = count_whole(frames, group);
	*limit = (struct reading_limit){.id = group};
	if (count < frames->count)
		limit->at = frames->good[count].at;
	return count;
}

static enum status
visit_all(const struct frames *frames, uint64_t known_id, journal_visitor *visitor, void *cookie)
{
	struct reading_limit end;
	const size_t count = find_limit(frames, known_id, &end);
	enum status status = STATUS_OK;
	size_t at = JOURNAL_HEAD_SIZE;
	uint64_t due = frames->file->first_id;
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		const struct good_frame *good = &frames->good[i];
		const struct journal_entry entry = entry_of(frames, good);
		const struct reading_limit limit = {.at = good->at, .id = good->id};
		status = visit_rotten(frames, at, &limit, due, visitor, cookie);
		if (status == STATUS_OK)
			status = visitor(cookie, &entry);
		due = good->id + 1;
		at = good->at + good->size;
	}
	return status == STATUS_OK ? visit_rotten(frames, at, &end, due, visitor, cookie) : status;
}

/* known_id: all records before it were acknowledged; 0 when nothing is known. */
static enum status
read_file(struct journal_file *file, uint64_t known_id, journal_visitor *visitor, void *cookie)
{
	struct frames frames = {.file = file};
	enum status status = load(&frames);
	if (status == STATUS_OK)
		status = find_frames(&frames);
	if (status == STATUS_OK)
		status = visit_all(&frames, known_id, visitor, cookie);
	free(frames.bytes);
	free(frames.good);
	return status;
}

bool
journal_files_are_whole(const struct journal_file files[2], uint64_t in_place)
{
	const unsigned newer = files[0].generation <= files[1].generation ? 1 : 0;
	const uint64_t newest = files[newer].generation;
	return newest <= in_place + 1 ||
	       (newest == in_place + 2 && files[1 - newer].generation == in_place + 1);
}

enum status
journal_files_read(struct journal_file files[2], uint64_t in_place, journal_visitor *visitor,
		   void *cookie)
{
	const unsigned newer = files[0].generation <= files[1].generation ? 1 : 0;
	struct journal_file *first = &files[1 - newer], *second = &files[newer];
	/* It was begun when the last group of the one before it was on the disk. */
	const bool follows = second->generation == first->generation + 1;
	enum status status = STATUS_OK;
	if (first->generation > in_place)
		status = read_file(first, follows ? second->first_id : 0, visitor, cookie);
	if (status == STATUS_OK && second->generation > in_place)
		status = read_file(second, 0, visitor, cookie);
	return status;
}
