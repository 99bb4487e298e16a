/* Receipts and the signed notes that carry them: bytes for bytes what the Go module's reference
 * implementation makes (the vectors), and nothing of them can be changed. */
#include "chain/receipt.h"

#include <sodium.h>
#include <string.h>
#include <time.h>

#include "support/runner.h"
#include "support/vectors.h"

#define KEYS_MAX RECEIPT_SIGNERS_MAX

struct vector {
	struct receipt receipt;
	struct receipt_signers signers;
	struct note_key keys[KEYS_MAX];
	size_t key_count;
	struct text note;
};

static json_t *vectors;

static void
load(void)
{
	ck_assert_int_ne(sodium_init(), -1);
	vectors = load_vectors();
}

static void
unload(void)
{
	json_decref(vectors);
}

static struct text
element_text(const json_t *object, const char *name, size_t index)
{
	const json_t *value = json_array_get(json_object_get(object, name), index);
	return (struct text){json_string_value(value), json_string_length(value)};
}

static size_t
vector_count(void)
{
	return json_array_size(json_object_get(vectors, "receipts"));
}

static void
read_vector(size_t index, struct vector *vector)
{
	const json_t *object = json_array_get(json_object_get(vectors, "receipts"), index);
	*vector = (struct vector){.note = member_text(object, "receipt")};
	vector->receipt = (struct receipt){.server = member_text(object, "server"),
					   .log = member_text(object, "log"),
					   .position.seq = member_uint(object, "seq"),
					   .msec = member_uint(object, "serverTimestamp")};
	ck_assert(hash_from_text(member_text(object, "link"), &vector->receipt.position.link));
	vector->signers.count = json_array_size(json_object_get(object, "signingKeys"));
	vector->key_count = json_array_size(json_object_get(object, "keys"));
	ck_assert_uint_ge(vector->key_count, 1);
	ck_assert_uint_le(vector->key_count, KEYS_MAX);
	for (size_t i = 0; i < vector->key_count; i++) {
		ck_assert(note_signer_read(element_text(object, "signingKeys", i),
					   &vector->signers.signers[i]));
		ck_assert(note_key_read(element_text(object, "keys", i), &vector->keys[i]));
	}
}

START_TEST(each_vector_is_written_and_read_byte_for_byte)
{
	for (size_t i = 0; i < vector_count(); i++) {
		struct vector vector;
		struct receipt receipt;
		struct buffer note;
		read_vector(i, &vector);
		buffer_init(&note, RECEIPT_SIZE_MAX);
		receipt_write(&vector.receipt, &vector.signers, &note);
		ck_assert(!note.failed);
		ck_assert_msg(text_equal((struct text){note.data, note.size}, vector.note), "%.*s",
			      (int)note.size, note.data);
		buffer_release(&note);
		ck_assert_int_eq(receipt_read(vector.note, vector.keys, vector.key_count, &receipt),
				 NOTE_VERIFIED);
		ck_assert(text_equal(receipt.server, vector.receipt.server));
		ck_assert(text_equal(receipt.log, vector.receipt.log));
		ck_assert_uint_eq(receipt.position.seq, vector.receipt.position.seq);
		ck_assert(hash_equal(&receipt.position.link, &vector.receipt.position.link));
		ck_assert_uint_eq(receipt.msec, vector.receipt.msec);
	}
	ck_assert_uint_ge(vector_count(), 3);
}
END_TEST

START_TEST(keys_are_written_as_they_were_read)
{
	for (size_t i = 0; i < vector_count(); i++) {
		const json_t *object = json_array_get(json_object_get(vectors, "receipts"), i);
		struct vector vector;
		char text[NOTE_KEY_TEXT_MAX];
		read_vector(i, &vector);
		for (size_t k = 0; k < vector.key_count; k++) {
			size_t size = note_key_write(&vector.signers.signers[k].key, text);
			ck_assert(text_equal((struct text){text, size},
					     element_text(object, "keys", k)));
			size = note_signer_write(&vector.signers.signers[k], text);
			ck_assert(text_equal((struct text){text, size},
					     element_text(object, "signingKeys", k)));
		}
	}
}
END_TEST

