/*
 * stamp: a time as a part of a file's name.
 */
#ifndef CLI_STAMP_H
#define CLI_STAMP_H

#include "base/clock.h"

/* 20261122T180408Z of 2026-11-22T18:04:08.123Z. */
void stamp_now(char stamp[CLOCK_TEXT_SIZE]);

#endif
