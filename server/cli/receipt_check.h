/*
 * receipt_check: whether one of --vkey signed a receipt.
 */
#ifndef CLI_RECEIPT_CHECK_H
#define CLI_RECEIPT_CHECK_H

#include <stdbool.h>

#include "base/text.h"
#include "chain/receipt.h"
#include "cli/cli.h"

/* The note is that of the file that the command line names. False, and reported, when it is not to be
 * believed. */
bool receipt_check(const struct cli_options *, struct text note, struct receipt *);

#endif
