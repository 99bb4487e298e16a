#include "cli/remove_list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/map.h"
#include "cli/in_file.h"
#include "cli/json_text.h"
#include "cli/phone_answer.h"
#include "cli/report.h"

#define LINES_SIZE_MAX ((size_t)64 << 20)

/* --- writing --- */

int
remove_list_open(const char *path)
{
	const int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

	if (fd == -1)
		report_error("--record=%s: %s; nothing was removed", path, strerror(errno));
	return fd;
}

static bool
ends_inside_line(int fd)
{
	char last = '\n';

	return lseek(fd, -1, SEEK_END) != -1 && read(fd, &last, 1) == 1 && last != '\n';
}

static bool
write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		const ssize_t written = write(fd, data, size);

		if (written == -1)
			return false;
		data += written;
		size -= (size_t)written;
	}
	return fsync(fd) == 0;
}

static void
write_actions(struct buffer *out, const struct removal *removal)
{
	char id[ID_TEXT_SIZE];

	for (size_t i = 0; i < removal->seq_count; i++) {
		id_to_text(removal->ids[i], id);
		buffer_append_text(out, TEXT("{\"log\":"));
		json_write_string(out, removal->log);
		buffer_printf(out, ",\"seq\":%" PRIu64 ",\"id\":\"%.*s\"}\n", removal->seqs[i],
			      ID_TEXT_SIZE, id);
	}
}

static void
write_log(struct buffer *out, const struct removal *removal)
{
	const struct head *head = &removal->head;

	buffer_append_text(out, TEXT("{\"log\":"));
	json_write_string(out, removal->log);
	if (removal->kind == REMOVE_NOTHING) {
		buffer_append_text(out, TEXT(",\"reopened\":true}\n"));
		return;
	}
	buffer_printf(
		out, ",\"erased\":true,\"seq\":%" PRIu64 ",\"erasedAt\":%" PRIu64 ",\"stateHash\":",
		head->position.seq, head->gone.erased_at);
	json_write_hash(out, &head->position.link);
	buffer_append_text(out, TEXT("}\n"));
}

enum exit_code
remove_list_append(int fd, const struct removal *removal)
{
	struct buffer out;
	bool written = flock(fd, LOCK_EX) == 0;

	buffer_init(&out, LINES_SIZE_MAX);
	if (ends_inside_line(fd))
		buffer_append_text(&out, TEXT("\n"));
	if (removal->kind == REMOVE_ACTIONS)
		write_actions(&out, removal);
	else
		write_log(&out, removal);
	errno = out.failed ? ENOMEM : errno;
	written = written && !out.failed && write_all(fd, out.data, out.size);
	if (!written)
		report_error("--record: %s; what was to be noted there is removed: run the same "
			     "again with another FILE",
			     strerror(errno));
	(void)flock(fd, LOCK_UN);
	buffer_release(&out);
	return written ? EXIT_FINE : EXIT_LOCAL;
}

/* --- reading --- */

/* A log that the list erases or opens. */
struct listed_log {
	UT_hash_handle hh;
	bool is_open;	       /* in the end */
	uint64_t last_erasure; /* its line */
	size_t size;
	char name[];
};

struct list_reading {
	const struct remove_list_order *order;
	uint64_t line, bad;
	struct listed_log *logs;
	enum exit_code code;
	bool unverified; /* one was */

	/* Actions of one log that wait to be visited. */
	char log[LOG_NAME_SIZE_MAX];
	size_t log_size, count;
	uint64_t *seqs;
	uint8_t (*ids)[ID_SIZE];
};

