/*
 * drift and settle together: random histories of phones whose reducers are equal, or not, judged by a list of
 * everything that was ever said.
 */
#include <check.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/drift.h"
#include "support/runner.h"
#include "support/settle_group.h"
#include "support/soak.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define HISTORIES 3000
#else
#define HISTORIES 100000
#endif
#define DEVICES_MAX 4
#define ROWS_MAX 60
#define WORDS_MAX 4096

static uint64_t random_state;

/* splitmix64: the same numbers everywhere for the same seed. */
static uint64_t
random_below(uint64_t bound)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % bound;
}

static bool
random_percent(unsigned percent)
{
	return random_below(100) < percent;
}

static const char *const names[DEVICES_MAX] = {"phone", "tablet", "laptop", "watch"};
static const char *const subjects[] = {"anna", "bert"};

/* A device: the log's first rows as it knows them, and what it has not sent yet. */
struct phone {
	bool is_wrong; /* its reducer is the other one */
	struct model_row rows[MODEL_ROWS_MAX];
	size_t count;
	struct action queue[MODEL_ROWS_MAX];
	size_t queued;
	uint64_t newest;
};

/* What the list remembers of a report: all that was said, as long as it may count. */
struct word {
	struct position at;
	size_t device, writer;
	char digest[17];
};

struct history {
	struct model model;
	struct settle_group group;
	struct arena arena;
	struct phone phones[DEVICES_MAX];
	size_t phone_count;
	struct drift_log log;
	struct drift_limits limits;

	struct word words[WORDS_MAX];
	size_t word_count;

	size_t reports, drifts, restores, displaced; /* over all histories */
	char difference[256];
};

/* The app's state after the actions: the right reducer, and one that takes some kind for another. */
static void
reduce(const struct model_row *rows, size_t count, const struct action *more, size_t upto,
       bool is_wrong, char digest[17])
{
	uint64_t state = 1;
	for (size_t i = 0; i < upto; i++) {
		const struct action *action = i < count ? &rows[i].action : &more[i - count];
		const char kind =
			is_wrong && action->payload.data[0] == 'c' ? 'b' : action->payload.data[0];
		state = (state ^ (uint64_t)kind ^ action->ts << 8) * UINT64_C(0x100000001b3);
	}
	snprintf(digest, 17, "%016" PRIx64, state);
}

/* --- the list --- */

static void
keep_words(struct history *history, uint64_t below, uint64_t from)
{
	size_t kept = 0;
	for (size_t i = 0; i < history->word_count; i++) {
		const struct word *word = &history->words[i];
		if (word->at.seq >= below && word->at.seq < from)
			history->words[kept++] = *word;
	}
	history->word_count = kept;
}

/* How many positions beyond a seq somebody spoke of; *next is the lowest of them. */
static size_t
positions_after(const struct history *history, uint64_t seq, uint64_t *next)
{
	bool seen[MODEL_ROWS_MAX + 1] = {false};
	size_t count = 0;
	*next = UINT64_MAX;
	for (size_t i = 0; i < history->word_count; i++) {
		const uint64_t at = history->words[i].at.seq;
		if (at <= seq || seen[at])
			continue;
		seen[at] = true;
		count++;
		*next = at < *next ? at : *next;
	}
	return count;
}

static void
forget_word(struct history *history, size_t index)
{
	history->word_count--;
	memmove(&history->words[index], &history->words[index + 1],
		(history->word_count - index) * sizeof(history->words[0]));
}

/* How many of the first words are of a position and a writer. */
static size_t
count_words(const struct history *history, size_t upto, uint64_t seq, size_t writer)
{
	size_t count = 0;
	for (size_t i = 0; i < upto; i++) {
		const struct word *word = &history->words[i];
		count += word->at.seq == seq && word->writer == writer;
	}
	return count;
}

/* Whether the word is new, and has a place: the device's own, or one that is free, or the first of the last
 * ones of those who have most, if these are more than the writer then has. */
static bool
make_place(struct history *history, const struct word *said)
{
	size_t devices = 0, most = 0, last = 0;
	for (size_t i = 0; i < history->word_count; i++) {
		const struct word *word = &history->words[i];
		if (word->at.seq != said->at.seq)
			continue;
		if (word->device == said->device) {
			if (word->writer == said->writer && strcmp(word->digest, said->digest) == 0)
				return false;
			forget_word(history, i);
			return true;
		}
		const size_t nth = count_words(history, i + 1, word->at.seq, word->writer);
		last = nth > most ? i : last;
		most = nth > most ? nth : most;
		devices++;
	}
	if (devices < history->limits.devices)
		return true;
	if (most <= count_words(history, history->word_count, said->at.seq, said->writer) + 1)
		return false;
	history->displaced++;
	forget_word(history, last);
	return true;
}

