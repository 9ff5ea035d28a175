/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The second and later requests of a connection, which are answered without the library where they can be (core/http/kept.c). */
#include "base/fs.h"
#include "http/conn.h"
#include "http-client.h"

#define WAIT_MS 20000 /* for what must come; a busy machine is no failure */
#define HEAD "Host: d\r\n"
#define BIG (4u << 20)

/* Jobs */

static atomic_int gate_open;

static int job_ping(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	return rq->ops->reply(rq, 200, "text/plain", "OK", streq(rq->method, "HEAD") ? 0 : 2);
}

static int job_echo(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	OWN_BUF struct buf b = { 0 };

	if (request_body(rq, &b, err) < 0)
		return -1;
	if (request_query(rq, "fail"))
		return err_set(err, ERR_CONFLICT, "as you like");
	if (request_query(rq, "status"))
		return rq->ops->reply(rq, atoi(request_query(rq, "status")), NULL, NULL, 0);
	return rq->ops->reply(rq, 200, "application/octet-stream", b.data, b.size);
}

static int job_big(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	const char *size = request_query(rq, "size");
	OWN_BUF struct buf b = { 0 };

	for (uint32_t i = 0; i < (size ? strtoul(size, NULL, 10) : BIG) / sizeof(i); i++)
		buf_add(&b, &i, sizeof(i));
	return rq->ops->reply(rq, 200, "application/octet-stream", b.data, b.size);
}

static int job_stream(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	rq->ops->begin(rq, 200, "application/json");
	return rq->ops->write(rq, "one\n", 4);
}

/* Answers when the gate is opened, ends without when the client goes. */
static int job_gate(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	jobs_done++;
	while (!gate_open)
		if (cancel_wait(&job->cancel, -1, 0, 5) < 0) {
			cancelled++;
			return err_set(err, ERR_CANCELLED, "gone");
		}
	return rq->ops->reply(rq, 200, "text/plain", "through", 7);
}

static int job_attach(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	struct http_stream *s = rq->ops->hijack(rq, "application/vnd.docker.raw-stream", err);
	char data[64];
	ssize_t n;

	if (!s)
		return -1;
	for (;;) {
		struct pollfd p = { s->poll_fd, POLLIN, 0 };

		poll(&p, 1, WAIT_MS);
		n = s->read(s, data, sizeof(data));
		if (n <= 0)
			break;
		if (s->write(s, data, (size_t)n) == 0)
			s->settle(s);
	}
	s->close(s);
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/_ping", "ping", 0, ROUTE_UNVERSIONED },
	{ "HEAD", "/_ping", "ping", 0, ROUTE_UNVERSIONED },
	{ "POST", "/echo", "echo", 0, 0 },
	{ "GET", "/big", "big", 0, 0 },
	{ "GET", "/stream", "stream", 0, 0 },
	{ "GET", "/gate", "gate", 0, 0 },
	{ "POST", "/attach", "attach", 0, ROUTE_HIJACK },
};

/* A client that reads answers one by one */

struct answer {
	int status;        /* 0: the connection ended first */
	bool closes;
	struct buf body;
};

static bool fill(int fd, struct buf *b)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char data[16384];
	ssize_t n = poll(&p, 1, WAIT_MS) > 0 ? recv(fd, data, sizeof(data), 0) : -1;

	if (n <= 0)
		return false;
	buf_add(b, data, (size_t)n);
	buf_add(b, "", 1);
	b->size--;
	return true;
}

/* One answer to anything but HEAD with a length, from the bytes in rest and the socket. */
static void hear_one(int fd, struct buf *rest, struct answer *a)
{
	const char *end, *length;
	size_t size, head;

	buf_reset(&a->body);
	a->status = 0;
	while (!rest->size || !(end = strstr(rest->data, "\r\n\r\n")))
		if (!fill(fd, rest))
			return;
	head = (size_t)(end + 4 - rest->data);
	length = strstr(rest->data, "\r\nContent-Length: ");
	size = length && length < end ? strtoul(length + 18, NULL, 10) : 0;
	a->closes = memmem(rest->data, head, "\r\nConnection: close\r\n", 21) != NULL;
	while (rest->size < head + size)
		if (!fill(fd, rest))
			return;
	a->status = atoi(rest->data + 9);
	buf_add(&a->body, rest->data + head, size);
	memmove(rest->data, rest->data + head + size, rest->size - head - size + 1);
	rest->size -= head + size;
}

