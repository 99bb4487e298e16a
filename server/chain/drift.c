#include "chain/drift.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CAPACITY_MIN 2
#define ENTRY_OVERHEAD 16 /* of malloc */

static size_t
entry_size(const struct drift_entry *entry)
{
	return ENTRY_OVERHEAD + sizeof(*entry) + entry->device.size + entry->writer.size +
	       entry->digest.size + entry->app.size;
}

static struct drift_entry *
entry_new(const struct drift_report *report)
{
	const struct state_report *state = &report->state;
	struct drift_entry *entry =
		malloc(sizeof(*entry) + report->device.size + report->writer.size +
		       state->digest.size + state->app.size);
	if (entry == NULL)
		return NULL;
	char *texts = (char *)(entry + 1);
	entry->next = NULL;
	entry->device = text_put(&texts, report->device);
	entry->writer = text_put(&texts, report->writer);
	entry->digest = text_put(&texts, state->digest);
	entry->app = text_put(&texts, state->app);
	return entry;
}

static void
entry_free(struct drift_log *log, struct drift_entry *entry)
{
	log->bytes -= entry_size(entry);
	free(entry);
}

/* Drops count positions from an index on. */
static void
drop(struct drift_log *log, size_t index, size_t count)
{
	for (size_t i = index; i < index + count; i++) {
		struct drift_position *position = &log->positions[i];
		while (position->entries != NULL) {
			struct drift_entry *entry = position->entries;
			position->entries = entry->next;
			entry_free(log, entry);
		}
	}
	if (log->count > index + count)
		memmove(&log->positions[index], &log->positions[index + count],
			(log->count - index - count) * sizeof(log->positions[0]));
	log->count -= count;
}

/* The first position that is not before seq; the count when there is none. */
static size_t
find(const struct drift_log *log, uint64_t seq)
{
	size_t index = log->count;
	while (index > 0 && log->positions[index - 1].at.seq >= seq)
		index--;
	return index;
}

/* What cannot be of the log's history any more. */
static void
drop_dead(struct drift_log *log, const struct drift_report *report, uint64_t head,
	  struct drift_finding *finding)
{
	const uint64_t seq = report->state.seq;
	size_t index = find(log, head + 1);
	const size_t at = find(log, seq);
	if (at < log->count && log->positions[at].at.seq == seq &&
	    !hash_equal(&log->positions[at].at.link, &report->link))
		index = at;
	if (index == log->count)
		return;
	finding->from = log->positions[index].at.seq;
	drop(log, index, log->count - index);
}

static bool
grow(struct drift_log *log)
{
	if (log->count < log->capacity)
		return true;
	const size_t capacity = log->capacity == 0 ? CAPACITY_MIN : 2 * log->capacity;
	struct drift_position *positions =
		realloc(log->positions, capacity * sizeof(log->positions[0]));
	if (positions == NULL)
		return false;
	log->bytes += (capacity - log->capacity) * sizeof(log->positions[0]);
	log->positions = positions;
	log->capacity = capacity;
	return true;
}

/* Sets *found to the report's position, made if it is new enough; NULL if it is not. */
static bool
enter(struct drift_log *log, const struct drift_limits *limits, const struct drift_report *report,
      struct drift_finding *finding, struct drift_position **found)
{
	const uint64_t seq = report->state.seq;
	size_t index = find(log, seq);
	*found = NULL;
	if (index < log->count && log->positions[index].at.seq == seq) {
		*found = &log->positions[index];
		return true;
	}
	if (log->count - index >= limits->positions)
		return true;
	if (!grow(log))
		return false;
	while (log->count >= limits->positions) {
		drop(log, 0, 1);
		index--;
		finding->below = index == 0 ? seq : log->positions[0].at.seq;
	}
	memmove(&log->positions[index + 1], &log->positions[index],
		(log->count - index) * sizeof(log->positions[0]));
	log->count++;
	log->positions[index] = (struct drift_position){.at = {seq, report->link}};
	*found = &log->positions[index];
	return true;
}

/* Whether two of the position's reports differ. */
static bool
drifts(const struct drift_position *position)
{
	const struct drift_entry *first = position->entries;
	for (const struct drift_entry *entry = first; entry != NULL; entry = entry->next) {
		if (!text_equal(entry->digest, first->digest))
			return true;
	}
	return false;
}

