#include "http/cors.h"

#include <stdlib.h>
#include <string.h>

#include "base/problem.h"

#define SEPARATORS ", \t"

static bool
begins(struct text text, const char *with)
{
	const size_t size = strlen(with);
	return text.size > size && memcmp(text.data, with, size) == 0;
}

/* scheme "://" host [ ":" port ], as a browser writes it: in small letters, nothing behind. */
static bool
is_origin(struct text text)
{
	const size_t scheme = begins(text, "https://") ? 8 : begins(text, "http://") ? 7 : 0;
	if (scheme == 0)
		return false;
	for (size_t i = scheme; i < text.size; i++) {
		const char c = text.data[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("-._:[]", c) == NULL))
			return false;
	}
	return true;
}

enum status
cors_open(struct cors *cors, const char *list, unsigned max_age_sec, const char **problem)
{
	*cors = (struct cors){.max_age_sec = max_age_sec};
	if (list == NULL || list[strspn(list, SEPARATORS)] == '\0')
		return STATUS_OK;
	cors->memory = strdup(list);
	/* Every second byte begins one at most. */
	cors->origins = calloc(strlen(list) / 2 + 1, sizeof(*cors->origins));
	if (cors->memory == NULL || cors->origins == NULL) {
		cors_close(cors);
		return problem_set(problem, STATUS_INTERNAL, "Memory is out.");
	}
	for (const char *at = cors->memory + strspn(cors->memory, SEPARATORS); *at != '\0';) {
		const struct text origin = {at, strcspn(at, SEPARATORS)};
		if (!is_origin(origin)) {
			const enum status status = problem_set(
				problem, STATUS_INTERNAL,
				"server.cors_origins: \"%.*s\" is no origin: http:// or https://, "
				"a host in small letters, a port if need be, and no slash behind.",
				(int)origin.size, origin.data);
			cors_close(cors);
			return status;
		}
		cors->origins[cors->count++] = origin;
		at += origin.size;
		at += strspn(at, SEPARATORS);
	}
	return STATUS_OK;
}

void
cors_close(struct cors *cors)
{
	free(cors->memory);
	free(cors->origins);
	*cors = (struct cors){.count = 0};
}

bool
cors_allows(const struct cors *cors, struct text origin)
{
	for (size_t i = 0; i < cors->count; i++) {
		if (text_equal(cors->origins[i], origin))
			return true;
	}
	return false;
}