static bool is_answer(int fd, struct buf *rest, int status, const char *body)
{
	struct answer a = { 0 };
	bool good;

	hear_one(fd, rest, &a);
	good = a.status == status && !a.closes && a.body.size == strlen(body) && memcmp(a.body.data ?: "", body, a.body.size) == 0;
	if (!good)
		printf("# got: %d%s, %zu bytes: %.60s\n", a.status, a.closes ? " and the end" : "", a.body.size, a.body.data ?: "");
	buf_done(&a.body);
	return good;
}

static bool is_over(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char c;

	return poll(&p, 1, WAIT_MS) > 0 && recv(fd, &c, 1, 0) <= 0;
}

/* A connection behind its first request. */
static int kept(struct buf *rest)
{
	int fd = dial();

	buf_reset(rest);
	say(fd, "GET /_ping HTTP/1.1\r\n" HEAD "\r\n");
	if (!is_answer(fd, rest, 200, "OK"))
		printf("# no first answer\n");
	return fd;
}

static bool goes_on(int fd, struct buf *rest)
{
	say(fd, "GET /_ping HTTP/1.1\r\n" HEAD "\r\n");
	return is_answer(fd, rest, 200, "OK");
}

/* until() with the patience of this test. */
static bool comes(atomic_int *n, int want)
{
	for (int i = 0; i < WAIT_MS / 5 && *n < want; i++)
		usleep(5000);
	return *n >= want;
}

static bool is_empty(struct http_server *s)
{
	for (int i = 0; i < WAIT_MS / 5 && http_server_connections(s); i++)
		usleep(5000);
	return http_server_connections(s) == 0;
}

/* Tests */

/* Wherever a request is cut, and whatever of it the server sees first. */
static void test_halves(void)
{
	static const char text[] = "POST /echo HTTP/1.1\r\n" HEAD "Content-Length: 5\r\n\r\nabcde";
	OWN_BUF struct buf rest = { 0 };
	int fd = kept(&rest), good = 0;

	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		send(fd, text, cut, MSG_NOSIGNAL);
		usleep(500);
		say(fd, text + cut);
		good += is_answer(fd, &rest, 200, "abcde");
	}
	is_int(good, sizeof(text) - 2, "a request in two pieces, cut anywhere");
	ok(goes_on(fd, &rest), "and one behind them");
	close(fd);
}

static void test_order(void)
{
	OWN_BUF struct buf rest = { 0 };
	int fd = kept(&rest);

	say(fd, "POST /echo HTTP/1.1\r\n" HEAD "Content-Length: 3\r\n\r\none"
		"GET /nope HTTP/1.1\r\n" HEAD "\r\n"
		"POST /echo?fail=1 HTTP/1.1\r\n" HEAD "\r\n"
		"POST /echo HTTP/1.1\r\n" HEAD "Content-Length: 5\r\n\r\nthree");
	ok(is_answer(fd, &rest, 200, "one"), "the first of four at once");
	ok(is_answer(fd, &rest, 404, "{\"message\":\"page not found\"}\n"), "the second: no such page");
	ok(is_answer(fd, &rest, 409, "{\"message\":\"as you like\"}\n"), "the third: an error");
	ok(is_answer(fd, &rest, 200, "three"), "the fourth");
	ok(goes_on(fd, &rest), "and later one more");
	say(fd, "POST /echo?status=204 HTTP/1.1\r\n" HEAD "\r\n");
	ok(is_answer(fd, &rest, 204, ""), "204 has no body");
	say(fd, "POST /echo?status=304 HTTP/1.1\r\n" HEAD "\r\n");
	ok(is_answer(fd, &rest, 304, "") && goes_on(fd, &rest), "nor has 304");
	say(fd, "POST /echo HTTP/1.1\r\n" HEAD "\r\n");
	ok(is_answer(fd, &rest, 200, "") && goes_on(fd, &rest), "nor an empty answer");
	close(fd);
}

