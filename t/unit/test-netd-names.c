/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names in sandboxes: two of them on networks, a server upstream that the test plays itself. */
#include "netd-box.h"

#include "base/buf.h"
#include "netd/dns.h"

#define RESOLVER "127.0.0.11"
#define TYPE_TXT 16

static struct netd *n;
static char *ns[2];
static const char *const ids[2] = { "aaaaaaaaaaaa1111", "bbbbbbbbbbbb2222" };
static char words[4096]; /* the last answer, as text */

/* A query; edns 0: none. */
static size_t question(uint8_t *m, uint16_t id, const char *name, unsigned type, unsigned edns)
{
	size_t size = DNS_HEAD;

	memset(m, 0, DNS_HEAD);
	m[0] = (uint8_t)(id >> 8);
	m[1] = (uint8_t)id;
	m[2] = 1;
	m[5] = 1;
	m[11] = edns ? 1 : 0;
	while (*name) {
		size_t len = strcspn(name, ".");

		m[size] = (uint8_t)len;
		memcpy(m + size + 1, name, len);
		size += len + 1;
		name += len + (name[len] == '.');
	}
	m[size++] = 0;
	m[size++] = (uint8_t)(type >> 8);
	m[size++] = (uint8_t)type;
	m[size++] = 0;
	m[size++] = 1;
	if (edns) {
		const uint8_t opt[11] = { 0, 0, DNS_OPT, (uint8_t)(edns >> 8), (uint8_t)edns };

		memcpy(m + size, opt, sizeof(opt));
		size += sizeof(opt);
	}
	return size;
}

static size_t name_text(const uint8_t *m, size_t size, size_t at, struct buf *out)
{
	size_t back = 0;

	for (int i = 0; i < 128 && at < size; i++) {
		if (m[at] >= 0xC0) {
			back = back ? back : at + 2;
			at = (size_t)(m[at] & 0x3F) << 8 | m[at + 1];
			continue;
		}
		if (m[at] == 0)
			return back ? back : at + 1;
		buf_add(out, m + at + 1, m[at]);
		buf_addc(out, '.');
		at += 1u + m[at];
	}
	return size;
}

static void record_text(const uint8_t *m, size_t size, size_t *at, struct buf *out)
{
	OWN_BUF struct buf owner = { 0 };
	char text[INET6_ADDRSTRLEN];
	unsigned type, len, ttl;

	*at = name_text(m, size, *at, &owner);
	type = (unsigned)(m[*at] << 8 | m[*at + 1]);
	ttl = (unsigned)(m[*at + 6] << 8 | m[*at + 7]);
	len = (unsigned)(m[*at + 8] << 8 | m[*at + 9]);
	*at += 10;
	if (type == DNS_OPT)
		buf_adds(out, " opt");
	else if (type == DNS_A || type == DNS_AAAA)
		buf_addf(out, " %s", inet_ntop(type == DNS_A ? AF_INET : AF_INET6, m + *at, text, sizeof(text)));
	else if (type == DNS_PTR || type == DNS_SRV) {
		buf_adds(out, " ");
		if (type == DNS_SRV)
			buf_addf(out, "%u:", (unsigned)(m[*at + 4] << 8 | m[*at + 5]));
		name_text(m, size, *at + (type == DNS_SRV ? 6 : 0), out);
	}
	if (type != DNS_OPT && ttl != DNS_TTL)
		buf_addf(out, "/%u", ttl);
	*at += len;
}

/* "rcode[ tc] answers... | extra..." */
static const char *answer_text(const uint8_t *m, size_t size)
{
	OWN_BUF struct buf out = { 0 }, skipped = { 0 };
	size_t at = DNS_HEAD;
	unsigned answers = (unsigned)(m[6] << 8 | m[7]), extra = m[11];

	buf_addf(&out, "%d%s", m[3] & 15, m[2] & 2 ? " tc" : "");
	if (m[5])
		at = name_text(m, size, at, &skipped) + 4;
	for (unsigned i = 0; i < answers && at < size; i++)
		record_text(m, size, &at, &out);
	if (extra)
		buf_adds(&out, " |");
	for (unsigned i = 0; i < extra && at < size; i++)
		record_text(m, size, &at, &out);
	snprintf(words, sizeof(words), "%s", out.data);
	return words;
}

