#include "cli/export_file.h"

#include <inttypes.h>
#include <string.h>

#include "cli/action_line.h"
#include "cli/in_file.h"
#include "cli/json_text.h"
#include "cli/phone_answer.h"
#include "cli/report.h"

#define FORMAT TEXT("edgereplay-export")
#define VERSION 1

/* Not an outcome of reading: enough has been read. */
#define STATUS_ENOUGH STATUS_NOT_FOUND

void
export_write_first(struct buffer *out, struct text log)
{
	struct hash genesis;

	chain_genesis(log, &genesis);
	buffer_append_text(out, TEXT("{\"format\":"));
	json_write_string(out, FORMAT);
	buffer_printf(out, ",\"version\":%d,\"log\":", VERSION);
	json_write_string(out, log);
	buffer_append_text(out, TEXT(",\"genesis\":"));
	json_write_hash(out, &genesis);
	buffer_append_text(out, TEXT("}\n"));
}

void
export_write_action(struct buffer *out, const struct sourced *sourced)
{
	const struct phone_action *kept = &sourced->logged.kept;
	uint8_t id[ID_SIZE];
	char text[ID_TEXT_SIZE];

	action_line_write_open(out, &sourced->logged);
	chain_id(kept->action.ts, &kept->digest, id);
	id_to_text(id, text);
	buffer_append_text(out, TEXT(",\"id\":\""));
	buffer_append(out, text, sizeof(text));
	buffer_append_text(out, TEXT("\",\"link\":"));
	json_write_hash(out, &sourced->link);
	if (sourced->received_at > 0) {
		buffer_append_text(out, TEXT(",\"receivedAt\":"));
		buffer_append_u64(out, sourced->received_at);
	}
	if (sourced->writer.size > 0) {
		buffer_append_text(out, TEXT(",\"writer\":"));
		json_write_string(out, sourced->writer);
	}
	buffer_append_text(out, TEXT("}\n"));
}

void
export_write_last(struct buffer *out, const struct position *end, struct text receipt)
{
	buffer_printf(out, "{\"count\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"stateHash\":", end->seq,
		      end->seq);
	json_write_hash(out, &end->link);
	if (receipt.size > 0) {
		buffer_append_text(out, TEXT(",\"receipt\":"));
		json_write_string(out, receipt);
	}
	buffer_append_text(out, TEXT("}\n"));
}

/* --- in --- */

static enum status
fail(struct export_reading *reading, const char *what)
{
	reading->failed = true;
	report_error("%s, after action %" PRIu64 ": %s", reading->path, reading->at.seq, what);
	return STATUS_CHAIN_BROKEN;
}

static enum status
take_first(struct export_reading *reading, const json_t *root)
{
	struct text format, log;
	struct hash genesis, stated;
	uint64_t version;

	if (!json_read_text(root, "format", &format) || !text_equal(format, FORMAT) ||
	    !json_read_u64(root, "version", UINT32_MAX, &version))
		return fail(reading, "this is no export of edgereplay");
	if (version != VERSION)
		return fail(reading, "an export of a version that this tool does not know");
	if (!json_read_text(root, "log", &log) || !log_name_is_valid(log))
		return fail(reading, "the first line has no name of a log");
	if (reading->log[0] != '\0' && !text_equal(text_of(reading->log), log)) {
		reading->failed = true;
		report_error("%s is of the log %.*s, not %s", reading->path, (int)log.size,
			     log.data, reading->log);
		return STATUS_MALFORMED;
	}
	memcpy(reading->log, log.data, log.size);
	reading->log[log.size] = '\0';
	chain_genesis(log, &genesis);
	if (!json_read_hash(root, "genesis", &stated) || !hash_equal(&genesis, &stated))
		return fail(reading, "the genesis is not that of the log's name");
	reading->at.link = genesis;
	reading->has_first = true;
	return until_reached(&reading->until, &reading->at) ? STATUS_ENOUGH : STATUS_OK;
}

/* What the chain does not vouch for. */
static const char *
find_fault(const struct export_reading *reading, const json_t *root, const struct sourced *sourced)
{
	const struct phone_action *kept = &sourced->logged.kept;
	uint8_t id[ID_SIZE];
	char expected[ID_TEXT_SIZE];
	struct text stated;

	if (sourced->stated == NULL || !hash_equal(sourced->stated, &sourced->link))
		return "the next action's link is not that of the action and the link before";
	chain_id(kept->action.ts, &kept->digest, id);
	id_to_text(id, expected);
	if (!json_read_text(root, "id", &stated) ||
	    !text_equal(stated, (struct text){expected, sizeof(expected)}))
		return "the next action's id is not its own";
	if (sourced->received_at > 0 && sourced->received_at < reading->received_at)
		return "the next action was received before the one before it";
	return NULL;
}

