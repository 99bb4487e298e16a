/* snapshot put, snapshot get: an app's state at a position of a log, so that new devices begin there. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/backoff.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/phone_answer.h"
#include "cli/phone_store.h"
#include "cli/report.h"
#include "cli/snapshot_get.h"
#include "cli/until.h"

#define PATH_SIZE_MAX 1024
#define HEADER_SIZE 512
#define OUT_SIZE_MAX 4096

/* --- put --- */

/* The base of a state file, or what --at says. */
static enum exit_code
find_position(const struct cli_options *options, struct position *position)
{
	struct phone_store *store = NULL;
	struct until at = {.has_seq = false};
	enum exit_code code = EXIT_USAGE;

	if ((options->state != NULL) == (options->at != NULL)) {
		report_error("snapshot put: either --state or --at is needed, to say of which "
			     "position it is");
		return EXIT_USAGE;
	}
	if (options->at != NULL) {
		if (until_read(options->at, &at) && at.has_seq && at.has_link)
			code = EXIT_FINE;
		else
			report_error("--at=%s: SEQ:LINK is needed", options->at);
		*position = at.position;
		return code;
	}
	if (phone_store_look(options->state, &store) != STATUS_OK)
		return EXIT_LOCAL;
	*position = *phone_store_base(store);
	if (!text_equal(phone_store_log(store), text_of(options->log)))
		report_error("%s belongs to the log %.*s", options->state,
			     (int)phone_store_log(store).size, phone_store_log(store).data);
	else
		code = EXIT_FINE;
	phone_store_close(store);
	return code;
}

static void
print_stored(const struct cli_options *options, const struct position *position, uint64_t bytes,
	     bool kept)
{
	char link[HASH_TEXT_SIZE];

	hash_to_text(&position->link, link);
	if (options->json)
		printf("{\"seq\":%" PRIu64 ",\"stateHash\":\"%.*s\",\"bytes\":%" PRIu64
		       ",\"kept\":%s}\n",
		       position->seq, HASH_TEXT_SIZE, link, bytes, kept ? "true" : "false");
	else
		report_note("log %s: a snapshot of %" PRIu64 " bytes at action %" PRIu64 "%s",
			    options->log, bytes, position->seq,
			    kept ? "" : " was not kept, for as many newer ones are there");
}

/* What the answer comes to. *again: it may help to repeat the request. */
static enum exit_code
judge_put(const struct cli_options *options, const struct http_answer *http, bool *again,
	  uint64_t *wait_msec)
{
	struct answer answer;
	struct position position;
	enum exit_code code = EXIT_FINE;
	uint64_t bytes = 0;

	answer_read_head(http, &answer);
	position = answer.head;
	*wait_msec = answer.retry_after_msec;
	*again = answer.kind == ANSWER_NONE ||
		 (answer.kind == ANSWER_PROBLEM && answer.retry == RETRY_AFTER);
	if (answer.kind == ANSWER_SUCCESS) {
		json_read_u64(answer.root, "bytes", UINT64_MAX >> 1, &bytes);
		print_stored(options, &position, bytes,
			     json_is_true(json_object_get(answer.root, "kept")));
	} else {
		report_error("%s", answer.why);
		code = *again || (answer.kind == ANSWER_PROBLEM && answer.retry == RETRY_AUTH)
			       ? EXIT_UNREACHABLE
			       : EXIT_UNVERIFIED;
	}
	answer_release(&answer);
	return code;
}