/* What a kept connection may ask of the library, in between. */
static void test_library(void)
{
	OWN_BUF struct buf rest = { 0 };
	int fd = kept(&rest);

	for (int i = 0; i < 2; i++) {
		say(fd, "HEAD /_ping HTTP/1.1\r\n" HEAD "\r\n");
		ok(is_answer(fd, &rest, 200, ""), "HEAD");
		ok(goes_on(fd, &rest), "GET behind it");
	}
	say(fd, "POST /echo HTTP/1.1\r\n" HEAD "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	ok(is_answer(fd, &rest, 100, ""), "Expect: 100-continue");
	say(fd, "hi");
	ok(is_answer(fd, &rest, 200, "hi") && goes_on(fd, &rest), "its answer, and another request");
	say(fd, "POST /attach HTTP/1.1\r\n" HEAD "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
	ok(is_answer(fd, &rest, 101, ""), "an upgrade");
	say(fd, "both ways");
	ok(fill(fd, &rest) && rest.size && starts(rest.data, "both ways"), "streams");
	shutdown(fd, SHUT_WR);
	ok(is_over(fd), "and ends");
	close(fd);
	fd = kept(&rest);
	say(fd, "POST /attach HTTP/1.1\r\n" HEAD "\r\n");
	while (fill(fd, &rest) && !strstr(rest.data, "\r\n\r\n"))
		;
	ok(rest.size && starts(rest.data, "HTTP/1.1 200 OK\r\n"), "a connection that is taken over without an upgrade");
	close(fd);
	fd = kept(&rest);
	say(fd, "GET /stream HTTP/1.1\r\n" HEAD "\r\n");
	while (fill(fd, &rest))
		;
	ok(rest.size && ends(rest.data, "\r\n\r\n4\r\none\n\r\n0\r\n\r\n") && strstr(rest.data, "\r\nConnection: close\r\n"),
		"a stream is whole, and ends the connection");
	close(fd);
}

static void test_close(void)
{
	static const char *const fields[] = { "Connection: close", "connection:CLOSE", "Connection: x, close" };
	OWN_BUF struct buf rest = { 0 };
	struct answer a = { 0 };
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		OWN_FREE char *text = xasprintf("GET /_ping HTTP/1.1\r\n" HEAD "%s\r\n\r\n", fields[i]);

		fd = kept(&rest);
		say(fd, text);
		hear_one(fd, &rest, &a);
		ok(a.status == 200 && a.closes && a.body.size == 2 && is_over(fd), "%s", fields[i]);
		close(fd);
	}
	fd = kept(&rest);
	say(fd, "GET /_ping HTTP/1.1\r\n" HEAD "Connection: keep-alive\r\n\r\n");
	ok(is_answer(fd, &rest, 200, "OK") && goes_on(fd, &rest), "Connection: keep-alive");
	close(fd);
	fd = kept(&rest);
	say(fd, "GET /_ping HTTP/1.0\r\n\r\n");
	hear_one(fd, &rest, &a);
	ok(a.status == 200 && a.closes && is_over(fd), "HTTP/1.0");
	close(fd);
	buf_done(&a.body);
}

/* Bodies and header blocks around what the guard looks at, and far beyond. */
static void test_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 1900, 1960, 2047, 2048, 2049, 4096, 65536, 1000000, 8u << 20 };
	OWN_BUF struct buf rest = { 0 };
	struct answer a = { 0 };
	int fd = kept(&rest), good = 0;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		OWN_BUF struct buf b = { 0 };

		buf_addf(&b, "POST /echo HTTP/1.1\r\n" HEAD "Content-Length: %zu\r\n\r\n", sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			buf_addc(&b, (char)('a' + k * 7 % 26));
		fs_write_all(fd, b.data, b.size);
		hear_one(fd, &rest, &a);
		if (a.status == 200 && a.body.size == sizes[i] && memcmp(a.body.data ?: "", b.data + b.size - sizes[i], sizes[i]) == 0)
			good++;
		else
			printf("# %zu: %d, %zu\n", sizes[i], a.status, a.body.size);
	}
	is_int(good, ARRAY_LEN(sizes), "bodies from nothing to 8 MiB");
	good = 0;
	for (int pad = 1900; pad < 2100; pad++) {
		OWN_FREE char *text = xasprintf("POST /echo HTTP/1.1\r\n" HEAD "X: %0*d\r\nContent-Length: 5\r\n\r\nabcde", pad, 0);

		say(fd, text);
		good += is_answer(fd, &rest, 200, "abcde");
	}
	is_int(good, 200, "header blocks of every length about what is looked at first");
	ok(goes_on(fd, &rest), "and a request behind them");
	close(fd);
	buf_done(&a.body);
}

