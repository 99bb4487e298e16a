/*
 * secret_file: small files that hold a secret: nobody but their owner may read them.
 *
 * Threads: any. Errors: false with *problem (base/problem).
 */
#ifndef BASE_SECRET_FILE_H
#define BASE_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/text.h"

#define SECRET_FILE_SIZE_MAX ((size_t)64 * 1024)

/* Appends what a file holds to the buffer. Refuses what is no regular file, or larger, or what group
 * or others may do anything with. */
bool secret_file_read(const char *path, struct buffer *, const char **problem);

/* Makes a new file of mode 0600 that holds the text, synced. Refuses where there is one. */
bool secret_file_make(const char *path, struct text, const char **problem);

#endif
