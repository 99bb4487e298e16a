/*
 * Reading a sync request's member `state`.
 */
#include "api/wire_reader.h"

static const struct text state_members[] = {
	{"seq", sizeof("seq") - 1},
	{"digest", sizeof("digest") - 1},
	{"app", sizeof("app") - 1},
};

enum state_member { STATE_SEQ, STATE_DIGEST, STATE_APP, STATE_MEMBER_COUNT };

static const char *const paths[] = {
	[STATE_SEQ] = "state.seq", [STATE_DIGEST] = "state.digest", [STATE_APP] = "state.app"};

static bool
read_state_member(struct reader *reader, int member)
{
	struct state_report *state = &reader->state;
	switch (member) {
	case STATE_SEQ:
		return reader_integer(reader, 0, SEQ_MAX, &state->seq);
	case STATE_DIGEST:
		if (!reader_string(reader, &state->digest))
			return false;
		return state_digest_is_valid(state->digest) ||
		       reader_malformed(reader, "must be 1 to %d lower-case hex digits",
					STATE_DIGEST_SIZE_MAX);
	default:
		return reader_device(reader, &state->app);
	}
}

bool
reader_state(struct reader *reader)
{
	unsigned seen = 0;
	bool first = true;
	struct text name;
	if (!reader_expect(reader, JSON_KIND_OBJECT, "must be an object"))
		return false;
	if (!json_enter(&reader->json, JSON_KIND_OBJECT))
		return reader_syntax(reader);
	while (json_member(&reader->json, &first, &name)) {
		const int member =
			reader_member(reader, name, state_members, STATE_MEMBER_COUNT, &seen);
		if (member == -1)
			return false;
		reader->member = paths[member];
		if (!read_state_member(reader, member))
			return false;
		reader->member = "state";
	}
	if (reader->json.fault)
		return reader_syntax(reader);
	for (int i = 0; i < STATE_MEMBER_COUNT; i++) {
		reader->member = paths[i];
		if ((seen & 1U << i) == 0)
			return reader_malformed(reader, "is missing");
	}
	return true;
}