static void test_big_answer(void)
{
	OWN_BUF struct buf rest = { 0 };
	struct answer a = { 0 };
	int fd = kept(&rest), wrong = 0;

	say(fd, "GET /big HTTP/1.1\r\n" HEAD "\r\nGET /_ping HTTP/1.1\r\n" HEAD "\r\n");
	usleep(50000);
	hear_one(fd, &rest, &a);
	for (uint32_t i = 0, n; i < BIG / sizeof(i) && a.body.size == BIG; i++) {
		memcpy(&n, a.body.data + i * sizeof(i), sizeof(n));
		wrong += n != i;
	}
	ok(a.status == 200 && a.body.size == BIG && !wrong, "4 MiB for a slow reader");
	ok(is_answer(fd, &rest, 200, "OK") && goes_on(fd, &rest), "and the answers behind it");
	close(fd);
	buf_done(&a.body);
}

static void test_gone(struct http_server *s)
{
	OWN_BUF struct buf rest = { 0 };
	int fd = kept(&rest);

	gate_open = jobs_done = cancelled = 0;
	say(fd, "GET /gate HTTP/1.1\r\n" HEAD "\r\n");
	ok(comes(&jobs_done, 1), "a job runs");
	close(fd);
	ok(comes(&cancelled, 1), "a client that goes away cancels it");
	fd = kept(&rest);
	say(fd, "GET /gate HTTP/1.1\r\n" HEAD "\r\nGET /_ping HTTP/1.1\r\n" HEAD "\r\n");
	ok(comes(&jobs_done, 2), "another");
	shutdown(fd, SHUT_WR);
	ok(comes(&cancelled, 2), "so does one that is behind more requests, and half gone");
	close(fd);
	fd = kept(&rest);
	say(fd, "GET /big HTTP/1.1\r\n" HEAD "\r\n");
	usleep(20000);
	close(fd);
	ok(is_empty(s), "nothing is left of one that does not read");
}

/* More connections than are kept: each ends behind its next answer. */
static void test_crowded(struct http_server *s)
{
	OWN_BUF struct buf rest = { 0 };
	struct answer a = { 0 };
	int first = kept(&rest), fds[80];

	jobs_done = 0;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial();
		say(fds[i], "GET /gate HTTP/1.1\r\n" HEAD "\r\n");
	}
	ok(comes(&jobs_done, ARRAY_LEN(fds)), "eighty connections");
	say(first, "GET /_ping HTTP/1.1\r\n" HEAD "\r\n");
	hear_one(first, &rest, &a);
	ok(a.status == 200 && a.closes && is_over(first), "a kept one ends with its answer");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	close(first);
	buf_done(&a.body);
	ok(is_empty(s), "and all are gone");
}

static void note(struct spin *s, int n, enum spun spun, int64_t us)
{
	while (n--)
		http_spin_note(s, spun, us * 1000);
}

