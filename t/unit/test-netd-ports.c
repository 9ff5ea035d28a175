/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published ports: who gets them, what goes through them, and what becomes of them when processes end. */
#include <sys/un.h>

#include "base/sanitized.h"
#include "netd-box.h"

#define E1 "1111111111111111111111111111111111111111111111111111111111111111"
#define E2 "2222222222222222222222222222222222222222222222222222222222222222"
#define MIB (1u << 20)

static struct netd *n;

static struct netd_port tcp(const char *ip, unsigned begin, unsigned end, unsigned port, const char *target)
{
	struct netd_port p = { .proto = IPPROTO_TCP, .host_port = begin, .host_port_end = end, .port = port, .proxy = target };

	snprintf(p.host_ip, sizeof(p.host_ip), "%s", ip);
	snprintf(p.target, sizeof(p.target), "%s", target ? target : "");
	return p;
}

static struct netd_port udp(const char *ip, unsigned host_port, unsigned port, const char *target)
{
	struct netd_port p = tcp(ip, host_port, 0, port, target);

	p.proto = IPPROTO_UDP;
	return p;
}

static int publish(const char *endpoint, struct netd_port *p, size_t len)
{
	OWN_ERR struct err err = ERR_INIT;
	int rc = netd_publish(n, endpoint, p, len, &err);

	if (rc < 0)
		printf("# %s\n", err_text(&err));
	return rc;
}

static bool refused(const char *endpoint, struct netd_port p, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;

	if (netd_publish(n, endpoint, &p, 1, &err) == 0)
		return false;
	if (streq(err_text(&err), text))
		return true;
	printf("#  got: %s\n# want: %s\n", err_text(&err), text);
	return false;
}

static void test_conflicts(void)
{
	struct netd_port v[3] = { tcp("0.0.0.0", 8080, 0, 80, NULL), tcp("::", 8080, 0, 80, NULL), udp("0.0.0.0", 8080, 80, NULL) };
	struct netd_status st;
	int fd;

	is_int(publish(E1, v, 3), 0, "ports of both families and protocols");
	is_int(v[0].host_port, 8080, "as they were asked for");
	ok(netd_status(n, &st, NULL) == 0 && st.endpoints == 1 && st.ports == 3, "are held (%zu)", st.ports);
	ok(nb_bind(NULL, "0.0.0.0", 8080, SOCK_STREAM) < 0 && errno == EADDRINUSE, "no process of the host gets the port");
	ok(nb_bind(NULL, "127.0.0.1", 8080, SOCK_STREAM) < 0 && errno == EADDRINUSE, "nor at one address");
	ok(nb_bind(NULL, "::", 8080, SOCK_STREAM) < 0 && errno == EADDRINUSE, "nor of the other family");
	ok(nb_bind(NULL, "0.0.0.0", 8080, SOCK_DGRAM) < 0 && errno == EADDRINUSE, "nor for datagrams");
	ok(nb_connect(NULL, "127.0.0.1", 8080, SOCK_STREAM) < 0 && errno == ECONNREFUSED, "what is only held takes no connection");
	ok(refused(E2, tcp("0.0.0.0", 8080, 0, 80, NULL), "Bind for 0.0.0.0:8080 failed: port is already allocated"), "another endpoint is told in Docker's words");
	ok(refused(E2, tcp("127.0.0.1", 8080, 0, 80, NULL), "Bind for 127.0.0.1:8080 failed: port is already allocated"), "also at one address");
	fd = nb_bind(NULL, "127.0.0.1", 8081, SOCK_STREAM);
	ok(refused(E2, tcp("0.0.0.0", 8081, 0, 80, NULL), "failed to bind host port 0.0.0.0:8081/tcp: address already in use"), "a process of the host has it");
	close(fd);
	ok(refused(E2, tcp("10.9.8.7", 8081, 0, 80, NULL), "failed to bind host port 10.9.8.7:8081/tcp: cannot assign requested address"), "an address that is not ours");
	v[0] = tcp("0.0.0.0", 8082, 0, 80, NULL);
	v[1] = tcp("0.0.0.0", 8080, 0, 81, NULL);
	is_int(publish(E2, v, 2), -1, "of two, one is taken");
	fd = nb_bind(NULL, "0.0.0.0", 8082, SOCK_STREAM);
	ok(fd >= 0, "so the other is not held");
	close(fd);
	is_int(netd_revoke(n, E1, NULL), 0, "taken back");
	fd = nb_bind(NULL, "0.0.0.0", 8080, SOCK_STREAM);
	ok(fd >= 0, "the port is free");
	close(fd);
	ok(refused(E1, tcp("not an address", 1, 0, 80, NULL), "no port: not an address 1-1, 1 of them, to  port 80, protocol 6"), "nonsense is refused");
	v[0] = tcp("0.0.0.0", 70000, 0, 80, NULL);
	is_int(netd_publish(n, E1, v, 1, NULL), -1, "and so is a port beyond all");
	netd_revoke(n, E1, NULL);
}

