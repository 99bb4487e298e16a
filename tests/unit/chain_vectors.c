/* The protocol's vectors (schema/vectors.json), and that a digest commits to every byte. */
#include <check.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/chain.h"
#include "support/runner.h"
#include "support/vectors.h"

static void
assert_hash(const struct hash *hash, const json_t *object, const char *name)
{
	struct text expected = member_text(object, name);
	struct hash parsed;
	char text[HASH_TEXT_SIZE];

	hash_to_text(hash, text);
	ck_assert_msg(text_equal((struct text){text, sizeof(text)}, expected), "%s: %.*s, not %.*s",
		      name, (int)expected.size, expected.data, (int)sizeof(text), text);
	ck_assert(hash_from_text(expected, &parsed));
	ck_assert(hash_equal(&parsed, hash));
}

static void
read_action(const json_t *object, struct action *action)
{
	action->device = member_text(object, "device");
	action->ts = member_uint(object, "ts");
	action->type = member_text(object, "type");
	action->payload = member_text(object, "payload");
}

static size_t
check_case(const json_t *vector)
{
	const json_t *actions = json_object_get(vector, "actions");
	struct hash link;

	ck_assert(log_name_is_valid(member_text(vector, "log")));
	chain_genesis(member_text(vector, "log"), &link);
	assert_hash(&link, vector, "genesis");
	for (size_t i = 0; i < json_array_size(actions); i++) {
		const json_t *object = json_array_get(actions, i);
		struct action action;
		struct hash digest;
		uint8_t id[ID_SIZE];
		char id_text[ID_TEXT_SIZE];

		read_action(object, &action);
		ck_assert_uint_eq(member_uint(object, "seq"), i + 1);
		ck_assert(device_is_valid(action.device));
		ck_assert(type_is_valid(action.type));
		chain_digest(&action, &digest);
		assert_hash(&digest, object, "digest");
		chain_id(action.ts, &digest, id);
		id_to_text(id, id_text);
		ck_assert(text_equal((struct text){id_text, sizeof(id_text)},
				     member_text(object, "id")));
		chain_link(&link, &digest, &link);
		assert_hash(&link, object, "link");
	}
	return json_array_size(actions);
}

START_TEST(a_redacted_action_says_its_digest_and_no_other_action_can_be_taken_for_one)
{
	struct action action = {TEXT("phone"), 5, TEXT("t"), TEXT("milk")}, copy;
	char text[HASH_TEXT_SIZE];
	uint8_t bytes[PREIMAGE_SIZE_MAX];
	struct hash digest, said;

	chain_digest(&action, &digest);
	ck_assert(!action_is_redacted(&action));
	action_redact(&action, &digest, text);
	ck_assert(action_is_redacted(&action));
	chain_digest(&action, &said);
	ck_assert(hash_equal(&said, &digest));
	copy = action;
	ck_assert_uint_eq(chain_preimage(&copy, bytes), 0);

	/* Every action has a type; and what has none must say a digest. */
	ck_assert(!type_is_valid(TEXT("")));
	copy.type = TEXT("t");
	ck_assert(!action_is_redacted(&copy));
	copy = action;
	copy.payload.size--;
	ck_assert(!action_is_redacted(&copy));
	text[3] = 'G';
	ck_assert(!action_is_redacted(&action));
}
END_TEST

START_TEST(an_id_is_read_as_it_is_written)
{
	const struct action action = {TEXT("phone"), 1790000000123, TEXT("t"), TEXT("milk")};
	uint8_t id[ID_SIZE], read[ID_SIZE];
	char text[ID_TEXT_SIZE];
	struct hash digest;

	chain_digest(&action, &digest);
	chain_id(action.ts, &digest, id);
	id_to_text(id, text);
	ck_assert(id_from_text((struct text){text, sizeof(text)}, read));
	ck_assert_mem_eq(id, read, ID_SIZE);
	ck_assert(!id_from_text((struct text){text, sizeof(text) - 1}, read));
	for (size_t i = 0; i < sizeof(text); i++) {
		const char before = text[i];

		text[i] = before == '-' ? '0' : '-';
		ck_assert(!id_from_text((struct text){text, sizeof(text)}, read));
		text[i] = before;
	}
}
END_TEST

