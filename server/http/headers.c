#include "http/headers.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

static bool
is_name(const char *known, const char *name, size_t size)
{
	return strlen(known) == size && strncasecmp(known, name, size) == 0;
}

/* tchar of RFC 9110, 5.6.2. Most of a name is letters, so they come first. */
static bool
is_token(const char *name, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)name[i];
		bool letter = (unsigned)((c | 0x20) - 'a') < 26;
		if (!letter && c != '-' && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("!#$%&'*+.^_`|~", c) == NULL))
			return false;
	}
	return size > 0;
}

bool
headers_target_is_sane(struct text target)
{
	return target.size > 0 && !text_has_control(target) &&
	       memchr(target.data, ' ', target.size) == NULL &&
	       memchr(target.data, '\t', target.size) == NULL;
}

static bool
begins(struct text text, const char *scheme)
{
	const size_t size = strlen(scheme);
	return text.size >= size && strncasecmp(text.data, scheme, size) == 0;
}

static size_t
authority_size(struct text rest)
{
	size_t size = 0;
	while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?')
		size++;
	return size;
}

void
headers_split_target(struct text target, struct text *path, struct text *query)
{
	const size_t scheme = begins(target, "http://") ? 7 : begins(target, "https://") ? 8 : 0;
	if (scheme > 0) {
		target.data += scheme;
		target.size -= scheme;
		const size_t authority = authority_size(target);
		target.data += authority;
		target.size -= authority;
	}
	const char *question = target.size == 0 ? NULL : memchr(target.data, '?', target.size);
	*query = TEXT("");
	if (question != NULL) {
		const size_t before = (size_t)(question - target.data);
		*query = (struct text){question + 1, target.size - before - 1};
		target.size = before;
	}
	*path = target.size == 0 ? TEXT("/") : target;
}

static void
keep_first(struct text *kept, struct text value)
{
	if (kept->data == NULL)
		*kept = value;
}

/* The two that the app looks at for each request. */
static void
see_for_app(struct headers *headers, struct text *kept, struct text value)
{
	if (kept->data != NULL)
		headers->repeated = true;
	else
		*kept = value;
}

/* libmicrohttpd has refused a length that is no number or too large before anybody is asked. */
static void
see_content_length(struct headers *headers, struct text value)
{
	if (headers->content_length_count++ > 0)
		headers->problem = "There is more than one Content-Length.";
	else if (!text_to_u64(value, UINT64_MAX - 1, &headers->content_length))
		headers->problem = "The Content-Length is not a plain number.";
}

static void
see_transfer_encoding(struct headers *headers, struct text value)
{
	headers->chunked = is_name("chunked", value.data, value.size);
	if (headers->transfer_encoding_count++ > 0)
		headers->problem = "There is more than one Transfer-Encoding.";
	else if (!headers->chunked)
		headers->problem = "The only transfer coding that is understood is chunked.";
}

static void
see_origin(struct headers *headers, struct text value)
{
	if (headers->origin.data != NULL)
		headers->problem = "There is more than one Origin.";
	keep_first(&headers->origin, value);
}

/* More than one is as bad as none (W3C Trace Context, section 3.2). */
static void
see_traceparent(struct headers *headers, struct text value)
{
	headers->traceparent = headers->traceparent.data == NULL ? value : TEXT("");
}

static void
see(struct headers *headers, const char *name, size_t name_size, struct text value)
{
	switch (name_size) {
	case 4:
		if (is_name("Host", name, name_size) && headers->host_count++ > 0)
			headers->problem = "There is more than one Host.";
		break;
	case 6:
		if (is_name("Accept", name, name_size))
			see_for_app(headers, &headers->accept, value);
		else if (is_name("Expect", name, name_size))
			headers->expect_continue = is_name("100-continue", value.data, value.size);
		else if (is_name("Origin", name, name_size))
			see_origin(headers, value);
		break;
	case 11:
		if (is_name("traceparent", name, name_size))
			see_traceparent(headers, value);
		break;
	case 12:
		if (is_name("Content-Type", name, name_size))
			see_for_app(headers, &headers->content_type, value);
		else if (is_name("X-Request-Id", name, name_size))
			keep_first(&headers->request_id, value);
		break;
	case 13:
		if (is_name("Authorization", name, name_size)) {
			keep_first(&headers->authorization, value);
			headers->authorization_count++;
		}
		break;
	case 14:
		if (is_name("Content-Length", name, name_size))
			see_content_length(headers, value);
		else if (is_name("Sec-Fetch-Mode", name, name_size))
			headers->by_browser = true;
		break;
	case 15:
		if (is_name("Accept-Encoding", name, name_size))
			keep_first(&headers->accept_encoding, value);
		break;
	case 16:
		if (is_name("Content-Encoding", name, name_size)) {
			if (headers->content_encoding.data != NULL)
				headers->problem = "There is more than one Content-Encoding.";
			keep_first(&headers->content_encoding, value);
		}
		break;
	case 17:
		if (is_name("Transfer-Encoding", name, name_size))
			see_transfer_encoding(headers, value);
		break;
	case 29:
		if (is_name("Access-Control-Request-Method", name, name_size))
			headers->asks_for_method = true;
		break;
	default:
		break;
	}
}

