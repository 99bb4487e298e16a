/*
 * option: one row of a table of options: where a value lives in a struct, how it is written, and
 * what it may be.
 *
 * Threads: an option is constant; the struct that holds the values has one user at a time.
 */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/text.h"

#define OPTION_TEXT_SIZE 4096 /* of a text's array, its NUL included */
#define OPTION_VALUE_SIZE 32
#define OPTION_UNITS "KiB, MiB, GiB or TiB"

enum option_type {
	OPTION_NUMBER, /* uint64_t, decimal */
	OPTION_BYTES,  /* uint64_t, decimal, one of OPTION_UNITS may follow */
	OPTION_OCTAL,  /* uint64_t */
	OPTION_TEXT,   /* char[OPTION_TEXT_SIZE] */
	OPTION_BOOL,   /* bool: true or false */
	OPTION_CHOICE  /* an enum that is stored as unsigned */
};

struct option {
	const char *section;
	const char *key;
	size_t offset; /* in the struct that holds the values */
	const char *initial;
	uint64_t min; /* of a text: of its length */
	uint64_t max;
	const char *const *choices; /* of a choice: in its enum's order, then NULL */
	const char *unit;
	enum option_type type;
	bool reloadable;
	const char *text; /* a sentence */
};

/* Parses and stores. False, and nothing is stored, when the text is not one of the type or is out
 * of range. */
bool option_parse(const struct option *, struct text, void *values);

/* A number's value; a bool's is 0 or 1, a choice's its index. Not for texts. */
uint64_t option_number(const struct option *, const void *values);

/* The value as one would write it: in room, a constant, or the text in values itself. */
const char *option_value(const struct option *, const void *values, char room[OPTION_VALUE_SIZE]);

bool option_same(const struct option *, const void *values, const void *others);
void option_copy(const struct option *, void *to, const void *from);

/* "1..64 threads", "true or false", "debug or info or warn or error". */
void option_print_range(const struct option *, FILE *);

#endif
