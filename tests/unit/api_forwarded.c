/* api/forwarded: which address is believed to be the client's. */
#include "api/forwarded.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "support/runner.h"

static bool is_unix_trusted = true;

/* 10.0.0.0/8, fd00::/8 and unix sockets are the proxies'. */
static bool
is_trusted(const void *cookie, const struct sockaddr *address)
{
	(void)cookie;
	if (address->sa_family == AF_UNIX)
		return is_unix_trusted;
	if (address->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)(const void *)address)
				      ->sin_addr.s_addr) >>
			24) == 10;
	return ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr[0] == 0xfd;
}

static bool
trusts_none(const void *cookie, const struct sockaddr *address)
{
	(void)cookie;
	(void)address;
	return false;
}

static const struct forwarded_trust trust = {.is_trusted = is_trusted};

static struct sockaddr_storage
peer_of(const char *text)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNIX};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		peer.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		peer.ss_family = AF_INET6;
	else
		ck_assert_str_eq(text, "unix");
	return peer;
}

/* The client's name as hexadecimal digits, or "nobody". */
static const char *
client(enum forwarded_header header, const char *peer, const char *list)
{
	static char digits[17];
	const struct sockaddr_storage address = peer_of(peer);
	struct address_name name;
	if (!forwarded_client(header, (const struct sockaddr *)&address, text_of(list), &trust,
			      &name))
		return "nobody";
	for (size_t i = 0; i < sizeof(name.bytes); i++)
		snprintf(digits + 2 * i, 3, "%02x", name.bytes[i]);
	return digits;
}

#define CLIENT "0909090900000000" /* 9.9.9.9 */
#define OTHER "0101010100000000"  /* 1.1.1.1 */

START_TEST(the_peer_is_the_client_where_nobody_is_trusted)
{
	ck_assert_str_eq(client(FORWARDED_FOR, "9.9.9.9", "1.1.1.1"), CLIENT);
	ck_assert_str_eq(client(FORWARDED_RFC7239, "9.9.9.9", "for=1.1.1.1"), CLIENT);
	ck_assert_str_eq(client(FORWARDED_FOR, "::ffff:9.9.9.9", "1.1.1.1"), CLIENT);
}
END_TEST

START_TEST(the_last_address_that_is_not_trusted_is_the_client)
{
	static const char *const lists[] = {
		"9.9.9.9",
		"1.1.1.1, 9.9.9.9",
		"1.1.1.1,9.9.9.9,10.1.1.1",
		"10.7.7.7, 1.1.1.1, 9.9.9.9 , 10.1.1.1,fd00::1",
		"rubbish, 9.9.9.9",
		"9.9.9.9:4711",
		"::ffff:9.9.9.9",
		"[::ffff:9.9.9.9]:80",
		", ,9.9.9.9",
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		ck_assert_str_eq(client(FORWARDED_FOR, "10.0.0.1", lists[i]), CLIENT);
		ck_assert_str_eq(client(FORWARDED_FOR, "unix", lists[i]), CLIENT);
		ck_assert_str_eq(client(FORWARDED_FOR, "fd00::2", lists[i]), CLIENT);
	}
}
END_TEST

