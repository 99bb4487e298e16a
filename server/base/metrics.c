#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"

#define CACHE_LINE 64
#define CELLS (sizeof(struct metrics) / sizeof(uint64_t))

/* A struct metrics, cell by cell. Only the thread that has it writes; others read. */
struct block {
	struct block *next;
	atomic_bool taken;
	_Atomic uint64_t cells[CELLS];
};

static _Atomic(struct block *) blocks; /* all there ever were */
static _Thread_local struct block *own;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* its destructor gives the block back */

static const struct metric_row counter_rows[] = {
#define COUNTER_ROW(name, logged, in_family, with_labels, words)                                   \
	[name] = {.family = (in_family), .labels = (with_labels), .help = (words)},
	COUNTER_TABLE(COUNTER_ROW)
#undef COUNTER_ROW
};

static const char *const counter_names[] = {
#define COUNTER_NAME(name, logged, family, labels, help) [name] = (logged),
	COUNTER_TABLE(COUNTER_NAME)
#undef COUNTER_NAME
};

static const struct metric_row histogram_rows[] = {
#define HISTOGRAM_ROW(name, in_family, with_labels, measured, words)                               \
	[name] = {.family = (in_family),                                                           \
		  .labels = (with_labels),                                                         \
		  .help = (words),                                                                 \
		  .measure = (measured)},
	HISTOGRAM_TABLE(HISTOGRAM_ROW)
#undef HISTOGRAM_ROW
};

static const char *const traffic_labels[] = {
#define TRAFFIC_LABEL(name, label) [name] = (label),
	TRAFFIC_TABLE(TRAFFIC_LABEL)
#undef TRAFFIC_LABEL
};

/* Three a decade. */
static const uint64_t bounds[MEASURE_KINDS][BUCKETS] = {
	[MEASURE_TIME] = {10,	  20,	   50,	    100,     200,      500,	  1000,
			  2000,	  5000,	   10000,   20000,   50000,    100000,	  200000,
			  500000, 1000000, 2000000, 5000000, 10000000, UINT64_MAX},
	[MEASURE_COUNT] = {1,	  2,	  5,	  10,	  20,	   50,	      100,
			   200,	  500,	  1000,	  2000,	  5000,	   10000,     20000,
			   50000, 100000, 200000, 500000, 1000000, UINT64_MAX},
};

static const char *const bound_texts[MEASURE_KINDS][BUCKETS] = {
	[MEASURE_TIME] = {"1e-05", "2e-05", "5e-05", "0.0001", "0.0002", "0.0005", "0.001",
			  "0.002", "0.005", "0.01",  "0.02",   "0.05",	 "0.1",	   "0.2",
			  "0.5",   "1.0",   "2.0",   "5.0",    "10.0",	 "+Inf"},
	[MEASURE_COUNT] = {"1.0",      "2.0",	   "5.0",      "10.0",	  "20.0",
			   "50.0",     "100.0",	   "200.0",    "500.0",	  "1000.0",
			   "2000.0",   "5000.0",   "10000.0",  "20000.0", "50000.0",
			   "100000.0", "200000.0", "500000.0", "1e+06",	  "+Inf"},
};

/* --- blocks --- */

static void
give_back(void *block)
{
	own = NULL;
	atomic_store(&((struct block *)block)->taken, false);
}

static void
make_key(void)
{
	CHECK(pthread_key_create(&key, give_back) == 0);
}

/* What the thread before added is seen by the one after. */
static struct block *
take_left(void)
{
	for (struct block *block = atomic_load(&blocks); block != NULL; block = block->next) {
		bool taken = false;
		if (atomic_compare_exchange_strong(&block->taken, &taken, true))
			return block;
	}
	return NULL;
}