START_TEST(every_vector_gives_its_genesis_digests_ids_and_links)
{
	json_t *vectors = load_vectors();
	const json_t *cases = json_object_get(vectors, "cases");
	size_t action_count = 0;

	ck_assert_uint_eq(member_uint(vectors, "protocol"), 1);
	ck_assert_uint_ge(json_array_size(cases), 1);
	for (size_t i = 0; i < json_array_size(cases); i++)
		action_count += check_case(json_array_get(cases, i));
	printf("# %zu vectors with %zu actions\n", json_array_size(cases), action_count);
	json_decref(vectors);
}
END_TEST

static void
assert_digest_differs(const struct action *action, const struct hash *digest, size_t *count)
{
	struct hash other;

	chain_digest(action, &other);
	ck_assert(!hash_equal(&other, digest));
	++*count;
}

/* Flips each bit of one of the action's texts in turn; of a long one every seventh, which leaves no
 * byte out. */
static void
flip_text(const struct action *action, struct text *part, const struct hash *digest, size_t *count)
{
	struct text whole = *part;
	size_t step = whole.size > 1024 ? 7 : 1;
	char *copy = malloc(whole.size + 1);

	ck_assert_ptr_nonnull(copy);
	for (size_t bit = 0; bit < 8 * whole.size; bit += step) {
		memcpy(copy, whole.data, whole.size);
		copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << (bit % 8)));
		*part = (struct text){copy, whole.size};
		assert_digest_differs(action, digest, count);
	}
	free(copy);
	*part = whole;
}

static void
flip_action(const json_t *object, size_t *count)
{
	struct action action;
	struct hash digest;

	read_action(object, &action);
	chain_digest(&action, &digest);
	for (unsigned bit = 0; bit < 64; bit++) {
		action.ts ^= UINT64_C(1) << bit;
		assert_digest_differs(&action, &digest, count);
		action.ts ^= UINT64_C(1) << bit;
	}
	flip_text(&action, &action.device, &digest, count);
	flip_text(&action, &action.type, &digest, count);
	flip_text(&action, &action.payload, &digest, count);
}

START_TEST(every_bit_flipped_in_an_action_changes_its_digest)
{
	json_t *vectors = load_vectors();
	const json_t *cases = json_object_get(vectors, "cases");
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *actions = json_object_get(json_array_get(cases, i), "actions");

		for (size_t j = 0; j < json_array_size(actions); j++)
			flip_action(json_array_get(actions, j), &count);
	}
	ck_assert_uint_gt(count, 0);
	printf("# %zu flipped bits, each changed the digest\n", count);
	json_decref(vectors);
}
END_TEST

START_TEST(bytes_moved_between_device_type_and_payload_change_the_digest)
{
	const struct action action = {TEXT("ab"), 7, TEXT("cd"), TEXT("ef")};
	const struct action moved[] = {
		{TEXT("a"), 7, TEXT("bcd"), TEXT("ef")}, {TEXT("abc"), 7, TEXT("d"), TEXT("ef")},
		{TEXT("ab"), 7, TEXT("c"), TEXT("def")}, {TEXT("ab"), 7, TEXT("cde"), TEXT("f")},
		{TEXT("ab"), 7, TEXT("cdef"), TEXT("")},
	};
	struct hash digest;
	size_t count = 0;

	chain_digest(&action, &digest);
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++)
		assert_digest_differs(&moved[i], &digest, &count);
}
END_TEST

