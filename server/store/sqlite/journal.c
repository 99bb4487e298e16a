#include "store/sqlite/journal.h"

#include <sodium/crypto_generichash.h>
#include <string.h>

#include "base/big_endian.h"
#include "base/check.h"

#define VERSION 1
#define BODY_AT (JOURNAL_CHECKSUM_AT + JOURNAL_CHECKSUM_SIZE)
#define RECORD_SIZE_MAX ((size_t)128 * 1024 * 1024)
#define ACTION_FIXED_SIZE (1 + 8 + 2 + 4)

size_t
journal_size(const struct append *append)
{
	const struct batch *batch = append->batch;
	size_t size = BODY_AT + 2 + batch->log.size + 8 + HASH_SIZE + 8 + 2 + append->writer.size +
		      1 + 4 + HASH_SIZE;
	for (size_t i = 0; i < batch->device_count; i++)
		size += 1 + batch->devices[i].size;
	for (size_t i = 0; i < batch->action_count; i++) {
		if (append->outcomes[i].kind != OUTCOME_APPLIED)
			continue;
		const struct action *action = &batch->actions[i].action;
		size += ACTION_FIXED_SIZE + action->type.size + action->payload.size;
		if (size > RECORD_SIZE_MAX)
			return 0;
	}
	return append->writer.size > UINT16_MAX ? 0 : size;
}

static uint8_t *
put_bytes(uint8_t *at, const void *data, size_t size)
{
	if (size != 0)
		memcpy(at, data, size);
	return at + size;
}

static uint8_t *
put_text(uint8_t *at, struct text text, unsigned length_size)
{
	return put_bytes(big_endian_put(at, text.size, length_size), text.data, text.size);
}

/* The actions between are covered by the last link, which is. */
static void
checksum(const uint8_t *bytes, size_t size, size_t actions_at, uint8_t sum[JOURNAL_CHECKSUM_SIZE])
{
	crypto_generichash_state state;
	CHECK(crypto_generichash_init(&state, NULL, 0, JOURNAL_CHECKSUM_SIZE) == 0);
	CHECK(crypto_generichash_update(&state, bytes, JOURNAL_CHECKSUM_AT) == 0);
	CHECK(crypto_generichash_update(&state, bytes + BODY_AT, actions_at - BODY_AT) == 0);
	CHECK(crypto_generichash_update(&state, bytes + size - HASH_SIZE, HASH_SIZE) == 0);
	CHECK(crypto_generichash_final(&state, sum, JOURNAL_CHECKSUM_SIZE) == 0);
}

void
journal_encode(const struct append *append, uint8_t *bytes, size_t size)
{
	const struct batch *batch = append->batch;
	CHECK(batch->log.size <= LOG_NAME_SIZE_MAX && append->writer.size <= UINT16_MAX);
	CHECK(batch->device_count <= BATCH_DEVICES_MAX);

	bytes[0] = VERSION;
	uint8_t *at = put_text(bytes + BODY_AT, batch->log, 2);
	at = big_endian_put(at, append->expected.position.seq + 1, 8);
	at = put_bytes(at, append->expected.position.link.bytes, HASH_SIZE);
	at = big_endian_put(at, append->head.received_at, 8);
	at = put_text(at, append->writer, 2);
	at = big_endian_put(at, batch->device_count, 1);
	for (size_t i = 0; i < batch->device_count; i++) {
		CHECK(batch->devices[i].size <= DEVICE_SIZE_MAX);
		at = put_text(at, batch->devices[i], 1);
	}
	at = big_endian_put(at, append->applied, 4);
	const size_t actions_at = (size_t)(at - bytes);
	size_t applied = 0;
	for (size_t i = 0; i < batch->action_count; i++) {
		if (append->outcomes[i].kind != OUTCOME_APPLIED)
			continue;
		const struct batch_action *action = &batch->actions[i];
		CHECK(action->device < batch->device_count);
		at = big_endian_put(at, action->device, 1);
		at = big_endian_put(at, action->action.ts, 8);
		at = put_text(at, action->action.type, 2);
		at = put_text(at, action->action.payload, 4);
		applied++;
	}
	at = put_bytes(at, append->head.position.link.bytes, HASH_SIZE);
	CHECK(applied == append->applied && at == bytes + size);
	checksum(bytes, size, actions_at, bytes + JOURNAL_CHECKSUM_AT);
}

