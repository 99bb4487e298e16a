#include "webhook/webhook.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "webhook/outbox.h"
#include "webhook/sender.h"
#include "webhook/signature.h"

#define PAUSE_MSEC_MIN 1000
#define PAUSE_MSEC_MAX 60000
#define RETRY_AFTER_SEC_MAX 600
#define LOGS_FAILED_MAX 8 /* in a row; so many fail for the receiver's sake, and not for theirs */
#define POLL_MSEC_MAX 1000
#define STOP_MSEC 1000
#define BODY_SIZE 512
#define MESSAGE_ID_SIZE 64
#define ID_LINK_DIGITS 32

struct webhook {
	struct webhook_options options; /* its texts are these */
	char *url, *secret_file, *ca_file;
	struct sender *sender;
	pthread_t thread;
	atomic_bool stopping;
	uint64_t stop_msec; /* set before stopping */

	pthread_mutex_t lock; /* for these two */
	struct outbox outbox;
	struct secrets secrets;

	/* The thread's own. */
	uint64_t row;	      /* of failures: a success begins the next */
	unsigned logs_failed; /* in this one */
	unsigned doublings;   /* of all notices' pause */
	bool is_pausing;      /* since a failure in it */
	uint64_t pause_until_msec;
};

/* --- a notice as a message --- */

/* The same for each attempt, and for no other state of any log. */
static struct text
write_id(const struct position *head, char id[MESSAGE_ID_SIZE])
{
	char link[HASH_TEXT_SIZE];
	hash_to_text(&head->link, link);
	const int size = snprintf(id, MESSAGE_ID_SIZE, "%ju-%.*s", (uintmax_t)head->seq,
				  ID_LINK_DIGITS, link);
	CHECK(size > 0 && size < MESSAGE_ID_SIZE);
	return (struct text){id, (size_t)size};
}

/* No character of a log's name needs to be escaped. */
static struct text
write_body(const struct growth *growth, char body[BODY_SIZE])
{
	char link[HASH_TEXT_SIZE];
	hash_to_text(&growth->head.link, link);
	const int size =
		snprintf(body, BODY_SIZE,
			 "{\"log\":\"%.*s\",\"seq\":%ju,\"stateHash\":\"%.*s\","
			 "\"serverTimestamp\":%ju}",
			 (int)growth->log.size, growth->log.data, (uintmax_t)growth->head.seq,
			 HASH_TEXT_SIZE, link, (uintmax_t)clock_server_msec());
	CHECK(size > 0 && size < BODY_SIZE);
	return (struct text){body, (size_t)size};
}

/* Without the lock: signing and beginning to send take longer than a writer should wait. The name does
 * not change while it is being sent. */
static bool
send_notice(struct webhook *webhook, struct notice *notice, const struct growth *growth)
{
	char id[MESSAGE_ID_SIZE], body[BODY_SIZE], signatures[SIGNATURES_SIZE_MAX];
	const struct message message = {.id = write_id(&growth->head, id),
					.timestamp_sec = clock_server_msec() / 1000,
					.signatures = signatures,
					.body = write_body(growth, body),
					.trace = growth->origin.traceparent};
	struct secrets secrets;
	pthread_mutex_lock(&webhook->lock);
	secrets = webhook->secrets;
	pthread_mutex_unlock(&webhook->lock);
	secrets_sign(&secrets, message.id, message.timestamp_sec, message.body, signatures);
	sodium_memzero(&secrets, sizeof(secrets));
	return sender_send(webhook->sender, &message, notice);
}

/* --- the thread --- */

static void
count_dropped(size_t count)
{
	if (count == 0)
		return;
	counter_add(COUNTER_WEBHOOK_DROPPED, count);
	log_limited(LOG_WARN, "webhook", "notices dropped", LOG_U64("count", count));
}

/* A receiver that fails gets one at a time. */
static bool
may_send(const struct webhook *webhook, uint64_t now)
{
	if (webhook->is_pausing)
		return now >= webhook->pause_until_msec && sender_under_way(webhook->sender) == 0;
	return sender_room(webhook->sender) > 0;
}

/* Whether a receiver answers is tried with what it has not failed on before; at the end there is time for
 * that only. */
