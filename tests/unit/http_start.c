/* Requests that wait in the socket's backlog while the listener is still starting its threads. */
#include <dlfcn.h>

#include "support/http_harness.h"

/* Threads are made in this order: the harness's own, the workers. */
enum { RESUMER, FIRST_WORKER, SECOND_WORKER };

static atomic_uint created;
static unsigned slow = UINT_MAX;    /* after this thread's start its maker is held up */
static unsigned failing = UINT_MAX; /* this one is not made */

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* Takes the place of the library's. */
int
pthread_create(pthread_t *thread, // NOLINT(readability-inconsistent-*): glibc's names are reserved
	       const pthread_attr_t *attributes, void *(*run)(void *), void *cookie)
{
	create *real;
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	const unsigned number = atomic_fetch_add(&created, 1);
	if (number == failing)
		return EAGAIN;
	const int error = real(thread, attributes, run, cookie);
	if (number == slow)
		(void)usleep(300 * 1000);
	return error;
}

static int
listening(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(fd, 10), 0);
	return fd;
}

static int
call(int listening_fd, const char *path)
{
	struct sockaddr_in name;
	socklen_t size = sizeof(name);
	ck_assert_int_eq(getsockname(listening_fd, (struct sockaddr *)&name, &size), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	set_timeouts(fd);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, size), 0);
	send_format(fd, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", path);
	return fd;
}

START_TEST(a_request_that_is_resumed_while_threads_start_is_answered)
{
	struct answer answer;
	struct listener_options options = harness_options();
	options.inherited_fd = listening();
	int fd = call(options.inherited_fd, "/park?1");
	slow = (unsigned)_i;
	harness_start(&options);
	ck_assert(try_read_answer(fd, &answer, true));
	ck_assert_uint_eq(answer.status, 200);
	answer_release(&answer);
	close(fd);
	harness_stop();
}
END_TEST

START_TEST(a_start_that_fails_half_way_says_so)
{
	struct app app = {NULL, app_begin, app_serve, app_refuse, app_leave, app_end};
	struct listener_options options = harness_options();
	const char *problem = NULL;
	options.inherited_fd = listening();
	int fd = call(options.inherited_fd, "/hold");
	atomic_store(&created, FIRST_WORKER);
	slow = FIRST_WORKER;
	failing = SECOND_WORKER;
	harness.held = queue_new(4096);
	ck_assert_int_eq(listener_start(&options, &app, &harness.listener, &problem),
			 STATUS_INTERNAL);
	ck_assert_ptr_nonnull(strstr(problem, "threads"));
	queue_free(harness.held);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_start");
	TCase *tests = tcase_create("start");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_request_that_is_resumed_while_threads_start_is_answered,
			    RESUMER, SECOND_WORKER + 1);
	tcase_add_test(tests, a_start_that_fails_half_way_says_so);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
