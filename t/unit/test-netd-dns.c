/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS messages of strangers and answers to them, byte by byte; the messages between the daemon and dockerd-netd. */
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "netd/dns.h"
#include "netd/address.h"
#include "network/netd-wire.h"
#include "tap.h"

#define Q_WEB "\3WeB\0\0\1\0\1" /* 9 bytes */

static uint8_t m[1024];
static size_t size;

static void put(const char *bytes, size_t n)
{
	memcpy(m + size, bytes, n);
	size += n;
}
#define PUT(s) put(s, sizeof(s) - 1)

static void head(const char *counts)
{
	size = 0;
	PUT("\xAB\xCD\1\0");
	put(counts, 8);
}

static int reading(struct dns_query *q)
{
	return dns_read_query(m, size, q);
}

static void test_queries(void)
{
	struct dns_query q;

	head("\0\1\0\0\0\0\0\0");
	PUT(Q_WEB);
	is_int(reading(&q), DNS_NOERROR, "a query");
	is_str(q.name, "web", "its name in lower case");
	ok(q.id == 0xABCD && q.type == DNS_A && q.class == 1 && q.limit == 512 && !q.edns && q.plain && q.end == size, "and all else");
	for (size_t n = 0; n < size; n++)
		if (dns_read_query(m, n, &q) == DNS_NOERROR)
			ok(false, "cut at %zu", n);
	m[2] = (char)0x81;
	is_int(reading(&q), DNS_DROP, "an answer is none");
	m[2] = 0x11;
	is_int(reading(&q), DNS_NOTIMP, "other operations are not done");
	head("\0\2\0\0\0\0\0\0");
	PUT(Q_WEB);
	is_int(reading(&q), DNS_FORMERR, "two questions");
	head("\0\1\0\0\0\0\0\0");
	PUT("\xC0\x0C\0\1\0\1");
	is_int(reading(&q), DNS_FORMERR, "a name that points to itself");
	head("\0\1\0\0\0\0\0\0");
	PUT("\1a\xC0\x0C\0\1\0\1");
	is_int(reading(&q), DNS_FORMERR, "a name that goes round");
	head("\0\1\0\0\0\0\0\0");
	PUT("\x7F");
	for (int i = 0; i < 127; i++)
		PUT("a");
	PUT("\0\0\1\0\1");
	is_int(reading(&q), DNS_FORMERR, "a label that is too long");
	head("\0\1\0\0\0\0\0\0");
	for (int i = 0; i < 130; i++)
		PUT("\1a");
	PUT("\0\0\1\0\1");
	is_int(reading(&q), DNS_FORMERR, "a name of more than 255 bytes");
	head("\0\1\0\0\0\0\0\0");
	for (int i = 0; i < 126; i++)
		PUT("\1a");
	PUT("\0\0\1\0\1");
	ok(reading(&q) == DNS_NOERROR && q.name_size == 251, "one just below is a name");
	head("\0\1\0\0\0\0\0\0");
	PUT("\3a.b\0\0\1\0\1");
	ok(reading(&q) == DNS_NOERROR && !q.plain, "a dot within a label is no dot");
	head("\0\1\0\0\0\0\0\0");
	PUT("\0\0\2\0\1");
	ok(reading(&q) == DNS_NOERROR && q.name_size == 0, "the root");
}

static void test_edns(void)
{
	struct dns_query q;

	head("\0\1\0\0\0\0\0\1");
	PUT(Q_WEB "\0\0\x29\x10\0\0\0\0\0\0\0");
	ok(reading(&q) == DNS_NOERROR && q.edns && q.limit == 4096, "how much the asker takes");
	m[size - 8] = 0;
	m[size - 7] = 100;
	ok(reading(&q) == DNS_NOERROR && q.limit == 512, "which is never less than 512");
	PUT("\0\0\x29\x10\0\0\0\0\0\0\0");
	m[11] = 2;
	is_int(reading(&q), DNS_FORMERR, "told twice");
	head("\0\1\0\0\0\0\0\1");
	PUT(Q_WEB "\0\0\x29\x10\0\0\0\0\0\0\4");
	is_int(reading(&q), DNS_FORMERR, "with data that is not there");
	head("\0\1\0\0\0\0\xFF\xFF");
	PUT(Q_WEB);
	is_int(reading(&q), DNS_FORMERR, "records that are not there");
}