/* When a wait begins awake. */
static void test_spin_earned(void)
{
	struct spin s = { 0 };

	note(&s, 7, SPUN_NOT, 100);
	ok(!http_spin_due(&s), "seven short waits are no row");
	note(&s, 1, SPUN_NOT, 100);
	ok(http_spin_due(&s), "eight are");
	note(&s, 1, SPUN_NOT, 1000);
	ok(!http_spin_due(&s), "a long one ends it");
	note(&s, 8, SPUN_NOT, 100);
	note(&s, 100, SPUN_HIT, 20);
	ok(http_spin_due(&s), "what pays goes on");
	note(&s, 1, SPUN_MISS, 120);
	ok(!http_spin_due(&s), "what does not ends it");
	note(&s, 15, SPUN_NOT, 100);
	ok(!http_spin_due(&s), "the next row is longer");
	note(&s, 1, SPUN_NOT, 100);
	ok(http_spin_due(&s), "twice as long");
	for (int i = 0; i < 20; i++)
		note(&s, 1, SPUN_MISS, 120);
	note(&s, 4095, SPUN_NOT, 100);
	ok(!http_spin_due(&s), "much longer after many");
	note(&s, 1, SPUN_NOT, 100);
	ok(http_spin_due(&s), "but not without end");
	note(&s, 1, SPUN_HIT, 20);
	note(&s, 1, SPUN_NOT, 1000);
	note(&s, 8, SPUN_NOT, 100);
	ok(http_spin_due(&s), "and as at first once it paid");
}

static void test_spin(void)
{
	struct http_server s = { .spinners = 1 };
	struct conn c = { .srv = &s };
	int fds[2];
	int64_t begin = clock_mono();

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
	c.fd = fds[0];
	say(fds[1], "x");
	is_int(http_spin(&c, begin), SPUN_NOT, "a new connection does not spin");
	note(&c.spin, 8, SPUN_NOT, 100);
	is_int(http_spin(&c, clock_mono()), SPUN_HIT, "a quick one finds its bytes");
	s.spinners = 0;
	is_int(http_spin(&c, clock_mono()), SPUN_NOT, "not while another does");
	is_int(s.spinners, 0, "whose turn remains its own");
	s.spinners = 1;
	recv(fds[0], &(char){ 0 }, 1, 0);
	begin = clock_mono();
	is_int(http_spin(&c, begin), SPUN_MISS, "nor for long");
	ok(clock_mono() - begin >= 50000, "but for a moment");
	is_int(s.spinners, 1, "then others may");
	close(fds[1]);
	is_int(http_spin(&c, clock_mono()), SPUN_HIT, "the end is seen");
	close(fds[0]);
}

/* The server's waits are noted, and begin awake behind a row of short ones: here each request is there before its wait. */
static void test_spin_served(struct http_server *s)
{
	OWN_BUF struct buf rest = { 0 };
	bool seen = !http_spinners();

	for (int64_t end = clock_mono() + WAIT_MS / 1000 * NSEC_PER_SEC; !seen && clock_mono() < end;) {
		OWN_BUF struct buf many = { 0 };
		int fd = kept(&rest);

		for (int i = 0; i < 64; i++)
			buf_adds(&many, "GET /_ping HTTP/1.1\r\n" HEAD "\r\n");
		fs_write_all(fd, many.data, many.size);
		for (int i = 0; i < 64; i++)
			is_answer(fd, &rest, 200, "OK");
		close(fd);
		is_empty(s); /* with its lock: what the connection's thread has written is seen */
		for (size_t i = 0; i < s->n_slots; i++)
			seen = seen || s->conns[i].spin.asked;
	}
	ok(seen, "requests in a row are waited for awake");
}

static void *stop_main(void *s)
{
	return (void *)(intptr_t)http_server_stop(s, WAIT_MS);
}

static void test_stop(struct http_server *s)
{
	OWN_BUF struct buf rest = { 0 }, other = { 0 };
	int idle = kept(&other), busy = kept(&rest);
	struct answer a = { 0 };
	pthread_t t;
	void *r;

	gate_open = jobs_done = cancelled = 0;
	say(busy, "GET /gate HTTP/1.1\r\n" HEAD "\r\n");
	ok(comes(&jobs_done, 1), "a request runs");
	pthread_create(&t, NULL, stop_main, s);
	usleep(50000);
	gate_open = 1;
	hear_one(busy, &rest, &a);
	ok(a.status == 200 && a.body.size == 7 && !cancelled, "a server that stops lets it end, and its answer leave");
	pthread_join(t, &r);
	ok(!r, "then it has stopped");
	ok(is_over(busy) && is_over(idle), "and closed what was kept");
	close(busy);
	close(idle);
	buf_done(&a.body);
}