static struct drift
expect(struct history *history, const struct word *said, uint64_t head)
{
	struct drift drift = {.agree = 1};
	bool is_new = true;
	uint64_t next;
	keep_words(history, 0, head + 1);
	for (size_t i = 0; i < history->word_count; i++) {
		const struct position *at = &history->words[i].at;
		if (at->seq == said->at.seq && !hash_equal(&at->link, &said->at.link)) {
			keep_words(history, 0, at->seq);
			break;
		}
	}
	if (said->at.seq == 0)
		return drift;
	for (size_t i = 0; i < history->word_count; i++)
		is_new = is_new && history->words[i].at.seq != said->at.seq;
	if (is_new && positions_after(history, said->at.seq, &next) >= history->limits.positions)
		return drift;
	const bool has_place = make_place(history, said);
	for (size_t i = 0; i < history->word_count; i++) {
		const struct word *word = &history->words[i];
		if (word->at.seq != said->at.seq || word->device == said->device)
			continue;
		if (strcmp(word->digest, said->digest) == 0)
			drift.agree++;
		else
			drift.differ++;
	}
	if (has_place)
		history->words[history->word_count++] = *said;
	while (positions_after(history, 0, &next) > history->limits.positions)
		keep_words(history, next + 1, UINT64_MAX);
	return drift;
}

/* --- what happens --- */

static void
act(struct phone *phone, size_t device)
{
	static const char *const payloads[] = {"a", "b", "c", "d"};
	if (phone->queued + phone->count >= ROWS_MAX)
		return;
	phone->newest += random_percent(4) ? 0 : 1; /* a stamp that is taken is refused */
	phone->queue[phone->queued++] =
		(struct action){.device = text_of(names[device]),
				.ts = 1 + phone->newest,
				.type = TEXT("t"),
				.payload = text_of(payloads[random_below(4)])};
}

static struct position
position_of(const struct history *history, const struct phone *phone)
{
	return (struct position){.seq = phone->count,
				 .link = phone->count == 0 ? history->model.genesis
							   : phone->rows[phone->count - 1].link};
}

/* The log's rows up to a seq are the phone's; what of its queue is among them leaves it. */
static void
learn(const struct history *history, struct phone *phone, size_t upto)
{
	size_t kept = 0;
	memcpy(phone->rows, history->model.rows, upto * sizeof(phone->rows[0]));
	phone->count = upto;
	for (size_t i = 0; i < phone->queued; i++) {
		const struct action *action = &phone->queue[i];
		if (model_find(&history->model, upto, action->device, action->ts) == 0)
			phone->queue[kept++] = *action;
	}
	phone->queued = kept;
}

/* Back to what both have; what is behind it goes in front of the queue. */
static void
roll_back(const struct history *history, struct phone *phone)
{
	size_t same = 0;
	while (same < phone->count && same < history->model.count &&
	       hash_equal(&phone->rows[same].link, &history->model.rows[same].link))
		same++;
	const size_t lost = phone->count - same;
	memmove(phone->queue + lost, phone->queue, phone->queued * sizeof(phone->queue[0]));
	for (size_t i = 0; i < lost; i++)
		phone->queue[i] = phone->rows[same + i].action;
	phone->queued += lost;
	phone->count = same;
}

static bool
disagree(struct history *history, const char *what, const struct drift *found,
	 const struct drift *wanted)
{
	snprintf(history->difference, sizeof(history->difference),
		 "%s: agree %zu, differ %zu; the list has %zu, %zu", what, found->agree,
		 found->differ, wanted->agree, wanted->differ);
	return false;
}

static bool
report(struct history *history, const struct batch *batch, size_t device)
{
	const uint64_t head = history->group.verdict.head.position.seq;
	const size_t writer = random_below(3) == 0 ? 1 : 0;
	const struct drift_report said = {.device = batch->device,
					  .writer = text_of(subjects[writer]),
					  .link = *batch_link_at(batch, batch->state.seq),
					  .state = batch->state};
	struct word word = {
		.at = {batch->state.seq, said.link}, .device = device, .writer = writer};
	struct drift_finding finding;
	snprintf(word.digest, sizeof(word.digest), "%.*s", (int)batch->state.digest.size,
		 batch->state.digest.data);
	const struct drift wanted = expect(history, &word, head);
	ck_assert(drift_take(&history->log, &history->limits, &said, head, &finding));
	history->reports++;
	history->drifts += finding.drift.differ > 0;
	if (finding.drift.agree != wanted.agree || finding.drift.differ != wanted.differ)
		return disagree(history, "another answer", &finding.drift, &wanted);
	if (finding.drift.differ == 0)
		return true;
	/* Only where the two reducers come to different states of what the log has. */
	char right[17], wrong[17];
	reduce(history->model.rows, history->model.count, NULL, batch->state.seq, false, right);
	reduce(history->model.rows, history->model.count, NULL, batch->state.seq, true, wrong);
	return strcmp(right, wrong) != 0 ||
	       disagree(history, "equal states differ", &finding.drift, &wanted);
}