static void test_choice(void)
{
	struct netd_port v[2] = { tcp("0.0.0.0", 0, 0, 80, NULL), tcp("::", 0, 0, 80, NULL) }, w, other;
	unsigned first, begin = 0, end = 0;
	OWN_FILE FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	ok(f && fscanf(f, "%u %u", &begin, &end) == 2, "the kernel's range is readable");
	is_int(publish(E1, v, 2), 0, "any free port");
	first = v[0].host_port;
	ok(first >= begin && first <= end && v[0].host_port_end == first, "is of the kernel's range (%u)", first);
	is_int(v[1].host_port, first, "and the same for both families");
	other = tcp("0.0.0.0", 0, 0, 80, NULL);
	is_int(publish(E2, &other, 1), 0, "another endpoint");
	ok(other.host_port != first, "gets another one");
	netd_revoke(n, E2, NULL);
	v[0].host_port = v[0].host_port_end = v[1].host_port = v[1].host_port_end = 0;
	is_int(publish(E1, v, 2), 0, "asked again");
	is_int(v[0].host_port, first, "the endpoint keeps what it got");
	w = tcp("0.0.0.0", 9000, 9002, 80, NULL);
	is_int(publish(E1, &w, 1), 0, "one of a range");
	is_int(w.host_port, 9000, "is its first");
	w = tcp("0.0.0.0", 9000, 9002, 80, NULL);
	is_int(publish(E2, &w, 1), 0, "again");
	is_int(w.host_port, 9001, "its first free one");
	w = tcp("0.0.0.0", 9000, 9001, 80, NULL);
	ok(netd_publish(n, "third", &w, 1, NULL) < 0, "a range that is all taken is refused");
	netd_revoke(n, E1, NULL);
	netd_revoke(n, E2, NULL);
}

