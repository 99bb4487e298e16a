/*
 * repair_out: the file that has what repair takes out of a log: NDJSON, an action a line, as pull
 * prints it, with its link and whether it is good, and the log's number where that is all that is known of it;
 * what is no UTF-8 is there in base64.
 */
#ifndef CLI_REPAIR_OUT_H
#define CLI_REPAIR_OUT_H

#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/repair.h"

struct repair_out {
	const char *path; /* NULL: nothing is written */
	FILE *file;	  /* NULL until there is something */
	uint64_t count;
	struct buffer line;
};

void repair_out_init(struct repair_out *, const char *path);

/* A removed_keeper; its cookie is the struct. The file must not be there yet. */
enum status repair_out_keep(void *cookie, const struct removed *);

/* On the disk. The cookie again. */
MUST_CHECK enum status repair_out_sync(void *out);
void repair_out_release(struct repair_out *);

#endif