/* What is left to read; once a field does not fit, failed stays set. */
struct cursor {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static const uint8_t *
take(struct cursor *cursor, size_t size)
{
	if (cursor->failed || cursor->left < size) {
		cursor->failed = true;
		return NULL;
	}
	const uint8_t *at = cursor->at;
	cursor->at += size;
	cursor->left -= size;
	return at;
}

static uint64_t
take_number(struct cursor *cursor, unsigned size)
{
	const uint8_t *at = take(cursor, size);
	return at == NULL ? 0 : big_endian_get(at, size);
}

static struct text
take_text(struct cursor *cursor, unsigned length_size)
{
	size_t size = (size_t)take_number(cursor, length_size);
	const uint8_t *at = take(cursor, size);
	return at == NULL ? TEXT("") : (struct text){(const char *)at, size};
}

static void
take_hash(struct cursor *cursor, struct hash *hash)
{
	const uint8_t *at = take(cursor, HASH_SIZE);
	if (at != NULL)
		memcpy(hash->bytes, at, HASH_SIZE);
}

bool
journal_peek(const uint8_t *bytes, size_t size, struct record *record)
{
	if (size < BODY_AT || size > RECORD_SIZE_MAX || bytes[0] != VERSION)
		return false;
	struct cursor cursor = {bytes + BODY_AT, size - BODY_AT, false};
	record->bytes = bytes;
	record->size = size;
	record->log = take_text(&cursor, 2);
	record->first_seq = take_number(&cursor, 8);
	take_hash(&cursor, &record->before);
	record->received_at = take_number(&cursor, 8);
	record->writer = take_text(&cursor, 2);
	record->device_count = (size_t)take_number(&cursor, 1);
	if (cursor.failed || record->device_count > BATCH_DEVICES_MAX ||
	    !log_name_is_valid(record->log) || record->first_seq == 0 ||
	    record->first_seq > SEQ_MAX)
		return false;
	for (size_t i = 0; i < record->device_count; i++) {
		record->devices[i] = take_text(&cursor, 1);
		if (!device_is_valid(record->devices[i]))
			return false;
	}
	record->action_count = (size_t)take_number(&cursor, 4);
	record->actions_at = (size_t)(cursor.at - bytes);
	if (cursor.failed || cursor.left < HASH_SIZE)
		return false;
	memcpy(record->last.bytes, bytes + size - HASH_SIZE, HASH_SIZE);
	return record->action_count >= 1 && record->action_count <= SEQ_MAX - record->first_seq;
}

size_t
journal_action(const uint8_t *bytes, size_t offset, struct action *action, size_t *device)
{
	const uint8_t *at = bytes + offset;
	*device = at[0];
	action->ts = big_endian_get(at + 1, 8);
	action->type.size = (size_t)big_endian_get(at + 9, 2);
	action->type.data = (const char *)at + 11;
	at += 11 + action->type.size;
	action->payload.size = (size_t)big_endian_get(at, 4);
	action->payload.data = (const char *)at + 4;
	return (size_t)(at + 4 + action->payload.size - bytes);
}

static bool
actions_chain(const struct record *record, struct cursor *cursor)
{
	struct hash link = record->before;
	for (size_t i = 0; i < record->action_count; i++) {
		size_t device = (size_t)take_number(cursor, 1);
		struct action action;
		action.ts = take_number(cursor, 8);
		action.type = take_text(cursor, 2);
		action.payload = take_text(cursor, 4);
		if (cursor->failed || device >= record->device_count || action.ts == 0 ||
		    action.ts > TS_MAX || !type_is_valid(action.type))
			return false;
		action.device = record->devices[device];
		struct hash digest;
		chain_digest(&action, &digest);
		chain_link(&link, &digest, &link);
	}
	return cursor->left == HASH_SIZE && hash_equal(&record->last, &link);
}

bool
journal_decode(const uint8_t *bytes, size_t size, struct record *record)
{
	uint8_t sum[JOURNAL_CHECKSUM_SIZE];
	if (!journal_peek(bytes, size, record))
		return false;
	checksum(bytes, size, record->actions_at, sum);
	if (memcmp(sum, bytes + JOURNAL_CHECKSUM_AT, JOURNAL_CHECKSUM_SIZE) != 0)
		return false;
	struct cursor cursor = {bytes + record->actions_at, size - record->actions_at, false};
	return actions_chain(record, &cursor);
}