static void test_range(void)
{
	struct netd_port p = tcp("0.0.0.0", 20000, 0, 1000, "127.0.0.2"), part = tcp("0.0.0.0", 20500, 0, 80, NULL);
	struct netd_status st, before;
	int64_t began;
	int server, c, s;
	char byte = 'x';

	netd_status(n, &before, NULL);
	p.count = 1000;
	began = clock_mono();
	is_int(publish(E1, &p, 1), 0, "a run of 1,000 ports");
	printf("# in %lld us\n", (long long)(clock_mono() - began) / 1000);
	netd_status(n, &st, NULL);
	is_int(st.ports, 1000, "all held");
	ok(st.fds <= before.fds + 1000, "by a descriptor each (%zu)", st.fds - before.fds);
	ok(refused(E2, part, "Bind for 0.0.0.0:20500 failed: port is already allocated"), "also in the middle");
	server = nb_bind(NULL, "127.0.0.2", 1999, SOCK_STREAM);
	c = nb_connect(NULL, "127.0.0.1", 20999, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(c >= 0 && s >= 0 && write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1, "the last of them goes to the last of the container's");
	close(c);
	close(s);
	close(server);
	netd_revoke(n, E1, NULL);
	ok(NB_WAIT(netd_status(n, &st, NULL) == 0 && st.ports == 0 && st.streams == 0), "and all of them are given back");
}

static bool send_all(int fd, const char *data, size_t size)
{
	return fs_write_all(fd, data, size) == 0;
}

/* Sends and receives so much at the same time, byte i being i * 7 + seed. */
static bool both_ways(int a, int b, size_t total)
{
	size_t sent[2] = { 0, 0 }, got[2] = { 0, 0 };
	int fds[2] = { a, b };
	static unsigned char out[256 * 256], in[1 << 16];
	int64_t until = clock_mono() + 120 * NSEC_PER_SEC;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(i * 7 + (i >> 8));
	fcntl(a, F_SETFL, O_NONBLOCK);
	fcntl(b, F_SETFL, O_NONBLOCK);
	while ((got[0] < total || got[1] < total) && clock_mono() < until) {
		struct pollfd p[2];

		for (int i = 0; i < 2; i++)
			p[i] = (struct pollfd){ .fd = fds[i], .events = (short)((sent[i] < total ? POLLOUT : 0) | (got[i] < total ? POLLIN : 0)) };
		if (poll(p, 2, 1000) < 0)
			return false;
		for (int i = 0; i < 2; i++) {
			ssize_t r;

			if (p[i].revents & POLLOUT) {
				size_t at = sent[i] % sizeof(out), size = sizeof(out) - at;

				r = write(fds[i], out + at, size < total - sent[i] ? size : total - sent[i]);
				sent[i] += r > 0 ? (size_t)r : 0;
			}
			if (!(p[i].revents & (POLLIN | POLLHUP)))
				continue;
			r = read(fds[i], in, sizeof(in));
			if (r == 0 || (r < 0 && errno != EAGAIN))
				return false;
			for (ssize_t k = 0; k < r; k++)
				if (in[k] != out[(got[i] + (size_t)k) % sizeof(out)])
					return false;
			got[i] += r > 0 ? (size_t)r : 0;
		}
	}
	fcntl(a, F_SETFL, 0);
	fcntl(b, F_SETFL, 0);
	return got[0] == total && got[1] == total;
}

static void test_stream(const char *host, const char *from, const char *target)
{
	struct netd_port p = tcp(host, 8090, 0, 8000, target);
	struct netd_status st;
	int server = nb_bind(NULL, target, 8000, SOCK_STREAM), c, s, other;
	char text[64];

	is_int(publish(E1, &p, 1), 0, "a port of %s is spliced to %s", host, target);
	c = nb_connect(NULL, from, 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(c >= 0 && s >= 0, "a connection arrives");
	ok(both_ways(c, s, 100 * MIB), "100 MB both ways at once arrive as they were sent");
	send_all(c, "last words", 10);
	shutdown(c, SHUT_WR);
	is_int(recv(s, text, sizeof(text), MSG_WAITALL), 10, "what is sent before a half-close arrives");
	is_int(read(s, text, 1), 0, "and the half-close behind it");
	ok(send_all(s, "an answer", 9) && recv(c, text, 9, MSG_WAITALL) == 9, "while the other direction goes on");
	close(s);
	is_int(read(c, text, 1), 0, "until it ends, too");
	close(c);
	ok(NB_WAIT(netd_status(n, &st, NULL) == 0 && st.streams == 0), "then nothing is left of it");
	/* one whose peer takes nothing */
	c = nb_connect(NULL, from, 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	fcntl(c, F_SETFL, O_NONBLOCK);
	for (int64_t until = clock_mono() + NSEC_PER_SEC / 2; clock_mono() < until;) {
		static char much[1 << 16];

		if (write(c, much, sizeof(much)) < 0 && errno == EAGAIN)
			usleep(10000);
	}
	other = nb_connect(NULL, from, 8090, SOCK_STREAM);
	ok(other >= 0, "beside one that is stuck");
	{
		int o = accept4(server, NULL, NULL, SOCK_CLOEXEC);

		ok(both_ways(other, o, MIB), "another goes on");
		close(o);
	}
	close(other);
	close(s);
	{
		struct pollfd pfd = { .fd = c, .events = POLLRDHUP };

		ok(poll(&pfd, 1, PATIENCE_MS) == 1 && pfd.revents & (POLLERR | POLLHUP), "a reset of the container reaches the client");
	}
	close(c);
	close(server);
	c = nb_connect(NULL, from, 8090, SOCK_STREAM);
	ok(c >= 0 && read(c, text, 1) < 0 && errno == ECONNRESET, "a container that does not listen is a reset (%d, %s)", c, strerror(errno));
	close(c);
	ok(NB_WAIT(netd_status(n, &st, NULL) == 0 && st.streams == 0), "nothing is left (%zu)", st.streams);
	netd_revoke(n, E1, NULL);
}

static void test_update(void)
{
	struct netd_port p = tcp("0.0.0.0", 8090, 0, 8000, "127.0.0.2"), q[2];
	int server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_STREAM), c, s;
	char byte = 'x';

	publish(E1, &p, 1);
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	q[0] = tcp("0.0.0.0", 8091, 0, 8001, "127.0.0.2");
	q[1] = p;
	is_int(publish(E1, q, 2), 0, "a set with one port more");
	ok(write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1, "cuts no connection of the others");
	q[0] = tcp("127.0.0.1", 8091, 0, 8001, "127.0.0.2");
	is_int(publish(E1, q, 2), 0, "an address in place of all of them");
	ok(refused(E1, tcp("10.9.8.7", 8092, 0, 80, NULL), "failed to bind host port 10.9.8.7:8092/tcp: cannot assign requested address"), "a set that cannot be had");
	ok(nb_bind(NULL, "127.0.0.1", 8091, SOCK_STREAM) < 0 && nb_bind(NULL, "127.0.0.1", 8090, SOCK_STREAM) < 0, "leaves the one before in place");
	ok(write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1, "with its connections");
	q[1] = tcp("0.0.0.0", 8090, 0, 8000, NULL);
	is_int(publish(E1, q + 1, 1), 0, "a port that is no longer served");
	close(c);
	close(s);
	ok(nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM) < 0 && errno == ECONNREFUSED, "takes no more connections");
	is_int(publish(E1, &p, 1), 0, "and served again");
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(c >= 0 && s >= 0, "takes them");
	netd_revoke(n, E1, NULL);
	ok(read(c, &byte, 1) < 0 && errno == ECONNRESET, "what is taken back is cut");
	close(c);
	close(s);
	close(server);
}

static void test_datagrams(void)
{
	struct netd_port v[2] = { udp("0.0.0.0", 8090, 8000, "127.0.0.2"), udp("::", 8090, 8000, "127.0.0.2") };
	int server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_DGRAM), a, b, six;
	struct sockaddr_in from_a, from_b;
	socklen_t size = sizeof(from_a);
	struct netd_status st;
	char text[64];

	is_int(publish(E1, v, 2), 0, "datagrams of both families are passed on");
	a = nb_connect(NULL, "127.0.0.1", 8090, SOCK_DGRAM);
	b = nb_connect(NULL, "127.0.0.5", 8090, SOCK_DGRAM);
	six = nb_connect(NULL, "::1", 8090, SOCK_DGRAM);
	ok(send(a, "from a", 6, 0) == 6 && recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from_a, &size) == 6, "one arrives");
	ok(send(b, "from b", 6, 0) == 6 && recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from_b, &size) == 6, "one of another client");
	ok(from_a.sin_port != from_b.sin_port, "from another port");
	sendto(server, "to b", 4, 0, (struct sockaddr *)&from_b, size);
	sendto(server, "to a", 4, 0, (struct sockaddr *)&from_a, size);
	ok(recv(b, text, sizeof(text), 0) == 4 && memcmp(text, "to b", 4) == 0, "the answer comes from the address that was asked");
	ok(recv(a, text, sizeof(text), 0) == 4 && memcmp(text, "to a", 4) == 0, "each to its own");
	ok(send(six, "six", 3, 0) == 3 && recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from_a, &size) == 3 &&
		sendto(server, "to 6", 4, 0, (struct sockaddr *)&from_a, size) == 4 && recv(six, text, sizeof(text), 0) == 4, "IPv6 to IPv4 and back");
	netd_status(n, &st, NULL);
	is_int(st.flows, 3, "three clients, three sockets");
	ok(send(a, "", 0, 0) == 0 && recv(server, text, sizeof(text), 0) == 0, "an empty one is one");
	close(server);
	send(a, "lost", 4, 0);
	send(a, "lost", 4, 0);
	ok(netd_status(n, &st, NULL) == 0 && st.flows == 3, "nobody listens");
	server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_DGRAM);
	ok(send(a, "again", 5, 0) == 5 && recv(server, text, sizeof(text), 0) == 5, "then somebody does");
	netd_revoke(n, E1, NULL);
	netd_status(n, &st, NULL);
	is_int(st.flows, 0, "taken back, nothing is left");
	close(a);
	close(b);
	close(six);
	close(server);
}

