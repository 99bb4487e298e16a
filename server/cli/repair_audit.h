/*
 * repair_audit: what verify finds in a shard after its repair: all of it, the repaired log and the others.
 */
#ifndef CLI_REPAIR_AUDIT_H
#define CLI_REPAIR_AUDIT_H

#include "base/text.h"
#include "store/repair.h"

struct repair_audit {
	uint64_t findings;
	uint64_t of_log;  /* in the log */
	uint64_t of_file; /* in no log */
};

/* Reports the first findings. Anything but OK: it could not be done. */
MUST_CHECK enum status repair_audit(const struct repair_target *, struct text log,
				    struct repair_audit *);

#endif
