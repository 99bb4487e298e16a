/*
 * check: assertions that stay on in production.
 *
 * CHECK is for bugs, ours: arguments at the door, invariants after a move. What a client or the
 * world can cause is never a CHECK but a status.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Aborts with the condition, file and line on stderr when the condition is false. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			check_failed(#condition, __FILE__, __LINE__);                              \
	} while (0)

__attribute__((noreturn, cold)) void check_failed(const char *condition, const char *file,
						  int line);

#endif
