#include "admin/remove.h"

#include <stdio.h>
#include <string.h>

#include "admin/inside.h"
#include "admin/put_aside.h"
#include "api/json.h"
#include "api/media.h"
#include "api/problem.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/snapshot_removal.h"
#include "store/store.h"

#define ANSWER_SIZE ((size_t)1024 * 1024)
#define DETAIL_SIZE 160

/* One request, in its arena. */
struct removing {
	struct admin *admin;
	struct request *request;
	struct job job;
	struct removals removals;
	struct removal removal;
	struct hash genesis, erased_link;
	bool has_log, has_shard, without_snapshot;
	uint64_t shard;
	size_t capacity; /* of the next two */
	uint64_t *seqs;
	uint8_t (*ids)[ID_SIZE];
};

/* --- what is asked for --- */

static bool
read_log(struct removing *removing, struct json *json)
{
	const size_t at = json->at;
	if (!json_read_string(json, &removing->removal.log))
		return false;
	removing->has_log = true;
	if (!log_name_is_valid(removing->removal.log))
		return json_fail(json, "this is no log's name", at);
	return true;
}

static bool
make_room(struct removing *removing, struct json *json)
{
	if (removing->removal.seq_count == REMOVE_SEQS_MAX)
		return json_fail(json, "there may be 1000 actions at most", json->at);
	if (removing->seqs != NULL)
		return true;
	struct arena *arena = request_arena(removing->request);
	removing->seqs = arena_calloc(arena, REMOVE_SEQS_MAX, sizeof(*removing->seqs));
	removing->ids = arena_calloc(arena, REMOVE_SEQS_MAX, sizeof(*removing->ids));
	if (removing->seqs == NULL || removing->ids == NULL)
		return json_fail(json, "memory is out", json->at);
	return true;
}

static bool
read_seqs(struct removing *removing, struct json *json)
{
	bool first = true;
	if (!json_enter(json, JSON_KIND_ARRAY))
		return false;
	while (json_element(json, &first)) {
		if (!make_room(removing, json) ||
		    !json_read_u64(json, SEQ_MAX, &removing->seqs[removing->removal.seq_count++]))
			return false;
	}
	return json->fault == NULL;
}

static bool
read_action(struct removing *removing, struct json *json)
{
	const size_t index = removing->removal.seq_count, at = json->at;
	struct text name, id = TEXT("");
	bool first = true;
	if (!make_room(removing, json) || !json_enter(json, JSON_KIND_OBJECT))
		return false;
	while (json_member(json, &first, &name)) {
		if (text_equal(name, TEXT("seq"))
			    ? !json_read_u64(json, SEQ_MAX, &removing->seqs[index])
			    : !text_equal(name, TEXT("id")) || !json_read_string(json, &id))
			return json_fail(json, "an action has seq and id", at);
	}
	if (!id_from_text(id, removing->ids[index]))
		return json_fail(json, "an action has seq and id", at);
	removing->removal.seq_count++;
	return true;
}

static bool
read_actions(struct removing *removing, struct json *json)
{
	bool first = true;
	removing->removal.ids_are_known = true;
	if (!json_enter(json, JSON_KIND_ARRAY))
		return false;
	while (json_element(json, &first)) {
		if (!read_action(removing, json))
			return false;
	}
	return json->fault == NULL;
}

/* False: the member is none of those. */
static bool
read_erasure(struct removing *removing, struct json *json, struct text name)
{
	struct removal *removal = &removing->removal;
	const size_t at = json->at;
	struct text link;
	if (text_equal(name, TEXT("seq")))
		return json_read_u64(json, SEQ_MAX, &removal->upto) || json->fault != NULL;
	if (text_equal(name, TEXT("receivedBefore")))
		return json_read_u64(json, TS_MAX, &removal->received_before) ||
		       json->fault != NULL;
	if (text_equal(name, TEXT("reopened")))
		return json_read_bool(json, &removal->stays_open) || json->fault != NULL;
	if (!text_equal(name, TEXT("stateHash")))
		return false;
	removal->erased_link = &removing->erased_link;
	if (json_read_string(json, &link) && !hash_from_text(link, &removing->erased_link))
		(void)json_fail(json, "this is no state hash", at);
	return true;
}

