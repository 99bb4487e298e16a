/*
 * Writing what answers share: hashes, positions, actions.
 */
#include "api/wire.h"

#include <string.h>

#include "api/json.h"

void
wire_write_hash(struct buffer *out, const struct hash *hash)
{
	char *to = buffer_reserve(out, HASH_TEXT_SIZE + 2);
	if (!to)
		return;
	to[0] = '"';
	hash_to_text(hash, to + 1);
	to[HASH_TEXT_SIZE + 1] = '"';
	out->size += HASH_TEXT_SIZE + 2;
}

void
wire_write_position(struct buffer *out, const struct position *position)
{
	buffer_append_text(out, TEXT("{\"seq\":"));
	buffer_append_u64(out, position->seq);
	buffer_append_text(out, TEXT(",\"stateHash\":"));
	wire_write_hash(out, &position->link);
	buffer_append_text(out, TEXT("}"));
}

void
wire_write_drift(struct buffer *out, uint64_t seq, const struct drift *drift)
{
	if (drift->differ == 0)
		return;
	buffer_append_text(out, TEXT(",\"drift\":{\"seq\":"));
	buffer_append_u64(out, seq);
	buffer_append_text(out, TEXT(",\"agree\":"));
	buffer_append_u64(out, drift->agree);
	buffer_append_text(out, TEXT(",\"differ\":"));
	buffer_append_u64(out, drift->differ);
	buffer_append_text(out, TEXT("}"));
}

static void
write_meta(struct buffer *out, const struct row *row)
{
	uint8_t id[ID_SIZE];
	char text[ID_TEXT_SIZE];
	chain_id(row->action.ts, &row->digest, id);
	id_to_text(id, text);
	buffer_append_text(out, TEXT(",\"id\":\""));
	buffer_append(out, text, sizeof(text));
	buffer_append_text(out, TEXT("\",\"link\":"));
	wire_write_hash(out, &row->link);
	buffer_append_text(out, TEXT(",\"receivedAt\":"));
	buffer_append_u64(out, row->received_at);
	if (row->writer.size > 0) {
		buffer_append_text(out, TEXT(",\"writer\":"));
		json_write_string(out, row->writer);
	}
}

#define ROW_SEQ "{\"seq\":"
#define ROW_DEVICE ",\"device\":"
#define ROW_TS ",\"ts\":"
#define ROW_TYPE ",\"type\":"
#define ROW_PAYLOAD ",\"payload\":"

/* All of a row but its texts. */
#define ROW_SIZE_FIXED                                                                             \
	(sizeof(ROW_SEQ ROW_DEVICE ROW_TS ROW_TYPE ROW_PAYLOAD) + 2 * (size_t)U64_DIGITS_MAX)

/* Room for a payload of at most so many bytes is asked for as if all of them grew, without looking
 * at them twice. */
#define PAYLOAD_SIZE_SHORT ((size_t)1024)

static void
write_redacted(struct buffer *out, const struct row *row)
{
	buffer_append_text(out, TEXT(ROW_SEQ));
	buffer_append_u64(out, row->seq);
	buffer_append_text(out, TEXT(ROW_DEVICE));
	json_write_string(out, row->action.device);
	buffer_append_text(out, TEXT(ROW_TS));
	buffer_append_u64(out, row->action.ts);
	buffer_append_text(out, TEXT(",\"redacted\":true,\"digest\":"));
	wire_write_hash(out, &row->digest);
}

static char *
put(char *to, struct text text)
{
	memcpy(to, text.data, text.size);
	return to + text.size;
}

static void
write_whole(struct buffer *out, const struct row *row)
{
	const struct action *action = &row->action;
	bool is_short = action->payload.size <= PAYLOAD_SIZE_SHORT;
	size_t size = ROW_SIZE_FIXED + JSON_STRING_SIZE_MAX(action->device.size) +
		      JSON_STRING_SIZE_MAX(action->type.size);
	if (is_short)
		size += JSON_STRING_SIZE_MAX(action->payload.size);
	char *to = buffer_reserve(out, size);
	if (to == NULL)
		return;
	char *end = put(to, TEXT(ROW_SEQ));
	end = u64_put(end, row->seq);
	end = put(end, TEXT(ROW_DEVICE));
	end = json_put_string(end, action->device);
	end = put(end, TEXT(ROW_TS));
	end = u64_put(end, action->ts);
	end = put(end, TEXT(ROW_TYPE));
	end = json_put_string(end, action->type);
	end = put(end, TEXT(ROW_PAYLOAD));
	if (is_short)
		end = json_put_string(end, action->payload);
	out->size += (size_t)(end - to);
	if (!is_short)
		json_write_string(out, action->payload);
}

void
wire_write_row(struct buffer *out, const struct row *row, bool meta)
{
	if (action_is_redacted(&row->action))
		write_redacted(out, row);
	else
		write_whole(out, row);
	if (meta)
		write_meta(out, row);
	buffer_append_text(out, TEXT("}"));
}
