#include "loadtest/chaos_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

#define SLICE_PAUSE_MSEC 1
/* How many steps a direction may go before the other links get their turn. */
#define STEPS_A_TURN 64

enum step { STEP_ON, STEP_WAIT, STEP_END };

void
link_init(struct link *link, int client, int daemon, uint64_t seed, uint64_t number)
{
	link->client = link->request.from = link->answer.to = client;
	link->daemon = link->request.to = link->answer.from = daemon;
	random_init(&link->random, seed, number);
}

/* --- faults --- */

static void
end_after(struct flow *flow, size_t size, enum ending ending)
{
	flow->end = flow->begin + size;
	flow->ending = ending;
}

static void
slice(struct flow *flow, const struct fault *fault, size_t from)
{
	size_t rest = flow->end - flow->begin - from;
	flow->whole = from;
	flow->slices = rest < fault->slices ? (unsigned)rest : fault->slices;
}

/* The exchange's fault meets the first piece of the direction that it is for. */
static void
meet_fault(struct link *link, struct flow *flow)
{
	const struct fault fault = link->fault;
	const size_t size = flow->end - flow->begin;
	const size_t part = (size_t)(fault.where * (double)size);

	link->fault.kind = FAULT_NONE;
	switch (fault.kind) {
	case FAULT_DELAY_REQUEST:
	case FAULT_DELAY_ANSWER:
		flow->hold_until = link->now_msec + fault.delay_msec;
		link->counts->delays++;
		return;
	case FAULT_SLICE_REQUEST:
	case FAULT_SLICE_ANSWER:
		slice(flow, &fault, part);
		link->counts->slices++;
		return;
	case FAULT_CUT_REQUEST:
		end_after(flow, part, ENDING_CLOSE);
		link->counts->cuts++;
		return;
	case FAULT_TRUNCATE_ANSWER:
		end_after(flow, part, ENDING_CLOSE);
		link->counts->truncated++;
		return;
	case FAULT_SWALLOW_ANSWER:
		end_after(flow, 0, ENDING_CLOSE);
		link->counts->swallowed++;
		return;
	case FAULT_RESET_REQUEST:
	case FAULT_RESET_ANSWER:
		end_after(flow, part, ENDING_RESET);
		link->counts->resets++;
		return;
	default:
		CHECK(false);
	}
}

static bool
is_for_request(enum fault_kind kind)
{
	return kind == FAULT_DELAY_REQUEST || kind == FAULT_SLICE_REQUEST ||
	       kind == FAULT_CUT_REQUEST || kind == FAULT_RESET_REQUEST;
}

static void
on_piece(struct link *link, struct flow *flow)
{
	bool is_request = flow == &link->request;
	if (is_request && !link->in_exchange) {
		fault_draw(&link->random, &link->fault);
		link->counts->exchanges++;
	}
	link->in_exchange = is_request;
	if (link->fault.kind != FAULT_NONE && is_for_request(link->fault.kind) == is_request)
		meet_fault(link, flow);
}

/* --- moving bytes --- */

/* A socket that is not connected yet says ENOTCONN or EAGAIN; both mean later. */
static enum step
step_of_errno(void)
{
	return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? STEP_WAIT : STEP_END;
}

static enum step
flow_read(struct link *link, struct flow *flow)
{
	if (flow->at_end)
		return STEP_WAIT;
	ssize_t got = recv(flow->from, flow->piece, sizeof(flow->piece), 0);
	if (got == -1)
		return step_of_errno();
	flow->begin = 0;
	flow->end = (size_t)got;
	if (got > 0) {
		on_piece(link, flow);
		return STEP_ON;
	}
	flow->at_end = true;
	(void)shutdown(flow->to, SHUT_WR);
	return link->request.at_end && link->answer.at_end ? STEP_END : STEP_WAIT;
}

/* How much may go at once. */
static size_t
flow_next_size(const struct flow *flow)
{
	size_t size = flow->end - flow->begin;
	if (flow->slices == 0)
		return size;
	return flow->whole > 0 ? flow->whole : 1;
}

static void
flow_wrote(const struct link *link, struct flow *flow, size_t size)
{
	flow->begin += size;
	if (flow->slices == 0)
		return;
	if (flow->whole > 0)
		flow->whole -= size;
	else
		flow->slices--;
	if (flow->whole == 0)
		flow->hold_until = link->now_msec + SLICE_PAUSE_MSEC;
}

static enum step
flow_step(struct link *link, struct flow *flow)
{
	if (flow->hold_until > link->now_msec)
		return STEP_WAIT;
	flow->hold_until = 0;
	if (flow->begin == flow->end)
		return flow->ending != ENDING_NONE ? STEP_END : flow_read(link, flow);
	ssize_t sent =
		send(flow->to, flow->piece + flow->begin, flow_next_size(flow), MSG_NOSIGNAL);
	if (sent == -1)
		return step_of_errno();
	flow_wrote(link, flow, (size_t)sent);
	return STEP_ON;
}

/* False when the link is over. */
static bool
flow_pump(struct link *link, struct flow *flow)
{
	enum step step = STEP_ON;
	for (int i = 0; step == STEP_ON && i < STEPS_A_TURN; i++)
		step = flow_step(link, flow);
	/* There will be no event for what was not looked at: come back by the clock. */
	if (step == STEP_ON)
		flow->hold_until = link->now_msec;
	return step != STEP_END;
}

bool
link_pump(struct link *link, uint64_t now_msec)
{
	link->now_msec = now_msec;
	return flow_pump(link, &link->request) && flow_pump(link, &link->answer);
}

bool
link_holds(const struct link *link)
{
	return link->request.hold_until > 0 || link->answer.hold_until > 0;
}

static void
reset_on_close(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void
link_close(struct link *link)
{
	if (link->request.ending == ENDING_RESET)
		reset_on_close(link->daemon);
	if (link->answer.ending == ENDING_RESET)
		reset_on_close(link->client);
	close(link->client);
	close(link->daemon);
}
