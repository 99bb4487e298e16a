/* One message, and several at once by each of the processor's paths, have the hashes that libsodium
 * gives each of them. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chain/chain.h"
#include "chain/lanes.h"
#include "support/runner.h"

#define MESSAGES_MAX 20
#define SIZE_MAX_TRIED 1300

static uint64_t random_state = 88172645463325252;

static uint64_t
draw(uint64_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

struct messages {
	uint8_t bytes[MESSAGES_MAX * SIZE_MAX_TRIED];
	struct text texts[MESSAGES_MAX];
	struct hash hashes[MESSAGES_MAX + 1];
	size_t count;
};

static void
messages_fill(struct messages *messages)
{
	for (size_t i = 0; i < sizeof(messages->bytes); i++)
		messages->bytes[i] = (uint8_t)draw(256);
}

/* Beside each other at odd addresses, so that reading beyond an end changes a hash. */
static void
messages_add(struct messages *messages, size_t size)
{
	const size_t i = messages->count++;
	const char *place = i == 0 ? (const char *)messages->bytes
				   : messages->texts[i - 1].data + messages->texts[i - 1].size;
	messages->texts[i] = (struct text){place, size};
}

static struct hash
libsodium_hash(const void *bytes, size_t size)
{
	struct hash hash;
	ck_assert_int_eq(crypto_generichash(hash.bytes, HASH_SIZE, bytes, size, NULL, 0), 0);
	return hash;
}

static void
expect_hashes_by(struct messages *messages, enum lanes_path path)
{
	const size_t count = messages->count;
	memset(messages->hashes, 0x55, sizeof(messages->hashes));
	lanes_hash_by(path, messages->texts, messages->hashes, count);
	for (size_t i = 0; i < count; i++) {
		const struct text text = messages->texts[i];
		const struct hash wanted = libsodium_hash(text.data, text.size);
		ck_assert_msg(hash_equal(&wanted, &messages->hashes[i]),
			      "message %zu of %zu, of %zu bytes, path %d", i, count, text.size,
			      (int)path);
	}
	/* Nothing is written behind the last one. */
	for (size_t i = 0; i < HASH_SIZE; i++)
		ck_assert_uint_eq(messages->hashes[count].bytes[i], 0x55);
}

static void
expect_hashes_of_each(struct messages *messages)
{
	for (int path = LANES_NONE; path <= (int)lanes_best_path(); path++)
		expect_hashes_by(messages, (enum lanes_path)path);
}

START_TEST(a_message_of_every_size_has_its_hash)
{
	static struct messages messages;
	messages_fill(&messages);
	for (size_t size = 0; size <= SIZE_MAX_TRIED; size++) {
		const struct text text = {(const char *)messages.bytes + draw(1000), size};
		const struct hash wanted = libsodium_hash(text.data, size);
		struct hash hashes[2];
		memset(hashes, 0x55, sizeof(hashes));
		lanes_hash_one(text, hashes);
		ck_assert_msg(hash_equal(&wanted, hashes), "%zu bytes", size);
		for (size_t i = 0; i < HASH_SIZE; i++)
			ck_assert_uint_eq(hashes[1].bytes[i], 0x55);
	}
}
END_TEST

START_TEST(lanes_without_a_choice_are_those_of_the_best_path)
{
	static struct messages messages;
	struct hash chosen[LANES];
	messages_fill(&messages);
	for (size_t count = 1; count <= LANES; count++) {
		messages.count = 0;
		for (size_t i = 0; i < count; i++)
			messages_add(&messages, 80 + i);
		lanes_hash(messages.texts, chosen, count);
		expect_hashes_by(&messages, lanes_best_path());
		ck_assert_mem_eq(chosen, messages.hashes, count * sizeof(chosen[0]));
	}
}
END_TEST

START_TEST(every_size_in_every_lane_has_its_hash)
{
	static struct messages messages;
	messages_fill(&messages);
	for (size_t size = 0; size <= SIZE_MAX_TRIED - LANES; size++) {
		messages.count = 0;
		for (size_t i = 0; i < LANES; i++)
			messages_add(&messages, size + (i * 5 + size) % LANES);
		expect_hashes_of_each(&messages);
	}
}
END_TEST

START_TEST(any_number_of_messages_of_any_sizes_have_their_hashes)
{
	static struct messages messages;
	messages_fill(&messages);
	for (int round = 0; round < 5000; round++) {
		const size_t size_max = 1 + draw(SIZE_MAX_TRIED);
		messages.count = 0;
		for (uint64_t left = draw(MESSAGES_MAX + 1); left > 0; left--)
			messages_add(&messages, draw(size_max));
		expect_hashes_of_each(&messages);
	}
	messages.count = 0;
	for (size_t i = 0; i < LANES; i++)
		messages.texts[messages.count++] = (struct text){NULL, 0};
	expect_hashes_of_each(&messages);
}
END_TEST

/* An action over the messages' bytes; the parts' sizes add up. */
static struct action
action_of(const struct messages *messages, size_t device, size_t type, size_t payload)
{
	const char *bytes = (const char *)messages->bytes;
	return (struct action){.device = {bytes, device},
			       .ts = draw(TS_MAX),
			       .type = {bytes + device, type},
			       .payload = {bytes + device + type, payload}};
}