START_TEST(what_stands_before_a_hop_that_cannot_be_read_is_not_believed)
{
	static const char *const lists[] = {
		"1.1.1.1, unknown",	"1.1.1.1, ",	      "1.1.1.1, 10.1.1.1.1",
		"1.1.1.1, [fd00::1",	"1.1.1.1, 10.1.1.1:", "1.1.1.1, 10.1.1.1:99999",
		"1.1.1.1, [fd00::1]80", "1.1.1.1, _hidden",   "",
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ck_assert_str_eq(client(FORWARDED_FOR, "10.0.0.1", lists[i]), "nobody");
}
END_TEST

START_TEST(a_proxy_that_names_nobody_is_nobody)
{
	ck_assert_str_eq(client(FORWARDED_FOR, "10.0.0.1", "10.1.1.1"), "nobody");
	ck_assert_str_eq(client(FORWARDED_NONE, "10.0.0.1", "9.9.9.9"), "nobody");
	ck_assert_str_eq(client(FORWARDED_NONE, "9.9.9.9", "1.1.1.1"), CLIENT);
	ck_assert_ptr_null(forwarded_name(FORWARDED_NONE));
	ck_assert_str_eq(forwarded_name(FORWARDED_FOR), "X-Forwarded-For");
	ck_assert_str_eq(forwarded_name(FORWARDED_RFC7239), "Forwarded");
}
END_TEST

START_TEST(hops_of_rfc_7239_are_read)
{
	static const char *const lists[] = {
		"for=9.9.9.9",
		"For=\"9.9.9.9:4711\";proto=https",
		"for=1.1.1.1, by=10.0.0.1;FOR=9.9.9.9, for=\"[fd00::1]:80\"",
		"for=\"[::ffff:9.9.9.9]\";host=\"a;b\\\"c\"",
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ck_assert_str_eq(client(FORWARDED_RFC7239, "10.0.0.1", lists[i]), CLIENT);
}
END_TEST

/* What a client puts into its Host, and a proxy quotes. */
START_TEST(a_hop_within_quotes_is_not_believed)
{
	static const char *const lists[] = {
		"for=9.9.9.9;host=\"x, for=1.1.1.1\"",
		"for=9.9.9.9;host=\"x, for=1.1.1.1;a=\"",
		"for=9.9.9.9;host=\"x, for=1.1.1.1;a=\\\"\"",
		"for=9.9.9.9;host=\"x, for=\\\"1.1.1.1\\\"\"",
		"for=1.1.1.1;for=9.9.9.9",
		"9.9.9.9",
		"for=unknown",
		"for=_9",
		"for=",
		"for",
		"for=9.9.9.9;",
		"for = 9.9.9.9",
		"for=\"9.9.9.9",
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ck_assert_str_eq(client(FORWARDED_RFC7239, "10.0.0.1", lists[i]), "nobody");
}
END_TEST

START_TEST(addresses_of_one_customers_network_have_one_name)
{
	ck_assert_str_eq(client(FORWARDED_FOR, "unix", "2001:db8:1:2::1"), "20010db800010002");
	ck_assert_str_eq(client(FORWARDED_FOR, "unix", "2001:db8:1:2:f::9"), "20010db800010002");
	ck_assert_str_eq(client(FORWARDED_FOR, "unix", "[2001:db8:1:3::1]:1"), "20010db800010003");
	ck_assert_str_eq(client(FORWARDED_FOR, "1.1.1.1", ""), OTHER);
}
END_TEST

/* Nor is it an address that a network can have, as ::1's would be. */
START_TEST(all_that_come_over_a_socket_that_is_not_trusted_are_one_client)
{
	is_unix_trusted = false;
	ck_assert_str_eq(client(FORWARDED_FOR, "unix", "9.9.9.9"), "ffffffffffffffff");
	ck_assert_str_eq(client(FORWARDED_NONE, "unix", ""), "ffffffffffffffff");
	is_unix_trusted = true;
	ck_assert_str_eq(client(FORWARDED_FOR, "unix", ""), "nobody");
}
END_TEST

static const char *
written(enum forwarded_header header, const char *peer, const char *list)
{
	static char text[INET6_ADDRSTRLEN];
	const struct sockaddr_storage address = peer_of(peer);
	return forwarded_text(header, (const struct sockaddr *)&address, text_of(list), &trust,
			      text)
		.data;
}

/* Whole, and the proxy's own where it tells of nobody. */
START_TEST(the_log_has_the_address_that_is_believed)
{
	ck_assert_str_eq(written(FORWARDED_FOR, "9.9.9.9", "1.1.1.1"), "9.9.9.9");
	ck_assert_str_eq(written(FORWARDED_FOR, "10.0.0.1", "1.1.1.1, 9.9.9.9, 10.0.0.2"),
			 "9.9.9.9");
	ck_assert_str_eq(written(FORWARDED_FOR, "unix", "1.1.1.1, 2001:db8::7"), "2001:db8::7");
	ck_assert_str_eq(written(FORWARDED_RFC7239, "fd00::1", "for=\"[2001:db8::7]:80\""),
			 "2001:db8::7");
	ck_assert_str_eq(written(FORWARDED_NONE, "::ffff:9.9.9.9", ""), "9.9.9.9");
	ck_assert_str_eq(written(FORWARDED_FOR, "10.0.0.1", "1.1.1.1, nonsense"), "10.0.0.1");
	ck_assert_str_eq(written(FORWARDED_FOR, "unix", ""), "unix");
	const struct sockaddr_storage odd = {.ss_family = AF_APPLETALK};
	char text[INET6_ADDRSTRLEN];
	const struct forwarded_trust nobody = {.is_trusted = trusts_none};
	ck_assert_ptr_null(forwarded_text(FORWARDED_NONE, (const struct sockaddr *)&odd, TEXT(""),
					  &nobody, text)
				   .data);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api/forwarded");
	TCase *tests = tcase_create("forwarded");
	tcase_add_test(tests, the_peer_is_the_client_where_nobody_is_trusted);
	tcase_add_test(tests, the_last_address_that_is_not_trusted_is_the_client);
	tcase_add_test(tests, what_stands_before_a_hop_that_cannot_be_read_is_not_believed);
	tcase_add_test(tests, a_proxy_that_names_nobody_is_nobody);
	tcase_add_test(tests, hops_of_rfc_7239_are_read);
	tcase_add_test(tests, a_hop_within_quotes_is_not_believed);
	tcase_add_test(tests, addresses_of_one_customers_network_have_one_name);
	tcase_add_test(tests, all_that_come_over_a_socket_that_is_not_trusted_are_one_client);
	tcase_add_test(tests, the_log_has_the_address_that_is_believed);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
