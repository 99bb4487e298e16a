#include "loadtest/audit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loadtest/scan.h"

#define TOLD_MAX 10
#define TRIES 10
#define PAUSE_USEC 300000

struct audit {
	struct pull *pull;
	struct hash *digests; /* of the log's actions, in its order until they are sorted */
	struct hash *stamps;  /* likewise: one hash for device and ts */
	size_t count, capacity;
	unsigned told;
};

/* A log as far as it was read. */
struct walk {
	const struct audit_expected *expected;
	struct position at;
	bool begun, ended;
};

struct audit *
audit_open(const struct pull_source *source)
{
	struct audit *audit = calloc(1, sizeof(*audit));
	if (audit == NULL)
		return NULL;
	audit->pull = pull_open(source);
	if (audit->pull != NULL)
		return audit;
	free(audit);
	return NULL;
}

void
audit_close(struct audit *audit)
{
	if (audit == NULL)
		return;
	pull_close(audit->pull);
	free(audit->digests);
	free(audit->stamps);
	free(audit);
}

/* Always false, so that a check can end with it. */
__attribute__((format(printf, 3, 4))) static bool
tell(struct audit *audit, struct text log, const char *format, ...)
{
	va_list arguments;
	if (audit->told++ >= TOLD_MAX)
		return false;
	fprintf(stderr, "edgereplay-load: audit of %.*s: ", (int)log.size, log.data);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return false;
}

/* --- reading --- */

static bool
grow(struct hash **array, size_t capacity)
{
	struct hash *larger = reallocarray(*array, capacity, sizeof(**array));
	if (larger == NULL)
		return false;
	*array = larger;
	return true;
}

static bool
keep(struct audit *audit, const struct scanned_action *line)
{
	const struct action stamp = {.device = line->action.device, .ts = line->action.ts};
	if (audit->count == audit->capacity) {
		size_t capacity = audit->capacity == 0 ? 1024 : audit->capacity * 2;
		if (!grow(&audit->digests, capacity) || !grow(&audit->stamps, capacity))
			return false;
		audit->capacity = capacity;
	}
	audit->digests[audit->count] = line->digest;
	chain_digest(&stamp, &audit->stamps[audit->count]);
	audit->count++;
	return true;
}

static bool
on_first(struct audit *audit, struct walk *walk, struct scan scan)
{
	struct text name, other;
	struct hash previous;
	uint64_t after = UINT64_MAX;
	bool found = false;
	while (scan_member(&scan, &name)) {
		if (text_equal(name, TEXT("after")))
			scan_u64(&scan, &after);
		else if (text_equal(name, TEXT("prevHash")))
			found = scan_hash(&scan, &previous);
		else
			scan_skip(&scan, &other);
	}
	if (!scan_end(&scan) || after != 0 || !found || !hash_equal(&previous, &walk->at.link))
		return tell(audit, walk->expected->log, "the stream begins wrongly");
	walk->begun = true;
	return true;
}

static bool
on_action(struct audit *audit, struct walk *walk, struct scan scan)
{
	struct scanned_action line;
	if (!scan_action(&scan, &line) || !scan_end(&scan))
		return tell(audit, walk->expected->log, "cannot read the line behind seq %" PRIu64,
			    walk->at.seq);
	if (!walk->begun || line.seq != walk->at.seq + 1)
		return tell(audit, walk->expected->log, "seq %" PRIu64 " behind %" PRIu64, line.seq,
			    walk->at.seq);
	walk->at.seq = line.seq;
	chain_link(&walk->at.link, &line.digest, &walk->at.link);
	return keep(audit, &line) || tell(audit, walk->expected->log, "out of memory");
}

static bool
on_last(struct audit *audit, struct walk *walk, struct scan scan)
{
	struct text name, other;
	struct hash hash;
	uint64_t count = UINT64_MAX, seq = UINT64_MAX;
	bool found = false;
	while (scan_member(&scan, &name)) {
		if (text_equal(name, TEXT("count")))
			scan_u64(&scan, &count);
		else if (text_equal(name, TEXT("seq")))
			scan_u64(&scan, &seq);
		else if (text_equal(name, TEXT("stateHash")))
			found = scan_hash(&scan, &hash);
		else
			scan_skip(&scan, &other);
	}
	if (!scan_end(&scan) || !walk->begun || count != walk->at.seq || seq != walk->at.seq)
		return tell(audit, walk->expected->log,
			    "the stream ends wrongly behind seq %" PRIu64, walk->at.seq);
	if (!found || !hash_equal(&hash, &walk->at.link))
		return tell(audit, walk->expected->log, "the chain does not verify at seq %" PRIu64,
			    seq);
	walk->ended = true;
	return true;
}

