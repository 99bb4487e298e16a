#include "loadtest/chaos_fault.h"

#include <stdbool.h>

void
fault_draw(struct random *random, struct fault *fault)
{
	bool meets = random_below(random, FAULT_ONE_IN) == 0;
	unsigned kind = 1 + (unsigned)random_below(random, FAULT_KINDS - 1);
	*fault = (struct fault){.kind = meets ? (enum fault_kind)kind : FAULT_NONE};
	fault->where = random_share(random);
	fault->delay_msec = 1 + (unsigned)random_below(random, FAULT_DELAY_MSEC_MAX);
	fault->slices = 1 + (unsigned)random_below(random, FAULT_SLICES_MAX);
}
