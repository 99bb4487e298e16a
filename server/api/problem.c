/*
 * Appended by hand, not built as a tree: under overload most answers are problems.
 */
#include "api/problem.h"

#include "api/asker.h"
#include "api/json.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#define PROBLEM_SIZE 4096 /* all of a problem but its detail and its members */

/* What a client is told to wait when the caller has no better figure and the protocol promises a
 * Retry-After. */
#define RETRY_MSEC_DEFAULT 1000

static uint64_t
retry_after_msec(const struct problem *problem)
{
	if (problem->retry_after_msec > 0)
		return problem->retry_after_msec;
	switch (problem->status) {
	case STATUS_RATE_LIMITED:
	case STATUS_BACKPRESSURE:
	case STATUS_SHUTTING_DOWN:
	case STATUS_INDEX_DAMAGED:
	case STATUS_STORAGE_UNAVAILABLE:
		return RETRY_MSEC_DEFAULT;
	default:
		return 0;
	}
}

/* A failed server says nothing of its inside. */
static struct text
shown_detail(const struct problem *problem)
{
	if (problem->status == STATUS_INTERNAL)
		return TEXT("Something failed inside the server; its log has the request's id.");
	if (problem->detail.size > 0)
		return problem->detail;
	return text_of(status_info(problem->status)->title);
}

/* "/problems/chain-broken" */
static void
write_type(struct buffer *out, const char *code)
{
	buffer_append_text(out, TEXT("\"/problems/"));
	for (; *code; code++) {
		char c = *code;
		if (c == '_')
			c = '-';
		else if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		buffer_append(out, &c, 1);
	}
	buffer_append_text(out, TEXT("\""));
}

static void
write_member(struct buffer *out, struct text name, struct text value)
{
	buffer_append_text(out, TEXT(",\""));
	buffer_append_text(out, name);
	buffer_append_text(out, TEXT("\":"));
	json_write_string(out, value);
}

static void
write_number(struct buffer *out, struct text name, uint64_t value)
{
	buffer_append_text(out, TEXT(",\""));
	buffer_append_text(out, name);
	buffer_append_text(out, TEXT("\":"));
	buffer_append_u64(out, value);
}

static void
write_log(struct request *request, const struct problem *problem)
{
	const struct status_info *info = status_info(problem->status);
	struct text detail = problem->detail.size > 0 ? problem->detail : text_of(info->title);
	const struct asker nobody = {.address = {NULL, 0}};
	const struct asker *asker = problem->asker ? problem->asker : &nobody;
	if (info->http >= 500)
		log_limited(LOG_WARN, "api", "request failed", LOG_STR("code", info->code),
			    LOG_TEXT("detail", detail), LOG_TEXT("path", request_path(request)),
			    LOG_REQUEST(request), LOG_ASKER(asker));
	else
		log_limited(LOG_INFO, "api", "request refused", LOG_STR("code", info->code),
			    LOG_TEXT("detail", detail), LOG_TEXT("path", request_path(request)),
			    LOG_REQUEST(request), LOG_ASKER(asker));
}

static void
add_headers(struct request *request, const struct problem *problem)
{
	char digits[20];
	size_t first = sizeof(digits);
	uint64_t seconds = retry_after_msec(problem);
	seconds = seconds / 1000 + (seconds % 1000 > 0);
	request_add_header(request, "Cache-Control", TEXT("no-store"));
	if (problem->allow)
		request_add_header(request, "Allow", text_of(problem->allow));
	if (seconds == 0)
		return;
	for (; seconds > 0; seconds /= 10)
		digits[--first] = (char)('0' + seconds % 10);
	request_add_header(request, "Retry-After",
			   (struct text){digits + first, sizeof(digits) - first});
}

void
problem_prepare(struct request *request, const struct problem *problem, struct buffer *body)
{
	CHECK(problem->status != STATUS_OK);
	request_set_note(request, problem->status);
	write_log(request, problem);
	add_headers(request, problem);
	/* Escaping makes a byte six at most. */
	buffer_init(body, PROBLEM_SIZE + 6 * problem->detail.size + problem->members.size);
	problem_write(body, problem, request_id(request));
}

void
problem_give(struct request *request, const struct problem *problem, struct buffer *body)
{
	request_answer(request, status_info(problem->status)->http, "application/problem+json",
		       body);
	buffer_release(body);
}

void
problem_answer(struct request *request, const struct problem *problem)
{
	struct buffer body;
	problem_prepare(request, problem, &body);
	problem_give(request, problem, &body);
}

void
problem_write(struct buffer *out, const struct problem *problem, struct text id)
{
	const struct status_info *info = status_info(problem->status);
	buffer_append_text(out, TEXT("{\"type\":"));
	write_type(out, info->code);
	write_member(out, TEXT("title"), text_of(info->title));
	write_number(out, TEXT("status"), info->http);
	write_member(out, TEXT("code"), text_of(info->code));
	write_member(out, TEXT("detail"), shown_detail(problem));
	write_member(out, TEXT("retry"), text_of(retry_word(info->retry)));
	write_member(out, TEXT("requestId"), id);
	write_number(out, TEXT("serverTimestamp"), clock_server_msec());
	if (retry_after_msec(problem) > 0)
		write_number(out, TEXT("retryAfterMs"), retry_after_msec(problem));
	if (problem->members.size > 0) {
		buffer_append_text(out, TEXT(","));
		buffer_append_text(out, problem->members);
	}
	buffer_append_text(out, TEXT("}"));
}
