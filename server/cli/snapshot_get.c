#include "cli/snapshot_get.h"

#include <stdio.h>
#include <string.h>

#include "cli/backoff.h"
#include "cli/out_file.h"
#include "cli/phone_answer.h"
#include "cli/report.h"

#define PATH_SIZE_MAX 1024

struct getting {
	const struct snapshot_wish *wish;
	struct snapshot_got *got;
	struct out_file *file; /* from the first bytes on */
	bool failed;	       /* it cannot be written */
};

static bool
take(void *cookie, struct text piece)
{
	struct getting *getting = cookie;

	if (getting->file == NULL)
		getting->file = out_file_open_plain(getting->wish->path);
	getting->failed = getting->file == NULL || !out_file_write(getting->file, piece);
	getting->got->size += piece.size;
	report_progress("bytes received", getting->got->size, 0);
	return !getting->failed;
}

static void
copy_header(struct transport *transport, const char *name, char *to, size_t size)
{
	const struct text value = transport_header(transport, name);

	(void)snprintf(to, size, "%.*s", (int)value.size, value.data);
}

static bool
read_headers(struct transport *transport, struct snapshot_got *got)
{
	copy_header(transport, "Edgereplay-App-Version", got->app_version,
		    sizeof(got->app_version));
	copy_header(transport, "Content-Type", got->media_type, sizeof(got->media_type));
	return text_to_u64(transport_header(transport, "Edgereplay-Seq"), SEQ_MAX,
			   &got->position.seq) &&
	       hash_from_text(transport_header(transport, "Edgereplay-State-Hash"),
			      &got->position.link);
}

static bool
is_none(const struct answer *answer)
{
	return answer->kind == ANSWER_PROBLEM && (text_equal(answer->code, TEXT("NO_SNAPSHOT")) ||
						  text_equal(answer->code, TEXT("NOT_FOUND")));
}

/* One request. *again: it may help to repeat it, after wait_msec. */
static enum exit_code
get_once(struct getting *getting, const char *path, bool *again, uint64_t *wait_msec)
{
	struct transport *transport = getting->wish->transport;
	struct http_answer http;
	struct answer answer;
	enum exit_code code = EXIT_FINE;

	*again = false;
	getting->got->size = 0;
	http_answer_init(&http);
	transport_get(transport, path, take, getting, &http);
	report_progress_end();
	answer_read_failure(&http, &answer);
	*wait_msec = answer.retry_after_msec;
	if (getting->failed) {
		code = EXIT_LOCAL;
	} else if (http.arrived && http.http == 200 && getting->file != NULL &&
		   read_headers(transport, getting->got)) {
		getting->got->found = true;
	} else if (!is_none(&answer)) {
		*again = answer.kind == ANSWER_NONE || answer.retry == RETRY_AFTER;
		report_error("%s", answer.why);
		code = *again || answer.retry == RETRY_AUTH ? EXIT_UNREACHABLE : EXIT_UNVERIFIED;
	}
	if (code == EXIT_FINE && getting->got->found && !out_file_commit(getting->file))
		code = EXIT_LOCAL;
	else if (!getting->got->found && !out_file_discard(getting->file))
		*again = false;
	getting->file = NULL;
	answer_release(&answer);
	http_answer_release(&http);
	return code;
}

enum exit_code
snapshot_get(const struct snapshot_wish *wish, struct snapshot_got *got)
{
	struct getting getting = {.wish = wish, .got = got};
	struct backoff backoff;
	struct buffer path;
	enum exit_code code;
	uint64_t wait_msec = 0;
	bool again = true;

	*got = (struct snapshot_got){.found = false};
	buffer_init(&path, PATH_SIZE_MAX);
	transport_log_path(&path, wish->log, "/snapshots/latest");
	if (wish->before > 0) {
		buffer_append_text(&path, TEXT("?before="));
		buffer_append_u64(&path, wish->before);
		buffer_append(&path, "", 1);
	}
	backoff_start(&backoff, wish->give_up_sec * 1000);
	do
		code = get_once(&getting, path.data, &again, &wait_msec);
	while (again && backoff_wait(&backoff, wait_msec));
	buffer_release(&path);
	return code;
}
