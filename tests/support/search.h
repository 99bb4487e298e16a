/*
 * search: which of many texts are in a folder's files, by one pass over them. A text that a page's end
 * cuts in two is found by either end.
 */
#ifndef SEARCH_H
#define SEARCH_H

#include <check.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_SIZE 48
#define TOKENS_MAX 2000
#define PART_SIZE 14

/* One of a token's two ends. */
struct part {
	char bytes[PART_SIZE]; /* first: see compare_parts() */
	size_t token;
};

/* Of parts, or of bytes that begin anywhere. */
static int
compare_parts(const void *a, const void *b)
{
	return memcmp(a, b, PART_SIZE);
}

struct search {
	struct part parts[2 * TOKENS_MAX];
	size_t count;
	bool found[TOKENS_MAX];
};

static struct search *
search_new(char (*tokens)[TOKEN_SIZE], size_t count)
{
	struct search *search = calloc(1, sizeof(*search));
	ck_assert_ptr_nonnull(search);
	for (size_t i = 0; i < count; i++) {
		const char *token = tokens[i];
		struct part *parts = &search->parts[2 * i];
		parts[0].token = parts[1].token = i;
		memcpy(parts[0].bytes, token, PART_SIZE);
		memcpy(parts[1].bytes, token + strlen(token) - PART_SIZE, PART_SIZE);
	}
	search->count = 2 * count;
	qsort(search->parts, search->count, sizeof(search->parts[0]), compare_parts);
	return search;
}

/* A token begins with '<' and ends with '>', and so do its parts. */
static void
search_bytes(struct search *search, const char *bytes, size_t size)
{
	for (size_t at = 0; at < size; at++) {
		const char *begin = bytes[at] == '<' ? bytes + at
				    : bytes[at] == '>' && at + 1 >= PART_SIZE
					    ? bytes + at + 1 - PART_SIZE
					    : NULL;
		if (!begin || (size_t)(bytes + size - begin) < PART_SIZE)
			continue;
		const struct part *part = bsearch(begin, search->parts, search->count,
						  sizeof(search->parts[0]), compare_parts);
		if (part)
			search->found[part->token] = true;
	}
}

static void
search_file(struct search *search, const char *dir, const char *name)
{
	char path[1400];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
	const size_t length = (size_t)ftell(file);
	char *content = malloc(length + 1);
	ck_assert_ptr_nonnull(content);
	rewind(file);
	ck_assert_uint_eq(fread(content, 1, length, file), length);
	search_bytes(search, content, length);
	free(content);
	fclose(file);
}

/* How many of the tokens ("<…>", each end of which no other has) are in any of the folder's files. */
static size_t
search_folder(char (*tokens)[TOKEN_SIZE], size_t count, const char *path)
{
	struct search *search = search_new(tokens, count);
	DIR *dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (entry->d_type == DT_REG)
			search_file(search, path, entry->d_name);
	}
	closedir(dir);
	size_t found = 0;
	for (size_t i = 0; i < count; i++)
		found += search->found[i];
	free(search);
	return found;
}

#endif
