/*
 * phone_lock: one process at a time for a state file.
 */
#ifndef CLI_PHONE_LOCK_H
#define CLI_PHONE_LOCK_H

#include "base/status.h"

/*
 * Locks PATH-lock (made if missing, never removed: removing it would let two processes lock two
 * different files). A link to the file has the file's lock. The lock ends when *lock is closed or
 * the process dies. Failures are reported.
 */
MUST_CHECK enum status phone_lock(const char *path, int *lock);

#endif
