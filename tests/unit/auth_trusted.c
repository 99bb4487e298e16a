/* auth/trusted: from which addresses a proxy may come. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "auth/trusted.h"
#include "support/runner.h"

static bool
contain(const char *list, const char *address)
{
	struct trusted trusted;
	struct text bad;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	ck_assert_msg(trusted_parse(&trusted, text_of(list), &bad), "%s", list);
	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		return trusted_contain(&trusted, (struct sockaddr *)&v4);
	ck_assert_int_eq(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	return trusted_contain(&trusted, (struct sockaddr *)&v6);
}

START_TEST(an_address_is_in_a_network_by_its_first_bits)
{
	static const struct {
		const char *list, *address;
		bool in;
	} cases[] = {
		{"10.0.0.0/8", "10.255.1.2", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.1.2.128/25", "10.1.2.128", true},
		{"10.1.2.128/25", "10.1.2.127", false},
		{"10.1.2.3/32", "10.1.2.3", true},
		{"10.1.2.3", "10.1.2.2", false},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"10.0.0.0/8", "::ffff:10.1.1.1", true},
		{"::ffff:10.0.0.0/104", "10.1.1.1", true},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"::1", "::1", true},
		{"::1", "127.0.0.1", false},
		{"::/0", "127.0.0.1", true},
		{" 192.0.2.1 , ::1 ", "::1", true},
		{"192.0.2.1,::1", "192.0.2.1", true},
		{"unix", "127.0.0.1", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(contain(cases[i].list, cases[i].address) == cases[i].in, "%s in %s",
			      cases[i].address, cases[i].list);
}
END_TEST

START_TEST(a_list_that_is_not_clear_is_refused)
{
	static const char *const bad[] = {
		"10.0.0.1/8",	"10.0.0.0/33", "10.0.0.0/",	 "10.0.0.0/-1",
		"10.0.0.0/08",	"10.0.0",      "2001:db8::1/64", "::/129",
		"proxy",	"a, b",	       "10.0.0.1,,::1",	 "UNIX",
		"10.0.0.1/8/8", "/8",	       "fe80::1%lo",	 "10.0.0.0/104",
	};
	struct trusted trusted;
	struct text first;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!trusted_parse(&trusted, text_of(bad[i]), &first), "%s", bad[i]);
	ck_assert(!trusted_parse(&trusted, TEXT("::1, x y ,10.0.0.1"), &first));
	ck_assert(text_equal(first, TEXT("x y")));
}
END_TEST

START_TEST(there_is_a_bound)
{
	char list[TRUSTED_MAX * 20 + 20];
	size_t size = 0;
	struct trusted trusted;
	struct text bad;
	for (int i = 0; i < TRUSTED_MAX; i++)
		size += (size_t)snprintf(list + size, sizeof(list) - size, "%s10.0.0.%d",
					 i > 0 ? "," : "", i);
	ck_assert(trusted_parse(&trusted, (struct text){list, size}, &bad));
	snprintf(list + size, sizeof(list) - size, ",10.1.0.0");
	ck_assert(!trusted_parse(&trusted, text_of(list), &bad));
	ck_assert(text_equal(bad, TEXT("10.1.0.0")));
}
END_TEST

START_TEST(a_unix_socket_is_trusted_by_its_word_only)
{
	const struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct trusted trusted;
	struct text bad;
	ck_assert(trusted_parse(&trusted, TEXT("unix"), &bad));
	ck_assert(trusted_contain(&trusted, (const struct sockaddr *)&local));
	ck_assert(!trusted_contain(&trusted, NULL));
	ck_assert(trusted_parse(&trusted, TEXT("::/0"), &bad));
	ck_assert(!trusted_contain(&trusted, (const struct sockaddr *)&local));
	ck_assert(trusted_parse(&trusted, TEXT(""), &bad));
	ck_assert(!trusted_contain(&trusted, (const struct sockaddr *)&local));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth_trusted");
	TCase *tests = tcase_create("trusted");
	tcase_add_test(tests, an_address_is_in_a_network_by_its_first_bits);
	tcase_add_test(tests, a_list_that_is_not_clear_is_refused);
	tcase_add_test(tests, there_is_a_bound);
	tcase_add_test(tests, a_unix_socket_is_trusted_by_its_word_only);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