/* Asks in a sandbox, as a container would. "timeout" when nothing comes. */
static const char *ask_at(int box, const char *name, unsigned type, unsigned edns)
{
	OWN_FD int fd = nb_connect(ns[box], RESOLVER, 53, SOCK_DGRAM);
	static uint8_t m[4096];
	ssize_t r;

	if (send(fd, m, question(m, 0x1234, name, type, edns), 0) < 0)
		return strerror(errno);
	r = recv(fd, m, sizeof(m), 0);
	return r < DNS_HEAD || m[0] != 0x12 || m[1] != 0x34 ? "timeout" : answer_text(m, (size_t)r);
}

static const char *ask(const char *name, unsigned type)
{
	return ask_at(0, name, type, 0);
}

static size_t tcp_answer(int fd, uint8_t *m)
{
	uint8_t len[2];

	if (recv(fd, len, 2, MSG_WAITALL) != 2 || recv(fd, m, (size_t)(len[0] << 8 | len[1]), MSG_WAITALL) != (len[0] << 8 | len[1]))
		return 0;
	return (size_t)(len[0] << 8 | len[1]);
}

static bool tcp_send(int fd, const uint8_t *m, size_t size)
{
	uint8_t out[4096] = { (uint8_t)(size >> 8), (uint8_t)size };

	memcpy(out + 2, m, size);
	return write(fd, out, size + 2) == (ssize_t)size + 2;
}

static const char *ask_tcp(const char *name, unsigned type)
{
	static uint8_t m[65536];
	OWN_FD int fd = nb_connect(ns[0], RESOLVER, 53, SOCK_STREAM);
	size_t size = question(m, 0x1234, name, type, 0);

	if (fd < 0 || !tcp_send(fd, m, size))
		return "no connection";
	size = tcp_answer(fd, m);
	return size ? answer_text(m, size) : "no answer";
}

/* Server upstream: names and types that its networks have. */
static void tell(const char *servers, const char *search, bool internal)
{
	OWN_STRV struct strv one = { 0 }, two = { 0 }, upstream = { 0 }, domains = { 0 };
	OWN_STRMAP struct strmap links = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct netd_net nets[2] = {
		{ .id = "net1", .name = "Front", .ipv4 = "172.30.0.2", .ipv6 = "fd00::2", .names = &one, .internal = internal },
		{ .id = "net2", .name = "back", .ipv4 = "172.31.0.2", .names = &one, .internal = internal },
	}, other = { .id = "net1", .name = "Front", .ipv4 = "172.30.0.3", .names = &two, .internal = internal };
	struct netd_sandbox a = { .id = ids[0], .netns_path = ns[0], .nets = nets, .nets_len = 2, .links = &links, .servers = &upstream, .search = &domains },
		b = { .id = ids[1], .netns_path = ns[1], .nets = &other, .nets_len = 1, .servers = &upstream };

	strv_add(&one, "Web");
	strv_add(&one, "aaaaaaaaaaaa");
	strv_add(&one, "service");
	strv_add(&two, "db.1.x");
	strv_add(&two, "service");
	strmap_set(&links, "Store", "db.1.x");
	strmap_set(&links, "gone", "nobody");
	strv_split(&upstream, servers, " ");
	strv_split(&domains, search, " ");
	is_int(netd_sandbox(n, &a, &err), 0, "a sandbox is told (%s)", err_text(&err));
	is_int(netd_sandbox(n, &b, &err), 0, "and another (%s)", err_text(&err));
}

