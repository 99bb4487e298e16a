#include "loadtest/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "loadtest/daemon.h"
#include "loadtest/lane.h"
#include "loadtest/replay.h"
#include "loadtest/run.h"
#include "loadtest/schedule.h"
#include "loadtest/subscriber.h"
#include "loadtest/sync.h"
#include "loadtest/waiter.h"

#define EVENTS_MAX 64

/* Requests that are begun before answers are looked at again. Writing one takes as long as many
 * answers do; what those would wait is not the daemon's. */
#define BEGUN_MAX 8
#define OPENING_MAX 128 /* held lanes that have not sent their request yet */
#define SWEEP_USEC 200000
#define NAP_USEC_MAX 100000
#define TIMER_SLACK_NSEC 1000UL

struct driver {
	struct run run;
	const volatile int *stop;
	struct lane *lanes; /* those that load, then those that are held: waiters, subscribers */
	size_t lane_count;
	size_t opened;
	struct lane **idle; /* the one used last on top: its memory is warm */
	size_t idle_count;
	size_t held_count;
	size_t waiter_count; /* of them; the others are subscribers */
	size_t held_opened;
	uint64_t opening_usec; /* when the first one was */
	struct schedule schedule;
	bool waiting;	     /* a request that is due waits for a connection or a log */
	bool loading;	     /* those that are held are */
	uint64_t begin_usec; /* of the measured part, as planned */
	uint64_t end_usec;
	uint64_t begun; /* measured requests */
	uint64_t swept_usec;
	uint64_t bytes_in; /* before the measured part */
	uint64_t bytes_out;
	struct daemon_usage before;
	double cpu_before;
};

/* --- figures around the measured part --- */

static void
sum_bytes(const struct driver *driver, uint64_t *in, uint64_t *out)
{
	*in = 0;
	*out = 0;
	for (size_t i = 0; i < driver->lane_count + driver->held_count; i++) {
		*in += driver->lanes[i].connection.bytes_in;
		*out += driver->lanes[i].connection.bytes_out;
	}
}

