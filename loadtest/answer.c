#include "loadtest/answer.h"

#include "chain/receipt.h"
#include "loadtest/scan.h"

static bool
take_position(struct scan *scan, struct text name, struct position *position)
{
	if (text_equal(name, TEXT("seq")))
		return scan_u64(scan, &position->seq);
	return scan_hash(scan, &position->link);
}

static bool
is_position(struct text name)
{
	return text_equal(name, TEXT("seq")) || text_equal(name, TEXT("stateHash"));
}

static uint64_t *
number_of(struct answer *answer, struct text name)
{
	if (text_equal(name, TEXT("applied")))
		return &answer->applied;
	if (text_equal(name, TEXT("duplicates")))
		return &answer->duplicates;
	if (text_equal(name, TEXT("refused")))
		return &answer->refused;
	if (text_equal(name, TEXT("retryAfterMs")))
		return &answer->retry_after_msec;
	return NULL;
}

static void
take_member(struct scan *scan, struct text name, struct answer *answer)
{
	uint64_t *number = number_of(answer, name);
	struct text skipped;
	if (number != NULL)
		(void)scan_u64(scan, number);
	else if (is_position(name))
		(void)take_position(scan, name, &answer->head);
	else if (text_equal(name, TEXT("fastForward")))
		(void)scan_bool(scan, &answer->fast_forward);
	else if (text_equal(name, TEXT("hasMore")))
		(void)scan_bool(scan, &answer->has_more);
	else if (text_equal(name, TEXT("results")))
		(void)scan_skip(scan, &answer->results);
	else if (text_equal(name, TEXT("missed")))
		(void)scan_skip(scan, &answer->missed);
	else if (text_equal(name, TEXT("receipt")))
		(void)scan_text(scan, &answer->receipt);
	else if (text_equal(name, TEXT("drift")))
		(void)scan_skip(scan, &answer->drift);
	else if (text_equal(name, TEXT("code")))
		(void)scan_text(scan, &answer->code);
	else
		(void)scan_skip(scan, &skipped);
}

static bool
read_answer(char *body, size_t size, struct answer *answer)
{
	struct scan scan = scan_of(body, size);
	struct text name;
	/* What is not there is no small number. */
	*answer = (struct answer){
		.applied = UINT64_MAX, .duplicates = UINT64_MAX, .refused = UINT64_MAX};
	while (scan_member(&scan, &name))
		take_member(&scan, name, answer);
	return scan_end(&scan);
}

const char *
answer_problem(char *body, size_t size, struct answer *answer)
{
	return read_answer(body, size, answer) && answer->code.size > 0 ? NULL
									: "not a problem document";
}

/* {"seq": 8} or {"seq": 8, "duplicate": true}; a refusal is none of ours. */
static bool
take_result(struct scan *scan, uint64_t *seq, bool *duplicate)
{
	struct text name;
	*seq = 0;
	*duplicate = false;
	while (scan_member(scan, &name)) {
		if (text_equal(name, TEXT("seq")))
			(void)scan_u64(scan, seq);
		else if (text_equal(name, TEXT("duplicate")))
			(void)scan_bool(scan, duplicate);
		else
			return false;
	}
	return !scan->failed;
}

static const char *
check_results(const struct answer *answer, const struct expectation *expected)
{
	struct scan scan = scan_of((char *)answer->results.data, answer->results.size);
	uint64_t index = 0;
	while (scan_element(&scan)) {
		uint64_t seq;
		bool duplicate;
		if (!take_result(&scan, &seq, &duplicate))
			return "a result is a refusal, or is none";
		if (seq != expected->before.seq + ++index)
			return "a result has another seq";
		if (duplicate != (answer->duplicates > 0))
			return "a result is a duplicate and should not be, or the reverse";
	}
	if (!scan_end(&scan) || index != expected->count)
		return "not a result for each action";
	return NULL;
}

/*
 * Those between the base and the own actions must link the one to the other. Those behind the own
 * ones are only there when a request is repeated after others; their links would need the own
 * digests again, and the head's hash says the same.
 */
static const char *
check_missed(const struct answer *answer, const struct expectation *expected)
{
	struct scan scan = scan_of((char *)answer->missed.data, answer->missed.size);
	struct position at = expected->base;
	struct scanned_action action;
	while (scan_element(&scan)) {
		if (!scan_action(&scan, &action))
			break;
		if (at.seq == expected->before.seq)
			at.seq += expected->count;
		if (action.seq != ++at.seq)
			return "a missed action has another seq";
		if (at.seq > expected->before.seq)
			continue;
		chain_link(&at.link, &action.digest, &at.link);
		if (at.seq == expected->before.seq && !hash_equal(&at.link, &expected->before.link))
			return "the missed actions have another hash";
	}
	if (!scan_end(&scan))
		return "missed is not an array of actions";
	if (at.seq == expected->before.seq)
		at.seq += expected->count;
	if (answer->has_more != (at.seq < expected->head.seq))
		return "missed ends elsewhere than hasMore says";
	return NULL;
}