static struct notice *
take_locked(struct webhook *webhook, uint64_t now)
{
	if (atomic_load(&webhook->stopping))
		return outbox_take_fresh(&webhook->outbox, UINT64_MAX - 1);
	struct notice *notice = NULL;
	if (webhook->is_pausing)
		notice = outbox_take_fresh(&webhook->outbox, now);
	return notice != NULL ? notice : outbox_take(&webhook->outbox, now);
}

/* The first that is due, if any, and what it says now. */
static struct notice *
take(struct webhook *webhook, uint64_t now, struct growth *growth, struct kept_origin *origin)
{
	pthread_mutex_lock(&webhook->lock);
	struct notice *notice = take_locked(webhook, now);
	if (notice != NULL) {
		*origin = notice->origin;
		*growth = (struct growth){.log = {notice->name, notice->size},
					  .head = notice->head,
					  .origin = origin_of(origin)};
	}
	pthread_mutex_unlock(&webhook->lock);
	return notice;
}

static void
send_due(struct webhook *webhook, uint64_t now)
{
	struct growth growth;
	struct kept_origin origin;
	while (may_send(webhook, now)) {
		struct notice *notice = take(webhook, now, &growth, &origin);
		if (notice == NULL)
			break;
		if (send_notice(webhook, notice, &growth))
			continue;
		pthread_mutex_lock(&webhook->lock);
		outbox_failed(&webhook->outbox, notice, now + PAUSE_MSEC_MIN);
		pthread_mutex_unlock(&webhook->lock);
		break;
	}
}

static void
expire(struct webhook *webhook, uint64_t now)
{
	const uint64_t keep_msec = 1000 * webhook->options.keep_sec;
	size_t expired = 0;
	pthread_mutex_lock(&webhook->lock);
	if (now > keep_msec)
		expired = outbox_expire(&webhook->outbox, now - keep_msec);
	pthread_mutex_unlock(&webhook->lock);
	count_dropped(expired);
}

static bool
is_refusal(unsigned status)
{
	return status >= 400 && status < 500 && status != 408 && status != 425 && status != 429;
}

/* After so many failures before this one. A notice that is kept for a short time only gets its attempts,
 * too. */
static uint64_t
pause_msec(const struct webhook *webhook, unsigned failures, uint64_t retry_after_sec)
{
	const uint64_t asked = 1000 * (retry_after_sec < RETRY_AFTER_SEC_MAX ? retry_after_sec
									     : RETRY_AFTER_SEC_MAX);
	const uint64_t quarter_msec = 250 * webhook->options.keep_sec;
	uint64_t pause = (uint64_t)PAUSE_MSEC_MIN << (failures < 6 ? failures : 6);
	if (pause > PAUSE_MSEC_MAX)
		pause = PAUSE_MSEC_MAX;
	if (pause > quarter_msec)
		pause = quarter_msec;
	pause = pause / 2 + randombytes_uniform((uint32_t)(pause / 2) + 1);
	return pause < asked ? asked : pause;
}

/* A POST is tried after a short pause, for all logs but those that failed may be well. Only where more of
 * them fail, and without an answer, are there fewer and fewer. A log that failed in this row already does not
 * make pauses longer, nor does what was under way when this one began. */
static void
pause_all(struct webhook *webhook, const struct post_outcome *outcome, bool is_known, uint64_t now)
{
	const bool is_dead = outcome->status == 0 && webhook->logs_failed > LOGS_FAILED_MAX;
	if (now < webhook->pause_until_msec)
		return;
	if (is_dead && !is_known)
		webhook->doublings++;
	const uint64_t pause =
		pause_msec(webhook, is_dead ? webhook->doublings : 0, outcome->retry_after_sec);
	webhook->is_pausing = true;
	webhook->pause_until_msec = now + pause;
	log_limited(LOG_WARN, "webhook", "the receiver fails", LOG_U64("status", outcome->status),
		    LOG_U64("logs", webhook->logs_failed), LOG_U64("pause_ms", pause));
}

/* Which notice a line is about: its log, and the newest request that it would have told of. */
#define LOG_NOTICE(notice, origin)                                                                 \
	LOG_TEXT("log", ((struct text){(notice)->name, (notice)->size})), LOG_ORIGIN(origin)

/* A writer may be changing it. */
static struct kept_origin
copy_origin(struct webhook *webhook, const struct notice *notice)
{
	pthread_mutex_lock(&webhook->lock);
	const struct kept_origin origin = notice->origin;
	pthread_mutex_unlock(&webhook->lock);
	return origin;
}

