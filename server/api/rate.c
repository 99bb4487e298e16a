#include "api/rate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"

#define SHARE 10 /* what an applied action costs; a duplicate or a refused one costs 1 */
#define USEC_PER_SEC 1000000

struct rate {
	struct buckets *subjects;
	struct buckets *addresses;
};

static const struct {
	const char *name;
	const char *unit; /* RateLimit-Policy's qu; NULL: requests */
	uint64_t share;
	const char *detail;
} kinds[] = {
	[RATE_REQUESTS] =
		{"requests", NULL, 1,
		 "More requests came than this subject may send. Nothing was done; send the "
		 "same again later."},
	[RATE_ACTIONS] = {"actions", "actions", SHARE,
			  "More actions came than this subject may add. Nothing of this batch was "
			  "stored; send the same again later."},
	[RATE_BYTES] = {"bytes", "content-bytes", 1,
			"More was read than this subject may read. Send the same again later."},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static_assert(KINDS == BUCKET_KINDS, "a bucket a kind");

/* --- the policy --- */

static bool
is_limited(const struct rate_policy *policy)
{
	for (size_t kind = 0; kind < KINDS; kind++)
		if (policy->subject[kind].per_sec > 0)
			return true;
	return false;
}

/* "requests";q=400;w=20, … (draft-ietf-httpapi-ratelimit-headers-11, section 3) */
static void
write_policy(struct rate_policy *policy, struct buffer *out)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		const struct bucket_rate *rate = &policy->subject[kind];
		if (rate->per_sec == 0)
			continue;
		buffer_printf(out, "%s\"%s\";q=%ju;w=%ju", out->size > 0 ? ", " : "",
			      kinds[kind].name, (uintmax_t)(rate->burst / kinds[kind].share),
			      (uintmax_t)((rate->burst + rate->per_sec - 1) / rate->per_sec));
		if (kinds[kind].unit != NULL)
			buffer_printf(out, ";qu=\"%s\"", kinds[kind].unit);
	}
}

void
rate_policy_make(struct rate_policy *policy, const struct rate_options *options)
{
	struct buffer text;
	*policy = (struct rate_policy){
		.options = *options,
		.subject = {[RATE_REQUESTS] = {options->requests, options->requests_burst},
			    [RATE_ACTIONS] = {SHARE * options->actions,
					      SHARE * options->actions_burst},
			    [RATE_BYTES] = {options->bytes, options->bytes_burst}},
		.address = {{options->failures, options->failures_burst}}};
	buffer_init(&text, sizeof(policy->text) - 1);
	write_policy(policy, &text);
	if (!text.failed && text.size > 0)
		memcpy(policy->text, text.data, text.size);
	buffer_release(&text);
}

/* --- the tables --- */

struct rate *
rate_new(size_t owners)
{
	struct rate *rate = calloc(1, sizeof(*rate));
	if (rate == NULL)
		return NULL;
	rate->subjects = buckets_new(owners);
	rate->addresses = buckets_new(owners);
	if (rate->subjects == NULL || rate->addresses == NULL) {
		rate_free(rate);
		return NULL;
	}
	return rate;
}

void
rate_free(struct rate *rate)
{
	if (rate == NULL)
		return;
	buckets_free(rate->subjects);
	buckets_free(rate->addresses);
	free(rate);
}

struct rate_payer
rate_payer_of(struct rate *rate, const struct rate_policy *policy, struct text name)
{
	if (!is_limited(policy))
		return (struct rate_payer){0};
	return (struct rate_payer){
		.rate = rate, .policy = policy, .key = buckets_key(rate->subjects, name)};
}

/* --- what is paid --- */

static struct bucket_owner
owner_of(const struct rate_payer *payer, uint64_t now_usec)
{
	return (struct bucket_owner){
		.key = payer->key, .rates = payer->policy->subject, .now_usec = now_usec};
}

static bool
take(struct buckets *buckets, const struct bucket_owner *owner,
     const uint64_t amounts[BUCKET_KINDS], struct rate_refusal *refusal)
{
	unsigned kind = 0;
	const uint64_t wait_usec = buckets_take(buckets, owner, amounts, &kind);
	*refusal = (struct rate_refusal){.kind = (enum rate_kind)kind,
					 .wait_msec = (wait_usec + 999) / 1000};
	return wait_usec == 0;
}

