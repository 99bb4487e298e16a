/*
 * phone_pull: pages of the log (protocol 4.2), verified before anything is done with them.
 */
#ifndef CLI_PHONE_PULL_H
#define CLI_PHONE_PULL_H

#include "cli/phone_sync.h"

/*
 * Asks for the page after a position and verifies it: it begins at that very position, and its
 * actions, chained here, give its hash. STEP_ON: *page holds it. Release *page in any case.
 */
enum step phone_pull_fetch(struct phone_sync *, const struct position *after, struct answer *page);

/* Confirms the actions of a verified page. In the caller's transaction. */
MUST_CHECK enum status phone_pull_confirm(struct phone_sync *, const struct logged *, size_t count);

/* A round: the page after the base is fetched and confirmed. */
enum step phone_pull(struct phone_sync *);

#endif
