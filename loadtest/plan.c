#include "loadtest/plan.h"

#include <assert.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chain/chain.h"

#define COUNT_MAX 1000000000
#define PAYLOAD_MAX (1024 * 1024)
#define DEVICES_MAX 100 /* a name has two digits */

/* One row: an option, where it lives, what it may be. */
struct plan_option {
	const char *name;
	enum plan_kind kind;
	size_t offset;
	const char *initial; /* NULL: stays as zeros */
	double min;
	double max;
	const char *const *choices;
	const char *text;
};

static const char *const mode_names[] = {"sync", "replay", "wait", NULL};
static const char *const arrivals_names[] = {"constant", "poisson", NULL};
static const char *const order_names[] = {"cycle", "random", NULL};

static_assert(sizeof(enum plan_mode) == sizeof(unsigned), "a choice is stored as unsigned");

/* NOLINTBEGIN(bugprone-macro-parentheses): member names one */
#define AT(member) offsetof(struct plan, member)
#define NUMBER(name, member, value, low, high, words)                                              \
	{                                                                                          \
		name, PLAN_NUMBER, AT(member), value, low, high, NULL, words                       \
	}
#define DECIMAL(name, member, value, low, high, words)                                             \
	{                                                                                          \
		name, PLAN_DECIMAL, AT(member), value, low, high, NULL, words                      \
	}
#define SPREAD(name, member, value, low, high, words)                                              \
	{                                                                                          \
		name, PLAN_SPREAD, AT(member), value, low, high, NULL, words                       \
	}
#define STRING(name, member, value, words)                                                         \
	{                                                                                          \
		name, PLAN_TEXT, AT(member), value, 0, 0, NULL, words                              \
	}