static enum MHD_Result
on_header(void *cookie, enum MHD_ValueKind kind, const char *name, size_t name_size,
	  const char *value, size_t value_size)
{
	struct headers *headers = cookie;
	const struct text text = {value == NULL ? "" : value, value_size};
	(void)kind;
	/* Of the control characters a bare CR is the worst: it ends a line for some parsers. */
	if (!is_token(name, name_size))
		headers->problem = "A header's name has a character that names do not have.";
	else if (text_has_control(text))
		headers->problem = "A header's value has a control character.";
	else
		see(headers, name, name_size, text);
	return headers->problem == NULL ? MHD_YES : MHD_NO;
}

/* --- the layout --- */

#define KNOWN_VERSION 0x00097500
#define VERSION_SIZE 8 /* HTTP/1.1 */

bool
headers_layout_is_known(void)
{
	return MHD_VERSION == KNOWN_VERSION && strcmp(MHD_get_version(), "0.9.75") == 0;
}

struct layout {
	const char *end; /* of what was seen so far */
	bool plain;
};

/* Whether CR LF, of which two NULs are left, is all between end and next. Pointers are compared as
 * numbers, before anything is read: next may lie elsewhere. */
static bool
is_line_end(const char *end, const char *next)
{
	return (uintptr_t)next == (uintptr_t)end + 2 && end[0] == '\0' && end[1] == '\0';
}

static enum MHD_Result
on_line(void *cookie, enum MHD_ValueKind kind, const char *name, size_t name_size,
	const char *value, size_t value_size)
{
	struct layout *layout = cookie;
	(void)kind;
	layout->plain = value != NULL && is_line_end(layout->end, name) &&
			(uintptr_t)value > (uintptr_t)name + name_size;
	/* Between the colon and the value are spaces and tabs only: that much the library says. */
	layout->end = value + value_size;
	return layout->plain ? MHD_YES : MHD_NO;
}

static bool
layout_is_plain(struct MHD_Connection *connection, const struct headers_place *place)
{
	const union MHD_ConnectionInfo *head =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	struct layout layout = {.end = place->version + VERSION_SIZE, .plain = true};
	const uintptr_t method = (uintptr_t)place->method, target = (uintptr_t)place->target.data;
	if (head == NULL || target != method + strlen(place->method) + 1 ||
	    (uintptr_t)place->version != target + place->target.size + 1)
		return false;
	(void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_line, &layout);
	return layout.plain && (uintptr_t)layout.end + 4 == method + head->header_size &&
	       is_line_end(layout.end, layout.end + 2) &&
	       is_line_end(layout.end + 2, layout.end + 4);
}

const char *
headers_read(struct MHD_Connection *connection, const struct headers_place *place,
	     struct headers *headers)
{
	const char *http_version = place->version;
	memset(headers, 0, sizeof(*headers));
	(void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, headers);
	if (headers->problem != NULL)
		return headers->problem;
	if (headers_layout_is_known() && !layout_is_plain(connection, place))
		return "The head has a NUL, a bare LF, a folded line, a line that begins with its "
		       "colon, or more than one space in its first line.";
	if (headers->host_count == 0 && strcmp(http_version, "HTTP/1.0") != 0)
		return "HTTP/1.1 needs a Host.";
	if (headers->chunked && headers->content_length_count > 0)
		return "There is a Content-Length beside a Transfer-Encoding.";
	if (headers->chunked && strcmp(http_version, "HTTP/1.1") != 0)
		return "A transfer coding needs HTTP/1.1.";
	return NULL;
}

/* Lower-case digits, and not all zero. */
static bool
is_trace_part(struct text part)
{
	bool zero = true;
	for (size_t i = 0; i < part.size; i++) {
		const char c = part.data[i];
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		zero = zero && c == '0';
	}
	return !zero;
}

/* version 00: "00-" trace "-" parent "-" flags; later versions may have more behind a dash. */
struct text
headers_trace(struct text traceparent)
{
	const char *data = traceparent.data;
	uint8_t version, flags;
	if (traceparent.size < 55 || data[2] != '-' || data[35] != '-' || data[52] != '-' ||
	    !hex_decode((struct text){data, 2}, &version, 1) || version == 0xff ||
	    !hex_decode((struct text){data + 53, 2}, &flags, 1) ||
	    (traceparent.size > 55 && (version == 0 || data[55] != '-')) ||
	    !is_trace_part((struct text){data + 3, 32}) ||
	    !is_trace_part((struct text){data + 36, 16}))
		return (struct text){NULL, 0};
	return (struct text){data + 3, 32};
}

/* A weight is zero when it has no digit but zeros: "q=0", "q=0.000". */
static bool
weight_is_zero(struct text parameter)
{
	if (parameter.size < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
		return false;
	for (size_t i = 2; i < parameter.size; i++) {
		if (parameter.data[i] != '0' && parameter.data[i] != '.')
			return false;
	}
	return true;
}

bool
headers_accept_gzip(struct text accept_encoding)
{
	bool by_star = false;
	while (accept_encoding.size > 0) {
		struct text item = text_cut(&accept_encoding, ',');
		struct text coding = text_cut(&item, ';');
		bool allowed = !weight_is_zero(text_cut(&item, ';'));
		if (is_name("gzip", coding.data, coding.size) ||
		    is_name("x-gzip", coding.data, coding.size))
			return allowed;
		if (is_name("*", coding.data, coding.size))
			by_star = allowed;
	}
	return by_star;
}
