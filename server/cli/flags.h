/*
 * flags: the flags of edgereplay: a table with each one's name, form and place in the options.
 *
 * A command names the flags that it needs or takes by their bits.
 */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <assert.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"

enum flag {
	FLAG_QUIET,
	FLAG_JSON,
	FLAG_HELP,
	FLAG_VERSION,
	FLAG_URL,
	FLAG_LOG,
	FLAG_STATE,
	FLAG_DEVICE,
	FLAG_BATCH,
	FLAG_ON_CONFLICT,
	FLAG_GIVE_UP,
	FLAG_RESUME,
	FLAG_AFTER,
	FLAG_HASH,
	FLAG_UNTIL,
	FLAG_FROM,
	FLAG_OUT,
	FLAG_SHARD,
	FLAG_DRY_RUN,
	FLAG_NAME,
	FLAG_VKEY,
	FLAG_DATA,
	FLAG_RECEIPT,
	FLAG_CHECK,
	FLAG_LIVE,
	FLAG_AS,
	FLAG_WITH,
	FLAG_REDUCER,
	FLAG_TOKEN_FILE,
	FLAG_CA_FILE,
	FLAG_KEY,
	FLAG_JWKS,
	FLAG_SUBJECT,
	FLAG_ISSUER,
	FLAG_AUDIENCE,
	FLAG_SCOPE,
	FLAG_LOGS,
	FLAG_LOGS_RO,
	FLAG_EXPIRES,
	FLAG_DIGEST,
	FLAG_APP,
	FLAG_AT,
	FLAG_BEFORE,
	FLAG_SNAPSHOT,
	FLAG_APP_VERSION,
	FLAG_MEDIA_TYPE,
	FLAG_ADMIN,
	FLAG_TO,
	FLAG_RATE,
	FLAG_RECORD,
	FLAG_REPLAY,
	FLAG_OLDER_THAN,
	FLAG_WITHOUT_SNAPSHOT,
	FLAG_ALL,
	FLAG_REOPEN,
	FLAG_COUNT
};

#define BIT(flag) (UINT64_C(1) << (flag))

static_assert(FLAG_COUNT <= 64, "a set of flags is 64 bits");

/* What getopt_long() gives for a flag is this plus the flag. */
#define FLAG_VALUE 256

/* For getopt_long(). */
void flags_describe(struct option options[FLAG_COUNT + 1]);

const char *flag_name(enum flag);

/* Stores one flag's value; false, and reported, when it is wrong. */
bool flag_set(enum flag, const char *value, struct cli_options *);

#endif
