#include "store/file_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_generichash.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/problem.h"

#define PIECE_SIZE ((size_t)1 << 20)
#define FILE_MODE 0600 /* users' data */

/* Until so many bytes may have passed since then. */
static void
keep_rate(uint64_t began, uint64_t bytes, uint64_t rate)
{
	const uint64_t due = began + (rate == 0 ? 0 : bytes * 1000000 / rate);
	const uint64_t now = clock_monotonic_usec();
	if (due <= now)
		return;
	const uint64_t wait = due - now;
	const struct timespec pause = {.tv_sec = (time_t)(wait / 1000000),
				       .tv_nsec = (long)(wait % 1000000 * 1000)};
	(void)nanosleep(&pause, NULL);
}

static bool
write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		const ssize_t put = write(fd, bytes, size);
		if (put == -1 && errno != EINTR)
			return false;
		bytes += put == -1 ? 0 : put;
		size -= put == -1 ? 0 : (size_t)put;
	}
	return true;
}

/* errno says what failed. */
static bool
copy_bytes(const struct file_copy *copy, int from, int to, struct file_sum *sum)
{
	uint8_t *piece = malloc(PIECE_SIZE);
	const uint64_t began = clock_monotonic_usec();
	crypto_generichash_state state;
	ssize_t got = piece == NULL ? -1 : 1;
	CHECK(crypto_generichash_init(&state, NULL, 0, FILE_SUM_SIZE) == 0);
	while (got > 0) {
		got = read(from, piece, PIECE_SIZE);
		if (got <= 0)
			break;
		CHECK(crypto_generichash_update(&state, piece, (size_t)got) == 0);
		if (to != -1 && !write_all(to, piece, (size_t)got))
			got = -1;
		sum->bytes += got > 0 ? (uint64_t)got : 0;
		if (got > 0 && copy->progress != NULL)
			copy->progress(copy->cookie, (uint64_t)got);
		keep_rate(began, sum->bytes, copy->rate);
	}
	free(piece);
	CHECK(crypto_generichash_final(&state, sum->sum, FILE_SUM_SIZE) == 0);
	return got == 0 && (to == -1 || fsync(to) == 0);
}

enum status
file_copy(const struct file_copy *copy, struct file_sum *sum, const char **problem)
{
	*sum = (struct file_sum){.bytes = 0};
	const int from = open(copy->from, O_RDONLY | O_CLOEXEC);
	if (from == -1)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s: %s", copy->from,
				   strerrordesc_np(errno));
	int to = -1;
	if (copy->to != NULL)
		to = open(copy->to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	enum status status = STATUS_OK;
	if ((copy->to != NULL && to == -1) || !copy_bytes(copy, from, to, sum))
		status = problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s%s%s: %s", copy->from,
				     copy->to == NULL ? "" : ", to ",
				     copy->to == NULL ? "" : copy->to, strerrordesc_np(errno));
	if (to != -1)
		(void)close(to);
	(void)close(from);
	return status;
}
