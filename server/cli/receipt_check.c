#include "cli/receipt_check.h"

#include "cli/report.h"

bool
receipt_check(const struct cli_options *options, struct text note, struct receipt *receipt)
{
	struct note_key keys[CLI_VKEYS_MAX];

	for (size_t i = 0; i < options->vkey_count; i++) {
		if (!note_key_read(text_of(options->vkeys[i]), &keys[i]))
			return false;
	}
	switch (receipt_read(note, keys, options->vkey_count, receipt)) {
	case NOTE_VERIFIED:
		return true;
	case NOTE_MALFORMED:
		report_error("%s: this is no receipt", options->argument);
		return false;
	case NOTE_FORGED:
		report_error("%s: the signature is forged, or the receipt was changed",
			     options->argument);
		return false;
	case NOTE_UNKNOWN_KEY:
		break;
	}
	report_error("%s: a receipt of %.*s, and not signed by a --vkey of that name",
		     options->argument, (int)receipt->server.size, receipt->server.data);
	return false;
}