static void test_names(void)
{
	is_str(ask("web", DNS_A), "0 172.30.0.2", "a name");
	is_str(ask("WEB.", DNS_A), "0 172.30.0.2", "in any case");
	is_str(ask("aaaaaaaaaaaa", DNS_A), "0 172.30.0.2", "a short id");
	is_str(ask("web", DNS_AAAA), "0 fd00::2", "an address of IPv6");
	is_str(ask("web", DNS_ANY), "0 172.30.0.2 fd00::2", "all there is");
	is_str(ask("web", TYPE_TXT), "0", "nothing of another type, but the name is there");
	is_str(ask("db.1.x", DNS_AAAA), "0", "nothing of IPv6, but the name is there");
	is_str(ask("db.1.x", DNS_A), "0 172.30.0.3", "a name with dots");
	is_str(ask("db.1.x.front", DNS_A), "0 172.30.0.3", "on its network");
	is_str(ask("web.back", DNS_A), "0 172.31.0.2", "the other address on the other network");
	is_str(ask("web.back", DNS_AAAA), "0", "which has no IPv6");
	is_str(ask("store", DNS_A), "0 172.30.0.3", "a link");
	is_str(ask("store.front", DNS_A), "0 172.30.0.3", "on its network");
	is_str(ask_at(1, "web", DNS_A, 0), "0 172.30.0.2", "the other one knows it too");
	is_str(ask("2.0.30.172.in-addr.arpa", DNS_PTR), "0 web.Front.", "backwards");
	is_str(ask("2.0.31.172.in-addr.arpa", DNS_PTR), "0 web.back.", "on the other network");
	is_str(ask("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", DNS_PTR), "0 web.Front.", "and IPv6");
	is_str(ask("_80._tcp.web", DNS_SRV), "0 80:web. | 172.30.0.2 fd00::2", "a service");
	is_str(ask_at(0, "web", DNS_A, 4096), "0 172.30.0.2 | opt", "EDNS");
	is_str(ask_tcp("web", DNS_A), "0 172.30.0.2", "by TCP");
}

static void test_round_robin(void)
{
	int first[2] = { 0, 0 };

	for (int i = 0; i < 200; i++) {
		const char *text = ask("service", DNS_A);

		first[0] += streq(text, "0 172.30.0.2 172.30.0.3");
		first[1] += streq(text, "0 172.30.0.3 172.30.0.2");
	}
	is_int(first[0] + first[1], 200, "two of one name are both told");
	ok(first[0] > 50 && first[1] > 50, "each of them first now and then (%d, %d)", first[0], first[1]);
}

static void test_internal(void)
{
	int64_t began = clock_mono();

	tell("10.1.1.1", "", true);
	for (int i = 0; i < 100; i++)
		ask("example.org", DNS_A);
	is_str(words, "2", "what is not known on internal networks is nobody's business");
	ok(clock_mono() - began < 10 * NSEC_PER_SEC, "which is said at once (%lld us)", (long long)(clock_mono() - began) / 100000);
	is_str(ask("gone", DNS_A), "2", "a link to nobody");
	is_str(ask("web", DNS_A), "0 172.30.0.2", "the others are known");
	tell("", "", false);
	is_str(ask("example.org", DNS_A), "2", "without servers it is the same");
}

/* The other end of a forwarded query: what came, and where from. */
static size_t upstream_got(int fd, uint8_t *m, struct sockaddr_in *from)
{
	socklen_t size = sizeof(*from);
	ssize_t r = recvfrom(fd, m, 4096, 0, (struct sockaddr *)from, &size);

	return r < 0 ? 0 : (size_t)r;
}

static size_t make_answer(uint8_t *m, size_t end, unsigned rcode, const char *address)
{
	static const uint8_t fixed[] = { 0xC0, DNS_HEAD, 0, DNS_A, 0, 1, 0, 0, 0, 77, 0, 4 };

	m[2] |= 0x80;
	m[3] = (uint8_t)(0x80 | rcode);
	memset(m + 6, 0, 6);
	if (!address)
		return end;
	m[7] = 1;
	memcpy(m + end, fixed, sizeof(fixed));
	inet_pton(AF_INET, address, m + end + sizeof(fixed));
	return end + sizeof(fixed) + 4;
}

static int send_query(const char *name, unsigned type, unsigned edns)
{
	uint8_t m[4096];
	int fd = nb_connect(ns[0], RESOLVER, 53, SOCK_DGRAM);

	(void)!send(fd, m, question(m, 0x1234, name, type, edns), 0);
	return fd;
}

static const char *answer_of(int fd)
{
	static uint8_t m[65536];
	ssize_t r = recv(fd, m, sizeof(m), 0);

	close(fd);
	return r < DNS_HEAD || m[0] != 0x12 || m[1] != 0x34 ? "timeout" : answer_text(m, (size_t)r);
}

