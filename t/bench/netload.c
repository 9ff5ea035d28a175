/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Traffic for the benches of networks, both ends of it. Static, so that it runs in any container.
 *   netload serve PORT                              small answers to "GET /", bytes without an end to "GET /bytes"; both families
 *   netload get ADDRESS PORT CONNECTIONS SECONDS keep|new     requests: prints how many a second
 *   netload pull ADDRESS PORT CONNECTIONS SECONDS             bytes: prints GB a second
 *   netload resolver ADDRESS                        answers any A with 192.0.2.1, anything else with nothing, at port 53
 *   netload ask ADDRESS NAME COUNT RATE one|pair    lookups (pair: A and AAAA at once, as a C library asks), each from a socket of
 *                                                   its own; RATE 0: one after the other. Prints "done failed seconds"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 256
#define MAX_FDS         4096

static char bytes[1 << 18];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static socklen_t address(struct sockaddr_storage *ret, const char *host, const char *port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	const uint16_t number = htons((uint16_t)atoi(port));

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = number;
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		die(host);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = number;
	return sizeof(*in6);
}

/* The server */

static bool streams[MAX_FDS];

static void set_nodelay(int fd)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* A request comes in one piece, as netload sends it. */
static bool serve_one(int ep, int fd, uint32_t events)
{
	static const char kept[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world",
		last[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhello, world";
	char request[4096];
	ssize_t n;

	if (streams[fd])
		return !(events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) && (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0 || errno == EAGAIN);
	n = recv(fd, request, sizeof(request) - 1, 0);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	request[n] = '\0';
	if (strncmp(request, "GET /bytes", 10) == 0) {
		struct epoll_event ev = { .events = EPOLLOUT | EPOLLRDHUP, .data.fd = fd };

		streams[fd] = true;
		return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev) == 0;
	}
	if (!strstr(request, "Connection: close"))
		return send(fd, kept, sizeof(kept) - 1, MSG_NOSIGNAL) > 0;
	send(fd, last, sizeof(last) - 1, MSG_NOSIGNAL);
	return false;
}

static void serve(const char *port)
{
	struct sockaddr_storage a;
	socklen_t size = address(&a, "::", port);
	int on = 1, ep = epoll_create1(0), fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd }, got[64];

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, size) < 0 || listen(fd, 4096) < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("serve");
	for (;;) {
		int n = epoll_wait(ep, got, 64, -1);

		for (int i = 0; i < n; i++) {
			int at = got[i].data.fd;

			if (at != fd) {
				if (!serve_one(ep, at, got[i].events))
					close(at);
				continue;
			}
			while ((at = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				ev = (struct epoll_event){ .events = EPOLLIN, .data.fd = at };
				if (at >= MAX_FDS || epoll_ctl(ep, EPOLL_CTL_ADD, at, &ev) < 0) {
					close(at);
					continue;
				}
				streams[at] = false;
				set_nodelay(at);
			}
		}
	}
}

/* Its clients */

struct client {
	pthread_t thread;
	struct sockaddr_storage to;
	socklen_t size;
	bool keep, pull;
	double deadline;
	unsigned long long done, failed;
};

static int reach(const struct client *c)
{
	const struct timeval patience = { .tv_sec = 10 };
	int fd = socket(c->to.ss_family, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&c->to, c->size) < 0) {
		close(fd);
		return -1;
	}
	set_nodelay(fd);
	return fd;
}

static bool get_one(int fd, bool keep)
{
	const char *request = keep ? "GET / HTTP/1.1\r\nHost: bench\r\n\r\n" : "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
	char answer[1024];
	size_t have = 0;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return false;
	for (;;) {
		ssize_t n = recv(fd, answer + have, sizeof(answer) - have, 0);

		if (n <= 0)
			return false;
		have += (size_t)n;
		if (have >= 12 && memcmp(answer + have - 12, "hello, world", 12) == 0)
			return true;
	}
}

/* The container sees the end of a connection first, and keeps its TIME_WAIT: the client's ports are free again at once. */
static void await_end(int fd)
{
	char rest[64];

	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
}

static void *get_many(void *arg)
{
	struct client *c = arg;
	int fd = -1;

	while (now() < c->deadline) {
		bool good;

		if (fd < 0)
			fd = reach(c);
		good = fd >= 0 && get_one(fd, c->keep);
		c->done += good;
		c->failed += !good;
		if (fd >= 0 && (!c->keep || !good)) {
			if (good)
				await_end(fd);
			close(fd);
			fd = -1;
		}
	}
	close(fd);
	return NULL;
}

