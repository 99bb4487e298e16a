/*
 * settings: fills a struct from a table of options and three sources. Later wins, so a caller reads
 * the file first, then the environment, then the flags:
 *
 *     settings_begin ─▶ settings_read_file ─▶ settings_read_environment ─▶ settings_read_flag …
 *
 * All problems are printed, one a line: where the value came from ("edgereplay.ini:12",
 * "EDGEREPLAY_STORE_SHARDS", "--store.shards"), what, and the allowed range.
 *
 * Threads: one at a time for all settings of the process, since libinih keeps its own in globals.
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/option.h"
#include "base/text.h"

#define SETTINGS_OPTIONS_MAX 128

enum settings_source { FROM_TABLE, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct settings {
	const struct option *options;
	size_t count;	    /* at most SETTINGS_OPTIONS_MAX */
	const char *prefix; /* of environment variables, in capitals */
	void *values;
	FILE *errors;
	unsigned problems;

	const char *path; /* of the INI file, or NULL; borrowed */
	FILE *file;	  /* while it is read, with its line */
	unsigned line;
	size_t size;
	bool section_seen;  /* any */
	bool section_known; /* the last one */
	struct {
		enum settings_source source;
		unsigned line;
	} set_by[SETTINGS_OPTIONS_MAX];
};

/* The caller has set options, count, prefix, values and errors; the values become the table's. */
void settings_begin(struct settings *);

void settings_read_file(struct settings *, const char *path);

/* <PREFIX>_<SECTION>_<KEY>=value. Names that do not begin with the prefix and a known section are
 * not looked at; an unknown key of a known section is a problem. */
void settings_read_environment(struct settings *, char **environment);

/* --section.key=value; anything else is a problem. */
void settings_read_flag(struct settings *, const char *argument);

/* NULL when there is none. */
const struct option *settings_find(const struct settings *, struct text section, struct text key);

/* A problem with an option's value: says where it came from and what it is, then the words. */
void settings_report(struct settings *, const struct option *, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
