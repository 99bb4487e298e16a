#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

/* Not through the logger: it may be the one that is broken, or hold its lock. */
void
check_failed(const char *condition, const char *file, int line)
{
	(void)dprintf(2, "level=error room=base event=\"check failed\" condition=(%s) at=%s:%d\n",
		      condition, file, line);
	abort();
}
