#include "loadtest/users.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define NO_RECORD UINT32_MAX
#define TS_DIGITS 13 /* of milliseconds, from 2001 to 2286 */
#define RECORD_CAPACITY_MIN 1024

static const char filler[] = "milk, eggs, bread and butter, and a few more things ";

/* A payload is this JSON, whose text is as long as it takes; what is smaller is filler alone. */
static const char payload_begin[] = "{\"at\":";
static const char payload_middle[] = ",\"text\":\"";
static const char payload_end[] = "\"}";
#define PAYLOAD_HEAD (sizeof(payload_begin) - 1 + TS_DIGITS + sizeof(payload_middle) - 1)
#define PAYLOAD_MIN (PAYLOAD_HEAD + sizeof(payload_end) - 1)

/* An action in a body, the payload's quotes escaped. */
static const char action_begin[] = "{\"ts\":";
static const char action_middle[] = ",\"type\":\"" PLAN_TYPE "\",\"payload\":\"";
static const char escaped_begin[] = "{\\\"at\\\":";
static const char escaped_middle[] = ",\\\"text\\\":\\\"";
static const char escaped_end[] = "\\\"}";
static const char action_end[] = "\"},";
#define ACTION_SIZE_MAX 128 /* all but the payload's text */
#define BODY_HEAD_SIZE_MAX 512

struct user {
	struct hash link;
	uint64_t seq;
	uint64_t newest; /* stamp */
	uint32_t record;
	uint32_t draft; /* batches written */
	uint8_t older_count;
	uint8_t older_next;
	bool busy;
	bool known;
	bool touched;
	bool doubtful;
};

enum status
users_init(struct users *users, const struct plan *plan)
{
	size_t payload_size = (size_t)spread_max(&plan->payload) + 1;
	*users = (struct users){.plan = plan};
	random_init(&users->random, plan->seed, 1);
	users->record_max = plan->chaos || plan->sample > plan->users ? plan->users : plan->sample;
	users->all = calloc(plan->users, sizeof(*users->all));
	users->records = calloc(users->record_max + 1, sizeof(*users->records));
	users->payload = malloc(payload_size);
	if (plan->stale > 0)
		users->older = calloc(plan->users, USERS_OLDER * sizeof(*users->older));
	if (users->all == NULL || users->records == NULL || users->payload == NULL ||
	    (plan->stale > 0 && users->older == NULL))
		return STATUS_INTERNAL;
	for (size_t i = 0; i < payload_size; i++)
		users->payload[i] = filler[i % (sizeof(filler) - 1)];
	return STATUS_OK;
}

void
users_release(struct users *users)
{
	for (size_t i = 0; users->records != NULL && i < users->record_max; i++)
		free(users->records[i].digests);
	free(users->records);
	free(users->all);
	free(users->older);
	free(users->payload);
	*users = (struct users){.plan = users->plan};
}

/* --- who is next --- */

/* Every touched log is as likely as any other to be among the records: the k-th takes a place with
 * the chance places / k. Its digests are kept from the first on. */
static void
touch(struct users *users, uint32_t index)
{
	struct user *user = &users->all[index];
	user->touched = true;
	user->record = NO_RECORD;
	users->touched++;
	uint64_t place = users->record_count;
	if (place < users->record_max) {
		users->record_count++;
	} else {
		place = random_below(&users->random, users->touched);
		if (place >= users->record_max)
			return;
		users->all[users->records[place].user].record = NO_RECORD;
	}
	struct users_record *record = &users->records[place];
	record->user = index;
	record->lost = false;
	record->count = 0;
	record->size = 0;
	user->record = (uint32_t)place;
}

bool
users_take_this(struct users *users, uint32_t index)
{
	struct user *user = &users->all[index];
	if (user->busy)
		return false;
	user->busy = true;
	users->busy++;
	if (!user->touched)
		touch(users, index);
	return true;
}

uint32_t
users_take(struct users *users)
{
	uint64_t count = users->plan->users;
	if (users->busy == count)
		return USERS_NONE;
	uint64_t at = users->plan->order == ORDER_RANDOM ? random_below(&users->random, count)
							 : users->cursor;
	while (!users_take_this(users, (uint32_t)at))
		at = at + 1 == count ? 0 : at + 1;
	users->cursor = at + 1 == count ? 0 : at + 1;
	return (uint32_t)at;
}

void
users_give_back(struct users *users, uint32_t index)
{
	CHECK(users->all[index].busy);
	users->all[index].busy = false;
	users->busy--;
}

/* --- what is known of a log --- */

