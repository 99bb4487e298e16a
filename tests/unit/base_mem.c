/* base/mem: arenas and buffers keep their bounds. */
#include "base/mem.h"

#include <check.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"

static bool
is_all(const unsigned char *bytes, size_t size, unsigned char byte)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != byte)
			return false;
	}
	return true;
}

START_TEST(pieces_are_aligned_and_do_not_overlap)
{
	struct arena arena;
	unsigned char *pieces[500];
	arena_init(&arena, 64 * 1024 * 1024);
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 500; i++) {
			size_t size = (i * 37) % 3000;
			pieces[i] = arena_alloc(&arena, size);
			ck_assert_ptr_nonnull(pieces[i]);
			ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
			memset(pieces[i], (int)(i & 0xff), size);
		}
		for (size_t i = 0; i < 500; i++)
			ck_assert(is_all(pieces[i], (i * 37) % 3000, (unsigned char)i));
		arena_reset(&arena);
	}
	arena_release(&arena);
}
END_TEST

START_TEST(an_arena_gives_exactly_its_bound_and_again_after_a_reset)
{
	struct arena arena;
	arena_init(&arena, 1000);
	for (int round = 0; round < 3; round++) {
		ck_assert_ptr_nonnull(arena_alloc(&arena, 999));
		ck_assert_ptr_null(arena_alloc(&arena, 2));
		ck_assert_ptr_nonnull(arena_alloc(&arena, 1));
		ck_assert_ptr_null(arena_alloc(&arena, 1));
		ck_assert_ptr_nonnull(arena_alloc(&arena, 0));
		ck_assert_uint_eq(arena.used, 1000);
		arena_reset(&arena);
	}
	arena_release(&arena);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1000));
	arena_release(&arena);
	arena_release(NULL);
}
END_TEST

START_TEST(absurd_sizes_are_refused)
{
	struct arena arena;
	arena_init(&arena, SIZE_MAX);
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 15));
	ck_assert_ptr_null(arena_calloc(&arena, SIZE_MAX / 2, 4));
	ck_assert_ptr_null(arena_calloc(&arena, (size_t)1 << 33, (size_t)1 << 33));
	ck_assert_ptr_null(arena_copy(&arena, (struct text){"a", SIZE_MAX}).data);
	ck_assert_uint_eq(arena.used, 0);
	arena_release(&arena);
}
END_TEST

START_TEST(large_pieces_leave_the_free_part_of_the_newest_block_in_use)
{
	struct arena arena;
	arena_init(&arena, SIZE_MAX);
	char *first = arena_alloc(&arena, 16);
	char *large = arena_alloc(&arena, 1024 * 1024);
	char *second = arena_alloc(&arena, 16);
	ck_assert_ptr_nonnull(large);
	memset(large, 1, 1024 * 1024);
	ck_assert_ptr_eq(second, first + 16);
	arena_release(&arena);
}
END_TEST

START_TEST(a_reset_keeps_one_ordinary_block_and_no_large_one)
{
	struct arena arena;
	arena_init(&arena, SIZE_MAX);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1024 * 1024));
	arena_reset(&arena);
	ck_assert_ptr_null(arena.blocks);
	for (int i = 0; i < 2000; i++)
		ck_assert_ptr_nonnull(arena_alloc(&arena, 1024));
	arena_reset(&arena);
	ck_assert_ptr_nonnull(arena.blocks);
	ck_assert_uint_eq(arena.room, 256 * 1024);
	arena_release(&arena);
}
END_TEST

START_TEST(calloc_clears_what_was_used_before)
{
	struct arena arena;
	arena_init(&arena, SIZE_MAX);
	memset(arena_alloc(&arena, 3000), 0xff, 3000);
	arena_reset(&arena);
	unsigned char *piece = arena_calloc(&arena, 30, 100);
	ck_assert(is_all(piece, 3000, 0));
	arena_release(&arena);
}
END_TEST

START_TEST(a_copy_has_the_bytes_and_a_nul_behind_them)
{
	struct arena arena;
	arena_init(&arena, 12);
	struct text copy = arena_copy(&arena, (struct text){"a\0b", 3});
	ck_assert_uint_eq(copy.size, 3);
	ck_assert_mem_eq(copy.data, "a\0b", 4);
	copy = arena_copy(&arena, (struct text){NULL, 0});
	ck_assert_uint_eq(copy.size, 0);
	ck_assert_str_eq(copy.data, "");
	ck_assert_ptr_null(arena_copy(&arena, TEXT("too long now")).data);
	arena_release(&arena);
}
END_TEST

START_TEST(a_buffer_fills_to_its_last_byte_and_then_stays_failed)
{
	struct buffer buffer;
	buffer_init(&buffer, 1000);
	for (int i = 0; i < 100; i++)
		buffer_append(&buffer, "0123456789", 10);
	ck_assert(!buffer.failed);
	ck_assert_uint_eq(buffer.size, 1000);
	buffer_append(&buffer, "", 0);
	ck_assert(!buffer.failed);
	buffer_append(&buffer, "x", 1);
	ck_assert(buffer.failed);
	ck_assert_uint_eq(buffer.size, 1000);
	ck_assert_mem_eq(buffer.data + 990, "0123456789", 10);
	ck_assert_uint_le(buffer.capacity, 1000);
	buffer_release(&buffer);
	ck_assert(!buffer.failed);
	buffer_append_text(&buffer, TEXT("again"));
	ck_assert_mem_eq(buffer.data, "again", 5);
	buffer_release(&buffer);
	buffer_release(NULL);
}
END_TEST

