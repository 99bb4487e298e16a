/* A method, a target, and the headers Accept, Content-Type and Accept-Encoding, a line each. */
#include "api/route.h"
#include "base/check.h"
#include "fuzz/fuzzer.h"
#include "http/headers.h"

/* The next line; data is NULL when there is none, as for a header that is absent. */
static struct text
next_line(struct text *rest)
{
	if (rest->data == NULL)
		return *rest;
	const char *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
	struct text line = *rest;
	if (end == NULL) {
		*rest = (struct text){NULL, 0};
		return line;
	}
	line.size = (size_t)(end - line.data);
	rest->data += line.size + 1;
	rest->size -= line.size + 1;
	return line;
}

static void
check_route(const struct route *route)
{
	CHECK(route->wait_sec <= 30);
	if (route->target == ROUTE_OPTIONS) {
		CHECK(route->allow != NULL);
	} else if (route->target != ROUTE_INFO) {
		CHECK(log_name_is_valid(route_log(route)));
		CHECK(!route->until.has_seq || route->until.position.seq >= route->after);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text rest = {(const char *)data, size};
	struct route_input input = {.method = next_line(&rest)};
	struct text target = next_line(&rest);
	input.accept = next_line(&rest);
	input.content_type = next_line(&rest);
	(void)headers_accept_gzip(next_line(&rest));
	if (!headers_target_is_sane(target))
		return 0;
	headers_split_target(target, &input.path, &input.query);
	CHECK(input.path.size > 0 && input.path.size + input.query.size <= target.size + 1);
	const struct route_limits limits = {.wait_sec = 30};
	struct route route;
	struct route_fault fault;
	const enum status status = route_read(&input, &limits, &route, &fault);
	if (status == STATUS_OK)
		check_route(&route);
	else
		CHECK(memchr(fault.detail, '\0', sizeof(fault.detail)) != NULL &&
		      fault.detail[0] != '\0');
	return 0;
}
