#include "admin/ready.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "admin/inside.h"
#include "api/json.h"
#include "store/store.h"

#define EXCLUDE "exclude="
#define DETAIL_SIZE 160

/* All but the last are reasons, and can be excluded, a bit each. */
enum reason { STARTING, DRAINING, SHARD_IS_DOWN, SHARD_IS_REFUSED, LOW_SPACE, LOGS_DAMAGED };

static const char *const codes[] = {
	[STARTING] = "STARTING",	[DRAINING] = "DRAINING",
	[SHARD_IS_DOWN] = "SHARD_DOWN", [SHARD_IS_REFUSED] = "SHARD_REFUSED",
	[LOW_SPACE] = "LOW_SPACE",	[LOGS_DAMAGED] = "LOGS_DAMAGED",
};

/* What is found, each as a JSON object in one of the two lists. */
struct findings {
	unsigned excluded;
	struct buffer reasons, warnings;
	bool ready;
};

static void
find(struct findings *findings, enum reason reason, const char *detail)
{
	const bool counts =
		reason != LOGS_DAMAGED && (findings->excluded & 1U << (unsigned)reason) == 0;
	struct buffer *out = counts ? &findings->reasons : &findings->warnings;
	buffer_append_text(out, out->size == 0 ? TEXT("{\"code\":\"") : TEXT(",{\"code\":\""));
	buffer_append_text(out, text_of(codes[reason]));
	buffer_append_text(out, TEXT("\",\"detail\":"));
	json_write_string(out, text_of(detail));
	buffer_append_text(out, TEXT("}"));
	findings->ready = findings->ready && !counts;
}

static void
look_at_shard(struct findings *findings, struct store *store, unsigned number)
{
	struct shard_figures figures;
	char detail[DETAIL_SIZE];
	store_measure_shard(store, number, &figures);
	switch (figures.state) {
	case SHARD_DOWN:
		snprintf(detail, sizeof(detail),
			 "Shard %u is down after a fault of its storage; it tries again.", number);
		find(findings, SHARD_IS_DOWN, detail);
		break;
	case SHARD_REFUSED:
		snprintf(detail, sizeof(detail),
			 "Shard %u is refused: its files lack what they had. The daemon's log says "
			 "what to do.",
			 number);
		find(findings, SHARD_IS_REFUSED, detail);
		break;
	case SHARD_SERVING:
		if (figures.engine.damaged == 0)
			break;
		snprintf(detail, sizeof(detail),
			 "Shard %u: logs that are damaged: %ju. They are read as far as they are "
			 "good, and "
			 "not written.",
			 number, (uintmax_t)figures.engine.damaged);
		find(findings, LOGS_DAMAGED, detail);
		break;
	case SHARD_OPENING:
		break;
	}
}

static unsigned
count_open(struct store *store)
{
	unsigned open = 0;
	for (unsigned i = 0; i < store_shards(store); i++) {
		struct shard_figures figures;
		store_measure_shard(store, i, &figures);
		open += figures.state != SHARD_OPENING;
	}
	return open;
}

static void
look(struct admin *admin, struct findings *findings)
{
	const unsigned shards = store_shards(admin->store);
	char detail[DETAIL_SIZE];
	findings->ready = true;
	switch (atomic_load(&admin->state)) {
	case ADMIN_STARTING:
		snprintf(detail, sizeof(detail), "%u of %u shards have been opened and recovered.",
			 count_open(admin->store), shards);
		find(findings, STARTING, detail);
		break;
	case ADMIN_DRAINING:
		find(findings, DRAINING, "The daemon is stopping.");
		break;
	case ADMIN_SERVING:
		break;
	}
	for (unsigned i = 0; i < shards; i++)
		look_at_shard(findings, admin->store, i);
	if (!store_has_room(admin->store))
		find(findings, LOW_SPACE,
		     "The disk is nearly full (store.free_min): writes are refused, reads go on.");
}

static bool
read_query(struct text query, unsigned *excluded)
{
	*excluded = 0;
	if (query.size == 0)
		return true;
	if (query.size < strlen(EXCLUDE) || memcmp(query.data, EXCLUDE, strlen(EXCLUDE)) != 0)
		return false;
	struct text list = {query.data + strlen(EXCLUDE), query.size - strlen(EXCLUDE)};
	while (list.size > 0) {
		const struct text code = text_cut(&list, ',');
		unsigned reason = STARTING;
		while (reason < LOGS_DAMAGED && !text_equal(code, text_of(codes[reason])))
			reason++;
		if (reason == LOGS_DAMAGED)
			return false;
		*excluded |= 1U << reason;
	}
	return true;
}

bool
ready_look(struct admin *admin, struct text query, struct buffer *out, bool *ready)
{
	struct findings findings;
	if (!read_query(query, &findings.excluded))
		return false;
	buffer_init(&findings.reasons, out->size_max / 3);
	buffer_init(&findings.warnings, out->size_max / 3);
	look(admin, &findings);
	buffer_append_text(out, findings.ready ? TEXT("{\"ready\":true,\"reasons\":[")
					       : TEXT("{\"ready\":false,\"reasons\":["));
	buffer_append(out, findings.reasons.data, findings.reasons.size);
	buffer_append_text(out, TEXT("],\"warnings\":["));
	buffer_append(out, findings.warnings.data, findings.warnings.size);
	buffer_append_text(out, TEXT("]}\n"));
	out->failed |= findings.reasons.failed || findings.warnings.failed;
	buffer_release(&findings.reasons);
	buffer_release(&findings.warnings);
	*ready = findings.ready;
	return true;
}

bool
ready_is(struct admin *admin)
{
	bool ready = atomic_load(&admin->state) == ADMIN_SERVING && store_has_room(admin->store);
	for (unsigned i = 0; i < store_shards(admin->store) && ready; i++) {
		struct shard_figures figures;
		store_measure_shard(admin->store, i, &figures);
		ready = figures.state == SHARD_SERVING;
	}
	return ready;
}
