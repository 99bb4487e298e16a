#include "loadtest/limits_action.h"

#include <string.h>

#include "base/check.h"

#define TS_FIRST UINT64_C(1790000000000)
#define COUNTER_DIGITS 10

static const char BEGIN[] = "{\"id\":\"t0000000000\",\"text\":\"";
static const char END[] = "\"}";
static const char WORDS[] = "milk, eggs, bread and butter, ";

/* Where the digits are in the payload. */
#define COUNTER_AT 8

void
action_source_init(struct action_source *source, size_t payload_size)
{
	size_t begin = sizeof(BEGIN) - 1, end = sizeof(END) - 1;
	CHECK(payload_size >= begin + end && payload_size <= LIMITS_PAYLOAD_MAX);
	memset(source, 0, sizeof(*source));
	memcpy(source->payload, BEGIN, begin);
	for (size_t i = begin; i < payload_size - end; i++)
		source->payload[i] = WORDS[(i - begin) % (sizeof(WORDS) - 1)];
	memcpy(source->payload + payload_size - end, END, end);
	source->random = 1;
	source->action.device = TEXT("phone-00");
	source->action.ts = TS_FIRST;
	source->action.type = TEXT("todo/add");
	source->action.payload = (struct text){source->payload, payload_size};
}

const struct action *
action_source_next(struct action_source *source)
{
	source->action.ts++;
	/* Counts up as on a counter's wheels: most times one digit changes. */
	for (size_t i = COUNTER_AT + COUNTER_DIGITS - 1; i >= COUNTER_AT; i--) {
		if (source->payload[i] != '9') {
			source->payload[i]++;
			break;
		}
		source->payload[i] = '0';
	}
	return &source->action;
}

/* SplitMix64. */
static uint64_t
next_random(struct action_source *source)
{
	source->random += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t mixed = source->random;
	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

void
action_source_link(struct action_source *source, struct hash *link)
{
	for (size_t i = 0; i < HASH_SIZE; i += sizeof(uint64_t)) {
		uint64_t random = next_random(source);
		memcpy(link->bytes + i, &random, sizeof(random));
	}
}
