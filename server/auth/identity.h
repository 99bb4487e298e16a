/*
 * identity: who asks, and which logs are theirs. Never changed once made; counted references, so that
 * a request keeps its own while the cache drops it.
 *
 * A subject owns one log, named by a template in which {sub} is the subject. Others are granted by
 * name or by prefix, to write or only to read.
 *
 * An identity may be bound to a device. Then what a batch adds on its own behalf, the actions that
 * name no device themselves, must be that device's. Actions that name their device stay possible:
 * a phone that heals a server gives back what other devices wrote, and the server, which has lost
 * just these, cannot tell one from the other. So the binding keeps a phone from taking another's
 * name by mistake or by a copied state file; it is no proof of authorship, nor is the chain
 * (protocol, sections 4.1, 7 and 8).
 *
 * Threads: any.
 */
#ifndef AUTH_IDENTITY_H
#define AUTH_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "chain/chain.h"

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

struct grant {
	struct text name; /* of a log, or what it begins with */
	bool prefix;
	enum access access;
};

/* Tells the key that vouched for an identity from others; zeros where none did. */
struct key_print {
	uint8_t bytes[16];
};

/* What an identity is made of; all is copied. */
struct identity_facts {
	struct text subject;
	struct text own_log; /* data is NULL: no log name can be made of the subject */
	struct text device;  /* data is NULL: bound to none */
	const struct grant *grants;
	size_t grant_count;
	bool all_logs;
	uint64_t expires_sec; /* since the Unix epoch */
	struct key_print key;
};

struct identity;

/* Held once. NULL when memory is out. */
struct identity *identity_new(const struct identity_facts *);
struct identity *identity_hold(struct identity *);
void identity_release(struct identity *); /* NULL is allowed */

/* Empty for NULL: where nobody is asked who they are. */
struct text identity_subject(const struct identity *);

/* data is NULL: any. Also for NULL. */
struct text identity_device(const struct identity *);

/* ACCESS_WRITE for NULL. */
enum access identity_access(const struct identity *, struct text log);

/* Whether it has a log of its own, and which; empty for NULL, and where it has none. */
bool identity_has_log(const struct identity *);
struct text identity_own_log(const struct identity *);

/* Whether a log that it begins counts towards its subject's quota: not its own, and none where all logs are
 * open to it. Not for NULL: nobody can be told apart. */
bool identity_counts(const struct identity *, struct text log);

uint64_t identity_expires_sec(const struct identity *);
const struct key_print *identity_key(const struct identity *);

/* How much memory it holds. */
size_t identity_size(const struct identity *);

/* Whether a template has {sub} just once and otherwise only what a log's name may have. */
bool own_log_is_valid(struct text template);

/* The log that the template gives a subject; false: it is no valid log name. */
bool own_log_make(struct text template, struct text subject, char name[LOG_NAME_SIZE_MAX],
		  size_t *size);

#endif
