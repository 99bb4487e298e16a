#include "api/etag.h"

#include <string.h>

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

bool
etag_matches(struct text header, struct text etag)
{
	const char *at = header.data, *end = header.data + header.size;
	while (header.size > 0 && at < end) {
		if (is_space(*at) || *at == ',') {
			at++;
			continue;
		}
		if (*at == '*')
			return true;
		if (end - at > 2 && at[0] == 'W' && at[1] == '/')
			at += 2;
		if (*at != '"')
			return false;
		const char *quote = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (!quote)
			return false;
		if (text_equal((struct text){at, (size_t)(quote - at + 1)}, etag))
			return true;
		at = quote + 1;
	}
	return false;
}
