/*
 * asker: who asked, as the log says it: the client's address, the subject of its credentials, and why those
 * were not good where they were not. The client is told nothing of the last (admit.c).
 *
 * The address is the one that forwarded.h believes. Where a connection was taken out of libmicrohttpd's hands
 * for a long wait (http/live.h), it is not known any more and left out.
 */
#ifndef API_ASKER_H
#define API_ASKER_H

#include <netinet/in.h>
#include <stdbool.h>

#include "api/forwarded.h"
#include "base/log.h"
#include "base/text.h"

struct call;
struct request;

/* data is NULL where it is not known. The texts last as long as the request and this. */
struct asker {
	struct text address, subject, reason;
	char written[INET6_ADDRSTRLEN]; /* the address */
};

/* call is NULL for a request that got none: then its peer is all that is known. */
void asker_find(struct asker *, struct request *, const struct call *);

/* What tells the client's address from others; false as forwarded_client(). */
bool asker_client(const struct call *, struct address_name *);

#define LOG_ASKER(a)                                                                               \
	LOG_TEXT("address", (a)->address), LOG_TEXT("subject", (a)->subject),                      \
		LOG_TEXT("reason", (a)->reason)

#endif
