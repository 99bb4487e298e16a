/*
 * Writing what answers share: hashes, positions, actions.
 */
#include "api/wire.h"

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

void
wire_write_row(struct buffer *out, const struct row *row, bool meta)
{
	buffer_append_text(out, TEXT("{\"seq\":"));
	buffer_append_u64(out, row->seq);
	buffer_append_text(out, TEXT(",\"device\":"));
	json_write_string(out, row->action.device);
	buffer_append_text(out, TEXT(",\"ts\":"));
	buffer_append_u64(out, row->action.ts);
	buffer_append_text(out, TEXT(",\"type\":"));
	json_write_string(out, row->action.type);
	buffer_append_text(out, TEXT(",\"payload\":"));
	json_write_string(out, row->action.payload);
	if (meta)
		write_meta(out, row);
	buffer_append_text(out, TEXT("}"));
}
