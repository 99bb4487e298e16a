#include "api/route.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define WAIT_SEC_MAX 30U /* protocol, section 4.2 */

#define VALUE_SIZE_MAX 256 /* of a query parameter, decoded */

__attribute__((format(printf, 3, 4))) static enum status
fail(struct route_fault *fault, enum status status, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, arguments);
	va_end(arguments);
	return status;
}

static bool
take_prefix(struct text *text, struct text prefix)
{
	if (text->size < prefix.size || memcmp(text->data, prefix.data, prefix.size) != 0)
		return false;
	text->data += prefix.size;
	text->size -= prefix.size;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes %XX once. False: an escape is not one, or the result has more than size_max bytes. */
static bool
percent_decode(struct text raw, char *decoded, size_t size_max, size_t *size)
{
	*size = 0;
	for (size_t i = 0; i < raw.size; i++) {
		char c = raw.data[i];
		if (c == '%') {
			if (raw.size - i < 3)
				return false;
			int high = hex_digit(raw.data[i + 1]), low = hex_digit(raw.data[i + 2]);
			if (high == -1 || low == -1)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (*size == size_max)
			return false;
		decoded[(*size)++] = c;
	}
	return true;
}

/* --- the path --- */

/* What there is below /v1/logs/{log}. */
static const struct {
	struct text tail;
	enum route_target target;
} log_routes[] = {
	{{"/sync", 5}, ROUTE_SYNC},
	{{"/actions", 8}, ROUTE_ACTIONS},
	{{"/head", 5}, ROUTE_HEAD},
	{{"/events", 7}, ROUTE_EVENTS},
};

#define LOG_ROUTE_COUNT (sizeof(log_routes) / sizeof(log_routes[0]))

#define SNAPSHOTS "/snapshots/"

/* /snapshots/latest, or a seq. */
static bool
find_snapshot(struct text rest, struct route *route)
{
	route->target = ROUTE_SNAPSHOT_GET;
	if (!take_prefix(&rest, TEXT(SNAPSHOTS)))
		return false;
	route->snapshot = 0;
	return text_equal(rest, TEXT("latest")) ||
	       (text_to_u64(rest, SEQ_MAX, &route->snapshot) && route->snapshot > 0);
}

/* The target; raw is the log's segment, still encoded. False: there is nothing at this path. */
static bool
find_target(struct text path, struct route *route, struct text *raw)
{
	*raw = (struct text){NULL, 0};
	if (text_equal(path, TEXT("/v1/info"))) {
		route->target = ROUTE_INFO;
		return true;
	}
	if (!take_prefix(&path, TEXT("/v1/logs/")))
		return false;
	const char *slash = memchr(path.data, '/', path.size);
	if (!slash || slash == path.data)
		return false;
	*raw = (struct text){path.data, (size_t)(slash - path.data)};
	struct text rest = {slash, path.size - raw->size};
	for (size_t i = 0; i < LOG_ROUTE_COUNT; i++) {
		if (text_equal(rest, log_routes[i].tail)) {
			route->target = log_routes[i].target;
			return true;
		}
	}
	return find_snapshot(rest, route);
}

/* Names every path that there is. */
static enum status
fail_not_found(struct route_fault *fault)
{
	struct buffer paths;
	buffer_init(&paths, sizeof(fault->detail));
	for (size_t i = 0; i < LOG_ROUTE_COUNT; i++)
		buffer_printf(&paths, "/v1/logs/{log}%s, ", log_routes[i].tail.data);
	buffer_printf(&paths,
		      "/v1/logs/{log}" SNAPSHOTS "latest, /v1/logs/{log}" SNAPSHOTS "{seq}, ");
	const enum status status = fail(fault, STATUS_NOT_FOUND, "The paths are %.*s/v1/info.",
					(int)paths.size, paths.size > 0 ? paths.data : "");
	buffer_release(&paths);
	return status;
}

static enum status
check_method(struct text method, struct route *route, struct route_fault *fault)
{
	bool reads = text_equal(method, TEXT("GET")) || text_equal(method, TEXT("HEAD"));
	bool posts = text_equal(method, TEXT("POST"));
	const char *allow = route->target == ROUTE_SYNC ? "POST, OPTIONS"
			    : route->snapshot > 0	? "GET, HEAD, PUT, OPTIONS"
							: "GET, HEAD, OPTIONS";
	if (text_equal(method, TEXT("OPTIONS"))) {
		route->target = ROUTE_OPTIONS;
		route->allow = allow;
		return STATUS_OK;
	}
	if (route->target == ROUTE_SYNC ? posts : reads)
		return STATUS_OK;
	if (route->snapshot > 0 && text_equal(method, TEXT("PUT"))) {
		route->target = ROUTE_SNAPSHOT_PUT;
		return STATUS_OK;
	}
	fault->allow = allow;
	return fail(fault, STATUS_METHOD_NOT_ALLOWED, "This path takes %s.", allow);
}

static enum status
choose_media(struct text accept, struct route *route, struct route_fault *fault)
{
	const bool ndjson = route->target == ROUTE_ACTIONS;
	if (route->target == ROUTE_EVENTS) {
		route->media = MEDIA_EVENTS;
		if (!media_accepts_events(accept))
			return fail(fault, STATUS_NOT_ACCEPTABLE,
				    "This path answers with text/event-stream.");
	} else if (!media_choose(accept, ndjson, &route->media)) {
		return fail(fault, STATUS_NOT_ACCEPTABLE,
			    "This path answers with application/json%s.",
			    ndjson ? " or application/x-ndjson" : "");
	}
	return STATUS_OK;
}

static enum status
read_log_name(struct text raw, struct route *route, struct route_fault *fault)
{
	if (!percent_decode(raw, route->log_name, sizeof(route->log_name), &route->log_size) ||
	    !log_name_is_valid(route_log(route))) {
		route->log_size = 0;
		return fail(fault, STATUS_MALFORMED,
			    "The log's name in the path must be 1 to %d of A-Z a-z 0-9 . _ ~ - @ : "
			    "| + = and not dots only, percent-encoded at most once.",
			    LOG_NAME_SIZE_MAX);
	}
	if (route->target != ROUTE_SYNC)
		chain_genesis(route_log(route), &route->genesis);
	return STATUS_OK;
}

/* --- the query --- */

/* until=17, 17:<link>, <link>. A seq has fewer digits than a link. */
static bool
read_until(struct text value, struct until *until)
{
	const char *colon = value.size > 0 ? memchr(value.data, ':', value.size) : NULL;
	struct text seq = value, link = {NULL, 0};
	if (colon) {
		seq.size = (size_t)(colon - value.data);
		link = (struct text){colon + 1, value.size - seq.size - 1};
	} else if (value.size == HASH_TEXT_SIZE) {
		seq.size = 0;
		link = value;
	}
	until->has_seq = seq.size > 0 || colon;
	until->has_link = link.data != NULL;
	return (until->has_seq || until->has_link) &&
	       (!until->has_seq || text_to_u64(seq, SEQ_MAX, &until->position.seq)) &&
	       (!until->has_link || hash_from_text(link, &until->position.link));
}

enum parameter {
	PARAMETER_AFTER,
	PARAMETER_LIMIT,
	PARAMETER_UNTIL,
	PARAMETER_WAIT,
	PARAMETER_META,
	PARAMETER_BEFORE
};

static enum status
read_parameter(enum parameter parameter, struct text value, const struct route_limits *limits,
	       struct route *route, struct route_fault *fault)
{
	uint64_t flag = 0;
	switch (parameter) {
	case PARAMETER_AFTER:
		if (text_to_u64(value, SEQ_MAX, &route->after))
			return STATUS_OK;
		return fail(fault, STATUS_MALFORMED, "after: must be an integer from 0 to %ju.",
			    (uintmax_t)SEQ_MAX);
	case PARAMETER_LIMIT:
		if (text_to_u64(value, SEQ_MAX, &route->limit) && route->limit > 0)
			return STATUS_OK;
		return fail(fault, STATUS_MALFORMED, "limit: must be an integer from 1 to %ju.",
			    (uintmax_t)SEQ_MAX);
	case PARAMETER_UNTIL:
		if (read_until(value, &route->until))
			return STATUS_OK;
		return fail(
			fault, STATUS_MALFORMED,
			"until: must be a seq, a state hash of 64 lower-case hex digits, or both "
			"with a colon between them.");
	case PARAMETER_WAIT:
		/* What the protocol allows and this server does not is no fault of the client's. */
		if (text_to_u64(value, WAIT_SEC_MAX, &route->wait_sec)) {
			if (route->wait_sec > limits->wait_sec)
				route->wait_sec = limits->wait_sec;
			return STATUS_OK;
		}
		return fail(fault, STATUS_MALFORMED, "wait: must be whole seconds from 0 to %u.",
			    WAIT_SEC_MAX);
	case PARAMETER_META:
		if (text_to_u64(value, 1, &flag)) {
			route->meta = flag == 1;
			return STATUS_OK;
		}
		return fail(fault, STATUS_MALFORMED, "meta: must be 0 or 1.");
	case PARAMETER_BEFORE:
		if (text_to_u64(value, SEQ_MAX, &route->before) && route->before > 0)
			return STATUS_OK;
		return fail(fault, STATUS_MALFORMED, "before: must be an integer from 1 to %ju.",
			    (uintmax_t)SEQ_MAX);
	}
	return STATUS_INTERNAL;
}

/* Which parameters a target takes, a bit each. */
static unsigned
known_parameters(const struct route *route)
{
	switch (route->target) {
	case ROUTE_ACTIONS:
		return 1U << PARAMETER_AFTER | 1U << PARAMETER_LIMIT | 1U << PARAMETER_UNTIL |
		       1U << PARAMETER_WAIT | 1U << PARAMETER_META;
	case ROUTE_HEAD:
		return 1U << PARAMETER_WAIT;
	case ROUTE_SNAPSHOT_GET:
		return route->snapshot == 0 ? 1U << PARAMETER_BEFORE : 0;
	default:
		return 0;
	}
}

static enum status
find_parameter(struct text name, unsigned known, enum parameter *parameter,
	       struct route_fault *fault)
{
	static const char *const names[] = {
		[PARAMETER_AFTER] = "after", [PARAMETER_LIMIT] = "limit",
		[PARAMETER_UNTIL] = "until", [PARAMETER_WAIT] = "wait",
		[PARAMETER_META] = "meta",   [PARAMETER_BEFORE] = "before",
	};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (known & 1U << i && text_equal(name, text_of(names[i]))) {
			*parameter = (enum parameter)i;
			return STATUS_OK;
		}
	}
	if (known == 0)
		return fail(fault, STATUS_MALFORMED, "This path takes no query parameters.");
	if (known == 1U << PARAMETER_WAIT)
		return fail(fault, STATUS_MALFORMED, "The only query parameter here is wait.");
	if (known == 1U << PARAMETER_BEFORE)
		return fail(fault, STATUS_MALFORMED, "The only query parameter here is before.");
	return fail(fault, STATUS_MALFORMED,
		    "The query parameters here are after, limit, until, wait and meta.");
}

/* The next name=value of the query. */
static struct text
next_piece(struct text *query)
{
	const char *end = memchr(query->data, '&', query->size);
	struct text piece = *query;
	if (end)
		piece.size = (size_t)(end - query->data);
	size_t taken = piece.size + (end ? 1 : 0);
	query->data += taken;
	query->size -= taken;
	return piece;
}

static enum status
read_query(struct text query, const struct route_limits *limits, struct route *route,
	   struct route_fault *fault)
{
	unsigned known = known_parameters(route), seen = 0;
	if (query.size > 0 && query.data[query.size - 1] == '&')
		return fail(fault, STATUS_MALFORMED, "The query must not end with &.");
	while (query.size > 0) {
		char value[VALUE_SIZE_MAX];
		size_t size = 0;
		enum parameter parameter = PARAMETER_AFTER;
		struct text piece = next_piece(&query);
		const char *equals = piece.size > 0 ? memchr(piece.data, '=', piece.size) : NULL;
		struct text name = piece, raw = {"", 0};
		if (equals) {
			name.size = (size_t)(equals - piece.data);
			raw = (struct text){equals + 1, piece.size - name.size - 1};
		}
		enum status status = find_parameter(name, known, &parameter, fault);
		if (status != STATUS_OK)
			return status;
		if (seen & 1U << parameter)
			return fail(fault, STATUS_MALFORMED, "%.*s: must not be there twice.",
				    (int)name.size, name.data);
		seen |= 1U << parameter;
		if (!percent_decode(raw, value, sizeof(value), &size))
			return fail(fault, STATUS_MALFORMED,
				    "%.*s: its percent-encoding is wrong or it is too long.",
				    (int)name.size, name.data);
		status =
			read_parameter(parameter, (struct text){value, size}, limits, route, fault);
		if (status != STATUS_OK)
			return status;
	}
	if (route->until.has_seq && route->until.position.seq < route->after)
		return fail(fault, STATUS_MALFORMED, "until: must not be before after.");
	return STATUS_OK;
}

struct text
route_log(const struct route *route)
{
	return (struct text){route->log_name, route->log_size};
}

bool
route_is_guarded(const struct route *route)
{
	return route->target != ROUTE_OPTIONS && route->target != ROUTE_INFO;
}

enum status
route_read(const struct route_input *input, const struct route_limits *limits, struct route *route,
	   struct route_fault *fault)
{
	struct text raw;
	memset(route, 0, sizeof(*route));
	memset(fault, 0, sizeof(*fault));
	if (text_equal(input->method, TEXT("OPTIONS")) && text_equal(input->path, TEXT("*"))) {
		route->target = ROUTE_OPTIONS;
		route->allow = "GET, HEAD, POST, PUT, OPTIONS";
		return STATUS_OK;
	}
	if (!find_target(input->path, route, &raw))
		return fail_not_found(fault);
	enum status status = check_method(input->method, route, fault);
	if (status != STATUS_OK || route->target == ROUTE_OPTIONS)
		return status;
	/* Whether it may be seen comes before what else is wrong, and needs its name. */
	const enum status name_status =
		route->target == ROUTE_INFO ? STATUS_OK : read_log_name(raw, route, fault);
	/* A snapshot is sent as what it was given as. */
	if (route->target != ROUTE_SNAPSHOT_GET) {
		status = choose_media(input->accept, route, fault);
		if (status != STATUS_OK)
			return status;
	}
	if (route->target == ROUTE_SYNC && !media_is_json(input->content_type))
		return fail(fault, STATUS_UNSUPPORTED_MEDIA_TYPE,
			    "The body must be sent with Content-Type: application/json.");
	if (name_status != STATUS_OK)
		return name_status;
	return read_query(input->query, limits, route, fault);
}