static bool
read_member(struct removing *removing, struct json *json, struct text name)
{
	const size_t at = json->at;
	struct removal *removal = &removing->removal;
	const bool redacts = removal->kind == REMOVE_ACTIONS;
	const bool prunes = removal->kind == REMOVE_BEFORE;
	uint64_t before;
	if (text_equal(name, TEXT("log")) && !removing->has_log && !removing->has_shard)
		return read_log(removing, json);
	if (redacts && removal->seq_count == 0 && text_equal(name, TEXT("seqs")))
		return read_seqs(removing, json);
	if (redacts && removal->seq_count == 0 && text_equal(name, TEXT("actions")))
		return read_actions(removing, json);
	if (prunes && text_equal(name, TEXT("receivedBefore")))
		return json_read_u64(json, TS_MAX, &removal->received_before);
	if (prunes && text_equal(name, TEXT("withoutSnapshot")))
		return json_read_bool(json, &removing->without_snapshot);
	if (prunes && text_equal(name, TEXT("before"))) {
		if (!json_read_u64(json, SEQ_MAX, &before))
			return false;
		removal->upto = before == 0 ? 0 : before - 1;
		return true;
	}
	if (removal->kind == REMOVE_ALL && read_erasure(removing, json, name))
		return json->fault == NULL;
	if (text_equal(name, TEXT("overwrite")))
		return json_read_bool(json, &removing->removals.overwrite);
	return json_fail(json, "this member is not known here, or came twice", at);
}

static bool
read_shard(struct json *json, struct removing *removing, struct text name)
{
	removing->has_shard = true;
	return text_equal(name, TEXT("shard")) && json_read_u64(json, UINT32_MAX, &removing->shard);
}

static void
refuse(struct request *request, enum status status, const char *detail)
{
	const struct problem problem = {.status = status, .detail = text_of(detail)};
	problem_answer(request, &problem);
}

/* False: refused. */
static bool
read_body(struct removing *removing, bool only_shard)
{
	struct json json;
	struct text name;
	char detail[DETAIL_SIZE];
	bool first = true, good = true;
	size_t size, line, column;
	char *body = request_body(removing->request, &size);
	if (!media_is_json(request_content_type(removing->request))) {
		refuse(removing->request, STATUS_UNSUPPORTED_MEDIA_TYPE, "");
		return false;
	}
	json_begin(&json, body, size);
	if (!json_enter(&json, JSON_KIND_OBJECT))
		good = false;
	while (good && json_member(&json, &first, &name))
		good = only_shard ? read_shard(&json, removing, name)
				  : read_member(removing, &json, name);
	if (good && json_end(&json) && (only_shard ? removing->has_shard : removing->has_log))
		return true;
	json_place(&json, json.fault_at, &line, &column);
	(void)snprintf(detail, sizeof(detail), "Line %zu, column %zu: %s.", line, column,
		       json.fault != NULL ? json.fault : "a member is missing");
	refuse(removing->request, STATUS_MALFORMED, detail);
	return false;
}

/* --- what came of it --- */

static void
write_actions(struct buffer *out, const struct removing *removing)
{
	const struct removal *removal = &removing->removal;
	char text[ID_TEXT_SIZE];
	buffer_append_text(out, TEXT(",\"actions\":["));
	for (size_t i = 0; i < removal->seq_count; i++) {
		id_to_text(removing->ids[i], text);
		buffer_printf(out, "%s{\"seq\":%ju,\"id\":\"%.*s\"}", i > 0 ? "," : "",
			      (uintmax_t)removal->seqs[i], ID_TEXT_SIZE, text);
	}
	buffer_append_text(out, TEXT("]"));
}

static void
write_removal(struct buffer *out, const struct removing *removing)
{
	const struct removal *removal = &removing->removal;
	const struct head *head = &removal->head;
	buffer_append_text(out, TEXT("{\"log\":"));
	json_write_string(out, removal->log);
	buffer_printf(out, ",\"removed\":%ju,\"goneBefore\":%ju,\"absent\":%ju,\"more\":%s",
		      (uintmax_t)removal->removed, (uintmax_t)removal->gone_before,
		      (uintmax_t)removal->absent, removal->more ? "true" : "false");
	if (removal->kind == REMOVE_ACTIONS && !removal->ids_are_known)
		write_actions(out, removing);
	buffer_printf(out,
		      ",\"pruned\":%ju,\"erasedAt\":%ju,\"head\":", (uintmax_t)head->gone.pruned,
		      (uintmax_t)head->gone.erased_at);
	wire_write_position(out, &head->position);
}