static double
own_cpu_sec(void)
{
	struct timespec used;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void
begin_measuring(struct driver *driver, uint64_t now)
{
	struct run *run = &driver->run;
	pid_t pid = (pid_t)run->plan->pid;
	run->result->has_daemon = pid > 0 && daemon_sample(pid, &driver->before);
	run->first_usec = now;
	run->last_usec = now;
	driver->cpu_before = own_cpu_sec();
	sum_bytes(driver, &driver->bytes_in, &driver->bytes_out);
	for (size_t i = driver->lane_count; i < driver->lane_count + driver->held_count; i++) {
		const struct lane *lane = &driver->lanes[i];
		run->result->waiters_held += lane->work == &waiter_work && lane->state == LANE_SENT;
		run->result->subscribers_held += lane->step == STEP_EVENTS;
	}
}

static void
end_measuring(struct driver *driver)
{
	struct run *run = &driver->run;
	struct result *result = run->result;
	struct daemon_usage after;
	pid_t pid = (pid_t)run->plan->pid;
	if (run->first_usec == 0)
		return;
	sum_bytes(driver, &result->bytes_in, &result->bytes_out);
	result->bytes_in -= driver->bytes_in;
	result->bytes_out -= driver->bytes_out;
	result->load_cpu_sec = own_cpu_sec() - driver->cpu_before;
	result->seconds = (double)(run->last_usec - run->first_usec) / 1e6;
	if (run->plan->mode == MODE_WAIT)
		result->seconds = (double)(clock_monotonic_usec() - run->first_usec) / 1e6;
	result->has_daemon = result->has_daemon && daemon_sample(pid, &after);
	if (!result->has_daemon)
		return;
	daemon_difference(&driver->before, &after, &result->daemon);
	result->daemon_settled = result->daemon;
	if (run->plan->settle_sec > 0 &&
	    daemon_rest(pid, run->plan->settle_sec, &after, &result->settled_sec))
		daemon_difference(&driver->before, &after, &result->daemon_settled);
}

/* --- who sends what when --- */

static struct lane *
take_lane(struct driver *driver)
{
	if (driver->idle_count > 0)
		return driver->idle[--driver->idle_count];
	if (driver->opened < driver->lane_count)
		return &driver->lanes[driver->opened++];
	return NULL;
}

static bool
start(struct driver *driver, struct lane *lane, uint64_t now, uint64_t intended)
{
	const struct plan *plan = driver->run.plan;
	bool measured = intended >= driver->begin_usec;
	if (measured && driver->run.first_usec == 0)
		begin_measuring(driver, now);
	bool started = plan->mode == MODE_REPLAY ? replay_start(lane, measured, intended)
						 : sync_start(lane, measured, intended);
	driver->begun += started && measured;
	return started;
}

static void
end_loading(struct driver *driver)
{
	struct run *run = &driver->run;
	run->ended = true;
	if (run->plan->rate <= 0 || run->plan->requests > 0)
		return;
	for (; schedule_next(&driver->schedule) < driver->end_usec;
	     schedule_pass(&driver->schedule)) {
		if (schedule_next(&driver->schedule) < driver->begin_usec)
			continue;
		run->result->offered++;
		run->result->unsent++;
	}
}

/* Sends what is due and for which there is a connection and a log, at most so many. */
static void
dispatch(struct driver *driver, unsigned most)
{
	struct run *run = &driver->run;
	const struct plan *plan = run->plan;
	bool open_loop = plan->rate > 0;
	if (!driver->loading || plan->mode == MODE_WAIT)
		return;
	for (unsigned begun = 0; begun < most && !run->ended; begun++) {
		uint64_t now = clock_monotonic_usec();
		uint64_t intended = open_loop ? schedule_next(&driver->schedule) : now;
		/* Also when nothing can be sent just now: the rate is that of the time planned. */
		if (open_loop && now >= driver->begin_usec && run->first_usec == 0)
			begin_measuring(driver, now);
		if (now >= driver->end_usec || intended >= driver->end_usec ||
		    (plan->requests > 0 && driver->begun == plan->requests)) {
			end_loading(driver);
			return;
		}
		if (intended > now) {
			driver->waiting = false;
			return;
		}
		struct lane *lane = take_lane(driver);
		bool late = driver->waiting;
		driver->waiting = lane == NULL || !start(driver, lane, now, intended);
		if (driver->waiting) {
			if (lane != NULL)
				driver->idle[driver->idle_count++] = lane;
			return;
		}
		if (!open_loop)
			continue;
		schedule_pass(&driver->schedule);
		driver->waiting = late;
		if (intended >= driver->begin_usec) {
			run->result->offered++;
			run->result->late += late;
		}
	}
}

static void
open_held(struct driver *driver)
{
	size_t opening = 0;
	for (size_t i = 0; i < driver->held_opened; i++) {
		const struct lane *lane = &driver->lanes[driver->lane_count + i];
		bool sent = lane->connection.out_at == lane->connection.out_end;
		opening += lane->state == LANE_PAUSED ||
			   (lane->state == LANE_SENT &&
			    (lane->step == STEP_HEAD || lane->step == STEP_SUBSCRIBE || !sent));
	}
	while (driver->held_opened < driver->held_count && opening < OPENING_MAX) {
		size_t number = driver->held_opened++;
		struct lane *lane = &driver->lanes[driver->lane_count + number];
		if (number < driver->waiter_count)
			waiter_start(lane, (uint32_t)(number % driver->run.plan->users));
		else
			subscriber_start(lane, (uint32_t)(number - driver->waiter_count));
		opening++;
	}
	const struct plan *plan = driver->run.plan;
	uint64_t now = clock_monotonic_usec();
	if (driver->opening_usec == 0)
		driver->opening_usec = now;
	/* A daemon that refuses some of them for good gets the load all the same. */
	if (opening > 0 && (double)(now - driver->opening_usec) < plan->timeout_sec * 1e6)
		return;
	driver->loading = true;
	driver->begin_usec = now + (uint64_t)(plan->warmup_sec * 1e6);
	driver->end_usec = plan->requests > 0
				   ? UINT64_MAX
				   : driver->begin_usec + (uint64_t)(plan->duration_sec * 1e6);
	schedule_init(&driver->schedule, plan, now);
}

/* Waiters have no request that begins or ends the measured part: the clock does. */
static void
mark_time(struct driver *driver, uint64_t now)
{
	if (driver->run.plan->mode != MODE_WAIT || !driver->loading)
		return;
	if (driver->run.first_usec == 0 && now >= driver->begin_usec)
		begin_measuring(driver, now);
	if (now >= driver->end_usec)
		driver->run.ended = true;
}

/* --- the loop --- */

/* What is due by time: pauses that are over, answers that are overdue. */
static void
sweep(struct driver *driver, uint64_t now)
{
	struct run *run = &driver->run;
	for (size_t i = run->paused_count; i > 0; i--) {
		if (i <= run->paused_count && run->paused[i - 1]->until_usec <= now)
			lane_repeat(run->paused[i - 1]);
	}
	if (now - driver->swept_usec < SWEEP_USEC)
		return;
	driver->swept_usec = now;
	for (size_t i = 0; i < driver->lane_count + driver->held_count; i++) {
		struct lane *lane = &driver->lanes[i];
		if (lane->state == LANE_SENT && lane->until_usec < now)
			lane_expire(lane);
	}
}

static uint64_t
nap_usec(const struct driver *driver, uint64_t now)
{
	const struct run *run = &driver->run;
	uint64_t until = now + NAP_USEC_MAX;
	if (driver->loading && !run->ended && run->plan->rate > 0 && !driver->waiting &&
	    schedule_next(&driver->schedule) < until)
		until = schedule_next(&driver->schedule);
	if (driver->loading && !run->ended && driver->end_usec < until)
		until = driver->end_usec;
	for (size_t i = 0; i < run->paused_count; i++)
		until = run->paused[i]->until_usec < until ? run->paused[i]->until_usec : until;
	return until > now ? until - now : 0;
}

static bool
is_held(const struct lane *lane)
{
	return lane->work == &waiter_work || lane->work == &subscriber_work;
}

static void
await_events(struct driver *driver, uint64_t now)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t nap = nap_usec(driver, now);
	struct timespec time = {.tv_sec = (time_t)(nap / 1000000),
				.tv_nsec = (long)(nap % 1000000) * 1000};
	int count = epoll_pwait2(driver->run.epoll, events, EVENTS_MAX, &time, NULL);
	for (int i = 0; i < count; i++) {
		struct lane *lane = events[i].data.ptr;
		bool worked = lane->state == LANE_SENT;
		lane_event(lane, events[i].events);
		if (!worked || lane->state != LANE_IDLE || is_held(lane))
			continue;
		driver->idle[driver->idle_count++] = lane;
		dispatch(driver, 1);
	}
}

