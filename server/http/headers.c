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
		break;
	case 12:
		if (is_name("Content-Type", name, name_size))
			see_for_app(headers, &headers->content_type, value);
		else if (is_name("X-Request-Id", name, name_size))
			keep_first(&headers->request_id, value);
		break;
	case 14:
		if (is_name("Content-Length", name, name_size))
			see_content_length(headers, value);
		break;
	case 15:
		if (is_name("Accept-Encoding", name, name_size))
			keep_first(&headers->accept_encoding, value);
		break;
	case 16:
		if (is_name("Content-Encoding", name, name_size))
			keep_first(&headers->content_encoding, value);
		break;
	case 17:
		if (is_name("Transfer-Encoding", name, name_size))
			see_transfer_encoding(headers, value);
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

const char *
headers_read(struct MHD_Connection *connection, const char *http_version, struct headers *headers)
{
	memset(headers, 0, sizeof(*headers));
	(void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, headers);
	if (headers->problem != NULL)
		return headers->problem;
	if (headers->host_count == 0 && strcmp(http_version, "HTTP/1.1") == 0)
		return "HTTP/1.1 needs a Host.";
	if (headers->chunked && headers->content_length_count > 0)
		return "There is a Content-Length beside a Transfer-Encoding.";
	if (headers->chunked && strcmp(http_version, "HTTP/1.1") != 0)
		return "A transfer coding needs HTTP/1.1.";
	return NULL;
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