static enum exit_code
put_file(const struct cli_options *options, const struct position *position, int fd, uint64_t size)
{
	char hash_header[HEADER_SIZE], version[HEADER_SIZE], type[HEADER_SIZE];
	char link[HASH_TEXT_SIZE], tail[64];
	const char *headers[4] = {hash_header, type};
	const struct transport_file file = {.fd = fd, .size = size, .headers = headers};
	struct transport *transport = transport_new(options->url, options);
	struct http_answer http;
	struct backoff backoff;
	struct buffer path;
	enum exit_code code;
	uint64_t wait_msec = 0;
	bool again = true;

	if (transport == NULL)
		return EXIT_USAGE;
	hash_to_text(&position->link, link);
	snprintf(hash_header, sizeof(hash_header), "Edgereplay-State-Hash: %.*s", HASH_TEXT_SIZE,
		 link);
	snprintf(type, sizeof(type), "Content-Type: %s",
		 options->media_type != NULL ? options->media_type : "application/octet-stream");
	snprintf(version, sizeof(version), "Edgereplay-App-Version: %s",
		 options->app_version != NULL ? options->app_version : "");
	headers[2] = options->app_version != NULL ? version : NULL;
	snprintf(tail, sizeof(tail), "/snapshots/%" PRIu64, position->seq);
	buffer_init(&path, PATH_SIZE_MAX);
	transport_log_path(&path, text_of(options->log), tail);
	http_answer_init(&http);
	backoff_start(&backoff, options->give_up_sec * 1000);
	do {
		transport_put(transport, path.data, &file, &http);
		code = judge_put(options, &http, &again, &wait_msec);
	} while (again && backoff_wait(&backoff, wait_msec));
	http_answer_release(&http);
	buffer_release(&path);
	transport_free(transport);
	return code;
}

enum exit_code
cmd_snapshot_put(const struct cli_options *options)
{
	struct position position;
	struct stat info;
	enum exit_code code = find_position(options, &position);

	if (code != EXIT_FINE)
		return code;
	const int fd = open(options->argument, O_RDONLY | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &info) == -1) {
		report_error("%s: %s", options->argument, strerror(errno));
		code = EXIT_LOCAL;
	} else {
		code = put_file(options, &position, fd, (uint64_t)info.st_size);
	}
	if (fd != -1)
		close(fd);
	return code != EXIT_FINE || report_output_done() ? code : EXIT_LOCAL;
}

/* --- get --- */

static bool
print_got(const struct cli_options *options, const struct snapshot_got *got)
{
	struct buffer line;
	bool done;

	buffer_init(&line, OUT_SIZE_MAX);
	if (options->json) {
		buffer_printf(&line, "{\"seq\":%" PRIu64 ",\"stateHash\":", got->position.seq);
		json_write_hash(&line, &got->position.link);
		buffer_printf(&line, ",\"bytes\":%" PRIu64 ",\"mediaType\":", got->size);
		json_write_string(&line, text_of(got->media_type));
		buffer_append_text(&line, TEXT(",\"appVersion\":"));
		json_write_string(&line, text_of(got->app_version));
		buffer_append_text(&line, TEXT("}\n"));
	} else {
		char link[HASH_TEXT_SIZE];

		hash_to_text(&got->position.link, link);
		buffer_printf(&line, "%" PRIu64 " %.*s\n", got->position.seq, HASH_TEXT_SIZE, link);
	}
	done = !line.failed && fwrite(line.data, 1, line.size, stdout) == line.size;
	buffer_release(&line);
	return report_output_done() && done;
}

enum exit_code
cmd_snapshot_get(const struct cli_options *options)
{
	struct snapshot_got got;
	struct snapshot_wish wish = {.log = text_of(options->log),
				     .before = options->before,
				     .give_up_sec = options->give_up_sec,
				     .path = options->argument};
	enum exit_code code;

	wish.transport = transport_new(options->url, options);
	if (wish.transport == NULL)
		return EXIT_USAGE;
	code = snapshot_get(&wish, &got);
	transport_free(wish.transport);
	if (code != EXIT_FINE)
		return code;
	if (!got.found) {
		report_error("the log has no such snapshot");
		return EXIT_UNVERIFIED;
	}
	return print_got(options, &got) ? EXIT_FINE : EXIT_LOCAL;
}