static bool
is_done(const struct driver *driver, uint64_t ended_usec, uint64_t now)
{
	const struct run *run = &driver->run;
	if (run->aborted || *driver->stop != 0)
		return true;
	if (!run->ended)
		return false;
	/* A request's time, and as much again for those that have to be repeated. */
	return (driver->idle_count == driver->opened && subscribers_behind(run) == 0) ||
	       now - ended_usec > (uint64_t)(2e6 * run->plan->timeout_sec);
}

static void
loop(struct driver *driver)
{
	uint64_t ended_usec = 0;
	for (;;) {
		uint64_t now = clock_monotonic_usec();
		if (!driver->loading)
			open_held(driver);
		mark_time(driver, now);
		sweep(driver, now);
		dispatch(driver, BEGUN_MAX);
		if (driver->run.ended && ended_usec == 0)
			ended_usec = now;
		if (is_done(driver, ended_usec, now))
			return;
		await_events(driver, now);
	}
}

static enum status
prepare(struct driver *driver)
{
	struct run *run = &driver->run;
	const struct plan *plan = run->plan;
	size_t count = driver->lane_count + driver->held_count;
	driver->lanes = calloc(count, sizeof(*driver->lanes));
	driver->idle = calloc(count, sizeof(struct lane *));
	run->paused = calloc(count, sizeof(struct lane *));
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	run->subscriber_count = plan->subscribers;
	run->subscribers = calloc(plan->subscribers + 1, sizeof(*run->subscribers));
	if (driver->lanes == NULL || driver->idle == NULL || run->paused == NULL ||
	    run->subscribers == NULL)
		return STATUS_INTERNAL;
	for (size_t i = 0; i < count; i++) {
		struct lane *lane = &driver->lanes[i];
		const struct work *work = plan->mode == MODE_REPLAY ? &replay_work : &sync_work;
		connection_init(&lane->connection);
		lane->run = run;
		lane->work = i < driver->lane_count			     ? work
			     : i < driver->lane_count + driver->waiter_count ? &waiter_work
									     : &subscriber_work;
	}
	int size =
		snprintf(run->fields, sizeof(run->fields), "Host: %s\r\n%s%s%s", plan->host,
			 plan->token == NULL ? "" : "Authorization: Bearer ",
			 plan->token == NULL ? "" : plan->token, plan->token == NULL ? "" : "\r\n");
	run->fields_size = (size_t)size;
	return run->epoll == -1 || size < 0 || run->fields_size >= sizeof(run->fields)
		       ? STATUS_INTERNAL
		       : STATUS_OK;
}

static void
release(struct driver *driver)
{
	for (size_t i = 0; driver->lanes != NULL && i < driver->lane_count + driver->held_count;
	     i++)
		connection_release(&driver->lanes[i].connection);
	free(driver->lanes);
	free(driver->idle);
	free(driver->run.paused);
	free(driver->run.subscribers);
	if (driver->run.epoll != -1)
		(void)close(driver->run.epoll);
}

/* Those whose answer did not come are lost, unless the user did not want to wait for it. */
static void
give_up(struct driver *driver)
{
	for (size_t i = 0; i < driver->opened; i++) {
		if (driver->lanes[i].state != LANE_IDLE && *driver->stop == 0)
			run_count_lost(&driver->run, "no answer before the end");
	}
}

enum status
driver_run(const struct plan *plan, const struct driver_target *target, struct users *users,
	   struct result *result)
{
	bool idle_only = plan->mode == MODE_WAIT;
	struct driver driver = {.run = {.plan = plan,
					.users = users,
					.result = result,
					.address = target->address,
					.address_size = target->address_size},
				.stop = target->stop,
				.lane_count = idle_only ? 0 : plan->connections,
				.waiter_count = plan->waiters};
	if (idle_only && plan->waiters == 0 && plan->subscribers == 0)
		driver.waiter_count = plan->connections;
	driver.held_count = driver.waiter_count + plan->subscribers;
	random_init(&driver.run.random, plan->seed, 3);
	/* Naps are short: the kernel must not round them up by more than they take. */
	(void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NSEC, 0, 0, 0);
	enum status status = prepare(&driver);
	if (status == STATUS_OK) {
		loop(&driver);
		give_up(&driver);
		result->subscribers_behind = subscribers_behind(&driver.run);
		end_measuring(&driver);
	} else {
		fprintf(stderr, "edgereplay-load: cannot begin: %s\n", strerror(errno));
	}
	release(&driver);
	return status;
}
