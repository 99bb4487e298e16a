/* keygen: a new key that signs receipts. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/secret_file.h"
#include "chain/note.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/report.h"

static void
print_key(struct text vkey, bool json)
{
	struct buffer line;

	buffer_init(&line, 8 * NOTE_KEY_TEXT_MAX);
	if (json) {
		buffer_append_text(&line, TEXT("{\"vkey\":"));
		json_write_string(&line, vkey);
		buffer_append_text(&line, TEXT("}"));
	} else {
		buffer_append_text(&line, vkey);
	}
	buffer_append_text(&line, TEXT("\n"));
	if (!line.failed)
		fwrite(line.data, 1, line.size, stdout);
	buffer_release(&line);
}

enum exit_code
cmd_keygen(const struct cli_options *options)
{
	uint8_t seed[NOTE_SEED_SIZE];
	struct note_signer signer;
	char text[NOTE_KEY_TEXT_MAX + 1];
	const char *problem;
	size_t size;
	bool made;

	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		report_error("no random numbers");
		return EXIT_LOCAL;
	}
	note_signer_make(text_of(options->name), seed, &signer);
	size = note_signer_write(&signer, text);
	text[size++] = '\n';
	made = secret_file_make(options->argument, (struct text){text, size}, &problem);
	explicit_bzero(seed, sizeof(seed));
	explicit_bzero(text, sizeof(text));
	explicit_bzero(signer.secret, sizeof(signer.secret));
	if (!made) {
		report_error("%s", problem);
		return EXIT_LOCAL;
	}
	size = note_key_write(&signer.key, text);
	print_key((struct text){text, size}, options->json);
	return report_output_done() ? EXIT_FINE : EXIT_LOCAL;
}