static size_t
put_u64(char *to, uint64_t value)
{
	char digits[20];
	size_t first = sizeof(digits);
	do {
		digits[--first] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	memcpy(to, digits + first, sizeof(digits) - first);
	return sizeof(digits) - first;
}

struct text
users_name(const struct users *users, uint32_t index, char room[LOG_NAME_SIZE_MAX + 1])
{
	size_t size = strlen(users->plan->prefix);
	memcpy(room, users->plan->prefix, size);
	size += put_u64(room + size, users->plan->first_user + index);
	room[size] = '\0';
	return (struct text){room, size};
}

void
users_know(struct users *users, uint32_t index, const struct position *head, uint64_t newest)
{
	struct user *user = &users->all[index];
	user->link = head->link;
	user->seq = head->seq;
	user->newest = newest;
	user->known = true;
}

bool
users_head(struct users *users, uint32_t index, struct position *head)
{
	const struct user *user = &users->all[index];
	if (!user->known && users->plan->fresh) {
		char room[LOG_NAME_SIZE_MAX + 1];
		struct position empty = {.seq = 0};
		chain_genesis(users_name(users, index, room), &empty.link);
		users_know(users, index, &empty, 0);
	}
	*head = (struct position){user->seq, user->link};
	return user->known;
}

void
users_doubt(struct users *users, uint32_t index)
{
	users->all[index].doubtful = true;
}

bool
users_settled(const struct users *users, uint32_t index, struct position *head, uint64_t *newest)
{
	const struct user *user = &users->all[index];
	*head = (struct position){user->seq, user->link};
	*newest = user->newest;
	return user->known && !user->busy && !user->doubtful;
}

/* --- the bytes of a batch --- */

#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static char *
put(char *to, const char *text, size_t size)
{
	memcpy(to, text, size);
	return to + size;
}

static char *
put_ts(char *to, uint64_t ts)
{
	for (size_t i = TS_DIGITS; i > 0; i--) {
		to[i - 1] = (char)('0' + ts % 10);
		ts /= 10;
	}
	return to + TS_DIGITS;
}

static char *
put_hash(char *to, const struct hash *hash)
{
	hash_to_text(hash, to);
	return to + HASH_TEXT_SIZE;
}

/* The payload is made in the scratch, whose filler is put back afterwards. */
static void
digest_action(struct users *users, struct action *action, size_t payload_size, struct hash *digest)
{
	char *payload = users->payload;
	char *end = payload + payload_size - (sizeof(payload_end) - 1);
	action->payload = (struct text){payload, payload_size};
	if (payload_size < PAYLOAD_MIN) {
		chain_digest(action, digest);
		return;
	}
	char kept[PAYLOAD_HEAD + sizeof(payload_end)];
	memcpy(kept, payload, PAYLOAD_HEAD);
	memcpy(kept + PAYLOAD_HEAD, end, sizeof(payload_end) - 1);
	(void)PUT(put_ts(PUT(payload, payload_begin), action->ts), payload_middle);
	(void)PUT(end, payload_end);
	chain_digest(action, digest);
	memcpy(end, kept + PAYLOAD_HEAD, sizeof(payload_end) - 1);
	memcpy(payload, kept, PAYLOAD_HEAD);
}

static char *
put_action(char *to, const struct users *users, uint64_t ts, size_t payload_size)
{
	to = PUT(to, action_begin);
	to = put_ts(to, ts);
	to = PUT(to, action_middle);
	if (payload_size < PAYLOAD_MIN) {
		to = put(to, users->payload, payload_size);
		return PUT(to, action_end);
	}
	size_t text_size = payload_size - PAYLOAD_MIN;
	to = PUT(to, escaped_begin);
	to = put_ts(to, ts);
	to = PUT(to, escaped_middle);
	to = put(to, users->payload + PAYLOAD_HEAD, text_size);
	to = PUT(to, escaped_end);
	return PUT(to, action_end);
}

/* What was recorded of a batch that was refused never was. */
static void
record_anew(struct users *users, const struct user *user)
{
	if (user->record == NO_RECORD)
		return;
	struct users_record *record = &users->records[user->record];
	record->size = record->count;
}

static void
record_digest(struct users *users, const struct user *user, const struct hash *digest)
{
	if (user->record == NO_RECORD)
		return;
	struct users_record *record = &users->records[user->record];
	if (record->size == record->capacity) {
		size_t capacity =
			record->capacity == 0 ? RECORD_CAPACITY_MIN : 2 * record->capacity;
		struct hash *digests = realloc(record->digests, capacity * sizeof(*digests));
		if (digests == NULL) {
			record->lost = true;
			return;
		}
		record->digests = digests;
		record->capacity = capacity;
	}
	record->digests[record->size++] = *digest;
}

/* An older head of the log, drawn; its own when it has none. */
static struct position
base_of(struct users *users, uint32_t index, bool stale)
{
	const struct user *user = &users->all[index];
	if (!stale || user->older_count == 0)
		return (struct position){user->seq, user->link};
	return users->older[(size_t)index * USERS_OLDER +
			    random_below(&users->random, user->older_count)];
}

size_t
users_body_size_max(const struct users *users, uint64_t actions)
{
	return BODY_HEAD_SIZE_MAX +
	       (size_t)(actions * (ACTION_SIZE_MAX + spread_max(&users->plan->payload)));
}

static char *
put_head(char *to, struct text device, const struct expectation *expected)
{
	to = PUT(to, "{\"device\":\"");
	to = put(to, device.data, device.size);
	to = PUT(to, "\",\"seq\":");
	to += put_u64(to, expected->base.seq);
	to = PUT(to, ",\"prevHash\":\"");
	to = put_hash(to, &expected->base.link);
	to = PUT(to, "\"");
	if (expected->receipt)
		to = PUT(to, ",\"receipt\":true");
	if (expected->state) {
		/* A state that follows from the history, as a reducer's does. */
		to = PUT(to, ",\"state\":{\"seq\":");
		to += put_u64(to, expected->base.seq);
		to = PUT(to, ",\"digest\":\"");
		to = put_hash(to, &expected->base.link);
		to = PUT(to, "\",\"app\":\"load\"}");
	}
	return PUT(to, ",\"actions\":[");
}

static struct text
draw_device(struct users *users, char name[PLAN_DEVICE_SIZE])
{
	uint64_t devices = users->plan->devices;
	uint64_t number = devices == 1 ? 0 : random_below(&users->random, devices);
	memcpy(name, "phone-", PLAN_DEVICE_SIZE - 2);
	name[PLAN_DEVICE_SIZE - 2] = (char)('0' + number / 10);
	name[PLAN_DEVICE_SIZE - 1] = (char)('0' + number % 10);
	return (struct text){name, PLAN_DEVICE_SIZE};
}

size_t
users_write(struct users *users, uint32_t index, const struct users_batch *batch, char *body,
	    struct expectation *expected)
{
	struct user *user = &users->all[index];
	uint64_t now = clock_server_msec();
	char name[PLAN_DEVICE_SIZE];
	struct action action = {.device = draw_device(users, name), .type = TEXT(PLAN_TYPE)};
	struct position before = {user->seq, user->link};
	*expected = (struct expectation){.base = base_of(users, index, batch->stale),
					 .before = before,
					 .head = before,
					 .count = batch->count,
					 .receipt = users->plan->receipts,
					 .state = users->plan->states,
					 .draft = ++user->draft};
	bool behind = expected->base.seq != before.seq;
	expected->claimed = expected->base.link;
	expected->head.seq += batch->count;
	record_anew(users, user);
	char *to = put_head(body, action.device, expected);
	for (uint64_t i = 0; i < batch->count; i++) {
		size_t payload_size = (size_t)spread_draw(&users->plan->payload, &users->random);
		struct hash digest;
		action.ts = (now > user->newest ? now : user->newest + 1) + i;
		to = put_action(to, users, action.ts, payload_size);
		digest_action(users, &action, payload_size, &digest);
		chain_link(&expected->claimed, &digest, &expected->claimed);
		if (behind)
			chain_link(&expected->head.link, &digest, &expected->head.link);
		record_digest(users, user, &digest);
	}
	expected->newest = action.ts > user->newest ? action.ts : user->newest;
	if (!behind)
		expected->head.link = expected->claimed;
	if (batch->count == 0)
		return (size_t)(PUT(to, "]}") - body);
	to = PUT(to - 1, "],\"stateHash\":\""); /* over the last comma */
	to = put_hash(to, &expected->claimed);
	return (size_t)(PUT(to, "\"}") - body);
}

void
users_acknowledge(struct users *users, uint32_t index, const struct expectation *expected)
{
	struct user *user = &users->all[index];
	if (expected->head.seq == user->seq)
		return; /* a pull, or a repeated request: nothing is new */
	if (users->older != NULL) {
		users->older[(size_t)index * USERS_OLDER + user->older_next] = expected->before;
		user->older_next = (uint8_t)((user->older_next + 1) % USERS_OLDER);
		if (user->older_count < USERS_OLDER)
			user->older_count++;
	}
	user->seq = expected->head.seq;
	user->link = expected->head.link;
	user->newest = expected->newest;
	if (user->record != NO_RECORD) {
		struct users_record *record = &users->records[user->record];
		record->count = record->size;
	}
}

bool
users_is_newest(const struct users *users, uint32_t index, const struct expectation *expected)
{
	return users->all[index].draft == expected->draft;
}

void
users_expected(const struct users *users, const struct users_record *record, struct position *head,
	       bool *head_known)
{
	uint64_t newest;
	*head_known = users_settled(users, record->user, head, &newest);
}