/* Of each byte each bit: what is left is refused by whoever has the key. */
START_TEST(no_bit_of_a_receipt_can_be_changed)
{
	struct vector vector;
	char copy[RECEIPT_SIZE_MAX];
	size_t count = 0;
	read_vector(0, &vector);
	ck_assert_uint_eq(vector.key_count, 1);
	memcpy(copy, vector.note.data, vector.note.size);
	for (size_t i = 0; i < 8 * vector.note.size; i++) {
		struct receipt receipt;
		copy[i / 8] ^= (char)(1 << i % 8);
		const enum note_verdict verdict = receipt_read(
			(struct text){copy, vector.note.size}, vector.keys, 1, &receipt);
		ck_assert_msg(verdict != NOTE_VERIFIED, "bit %zu of byte %zu", i % 8, i / 8);
		copy[i / 8] ^= (char)(1 << i % 8);
		count++;
	}
	printf("# %zu changed receipts refused\n", count);
}
END_TEST

START_TEST(no_byte_of_a_receipt_can_be_left_out_or_added)
{
	struct vector vector;
	struct receipt receipt;
	char copy[RECEIPT_SIZE_MAX];
	read_vector(0, &vector);
	const size_t size = vector.note.size;
	for (size_t i = 0; i < size; i++) {
		memcpy(copy, vector.note.data, i);
		memcpy(copy + i, vector.note.data + i + 1, size - i - 1);
		ck_assert_int_ne(
			receipt_read((struct text){copy, size - 1}, vector.keys, 1, &receipt),
			NOTE_VERIFIED);
	}
	for (size_t i = 0; i <= size; i++) {
		memcpy(copy, vector.note.data, i);
		copy[i] = '\n';
		memcpy(copy + i + 1, vector.note.data + i, size - i);
		ck_assert_int_ne(
			receipt_read((struct text){copy, size + 1}, vector.keys, 1, &receipt),
			NOTE_VERIFIED);
	}
}
END_TEST

/* The padding leaves four bits over, which must be zero; else a note had sixteen spellings. */
START_TEST(base64_has_one_spelling)
{
	struct vector vector;
	struct receipt receipt;
	char copy[RECEIPT_SIZE_MAX];
	read_vector(0, &vector);
	memcpy(copy, vector.note.data, vector.note.size);
	char *last = copy + vector.note.size - 3;
	ck_assert_int_eq(last[1], '=');
	for (const char *digit =
		     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
	     *digit != '\0'; digit++) {
		if (*digit == vector.note.data[vector.note.size - 3])
			continue;
		*last = *digit;
		ck_assert_int_ne(receipt_read((struct text){copy, vector.note.size}, vector.keys, 1,
					      &receipt),
				 NOTE_VERIFIED);
	}
}
END_TEST

START_TEST(while_keys_change_either_key_verifies)
{
	struct vector vector, other;
	struct receipt receipt;
	read_vector(1, &vector);
	read_vector(0, &other);
	ck_assert_uint_eq(vector.key_count, 2);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(receipt_read(vector.note, &vector.keys[i], 1, &receipt),
				 NOTE_VERIFIED);
	ck_assert_int_eq(receipt_read(vector.note, other.keys, 1, &receipt), NOTE_UNKNOWN_KEY);
	ck_assert_int_eq(receipt_read(vector.note, NULL, 0, &receipt), NOTE_UNKNOWN_KEY);
}
END_TEST

/* Signs any text as if it were a receipt's. */
static struct text
sign(struct buffer *note, const struct note_signer *signer, struct text text)
{
	buffer_init(note, NOTE_SIZE_MAX);
	buffer_append_text(note, text);
	buffer_append_text(note, TEXT("\n"));
	note_sign(signer, text, note);
	ck_assert(!note->failed);
	return (struct text){note->data, note->size};
}

