#include "cli/stamp.h"

void
stamp_now(char stamp[CLOCK_TEXT_SIZE])
{
	char text[CLOCK_TEXT_SIZE];
	size_t size = 0;

	clock_format(clock_server_msec(), text);
	for (const char *at = text; *at != '\0' && *at != '.'; at++) {
		if (*at != '-' && *at != ':')
			stamp[size++] = *at;
	}
	stamp[size++] = 'Z';
	stamp[size] = '\0';
}
