/*
 * salvage_place: how a new shard file takes the old one's place, and where that is kept.
 *
 *     copy the journal files and the anchor ─▶ the old file to its new name, then its WAL ─▶ the new file
 *                                                                                            to the old name
 *
 * A file must never be without its WAL under the name that a start looks for: while the WAL moves there is
 * no file of that name, and a start says so. Where there is no WAL the old file keeps both names until the
 * new one takes one of them, in one step. salvage_undo() ends what a crash has cut off.
 */
#ifndef STORE_SALVAGE_PLACE_H
#define STORE_SALVAGE_PLACE_H

#include <stdbool.h>

#include "base/status.h"

/* Whether a swap was cut off that took the file from its name. */
bool salvage_is_cut_off(const char *path);

/* As it was before a swap that was cut off. */
MUST_CHECK enum status salvage_undo(const char *path, const char **problem);

/* Copies what a start would change, so that all of a shard is kept. *kept: the old file's new name, from
 * malloc, also on failure. */
MUST_CHECK enum status salvage_keep_beside(const char *path, char **kept, const char **problem);

/* On failure all is as before. */
MUST_CHECK enum status salvage_take_place(const char *made, const char *path, const char *kept,
					  const char **problem);

/* A file that is nobody's, and what SQLite has put beside it; may be gone. */
void salvage_remove(const char *made);

#endif
