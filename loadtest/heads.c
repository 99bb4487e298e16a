#include "loadtest/heads.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chain/chain.h"

#define TITLE_SIZE 256

struct record {
	struct position head;
	uint64_t newest; /* stamp */
	uint64_t known;
};

static enum status
failed(const char *path, const char *why, enum status status)
{
	(void)fprintf(stderr, "edgereplay-load: %s: %s\n", path, why);
	return status;
}

/* What two runs must have in common for the records to mean the same logs. */
static void
write_title(const struct plan *plan, char title[TITLE_SIZE])
{
	memset(title, 0, TITLE_SIZE);
	(void)snprintf(title, TITLE_SIZE, "edgereplay-load heads 1 %s%" PRIu64 " %" PRIu64 "\n",
		       plan->prefix, plan->first_user, plan->users);
}

static enum status
read_records(struct users *users, FILE *file, const char *path)
{
	char title[TITLE_SIZE], expected[TITLE_SIZE];
	struct record record;
	write_title(users->plan, expected);
	if (fread(title, TITLE_SIZE, 1, file) != 1 || memcmp(title, expected, TITLE_SIZE) != 0)
		return failed(path, "the heads of other logs", STATUS_MALFORMED);
	for (uint64_t i = 0; i < users->plan->users; i++) {
		if (fread(&record, sizeof(record), 1, file) != 1)
			return failed(path, "cut", STATUS_MALFORMED);
		if (record.known != 0)
			users_know(users, (uint32_t)i, &record.head, record.newest);
	}
	return STATUS_OK;
}

enum status
heads_read(struct users *users, const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL && errno == ENOENT)
		return STATUS_OK;
	if (file == NULL)
		return failed(path, strerror(errno), STATUS_MALFORMED);
	enum status status = read_records(users, file, path);
	(void)fclose(file);
	return status;
}

enum status
heads_write(const struct users *users, const char *path)
{
	char title[TITLE_SIZE];
	FILE *file = fopen(path, "wb");
	if (file == NULL)
		return failed(path, strerror(errno), STATUS_INTERNAL);
	write_title(users->plan, title);
	bool done = fwrite(title, TITLE_SIZE, 1, file) == 1;
	for (uint64_t i = 0; i < users->plan->users && done; i++) {
		struct record record = {.known = 0};
		record.known = users_settled(users, (uint32_t)i, &record.head, &record.newest);
		done = fwrite(&record, sizeof(record), 1, file) == 1;
	}
	int error = errno;
	if (fclose(file) == 0 && done)
		return STATUS_OK;
	return failed(path, strerror(error), STATUS_INTERNAL);
}