bool
rate_admit(const struct rate_payer *payer, bool is_sync, uint64_t now_usec,
	   struct rate_refusal *refusal)
{
	const uint64_t amounts[BUCKET_KINDS] = {[RATE_REQUESTS] = 1,
						[RATE_ACTIONS] = BUCKET_ANY,
						[RATE_BYTES] = is_sync ? BUCKET_ANY : 0};
	if (payer->rate == NULL)
		return true;
	const struct bucket_owner owner = owner_of(payer, now_usec);
	return take(payer->rate->subjects, &owner, amounts, refusal);
}

/* Keyed, so that nobody can look for a batch that has the mark of another. */
static uint32_t
mark_of(const struct hash *state)
{
	const uint32_t mark = map_hash(state->bytes, sizeof(state->bytes));
	return mark == 0 ? 1 : mark;
}

bool
rate_admit_batch(const struct rate_payer *payer, const struct hash *state, uint64_t now_usec,
		 struct rate_refusal *refusal)
{
	const uint64_t amounts[BUCKET_KINDS] = {
		[RATE_REQUESTS] = BUCKET_ANY, [RATE_ACTIONS] = state == NULL ? BUCKET_ANY : 0};
	if (payer->rate == NULL)
		return true;
	const struct bucket_owner owner = owner_of(payer, now_usec);
	return take(payer->rate->subjects, &owner, amounts, refusal) ||
	       (state != NULL && buckets_has_mark(payer->rate->subjects, &owner, mark_of(state)));
}

void
rate_charge_batch(const struct rate_payer *payer, const struct rate_batch *batch, uint64_t now_usec)
{
	const uint64_t amounts[BUCKET_KINDS] = {[RATE_ACTIONS] =
							SHARE * batch->applied + batch->others};
	if (payer->rate == NULL || amounts[RATE_ACTIONS] == 0)
		return;
	const struct bucket_owner owner = owner_of(payer, now_usec);
	buckets_charge(payer->rate->subjects, &owner, amounts);
	if (batch->state != NULL)
		buckets_mark(payer->rate->subjects, &owner, mark_of(batch->state));
}

bool
rate_charge_bytes(const struct rate_payer *payer, uint64_t bytes, uint64_t now_usec,
		  struct rate_refusal *refusal)
{
	const uint64_t amounts[BUCKET_KINDS] = {[RATE_BYTES] = bytes};
	const uint64_t none[BUCKET_KINDS] = {BUCKET_ANY, BUCKET_ANY, [RATE_BYTES] = 0};
	if (payer->rate == NULL)
		return true;
	const struct bucket_owner owner = owner_of(payer, now_usec);
	buckets_charge(payer->rate->subjects, &owner, amounts);
	return !buckets_is_spent(payer->rate->subjects, &owner, RATE_BYTES) ||
	       take(payer->rate->subjects, &owner, none, refusal);
}

bool
rate_fail(struct rate *rate, const struct rate_policy *policy, struct text address,
	  uint64_t now_usec, struct rate_refusal *refusal)
{
	const uint64_t one[BUCKET_KINDS] = {1};
	const struct bucket_owner owner = {.key = buckets_key(rate->addresses, address),
					   .rates = policy->address,
					   .now_usec = now_usec};
	return take(rate->addresses, &owner, one, refusal);
}

/* --- what is told --- */

static uint64_t
round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit;
}

static void
write_limit(struct buffer *out, enum rate_kind kind, uint64_t left, uint64_t seconds)
{
	if (out->size > 0)
		buffer_append_text(out, TEXT(", "));
	buffer_append_text(out, TEXT("\""));
	buffer_append_text(out, text_of(kinds[kind].name));
	buffer_append_text(out, TEXT("\";r="));
	buffer_append_u64(out, left);
	buffer_append_text(out, TEXT(";t="));
	buffer_append_u64(out, seconds);
}

void
rate_write_state(const struct rate_payer *payer, uint64_t now_usec, struct buffer *out)
{
	struct bucket_level levels[BUCKET_KINDS];
	const struct bucket_owner owner = owner_of(payer, now_usec);
	CHECK(payer->rate != NULL);
	buckets_levels(payer->rate->subjects, &owner, levels);
	for (unsigned kind = 0; kind < KINDS; kind++)
		if (owner.rates[kind].per_sec > 0)
			write_limit(out, (enum rate_kind)kind,
				    levels[kind].left / kinds[kind].share,
				    round_up(levels[kind].full_usec, USEC_PER_SEC));
}

void
rate_write_refusal(const struct rate_refusal *refusal, struct buffer *out)
{
	write_limit(out, refusal->kind, 0, round_up(refusal->wait_msec, 1000));
}

struct text
rate_detail(enum rate_kind kind)
{
	return text_of(kinds[kind].detail);
}
