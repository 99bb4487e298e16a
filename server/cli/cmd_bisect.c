/* bisect: the first action at which a phone's copy of a log is not the server's. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/links.h"
#include "cli/report.h"

#define LINE_SIZE_LIMIT ((size_t)1 << 30)

struct bisection {
	struct links phone, server;
	struct position same; /* the newest at which both are the same */
	bool differs;	      /* from the next action on */
	struct hash server_link;
	struct buffer phone_line, server_line;
};

/* --- the search --- */

static enum exit_code
compare(struct bisection *bisection, uint64_t seq, bool *equal)
{
	struct hash phone = {{0}}, server = {{0}};
	enum exit_code code = links_get(&bisection->phone, seq, &phone);

	if (code == EXIT_FINE)
		code = links_get(&bisection->server, seq, &server);
	*equal = code == EXIT_FINE && hash_equal(&phone, &server);
	if (*equal)
		bisection->same = (struct position){seq, phone};
	return code;
}

/* A link commits to all before it: once two differ, all that follow do. */
static enum exit_code
search(struct bisection *bisection)
{
	const uint64_t phone = bisection->phone.end, server = bisection->server.end;
	uint64_t other = phone < server ? phone : server;
	bool equal;
	enum exit_code code = compare(bisection, other, &equal);

	if (code != EXIT_FINE || equal)
		return code;
	bisection->differs = true;
	links_get(&bisection->phone, 0, &bisection->same.link);
	while (code == EXIT_FINE && other - bisection->same.seq > 1) {
		const uint64_t middle = bisection->same.seq + (other - bisection->same.seq) / 2;

		code = compare(bisection, middle, &equal);
		if (!equal)
			other = middle;
	}
	if (code == EXIT_FINE)
		code = links_get(&bisection->server, other, &bisection->server_link);
	if (code == EXIT_FINE)
		code = links_action(&bisection->phone, &bisection->same, &bisection->phone_line);
	if (code == EXIT_FINE)
		code = links_action(&bisection->server, &bisection->same, &bisection->server_line);
	return code;
}

/* --- what was found --- */

static const char *
verdict(const struct bisection *bisection)
{
	if (bisection->differs)
		return "differs";
	if (bisection->phone.end == bisection->server.end)
		return "same";
	return bisection->phone.end > bisection->server.end ? "ahead" : "behind";
}

/* The phone's copy says that the action had the server's link: it was that action. */
static bool
was_changed(const struct bisection *bisection)
{
	return bisection->phone.changed == bisection->same.seq + 1 &&
	       hash_equal(&bisection->phone.changed_was, &bisection->server_link);
}

/* The names of the members that differ, each between the two texts. */
static void
write_members(const struct bisection *bisection, struct buffer *out, const char *quote)
{
	static const char *const NAMES[] = {"device", "ts", "type", "payload", "redacted"};
	const struct buffer *phone = &bisection->phone_line, *server = &bisection->server_line;
	json_t *one = json_loadb(phone->data, phone->size, JSON_ALLOW_NUL, NULL);
	json_t *two = json_loadb(server->data, server->size, JSON_ALLOW_NUL, NULL);
	const char *comma = "";

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		const json_t *a = json_object_get(one, NAMES[i]),
			     *b = json_object_get(two, NAMES[i]);

		if (a == b || json_equal(a, b))
			continue;
		buffer_printf(out, "%s%s%s%s", comma, quote, NAMES[i], quote);
		comma = ",";
	}
	json_decref(one);
	json_decref(two);
}

static struct text
line_of(const struct buffer *line)
{
	return (struct text){line->data, line->size > 0 ? line->size - 1 : 0};
}

