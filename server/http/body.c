#include "http/body.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

/* zlib's windowBits for 32 KiB and a gzip header. */
#define GZIP_WINDOW_BITS (16 + MAX_WBITS)

static bool
reserve(struct body *body, size_t size)
{
	if (!budget_take(body->budget, size))
		return false;
	body->reserved += size;
	return true;
}

void
body_init(struct body *body)
{
	body->budget = NULL;
	body->reserved = 0;
	body->size_max = 0;
	body->received = 0;
	body->received_max = 0;
	body->take = NULL;
	body->taker = NULL;
	body->taken = 0;
	body->data = body->small;
	body->size = 0;
	body->capacity = 0;
	body->gzip = false;
	body->inflating = false;
	body->member_done = false;
	body->small[0] = '\0';
}

/* Moves the data to memory of the given capacity, which is reserved already. */
static bool
move_to(struct body *body, size_t capacity)
{
	if (capacity > BODY_SMALL_SIZE) {
		bool is_small = body->data == body->small;
		char *data = realloc(is_small ? NULL : body->data, capacity + 1);
		if (data == NULL)
			return false;
		if (is_small && body->size > 0)
			memcpy(data, body->small, body->size);
		body->data = data;
	}
	body->capacity = capacity;
	return true;
}

static bool
reserve_capacity(struct body *body, size_t capacity)
{
	return capacity <= body->capacity ||
	       (reserve(body, capacity - body->capacity) && move_to(body, capacity));
}

/* Room for at least one byte more. Doubles; when the budget has no room for that, takes what it
 * needs, but no less than a step: growing byte by byte may copy the whole body for each. */
static enum status
grow(struct body *body, size_t needed)
{
	const size_t room = body->size_max - body->size;
	if (needed > room)
		return STATUS_BODY_TOO_LARGE;
	if (needed < BODY_SMALL_SIZE)
		needed = room < BODY_SMALL_SIZE ? room : BODY_SMALL_SIZE;
	needed += body->size;
	size_t wanted = body->capacity > body->size_max / 2 ? body->size_max : 2 * body->capacity;
	if (wanted < BODY_SMALL_SIZE)
		wanted = body->size_max < BODY_SMALL_SIZE ? body->size_max : BODY_SMALL_SIZE;
	if (wanted > needed && reserve_capacity(body, wanted))
		return STATUS_OK;
	return reserve_capacity(body, needed) ? STATUS_OK : STATUS_BACKPRESSURE;
}

static enum status
begin_gzip(struct body *body)
{
	/* Data that do not compress grow a little, and nothing else may make the input longer than
	 * the output: a stream of empty members has no end otherwise. */
	body->received_max = (uint64_t)body->size_max + body->size_max / 64 + 1024;
	if (!reserve(body, BODY_INFLATE_SIZE))
		return STATUS_BACKPRESSURE;
	memset(&body->inflater, 0, sizeof(body->inflater));
	if (inflateInit2(&body->inflater, GZIP_WINDOW_BITS) != Z_OK)
		return STATUS_BACKPRESSURE;
	body->gzip = true;
	body->inflating = true;
	return STATUS_OK;
}

void
body_pass_on(struct body *body, body_taker *take, void *cookie)
{
	CHECK(body->budget == NULL && take != NULL);
	body->take = take;
	body->taker = cookie;
}

enum status
body_begin(struct body *body, struct budget *budget, size_t size_max, struct text coding,
	   uint64_t length)
{
	CHECK(body->budget == NULL && budget != NULL && size_max < SIZE_MAX / 2);
	body->budget = budget;
	body->size_max = size_max;
	body->received_max = size_max;
	if (coding.size == 4 && strncasecmp(coding.data, "gzip", 4) == 0) {
		enum status status = begin_gzip(body);
		if (status != STATUS_OK)
			return status;
	} else if (coding.size != 0 &&
		   !(coding.size == 8 && strncasecmp(coding.data, "identity", 8) == 0)) {
		return STATUS_UNSUPPORTED_MEDIA_TYPE;
	}
	if (length == BODY_LENGTH_UNKNOWN)
		return STATUS_OK;
	if (length > body->received_max)
		return STATUS_BODY_TOO_LARGE;
	if (!body->gzip && body->take == NULL && !reserve_capacity(body, (size_t)length))
		return STATUS_BACKPRESSURE;
	return STATUS_OK;
}

