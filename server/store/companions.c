#include "store/companions.h"

#include <stdio.h>
#include <unistd.h>

bool
companions_note(struct companions *companions, const char *path)
{
	static const char *const suffixes[COMPANION_COUNT] = {"-wal", "-shm"};
	for (int i = 0; i < COMPANION_COUNT; i++) {
		char *to = companions->each[i].path;
		const size_t room = sizeof(companions->each[i].path);
		const int size = snprintf(to, room, "%s%s", path, suffixes[i]);
		if (size <= 0 || (size_t)size >= room)
			return false;
		companions->each[i].was_there = access(to, F_OK) == 0;
	}
	return true;
}

void
companions_restore(const struct companions *companions)
{
	for (int i = 0; i < COMPANION_COUNT; i++) {
		if (!companions->each[i].was_there)
			(void)unlink(companions->each[i].path);
	}
}