/* Limits of the process itself, as another process may set them. */
static void test_descriptors(void)
{
	struct netd_port p = tcp("0.0.0.0", 8090, 0, 8000, "127.0.0.2"), many = tcp("0.0.0.0", 21000, 0, 80, NULL);
	int server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_STREAM), c[8], s;
	OWN_ERR struct err err = ERR_INIT;
	struct netd_status st;
	struct rlimit old, few;

	publish(E1, &p, 1);
	netd_status(n, &st, NULL);
	c[0] = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	prlimit(st.pid, RLIMIT_NOFILE, NULL, &old);
	ok(old.rlim_cur == old.rlim_max && old.rlim_max >= 20000, "as many descriptors as there are (%llu)", (unsigned long long)old.rlim_max);
	netd_status(n, &st, NULL);
	few = (struct rlimit){ st.fds - 1, old.rlim_max };
	prlimit(st.pid, RLIMIT_NOFILE, &few, NULL);
	many.count = 100;
	ok(netd_publish(n, E2, &many, 1, &err) < 0 && strstr(err_text(&err), "dockerd-netd has no more file descriptors"), "none left is told: %s", err_text(&err));
	ok(both_ways(c[0], s, MIB), "a connection goes on without a pipe");
	for (int i = 1; i < 8; i++)
		c[i] = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	ok(c[7] >= 0, "new ones wait");
	prlimit(st.pid, RLIMIT_NOFILE, &old, NULL);
	close(s);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(s >= 0 && send_all(c[1], "hello", 5), "until there are some again");
	for (int i = 0; i < 8; i++)
		close(c[i]);
	close(s);
	close(server);
	netd_revoke(n, E1, NULL);
}