static enum status
pass_on(struct body *body, const char *data, size_t size)
{
	body->taken += size;
	return size == 0 ? STATUS_OK : body->take(body->taker, data, size);
}

static enum status
write_plain(struct body *body, const char *data, size_t size)
{
	if (body->take != NULL)
		return pass_on(body, data, size); /* received_max bounds it */
	if (size > body->capacity - body->size) {
		enum status status = grow(body, size);
		if (status != STATUS_OK)
			return status;
	}
	memcpy(body->data + body->size, data, size);
	body->size += size;
	return STATUS_OK;
}

/* One call of inflate(). When the room is used up to the limit it goes on into a byte that nobody
 * wants, to tell a body that just fits from one that does not. */
static enum status
inflate_some(struct body *body)
{
	z_stream *inflater = &body->inflater;
	bool full = body->size + body->taken == body->size_max;
	Bytef beyond = 0;
	if (body->take != NULL) {
		const size_t left = body->size_max - (size_t)body->taken;
		body->capacity = left < BODY_SMALL_SIZE ? left : BODY_SMALL_SIZE;
	} else if (!full && body->size == body->capacity) {
		enum status status = grow(body, 1);
		if (status != STATUS_OK)
			return status;
	}
	inflater->next_out = full ? &beyond : (Bytef *)body->data + body->size;
	inflater->avail_out = full ? 1 : (uInt)(body->capacity - body->size);
	uInt room = inflater->avail_out;
	int result = inflate(inflater, Z_NO_FLUSH);
	uInt made = room - inflater->avail_out;
	if (full && made > 0)
		return STATUS_BODY_TOO_LARGE;
	const enum status status = body->take == NULL ? STATUS_OK : pass_on(body, body->data, made);
	if (status != STATUS_OK)
		return status;
	body->size += body->take == NULL ? made : 0;
	if (result == Z_STREAM_END) {
		body->member_done = true;
		return STATUS_OK;
	}
	if (result == Z_MEM_ERROR)
		return STATUS_BACKPRESSURE;
	/* Z_BUF_ERROR: it needs more input, which is no error here. */
	return result == Z_OK || result == Z_BUF_ERROR ? STATUS_OK : STATUS_MALFORMED;
}

/* RFC 1952, 2.2: a gzip file is a series of members. What follows a member and is none is not ours
 * to ignore. */
static enum status
write_gzip(struct body *body, const char *data, size_t size)
{
	z_stream *inflater = &body->inflater;
	CHECK(size <= UINT32_MAX);
	inflater->next_in = (z_const Bytef *)data;
	inflater->avail_in = (uInt)size;
	bool output_full = false;
	while (inflater->avail_in > 0 || output_full) {
		if (body->member_done) {
			if (inflater->avail_in == 0)
				break;
			if (inflateReset(inflater) != Z_OK)
				return STATUS_MALFORMED;
			body->member_done = false;
		}
		enum status status = inflate_some(body);
		if (status != STATUS_OK)
			return status;
		output_full = inflater->avail_out == 0 && !body->member_done;
	}
	return STATUS_OK;
}

enum status
body_write(struct body *body, const char *data, size_t size)
{
	CHECK(body->budget != NULL);
	if (size > body->received_max - body->received)
		return STATUS_BODY_TOO_LARGE;
	body->received += size;
	return body->gzip ? write_gzip(body, data, size) : write_plain(body, data, size);
}

static void
end_inflate(struct body *body)
{
	if (body->inflating)
		(void)inflateEnd(&body->inflater);
	body->inflating = false;
}

enum status
body_finish(struct body *body)
{
	end_inflate(body);
	if (body->gzip && !body->member_done)
		return STATUS_MALFORMED;
	body->data[body->size] = '\0';
	return STATUS_OK;
}

void
body_release(struct body *body)
{
	end_inflate(body);
	if (body->data != body->small)
		free(body->data);
	if (body->budget != NULL)
		budget_give(body->budget, body->reserved);
	body_init(body);
}
