#include "store/manifest.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"

#define FORMAT 1

int
manifest_format(const struct directory *directory, char *data)
{
	int size = snprintf(data, MANIFEST_SIZE_MAX, "edgereplay-data %d\nshards %u\n", FORMAT,
			    directory->shards);
	if (directory->in_folder)
		size += snprintf(data + size, (size_t)(MANIFEST_SIZE_MAX - size),
				 "folder shards-%u\n", directory->shards);
	for (unsigned shard = 0; shard < directory->shards; shard++) {
		char hex[2 * SHARD_ID_SIZE];
		hex_encode(directory->ids[shard], SHARD_ID_SIZE, hex);
		size += snprintf(data + size, (size_t)(MANIFEST_SIZE_MAX - size), "shard %u %.*s\n",
				 shard, (int)sizeof(hex), hex);
	}
	CHECK(size < MANIFEST_SIZE_MAX);
	return size;
}

/* Takes the next line off the text; *rest is what follows the prefix. False: it has another one. */
static bool
take_line(struct text *text, const char *prefix, struct text *rest)
{
	const char *end = memchr(text->data, '\n', text->size);
	const size_t prefix_size = strlen(prefix);
	if (end == NULL)
		return false;
	const size_t size = (size_t)(end - text->data);
	if (size < prefix_size || memcmp(text->data, prefix, prefix_size) != 0)
		return false;
	*rest = (struct text){text->data + prefix_size, size - prefix_size};
	*text = (struct text){end + 1, text->size - size - 1};
	return true;
}

/* Takes the count and the ids out of the text, and accepts it only if it is to the byte what
 * manifest_format makes of them: that leaves no second way to write one. */
bool
manifest_parse(struct directory *directory, const char *data, size_t size)
{
	struct text left = {data, size}, value;
	uint64_t shards = 0;
	if (!take_line(&left, "edgereplay-data ", &value) || !take_line(&left, "shards ", &value) ||
	    !text_to_u64(value, SHARDS_MAX, &shards) || shards == 0)
		return false;
	directory->shards = (unsigned)shards;
	directory->in_folder = take_line(&left, "folder ", &value);
	for (unsigned shard = 0; shard < directory->shards; shard++) {
		const size_t hex_size = (size_t)2 * SHARD_ID_SIZE;
		if (!take_line(&left, "shard ", &value) || value.size < hex_size)
			return false;
		const struct text hex = {value.data + value.size - hex_size, hex_size};
		if (!hex_decode(hex, directory->ids[shard], SHARD_ID_SIZE))
			return false;
	}
	char again[MANIFEST_SIZE_MAX];
	const int again_size = manifest_format(directory, again);
	return (size_t)again_size == size && memcmp(again, data, size) == 0;
}