START_TEST(a_preimage_hashes_to_the_digest_and_holds_the_texts)
{
	static struct messages messages;
	messages_fill(&messages);
	size_t fitted = 0;
	for (size_t payload = 0; payload <= SIZE_MAX_TRIED; payload++) {
		const size_t device = draw(DEVICE_SIZE_MAX + 1), type = draw(TYPE_SIZE_MAX + 1);
		const struct action action = action_of(&messages, device, type, payload);
		struct action copy = action;
		uint8_t bytes[PREIMAGE_SIZE_MAX];
		const size_t size = chain_preimage(&copy, bytes);
		const size_t wanted =
			sizeof("edgereplay/1/action") + 8 + 2 + device + 2 + type + payload;
		ck_assert_uint_eq(size, wanted <= PREIMAGE_SIZE_MAX ? wanted : 0);
		ck_assert(text_equal(copy.device, action.device) &&
			  text_equal(copy.type, action.type) &&
			  text_equal(copy.payload, action.payload));
		if (size == 0) {
			ck_assert_ptr_eq(copy.payload.data, action.payload.data);
			continue;
		}
		fitted++;
		ck_assert_ptr_eq(copy.payload.data + payload, bytes + size);
		struct text preimage = {(const char *)bytes, size};
		struct hash digest, hashed;
		chain_digest(&action, &digest);
		chain_digests(&preimage, &hashed, 1);
		ck_assert(hash_equal(&digest, &hashed));
	}
	ck_assert_uint_gt(fitted, PREIMAGE_SIZE_MAX / 2);
}
END_TEST

/* What does not fit into one piece is streamed; the two must agree on the bytes. */
START_TEST(a_long_action_has_the_digest_of_its_bytes)
{
	static struct messages messages;
	static uint8_t bytes[sizeof(messages.bytes) + 100];
	messages_fill(&messages);
	for (size_t payload = 700; payload < 1400; payload++) {
		const struct action action = action_of(&messages, 9, 8, payload);
		size_t at = sizeof("edgereplay/1/action");
		memcpy(bytes, "edgereplay/1/action", at);
		for (unsigned i = 0; i < 8; i++)
			bytes[at++] = (uint8_t)(action.ts >> (56 - 8 * i));
		memcpy(bytes + at, "\0\x09", 2);
		memcpy(bytes + at + 2, action.device.data, 9);
		memcpy(bytes + at + 11, "\0\x08", 2);
		memcpy(bytes + at + 13, action.type.data, 8 + payload);
		const struct hash wanted = libsodium_hash(bytes, at + 21 + payload);
		struct hash digest;
		chain_digest(&action, &digest);
		ck_assert(hash_equal(&wanted, &digest));
	}
}
END_TEST

/* Longer names than there can be, too: an audit hashes what it finds. */
START_TEST(a_genesis_is_the_hash_of_its_tag_and_name)
{
	char bytes[sizeof("edgereplay/1/log") + 2 * LOG_NAME_SIZE_MAX] = "edgereplay/1/log";
	char *name = bytes + sizeof("edgereplay/1/log");
	for (size_t size = 0; size <= 2 * (size_t)LOG_NAME_SIZE_MAX; size++) {
		const struct hash wanted = libsodium_hash(bytes, (size_t)(name - bytes) + size);
		struct hash genesis;
		chain_genesis((struct text){name, size}, &genesis);
		ck_assert_msg(hash_equal(&wanted, &genesis), "%zu bytes", size);
		if (size < 2 * (size_t)LOG_NAME_SIZE_MAX)
			name[size] = (char)('a' + draw(26));
	}
}
END_TEST

START_TEST(links_are_good_up_to_the_first_bad_one)
{
	static struct hash links[MESSAGES_MAX + 1], digests[MESSAGES_MAX];
	randombytes_buf(&links[0], sizeof(links[0]));
	randombytes_buf(digests, sizeof(digests));
	for (size_t i = 0; i < MESSAGES_MAX; i++)
		chain_link(&links[i], &digests[i], &links[i + 1]);
	for (size_t count = 0; count <= MESSAGES_MAX; count++) {
		ck_assert_uint_eq(chain_verify(links, digests, count), count);
		for (size_t bad = 0; bad < count; bad++) {
			digests[bad].bytes[bad] ^= 1;
			ck_assert_uint_eq(chain_verify(links, digests, count), bad);
			digests[bad].bytes[bad] ^= 1;
			links[bad].bytes[31] ^= 0x80;
			ck_assert_uint_eq(chain_verify(links, digests, count),
					  bad == 0 ? 0 : bad - 1);
			links[bad].bytes[31] ^= 0x80;
		}
	}
}
END_TEST

int
main(void)
{
	if (sodium_init() == -1)
		return EXIT_FAILURE;
	Suite *suite = suite_create("chain_lanes");
	TCase *tests = tcase_create("lanes");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_message_of_every_size_has_its_hash);
	tcase_add_test(tests, lanes_without_a_choice_are_those_of_the_best_path);
	tcase_add_test(tests, every_size_in_every_lane_has_its_hash);
	tcase_add_test(tests, any_number_of_messages_of_any_sizes_have_their_hashes);
	tcase_add_test(tests, a_preimage_hashes_to_the_digest_and_holds_the_texts);
	tcase_add_test(tests, a_long_action_has_the_digest_of_its_bytes);
	tcase_add_test(tests, a_genesis_is_the_hash_of_its_tag_and_name);
	tcase_add_test(tests, links_are_good_up_to_the_first_bad_one);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
