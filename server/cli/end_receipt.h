/*
 * end_receipt: asks a server for a receipt of a position that the caller has computed, as a phone would
 * that has nothing to send (protocol, sections 4.1 and 6).
 */
#ifndef CLI_END_RECEIPT_H
#define CLI_END_RECEIPT_H

#include <stdbool.h>

#include "base/mem.h"
#include "chain/chain.h"
#include "cli/cli.h"

/* options: url, log, give_up_sec. The note goes into receipt, which stays empty when the server gives none.
 * False: the log has moved on, and there is none for this position any more. */
bool end_receipt_ask(const struct cli_options *, const struct position *, struct buffer *receipt);

#endif
