#include <arpa/inet.h>
#include <check.h>
#include <string.h>
#include <sys/un.h>

#include "http/peers.h"
#include "support/runner.h"

static struct sockaddr_storage
address(const char *text)
{
	struct sockaddr_storage name;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&name;
	memset(&name, 0, sizeof(name));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
	}
	return name;
}

/* Whether somebody of the second address finds one place taken by somebody of the first. */
static bool
share(const char *first, const char *second)
{
	struct peers peers;
	struct peer *one, *other;
	struct sockaddr_storage a = address(first), b = address(second);
	ck_assert_int_eq(peers_init(&peers, 1), STATUS_OK);
	ck_assert(peers_enter(&peers, (struct sockaddr *)&a, &one));
	bool shared = !peers_enter(&peers, (struct sockaddr *)&b, &other);
	if (!shared)
		peers_leave(&peers, other);
	peers_leave(&peers, one);
	peers_release(&peers); /* aborts when it still knows somebody */
	return shared;
}

START_TEST(addresses_are_told_apart_and_an_ipv6_network_is_one)
{
	ck_assert(share("192.0.2.1", "192.0.2.1"));
	ck_assert(!share("192.0.2.1", "192.0.2.2"));
	ck_assert(share("192.0.2.1", "::ffff:192.0.2.1"));
	ck_assert(share("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
	ck_assert(!share("2001:db8:1:2::1", "2001:db8:1:3::1"));
	ck_assert(!share("0.0.0.1", "2001:db8::1"));
}
END_TEST

START_TEST(a_place_is_given_back)
{
	struct peers peers;
	struct peer *held[3];
	struct sockaddr_storage name = address("192.0.2.1");
	ck_assert_int_eq(peers_init(&peers, 2), STATUS_OK);
	for (unsigned round = 0; round < 3; round++) {
		ck_assert(peers_enter(&peers, (struct sockaddr *)&name, &held[0]));
		ck_assert(peers_enter(&peers, (struct sockaddr *)&name, &held[1]));
		ck_assert(!peers_enter(&peers, (struct sockaddr *)&name, &held[2]));
		ck_assert_ptr_null(held[2]);
		peers_leave(&peers, held[0]);
		peers_leave(&peers, held[1]);
	}
	peers_release(&peers);
}
END_TEST

START_TEST(nobody_counts_without_a_limit_or_on_a_unix_socket)
{
	struct peers peers;
	struct peer *held;
	struct sockaddr_storage name = address("192.0.2.1");
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	ck_assert_int_eq(peers_init(&peers, 0), STATUS_OK);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert(peers_enter(&peers, (struct sockaddr *)&name, &held));
		ck_assert_ptr_null(held);
	}
	peers_release(&peers);
	ck_assert_int_eq(peers_init(&peers, 1), STATUS_OK);
	for (unsigned i = 0; i < 100; i++)
		ck_assert(peers_enter(&peers, (struct sockaddr *)&local, &held));
	peers_leave(&peers, held);
	peers_release(&peers);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_peers");
	TCase *tests = tcase_create("peers");
	tcase_add_test(tests, addresses_are_told_apart_and_an_ipv6_network_is_one);
	tcase_add_test(tests, a_place_is_given_back);
	tcase_add_test(tests, nobody_counts_without_a_limit_or_on_a_unix_socket);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