START_TEST(a_failed_append_leaves_nothing_of_itself_and_blocks_smaller_ones)
{
	struct buffer buffer;
	buffer_init(&buffer, 8);
	buffer_append_text(&buffer, TEXT("abcd"));
	buffer_append_text(&buffer, TEXT("efghi"));
	buffer_append_text(&buffer, TEXT("j"));
	buffer_printf(&buffer, "%d", 1);
	buffer_append_u64(&buffer, 1);
	ck_assert(buffer.failed);
	ck_assert_uint_eq(buffer.size, 4);
	ck_assert_mem_eq(buffer.data, "abcd", 4);
	buffer_release(&buffer);
}
END_TEST

START_TEST(numbers_and_formats_fit_exactly)
{
	struct buffer buffer;
	buffer_init(&buffer, 30);
	buffer_append_u64(&buffer, 0);
	buffer_append_u64(&buffer, UINT64_MAX);
	buffer_printf(&buffer, "<%s>", "1234567");
	ck_assert(!buffer.failed);
	ck_assert_uint_eq(buffer.size, 30);
	ck_assert_mem_eq(buffer.data, "018446744073709551615<1234567>", 30);
	buffer_printf(&buffer, "%s", "");
	ck_assert(!buffer.failed);
	buffer_printf(&buffer, "%c", 'x');
	ck_assert(buffer.failed);
	ck_assert_uint_eq(buffer.size, 30);
	buffer_release(&buffer);
}
END_TEST

static void
expect_digits(uint64_t value)
{
	char wanted[U64_DIGITS_MAX + 1], digits[U64_DIGITS_MAX + 1];
	const int size = snprintf(wanted, sizeof(wanted), "%ju", (uintmax_t)value);
	memset(digits, '#', sizeof(digits));
	const char *end = u64_put(digits, value);
	ck_assert_int_eq(end - digits, size);
	ck_assert_mem_eq(digits, wanted, (size_t)size);
	ck_assert_int_eq(*end, '#');
}

START_TEST(numbers_of_every_length_have_their_digits)
{
	for (uint64_t value = 0; value < 100000; value++)
		expect_digits(value);
	for (uint64_t power = 1;; power *= 10) {
		for (uint64_t factor = 1; factor < 10 && factor <= UINT64_MAX / power; factor++) {
			expect_digits(factor * power - 1);
			expect_digits(factor * power);
			expect_digits(factor * power + 1);
		}
		if (power > UINT64_MAX / 10)
			break;
	}
	uint64_t state = 88172645463325252;
	for (int i = 0; i < 100000; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		expect_digits(state >> (i % 64));
	}
	expect_digits(UINT64_MAX);
	expect_digits(UINT64_MAX - 1);
}
END_TEST

START_TEST(reserved_room_counts_only_when_it_is_taken)
{
	struct buffer buffer;
	buffer_init(&buffer, 100000);
	for (size_t i = 0; i < 1000; i++) {
		char *place = buffer_reserve(&buffer, 100);
		ck_assert_ptr_nonnull(place);
		memset(place, 'a' + (int)(i % 26), 100);
		buffer.size += 100;
	}
	ck_assert_ptr_nonnull(buffer_reserve(&buffer, 0));
	ck_assert_ptr_null(buffer_reserve(&buffer, 1));
	for (size_t i = 0; i < 1000; i++)
		ck_assert(is_all((unsigned char *)buffer.data + i * 100, 100,
				 (unsigned char)('a' + i % 26)));
	buffer_release(&buffer);
	buffer_init(&buffer, 0);
	ck_assert_ptr_nonnull(buffer_reserve(&buffer, 0));
	ck_assert_ptr_null(buffer_reserve(&buffer, 1));
	buffer_release(&buffer);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mem");
	TCase *tcase = tcase_create("mem");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, pieces_are_aligned_and_do_not_overlap);
	tcase_add_test(tcase, an_arena_gives_exactly_its_bound_and_again_after_a_reset);
	tcase_add_test(tcase, absurd_sizes_are_refused);
	tcase_add_test(tcase, large_pieces_leave_the_free_part_of_the_newest_block_in_use);
	tcase_add_test(tcase, a_reset_keeps_one_ordinary_block_and_no_large_one);
	tcase_add_test(tcase, calloc_clears_what_was_used_before);
	tcase_add_test(tcase, a_copy_has_the_bytes_and_a_nul_behind_them);
	tcase_add_test(tcase, a_buffer_fills_to_its_last_byte_and_then_stays_failed);
	tcase_add_test(tcase, a_failed_append_leaves_nothing_of_itself_and_blocks_smaller_ones);
	tcase_add_test(tcase, numbers_and_formats_fit_exactly);
	tcase_add_test(tcase, numbers_of_every_length_have_their_digits);
	tcase_add_test(tcase, reserved_room_counts_only_when_it_is_taken);
	return runner_run(runner);
}