static enum status
visit(struct list_reading *reading, struct removal *removal, bool is_last)
{
	const enum exit_code code = reading->order->visit(reading->order->cookie, removal, is_last);

	reading->unverified |= code == EXIT_UNVERIFIED;
	reading->code = code == EXIT_UNVERIFIED ? EXIT_FINE : code;
	/* Reported; STATUS_INTERNAL would be, once more, as memory that is out. */
	return reading->code == EXIT_FINE ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

static enum status
visit_actions(struct list_reading *reading)
{
	struct removal removal = {.kind = REMOVE_ACTIONS,
				  .log = {reading->log, reading->log_size},
				  .seqs = reading->seqs,
				  .seq_count = reading->count,
				  .ids = reading->ids,
				  .ids_are_known = true};

	if (reading->count == 0)
		return STATUS_OK;
	reading->count = 0;
	return visit(reading, &removal, false);
}

static enum status
take_action(struct list_reading *reading, struct text log, uint64_t seq, const uint8_t id[ID_SIZE])
{
	const struct text before = {reading->log, reading->log_size};
	enum status status = STATUS_OK;

	if (reading->count == reading->order->max || !text_equal(before, log))
		status = visit_actions(reading);
	memcpy(reading->log, log.data, log.size);
	reading->log_size = log.size;
	reading->seqs[reading->count] = seq;
	memcpy(reading->ids[reading->count++], id, ID_SIZE);
	return status;
}

static struct listed_log *
find_log(const struct list_reading *reading, struct text log)
{
	struct listed_log *found = NULL;

	HASH_FIND(hh, reading->logs, log.data, log.size, found);
	return found;
}

static bool
is_said(const json_t *root, const char *name)
{
	return json_is_true(json_object_get(root, name));
}

static enum status
take_erasure(struct list_reading *reading, const json_t *root, struct text log)
{
	struct hash link;
	struct removal removal = {.kind = REMOVE_ALL, .log = log, .erased_link = &link};
	const struct listed_log *listed = find_log(reading, log);
	enum status status;

	if (!json_read_u64(root, "seq", SEQ_MAX, &removal.upto) ||
	    !json_read_u64(root, "erasedAt", TS_MAX - 2, &removal.received_before) ||
	    !json_read_hash(root, "stateHash", &link))
		return STATUS_MALFORMED;
	removal.received_before++;
	removal.stays_open = listed != NULL && listed->is_open;
	const bool is_last = listed != NULL && listed->last_erasure == reading->line;
	status = visit_actions(reading);
	return status == STATUS_OK ? visit(reading, &removal, is_last) : status;
}

static enum status
take_reopening(struct list_reading *reading, struct text log)
{
	struct removal removal = {.kind = REMOVE_NOTHING, .log = log};
	const struct listed_log *listed = find_log(reading, log);
	enum status status = visit_actions(reading);

	return status == STATUS_OK && listed != NULL && listed->is_open
		       ? visit(reading, &removal, false)
		       : status;
}

static enum status
take_root(struct list_reading *reading, const json_t *root)
{
	struct text log, id;
	uint8_t bytes[ID_SIZE];
	uint64_t seq;

	if (!json_read_text(root, "log", &log) || !log_name_is_valid(log))
		return STATUS_MALFORMED;
	if (is_said(root, "erased"))
		return take_erasure(reading, root, log);
	if (is_said(root, "reopened"))
		return take_reopening(reading, log);
	if (!json_read_u64(root, "seq", SEQ_MAX, &seq) || !json_read_text(root, "id", &id) ||
	    !id_from_text(id, bytes))
		return STATUS_MALFORMED;
	return take_action(reading, log, seq, bytes);
}

static enum status
take_line(void *cookie, struct text line)
{
	struct list_reading *reading = cookie;
	json_t *root = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES, NULL);
	enum status status = STATUS_OK;

	reading->line++;
	/* Where a line was cut off, the next one may begin behind an empty one. */
	if (line.size > 0)
		status = json_is_object(root) ? take_root(reading, root) : STATUS_MALFORMED;
	json_decref(root);
	if (status != STATUS_MALFORMED)
		return status;
	report_error("%s:%" PRIu64 ": this is no line of such a list", reading->order->path,
		     reading->line);
	reading->bad++;
	return STATUS_OK;
}

/* --- which logs are open in the end --- */

static enum status
note_log(struct list_reading *reading, struct text log, bool is_open)
{
	struct listed_log *listed = find_log(reading, log);

	if (listed == NULL) {
		listed = calloc(1, sizeof(*listed) + log.size);
		if (listed == NULL)
			return STATUS_INTERNAL;
		memcpy(listed->name, log.data, log.size);
		listed->size = log.size;
		HASH_ADD_KEYPTR(hh, reading->logs, listed->name, listed->size, listed);
		if (listed->hh.tbl == NULL) {
			free(listed);
			return STATUS_INTERNAL;
		}
	}
	listed->is_open = is_open;
	if (!is_open)
		listed->last_erasure = reading->line;
	return STATUS_OK;
}

static enum status
look_at_line(void *cookie, struct text line)
{
	struct list_reading *reading = cookie;
	json_t *root = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES, NULL);
	const bool erased = is_said(root, "erased"), reopened = is_said(root, "reopened");
	enum status status = STATUS_OK;
	struct text log;

	reading->line++;
	if ((erased || reopened) && json_read_text(root, "log", &log))
		status = note_log(reading, log, !erased);
	json_decref(root);
	return status;
}

static void
forget_logs(struct list_reading *reading)
{
	struct listed_log *log, *next;

	HASH_ITER (hh, reading->logs, log, next) {
		HASH_DEL(reading->logs, log); // NOLINT(clang-analyzer-*): uthash's invariants
		free(log);
	}
}

static enum status
read_twice(struct list_reading *reading)
{
	const char *path = reading->order->path;
	enum status status = in_file_read(path, NULL, look_at_line, reading), last;

	if (status != STATUS_OK)
		return status;
	reading->line = 0;
	status = in_file_read(path, NULL, take_line, reading);
	last = reading->code == EXIT_FINE ? visit_actions(reading) : STATUS_OK;
	return status == STATUS_OK ? last : status;
}

enum exit_code
remove_list_read(const struct remove_list_order *order, uint64_t *bad)
{
	struct list_reading reading = {.order = order};
	enum status status = STATUS_INTERNAL;

	reading.seqs = calloc(order->max, sizeof(*reading.seqs));
	reading.ids = calloc(order->max, sizeof(*reading.ids));
	if (reading.seqs == NULL || reading.ids == NULL)
		report_error("out of memory");
	else
		status = read_twice(&reading);
	forget_logs(&reading);
	free(reading.seqs);
	free(reading.ids);
	*bad = reading.bad;
	if (reading.code != EXIT_FINE)
		return reading.code;
	if (status != STATUS_OK)
		return status == STATUS_MALFORMED ? EXIT_UNVERIFIED : EXIT_LOCAL;
	return reading.unverified || reading.bad > 0 ? EXIT_UNVERIFIED : EXIT_FINE;
}