/* SCTP: held by record where the kernel has no sockets for it. */
static void test_sctp(void)
{
	struct netd_port p = tcp("0.0.0.0", 8090, 0, 8000, NULL), q = tcp("127.0.0.1", 8090, 0, 8000, NULL);

	p.proto = q.proto = IPPROTO_SCTP;
	is_int(publish(E1, &p, 1), 0, "a port of SCTP");
	ok(refused(E2, q, "Bind for 127.0.0.1:8090 failed: port is already allocated"), "is nobody else's");
	netd_revoke(n, E1, NULL);
	is_int(publish(E2, &q, 1), 0, "until it is taken back");
	netd_revoke(n, E2, NULL);
}

static bool can_bind(unsigned port)
{
	OWN_FD int fd = nb_bind(NULL, "127.0.0.1", port, SOCK_STREAM);

	return fd >= 0;
}

static void test_death(void)
{
	struct netd_port p = tcp("0.0.0.0", 8090, 0, 8000, "127.0.0.2"), v = tcp("0.0.0.0", 0, 0, 80, NULL);
	int server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_STREAM), c, s;
	struct netd_status st, after = { 0 };
	unsigned chosen;

	publish(E1, &p, 1);
	publish(E2, &v, 1);
	chosen = v.host_port;
	/* a connection of the dead one is not in the way */
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	netd_status(n, &st, NULL);
	kill(st.pid, SIGKILL);
	NB_WAIT(nb_gone(st.pid));
	ok(NB_WAIT(!can_bind(chosen)), "one that was killed is started anew by itself");
	ok(NB_WAIT(netd_status(n, &after, NULL) == 0) && after.pid != st.pid && after.ports == 2, "with all that it was told (%zu)", after.ports);
	close(c);
	close(s);
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(c >= 0 && s >= 0, "and serves it");
	close(c);
	close(s);
	close(server);
	is_int(publish(E2, &v, 1), 0, "asks may follow at once");
	is_int(v.host_port, chosen, "for what is there");
}

