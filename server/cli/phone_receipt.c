#include "cli/phone_receipt.h"

#include "chain/receipt.h"
#include "cli/out_file.h"
#include "cli/report.h"

void
phone_receipt_take(struct phone_sync *sync, const struct answer *answer)
{
	if (answer->kind != ANSWER_SUCCESS || answer->receipt.size == 0)
		return;
	sync->receipt.size = 0;
	buffer_append_text(&sync->receipt, answer->receipt);
}

/* What it says is what this phone knows. */
static bool
is_own(const struct phone_sync *sync, struct text note)
{
	struct receipt receipt;
	struct hash link;

	return receipt_read(note, NULL, 0, &receipt) != NOTE_MALFORMED &&
	       receipt.kind == RECEIPT_HISTORY &&
	       text_equal(receipt.log, phone_store_log(sync->store)) &&
	       phone_store_link(sync->store, receipt.position.seq, &link) == STATUS_OK &&
	       hash_equal(&link, &receipt.position.link);
}

enum exit_code
phone_receipt_keep(const struct phone_sync *sync, const char *path)
{
	const struct text note = {sync->receipt.data, sync->receipt.size};
	struct out_file *file;

	if (note.size == 0 || sync->receipt.failed) {
		report_error("the server gave no receipt");
		return EXIT_UNVERIFIED;
	}
	if (!is_own(sync, note)) {
		report_error("the server's receipt is not for what this phone has confirmed: it is "
			     "not kept");
		return EXIT_UNVERIFIED;
	}
	file = out_file_open_plain(path);
	if (file == NULL)
		return EXIT_LOCAL;
	(void)out_file_write(file, note);
	return out_file_commit(file) ? EXIT_FINE : EXIT_LOCAL;
}