#define FLAG(name, member, words)                                                                  \
	{                                                                                          \
		name, PLAN_FLAG, AT(member), NULL, 0, 0, NULL, words                               \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct plan_option options[] = {
	STRING("url", url, "http://127.0.0.1:8080", "Where the daemon listens: http://HOST:PORT."),
	NUMBER("pid", pid, "0", 0, INT32_MAX, "The daemon's process, to see what it uses."),
	{"mode", PLAN_CHOICE, AT(mode), "sync", 0, 0, mode_names,
	 "sync: push and pull. replay: stream whole logs and verify them. wait: idle waiters."},
	NUMBER("connections", connections, "64", 1, 1000000,
	       "Connections: closed loop exactly, open loop at most."),
	DECIMAL("rate", rate, "0", 0, 1e7,
		"Requests a second, whatever the daemon does (open loop); 0: closed loop."),
	{"arrivals", PLAN_CHOICE, AT(arrivals), "constant", 0, 0, arrivals_names,
	 "How the requests of an open loop are spread over time."},
	DECIMAL("duration", duration_sec, "10", 0, 1e6, "Seconds to measure."),
	DECIMAL("warmup", warmup_sec, "2", 0, 1e6, "Seconds before that, not measured."),
	NUMBER("requests", requests, "0", 0, 1e15,
	       "Measure so many requests, however long it takes; 0: the duration decides."),
	NUMBER("users", users, "64", 1, COUNT_MAX, "Logs."),
	NUMBER("first-user", first_user, "0", 0, 1e15, "The number of the first one."),
	STRING("prefix", prefix, "user-", "A log's name is this and its number."),
	FLAG("fresh", fresh, "All logs are empty; otherwise each one's head is asked for first."),
	STRING("heads", heads_path, NULL,
	       "File that hands heads from run to run: read if it is there, written at the end."),
	{"order", PLAN_CHOICE, AT(order), "cycle", 0, 0, order_names, "Which log is next."},
	NUMBER("devices", devices, "1", 1, DEVICES_MAX, "Devices that write to each log."),
	SPREAD("actions", actions, "1", 1, 100000,
	       "Actions in a request: 100, 1..200, or 1:70,10:25,100:5 by weight."),
	SPREAD("payload", payload, "80", 0, PAYLOAD_MAX, "Bytes of an action's payload, likewise."),
	SPREAD("action-bytes", action_bytes, NULL, PLAN_CONTENT_SIZE, PAYLOAD_MAX,
	       "Instead: bytes of its content (8 of ts, 8 of device, 8 of type, payload)."),
	DECIMAL("stale", stale, "0", 0, 1,
		"Share of requests whose base is some actions back, as if others wrote meanwhile."),
	DECIMAL("retries", retries, "0", 0, 0.9, "Share of requests that repeat another one."),
	DECIMAL("pulls", pulls, "0", 0, 1, "Share of requests without actions."),
	FLAG("receipts", receipts,
	     "Ask for a signed receipt each time; what it says is checked, not who signed it."),
	FLAG("states", states,
	     "Say each time what the state at the base is; equal states must never differ."),
	NUMBER("sample", sample, "16", 0, 1000000, "Logs that are pulled and verified at the end."),
	DECIMAL("timeout", timeout_sec, "30", 0.001, 3600, "Seconds for a request."),
	NUMBER("seed", seed, "1", 0, 1e15, "Of everything random."),
	FLAG("honour-retry-after", honour_retry_after,
	     "Repeat a refused request after its time, over the connection that it keeps; "
	     "otherwise "
	     "when the schedule uses that connection again."),
	NUMBER("waiters", waiters, "0", 0, 1000000,
	       "Connections that hold a request for news of a log beside the load."),
	NUMBER("subscribers", subscribers, "0", 0, 1000000,
	       "Connections that hold event streams beside the load, one a log; those beyond "
	       "--users follow logs that nobody writes."),
	NUMBER("chaos", chaos_seed, NULL, 0, 1e15,
	       "Seed of a proxy that delays, cuts and resets; then every log is audited."),
	STRING("token", token, NULL, "Sent as Authorization: Bearer."),
	{"json", PLAN_TEXT, AT(json_path), NULL, 0, 0, NULL,
	 "The result for machines, to standard output or a file (--json=FILE)."},
	STRING("plot", plot_path, NULL, "A picture of the result, as SVG, to this file."),
	DECIMAL("interval", interval_sec, "1", 0.01, 3600, "Seconds of a step of the time series."),
	DECIMAL("settle", settle_sec, "30", 0, 3600,
		"Seconds to wait at most until the daemon has done what is behind its answers."),
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))
static_assert(OPTION_COUNT <= PLAN_OPTIONS_MAX, "values hold every option");

static bool
store_number(const struct plan_option *option, const char *value, void *place)
{
	return text_to_u64(text_of(value), (uint64_t)option->max, place) &&
	       *(uint64_t *)place >= (uint64_t)option->min;
}

static bool
store_decimal(const struct plan_option *option, const char *value, void *place)
{
	char *end;
	double number = strtod(value, &end);
	*(double *)place = number;
	return end != value && *end == '\0' && isfinite(number) && number >= option->min &&
	       number <= option->max;
}

static bool
store_choice(const struct plan_option *option, const char *value, void *place)
{
	for (unsigned i = 0; option->choices[i] != NULL; i++) {
		if (strcmp(option->choices[i], value) == 0) {
			*(unsigned *)place = i;
			return true;
		}
	}
	return false;
}

/* value is NULL for what stands alone. */
static bool
store(const struct plan_option *option, const char *value, struct plan *plan)
{
	void *place = (char *)plan + option->offset;
	if (value == NULL && option->kind != PLAN_FLAG && option->kind != PLAN_TEXT)
		return false;
	switch (option->kind) {
	case PLAN_NUMBER:
		return store_number(option, value, place);
	case PLAN_DECIMAL:
		return store_decimal(option, value, place);
	case PLAN_SPREAD:
		return spread_parse(text_of(value), (uint64_t)option->min, (uint64_t)option->max,
				    place);
	case PLAN_TEXT:
		*(const char **)place = value;
		return true;
	case PLAN_FLAG:
		*(bool *)place = true;
		return value == NULL;
	case PLAN_CHOICE:
		return store_choice(option, value, place);
	}
	return false;
}