static void test_forward(void)
{
	struct sockaddr_in from, other;
	uint8_t m[4096], big[2048] = { 0 };
	int inside = nb_bind(ns[0], "127.0.0.1", 53, SOCK_DGRAM), second = nb_bind(ns[0], "127.0.0.2", 5353, SOCK_DGRAM);
	int host = nb_bind(NULL, "127.0.0.1", 5354, SOCK_DGRAM), c, d;
	struct netd_status st;
	uint16_t id;
	size_t size, end;

	tell("127.0.0.1 127.0.0.2:5353 host:127.0.0.1:5354 127.0.0.9", "corp.example. other.example", false);
	c = send_query("Example.org", DNS_A, 0);
	size = upstream_got(inside, m, &from);
	end = size;
	ok(size == 12 + 13 + 4 && memcmp(m + 12, "\7Example\3org", 12) == 0, "an unknown name goes to the first server, inside the sandbox");
	id = (uint16_t)(m[0] << 8 | m[1]);
	m[0] ^= 1;
	size = make_answer(m, end, 0, "6.6.6.6");
	sendto(inside, m, size, 0, (struct sockaddr *)&from, sizeof(from));
	m[0] ^= 1;
	m[13] = 'x';
	sendto(inside, m, size, 0, (struct sockaddr *)&from, sizeof(from));
	m[13] = 'E';
	make_answer(m, end, 0, "1.2.3.4");
	sendto(second, m, size, 0, (struct sockaddr *)&from, sizeof(from));
	make_answer(m, end, 0, "5.5.5.5");
	sendto(inside, m, size, 0, (struct sockaddr *)&from, sizeof(from));
	is_str(answer_of(c), "0 5.5.5.5/77", "only its answer to this question counts");
	c = send_query("example.org", DNS_A, 0);
	size = upstream_got(inside, m, &other);
	ok(((uint16_t)(m[0] << 8 | m[1]) != id || id == 0x1234) && other.sin_port != from.sin_port, "another query has another id and another port");
	sendto(inside, m, make_answer(m, size, DNS_SERVFAIL, NULL), 0, (struct sockaddr *)&other, sizeof(other));
	size = upstream_got(second, m, &from);
	ok(size > 0, "a server that fails makes room for the next");
	sendto(second, m, make_answer(m, size, DNS_REFUSED, NULL), 0, (struct sockaddr *)&from, sizeof(from));
	size = upstream_got(host, m, &from);
	ok(size > 0, "which is asked from the host");
	sendto(host, m, make_answer(m, size, DNS_NXDOMAIN, NULL), 0, (struct sockaddr *)&from, sizeof(from));
	is_str(answer_of(c), "3", "its answer is the answer");
	c = send_query("web.corp.example", DNS_A, 0);
	size = upstream_got(inside, m, &from);
	sendto(inside, m, make_answer(m, size, DNS_NXDOMAIN, NULL), 0, (struct sockaddr *)&from, sizeof(from));
	is_str(answer_of(c), "0 172.30.0.2", "a name of ours with a search domain, that no server knows");
	c = send_query("example.org", DNS_A, 1400);
	size = upstream_got(inside, m, &from);
	ok(size == 29 + 11 && m[size - 8] == 1400 >> 8, "EDNS is passed on");
	memcpy(big, m, 29);
	make_answer(big, 29, 0, NULL);
	sendto(inside, big, 1300, 0, (struct sockaddr *)&from, sizeof(from));
	ok(strstr(answer_of(c), " tc") == NULL, "what the asker takes he gets");
	c = send_query("example.org", DNS_A, 0);
	size = upstream_got(inside, m, &from);
	memcpy(big, m, 29);
	make_answer(big, 29, 0, NULL);
	sendto(inside, big, 1300, 0, (struct sockaddr *)&from, sizeof(from));
	is_str(answer_of(c), "0 tc", "and no more than that");
	/* one that is silent: the next is asked in 4 s; one that is closed: at once */
	c = send_query("slow.example.org", DNS_A, 0);
	upstream_got(inside, m, &from);
	close(inside);
	d = send_query("example.org", DNS_A, 0);
	size = upstream_got(second, m, &from);
	ok(size == 29, "a server that is not there makes room at once");
	sendto(second, m, make_answer(m, size, 0, "5.5.5.6"), 0, (struct sockaddr *)&from, sizeof(from));
	is_str(answer_of(d), "0 5.5.5.6/77", "for the next");
	ok(netd_status(n, &st, NULL) == 0 && st.queries == 1, "while another waits");
	size = upstream_got(second, m, &from);
	sendto(second, m, make_answer(m, size, 0, "5.5.5.7"), 0, (struct sockaddr *)&from, sizeof(from));
	is_str(answer_of(c), "0 5.5.5.7/77", "one that is silent is waited for, then the next is asked");
	netd_status(n, &st, NULL);
	is_int(st.queries, 0, "none is left");
	close(second);
	close(host);
	is_str(ask("example.org", DNS_A), "2", "nobody answers: that is said");
}