static void
answer_success(struct removing *removing)
{
	struct buffer out;
	buffer_init(&out, ANSWER_SIZE);
	if (removing->removals.count > 0)
		write_removal(&out, removing);
	else
		buffer_printf(&out, "{\"shard\":%ju", (uintmax_t)removing->shard);
	buffer_printf(&out, ",\"shards\":%u", store_shards(removing->admin->store));
	if (!removing->removal.more)
		put_aside_write(&out, removing->admin->store,
				removing->removals.count > 0 ? &removing->removal : NULL,
				removing->removals.overwrite);
	buffer_printf(&out, ",\"keptRecords\":%ju,\"serverTimestamp\":%ju}",
		      (uintmax_t)removing->removals.kept, (uintmax_t)clock_server_msec());
	request_add_header(removing->request, "Cache-Control", TEXT("no-store"));
	request_answer(removing->request, 200, "application/json", &out);
	buffer_release(&out);
}

static const char *
detail_of(enum status status)
{
	switch (status) {
	case STATUS_NOT_FOUND:
		return "There is no such log.";
	case STATUS_UNKNOWN_STATE:
		return "The log does not have all of these actions. Nothing was removed.";
	case STATUS_LOG_DAMAGED:
		return "The log, or its shard's file, is damaged: repair it (edgereplay repair), "
		       "then "
		       "do this again. Content may still be there.";
	case STATUS_ERASED:
		return "The erasure was cut off, and content is left. Nothing was opened: "
		       "erase the log again first.";
	case STATUS_NO_SNAPSHOT:
		return "No snapshot of the log stands for these actions, so that no new device "
		       "could "
		       "begin, and no old one go on. Nothing was removed (withoutSnapshot: true "
		       "does "
		       "without).";
	case STATUS_BACKPRESSURE:
		return "The shard is busy, or readers were in the way. Do this again.";
	case STATUS_STORAGE_UNAVAILABLE:
		return "The shard does not serve, or its storage failed. Some content may be gone, "
		       "some not: do this again.";
	default:
		return "";
	}
}

static void answer(void *cookie, struct request *);

static void
done(struct job *job)
{
	request_resume(job->cookie, answer);
}

/* The request may be over as soon as the store has the job. */
static void
submit(struct removing *removing, unsigned shard)
{
	struct request *request = removing->request;
	removing->job = (struct job){.removals = &removing->removals,
				     .done = done,
				     .cookie = request,
				     .submitted_usec = clock_monotonic_usec()};
	request_set_state(request, removing);
	request_park(request);
	if (store_submit_removals(removing->admin->store, shard, &removing->job) == STATUS_OK)
		return;
	removing->job.status = STATUS_BACKPRESSURE;
	request_resume(request, answer);
}

/* Of a step that only looked there is nothing to say, and the next request would begin anew. */
static bool
goes_on(const struct removing *removing)
{
	const struct removal *removal = &removing->removal;
	return removing->job.status == STATUS_OK && removing->removals.count > 0 &&
	       removal->status == STATUS_OK && removal->more && removal->removed == 0 &&
	       request_may_wait(removing->request);
}

static void
answer(void *cookie, struct request *request)
{
	struct removing *removing = request_state(request);
	enum status status = removing->job.status;
	(void)cookie;
	if (goes_on(removing)) {
		submit(removing, store_shard_of(removing->admin->store, removing->removal.genesis));
		return;
	}
	if (status == STATUS_OK && removing->removals.count > 0)
		status = removing->removal.status;
	if (status == STATUS_OK && removing->removals.count > 0 && !removing->removal.more)
		status = snapshots_follow(removing->admin->snapshots, &removing->removal);
	log_info("admin", "content removed", LOG_TEXT("log", removing->removal.log),
		 LOG_STR("code", status_info(status)->code),
		 LOG_U64("removed", removing->removal.removed), LOG_REQUEST(request));
	if (status == STATUS_OK)
		answer_success(removing);
	else
		refuse(request, status, detail_of(status));
}

