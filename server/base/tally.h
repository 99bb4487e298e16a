/*
 * tally: what is counted by a word that clients choose, in bounded room: the first words that come have a
 * counter each, all others share one.
 *
 * Threads: all functions from any thread. For what happens seldom: there is a lock.
 */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define TALLY_WORDS_MAX 32
#define TALLY_WORD_SIZE_MAX 64
#define TALLY_OTHERS "others" /* no word of its own has been left for them */

/* What of it: reports of states that differ; syncs with a history of which the server has not the base. */
enum tally { TALLY_STATES, TALLY_MISMATCHES, TALLY_BEHIND, TALLY_COUNT };

struct tally_row {
	char word[TALLY_WORD_SIZE_MAX + 1];
	uint64_t count;
};

/* Counts one, by its app's version. */
void tally_add(enum tally, struct text word);

/* How many rows there are; rows has room for TALLY_WORDS_MAX + 1. */
size_t tally_read(enum tally, struct tally_row *rows);

#endif