static void
write_json(const struct bisection *bisection, struct buffer *out)
{
	buffer_append_text(out, TEXT("{\"log\":"));
	json_write_string(out, text_of(bisection->server.source.log));
	buffer_printf(out,
		      ",\"verdict\":\"%s\",\"phoneSeq\":%" PRIu64 ",\"serverSeq\":%" PRIu64
		      ",\"same\":{\"seq\":%" PRIu64 ",\"stateHash\":",
		      verdict(bisection), bisection->phone.end, bisection->server.end,
		      bisection->same.seq);
	json_write_hash(out, &bisection->same.link);
	buffer_append_text(out, TEXT("}"));
	if (bisection->differs) {
		buffer_printf(out, ",\"seq\":%" PRIu64 ",\"phone\":", bisection->same.seq + 1);
		buffer_append_text(out, line_of(&bisection->phone_line));
		buffer_append_text(out, TEXT(",\"server\":"));
		buffer_append_text(out, line_of(&bisection->server_line));
		buffer_append_text(out, TEXT(",\"differIn\":["));
		write_members(bisection, out, "\"");
		buffer_printf(out, "],\"changedOnPhone\":%s",
			      was_changed(bisection) ? "true" : "false");
	}
	if (bisection->server.requests > 0)
		buffer_printf(out, ",\"requests\":%" PRIu64, bisection->server.requests);
	buffer_append_text(out, TEXT("}\n"));
}

static void
write_difference(const struct bisection *bisection, struct buffer *out)
{
	const uint64_t seq = bisection->same.seq + 1;

	buffer_printf(out,
		      "log %s: the same up to action %" PRIu64 ", different from action %" PRIu64
		      " on\nphone   ",
		      bisection->server.source.log, seq - 1, seq);
	buffer_append_text(out, line_of(&bisection->phone_line));
	buffer_append_text(out, TEXT("\nserver  "));
	buffer_append_text(out, line_of(&bisection->server_line));
	buffer_append_text(out, TEXT("\ndiffer in "));
	write_members(bisection, out, "");
	buffer_append_text(out, TEXT("\n"));
	if (was_changed(bisection))
		buffer_printf(out,
			      "the phone's copy says that action %" PRIu64
			      " had the server's link: it was changed after that\n",
			      seq);
}

static void
write_words(const struct bisection *bisection, struct buffer *out)
{
	const uint64_t phone = bisection->phone.end, server = bisection->server.end;
	const char *log = bisection->server.source.log;

	if (bisection->differs)
		write_difference(bisection, out);
	else if (phone == server)
		buffer_printf(out, "log %s: the same, %" PRIu64 " actions\n", log, phone);
	else if (phone > server)
		buffer_printf(out,
			      "log %s: the phone is ahead by %" PRIu64
			      ": the server has only its first %" PRIu64 " actions\n",
			      log, phone - server, server);
	else
		buffer_printf(out,
			      "log %s: the phone is behind by %" PRIu64
			      ": it has only the server's first %" PRIu64 " actions\n",
			      log, server - phone, phone);
}

static enum exit_code
show(const struct bisection *bisection, bool json)
{
	struct buffer out;
	bool done;

	buffer_init(&out, LINE_SIZE_LIMIT);
	if (json)
		write_json(bisection, &out);
	else
		write_words(bisection, &out);
	done = !out.failed && fwrite(out.data, 1, out.size, stdout) == out.size;
	if (out.failed)
		report_error("out of memory");
	buffer_release(&out);
	if (!done || !report_output_done())
		return EXIT_LOCAL;
	return bisection->differs ? EXIT_UNVERIFIED : EXIT_FINE;
}

enum exit_code
cmd_bisect(const struct cli_options *options)
{
	struct bisection bisection = {.differs = false};
	struct cli_options phone = *options;
	enum exit_code code;

	phone.from = options->with;
	buffer_init(&bisection.phone_line, LINE_SIZE_LIMIT);
	buffer_init(&bisection.server_line, LINE_SIZE_LIMIT);
	code = links_open(&bisection.phone, &phone, options->argument, true);
	if (code == EXIT_FINE)
		code = links_open(&bisection.server, options, bisection.phone.source.log, false);
	if (code == EXIT_FINE)
		code = search(&bisection);
	if (code == EXIT_FINE)
		code = show(&bisection, options->json);
	links_release(&bisection.server);
	links_release(&bisection.phone);
	buffer_release(&bisection.server_line);
	buffer_release(&bisection.phone_line);
	return code;
}