START_TEST(one_forged_line_of_a_known_key_spoils_the_note)
{
	struct vector vector;
	struct receipt receipt;
	struct buffer note;
	read_vector(1, &vector);
	const struct text good = sign(&note, &vector.signers.signers[0], TEXT("another\n"));
	const char *line = (const char *)memmem(good.data, good.size, "\n\n", 2) + 2;
	struct buffer both;
	buffer_init(&both, NOTE_SIZE_MAX);
	buffer_append_text(&both, vector.note);
	buffer_append(&both, line, (size_t)(good.data + good.size - line));
	ck_assert_int_eq(
		receipt_read((struct text){both.data, both.size}, vector.keys, 2, &receipt),
		NOTE_FORGED);
	/* Who does not know that key is not concerned. */
	ck_assert_int_eq(
		receipt_read((struct text){both.data, both.size}, vector.keys + 1, 1, &receipt),
		NOTE_VERIFIED);
	buffer_release(&both);
	buffer_release(&note);
}
END_TEST

#define LINK "WNLGlT+U5JRBVZag1XBWx7l4k21eOoMmrTTRwfrbHFk=\n"
#define ORIGIN "sync.example.com/logs/user-1\n"

/* Well signed, and still no receipt, or none of this server. */
START_TEST(only_the_five_lines_are_a_receipt)
{
	static const struct {
		const char *text;
		enum note_verdict verdict;
	} cases[] = {
		{"edgereplay/1/receipt\n" ORIGIN "3\n" LINK "5\n", NOTE_VERIFIED},
		{"edgereplay/1/receipt\n" ORIGIN "0\n" LINK "0\n", NOTE_VERIFIED},
		{"edgereplay/1/erased\n" ORIGIN "3\n" LINK "5\n", NOTE_VERIFIED},
		{"edgereplay/1/erase\n" ORIGIN "3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/2/receipt\n" ORIGIN "3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt \n" ORIGIN "3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN "03\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN "\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN "9007199254740992\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN "3\n" LINK "\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN "3\n" LINK "5\n6\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN "3\n" LINK, NOTE_MALFORMED},
		{"edgereplay/1/receipt\n" ORIGIN
		 "3\nWNLGlT+U5JRBVZag1XBWx7l4k21eOoMmrTTRwfrbHA==\n5\n",
		 NOTE_MALFORMED},
		{"edgereplay/1/receipt\nsync.example.com/logs/\n3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\nsync.example.com/logs/a b\n3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\nsync.example.com/log/a\n3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\n/logs/user-1\n3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\nuser-1\n3\n" LINK "5\n", NOTE_MALFORMED},
		{"edgereplay/1/receipt\nother.example.com/logs/user-1\n3\n" LINK "5\n",
		 NOTE_UNKNOWN_KEY},
		{"\n", NOTE_MALFORMED},
	};
	struct vector vector;
	read_vector(0, &vector);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct receipt receipt;
		struct buffer buffer;
		const struct text note =
			sign(&buffer, &vector.signers.signers[0], text_of(cases[i].text));
		ck_assert_msg(receipt_read(note, vector.keys, 1, &receipt) == cases[i].verdict,
			      "%s", cases[i].text);
		buffer_release(&buffer);
	}
}
END_TEST