/* The digest by the words of the protocol, a byte at a time. */
static void
slow_digest(const struct action *action, struct hash *digest)
{
	static const char tag[] = "edgereplay/1/action";
	crypto_generichash_state state;
	const struct text parts[] = {action->device, action->type, action->payload};
	uint8_t byte;

	crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
	crypto_generichash_update(&state, (const uint8_t *)tag, strlen(tag) + 1);
	for (int shift = 56; shift >= 0; shift -= 8) {
		byte = (uint8_t)(action->ts >> shift);
		crypto_generichash_update(&state, &byte, 1);
	}
	for (size_t i = 0; i < 3; i++) {
		for (int shift = 8; i < 2 && shift >= 0; shift -= 8) {
			byte = (uint8_t)(parts[i].size >> shift);
			crypto_generichash_update(&state, &byte, 1);
		}
		for (size_t j = 0; j < parts[i].size; j++) {
			byte = (uint8_t)parts[i].data[j];
			crypto_generichash_update(&state, &byte, 1);
		}
	}
	crypto_generichash_final(&state, digest->bytes, HASH_SIZE);
}

START_TEST(a_digest_does_not_depend_on_how_its_bytes_are_handed_to_the_hash)
{
	enum { SIZE_MAX_TRIED = 2600 };
	char *bytes = malloc(SIZE_MAX_TRIED);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < SIZE_MAX_TRIED; i++)
		bytes[i] = (char)(i * 31 + i / 251);
	for (size_t size = 0; size <= SIZE_MAX_TRIED; size++) {
		struct action action = {TEXT("phone"),
					UINT64_C(0x0102030405060708),
					TEXT("todo/add"),
					{bytes, size}};
		struct hash fast, slow;

		if (size == 0)
			action.payload.data = NULL;
		chain_digest(&action, &fast);
		slow_digest(&action, &slow);
		ck_assert_msg(hash_equal(&fast, &slow), "payload of %zu bytes", size);

		/* Beyond the grammar too: a rotten row must have some digest and do no harm. */
		action = (struct action){
			{bytes, size}, 1, {bytes, SIZE_MAX_TRIED - size}, TEXT("payload")};
		chain_digest(&action, &fast);
		slow_digest(&action, &slow);
		ck_assert_msg(hash_equal(&fast, &slow), "device of %zu bytes", size);
	}
	free(bytes);
}
END_TEST

START_TEST(a_log_cannot_pass_for_another)
{
	struct hash a, b;

	chain_genesis(TEXT("user-1"), &a);
	chain_genesis(TEXT("user-2"), &b);
	ck_assert(!hash_equal(&a, &b));
}
END_TEST

START_TEST(an_id_has_version_8_and_the_variant_of_rfc_9562_and_sorts_by_time)
{
	struct hash digest;
	uint8_t early[ID_SIZE], late[ID_SIZE];
	char text[ID_TEXT_SIZE];

	memset(&digest, 0xff, sizeof(digest));
	chain_id(1, &digest, early);
	id_to_text(early, text);
	ck_assert_mem_eq(text, "00000000-0001-8fff-bfff-ffffffffffff", ID_TEXT_SIZE);
	memset(&digest, 0, sizeof(digest));
	chain_id(TS_MAX, &digest, late);
	id_to_text(late, text);
	ck_assert_mem_eq(text, "ffffffff-ffff-8000-8000-000000000000", ID_TEXT_SIZE);
	ck_assert_int_lt(memcmp(early, late, ID_SIZE), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain_vectors");
	TCase *tests = tcase_create("vectors");
	SRunner *runner;

	if (sodium_init() == -1)
		return EXIT_FAILURE;
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, every_vector_gives_its_genesis_digests_ids_and_links);
	tcase_add_test(tests,
		       a_redacted_action_says_its_digest_and_no_other_action_can_be_taken_for_one);
	tcase_add_test(tests, an_id_is_read_as_it_is_written);
	tcase_add_test(tests, every_bit_flipped_in_an_action_changes_its_digest);
	tcase_add_test(tests, bytes_moved_between_device_type_and_payload_change_the_digest);
	tcase_add_test(tests, a_digest_does_not_depend_on_how_its_bytes_are_handed_to_the_hash);
	tcase_add_test(tests, a_log_cannot_pass_for_another);
	tcase_add_test(tests, an_id_has_version_8_and_the_variant_of_rfc_9562_and_sorts_by_time);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	return runner_run(runner);
}