/* A third of the server's buffer, which makes it writable again, takes this reader longer than a connection may be idle. */
static bool read_slowly(void)
{
	OWN_BUF struct buf rest = { 0 };
	struct answer a = { 0 };
	int fd = kept(&rest), small = 32768;
	char data[4096];
	bool good;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	say(fd, "GET /big?size=800000 HTTP/1.1\r\n" HEAD "\r\n");
	for (int i = 0; i < 60; i++) {
		ssize_t n = recv(fd, data, sizeof(data), MSG_WAITALL);

		buf_add(&rest, data, n > 0 ? (size_t)n : 0);
		usleep(50000);
	}
	hear_one(fd, &rest, &a);
	good = a.body.size == 800000;
	buf_done(&a.body);
	close(fd);
	return good;
}

/* A server with a second of patience. */
static void test_idle(struct router *router)
{
	struct http_limits limits = { .idle_timeout_s = 1, .header_timeout_ms = 1000 };
	struct http_server *s = http_server_new(router, &limits, NULL);
	OWN_BUF struct buf rest = { 0 };
	struct answer a = { 0 };
	struct sockaddr_in port;
	int idle, half, deaf;
	bool slow = false, told = false;

	http_server_add_listener(s, listen_at(sock_path), NULL, NULL);
	http_server_add_listener(s, listen_on_port(&port, 200000), NULL, NULL);
	http_server_start(s, NULL);
	idle = kept(&rest);
	ok(is_over(idle), "an idle connection is closed");
	for (int i = 0; i < 5 && !told; i++) { /* a busy machine may keep this program from asking for a second */
		half = kept(&rest);
		say(half, "GET /_ping HTTP/1.1\r\nHo");
		hear_one(half, &rest, &a);
		told = a.status == 408 && is_over(half);
		close(half);
	}
	ok(told, "half a request is told that it took too long");
	deaf = kept(&rest);
	say(deaf, "GET /big HTTP/1.1\r\n" HEAD "\r\n");
	ok(is_empty(s), "one that never reads its answer is closed, too");
	tcp = port;
	for (int i = 0; i < 5 && !slow; i++) /* a busy machine may keep the reader from reading for a second */
		slow = read_slowly();
	tcp.sin_port = 0;
	ok(slow, "not one that reads little by little");
	close(deaf);
	close(idle);
	buf_done(&a.body);
	ok(http_server_stop(s, WAIT_MS) == 0, "stopped");
	http_server_free(s);
}

static void test_all(struct http_server *s)
{
	test_halves();
	test_order();
	test_library();
	test_close();
	test_sizes();
	test_big_answer();
	test_gone(s);
	test_crowded(s);
}

/* Another way of counting bytes. */
static void test_tcp(struct router *router)
{
	struct http_server *s = http_server_new(router, NULL, NULL);
	struct sockaddr_in port;

	http_server_add_listener(s, listen_on_port(&port, 0), NULL, NULL);
	http_server_start(s, NULL);
	tcp = port;
	test_all(s);
	tcp.sin_port = 0;
	ok(http_server_stop(s, WAIT_MS) == 0, "stopped");
	http_server_free(s);
}

int main(void)
{
	static const struct http_job jobs[] = {
		{ "ping", job_ping }, { "echo", job_echo }, { "big", job_big }, { "stream", job_stream }, { "gate", job_gate },
		{ "attach", job_attach },
	};
	struct http_world w;

	http_world_begin(&w, jobs, ARRAY_LEN(jobs), routes, ARRAY_LEN(routes));
	test_spin_earned();
	test_spin();
	test_all(w.server);
	test_spin_served(w.server);
	test_stop(w.server);
	http_server_free(w.server);
	test_idle(w.router);
	test_tcp(w.router);
	http_world_end(&w);
	return tap_done();
}