static void
take_failure(struct webhook *webhook, const struct post_outcome *outcome, uint64_t now)
{
	struct notice *notice = outcome->cookie;
	const bool is_known = notice->row == webhook->row;
	const uint64_t pause = pause_msec(webhook, notice->failures, outcome->retry_after_sec);
	const struct kept_origin kept = copy_origin(webhook, notice);
	const struct origin origin = origin_of(&kept);
	log_limited(LOG_WARN, "webhook", "not delivered", LOG_NOTICE(notice, &origin),
		    LOG_U64("status", outcome->status),
		    LOG_STR("problem", outcome->status == 0 ? outcome->error : ""),
		    LOG_U64("failures", notice->failures + 1), LOG_U64("pause_ms", pause));
	webhook->logs_failed += !is_known;
	notice->row = webhook->row;
	pthread_mutex_lock(&webhook->lock);
	outbox_failed(&webhook->outbox, notice, now + pause);
	pthread_mutex_unlock(&webhook->lock);
	if (outcome->status == 0 || webhook->logs_failed >= LOGS_FAILED_MAX)
		pause_all(webhook, outcome, is_known, now);
}

/* Delivered, or refused. */
static void
take_success(struct webhook *webhook, const struct post_outcome *outcome, uint64_t now)
{
	pthread_mutex_lock(&webhook->lock);
	outbox_delivered(&webhook->outbox, outcome->cookie, now);
	pthread_mutex_unlock(&webhook->lock);
	if (webhook->is_pausing)
		log_info("webhook", "the receiver answers again",
			 LOG_U64("logs_failed", webhook->logs_failed));
	webhook->row++;
	webhook->logs_failed = 0;
	webhook->doublings = 0;
	webhook->is_pausing = false;
	webhook->pause_until_msec = 0;
}

static void
take_outcome(struct webhook *webhook, const struct post_outcome *outcome, uint64_t now)
{
	const bool delivered = outcome->status >= 200 && outcome->status < 300;
	const bool refused = is_refusal(outcome->status);
	counter_add(delivered ? COUNTER_WEBHOOK_SENT : COUNTER_WEBHOOK_FAILED, 1);
	if (!delivered && !refused) {
		take_failure(webhook, outcome, now);
		return;
	}
	if (refused) {
		const struct notice *notice = outcome->cookie;
		const struct kept_origin kept = copy_origin(webhook, notice);
		const struct origin origin = origin_of(&kept);
		log_limited(LOG_WARN, "webhook", "refused", LOG_NOTICE(notice, &origin),
			    LOG_U64("status", outcome->status));
		count_dropped(1);
	}
	take_success(webhook, outcome, now);
}

static uint64_t
sleep_msec(struct webhook *webhook, uint64_t now)
{
	if (sender_room(webhook->sender) == 0)
		return POLL_MSEC_MAX;
	pthread_mutex_lock(&webhook->lock);
	uint64_t until = outbox_next_msec(&webhook->outbox);
	pthread_mutex_unlock(&webhook->lock);
	if (until < webhook->pause_until_msec)
		until = webhook->pause_until_msec;
	if (until <= now)
		return sender_under_way(webhook->sender) > 0 ? POLL_MSEC_MAX : 0;
	return until - now < POLL_MSEC_MAX ? until - now : POLL_MSEC_MAX;
}

static bool
is_finished(struct webhook *webhook, uint64_t now)
{
	if (!atomic_load(&webhook->stopping))
		return false;
	pthread_mutex_lock(&webhook->lock);
	const bool empty = webhook->outbox.fresh == NULL;
	pthread_mutex_unlock(&webhook->lock);
	return (empty && sender_under_way(webhook->sender) == 0) || webhook->is_pausing ||
	       now >= webhook->stop_msec;
}

static void *
run(void *cookie)
{
	struct webhook *webhook = cookie;
	uint64_t now = clock_monotonic_msec();
	while (!is_finished(webhook, now)) {
		struct post_outcome outcome;
		expire(webhook, now);
		send_due(webhook, now);
		sender_poll(webhook->sender, sleep_msec(webhook, now));
		now = clock_monotonic_msec();
		while (sender_take(webhook->sender, &outcome))
			take_outcome(webhook, &outcome, now);
	}
	return NULL;
}

/* --- the owner's and the writers' --- */