static const char *
check_counts(const struct answer *answer, const struct expectation *expected)
{
	if (answer->refused != 0)
		return "actions were refused";
	if (answer->applied > expected->count ||
	    answer->duplicates != expected->count - answer->applied)
		return "applied and duplicates are not all actions";
	if (answer->applied > 0 && answer->duplicates > 0)
		return "a batch was applied in part";
	if (answer->applied > 0 && expected->copies == COPIES_SURE)
		return "a repeated action was applied again";
	if (answer->duplicates > 0 && expected->copies == COPIES_NONE)
		return "a new action is said to be a duplicate";
	return NULL;
}

static const char *
check_receipt(const struct answer *answer, const struct expectation *expected)
{
	struct receipt receipt;
	if (!expected->receipt)
		return answer->receipt.data == NULL ? NULL : "a receipt that was not asked for";
	if (receipt_read(answer->receipt, NULL, 0, &receipt) == NOTE_MALFORMED)
		return "no receipt";
	if (receipt.position.seq != answer->head.seq ||
	    !hash_equal(&receipt.position.link, &answer->head.link))
		return "a receipt for another position";
	return NULL;
}

const char *
answer_sync(char *body, size_t size, const struct expectation *expected, struct answer *answer)
{
	const char *why;
	if (!read_answer(body, size, answer))
		return "not the JSON of an answer";
	if (!hash_equal(&answer->head.link, &expected->head.link))
		return "another state hash";
	if (answer->head.seq != expected->head.seq)
		return "another seq";
	why = check_counts(answer, expected);
	if (why == NULL)
		why = check_receipt(answer, expected);
	if (why == NULL && answer->drift.data != NULL)
		why = "states that are equal are said to differ";
	if (why != NULL)
		return why;
	if (answer->fast_forward != hash_equal(&expected->head.link, &expected->claimed))
		return "fastForward is the wrong way round";
	if (answer->fast_forward)
		return answer->results.data == NULL && answer->missed.data == NULL
			       ? NULL
			       : "a fast-forward with results or missed actions";
	why = check_results(answer, expected);
	return why != NULL ? why : check_missed(answer, expected);
}

const char *
answer_head(char *body, size_t size, struct position *head)
{
	struct answer answer;
	if (!read_answer(body, size, &answer))
		return "not the JSON of a head";
	*head = answer.head;
	return NULL;
}

static bool
take_actions(struct scan *scan, struct position *at, uint64_t *newest)
{
	struct scanned_action action;
	while (scan_element(scan)) {
		if (!scan_action(scan, &action) || action.seq != at->seq + 1)
			return false;
		chain_link(&at->link, &action.digest, &at->link);
		at->seq++;
		*newest = action.action.ts;
	}
	return true;
}

const char *
answer_page(char *body, size_t size, struct position *at, uint64_t *newest)
{
	struct scan scan = scan_of(body, size);
	struct position end = {0};
	struct hash previous = {{0}};
	struct position reached = *at;
	struct text name;
	struct text skipped;
	while (scan_member(&scan, &name)) {
		if (text_equal(name, TEXT("prevHash")))
			(void)scan_hash(&scan, &previous);
		else if (text_equal(name, TEXT("actions"))) {
			if (!take_actions(&scan, &reached, newest))
				return "a page's actions are not in order";
		} else if (is_position(name))
			(void)take_position(&scan, name, &end);
		else
			(void)scan_skip(&scan, &skipped);
	}
	if (!scan_end(&scan))
		return "not the JSON of a page";
	if (!hash_equal(&previous, &at->link))
		return "a page goes on from another hash";
	if (end.seq != reached.seq || !hash_equal(&end.link, &reached.link))
		return "a page ends with another hash";
	*at = reached;
	return NULL;
}

const char *
answer_last(char *body, size_t size, uint64_t after, struct position *end, uint64_t *newest)
{
	struct scan scan = scan_of(body, size);
	struct text name;
	struct text skipped;
	*end = (struct position){.seq = after};
	while (scan_member(&scan, &name)) {
		if (text_equal(name, TEXT("prevHash")))
			(void)scan_hash(&scan, &end->link);
		else
			(void)scan_skip(&scan, &skipped);
	}
	return answer_page(body, size, end, newest);
}
