/* replay: a log's actions up to a state, to a program that makes the state of them, or as they are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/export_file.h"
#include "cli/json_text.h"
#include "cli/program.h"
#include "cli/report.h"
#include "cli/source.h"

#define LINE_SIZE_LIMIT ((size_t)1 << 30)

struct replaying {
	struct source source;
	struct program program;
	bool has_program;
	struct buffer line;
	struct position at;
	uint64_t redacted; /* of the actions */
};

static bool
give(void *cookie, const struct sourced *sourced)
{
	struct replaying *replaying = cookie;
	struct buffer *line = &replaying->line;

	line->size = 0;
	replaying->redacted += sourced->logged.kept.redacted;
	export_write_action(line, sourced);
	if (line->failed) {
		report_error("out of memory");
		return false;
	}
	if (replaying->has_program)
		return program_feed(&replaying->program, (struct text){line->data, line->size});
	if (fwrite(line->data, 1, line->size, stdout) == line->size)
		return true;
	report_error("stdout: cannot write");
	return false;
}

/* {"log":…,"seq":…,"redacted":…,"stateHash":…,"output":…} */
static bool
print_output(struct replaying *replaying)
{
	struct buffer *line = &replaying->line;
	struct buffer output;
	bool read;

	buffer_init(&output, LINE_SIZE_LIMIT);
	read = program_output(&replaying->program, &output);
	const struct text text = {output.data, output.size};
	line->size = 0;
	buffer_append_text(line, TEXT("{\"log\":"));
	json_write_string(line, text_of(replaying->source.log));
	buffer_printf(line, ",\"seq\":%" PRIu64 ",\"redacted\":%" PRIu64 ",\"stateHash\":",
		      replaying->at.seq, replaying->redacted);
	json_write_hash(line, &replaying->at.link);
	if (text_is_utf8(text)) {
		buffer_append_text(line, TEXT(",\"output\":"));
		json_write_string(line, text);
	} else {
		buffer_append_text(line, TEXT(",\"outputBase64\":"));
		json_write_base64(line, text);
	}
	buffer_append_text(line, TEXT("}\n"));
	if (read && line->failed)
		report_error("out of memory");
	if (read && !line->failed)
		fwrite(line->data, 1, line->size, stdout);
	buffer_release(&output);
	return read && !line->failed;
}

/* What the program made of anything but the whole is not to be taken for the state. */
static enum exit_code
end_program(struct replaying *replaying, enum exit_code code, bool json)
{
	struct program *program = &replaying->program;

	if (code == EXIT_FINE || program->refuses) {
		if (!program_finish(program))
			return EXIT_PROGRAM;
		if (json && !print_output(replaying))
			return EXIT_LOCAL;
		return EXIT_FINE;
	}
	program_kill(program);
	return code;
}

static void
show_end(struct replaying *replaying, bool json)
{
	const struct position *at = &replaying->at;
	char link[HASH_TEXT_SIZE];

	hash_to_text(&at->link, link);
	report_note("log %s at action %" PRIu64 ", state hash %.*s", replaying->source.log, at->seq,
		    HASH_TEXT_SIZE, link);
	if (replaying->redacted > 0)
		report_note("%" PRIu64 " of these actions are redacted or pruned: what is made of "
			    "them lacks their content",
			    replaying->redacted);
	if (!json || replaying->has_program)
		return;
	replaying->line.size = 0;
	export_write_last(&replaying->line, at, TEXT(""));
	fwrite(replaying->line.data, 1, replaying->line.size, stdout);
}

enum exit_code
cmd_replay(const struct cli_options *options)
{
	struct replaying replaying = {.has_program = options->reducer != NULL};
	enum exit_code code;

	code = source_open(&replaying.source, options, options->argument);
	if (code != EXIT_FINE)
		return code;
	if (replaying.has_program &&
	    !program_start(&replaying.program, options->reducer, options->json)) {
		program_release(&replaying.program);
		return EXIT_PROGRAM;
	}
	buffer_init(&replaying.line, LINE_SIZE_LIMIT);
	code = source_read(&replaying.source, &replaying.at, give, &replaying);
	if (replaying.has_program)
		code = end_program(&replaying, code, options->json);
	if (code == EXIT_FINE)
		show_end(&replaying, options->json);
	buffer_release(&replaying.line);
	if (replaying.has_program)
		program_release(&replaying.program);
	return report_output_done() ? code : EXIT_LOCAL;
}
