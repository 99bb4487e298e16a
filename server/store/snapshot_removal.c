#include "store/snapshot_removal.h"

#include "base/failpoint.h"

/* Of the log's history, and whole. */
static enum status
judge(struct snapshots *snapshots, const struct removal *removal, uint64_t seq, position_asker *has,
      void *cookie)
{
	struct snapshot_source source;
	enum status status = snapshots_read(snapshots, removal->genesis, seq, &source);
	if (status != STATUS_OK)
		return status;
	snapshot_source_close(&source);
	status = has(cookie, removal, &source.facts.position);
	if (status == STATUS_OK)
		return snapshots_verify(snapshots, removal->genesis, seq);
	return status == STATUS_STORAGE_UNAVAILABLE ? status : STATUS_NO_SNAPSHOT;
}

enum status
snapshots_stand_for(struct snapshots *snapshots, struct removal *removal, position_asker *has,
		    void *cookie)
{
	const bool anywhere = removal->upto == SEQ_MAX;
	struct snapshot_list list;
	enum status status = snapshots_list(snapshots, removal->genesis, &list);
	if (status != STATUS_OK || removal->upto == 0)
		return status;
	for (size_t i = list.count; i > 0; i--) {
		const uint64_t seq = list.seqs[i - 1];
		if (!anywhere && seq < removal->upto)
			continue;
		status = judge(snapshots, removal, seq, has, cookie);
		if (status == STATUS_OK && anywhere)
			removal->upto = seq;
		if (status != STATUS_NO_SNAPSHOT)
			return status;
	}
	return STATUS_NO_SNAPSHOT;
}

enum status
snapshots_follow(struct snapshots *snapshots, const struct removal *removal)
{
	const uint64_t pruned = removal->head.gone.pruned;
	const uint64_t taken = removal->at > removal->upto ? removal->at : removal->upto;
	const bool is_erased = removal->erased_link == NULL || removal->head.gone.erased_at > 0;
	const uint64_t erased_upto = is_erased ? SEQ_MAX : taken;
	FAIL_POINT(REMOVE_BEFORE_SNAPSHOTS);
	switch (removal->kind) {
	case REMOVE_ACTIONS:
		if (removal->first > 0)
			return snapshots_erase(snapshots, removal->genesis, removal->first,
					       SEQ_MAX);
		break;
	case REMOVE_BEGUN:
		if (removal->head.gone.erased_at > 0)
			return snapshots_erase(snapshots, removal->genesis, 0, SEQ_MAX);
		/* fallthrough */
	case REMOVE_BEFORE:
		if (pruned > 1)
			return snapshots_erase(snapshots, removal->genesis, 1, pruned - 1);
		break;
	case REMOVE_ALL:
		return snapshots_erase(snapshots, removal->genesis, 0, erased_upto);
	case REMOVE_NOTHING: /* an erasure that was cut off may have left some */
		if (removal->reopened)
			return snapshots_erase(snapshots, removal->genesis, 0, SEQ_MAX);
		break;
	}
	return STATUS_OK;
}