static struct block *
take_new(void)
{
	const size_t size = (sizeof(struct block) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	struct block *block = aligned_alloc(CACHE_LINE, size);
	if (block == NULL)
		return NULL;
	for (size_t i = 0; i < CELLS; i++)
		atomic_init(&block->cells[i], 0);
	atomic_init(&block->taken, true);
	block->next = atomic_load(&blocks);
	while (!atomic_compare_exchange_weak(&blocks, &block->next, block))
		;
	return block;
}

__attribute__((noinline, cold)) static struct block *
take_block(void)
{
	CHECK(pthread_once(&once, make_key) == 0);
	struct block *block = take_left();
	if (block == NULL)
		block = take_new();
	if (block != NULL && pthread_setspecific(key, block) != 0) {
		atomic_store(&block->taken, false);
		block = NULL;
	}
	own = block;
	return block;
}

static inline void
add(size_t cell, uint64_t count)
{
	struct block *block = own;
	if (block == NULL)
		block = take_block();
	if (block == NULL)
		return;
	const uint64_t before = atomic_load_explicit(&block->cells[cell], memory_order_relaxed);
	atomic_store_explicit(&block->cells[cell], before + count, memory_order_relaxed);
}

static uint64_t
sum(size_t cell)
{
	uint64_t total = 0;
	for (struct block *block = atomic_load(&blocks); block != NULL; block = block->next)
		total += atomic_load_explicit(&block->cells[cell], memory_order_relaxed);
	return total;
}

#define CELL(member) (offsetof(struct metrics, member) / sizeof(uint64_t))

/* --- counting --- */

void
counter_add(enum counter counter, uint64_t count)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	add(CELL(counters) + counter, count);
}

uint64_t
counter_value(enum counter counter)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	return sum(CELL(counters) + counter);
}

void
request_count(enum traffic traffic, unsigned ending)
{
	CHECK((unsigned)traffic < TRAFFIC_COUNT && ending < ENDING_COUNT);
	add(CELL(requests) + (size_t)traffic * ENDING_COUNT + ending, 1);
}

void
histogram_add(enum histogram histogram, uint64_t value)
{
	CHECK((unsigned)histogram < HISTOGRAM_COUNT);
	const uint64_t *bound = bounds[histogram_rows[histogram].measure];
	size_t bucket = 0;
	while (value > bound[bucket])
		bucket++;
	const size_t first =
		CELL(histograms) + histogram * (sizeof(struct histogram_cells) / sizeof(uint64_t));
	add(first + bucket, 1);
	add(first + BUCKETS, value);
}

void
metrics_read(struct metrics *metrics)
{
	uint64_t *cells = (uint64_t *)metrics;
	for (size_t i = 0; i < CELLS; i++)
		cells[i] = sum(i);
}

/* --- how it is shown --- */

const char *
counter_name(enum counter counter)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	return counter_names[counter];
}

const struct metric_row *
counter_row(enum counter counter)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	return &counter_rows[counter];
}

const struct metric_row *
histogram_row(enum histogram histogram)
{
	CHECK((unsigned)histogram < HISTOGRAM_COUNT);
	return &histogram_rows[histogram];
}

const char *
traffic_label(enum traffic traffic)
{
	CHECK((unsigned)traffic < TRAFFIC_COUNT);
	return traffic_labels[traffic];
}

unsigned
ending_http(unsigned ending)
{
	if (ending < STATUS_COUNT)
		return status_info((enum status)ending)->http;
	return ending == ENDING_NO_CONTENT ? 204 : ending == ENDING_NOT_MODIFIED ? 304 : 0;
}

const char *
ending_code(unsigned ending)
{
	CHECK(ending < ENDING_COUNT);
	if (ending < STATUS_COUNT)
		return status_info((enum status)ending)->code;
	return ending == ENDING_UNANSWERED ? "UNANSWERED" : status_info(STATUS_OK)->code;
}

const char *
bucket_bound(enum measure measure, unsigned bucket)
{
	CHECK((unsigned)measure < MEASURE_KINDS && bucket < BUCKETS);
	return bound_texts[measure][bucket];
}
