#include "base/tally.h"

#include <pthread.h>

#include "base/check.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table {
	struct tally_row rows[TALLY_WORDS_MAX + 1]; /* the last one used may be the others' */
	size_t used;
} tables[TALLY_COUNT];

static struct tally_row *
row_locked(struct table *table, struct text word)
{
	for (size_t i = 0; i < table->used; i++) {
		if (text_equal(text_of(table->rows[i].word), word))
			return &table->rows[i];
	}
	if (table->used >= TALLY_WORDS_MAX) {
		table->used = TALLY_WORDS_MAX + 1;
		word = TEXT(TALLY_OTHERS);
	} else {
		table->used++;
	}
	memcpy(table->rows[table->used - 1].word, word.data, word.size);
	return &table->rows[table->used - 1];
}

void
tally_add(enum tally tally, struct text word)
{
	CHECK(word.size <= TALLY_WORD_SIZE_MAX);
	CHECK(pthread_mutex_lock(&lock) == 0);
	row_locked(&tables[tally], word)->count++;
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

size_t
tally_read(enum tally tally, struct tally_row *rows)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	const size_t count = tables[tally].used;
	memcpy(rows, tables[tally].rows, count * sizeof(*rows));
	CHECK(pthread_mutex_unlock(&lock) == 0);
	return count;
}