static void
print_range(const struct plan_option *option, FILE *out)
{
	switch (option->kind) {
	case PLAN_NUMBER:
	case PLAN_DECIMAL:
	case PLAN_SPREAD:
		fprintf(out, "%.15g..%.15g", option->min, option->max);
		break;
	case PLAN_CHOICE:
		for (size_t i = 0; option->choices[i] != NULL; i++)
			fprintf(out, "%s%s", i == 0 ? "" : " or ", option->choices[i]);
		break;
	case PLAN_TEXT:
		fputs("text", out);
		break;
	case PLAN_FLAG:
		fputs("no value", out);
		break;
	}
}

static const struct plan_option *
find(const char *name, size_t size)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (text_equal(text_of(options[i].name), (struct text){name, size}))
			return &options[i];
	}
	return NULL;
}

/* --json and a flag stand alone, everything else has a value. */
static bool
may_stand_alone(const struct plan_option *option)
{
	return option->kind == PLAN_FLAG || option->offset == AT(json_path);
}

static bool
read_argument(struct plan *plan, struct plan_values *values, const char *argument, FILE *errors)
{
	const char *name = strncmp(argument, "--", 2) == 0 ? argument + 2 : argument;
	const char *equals = strchr(name, '=');
	const char *value = equals == NULL ? NULL : equals + 1;
	const struct plan_option *option =
		find(name, equals == NULL ? strlen(name) : (size_t)(equals - name));
	if (option == NULL || name == argument) {
		fprintf(errors, "%s: unknown; options are --name=value, see --help\n", argument);
		return false;
	}
	if (value == NULL && !may_stand_alone(option)) {
		fprintf(errors, "%s: has no value\n", argument);
		return false;
	}
	if (!store(option, value, plan)) {
		fprintf(errors, "%s: may be ", argument);
		print_range(option, errors);
		putc('\n', errors);
		return false;
	}
	plan->json = plan->json || option->offset == AT(json_path);
	plan->chaos = plan->chaos || option->offset == AT(chaos_seed);
	values->items[option - options].value =
		option->offset == AT(token) ? "***" : (value == NULL ? "true" : value);
	return true;
}

/* Only http, and nothing behind the port: the paths are the protocol's. */
static const char *
split_url(struct plan *plan, char *node, size_t node_size, const char **service)
{
	static const char scheme[] = "http://";
	if (strncmp(plan->url, scheme, strlen(scheme)) != 0)
		return "is not http://HOST:PORT";
	const char *host = plan->url + strlen(scheme);
	size_t size = strcspn(host, "/");
	if (host[size] == '/' && host[size + 1] != '\0')
		return "has a path";
	if (size == 0 || size >= sizeof(plan->host) || size >= node_size)
		return "has no host, or a very long one";
	memcpy(plan->host, host, size);
	memcpy(node, host, size);
	node[size] = '\0';
	char *colon = strrchr(node, ':');
	char *bracket = strrchr(node, ']');
	*service = "80";
	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		*colon = '\0';
		*service = plan->host + (colon - node) + 1;
	}
	return NULL;
}