static struct removing *
new_removing(struct admin *admin, struct request *request, enum removal_kind kind)
{
	struct removing *removing = arena_calloc(request_arena(request), 1, sizeof(*removing));
	if (removing == NULL) {
		refuse(request, STATUS_INTERNAL, "Memory is out.");
		return NULL;
	}
	if (atomic_load(&admin->state) == ADMIN_STARTING) {
		refuse(request, STATUS_STORAGE_UNAVAILABLE, "The shards are being recovered.");
		return NULL;
	}
	removing->admin = admin;
	removing->request = request;
	removing->removal.kind = kind;
	removing->removals =
		(struct removals){.items = &removing->removal, .count = 1, .overwrite = true};
	return removing;
}

static enum status
has_position(void *cookie, const struct removal *removal, const struct position *position)
{
	struct head head;
	return store_has(cookie, removal->log, removal->genesis, position, &head);
}

/* False: refused. */
static bool
may_prune(struct removing *removing)
{
	struct removal *removal = &removing->removal;
	const bool is_bound = removal->upto < SEQ_MAX || removal->received_before < TS_MAX;
	enum status status = is_bound ? STATUS_OK : STATUS_NO_SNAPSHOT;
	if (!removing->without_snapshot)
		status = snapshots_stand_for(removing->admin->snapshots, removal, has_position,
					     removing->admin->store);
	if (status == STATUS_OK)
		return true;
	refuse(removing->request, status, detail_of(status));
	return false;
}

/* What a kept list has of one comes together, or not at all. */
static bool
is_whole_erasure(const struct removal *removal)
{
	const bool has_upto = removal->upto < SEQ_MAX;
	const bool has_time = removal->received_before < TS_MAX;
	return removal->erased_link != NULL ? has_upto && has_time
					    : !has_upto && !has_time && !removal->stays_open;
}

static void
remove_from_log(struct admin *admin, struct request *request, enum removal_kind kind)
{
	struct removing *removing = new_removing(admin, request, kind);
	if (removing == NULL)
		return;
	struct removal *removal = &removing->removal;
	removal->upto = SEQ_MAX;
	removal->received_before = TS_MAX;
	removal->now_msec = clock_server_msec();
	if (kind == REMOVE_NOTHING)
		removing->removals.overwrite = false;
	if (!read_body(removing, false))
		return;
	if (kind == REMOVE_ACTIONS && removal->seq_count == 0) {
		refuse(request, STATUS_MALFORMED, "seqs or actions: which actions?");
		return;
	}
	removal->seqs = removing->seqs;
	removal->ids = removing->ids;
	if (kind == REMOVE_ALL && !is_whole_erasure(removal)) {
		refuse(request, STATUS_MALFORMED,
		       "seq, stateHash and receivedBefore say together what was erased.");
		return;
	}
	chain_genesis(removal->log, &removing->genesis);
	removal->genesis = &removing->genesis;
	if (kind == REMOVE_BEFORE && !may_prune(removing))
		return;
	submit(removing, store_shard_of(admin->store, &removing->genesis));
}

void
remove_redact(struct admin *admin, struct request *request)
{
	remove_from_log(admin, request, REMOVE_ACTIONS);
}

void
remove_prune(struct admin *admin, struct request *request)
{
	remove_from_log(admin, request, REMOVE_BEFORE);
}

void
remove_erase(struct admin *admin, struct request *request)
{
	remove_from_log(admin, request, REMOVE_ALL);
}

void
remove_reopen(struct admin *admin, struct request *request)
{
	remove_from_log(admin, request, REMOVE_NOTHING);
}

void
remove_overwrite(struct admin *admin, struct request *request)
{
	struct removing *removing = new_removing(admin, request, REMOVE_NOTHING);
	if (removing == NULL || !read_body(removing, true))
		return;
	if (removing->shard >= store_shards(admin->store)) {
		refuse(request, STATUS_MALFORMED, "There is no such shard.");
		return;
	}
	removing->removals.count = 0;
	submit(removing, (unsigned)removing->shard);
}