/* Sockets towards a server that says nothing but answers. */
static void test_forward_ports(void)
{
	int server = nb_bind(ns[0], "127.0.0.1", 53, SOCK_DGRAM);
	unsigned ports = 0, numbers = 0, failed = 0;
	uint16_t port = 0, id = 0;

	tell("127.0.0.1", "", false);
	for (int i = 0; i < 150; i++) {
		struct sockaddr_in from = { 0 };
		uint8_t m[4096] = { 0 };
		int c = send_query("example.org", DNS_A, 0);
		size_t size = upstream_got(server, m, &from);

		ports += from.sin_port != port;
		numbers += (m[0] << 8 | m[1]) != id;
		port = from.sin_port;
		id = (uint16_t)(m[0] << 8 | m[1]);
		sendto(server, m, make_answer(m, size, 0, "5.5.5.5"), 0, (struct sockaddr *)&from, sizeof(from));
		failed += !streq(answer_of(c), "0 5.5.5.5/77");
	}
	is_int(failed, 0, "150 queries are answered");
	ok(ports > 2, "no port is used for ever (%u)", ports);
	ok(ports < 150, "most serve more than one query");
	ok(numbers > 140, "each query has an id of its own (%u)", numbers);
	close(server);
	is_str(ask("example.org", DNS_A), "2", "a server that went while its socket rested");
}

static void test_forward_tcp(void)
{
	int server = nb_bind(ns[0], "127.0.0.1", 53, SOCK_STREAM), c, s;
	static uint8_t m[65536], big[65536];
	size_t size, got;

	tell("127.0.0.1", "", false);
	c = nb_connect(ns[0], RESOLVER, 53, SOCK_STREAM);
	size = question(m, 0x1234, "example.org", DNS_A, 0);
	ok(c >= 0 && tcp_send(c, m, size), "a query by TCP");
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	size = tcp_answer(s, big);
	ok(size == 29, "is forwarded by TCP");
	make_answer(big, size, 0, NULL);
	m[0] = 60000 >> 8;
	m[1] = 60000 & 255;
	ok(write(s, m, 2) == 2 && fs_write_all(s, big, 60000) == 0, "an answer of 60,000 bytes");
	got = tcp_answer(c, m);
	ok(got == 60000 && m[0] == 0x12 && memcmp(m + 2, big + 2, got - 2) == 0, "comes back whole");
	size = question(m, 0x1234, "web", DNS_A, 0);
	ok(tcp_send(c, m, size) && (size = tcp_answer(c, m)) > 0 && streq(answer_text(m, size), "0 172.30.0.2"), "the connection is good for more");
	close(s);
	size = question(m, 0x1234, "example.org", DNS_A, 0);
	tcp_send(c, m, size);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	close(s);
	ok((size = tcp_answer(c, m)) > 0 && streq(answer_text(m, size), "2"), "a server that hangs up has failed");
	tcp_send(c, m, question(m, 0x1234, "example.org", DNS_A, 0));
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	close(c);
	ok(recv(s, m, sizeof(m), 0) >= 0, "a client that leaves is missed by nobody");
	close(s);
	c = nb_connect(ns[0], RESOLVER, 53, SOCK_STREAM);
	ok(write(c, "\xFF\xFF", 2) == 2 && read(c, m, 1) <= 0, "a query that is too long ends its connection");
	close(c);
	close(server);
}