static void test_replies(void)
{
	static uint8_t out[512];
	const struct in_addr a = { htonl(0x0A000001) };
	struct dns_reply r;
	struct dns_query q;
	size_t n;
	int added = 0;

	head("\0\1\0\0\0\0\0\0");
	PUT(Q_WEB);
	reading(&q);
	dns_begin(&r, out, sizeof(out), m, &q, DNS_NOERROR);
	dns_add_a(&r, &a);
	n = dns_end(&r);
	ok(n == size + 16 && memcmp(out, "\xAB\xCD\x81\x80\0\1\0\1\0\0\0\0\3WeB\0\0\1\0\1\xC0\x0C\0\1\0\1\0\0\2\x58\0\4\x0A\0\0\1", n) == 0, "an answer as it is on the wire");
	ok(dns_answers(out, n, m, q.end), "answers the query");
	out[13] ^= 32;
	ok(dns_answers(out, n, m, q.end), "also in another case");
	out[13] = 'x';
	ok(!dns_answers(out, n, m, q.end), "but not another name");
	out[13] = 'w';
	out[1] ^= 1;
	ok(!dns_answers(out, n, m, q.end), "nor another query");
	ok(!dns_answers(m, size, m, q.end), "and a query answers nothing");
	dns_begin(&r, out, q.limit, m, &q, DNS_NOERROR);
	while (dns_add_a(&r, &a))
		added++;
	n = dns_end(&r);
	ok(n <= 512 && added == (512 - (int)size) / 16 && out[2] & 2 && out[7] == added, "what has no room is marked (%d of them in %zu bytes)", added, n);
	q.edns = true;
	dns_begin(&r, out, sizeof(out), m, &q, DNS_NXDOMAIN);
	n = dns_end(&r);
	ok(n == size + 11 && (out[3] & 15) == DNS_NXDOMAIN && out[11] == 1 && memcmp(out + size, "\0\0\x29\x04\xD0\0\0\0\0\0\0", 11) == 0, "EDNS is answered with EDNS");
	q.edns = false;
	dns_begin(&r, out, sizeof(out), m, &q, DNS_NOERROR);
	dns_add_srv(&r, 80, "web");
	dns_add_extra(&r, "web", AF_INET, &a);
	n = dns_end(&r);
	ok(memcmp(out + size, "\xC0\x0C\0\x21\0\1\0\0\2\x58\0\x0B\0\0\0\0\0\x50\3web\0\3web\0\0\1\0\1", 32) == 0 && out[11] == 1, "a service with its address");
	ok(dns_cut(out, &q) == size && out[2] & 2 && out[7] == 0 && out[11] == 0, "an answer that is too large becomes a short one");
}

static void test_reverse(void)
{
	struct in6_addr a, want;
	OWN_FREE char *six = xstrdup("");

	ok(dns_reverse("1.2.0.192.in-addr.arpa", &a) == AF_INET && memcmp(&a, "\xC0\0\2\1", 4) == 0, "an address backwards");
	is_int(dns_reverse("1.2.0.in-addr.arpa", &a), 0, "one that is too short");
	is_int(dns_reverse("256.2.0.192.in-addr.arpa", &a), 0, "one beyond all");
	is_int(dns_reverse("1.2.0.192.in-addr.arpa.x", &a), 0, "and more behind it");
	inet_pton(AF_INET6, "fd00::1:2af3", &want);
	for (int i = 15; i >= 0; i--) {
		char *more = xasprintf("%s%x.%x.", six, want.s6_addr[i] & 15, want.s6_addr[i] >> 4);

		free(six);
		six = more;
	}
	six = xrealloc(six, 80);
	memcpy(six + 64, "ip6.arpa", sizeof("ip6.arpa"));
	ok(dns_reverse(six, &a) == AF_INET6 && memcmp(&a, &want, 16) == 0, "IPv6");
	six[3] = 'g';
	is_int(dns_reverse(six, &a), 0, "with something else in it");
}

