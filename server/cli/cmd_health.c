/* health: whether a daemon is alive, or ready, as its operator's side says. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/report.h"
#include "cli/transport.h"

#define NOT_READY 503

/* The answer as it came: the reasons are the operator's side's to word. */
static enum exit_code
print_answer(const struct http_answer *http)
{
	const struct text body = {http->body.data, http->body.size};

	if (!http->arrived || (http->http != 200 && http->http != NOT_READY)) {
		report_error("%s", http->arrived ? "this is not a daemon's operator's side"
						 : http->problem);
		return EXIT_UNREACHABLE;
	}
	fwrite(body.data, 1, body.size, stdout);
	if (body.size > 0 && body.data[body.size - 1] != '\n')
		putchar('\n');
	if (!report_output_done())
		return EXIT_LOCAL;
	return http->http == 200 ? EXIT_FINE : EXIT_UNVERIFIED;
}

enum exit_code
cmd_health(const struct cli_options *options)
{
	struct transport *transport = transport_new(options->url, options);
	struct http_answer http;
	enum exit_code code;

	if (transport == NULL)
		return EXIT_USAGE;
	http_answer_init(&http);
	transport_ask(transport, options->live ? "/livez" : "/readyz", NULL,
		      options->give_up_sec * 1000, &http);
	code = print_answer(&http);
	http_answer_release(&http);
	transport_free(transport);
	return code;
}
