#include "cli/phone_snapshot.h"

#include "cli/report.h"
#include "cli/snapshot_get.h"

static enum exit_code
get(struct phone_sync *sync, struct snapshot_got *got)
{
	const struct snapshot_wish wish = {.transport = sync->transport,
					   .log = phone_store_log(sync->store),
					   .give_up_sec = sync->give_up_msec / 1000,
					   .path = sync->snapshot};

	return snapshot_get(&wish, got);
}

static enum status
begin_from(struct phone_sync *sync, const struct position *position)
{
	if (phone_store_begin(sync->store) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	if (phone_store_begin_from(sync->store, position) != STATUS_OK) {
		phone_store_abort(sync->store);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	return phone_store_commit(sync->store);
}

enum exit_code
phone_snapshot_begin(struct phone_sync *sync)
{
	struct snapshot_got got;

	if (phone_store_base(sync->store)->seq > 0) {
		report_note("the state is at action %ju already: it needs no snapshot",
			    (uintmax_t)phone_store_base(sync->store)->seq);
		return EXIT_FINE;
	}
	const enum exit_code code = get(sync, &got);
	if (code != EXIT_FINE)
		return code;
	if (!got.found) {
		report_note("there is no snapshot: the log is read from its start");
		return EXIT_FINE;
	}
	return begin_from(sync, &got.position) == STATUS_OK ? EXIT_FINE : EXIT_LOCAL;
}

enum step
phone_snapshot_go_on(struct phone_sync *sync, const struct answer *answer)
{
	struct snapshot_got got;

	if (sync->snapshot == NULL) {
		report_error("%s", answer->why);
		report_note(
			"with --snapshot=FILE it goes on from the log's newest snapshot, which is "
			"written there; what is queued stays");
		return STEP_STOP;
	}
	switch (get(sync, &got)) {
	case EXIT_FINE:
		break;
	case EXIT_LOCAL:
		return STEP_BROKEN;
	case EXIT_UNREACHABLE:
		return phone_sync_again(sync, answer->why);
	default:
		return STEP_STOP;
	}
	if (!got.found || got.position.seq <= phone_store_base(sync->store)->seq) {
		report_error("%s, and there is no snapshot to go on from", answer->why);
		return STEP_STOP;
	}
	if (begin_from(sync, &got.position) != STATUS_OK)
		return STEP_BROKEN;
	report_note("the log begins behind what the state had: it goes on from the snapshot of "
		    "action %ju, which is in %s",
		    (uintmax_t)got.position.seq, sync->snapshot);
	sync->lowest_base = got.position.seq;
	sync->with_locator = false;
	sync->pull_first = true;
	sync->at_head = false;
	sync->wait_msec = 0;
	phone_sync_succeeded(sync);
	/* Not STEP_ON: what was asked for behind the old base is not to be applied to the new one. */
	return STEP_PAUSE;
}