static void
compare(const struct drift_position *position, const struct drift_report *report,
	struct drift_finding *finding)
{
	for (const struct drift_entry *entry = position->entries; entry != NULL;
	     entry = entry->next) {
		if (text_equal(entry->device, report->device))
			continue;
		if (text_equal(entry->digest, report->state.digest)) {
			finding->drift.agree++;
			continue;
		}
		finding->drift.differ++;
		if (finding->other == NULL)
			finding->other = entry;
	}
}

/* How many of the position's reports are the writer's. */
static size_t
count_of(const struct drift_position *position, struct text writer)
{
	size_t count = 0;
	for (const struct drift_entry *entry = position->entries; entry != NULL;
	     entry = entry->next)
		count += text_equal(entry->writer, writer);
	return count;
}

static void
leave(struct drift_log *log, struct drift_position *position, struct drift_entry **at)
{
	struct drift_entry *entry = *at;
	*at = entry->next;
	for (struct drift_entry *other = position->entries; other != NULL; other = other->next) {
		if (other->nth > entry->nth && text_equal(other->writer, entry->writer))
			other->nth--;
	}
	position->count--;
	entry_free(log, entry);
}

/* Whether there is room for a report of a device that has none there: it is made where its writer will still
 * have fewer there than another one. */
static bool
make_room(struct drift_log *log, const struct drift_limits *limits, struct drift_position *position,
	  struct text writer, struct drift_finding *finding)
{
	struct drift_entry **most = NULL;
	if (position->count < limits->devices)
		return true;
	for (struct drift_entry **at = &position->entries; *at != NULL; at = &(*at)->next) {
		if (most == NULL || (*at)->nth > (*most)->nth)
			most = at;
	}
	if (most == NULL || (*most)->nth <= count_of(position, writer) + 1)
		return false;
	const struct text device = (*most)->device;
	CHECK(device.size <= sizeof(finding->displaced));
	memcpy(finding->displaced, device.data, device.size);
	finding->displaced_size = device.size;
	leave(log, position, most);
	return true;
}

static bool
keep(struct drift_log *log, struct drift_position *position, struct drift_entry **own,
     const struct drift_report *report)
{
	struct drift_entry *entry = entry_new(report);
	if (entry == NULL)
		return false;
	if (own != NULL)
		leave(log, position, own);
	entry->nth = count_of(position, report->writer) + 1;
	log->bytes += entry_size(entry);
	struct drift_entry **end = &position->entries;
	while (*end != NULL)
		end = &(*end)->next;
	*end = entry;
	position->count++;
	return true;
}

/* Where the device's own report is linked in; NULL: it has none. */
static struct drift_entry **
find_own(struct drift_position *position, struct text device)
{
	for (struct drift_entry **at = &position->entries; *at != NULL; at = &(*at)->next) {
		if (text_equal((*at)->device, device))
			return at;
	}
	return NULL;
}

bool
drift_take(struct drift_log *log, const struct drift_limits *limits,
	   const struct drift_report *report, uint64_t head, struct drift_finding *finding)
{
	const struct state_report *state = &report->state;
	struct drift_position *position;
	CHECK(state->seq <= head && limits->devices >= 1);
	*finding = (struct drift_finding){.drift = {.agree = 1}, .from = UINT64_MAX};
	drop_dead(log, report, head, finding);
	if (state->seq == 0 || limits->positions == 0)
		return true;
	if (!enter(log, limits, report, finding, &position))
		return false;
	finding->position = position;
	if (position == NULL)
		return true;
	struct drift_entry **own = find_own(position, report->device);
	const bool has_room =
		own != NULL || make_room(log, limits, position, report->writer, finding);
	compare(position, report, finding);
	const bool same = own != NULL && text_equal((*own)->digest, state->digest);
	finding->is_news = finding->drift.differ > 0 && !same;
	finding->is_first = finding->is_news && !drifts(position);
	if (!has_room || (same && text_equal((*own)->app, state->app) &&
			  text_equal((*own)->writer, report->writer)))
		return true;
	finding->kept = keep(log, position, own, report);
	return finding->kept;
}

void
drift_release(struct drift_log *log)
{
	if (log->count > 0)
		drop(log, 0, log->count);
	free(log->positions);
	*log = (struct drift_log){.count = 0};
}
