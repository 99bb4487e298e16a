/* limits_hash: what the digests and links of actions cost, and nothing else. */
#include <time.h>

#include "chain/chain.h"
#include "loadtest/limits.h"
#include "loadtest/limits_action.h"

bool
limits_hash(const struct limits_plan *plan, struct figures *figures)
{
	static struct action_source source;
	struct hash link, digest;
	action_source_init(&source, plan->payload);
	chain_genesis(TEXT("user-0"), &link);
	double begin = limits_clock_sec(CLOCK_PROCESS_CPUTIME_ID);
	for (uint64_t i = 0; i < plan->rows; i++) {
		chain_digest(action_source_next(&source), &digest);
		chain_link(&link, &digest, &link);
	}
	double cpu = limits_clock_sec(CLOCK_PROCESS_CPUTIME_ID) - begin;
	figures_add(figures, "actions", (double)plan->rows);
	figures_add(figures, "cpuPerActionUs", cpu * 1e6 / (double)plan->rows);
	return true;
}