static bool
sync_phone(struct history *history, size_t device)
{
	struct phone *phone = &history->phones[device];
	struct batch *batch = arena_calloc(&history->arena, 1, sizeof(*batch));
	const size_t most = random_below(GROUP_ACTIONS_MAX) + 1;
	char digest[17];
	ck_assert_ptr_nonnull(batch);
	batch->log = TEXT("log");
	batch->actions = arena_calloc(&history->arena, GROUP_ACTIONS_MAX, sizeof(*batch->actions));
	chain_genesis(batch->log, &batch->genesis);
	batch->base = position_of(history, phone);
	batch->device = text_of(names[device]);
	batch->reject = random_percent(20);
	while (batch->action_count < phone->queued && batch->action_count < most)
		batch_add(batch, &phone->queue[batch->action_count]);
	batch_finish(batch);
	batch->state.seq =
		batch->base.seq + (random_percent(50) ? 0 : random_below(batch->action_count + 1));
	reduce(phone->rows, phone->count, phone->queue, batch->state.seq, phone->is_wrong, digest);
	batch->state.digest = text_of(digest);
	batch->state.app = TEXT("1");
	if (!group_settle(&history->group, batch, 1000)) {
		memcpy(history->difference, history->group.difference, sizeof(history->difference));
		return false;
	}
	const struct verdict *verdict = &history->group.verdict;
	if (verdict->status == STATUS_OK && verdict->state_holds && !report(history, batch, device))
		return false;
	if (random_percent(15)) /* the answer is lost: the same again, another time */
		return true;
	if (verdict->status == STATUS_SERVER_BEHIND || verdict->status == STATUS_HASH_MISMATCH)
		roll_back(history, phone);
	const size_t old = phone->count;
	learn(history, phone,
	      random_percent(70) ? history->model.count
				 : old + random_below(history->model.count - old + 1));
	if (verdict->refused > 0 || phone->queued > ROWS_MAX)
		phone->queued = 0;
	return true;
}

/* The server comes back from a backup; its reports with it, older than the log or newer. */
static void
restore(struct history *history)
{
	history->model.count = random_below(history->model.count + 1);
	history->restores++;
	if (random_percent(50))
		return;
	drift_release(&history->log);
	history->word_count = 0;
}

static bool
run_history(struct history *history, bool equal)
{
	const struct clock_policy clock = {.max_skew_msec = 0};
	const size_t steps = 5 + random_below(25);
	bool same = true;
	model_init(&history->model, TEXT("log"));
	history->phone_count = 2 + random_below(DEVICES_MAX - 1);
	history->limits.positions = 1 + random_below(6);
	history->limits.devices = 2 + random_below(3);
	history->word_count = 0;
	for (size_t i = 0; i < DEVICES_MAX; i++) {
		struct phone *phone = &history->phones[i];
		phone->count = phone->queued = phone->newest = 0;
		phone->is_wrong = !equal && i == 0;
	}
	group_begin(&history->group, &history->model, &clock, &history->arena);
	for (size_t i = 0; i < steps && same; i++) {
		const size_t device = random_below(history->phone_count);
		for (size_t n = random_below(4); n > 0; n--)
			act(&history->phones[device], device);
		if (random_percent(60) || history->group.job_count == GROUP_JOBS_MAX - 1)
			group_begin(&history->group, &history->model, &clock, &history->arena);
		if (random_percent(3)) {
			restore(history);
			group_begin(&history->group, &history->model, &clock, &history->arena);
		}
		same = history->model.count + GROUP_ACTIONS_MAX >= MODEL_ROWS_MAX ||
		       sync_phone(history, device);
	}
	drift_release(&history->log);
	return same;
}

static void
run_histories(bool equal, size_t count)
{
	struct history *history = calloc(1, sizeof(*history));
	ck_assert_ptr_nonnull(history);
	arena_init(&history->arena, (size_t)64 << 20);
	const uint64_t seed = soak_seed() + (equal ? 0 : 1);
	for (size_t i = 0; i < count; i++) {
		random_state = seed * 1000003 + i;
		ck_assert_msg(run_history(history, equal), "seed %" PRIu64 ", history %zu: %s",
			      seed, i, history->difference);
		ck_assert_msg(!equal || history->drifts == 0,
			      "seed %" PRIu64 ", history %zu: equal reducers drift", seed, i);
	}
	printf("# seed %" PRIu64 ": %zu histories of %s reducers, %zu reports, %zu of them differ, "
	       "%zu displaced, %zu restores\n",
	       seed, count, equal ? "equal" : "different", history->reports, history->drifts,
	       history->displaced, history->restores);
	ck_assert(history->displaced > 0 || count < 10000);
	ck_assert_uint_gt(history->reports, count);
	ck_assert(equal || history->drifts > count / 10);
	arena_release(&history->arena);
	free(history);
}

START_TEST(equal_reducers_never_drift_in_random_histories)
{
	run_histories(true, HISTORIES);
}
END_TEST

START_TEST(different_ones_are_told_as_a_list_of_all_that_was_said_tells_it)
{
	run_histories(false, soak_is_long() ? HISTORIES : HISTORIES / 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_drift_histories");
	TCase *tests = tcase_create("histories");

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	tcase_set_timeout(tests, 240);
	tcase_add_test(tests, equal_reducers_never_drift_in_random_histories);
	tcase_add_test(tests, different_ones_are_told_as_a_list_of_all_that_was_said_tells_it);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