static bool
resolve(struct plan *plan, FILE *errors)
{
	char room[PLAN_HOST_SIZE] = "";
	char *node = room;
	const char *service = NULL;
	const char *why = split_url(plan, room, sizeof(room), &service);
	uint64_t port;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	if (why == NULL && !text_to_u64(text_of(service), UINT16_MAX, &port))
		why = "has no port from 0 to 65535";
	if (why == NULL) {
		size_t size = strlen(node);
		if (node[0] == '[' && node[size - 1] == ']') {
			node[size - 1] = '\0';
			node++;
		}
		int error = getaddrinfo(node, service, &hints, &found);
		why = error == 0 ? NULL : gai_strerror(error);
	}
	if (why != NULL) {
		fprintf(errors, "--url=%s: %s\n", plan->url, why);
		return false;
	}
	memcpy(&plan->address, found->ai_addr, found->ai_addrlen);
	plan->address_size = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

/* What no option's range can say alone. */
static bool
check_together(struct plan *plan, FILE *errors)
{
	const char *why = NULL;
	struct text prefix = text_of(plan->prefix);
	if (prefix.size > PLAN_PREFIX_SIZE_MAX || (prefix.size > 0 && !log_name_is_valid(prefix) &&
						   strspn(plan->prefix, ".") != prefix.size))
		why = "--prefix: not what a log's name may begin with";
	else if (strchr(plan->prefix, '|') != NULL)
		why = "--prefix: a | would have to be encoded in the path";
	else if (plan->mode == MODE_SYNC && plan->rate <= 0 && plan->connections > plan->users)
		why = "--connections: a log has one request under way at a time, so a closed loop "
		      "needs as many --users";
	else if (plan->stale + plan->retries + plan->pulls > 1)
		why = "--stale, --retries, --pulls: more than all requests";
	else if (plan->requests == 0 && plan->duration_sec <= 0)
		why = "--duration: nothing would be measured";
	else if (plan->mode != MODE_SYNC && plan->rate > 0)
		why = "--rate: only --mode=sync has an open loop";
	else if (plan->mode != MODE_SYNC && plan->chaos)
		why = "--chaos: only --mode=sync goes through it";
	else if (plan->subscribers > 0 && plan->chaos)
		why = "--subscribers: not with --chaos";
	else if (plan->requests > 0 && plan->mode == MODE_WAIT)
		why = "--requests: waiters are held for a --duration";
	if (why != NULL)
		fprintf(errors, "%s\n", why);
	return why == NULL;
}

/* The payload's sizes are what the run uses. */
static void
take_action_bytes(struct plan *plan)
{
	if (plan->action_bytes.count == 0)
		return;
	plan->payload = plan->action_bytes;
	for (size_t i = 0; i < plan->payload.count; i++) {
		plan->payload.choices[i].low -= PLAN_CONTENT_SIZE;
		plan->payload.choices[i].high -= PLAN_CONTENT_SIZE;
	}
}

enum status
plan_read(struct plan *plan, struct plan_values *values, char **argv, FILE *errors)
{
	bool good = true;
	*plan = (struct plan){.chaos = false};
	*values = (struct plan_values){.count = OPTION_COUNT};
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct plan_option *option = &options[i];
		const char *value = option->initial;
		if (value != NULL)
			CHECK(store(option, value, plan));
		else
			value = option->kind == PLAN_FLAG ? "false" : "";
		values->items[i] = (struct plan_value){option->name, value, option->kind};
	}
	for (char **argument = argv + 1; *argument != NULL; argument++)
		good = read_argument(plan, values, *argument, errors) && good;
	if (!good || !check_together(plan, errors) || !resolve(plan, errors))
		return STATUS_MALFORMED;
	take_action_bytes(plan);
	return STATUS_OK;
}

void
plan_print_help(FILE *out)
{
	fputs("usage: edgereplay-load [--name=value]...\n"
	      "\n"
	      "Puts load on an edgereplayd, checks every answer against a chain of its own, and\n"
	      "tells how fast it was and what it cost. Exit code 0: all answers were right. 1: a\n"
	      "wrong answer, a failed audit, an error that the plan does not allow. 2: usage.\n",
	      out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct plan_option *option = &options[i];
		fprintf(out, "\n  --%s", option->name);
		if (option->kind != PLAN_FLAG)
			fprintf(out, "=%s", option->initial == NULL ? "" : option->initial);
		fprintf(out, "\n      %s\n      ", option->text);
		print_range(option, out);
		putc('\n', out);
	}
}
