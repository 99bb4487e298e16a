#include "cli/action_line.h"

#include <stdio.h>

#include "cli/json_text.h"
#include "cli/phone_answer.h"

static const char *
read_members(struct action_line *line)
{
	struct action *action = &line->action;
	const json_t *root = line->root;
	size_t known = 2;

	if (!json_is_object(root))
		return "not a JSON object";
	if (!json_read_text(root, "type", &action->type) || !type_is_valid(action->type))
		return "\"type\" must be 1 to 128 bytes of text without control characters";
	if (!json_read_text(root, "payload", &action->payload))
		return "\"payload\" must be a string";
	if (json_object_get(root, "ts") != NULL) {
		known++;
		if (!json_read_u64(root, "ts", TS_MAX, &action->ts) || action->ts == 0)
			return "\"ts\" must be an integer, milliseconds from 1 to 2^48 - 1";
	}
	if (json_object_size(root) != known)
		return "only \"type\", \"payload\" and \"ts\" are allowed";
	return NULL;
}

bool
action_line_read(struct text text, struct action_line *line, char *problem, size_t problem_size)
{
	json_error_t error;
	const char *what;

	*line = (struct action_line){0};
	line->root =
		json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (line->root == NULL) {
		snprintf(problem, problem_size, "column %d: %s", error.column, error.text);
		return false;
	}
	what = read_members(line);
	if (what != NULL)
		snprintf(problem, problem_size, "%s", what);
	return what == NULL;
}

void
action_line_release(struct action_line *line)
{
	if (line == NULL)
		return;
	json_decref(line->root);
	line->root = NULL;
}

void
action_line_write(struct buffer *out, const struct logged *logged)
{
	action_line_write_open(out, logged);
	buffer_append_text(out, TEXT("}\n"));
}

void
action_line_write_open(struct buffer *out, const struct logged *logged)
{
	const struct action *action = &logged->kept.action;

	buffer_append_text(out, TEXT("{\"seq\":"));
	buffer_append_u64(out, logged->seq);
	buffer_append_text(out, TEXT(",\"device\":"));
	json_write_string(out, action->device);
	buffer_append_text(out, TEXT(",\"ts\":"));
	buffer_append_u64(out, action->ts);
	if (logged->kept.redacted) {
		buffer_append_text(out, TEXT(",\"redacted\":true,\"digest\":"));
		json_write_hash(out, &logged->kept.digest);
	} else {
		buffer_append_text(out, TEXT(",\"type\":"));
		json_write_string(out, action->type);
		buffer_append_text(out, TEXT(",\"payload\":"));
		json_write_string(out, action->payload);
	}
}