void
webhook_offer(struct webhook *webhook, struct text log, const struct position *head,
	      const struct origin *origin)
{
	const struct growth growth = {.log = log, .head = *head, .origin = *origin};
	const uint64_t now = clock_monotonic_msec();
	pthread_mutex_lock(&webhook->lock);
	const uint64_t before = outbox_next_msec(&webhook->outbox);
	const bool taken = outbox_put(&webhook->outbox, &growth, now);
	const bool first = outbox_next_msec(&webhook->outbox) < before;
	pthread_mutex_unlock(&webhook->lock);
	if (!taken)
		count_dropped(1);
	else if (first)
		sender_wake(webhook->sender);
}

void
webhook_measure(struct webhook *webhook, struct webhook_figures *figures)
{
	pthread_mutex_lock(&webhook->lock);
	*figures = (struct webhook_figures){webhook->outbox.count, webhook->outbox.max};
	pthread_mutex_unlock(&webhook->lock);
}

enum status
webhook_reload(struct webhook *webhook, const char **problem)
{
	struct secrets secrets;
	enum status status = secrets_read(&secrets, webhook->options.secret_file, problem);
	if (status == STATUS_OK) {
		pthread_mutex_lock(&webhook->lock);
		webhook->secrets = secrets;
		pthread_mutex_unlock(&webhook->lock);
		log_info("webhook", "secrets read", LOG_U64("count", secrets.count));
	}
	sodium_memzero(&secrets, sizeof(secrets));
	return status;
}

/* The configuration's own change under a reload, while the thread reads them. */
static bool
copy_options(struct webhook *webhook, const struct webhook_options *options)
{
	webhook->url = strdup(options->url);
	webhook->secret_file = strdup(options->secret_file);
	webhook->ca_file = strdup(options->ca_file);
	webhook->options = *options;
	webhook->options.url = webhook->url;
	webhook->options.secret_file = webhook->secret_file;
	webhook->options.ca_file = webhook->ca_file;
	return webhook->url != NULL && webhook->secret_file != NULL && webhook->ca_file != NULL;
}

/* All but what has its own end. */
static void
release(struct webhook *webhook)
{
	free(webhook->url);
	free(webhook->secret_file);
	free(webhook->ca_file);
	sodium_memzero(webhook, sizeof(*webhook));
	free(webhook);
}

enum status
webhook_new(const struct webhook_options *options, struct webhook **made, const char **problem)
{
	struct webhook *webhook = calloc(1, sizeof(*webhook));
	*problem = "Memory is out.";
	if (webhook == NULL)
		return STATUS_INTERNAL;
	webhook->row = 1;
	if (!copy_options(webhook, options) || pthread_mutex_init(&webhook->lock, NULL) != 0)
		goto release_webhook;
	const struct sender_options sender = {.url = webhook->url,
					      .ca_file = webhook->ca_file,
					      .connections = options->connections,
					      .timeout_sec = options->timeout_sec};
	if (!sender_url_is_valid(options->url, problem) ||
	    webhook_reload(webhook, problem) != STATUS_OK ||
	    outbox_init(&webhook->outbox, options->queue, options->gather_msec) != STATUS_OK)
		goto destroy_lock;
	webhook->sender = sender_new(&sender);
	if (webhook->sender == NULL)
		goto release_outbox;
	if (pthread_create(&webhook->thread, NULL, run, webhook) != 0)
		goto free_sender;
	*made = webhook;
	return STATUS_OK;

free_sender:
	sender_free(webhook->sender);
release_outbox:
	outbox_release(&webhook->outbox);
destroy_lock:
	pthread_mutex_destroy(&webhook->lock);
release_webhook:
	release(webhook);
	return STATUS_INTERNAL;
}

void
webhook_free(struct webhook *webhook)
{
	if (webhook == NULL)
		return;
	webhook->stop_msec = clock_monotonic_msec() + STOP_MSEC;
	atomic_store(&webhook->stopping, true);
	sender_wake(webhook->sender);
	CHECK(pthread_join(webhook->thread, NULL) == 0);
	count_dropped(webhook->outbox.count);
	sender_free(webhook->sender);
	outbox_release(&webhook->outbox);
	pthread_mutex_destroy(&webhook->lock);
	release(webhook);
}

/* A name that is being resolved has one or two, and libcurl a few of its own. */
unsigned
webhook_descriptors(unsigned connections)
{
	return 4 * connections + 8;
}
