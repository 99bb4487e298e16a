/*
 * rate: how many bytes a second a copy may take.
 */
#ifndef CLI_RATE_H
#define CLI_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Of a backup: what leaves most of a disk to the daemon. */
#define RATE_INITIAL ((uint64_t)32 << 20)

/* "1048576", "1024KiB", "1MiB"; 0: no limit. False, and reported: it is none. */
bool rate_parse(const char *value, uint64_t *rate);

#endif
