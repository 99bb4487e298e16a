#include "store/sqlite/gone.h"

#include <inttypes.h>
#include <sodium/crypto_generichash.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>

#include "base/big_endian.h"
#include "base/check.h"

#define SUM_SIZE 16

static void
make_sum(const struct hash *genesis, const struct gone *gone, uint8_t sum[SUM_SIZE])
{
	uint8_t bytes[HASH_SIZE + 24];
	memcpy(bytes, genesis->bytes, HASH_SIZE);
	big_endian_put(bytes + HASH_SIZE, gone->pruned, 8);
	big_endian_put(bytes + HASH_SIZE + 8, gone->erased_at, 8);
	big_endian_put(bytes + HASH_SIZE + 16, gone->cleared, 8);
	CHECK(crypto_generichash(sum, SUM_SIZE, bytes, sizeof(bytes), NULL, 0) == 0);
}

bool
gone_take(struct statement *statement, int column, const struct hash *genesis, struct gone *gone)
{
	uint8_t right[SUM_SIZE];
	*gone = (struct gone){0};
	if (statement_is_null(statement, column))
		return true;
	gone->pruned = statement_u64(statement, column);
	gone->erased_at = statement_u64(statement, column + 1);
	gone->cleared = statement_u64(statement, column + 3);
	const struct text sum = statement_text(statement, column + 2);
	make_sum(genesis, gone, right);
	return text_equal(sum, (struct text){(const char *)right, SUM_SIZE});
}

enum status
gone_write(struct db *db, uint64_t log, const struct hash *genesis, const struct gone *gone)
{
	const bool is_nothing = gone->pruned == 0 && gone->erased_at == 0 && gone->cleared == 0;
	char sql[280], hex[2 * SUM_SIZE + 1];
	uint8_t sum[SUM_SIZE];
	make_sum(genesis, gone, sum);
	(void)sodium_bin2hex(hex, sizeof(hex), sum, SUM_SIZE);
	if (is_nothing)
		(void)snprintf(sql, sizeof(sql), "DELETE FROM gone WHERE log = %" PRIu64, log);
	else
		(void)snprintf(sql, sizeof(sql),
			       "INSERT OR REPLACE INTO gone (log, pruned, erased_at, sum, cleared)"
			       " VALUES (%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", x'%s', %" PRIu64
			       ")",
			       log, gone->pruned, gone->erased_at, hex, gone->cleared);
	return db_run(db, sql);
}