static void *pull_all(void *arg)
{
	static const char request[] = "GET /bytes HTTP/1.1\r\n\r\n";
	static __thread char into[1 << 18];
	struct client *c = arg;
	int fd = reach(c);
	ssize_t n = -1;

	if (fd >= 0 && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
		while (now() < c->deadline && (n = recv(fd, into, sizeof(into), 0)) > 0)
			c->done += (size_t)n;
	c->failed += n <= 0;
	close(fd);
	return NULL;
}

static void load(bool pull, const char *host, const char *port, unsigned connections, double seconds, bool keep)
{
	static struct client all[MAX_CONNECTIONS];
	double began = now(), wall;
	unsigned long long done = 0, failed = 0;

	if (!connections || connections > MAX_CONNECTIONS)
		exit(2);
	for (unsigned i = 0; i < connections; i++) {
		all[i] = (struct client){ .keep = keep, .pull = pull, .deadline = began + seconds };
		all[i].size = address(&all[i].to, host, port);
		if (pthread_create(&all[i].thread, NULL, pull ? pull_all : get_many, &all[i]) != 0)
			die("a thread");
	}
	for (unsigned i = 0; i < connections; i++) {
		pthread_join(all[i].thread, NULL);
		done += all[i].done;
		failed += all[i].failed;
	}
	wall = now() - began;
	printf("%.4f %llu\n", pull ? (double)done / wall / 1e9 : (double)done / wall, failed);
	exit(failed > done / 100);
}

/* Names */

static void resolver(const char *host)
{
	struct sockaddr_storage a;
	socklen_t size = address(&a, host, "53");
	int fd = socket(a.ss_family, SOCK_DGRAM, 0);

	if (bind(fd, (struct sockaddr *)&a, size) < 0)
		die(host);
	for (;;) {
		static const uint8_t record[] = { 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1 };
		uint8_t m[2048];
		size_t end = 12;
		ssize_t n;

		size = sizeof(a);
		n = recvfrom(fd, m, 1024, 0, (struct sockaddr *)&a, &size);
		if (n < 17)
			continue;
		while (end < (size_t)n && m[end])
			end += m[end] + 1u;
		end += 5;
		if (end > (size_t)n)
			continue;
		m[2] |= 0x80;
		m[3] = 0x80;
		memset(m + 6, 0, 6);
		if (m[end - 3] == 1) {
			m[7] = 1;
			memcpy(m + end, record, sizeof(record));
			end += sizeof(record);
		}
		sendto(fd, m, end, 0, (struct sockaddr *)&a, size);
	}
}

static size_t query(uint8_t *m, const char *name, uint16_t id, uint8_t type)
{
	size_t at = 12;

	memcpy(m, "\0\0\1\0\0\1\0\0\0\0\0\0", 12);
	m[0] = (uint8_t)(id >> 8);
	m[1] = (uint8_t)id;
	while (*name) {
		size_t n = strcspn(name, ".");

		m[at++] = (uint8_t)n;
		memcpy(m + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	memcpy(m + at, "\0\0\0\0\1", 5);
	m[at + 2] = type;
	return at + 5;
}

static bool lookup(const struct sockaddr_storage *to, socklen_t size, const char *name, uint16_t id, bool pair)
{
	const struct timeval patience = { .tv_sec = 5 };
	int fd = socket(to->ss_family, SOCK_DGRAM, 0);
	uint8_t m[1024];
	bool good;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	good = connect(fd, (const struct sockaddr *)to, size) == 0 && send(fd, m, query(m, name, id, 1), 0) > 0 &&
		(!pair || send(fd, m, query(m, name, (uint16_t)~id, 28), 0) > 0);
	for (int i = 0; good && i < 1 + pair; i++)
		good = recv(fd, m, sizeof(m), 0) > 16 && (m[3] & 15) == 0;
	close(fd);
	return good;
}

static void ask(const char *host, const char *name, unsigned long count, double rate, bool pair)
{
	struct sockaddr_storage a;
	socklen_t size = address(&a, host, "53");
	double began = now();
	unsigned long failed = 0;

	for (unsigned long i = 0; i < count; i++) {
		double left = rate > 0 ? began + (double)i / rate - now() : 0;

		if (left > 0)
			usleep((useconds_t)(left * 1e6));
		failed += !lookup(&a, size, name, (uint16_t)i, pair);
	}
	printf("%lu %lu %.4f\n", count, failed, now() - began);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	if (strcmp(what, "serve") == 0)
		serve(argv[2]);
	else if (strcmp(what, "get") == 0 && argc == 7)
		load(false, argv[2], argv[3], (unsigned)atoi(argv[4]), atof(argv[5]), strcmp(argv[6], "keep") == 0);
	else if (strcmp(what, "pull") == 0 && argc == 6)
		load(true, argv[2], argv[3], (unsigned)atoi(argv[4]), atof(argv[5]), true);
	else if (strcmp(what, "resolver") == 0)
		resolver(argv[2]);
	else if (strcmp(what, "ask") == 0 && argc == 7)
		ask(argv[2], argv[3], strtoul(argv[4], NULL, 10), atof(argv[5]), strcmp(argv[6], "pair") == 0);
	else
		return 2;
	return 0;
}