START_TEST(a_tombstone_is_no_receipt_and_has_a_text_without_a_key)
{
	struct vector vector;
	struct receipt receipt;
	struct buffer note;
	const struct receipt_signers none = {.count = 0};
	read_vector(0, &vector);
	struct receipt tombstone = {
		.kind = RECEIPT_ERASED, .log = TEXT("user-1"), .position.seq = 7, .msec = 9};
	buffer_init(&note, RECEIPT_SIZE_MAX);
	receipt_write(&tombstone, &vector.signers, &note);
	ck_assert_int_eq(
		receipt_read((struct text){note.data, note.size}, vector.keys, 1, &receipt),
		NOTE_VERIFIED);
	ck_assert_int_eq(receipt.kind, RECEIPT_ERASED);
	ck_assert_uint_eq(receipt.position.seq, 7);
	note.size = 0;
	receipt_write(&tombstone, &none, &note);
	ck_assert(text_equal((struct text){note.data, note.size},
			     TEXT("edgereplay/1/erased\n/logs/user-1\n7\n"
				  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n9\n")));
	buffer_release(&note);
}
END_TEST

START_TEST(a_note_that_is_none_is_malformed)
{
	struct vector vector;
	struct text text;
	struct buffer buffer;
	read_vector(0, &vector);
	static const char *const bad[] = {
		"",
		"\n",
		"\n\n",
		"text\n",
		"text\n\n",
		"text\n\nno line\n",
		"text\n\n\xe2\x80\x94 name\n",
		"text\n\n\xe2\x80\x94 name AAAA\n",
		"text\n\n\xe2\x80\x94  AAAAAAA=\n",
		"text\n\n\xe2\x80\x94 name AAAAAAA\n",
		"text\n\n\xe2\x80\x94 name AAAAAAA= \n",
		"text\n\n\xe2\x80\x94 a+b AAAAAAA=\n",
		"text\n\n-- name AAAAAAA=\n",
		"te\x01xt\n\n\xe2\x80\x94 name AAAAAAA=\n",
		"te\xffxt\n\n\xe2\x80\x94 name AAAAAAA=\n",
		"text\r\n\n\xe2\x80\x94 name AAAAAAA=\n",
		"text\n\n\xe2\x80\x94 name AAAAAAA=",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(note_open(text_of(bad[i]), vector.keys, &text) == NOTE_MALFORMED,
			      "%zu: %s", i, bad[i]);
	/* Signatures of keys and kinds that are not known are passed over, up to a hundred. */
	buffer_init(&buffer, NOTE_SIZE_MAX);
	buffer_append_text(&buffer, TEXT("a text\n\nwith an empty line\n\n"));
	for (int i = 0; i < 101; i++) {
		ck_assert_int_eq(
			note_open((struct text){buffer.data, buffer.size}, vector.keys, &text),
			i == 0 ? NOTE_MALFORMED : NOTE_UNKNOWN_KEY);
		buffer_append_text(&buffer, TEXT("\xe2\x80\x94 another.name AAAAAAA=\n"));
	}
	ck_assert_int_eq(note_open((struct text){buffer.data, buffer.size}, vector.keys, &text),
			 NOTE_MALFORMED);
	buffer_release(&buffer);
}
END_TEST

/* Each piece of a key's text, and each of its bytes one further. */
START_TEST(a_key_that_was_changed_or_cut_is_none)
{
	struct vector vector;
	read_vector(0, &vector);
	for (int is_signer = 0; is_signer < 2; is_signer++) {
		char text[NOTE_KEY_TEXT_MAX];
		struct note_signer signer;
		const size_t size = is_signer ? note_signer_write(&vector.signers.signers[0], text)
					      : note_key_write(vector.keys, text);
		for (size_t from = 0; from < size; from++)
			for (size_t upto = from; upto <= size; upto++) {
				const struct text piece = {text + from, upto - from};
				ck_assert((is_signer ? note_signer_read(piece, &signer)
						     : note_key_read(piece, &signer.key)) ==
					  (piece.size == size));
			}
		for (size_t i = 0; i < size; i++) {
			const struct text whole = {text, size};
			text[i]++;
			ck_assert(!(is_signer ? note_signer_read(whole, &signer)
					      : note_key_read(whole, &signer.key)));
			text[i]--;
		}
	}
}
END_TEST

START_TEST(names_have_no_spaces_no_plus_and_no_controls)
{
	static const char *const good[] = {"a", "sync.example.com/eu:8080", "b\xc3\xbc", "\"\\"};
	static const char *const bad[] = {"",
					  "a b",
					  "a+b",
					  "a\n",
					  "a\x7f",
					  "\xc2\x85",
					  "a\xc2\xa0",
					  "\xe2\x80\x83",
					  "\xe2\x80\xa8",
					  "\xe1\x9a\x80",
					  "\xe3\x80\x80",
					  "\xe2\x81\x9f",
					  "\xe2\x80\xaf",
					  "\xff",
					  "\xc3"};
	char longest[NOTE_NAME_SIZE_MAX + 1];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert(note_name_is_valid(text_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!note_name_is_valid(text_of(bad[i])), "%zu", i);
	memset(longest, 'n', sizeof(longest));
	ck_assert(note_name_is_valid((struct text){longest, NOTE_NAME_SIZE_MAX}));
	ck_assert(!note_name_is_valid((struct text){longest, NOTE_NAME_SIZE_MAX + 1}));
}
END_TEST

/* The longest names, and as many keys as there may be. */
START_TEST(the_longest_receipt_fits)
{
	struct receipt_signers signers = {.count = RECEIPT_SIGNERS_MAX};
	char name[NOTE_NAME_SIZE_MAX], log[LOG_NAME_SIZE_MAX];
	struct note_key keys[RECEIPT_SIGNERS_MAX];
	struct buffer note;
	memset(name, 'n', sizeof(name));
	memset(log, 'l', sizeof(log));
	for (size_t i = 0; i < signers.count; i++) {
		const uint8_t seed[NOTE_SEED_SIZE] = {(uint8_t)i};
		note_signer_make((struct text){name, sizeof(name)}, seed, &signers.signers[i]);
		keys[i] = signers.signers[i].key;
	}
	struct receipt receipt = {
		.log = {log, sizeof(log)}, .position.seq = SEQ_MAX, .msec = TS_MAX};
	buffer_init(&note, RECEIPT_SIZE_MAX);
	receipt_write(&receipt, &signers, &note);
	ck_assert(!note.failed);
	ck_assert_int_eq(
		receipt_read((struct text){note.data, note.size}, keys, signers.count, &receipt),
		NOTE_VERIFIED);
	ck_assert_uint_eq(receipt.position.seq, SEQ_MAX);
	buffer_release(&note);
}
END_TEST

static uint64_t
cpu_nsec(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Says what a receipt costs; checks only that each is made. */
START_TEST(what_a_receipt_costs)
{
	enum { TIMES = 2000 };
	struct vector vector;
	struct receipt receipt;
	struct buffer note;
	read_vector(0, &vector);
	buffer_init(&note, RECEIPT_SIZE_MAX);
	const uint64_t began = cpu_nsec();
	for (int i = 0; i < TIMES; i++) {
		note.size = 0;
		receipt_write(&vector.receipt, &vector.signers, &note);
	}
	const uint64_t written = cpu_nsec();
	for (int i = 0; i < TIMES; i++)
		ck_assert_int_eq(
			receipt_read((struct text){note.data, note.size}, vector.keys, 1, &receipt),
			NOTE_VERIFIED);
	printf("# a receipt: %.1f us of CPU to write, %.1f us to verify\n",
	       (double)(written - began) / TIMES / 1000,
	       (double)(cpu_nsec() - written) / TIMES / 1000);
	buffer_release(&note);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_receipt");
	TCase *tcase = tcase_create("chain_receipt");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, load, unload);
	tcase_add_test(tcase, each_vector_is_written_and_read_byte_for_byte);
	tcase_add_test(tcase, keys_are_written_as_they_were_read);
	tcase_add_test(tcase, no_bit_of_a_receipt_can_be_changed);
	tcase_add_test(tcase, no_byte_of_a_receipt_can_be_left_out_or_added);
	tcase_add_test(tcase, base64_has_one_spelling);
	tcase_add_test(tcase, while_keys_change_either_key_verifies);
	tcase_add_test(tcase, one_forged_line_of_a_known_key_spoils_the_note);
	tcase_add_test(tcase, only_the_five_lines_are_a_receipt);
	tcase_add_test(tcase, a_note_that_is_none_is_malformed);
	tcase_add_test(tcase, a_tombstone_is_no_receipt_and_has_a_text_without_a_key);
	tcase_add_test(tcase, a_key_that_was_changed_or_cut_is_none);
	tcase_add_test(tcase, names_have_no_spaces_no_plus_and_no_controls);
	tcase_add_test(tcase, the_longest_receipt_fits);
	tcase_add_test(tcase, what_a_receipt_costs);
	return runner_run(runner);
}
