/* head: the newest position of a log. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/phone_answer.h"
#include "cli/report.h"
#include "cli/transport.h"

#define PATH_SIZE_MAX 1024

static enum exit_code
print_head(const struct cli_options *options, const struct answer *answer)
{
	char link[HASH_TEXT_SIZE];

	if (answer->kind != ANSWER_SUCCESS) {
		report_error("%s", answer->why);
		return answer->kind == ANSWER_PROBLEM &&
				       ((answer->retry != RETRY_AFTER &&
					 answer->retry != RETRY_AUTH) ||
					text_equal(answer->code, TEXT("LOG_DAMAGED")))
			       ? EXIT_UNVERIFIED
			       : EXIT_UNREACHABLE;
	}
	hash_to_text(&answer->head.link, link);
	printf(options->json ? "{\"seq\":%" PRIu64 ",\"stateHash\":\"%.*s\"}\n"
			     : "%" PRIu64 " %.*s\n",
	       answer->head.seq, HASH_TEXT_SIZE, link);
	return report_output_done() ? EXIT_FINE : EXIT_LOCAL;
}

enum exit_code
cmd_head(const struct cli_options *options)
{
	struct transport *transport = transport_new(options->url, options);
	struct http_answer http;
	struct answer answer;
	struct buffer path;
	enum exit_code code;

	if (transport == NULL)
		return EXIT_USAGE;
	buffer_init(&path, PATH_SIZE_MAX);
	http_answer_init(&http);
	transport_log_path(&path, text_of(options->log), "/head");
	transport_ask(transport, path.data, NULL, options->give_up_sec * 1000, &http);
	answer_read_head(&http, &answer);
	code = print_head(options, &answer);
	answer_release(&answer);
	http_answer_release(&http);
	buffer_release(&path);
	transport_free(transport);
	return code;
}
