#include "auth/identity.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const struct text placeholder = {"{sub}", 5};

/* One piece of memory: grants and texts stand behind the struct. */
struct identity {
	atomic_uint references;
	size_t size;
	uint64_t expires_sec;
	struct key_print key;
	struct text subject;
	struct text own_log;
	struct text device;
	bool all_logs;
	size_t grant_count;
	struct grant grants[];
};

static struct text
copy(char **at, struct text text)
{
	const struct text copied = {text.data ? *at : NULL, text.size};
	if (text.data && text.size > 0)
		memcpy(*at, text.data, text.size);
	*at += text.size;
	return copied;
}

struct identity *
identity_new(const struct identity_facts *facts)
{
	size_t size = sizeof(struct identity) + facts->grant_count * sizeof(struct grant);
	const size_t texts_at = size;
	size += facts->subject.size + facts->own_log.size + facts->device.size;
	for (size_t i = 0; i < facts->grant_count; i++)
		size += facts->grants[i].name.size;
	struct identity *identity = malloc(size);
	if (!identity)
		return NULL;
	char *at = (char *)identity + texts_at;
	atomic_init(&identity->references, 1);
	identity->size = size;
	identity->expires_sec = facts->expires_sec;
	identity->key = facts->key;
	identity->subject = copy(&at, facts->subject);
	identity->own_log = copy(&at, facts->own_log);
	identity->device = copy(&at, facts->device);
	identity->all_logs = facts->all_logs;
	identity->grant_count = facts->grant_count;
	for (size_t i = 0; i < facts->grant_count; i++) {
		identity->grants[i] = facts->grants[i];
		identity->grants[i].name = copy(&at, facts->grants[i].name);
	}
	return identity;
}

struct identity *
identity_hold(struct identity *identity)
{
	atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
	return identity;
}

void
identity_release(struct identity *identity)
{
	if (identity && atomic_fetch_sub(&identity->references, 1) == 1)
		free(identity);
}

struct text
identity_subject(const struct identity *identity)
{
	return identity ? identity->subject : TEXT("");
}

struct text
identity_device(const struct identity *identity)
{
	return identity ? identity->device : (struct text){NULL, 0};
}

static bool
grant_covers(const struct grant *grant, struct text log)
{
	if (!grant->prefix)
		return text_equal(grant->name, log);
	return log.size >= grant->name.size &&
	       memcmp(log.data, grant->name.data, grant->name.size) == 0;
}

enum access
identity_access(const struct identity *identity, struct text log)
{
	enum access access = ACCESS_NONE;
	if (!identity || identity->all_logs ||
	    (identity->own_log.data && text_equal(identity->own_log, log)))
		return ACCESS_WRITE;
	for (size_t i = 0; i < identity->grant_count; i++) {
		const struct grant *grant = &identity->grants[i];
		if (grant->access > access && grant_covers(grant, log))
			access = grant->access;
	}
	return access;
}

bool
identity_has_log(const struct identity *identity)
{
	return identity->own_log.data != NULL;
}

struct text
identity_own_log(const struct identity *identity)
{
	return identity && identity->own_log.data ? identity->own_log : TEXT("");
}

bool
identity_counts(const struct identity *identity, struct text log)
{
	return identity && !identity->all_logs && !text_equal(identity_own_log(identity), log);
}

uint64_t
identity_expires_sec(const struct identity *identity)
{
	return identity->expires_sec;
}

const struct key_print *
identity_key(const struct identity *identity)
{
	return &identity->key;
}

size_t
identity_size(const struct identity *identity)
{
	return identity->size;
}

/* --- the own log --- */

/* What stands before {sub} and behind it; false: it is not there. */
static bool
split(struct text template, struct text *before, struct text *behind)
{
	const char *at = memmem(template.data, template.size, placeholder.data, placeholder.size);
	if (!at)
		return false;
	*before = (struct text){template.data, (size_t)(at - template.data)};
	*behind = (struct text){at + placeholder.size,
				template.size - before->size - placeholder.size};
	return true;
}

bool
own_log_make(struct text template, struct text subject, char name[LOG_NAME_SIZE_MAX], size_t *size)
{
	struct text before, behind;
	CHECK(split(template, &before, &behind));
	if (subject.size > LOG_NAME_SIZE_MAX ||
	    before.size + subject.size + behind.size > LOG_NAME_SIZE_MAX)
		return false;
	*size = before.size + subject.size + behind.size;
	memcpy(name, before.data, before.size);
	memcpy(name + before.size, subject.data, subject.size);
	memcpy(name + before.size + subject.size, behind.data, behind.size);
	return subject.size > 0 && log_name_is_valid((struct text){name, *size});
}

/* One letter stands for every subject: what is valid with it has nothing else that is wrong, since
 * a brace is in no log's name. */
bool own_log_is_valid(struct text template)
{
	char name[LOG_NAME_SIZE_MAX];
	size_t size;
	struct text before, behind;
	return split(template, &before, &behind) && own_log_make(template, TEXT("a"), name, &size);
}
