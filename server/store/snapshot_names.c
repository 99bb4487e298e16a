#include "store/snapshot_names.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "store/sqlite/beside.h"

static_assert(SEQ_MAX < UINT64_C(10000000000000000), "a seq has 16 digits at most");

struct snapshot_place
snapshot_place_of(const struct hash *genesis)
{
	struct snapshot_place place = {{0}, {0}};
	hex_encode(genesis->bytes, 1, place.folder);
	hex_encode(genesis->bytes + 1, SNAPSHOT_GENESIS_DIGITS / 2, place.prefix);
	place.prefix[SNAPSHOT_GENESIS_DIGITS] = '-';
	return place;
}

bool
snapshot_name_ends(const char *name, const char *suffix)
{
	const size_t size = strlen(name), suffix_size = strlen(suffix);
	return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

bool
snapshot_name_is_of(const char *name, const struct snapshot_place *place)
{
	return strncmp(name, place->prefix, SNAPSHOT_PREFIX_SIZE) == 0;
}

bool
snapshot_name_seq(const char *name, uint64_t *seq)
{
	const char *digits = name + SNAPSHOT_PREFIX_SIZE;
	*seq = 0;
	if (strlen(name) != SNAPSHOT_PREFIX_SIZE + SNAPSHOT_SEQ_DIGITS)
		return false;
	for (size_t i = 0; i < SNAPSHOT_SEQ_DIGITS; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		*seq = 10 * *seq + (uint64_t)(digits[i] - '0');
	}
	return *seq >= 1 && *seq <= SEQ_MAX;
}

enum status
snapshot_names_walk(const char *path, snapshot_name_visitor *visit, void *cookie)
{
	if (path == NULL)
		return beside_failed(SNAPSHOT_FOLDER, "strdup");
	DIR *entries = opendir(path);
	if (entries == NULL)
		return errno == ENOENT ? STATUS_OK : beside_failed(path, "open the folder");
	enum status status = STATUS_OK;
	errno = 0;
	for (struct dirent *entry = readdir(entries); entry != NULL && status == STATUS_OK;
	     entry = status == STATUS_OK ? readdir(entries) : NULL) {
		if (entry->d_name[0] != '.')
			status = visit(dirfd(entries), entry->d_name, cookie);
		errno = 0;
	}
	if (status == STATUS_OK && errno != 0)
		status = beside_failed(path, "read the folder");
	closedir(entries);
	return status;
}