static enum status
take_action(struct export_reading *reading, const json_t *root)
{
	struct position next = reading->at;
	struct sourced sourced = {.received_at = 0};
	struct hash stated;
	const char *fault;

	if (reading->log[0] == '\0')
		return fail(reading, "it does not say of which log it is: name that");
	if (!json_read_logged(root, &sourced.logged))
		return fail(reading, "the next line is no action");
	if (!chain_actions(&next, &sourced.logged, 1))
		return fail(reading, reading->at.seq == 0 ? "it does not begin with action 1"
							  : "the next action is missing");
	sourced.link = next.link;
	if (json_read_hash(root, "link", &stated))
		sourced.stated = &stated;
	json_read_u64(root, "receivedAt", TS_MAX, &sourced.received_at);
	json_read_text(root, "writer", &sourced.writer);
	fault = reading->trusts ? NULL : find_fault(reading, root, &sourced);
	if (fault != NULL)
		return fail(reading, fault);
	if (reading->visit != NULL && !reading->visit(reading->cookie, &sourced)) {
		reading->stopped = true;
		return STATUS_ENOUGH;
	}
	reading->at = next;
	if (sourced.received_at > 0)
		reading->received_at = sourced.received_at;
	return until_reached(&reading->until, &reading->at) ? STATUS_ENOUGH : STATUS_OK;
}

/* A receipt must be for this end; whether it is signed, who has the key says. */
static bool
is_of_end(const struct export_reading *reading, struct text note)
{
	struct receipt receipt;

	return note.size <= NOTE_SIZE_MAX &&
	       receipt_read(note, NULL, 0, &receipt) != NOTE_MALFORMED &&
	       receipt.kind == RECEIPT_HISTORY && text_equal(receipt.log, text_of(reading->log)) &&
	       position_equal(&receipt.position, &reading->at);
}

static enum status
take_last(struct export_reading *reading, const json_t *root)
{
	struct position end;
	struct text receipt;
	uint64_t count;

	reading->has_last = true;
	if (reading->trusts)
		return STATUS_OK;
	if (!json_read_u64(root, "count", SEQ_MAX, &count) ||
	    !json_read_u64(root, "seq", SEQ_MAX, &end.seq) ||
	    !json_read_hash(root, "stateHash", &end.link) || count != end.seq)
		return fail(reading, "the last line is not one of an export");
	if (!position_equal(&end, &reading->at))
		return fail(reading, "the last line's hash is not the one that the actions give");
	if (json_object_get(root, "receipt") == NULL)
		return STATUS_OK;
	if (!json_read_text(root, "receipt", &receipt) || !is_of_end(reading, receipt))
		return fail(reading, "the receipt is none for this end");
	memcpy(reading->receipt, receipt.data, receipt.size);
	reading->receipt[receipt.size] = '\0';
	return STATUS_OK;
}

static enum status
take_line(void *cookie, struct text line)
{
	struct export_reading *reading = cookie;
	json_t *root =
		json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	const bool has_format = json_object_get(root, "format") != NULL;
	enum status status;

	if (!json_is_object(root))
		status = fail(reading, "the next line is not a JSON object");
	else if (reading->has_last)
		status = fail(reading, "there is more behind the last line");
	else if (has_format || (!reading->has_first && !reading->trusts))
		status = take_first(reading, root);
	else if (json_object_get(root, "stateHash") != NULL)
		status = take_last(reading, root);
	else
		status = take_action(reading, root);
	json_decref(root);
	return status;
}

enum exit_code
export_read(struct export_reading *reading)
{
	if (reading->log[0] != '\0')
		chain_genesis(text_of(reading->log), &reading->at.link);
	const enum status status = in_file_read(reading->path, "read", take_line, reading);

	if (status == STATUS_STORAGE_UNAVAILABLE || reading->stopped)
		return EXIT_LOCAL;
	if (status == STATUS_OK && !reading->has_last && !reading->trusts)
		(void)fail(reading, "it ends without its last line: it was cut off");
	else if (status == STATUS_MALFORMED && !reading->failed)
		(void)fail(reading, "the next line is too long");
	else if (status == STATUS_OK && !reading->trusts &&
		 !until_is(&reading->until, &reading->at))
		(void)fail(reading, "it ends here, and not at --until");
	if (reading->failed)
		return status == STATUS_MALFORMED && !reading->has_first ? EXIT_USAGE
									 : EXIT_UNVERIFIED;
	return EXIT_FINE;
}
