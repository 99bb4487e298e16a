#include "cli/backup_live.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/json_text.h"
#include "cli/report.h"

#define ASK_MSEC 10000
#define ASK_TRIES 3
#define LOOK_NSEC 100000000L
#define PATH_SIZE 64
#define BODY_SIZE_MAX ((size_t)64 * 1024)

/* Copies of a shard that removals may put an end to, before it is given up. */
#define ANEW_MAX 10

bool
backup_live_open(struct backup_live *live, const char *address, const struct cli_options *options)
{
	char url[1024];
	const bool is_url = strncmp(address, "unix:", 5) == 0 || strstr(address, "://") != NULL;

	*live = (struct backup_live){.transport = NULL};
	if ((size_t)snprintf(url, sizeof(url), "%s%s", is_url ? "" : "http://", address) >=
	    sizeof(url)) {
		report_error("--admin=%s: it is too long", address);
		return false;
	}
	live->transport = transport_new(url, options);
	return live->transport != NULL;
}

void
backup_live_close(struct backup_live *live)
{
	transport_free(live->transport);
	live->transport = NULL;
}

bool
backup_live_answers(struct backup_live *live)
{
	struct http_answer answer;
	bool answers;

	http_answer_init(&answer);
	transport_ask(live->transport, "/livez", NULL, ASK_MSEC, &answer);
	answers = answer.arrived && answer.http == 200;
	http_answer_release(&answer);
	return answers;
}

bool
backup_live_is_of_another(struct backup_live *live, const char *dir)
{
	struct http_answer answer;
	struct stat theirs, ours;
	const char *path;
	bool is_another;
	json_t *root;

	http_answer_init(&answer);
	transport_ask(live->transport, "/backup?shard=0", NULL, ASK_MSEC, &answer);
	root = answer.arrived ? json_loadb(answer.body.data, answer.body.size, 0, NULL) : NULL;
	path = json_string_value(json_object_get(root, "directory"));
	is_another = path != NULL && stat(dir, &ours) == 0 &&
		     (stat(path, &theirs) == -1 || theirs.st_dev != ours.st_dev ||
		      theirs.st_ino != ours.st_ino);
	if (is_another)
		report_error("that daemon's directory is %s, not %s", path, dir);
	json_decref(root);
	http_answer_release(&answer);
	return is_another;
}

/* --- one shard --- */

static void
shard_path(char path[PATH_SIZE], unsigned shard)
{
	(void)snprintf(path, PATH_SIZE, "/backup?shard=%u", shard);
}

/* What the daemon says that is no answer to the question. */
static enum exit_code
report_refusal(unsigned shard, const struct http_answer *answer)
{
	json_t *root =
		answer->arrived ? json_loadb(answer->body.data, answer->body.size, 0, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(root, "detail"));

	if (!answer->arrived)
		report_error("the daemon does not answer: %s", answer->problem);
	else
		report_error("shard %u: the daemon refuses (%ld): %s", shard, answer->http,
			     detail != NULL ? detail : "");
	json_decref(root);
	return EXIT_UNREACHABLE;
}

static enum exit_code
begin(struct backup_live *live, const struct backup_live_order *order)
{
	struct http_answer answer;
	struct buffer body;
	char path[PATH_SIZE];
	enum exit_code code = EXIT_FINE;

	http_answer_init(&answer);
	buffer_init(&body, BODY_SIZE_MAX);
	buffer_append_text(&body, TEXT("{\"to\":"));
	json_write_string(&body, text_of(order->to));
	buffer_printf(&body, ",\"rate\":%" PRIu64 "}", order->rate);
	shard_path(path, order->shard);
	live->shard = order->shard;
	live->is_asked = true;
	const struct text text = {body.data, body.size};
	transport_ask(live->transport, path, &text, ASK_MSEC, &answer);
	if (!answer.arrived || answer.http != 202)
		code = report_refusal(order->shard, &answer);
	/* Then it is somebody else's that is under way. */
	if (answer.arrived && answer.http != 202)
		live->is_asked = false;
	buffer_release(&body);
	http_answer_release(&answer);
	return code;
}

/* What a look at it came to. */
struct seen {
	bool runs;  /* it is not over yet */
	bool again; /* or it is to begin anew */
};

static enum exit_code
judge(const struct backup_live_order *order, const struct http_answer *answer, struct seen *seen)
{
	json_t *root = json_loadb(answer->body.data, answer->body.size, 0, NULL);
	const char *state = "", *problem = "";
	json_int_t bytes = 0, total = 0;
	int again = 0;
	enum exit_code code = EXIT_LOCAL;

	if (json_unpack(root, "{s:s, s:I, s:I, s?s, s?b}", "state", &state, "bytes", &bytes,
			"bytesTotal", &total, "problem", &problem, "again", &again) != 0)
		report_error("what answers is no daemon of this version");
	else if (again == 0 && strcmp(state, "failed") == 0)
		report_error("shard %u: the daemon could not copy it: %s", order->shard, problem);
	else if (strcmp(state, "none") == 0)
		report_error("shard %u fell or started again while it was copied: run this again",
			     order->shard);
	else
		code = EXIT_FINE;
	seen->again = again != 0;
	seen->runs = code == EXIT_FINE && strcmp(state, "running") == 0;
	if (code == EXIT_FINE)
		order->progress(order->cookie, (uint64_t)bytes, (uint64_t)total);
	json_decref(root);
	return code;
}

static enum exit_code
look(struct backup_live *live, const struct backup_live_order *order, struct seen *seen)
{
	struct http_answer answer;
	char path[PATH_SIZE];
	enum exit_code code;

	shard_path(path, order->shard);
	http_answer_init(&answer);
	for (int i = 0; i < ASK_TRIES && !answer.arrived; i++)
		transport_ask(live->transport, path, NULL, ASK_MSEC, &answer);
	*seen = (struct seen){.runs = false};
	code = answer.arrived && answer.http == 200 ? judge(order, &answer, seen)
						    : report_refusal(order->shard, &answer);
	http_answer_release(&answer);
	return code;
}

static enum exit_code
copy_once(struct backup_live *live, const struct backup_live_order *order, bool *again)
{
	static const struct timespec pause = {.tv_nsec = LOOK_NSEC};
	struct seen seen = {.runs = true};
	enum exit_code code = begin(live, order);

	while (code == EXIT_FINE && seen.runs) {
		(void)nanosleep(&pause, NULL);
		code = look(live, order, &seen);
	}
	backup_live_give_up(live);
	*again = seen.again;
	return code;
}

enum exit_code
backup_live_copy(struct backup_live *live, const struct backup_live_order *order)
{
	bool again = true;
	enum exit_code code = EXIT_FINE;

	for (unsigned i = 0; i < ANEW_MAX && code == EXIT_FINE && again; i++) {
		code = copy_once(live, order, &again);
		if (again && i + 1 < ANEW_MAX)
			report_note("shard %u: content was removed while it was copied: it is "
				    "copied anew",
				    order->shard);
	}
	if (code != EXIT_FINE || !again)
		return code;
	report_error("shard %u: content was removed each of the %d times that it was copied: run "
		     "this again when that is over",
		     order->shard, ANEW_MAX);
	return EXIT_LOCAL;
}

void
backup_live_give_up(struct backup_live *live)
{
	struct http_answer answer;
	char path[PATH_SIZE];

	if (live->transport == NULL || !live->is_asked)
		return;
	live->is_asked = false;
	shard_path(path, live->shard);
	http_answer_init(&answer);
	transport_delete(live->transport, path, ASK_MSEC, &answer);
	http_answer_release(&answer);
}