static void test_addresses(void)
{
	struct address a, b;
	char text[ADDRESS_TEXT];

	ok(address_parse("127.0.0.1", 80, &a) && a.sa.sa_family == AF_INET && address_port(&a) == 80, "an address");
	is_str(address_text(&a, text), "127.0.0.1:80", "and its text");
	ok(address_parse("fe80::1%7", 53, &b) && b.in6.sin6_scope_id == 7, "one of a link");
	is_str(address_text(&b, text), "[fe80::1]:53", "and its text");
	ok(address_parse("fe80::1%lo", 53, &a) && a.in6.sin6_scope_id == if_nametoindex("lo"), "by its name");
	ok(!address_parse("127.0.0.1%1", 1, &a) && !address_parse("1.2.3", 1, &a) && !address_parse("::1%x", 1, &a) && !address_parse("", 1, &a), "nonsense");
	address_parse("0.0.0.0", 1, &a);
	address_parse("127.0.0.1", 2, &b);
	ok(address_overlaps(&a, &b) && !address_same(&a, &b), "all of them is also this one");
	address_parse("::", 1, &a);
	ok(!address_overlaps(&a, &b), "but not of the other family");
}

static void test_messages(void)
{
	OWN_NETD_MSG struct netd_msg w = { 0 }, back = { 0 };
	struct netd_fds fds = { .len = 0 };
	OWN_BUF struct buf in = { 0 };
	struct netd_field f;
	int pair[2], got[2], null = 0;
	int64_t n = 0;
	size_t pos = 0;

	netd_msg_init(&w, NETD_PUBLISH);
	netd_msg_str(&w, NTAG_ENDPOINT, "one");
	netd_msg_str(&w, NTAG_NAME, NULL);
	netd_msg_int(&w, NTAG_PID, -5);
	netd_msg_put(&w, &in);
	for (size_t cut = 0; cut < in.size; cut++) {
		OWN_BUF struct buf part = { 0 };

		buf_add(&part, in.data, cut);
		if (netd_msg_parse(&part, &back) != 0)
			ok(false, "cut at %zu", cut);
	}
	ok(netd_msg_parse(&in, &back) == 1 && in.size == 0, "a message comes whole");
	is_str(netd_msg_get_str(&back, NTAG_ENDPOINT), "one", "with its text");
	is_int(netd_msg_get_int(&back, NTAG_PID, 0), -5, "and its number");
	ok(!netd_msg_get_str(&back, NTAG_NAME) && netd_msg_get_int(&back, NTAG_INDEX, 7) == 7, "and nothing else");
	ok(netd_msg_get_int(&back, NTAG_ENDPOINT, 7) == 7 && !netd_msg_get_str(&back, NTAG_PID), "text is no number");
	ok(netd_msg_next(&back, &pos, &f) && f.tag == NTAG_ENDPOINT && netd_msg_next(&back, &pos, &f) && netd_field_int(&f, &n) && !netd_msg_next(&back, &pos, &f), "field by field");
	back.body.data[4] = (char)0xFF;
	pos = 0;
	ok(!netd_msg_next(&back, &pos, &f), "a field that is larger than the message is none");
	buf_add(&in, "\xFF\xFF\xFF\xFF\1\0\1\0", 8);
	is_int(netd_msg_parse(&in, &w), -1, "a message that is too large is none");
	buf_reset(&in);
	ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "over a socket");
	got[0] = got[1] = pair[0];
	ok(netd_msg_send(pair[0], &w, got, 2) == 0 && netd_msg_send(pair[0], &w, &null, 1) == 0, "with descriptors");
	while (in.size < 2 * (sizeof(struct netd_head) + w.body.size) && netd_read(pair[1], &in, &fds, 0) > 0)
		;
	ok(fds.len == 3 && netd_fds_take(&fds, got, 2) && !netd_fds_take(&fds, got, 2) && fds.len == 1, "which come in order");
	close(got[0]);
	close(got[1]);
	netd_fds_done(&fds);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	test_queries();
	test_edns();
	test_replies();
	test_reverse();
	test_addresses();
	test_messages();
	return tap_done();
}
