#include "chain/receipt.h"

#include <assert.h>
#include <sodium.h>

#include "base/check.h"

#define MSEC_MAX TS_MAX
#define LINK_TEXT_SIZE 45 /* base64 with its NUL */

static const char *const FIRST_LINES[] = {
	[RECEIPT_HISTORY] = "edgereplay/1/receipt", [RECEIPT_ERASED] = "edgereplay/1/erased"};
static const char LOGS[] = "/logs/";

static_assert(LINK_TEXT_SIZE ==
		      sodium_base64_ENCODED_LEN(HASH_SIZE, sodium_base64_VARIANT_ORIGINAL),
	      "a link in base64");
static_assert(sizeof("edgereplay/1/receipt") + sizeof(LOGS) + 2 * U64_DIGITS_MAX + LINK_TEXT_SIZE +
			      4 <=
		      128,
	      "what has no bound of its own fits a receipt");

void
receipt_write(const struct receipt *receipt, const struct receipt_signers *signers,
	      struct buffer *note)
{
	const size_t before = note->size;
	char link[LINK_TEXT_SIZE];
	CHECK(signers->count <= RECEIPT_SIGNERS_MAX);
	buffer_append_text(note, text_of(FIRST_LINES[receipt->kind]));
	buffer_append_text(note, TEXT("\n"));
	if (signers->count > 0)
		buffer_append_text(note, note_key_name(&signers->signers[0].key));
	buffer_append_text(note, TEXT(LOGS));
	buffer_append_text(note, receipt->log);
	buffer_append_text(note, TEXT("\n"));
	buffer_append_u64(note, receipt->position.seq);
	buffer_append_text(note, TEXT("\n"));
	sodium_bin2base64(link, sizeof(link), receipt->position.link.bytes, HASH_SIZE,
			  sodium_base64_VARIANT_ORIGINAL);
	buffer_append(note, link, LINK_TEXT_SIZE - 1);
	buffer_append_text(note, TEXT("\n"));
	buffer_append_u64(note, receipt->msec);
	buffer_append_text(note, TEXT("\n"));
	const size_t size = note->size - before;
	if (signers->count > 0)
		buffer_append_text(note, TEXT("\n"));
	for (size_t i = 0; i < signers->count && !note->failed; i++)
		note_sign(&signers->signers[i], (struct text){note->data + before, size}, note);
}

/* The next line without its newline; data is NULL when there is none. */
static struct text
next_line(struct text *rest)
{
	const char *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
	if (end == NULL)
		return (struct text){NULL, 0};
	const struct text line = {rest->data, (size_t)(end - rest->data)};
	*rest = (struct text){end + 1, rest->size - line.size - 1};
	return line;
}

/* <server name>/logs/<log name>: no log's name has a slash. */
static bool
read_origin(struct text line, struct receipt *receipt)
{
	const size_t between = strlen(LOGS);
	const char *slash = line.size > 0 ? memrchr(line.data, '/', line.size) : NULL;
	if (slash == NULL)
		return false;
	const size_t upto = (size_t)(slash - line.data) + 1;
	if (upto < between || memcmp(line.data + upto - between, LOGS, between) != 0)
		return false;
	receipt->server = (struct text){line.data, upto - between};
	receipt->log = (struct text){line.data + upto, line.size - upto};
	return note_name_is_valid(receipt->server) && log_name_is_valid(receipt->log);
}

static bool
read_link(struct text line, struct hash *link)
{
	const char *end = NULL;
	size_t size = 0;
	return line.size == LINK_TEXT_SIZE - 1 &&
	       sodium_base642bin(link->bytes, HASH_SIZE, line.data, line.size, NULL, &size, &end,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       size == HASH_SIZE;
}

static bool
read_kind(struct text line, enum receipt_kind *kind)
{
	*kind = text_equal(line, text_of(FIRST_LINES[RECEIPT_ERASED])) ? RECEIPT_ERASED
								       : RECEIPT_HISTORY;
	return text_equal(line, text_of(FIRST_LINES[*kind]));
}

static bool
read_text(struct text text, struct receipt *receipt)
{
	return read_kind(next_line(&text), &receipt->kind) &&
	       read_origin(next_line(&text), receipt) &&
	       text_to_u64(next_line(&text), SEQ_MAX, &receipt->position.seq) &&
	       read_link(next_line(&text), &receipt->position.link) &&
	       text_to_u64(next_line(&text), MSEC_MAX, &receipt->msec) && text.size == 0;
}

enum note_verdict
receipt_read(struct text note, const struct note_key keys[], size_t count, struct receipt *receipt)
{
	static const struct note_key none;
	enum note_verdict worst = NOTE_UNKNOWN_KEY;
	struct text text;
	if (note_open(note, &none, &text) == NOTE_MALFORMED || !read_text(text, receipt))
		return NOTE_MALFORMED;
	for (size_t i = 0; i < count; i++) {
		if (!text_equal(note_key_name(&keys[i]), receipt->server))
			continue;
		const enum note_verdict verdict = note_open(note, &keys[i], &text);
		if (verdict > worst)
			worst = verdict;
	}
	return worst;
}
