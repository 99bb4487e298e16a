#include "cli/repair_copy.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/lines.h"
#include "cli/phone_answer.h"
#include "cli/phone_store.h"
#include "cli/report.h"

#define PIECE_SIZE 65536

struct copy {
	struct repair *repair;
	uint64_t seq; /* of the last action */
	enum status status;
};

static bool
offer(struct copy *copy, uint64_t seq, const struct phone_action *kept)
{
	if (!kept->redacted)
		copy->status = repair_offer(copy->repair, seq, &kept->action);
	copy->seq = seq;
	return copy->status == STATUS_OK;
}

/* --- a state file --- */

static bool
offer_confirmed(void *cookie, const struct logged *logged)
{
	return offer(cookie, logged->seq, &logged->kept);
}

static bool
offer_queued(void *cookie, const struct queued *queued)
{
	struct copy *copy = cookie;

	return offer(copy, copy->seq + 1, &queued->kept);
}

static enum exit_code
read_state(const char *path, struct text log, struct copy *copy)
{
	struct phone_store *store;
	enum exit_code code = EXIT_LOCAL;
	enum status status = phone_store_look(path, &store);

	if (status != STATUS_OK)
		return EXIT_LOCAL;
	if (!text_equal(phone_store_log(store), log)) {
		report_error("%s is a copy of the log %.*s", path, (int)phone_store_log(store).size,
			     phone_store_log(store).data);
		code = EXIT_USAGE;
	} else {
		status = phone_store_confirmed(store, 0, offer_confirmed, copy);
		copy->seq = phone_store_base(store)->seq;
		if (status == STATUS_OK && copy->status == STATUS_OK)
			status = phone_store_queue(store, offer_queued, copy);
		if (status == STATUS_OK && copy->status == STATUS_OK)
			code = EXIT_FINE;
	}
	phone_store_close(store);
	return code;
}

/* --- lines --- */

static enum status
take_line(void *cookie, struct text line)
{
	struct copy *copy = cookie;
	json_t *root =
		json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	struct logged logged;

	if (json_is_object(root) && json_object_get(root, "device") != NULL &&
	    json_object_get(root, "seq") == NULL)
		json_object_set_new(root, "seq", json_integer((json_int_t)copy->seq + 1));
	if (json_is_object(root) && json_read_logged(root, &logged))
		(void)offer(copy, logged.seq, &logged.kept);
	json_decref(root);
	return copy->status;
}

static enum exit_code
read_lines(FILE *file, const char *path, struct copy *copy)
{
	static char piece[PIECE_SIZE];
	struct lines lines;
	enum status status = STATUS_OK;
	size_t got = 1;

	lines_init(&lines, take_line, copy);
	while (status == STATUS_OK && got > 0) {
		got = fread(piece, 1, sizeof(piece), file);
		status = lines_feed(&lines, piece, got);
	}
	if (status == STATUS_OK)
		status = lines_finish(&lines);
	lines_release(&lines);
	if (ferror(file) == 0 && status == STATUS_OK)
		return EXIT_FINE;
	report_error("%s cannot be read", path);
	return EXIT_LOCAL;
}

enum exit_code
repair_copy_read(const char *path, struct text log, struct repair *repair)
{
	static const char magic[] = "SQLite format 3"; /* and its NUL */
	char begin[sizeof(magic)] = {0};
	struct copy copy = {.repair = repair, .status = STATUS_OK};
	FILE *file = fopen(path, "rb");
	enum exit_code code;

	if (file == NULL) {
		report_error("%s: %s", path, strerror(errno));
		return EXIT_LOCAL;
	}
	if (fread(begin, 1, sizeof(begin), file) == sizeof(begin) &&
	    memcmp(begin, magic, sizeof(magic)) == 0) {
		fclose(file);
		return read_state(path, log, &copy);
	}
	rewind(file);
	code = read_lines(file, path, &copy);
	fclose(file);
	return code;
}