static void test_hostile(void)
{
	struct netd_status before, st;
	uint8_t m[512];
	OWN_FD int fd = nb_connect(ns[0], RESOLVER, 53, SOCK_DGRAM);
	unsigned seed = 1;
	int good = 0;

	netd_status(n, &before, NULL);
	for (int i = 0; i < 2000; i++) {
		size_t size = question(m, 0x1234, "web", DNS_A, 1232);

		for (int k = 0; k < 4; k++) {
			seed = seed * 1103515245u + 12345u;
			m[(seed >> 8) % size] = (uint8_t)(seed >> 16);
		}
		(void)!send(fd, m, (seed >> 4) % (size + 1), 0);
		if (i % 50 == 49)
			good += streq(ask("web", DNS_A), "0 172.30.0.2");
	}
	is_int(good, 40, "whatever comes, names are answered");
	ok(netd_status(n, &st, NULL) == 0 && st.pid == before.pid, "by the same process");
}

/* The container's own server has port 53. */
static void test_own_server(void)
{
	int own = nb_bind(ns[0], "0.0.0.0", 53, SOCK_DGRAM), t = nb_bind(ns[0], "0.0.0.0", 53, SOCK_STREAM), c;
	struct sockaddr_in from;
	uint8_t m[4096];

	ok(own >= 0 && t >= 0, "a DNS server in the container has port 53 of all addresses");
	is_str(ask("web", DNS_A), "0 172.30.0.2", "beside ours");
	is_str(ask_tcp("web", DNS_A), "0 172.30.0.2", "also by TCP");
	c = nb_connect(ns[0], "127.0.0.1", 53, SOCK_DGRAM);
	(void)!send(c, "hello", 5, 0);
	is_int(upstream_got(own, m, &from), 5, "and gets what is its own");
	close(c);
	close(own);
	close(t);
}

/* The port that its datagrams really go to; 0: there is no resolver. */
static unsigned port_inside(void)
{
	OWN_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), inside = open(ns[0], O_RDONLY | O_CLOEXEC);
	OWN_FILE FILE *f = NULL;
	unsigned port = 0;
	char line[256];

	setns(inside, CLONE_NEWNET);
	f = fopen("/proc/thread-self/net/udp", "re");
	while (f && !port && fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d: 0B00007F:%x", &port) != 1)
			port = 0;
	setns(home, CLONE_NEWNET);
	return port;
}

/* A container that leaves its networks and comes back: the rules of its namespace are there still. */
static void test_return(void)
{
	unsigned before = port_inside();
	int taken;

	ok(before > 0, "its resolver has some port (%u)", before);
	is_int(netd_sandbox_drop(n, ids[0], NULL), 0, "a sandbox goes");
	is_int(port_inside(), 0, "and its resolver");
	tell("", "", false);
	is_int(port_inside(), before, "when it comes back it has the same port");
	is_str(ask("web", DNS_A), "0 172.30.0.2", "and answers");
	is_str(ask_tcp("web", DNS_A), "0 172.30.0.2", "also by TCP");
	netd_sandbox_drop(n, ids[0], NULL);
	taken = nb_bind(ns[0], "0.0.0.0", before, SOCK_DGRAM);
	tell("", "", false);
	close(taken);
	ok(port_inside() != before, "unless somebody has it");
	is_str(ask("web", DNS_A), "0 172.30.0.2", "which changes nothing");
	is_str(ask_tcp("web", DNS_A), "0 172.30.0.2", "nor by TCP");
}

