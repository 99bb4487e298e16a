#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "http/inside.h"

/* The buffer that libmicrohttpd keeps for clients of HTTP/1.0; others use the connection's. */
#define BLOCK_SIZE ((size_t)64 * 1024)
#define LIVE_BLOCK_SIZE ((size_t)1024)

/* The hard bound of one piece; what pull aims at is far below, but one line may hold the largest
 * payload that any configuration allows, 16 MiB, with every byte escaped to six. Memory above
 * KEPT_SIZE is not kept for the next piece. */
#define PIECE_SIZE_MAX ((size_t)100 * 1024 * 1024)
#define KEPT_SIZE ((size_t)256 * 1024)

/* A pull that goes on adding nothing is a bug of the app; it must not hold the thread for ever. */
#define EMPTY_PULLS_MAX 1000

struct stream {
	struct request *request;
	request_pull *pull;
	struct buffer piece;
	size_t sent; /* bytes of the piece that were taken */
	bool ended;  /* pull said that this piece is the last */
	bool failed;
	bool live; /* pull may park; each piece leaves at once */
	bool gzip;
	bool deflated; /* the gzip trailer is out */
	z_stream deflater;
};

struct stream *
stream_new(struct request *request, request_pull *pull, bool gzip)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
		return NULL;
	stream->request = request;
	stream->pull = pull;
	buffer_init(&stream->piece, PIECE_SIZE_MAX);
	stream->gzip = gzip && deflateInit2(&stream->deflater, REPLY_GZIP_LEVEL, Z_DEFLATED,
					    REPLY_GZIP_WINDOW_BITS, REPLY_GZIP_MEMORY_LEVEL,
					    Z_DEFAULT_STRATEGY) == Z_OK;
	return stream;
}

void
stream_make_live(struct stream *stream)
{
	if (stream != NULL)
		stream->live = true;
}

bool
stream_is_live(const struct stream *stream)
{
	return stream != NULL && stream->live;
}

bool
stream_is_gzip(const struct stream *stream)
{
	return stream->gzip;
}

/* Sees to it that there are bytes to take, or that the stream has ended, failed or parked. */
static void
fill(struct stream *stream)
{
	struct buffer *piece = &stream->piece;
	for (unsigned i = 0; stream->sent == piece->size && !stream->ended && !stream->failed &&
			     !stream->request->suspended;
	     i++) {
		if (piece->capacity > KEPT_SIZE)
			buffer_release(piece);
		piece->size = 0;
		stream->sent = 0;
		bool more =
			stream->pull(stream->request->listener->app.cookie, stream->request, piece);
		stream->ended = !more;
		stream->failed = piece->failed || i == EMPTY_PULLS_MAX;
	}
}

static size_t
take_plain(struct stream *stream, char *out, size_t size)
{
	size_t taken = 0;
	while (taken < size && !(stream->live && taken > 0)) {
		fill(stream);
		size_t left = stream->piece.size - stream->sent;
		size_t part = left < size - taken ? left : size - taken;
		if (part == 0 || stream->failed)
			break;
		memcpy(out + taken, stream->piece.data + stream->sent, part);
		stream->sent += part;
		taken += part;
	}
	return taken;
}

static size_t
take_gzip(struct stream *stream, char *out, size_t size)
{
	z_stream *deflater = &stream->deflater;
	deflater->next_out = (Bytef *)out;
	deflater->avail_out = (uInt)size;
	while (deflater->avail_out > 0 && !stream->deflated) {
		fill(stream);
		if (stream->failed)
			break;
		size_t left = stream->piece.size - stream->sent;
		deflater->next_in = (z_const Bytef *)stream->piece.data + stream->sent;
		deflater->avail_in = (uInt)left;
		int result = deflate(deflater, stream->ended ? Z_FINISH : Z_NO_FLUSH);
		stream->sent += left - deflater->avail_in;
		stream->deflated = result == Z_STREAM_END;
		stream->failed = result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR;
	}
	return size - deflater->avail_out;
}

/*
 * libmicrohttpd allows to suspend a connection here, if nothing is given then: so a live stream parks
 * only in a call of its own, after what it had to say was sent. Thousands wait at once, and a piece is
 * small: it is not kept meanwhile.
 */
static bool
is_parked(struct stream *stream)
{
	struct request *request = stream->request;
	if (!request->suspended)
		return false;
	if (atomic_load(&request->parked))
		return true;
	request->suspended = false;
	client_go_on(request->client);
	return false;
}

static ssize_t
on_read(void *cookie, uint64_t position, char *out, size_t size)
{
	struct stream *stream = cookie;
	(void)position;
	stream->request->worker->moved = true;
	if (is_parked(stream))
		return 0;
	if (size > BLOCK_SIZE)
		size = BLOCK_SIZE;
	size_t taken = stream->gzip ? take_gzip(stream, out, size) : take_plain(stream, out, size);
	if (stream->failed)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (stream->request->suspended) {
		buffer_release(&stream->piece);
		stream->sent = 0;
		return 0;
	}
	return taken == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)taken;
}

bool
stream_next(struct stream *stream, struct text *piece, bool *failed)
{
	stream->sent = stream->piece.size;
	fill(stream);
	if (stream->request->suspended)
		buffer_release(&stream->piece);
	*piece = (struct text){stream->piece.data, stream->piece.size};
	stream->sent = stream->piece.size;
	*failed = stream->failed;
	return !stream->ended;
}

struct MHD_Response *
stream_response(struct stream *stream, uint64_t size)
{
	static_assert(STREAM_SIZE_UNKNOWN == MHD_SIZE_UNKNOWN, "one word for it");
	return MHD_create_response_from_callback(size, stream->live ? LIVE_BLOCK_SIZE : BLOCK_SIZE,
						 on_read, stream, NULL);
}

void
stream_free(struct stream *stream)
{
	if (stream == NULL)
		return;
	if (stream->gzip)
		(void)deflateEnd(&stream->deflater);
	buffer_release(&stream->piece);
	free(stream);
}
