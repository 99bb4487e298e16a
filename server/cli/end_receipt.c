#include "cli/end_receipt.h"

#include "chain/receipt.h"
#include "cli/json_text.h"
#include "cli/phone_answer.h"
#include "cli/report.h"
#include "cli/transport.h"

#define PATH_SIZE_MAX 1024
#define BODY_SIZE_MAX 4096
#define ANSWER_MEMORY_MAX ((size_t)1 << 20)

static void
write_body(struct buffer *body, const struct position *at)
{
	buffer_append_text(body, TEXT("{\"device\":\"export\",\"seq\":"));
	buffer_append_u64(body, at->seq);
	buffer_append_text(body, TEXT(",\"prevHash\":"));
	json_write_hash(body, &at->link);
	buffer_append_text(body, TEXT(",\"actions\":[],\"pull\":0,\"receipt\":true}"));
}

static bool
gives_receipts(struct transport *transport, uint64_t msec)
{
	struct server_limits limits = {.receipt = false};
	struct http_answer info;
	bool known;

	http_answer_init(&info);
	transport_ask(transport, "/v1/info", NULL, msec, &info);
	known = answer_read_limits(&info, &limits);
	http_answer_release(&info);
	return known && limits.receipt;
}

static bool
is_of(struct text note, struct text log, const struct position *at)
{
	struct receipt receipt;

	return receipt_read(note, NULL, 0, &receipt) != NOTE_MALFORMED &&
	       receipt.kind == RECEIPT_HISTORY && text_equal(receipt.log, log) &&
	       receipt.position.seq == at->seq && hash_equal(&receipt.position.link, &at->link);
}

static bool
ask(struct transport *transport, const struct cli_options *options, const struct position *at,
    struct buffer *receipt)
{
	struct http_answer http;
	struct answer answer;
	struct buffer path, body;
	struct arena arena;
	bool is_end = true;

	arena_init(&arena, ANSWER_MEMORY_MAX);
	buffer_init(&path, PATH_SIZE_MAX);
	buffer_init(&body, BODY_SIZE_MAX);
	http_answer_init(&http);
	transport_log_path(&path, text_of(options->log), "/sync");
	write_body(&body, at);
	const struct text sent = {body.data, body.size};
	transport_ask(transport, path.data, &sent, options->give_up_sec * 1000, &http);
	answer_read_sync(&http, &arena, &answer);
	if (answer.kind != ANSWER_SUCCESS)
		report_note("without a receipt: %s", answer.why);
	else if (answer.head.seq != at->seq)
		is_end = false;
	else if (is_of(answer.receipt, text_of(options->log), at))
		buffer_append_text(receipt, answer.receipt);
	answer_release(&answer);
	http_answer_release(&http);
	buffer_release(&body);
	buffer_release(&path);
	arena_release(&arena);
	return is_end;
}

bool
end_receipt_ask(const struct cli_options *options, const struct position *at,
		struct buffer *receipt)
{
	struct transport *transport = transport_new(options->url, options);
	bool is_end = true;

	if (transport != NULL && gives_receipts(transport, options->give_up_sec * 1000))
		is_end = ask(transport, options, at, receipt);
	transport_free(transport);
	return is_end;
}