/* The first member tells the three kinds of lines apart (protocol 4.2). */
static bool
on_line(struct audit *audit, struct walk *walk, char *data, size_t size)
{
	struct text name;
	struct scan scan = scan_of(data, size), first = scan;
	if (!scan_member(&first, &name))
		name = TEXT("");
	if (text_equal(name, TEXT("seq")))
		return on_action(audit, walk, scan);
	if (text_equal(name, TEXT("after")))
		return on_first(audit, walk, scan);
	if (text_equal(name, TEXT("count")))
		return on_last(audit, walk, scan);
	return tell(audit, walk->expected->log, "behind seq %" PRIu64 ": %.*s", walk->at.seq,
		    size < 1000 ? (int)size : 1000, data);
}

/* A daemon that has just been overloaded may ask for patience. */
static unsigned
begin(struct audit *audit, struct text log)
{
	unsigned status = pull_begin(audit->pull, log);
	for (int i = 1; i < TRIES && (status == 429 || status == 503); i++) {
		usleep(PAUSE_USEC);
		status = pull_begin(audit->pull, log);
	}
	return status;
}

static bool
read_log(struct audit *audit, struct walk *walk)
{
	char *line;
	size_t size;
	const struct text log = walk->expected->log;
	unsigned status = begin(audit, log);
	if (status != 200)
		return tell(audit, log, "cannot be pulled: status %u", status);
	while (pull_line(audit->pull, &line, &size)) {
		if (!on_line(audit, walk, line, size))
			return false;
	}
	return (pull_is_whole(audit->pull) && walk->ended) ||
	       tell(audit, log, "the stream was cut behind seq %" PRIu64, walk->at.seq);
}

/* --- judging --- */

static int
by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, HASH_SIZE);
}

static void
sort(struct hash *hashes, size_t count)
{
	if (count > 1)
		qsort(hashes, count, sizeof(*hashes), by_bytes);
}

static uint64_t
count_doubled(struct audit *audit)
{
	uint64_t doubled = 0;
	sort(audit->stamps, audit->count);
	for (size_t i = 1; i < audit->count; i++)
		doubled += hash_equal(&audit->stamps[i - 1], &audit->stamps[i]);
	return doubled;
}

static uint64_t
count_missing(struct audit *audit, const struct audit_expected *expected)
{
	uint64_t missing = 0;
	if (expected->digests == NULL && expected->head_known)
		return expected->head.seq > audit->count ? expected->head.seq - audit->count : 0;
	if (audit->digests == NULL || expected->digests == NULL)
		return expected->digest_count;
	sort(audit->digests, audit->count);
	for (size_t i = 0; i < expected->digest_count; i++) {
		const struct hash *wanted = &expected->digests[i];
		missing += bsearch(wanted, audit->digests, audit->count, sizeof(*wanted),
				   by_bytes) == NULL;
	}
	return missing;
}

static bool
head_is_right(struct audit *audit, const struct walk *walk)
{
	const struct audit_expected *expected = walk->expected;
	if (!expected->head_known || (expected->head.seq == walk->at.seq &&
				      hash_equal(&expected->head.link, &walk->at.link)))
		return true;
	return tell(audit, expected->log,
		    "the head is at seq %" PRIu64 ", expected at %" PRIu64 "%s", walk->at.seq,
		    expected->head.seq,
		    expected->head.seq == walk->at.seq ? " with another hash" : "");
}

void
audit_log(struct audit *audit, const struct audit_expected *expected, struct audit_result *result)
{
	struct walk walk = {.expected = expected};
	chain_genesis(expected->log, &walk.at.link);
	audit->count = 0;

	bool good = read_log(audit, &walk) && head_is_right(audit, &walk);
	uint64_t doubled = count_doubled(audit);
	uint64_t missing = count_missing(audit, expected);
	if (doubled > 0)
		tell(audit, expected->log, "%" PRIu64 " actions are there twice", doubled);
	if (missing > 0)
		tell(audit, expected->log, "%" PRIu64 " acknowledged actions are missing", missing);
	result->logs++;
	result->actions += audit->count;
	result->doubled += doubled;
	result->missing += missing;
	result->wrong += !good;
}

bool
audit_passed(const struct audit_result *result)
{
	return result->missing == 0 && result->doubled == 0 && result->wrong == 0;
}
