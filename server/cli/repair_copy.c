#include "cli/repair_copy.h"

#include <jansson.h>

#include "cli/in_file.h"
#include "cli/phone_answer.h"
#include "cli/phone_store.h"
#include "cli/report.h"

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

enum exit_code
repair_copy_read(const char *path, struct text log, struct repair *repair)
{
	struct copy copy = {.repair = repair, .status = STATUS_OK};

	if (phone_store_is_state(path))
		return read_state(path, log, &copy);
	const enum status status = in_file_read(path, NULL, take_line, &copy);
	if (status == STATUS_OK)
		return EXIT_FINE;
	if (status != STATUS_STORAGE_UNAVAILABLE)
		report_error("%s cannot be read", path);
	return EXIT_LOCAL;
}
