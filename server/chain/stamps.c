#include "chain/stamps.h"

#include <string.h>

#include "base/check.h"
#include "base/map.h"

#define SLOTS_MIN 64

/* Keyed: clients choose devices and stamps, and must not choose slots. */
static size_t
first_slot(const struct settle_log *log, const struct action *action)
{
	uint8_t key[sizeof(action->ts) + DEVICE_SIZE_MAX];

	CHECK(action->device.size >= 1 && action->device.size <= DEVICE_SIZE_MAX);
	memcpy(key, &action->ts, sizeof(action->ts));
	memcpy(key + sizeof(action->ts), action->device.data, action->device.size);
	return map_hash(key, sizeof(action->ts) + action->device.size) & (log->stamp_slots - 1);
}

static const struct action *
row_action(const struct settle_log *log, size_t row)
{
	return &log->rows[row].action->action;
}

static void
put_next_row(struct settle_log *log)
{
	size_t slot = first_slot(log, row_action(log, log->stamp_count));

	while (log->stamps[slot] != 0)
		slot = (slot + 1) & (log->stamp_slots - 1);
	log->stamp_count++;
	log->stamps[slot] = (uint32_t)log->stamp_count;
}

/* Room for all rows, twice over, in a new table: the old one stays behind in the group's arena, so
 * that all tables together take at most twice the last. */
static enum status
make_room(struct settle_log *log)
{
	size_t slots = log->stamp_slots == 0 ? SLOTS_MIN : log->stamp_slots;
	uint32_t *stamps;

	CHECK(log->row_count < UINT32_MAX / 4);
	while (slots < 2 * log->row_count)
		slots *= 2;
	if (slots == log->stamp_slots)
		return STATUS_OK;
	stamps = arena_calloc(log->arena, slots, sizeof(*stamps));
	if (stamps == NULL)
		return STATUS_INTERNAL;
	log->stamps = stamps;
	log->stamp_slots = slots;
	log->stamp_count = 0;
	return STATUS_OK;
}

enum status
stamps_find(struct settle_log *log, const struct action *action, const struct settled_row **found)
{
	enum status status;

	*found = NULL;
	if (log->row_count == 0)
		return STATUS_OK;
	status = make_room(log);
	if (status != STATUS_OK)
		return status;
	while (log->stamp_count < log->row_count)
		put_next_row(log);

	for (size_t slot = first_slot(log, action); log->stamps[slot] != 0;
	     slot = (slot + 1) & (log->stamp_slots - 1)) {
		size_t row = log->stamps[slot] - 1;
		const struct action *there = row_action(log, row);

		if (there->ts == action->ts && text_equal(there->device, action->device)) {
			*found = &log->rows[row];
			return STATUS_OK;
		}
	}
	return STATUS_OK;
}

void
stamps_cut(struct settle_log *log, size_t row_count)
{
	while (log->stamp_count > row_count) {
		size_t slot = first_slot(log, row_action(log, log->stamp_count - 1));

		while (log->stamps[slot] != log->stamp_count)
			slot = (slot + 1) & (log->stamp_slots - 1);
		log->stamps[slot] = 0;
		log->stamp_count--;
	}
}
