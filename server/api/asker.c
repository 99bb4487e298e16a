#include "api/asker.h"

#include "api/call.h"
#include "auth/identity.h"
#include "auth/trusted.h"

static bool
is_trusted(const void *cookie, const struct sockaddr *address)
{
	return trusted_contain(cookie, address);
}

/* Nobody else's header is believed, so it need not be looked for. */
static struct text
list_of(const struct call *call, const struct sockaddr *peer)
{
	const char *header = forwarded_name(call->limits->forwarded);
	return header && trusted_contain(&call->api->trusted, peer)
		       ? request_header(call->request, header)
		       : TEXT("");
}

bool
asker_client(const struct call *call, struct address_name *client)
{
	const struct forwarded_trust trust = {.is_trusted = is_trusted,
					      .cookie = &call->api->trusted};
	const struct sockaddr *peer = request_peer(call->request);
	return peer &&
	       forwarded_client(call->limits->forwarded, peer, list_of(call, peer), &trust, client);
}

static bool
trusts_nobody(const void *cookie, const struct sockaddr *address)
{
	(void)cookie;
	(void)address;
	return false;
}

void
asker_find(struct asker *asker, struct request *request, const struct call *call)
{
	const struct sockaddr *peer = request_peer(request);
	struct forwarded_trust trust = {.is_trusted = trusts_nobody};
	struct text list = TEXT("");
	*asker = (struct asker){.address = {NULL, 0}};
	if (call) {
		trust = (struct forwarded_trust){.is_trusted = is_trusted,
						 .cookie = &call->api->trusted};
		list = peer ? list_of(call, peer) : list;
		if (call->identity)
			asker->subject = identity_subject(call->identity);
		if (call->reason)
			asker->reason = text_of(call->reason);
	}
	if (peer)
		asker->address = forwarded_text(call ? call->limits->forwarded : FORWARDED_NONE,
						peer, list, &trust, asker->written);
}
