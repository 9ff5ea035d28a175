/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the server share: a client over a real socket, and the server's beginning and end. */
#ifndef UNIT_HTTP_CLIENT_H
#define UNIT_HTTP_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "http/http.h"
#include "http/head.h"

#include "tap.h"

static atomic_int cancelled, jobs_done __attribute__((unused));
static atomic_llong uploaded __attribute__((unused));
static char sock_path[64];
static struct sockaddr_in tcp = { .sin_family = AF_INET }; /* dial() goes there once it has a port */

static inline int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(tcp.sin_port ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, sock_path);
	if (tcp.sin_port ? connect(fd, (struct sockaddr *)&tcp, sizeof(tcp)) < 0 : connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		perror("connect");
	return fd;
}

static inline void say(int fd, const char *text)
{
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads until the text turns up (NULL: to the end), for at most two seconds; what was read, as a string that lives to the next
 * call. */
static inline const char *hear(int fd, const char *until)
{
	static struct buf b;
	int64_t end = clock_mono() + 20 * NSEC_PER_SEC; /* a busy machine is no failure */

	buf_reset(&b);
	buf_adds(&b, "");
	buf_reserve(&b, 1);
	while (clock_mono() < end && !(until && b.size && strstr(b.data, until))) {
		struct pollfd p = { fd, POLLIN, 0 };
		char data[16384];
		ssize_t n;

		if (poll(&p, 1, 100) <= 0)
			continue;
		n = recv(fd, data, sizeof(data), 0);
		if (n <= 0) {
			if (n < 0)
				buf_adds(&b, "<reset>");
			break;
		}
		buf_add(&b, data, (size_t)n);
	}
	if (clock_mono() >= end)
		buf_adds(&b, "<timeout>");
	return b.data ? b.data : "";
}

/* One request on a connection of its own, everything that comes back. */
static inline const char *ask(const char *text)
{
	int fd = dial();
	const char *r;

	say(fd, text);
	r = hear(fd, NULL);
	close(fd);
	return r;
}

static inline bool until(atomic_int *n, int want)
{
	for (int i = 0; i < 4000 && *n < want; i++)
		usleep(5000);
	return *n >= want;
}

static inline bool starts(const char *s, const char *with)
{
	if (str_has_prefix(s, with))
		return true;
	printf("# got: %.200s\n", s);
	return false;
}

static inline bool ends(const char *s, const char *with)
{
	if (str_has_suffix(s, with))
		return true;
	printf("# got: %s\n", strlen(s) > 200 ? s + strlen(s) - 200 : s);
	return false;
}

static inline int open_fds(void)
{
	int n = 0;

	for (int i = 0; i < 4096; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static inline int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(path);
	strcpy(sa.sun_path, path);
	bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	listen(fd, 256);
	return fd;
}

/* A port of this machine's loopback; 0 bytes: the kernel's send buffer. */
static inline int listen_on_port(struct sockaddr_in *ret, int send_buffer)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (send_buffer)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	if (bind(fd, (struct sockaddr *)&sa, size) < 0 || listen(fd, 128) < 0 || getsockname(fd, (struct sockaddr *)&sa, &size) < 0)
		perror("tcp");
	*ret = sa;
	return fd;
}

struct http_job { const char *name; job_fn *fn; };
struct http_world {
	struct engine *engine;
	struct router *router;
	struct http_server *server;
	int fds;
	char dir[32];
};

static inline void http_world_begin(struct http_world *w, const struct http_job *jobs, size_t jobs_len, const struct route *routes, size_t routes_len)
{
	const struct http_limits limits = { .header_timeout_ms = 1000 };

	log_set_level(LOG_FATAL);
	strcpy(w->dir, "/tmp/test-http-XXXXXX");
	if (!mkdtemp(w->dir))
		abort();
	snprintf(sock_path, sizeof(sock_path), "%s/sock", w->dir);
	w->engine = engine_new();
	for (size_t i = 0; i < jobs_len; i++)
		engine_register(w->engine, jobs[i].name, jobs[i].fn, NULL, NULL);
	w->router = router_new(w->engine, routes, routes_len, API_MIN_MINOR, NULL);
	w->fds = open_fds();
	w->server = http_server_new(w->router, &limits, NULL);
	http_server_add_listener(w->server, listen_at(sock_path), NULL, NULL);
	ok(http_server_start(w->server, NULL) == 0, "the server starts");
}

/* The server is gone already. */
static inline void http_world_end(struct http_world *w)
{
	is_int(open_fds(), w->fds, "no descriptor is left");
	router_free(w->router);
	engine_free(w->engine);
	unlink(sock_path);
	rmdir(w->dir);
}

#endif
