/*
 * phone_fixture: what the tests of a phone's state file share: a state in a folder of its own, and
 * its queue and log as text.
 */
#ifndef PHONE_FIXTURE_H
#define PHONE_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/phone_clock.h"
#include "cli/phone_store.h"

static char folder[] = "cli-store-XXXXXX";
static char path[64];
static struct phone_store *store;

static inline void
reopen(void)
{
	phone_store_close(store);
	store = NULL;
	ck_assert_int_eq(phone_store_open(path, "log", NULL, &store), STATUS_OK);
}

static inline void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
	ck_assert_int_eq(phone_store_open(path, "log", "phone", &store), STATUS_OK);
}

static inline void
teardown(void)
{
	static const char *const NAMES[] = {"state", "state-lock", "state-wal", "state-shm"};
	char name[80];

	phone_store_close(store);
	store = NULL;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, NAMES[i]);
		unlink(name);
	}
	ck_assert_int_eq(rmdir(folder), 0);
}

static inline struct action
action_of(uint64_t ts, const char *payload)
{
	return (struct action){
		.device = TEXT("phone"), .ts = ts, .type = TEXT("t"), .payload = text_of(payload)};
}

static inline void
enqueue(uint64_t ts, const char *payload)
{
	struct action action = action_of(ts, payload);

	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_enqueue(store, &action), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
}

static inline void
confirm(uint64_t ts, const char *payload)
{
	struct phone_action kept = {.action = action_of(ts, payload)};

	phone_action_digest(&kept);
	ck_assert_int_eq(phone_store_begin(store), STATUS_OK);
	ck_assert_int_eq(phone_store_confirm(store, &kept), STATUS_OK);
	ck_assert_int_eq(phone_store_commit(store), STATUS_OK);
}

/* The queue or the log as text: "payload@ts " each, "!" behind what was confirmed once. */
struct shown {
	char text[1000];
	size_t size;
	int64_t place;
	uint64_t ts;
};

static inline void
show(struct shown *shown, const struct phone_action *kept, const char *mark)
{
	shown->size +=
		(size_t)snprintf(shown->text + shown->size, sizeof(shown->text) - shown->size,
				 "%.*s@%u%s ", (int)kept->action.payload.size,
				 kept->action.payload.data, (unsigned)kept->action.ts, mark);
	shown->ts = kept->action.ts;
}

static inline bool
show_queued(void *cookie, const struct queued *queued)
{
	show(cookie, &queued->kept, queued->confirmed_once ? "!" : "");
	((struct shown *)cookie)->place = queued->place;
	return true;
}

static inline bool
show_logged(void *cookie, const struct logged *logged)
{
	show(cookie, &logged->kept, "");
	return true;
}

static inline struct shown
queue(void)
{
	struct shown shown = {.size = 0};

	ck_assert_int_eq(phone_store_queue(store, show_queued, &shown), STATUS_OK);
	return shown;
}

static inline struct shown
confirmed(void)
{
	struct shown shown = {.size = 0};

	ck_assert_int_eq(phone_store_confirmed(store, 0, show_logged, &shown), STATUS_OK);
	return shown;
}

#endif
