#include "store/sqlite/loss.h"

#include <inttypes.h>

#include "base/problem.h"
#include "store/sqlite/journal.h"
#include "store/sqlite/journal_read.h"

/* A record that has rotted was there. */
static enum status
visit_entry(void *cookie, const struct journal_entry *entry)
{
	struct loss *loss = cookie;
	struct record record;
	if (entry->id > loss->found)
		loss->found = entry->id;
	loss->rotten += !journal_decode(entry->bytes, entry->size, &record);
	return STATUS_OK;
}

/* Pages go into the file from the first on, and the one with the count is the second: so the count is
 * the file's newest. The WAL begins anew only after the anchor says that all of it is in the file. */
static enum loss_kind
compare(const struct loss *loss, const struct journal_file files[2])
{
	const struct alone *alone = &loss->alone;
	if (alone->size < loss->size || (alone->is_readable && alone->commits < loss->filed))
		return LOSS_OF_FILE;
	if (alone->is_readable && (loss->in_place.commits < alone->commits ||
				   (alone->commits > loss->filed && !alone->wal_has_commit)))
		return LOSS_OF_WAL;
	if (!journal_files_are_whole(files, loss->in_place.generation))
		return LOSS_OF_ROWS;
	return loss->found < loss->expected ? LOSS_OF_TAIL : LOSS_NONE;
}

enum status
loss_look(struct db *db, struct journal_file files[2], const struct anchor *anchor,
	  struct loss *loss)
{
	*loss = (struct loss){.generations = {files[0].generation, files[1].generation},
			      .expected = anchor->last,
			      .filed = anchor->filed,
			      .size = anchor->size};
	enum status status = in_place_read(db, &loss->in_place);
	if (status != STATUS_OK)
		return db_is_malformed(db) ? STATUS_LOG_DAMAGED : status;
	status = alone_look(db_path(db), &loss->alone);
	loss->found = loss->in_place.last_id;
	if (status == STATUS_OK)
		status = journal_files_read(files, loss->in_place.generation, visit_entry, loss);
	if (status == STATUS_OK)
		loss->kind = compare(loss, files);
	return status;
}

const char *
loss_sentence(const struct loss *loss, const char *path)
{
	const struct alone *alone = &loss->alone;
	switch (loss->kind) {
	case LOSS_OF_FILE:
		return problem_format("%s is older than it was, or cut off: it has %" PRIu64
				      " bytes and %" PRIu64
				      " transactions of rows, and had %" PRIu64 " and %" PRIu64,
				      path, alone->size, alone->commits, loss->size, loss->filed);
	case LOSS_OF_WAL:
		return problem_format("%s-wal is missing, cut off or older than it was: of %" PRIu64
				      " transactions of rows that the file beside it has parts of, "
				      "the two have %" PRIu64,
				      path, alone->commits,
				      alone->wal_has_commit ? loss->in_place.commits : loss->filed);
	case LOSS_OF_ROWS:
		return problem_format(
			"%s or its WAL is older than it was, or a journal file is: it has the rows "
			"of generations up to %" PRIu64 ", and the journal files have %" PRIu64
			" and %" PRIu64,
			path, loss->in_place.generation, loss->generations[0],
			loss->generations[1]);
	case LOSS_OF_TAIL:
		return problem_format(
			"%s and its journal files have %" PRIu64 " commits, but %" PRIu64
			" were on the disk: the newest %" PRIu64 " are lost",
			path, loss->found, loss->expected, loss->expected - loss->found);
	case LOSS_NONE:
		break;
	}
	return problem_format("%s has all that it had", path);
}