static void test_lives(void)
{
	OWN_FREE char *copy = xasprintf("%s/dockerd-netd", nb_root), *cmd = xasprintf("cp %s %s", nb_program, copy);
	OWN_STRV struct strv keep = { 0 }, none = { 0 };
	struct netd_status st, after;
	int waiting;

	tell("", "", false);
	netd_status(n, &st, NULL);
	kill(st.pid, SIGKILL);
	NB_WAIT(nb_gone(st.pid));
	ok(NB_WAIT(netd_status(n, &after, NULL) == 0 && after.pid != st.pid && after.sandboxes == 2), "one that was killed comes back with its sandboxes");
	is_str(ask("web", DNS_A), "0 172.30.0.2", "and answers");
	netd_free(n);
	is_str(ask("web", DNS_A), "0 172.30.0.2", "also without a daemon");
	ok(system(cmd) == 0, "a newer program");
	waiting = nb_connect(ns[0], RESOLVER, 53, SOCK_DGRAM);
	n = netd_new(nb_root, copy, nb_spawner);
	tell("", "", false);
	netd_status(n, &st, NULL);
	ok(st.pid != after.pid && NB_WAIT(nb_gone(after.pid)) && st.sandboxes == 2, "takes over");
	is_str(ask("db.1.x", DNS_A), "0 172.30.0.3", "and answers");
	is_str(ask_tcp("db.1.x", DNS_A), "0 172.30.0.3", "also by TCP");
	{
		uint8_t m[512];

		(void)!send(waiting, m, question(m, 0x1234, "web", DNS_A, 0), 0);
		is_str(answer_of(waiting), "0 172.30.0.2", "at the same socket");
	}
	strv_add(&keep, ids[1]);
	is_int(netd_keep(n, &keep, &none, NULL), 0, "one of them is kept");
	is_str(ask_at(1, "web", DNS_A, 0), "2", "the other's names are gone");
	is_str(ask_at(1, "db.1.x", DNS_A, 0), "0 172.30.0.3", "its own are not");
	is_int(netd_sandbox_drop(n, ids[1], NULL), 0, "dropped");
	is_int(netd_sandbox_drop(n, ids[1], NULL), 0, "twice");
	netd_status(n, &st, NULL);
	is_int(st.sandboxes, 0, "there are none");
	{
		uint8_t m[512];
		OWN_FD int fd = nb_connect(ns[1], RESOLVER, 53, SOCK_DGRAM);
		struct pollfd p = { .fd = fd, .events = POLLIN };

		(void)!send(fd, m, question(m, 1, "web", DNS_A, 0), 0);
		ok(poll(&p, 1, 100) == 0 || recv(fd, m, sizeof(m), 0) < 0, "nobody answers any more");
	}
}

/* A sandbox that is another one under the same id, and one whose namespace is gone. */
static void test_namespaces(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv names = { 0 };
	struct netd_net net = { .id = "net1", .name = "front", .ipv4 = "172.30.0.9", .names = &names };
	struct netd_sandbox sb = { .id = ids[0], .netns_path = ns[0], .nets = &net, .nets_len = 1 }, far = { .id = "far", .nets = &net, .nets_len = 1 };

	strv_add(&names, "again");
	netd_sandbox(n, &sb, NULL);
	is_str(ask_at(0, "again", DNS_A, 0), "0 172.30.0.9", "in one namespace");
	sb.netns_path = ns[1];
	is_int(netd_sandbox(n, &sb, NULL), 0, "then in another");
	is_str(ask_at(1, "again", DNS_A, 0), "0 172.30.0.9", "the resolver moves");
	sb.netns_path = "/nonexistent";
	ok(netd_sandbox(n, &sb, &err) < 0 && strstr(err_text(&err), "cannot open the network namespace /nonexistent: "), "one that is gone: %s", err_text(&err));
	err_done(&err);
	sb.netns_path = "/dev/null";
	ok(netd_sandbox(n, &sb, &err) < 0 && strstr(err_text(&err), "cannot enter the network namespace"), "one that is none: %s", err_text(&err));
	sb.netns_path = ns[1];
	netd_sandbox(n, &sb, NULL);
	strv_done(&names);
	strv_add(&names, "elsewhere");
	net.ipv4 = "172.30.9.9";
	is_int(netd_sandbox(n, &far, NULL), 0, "names of a sandbox that is not here");
	is_str(ask_at(1, "elsewhere", DNS_A, 0), "0 172.30.9.9", "are known here");
	netd_sandbox_drop(n, "far", NULL);
	netd_sandbox_drop(n, ids[0], NULL);
}

int main(void)
{
	if (!nb_begin())
		return 0;
	log_set_level(LOG_FATAL);
	signal(SIGPIPE, SIG_IGN);
	ns[0] = nb_netns("a");
	ns[1] = nb_netns("b");
	n = netd_new(nb_root, nb_program, nb_spawner);
	tell("", "", false);
	test_names();
	test_round_robin();
	test_own_server();
	test_return();
	test_internal();
	test_forward();
	test_forward_ports();
	test_forward_tcp();
	test_hostile();
	test_lives();
	test_namespaces();
	netd_free(n);
	nb_netns_drop(ns[0]);
	nb_netns_drop(ns[1]);
	nb_end();
	return tap_done();
}