static void test_restart(void)
{
	struct netd_port p = tcp("0.0.0.0", 8090, 0, 8000, "127.0.0.2");
	OWN_STRV struct strv boxes = { 0 }, endpoints = { 0 };
	int server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_STREAM), c, s;
	struct netd_status st, after = { 0 };
	char byte = 'x';

	netd_status(n, &st, NULL);
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	netd_free(n);
	ok(write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1, "without a daemon connections go on");
	close(c);
	close(s);
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(c >= 0 && s >= 0, "and new ones are taken");
	n = netd_new(nb_root, nb_program, nb_spawner);
	is_int(publish(E1, &p, 1), 0, "the next daemon tells what it wants");
	netd_status(n, &after, NULL);
	ok(after.pid == st.pid && after.ports == 2, "to the same process");
	ok(write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1, "no connection is cut");
	strv_add(&endpoints, E1);
	is_int(netd_keep(n, &boxes, &endpoints, NULL), 0, "and that it wants nothing more");
	netd_status(n, &after, NULL);
	is_int(after.ports, 1, "so the rest goes");
	close(c);
	close(s);
	close(server);
}

static void test_hand_over(void)
{
	struct netd_port v[3] = { tcp("0.0.0.0", 8090, 0, 8000, "127.0.0.2"), udp("0.0.0.0", 8090, 8000, "127.0.0.2"), tcp("0.0.0.0", 8099, 0, 80, NULL) };
	OWN_FREE char *copy = xasprintf("%s/dockerd-netd", nb_root), *cmd = xasprintf("cp %s %s", nb_program, copy);
	int server = nb_bind(NULL, "127.0.0.2", 8000, SOCK_STREAM), userver = nb_bind(NULL, "127.0.0.2", 8000, SOCK_DGRAM), c, s, u, stuck, t;
	struct netd_status st, after = { 0 };
	struct sockaddr_in from = { 0 }, again = { 0 };
	socklen_t size = sizeof(from);
	size_t sent = 0, got = 0;
	static char much[1 << 16];
	char byte = 'x';

	publish(E1, v, 3);
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	stuck = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	t = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	fcntl(stuck, F_SETFL, O_NONBLOCK);
	for (int idle = 0; idle < 20;) {
		ssize_t r = write(stuck, much, sizeof(much));

		sent += r > 0 ? (size_t)r : 0;
		idle = r > 0 ? 0 : idle + 1;
		if (r < 0)
			usleep(10000);
	}
	shutdown(stuck, SHUT_WR);
	u = nb_connect(NULL, "127.0.0.1", 8090, SOCK_DGRAM);
	send(u, "x", 1, 0);
	recvfrom(userver, &byte, 1, 0, (struct sockaddr *)&from, &size);
	netd_status(n, &st, NULL);
	netd_free(n);
	ok(system(cmd) == 0, "a newer program is installed");
	n = netd_new(nb_root, copy, nb_spawner);
	is_int(publish(E1, v, 3), 0, "a daemon that has it");
	netd_status(n, &after, NULL);
	ok(after.pid > 0 && after.pid != st.pid && NB_WAIT(nb_gone(st.pid)), "has the old one replaced (%d by %d)", st.pid, after.pid);
	is_int(after.ports, 3, "with its ports");
	is_int(after.streams, 2, "with its connections");
	ok(write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1 && write(s, &byte, 1) == 1 && read(c, &byte, 1) == 1, "which go on");
	for (ssize_t r; (r = read(t, much, sizeof(much))) > 0;)
		got += (size_t)r;
	ok(got == sent && sent > 0, "with what was under way in them (%zu of %zu)", got, sent);
	sendto(userver, "y", 1, 0, (struct sockaddr *)&from, size);
	ok(recv(u, &byte, 1, 0) == 1 && byte == 'y', "with the clients of datagrams");
	ok(send(u, "z", 1, 0) == 1 && recvfrom(userver, &byte, 1, 0, (struct sockaddr *)&again, &size) == 1 && again.sin_port == from.sin_port, "from the same port");
	close(c);
	close(s);
	c = nb_connect(NULL, "127.0.0.1", 8090, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok(c >= 0 && s >= 0, "and takes new ones");
	/* the newest program does not run: the old one goes on */
	netd_free(n);
	ok(fs_write_atomic(AT_FDCWD, copy, "#!/bin/false\n", 13, 0755, FS_RENAME_ONLY, NULL) == 0, "an installed program that is broken");
	log_set_level(LOG_PANIC);
	n = netd_new(nb_root, copy, nb_spawner);
	is_int(publish(E1, v, 3), 0, "leaves the one that runs in place");
	log_set_level(LOG_WARN);
	ok(netd_status(n, &st, NULL) == 0 && st.pid == after.pid, "the same process");
	ok(write(c, &byte, 1) == 1 && read(s, &byte, 1) == 1, "with its connections");
	close(c);
	close(s);
	close(t);
	close(u);
	close(stuck);
	close(server);
	close(userver);
}

/* The first dockerd-netd, t/abi/netd-1, hands over as today's does. */
static void test_first(void)
{
	const char *build = getenv("top_builddir");
	OWN_FREE char *first = xasprintf("%s/t/abi/netd-1/dockerd-netd", build ? build : ".");
	struct netd_status st = { 0 };

	publish(E1, NULL, 0);
	netd_status(n, &st, NULL);
	netd_free(n);
	ok(NB_WAIT(nb_gone(st.pid)), "the first version takes its place");
	n = netd_new(nb_root, first, nb_spawner);
	test_hand_over();
}

/* As another user: a connection that is closed at once. */
static bool is_shut_out(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int status = 1;
	pid_t pid;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	chmod(nb_root, 0755);
	pid = fork();
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char byte;

		_exit(setuid(65534) < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || read(fd, &byte, 1) != 0);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

/* The process as the kernel tells of it. */
static bool status_has(pid_t pid, const char *line)
{
	OWN_FREE char *path = xasprintf("/proc/%d/status", (int)pid);
	OWN_FILE FILE *f = fopen(path, "re");
	char text[256];

	while (f && fgets(text, sizeof(text), f))
		if (str_has_prefix(text, line))
			return true;
	return false;
}

static void test_confined(void)
{
	struct netd_status st;

	netd_status(n, &st, NULL);
	ok(status_has(st.pid, "CapEff:\t0000000000201400\n") && status_has(st.pid, "CapPrm:\t0000000000201400\n"), "it has three capabilities");
	ok(status_has(st.pid, "NoNewPrivs:\t1\n") && (SANITIZED || status_has(st.pid, "Seccomp:\t2\n")), "and few calls of the kernel");
	ok(status_has(st.pid, "Threads:\t1\n"), "and one thread");
}

static void test_end(void)
{
	OWN_FREE char *path = xasprintf("%s/netd.sock", nb_root);
	struct netd_status st;
	struct stat sock;

	ok(stat(path, &sock) == 0 && (sock.st_mode & 0777) == 0600, "its socket is root's");
	ok(chmod(path, 0666) == 0 && is_shut_out(path), "and nobody else is listened to, even if he could");
	is_int(publish(E1, NULL, 0), 0, "no ports are none");
	netd_status(n, &st, NULL);
	is_int(st.endpoints, 0, "not even an endpoint");
	ok(!nb_gone(st.pid), "it stays while the daemon is there");
	netd_free(n);
	ok(NB_WAIT(nb_gone(st.pid)), "without anything to do it ends");
	ok(access(path, F_OK) < 0, "and its socket is gone");
	n = netd_new(nb_root, nb_program, nb_spawner);
	is_int(netd_revoke(n, E1, NULL), 0, "nothing to take back");
	is_int(netd_keep(n, NULL, NULL, NULL), 0, "nothing to keep");
	ok(access(path, F_OK) < 0, "starts nothing");
	netd_free(n);
}

int main(void)
{
	if (!nb_begin())
		return 0;
	log_set_level(LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	n = netd_new(nb_root, nb_program, nb_spawner);
	test_conflicts();
	test_choice();
	test_range();
	test_stream("0.0.0.0", "127.0.0.1", "127.0.0.2");
	test_stream("::", "::1", "127.0.0.2");
	test_update();
	test_datagrams();
	test_descriptors();
	test_sctp();
	test_death();
	test_restart();
	test_hand_over();
	test_first();
	test_confined();
	test_end();
	nb_end();
	return tap_done();
}
