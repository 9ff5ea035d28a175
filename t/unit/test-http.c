/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server over real sockets: what clients send, byte for byte, and what comes back. */
#include "http-client.h"

/* Jobs */

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
	return rq->ops->reply(rq, 200, "application/octet-stream", b.data, b.size);
}

static int job_stream(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	rq->ops->begin(rq, 200, "application/json");
	rq->ops->write(rq, "one\n", 4);
	rq->ops->write(rq, "two\n", 4);
	return request_query(rq, "fail") ? err_set(err, ERR_INTERNAL, "broke") : 0;
}

/* Headers first, the rest when the client has gone. */
static int job_wait(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	rq->ops->begin(rq, 200, "application/json");
	if (cancel_wait(&job->cancel, -1, 0, 10000) < 0)
		cancelled++;
	return err_set(err, ERR_CANCELLED, "gone");
}

static int job_flood(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	static const char block[65536];
	int64_t n = 0;

	rq->ops->begin(rq, 200, "application/octet-stream");
	for (int i = 0; i < 64; i++) {
		if (rq->ops->write(rq, block, sizeof(block)) < 0) {
			cancelled++;
			break;
		}
		n += (int64_t)sizeof(block);
	}
	uploaded = n;
	jobs_done++;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/_ping", "ping", 0, ROUTE_UNVERSIONED },
	{ "HEAD", "/_ping", "ping", 0, ROUTE_UNVERSIONED },
	{ "POST", "/echo", "echo", 0, 0 },
	{ "GET", "/stream", "stream", 0, 0 },
	{ "POST", "/wait", "wait", 0, 0 },
	{ "GET", "/flood", "flood", 0, 0 },
};

/* Tests */

static void test_keepalive(void)
{
	int fd = dial();
	const char *r;

	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	r = hear(fd, "\r\n\r\nOK");
	ok(starts(r, "HTTP/1.1 200 OK\r\n") && strstr(r, "\r\nApi-Version: 1.51\r\n") && strstr(r, "\r\nServer: Docker/"),
		"a request");
	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	ok(starts(hear(fd, "\r\n\r\nOK"), "HTTP/1.1 200 OK\r\n"), "another on the same connection");
	say(fd, "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nab");
	usleep(20000);
	say(fd, "cde");
	ok(ends(hear(fd, "abcde"), "\r\n\r\nabcde"), "a body in two pieces");
	say(fd, "GET /nothing HTTP/1.1\r\nHost: d\r\n\r\n");
	r = hear(fd, "}\n");
	ok(starts(r, "HTTP/1.1 404 Not Found\r\n") && strstr(r, "Content-Type: application/json\r\n") &&
			ends(r, "{\"message\":\"page not found\"}\n"),
		"an error keeps it open");
	say(fd, "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\n1GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	r = hear(fd, "\r\n\r\nOK");
	ok(starts(r, "HTTP/1.1 200 ") && strstr(r, "\r\n\r\n1HTTP/1.1 200 ") && !strstr(r, "\r\nConnection: close\r\n"),
		"a request behind another's body is answered behind it");
	say(fd, "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\n1GET /_ping HTTP/1.1\nHost: d\n\n");
	r = hear(fd, NULL);
	ok(strstr(r, "\r\n\r\n1HTTP/1.1 400 ") && !strstr(r, "<timeout>"), "a malformed one is refused, and it closes");
	close(fd);
	r = ask("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /_ping HTTP/1.1\nHost: d\n\n");
	ok(ends(r, "\r\n\r\nOK") && !strstr(r + 1, "HTTP/1.1"), "whatever it is");
	r = ask("POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n2;e=1\r\n12\r\n0\r\n\r\n");
	ok(ends(r, "\r\n\r\nxyz12") && strstr(r, "\r\nConnection: close\r\n"), "a chunked body, and it closes");
	r = ask("GET /_ping HTTP/1.0\r\n\r\n");
	ok(starts(r, "HTTP/1.1 200 OK\r\n") || starts(r, "HTTP/1.0 200 OK\r\n"), "HTTP/1.0 without Host");
	ok(ends(r, "OK"), "closes behind its answer");
	r = ask("HEAD /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
	ok(strstr(r, "Content-Length: 0\r\n") && ends(r, "\r\n\r\n"), "HEAD has no body");
	r = ask("OPTIONS /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
	ok(starts(r, "HTTP/1.1 200 "), "OPTIONS");
}

static void test_continue(void)
{
	int fd = dial();
	const char *r;

	say(fd, "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	ok(starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n"), "Expect: 100-continue");
	say(fd, "hi");
	r = hear(fd, "hi");
	ok(starts(r, "HTTP/1.1 200") && ends(r, "hi"), "and the answer");
	close(fd);
}

static void test_strict(void)
{
	static const struct { const char *text, *status, *what; } bad[] = {
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
			"length and encoding" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400", "two lengths" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: +3\r\n\r\nabc", "400", "a signed length" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 3, 3\r\n\r\nabc", "400", "a list of lengths" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999999999999\r\n\r\nabc", "400",
			"an enormous length" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip\r\n\r\nabc", "400", "another encoding" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked, identity\r\n\r\nabc", "400", "two encodings" },
		{ "POST /echo HTTP/1.0\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "chunks in HTTP/1.0" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "400",
			"a chunk line that ends with LF" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", "400",
			"a chunk size that is none" },
		{ "GET /_ping HTTP/1.1\nHost: d\n\n", "400", "bare line feeds" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\r c\r\n\r\n", "400", "a bare carriage return" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\r\n c\r\n\r\n", "400", "a folded line" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA : b\r\n\r\n", "400", "a space before the colon" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA\r\n\r\n", "400", "a line without colon" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n", "400", "two hosts" },
		{ "GET /_ping HTTP/1.1\r\n\r\n", "400", "no host" },
		{ "GET http://other/_ping HTTP/1.1\r\nHost: d\r\n\r\n", "400", "an absolute target" },
		{ "GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n", "505", "another HTTP" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "HTTP/2" },
		{ "GET /a b HTTP/1.1\r\nHost: d\r\n\r\n", "400", "a space in the target" },
		{ "GET\r\n\r\n", "400", "half a request line" },
		{ "\x16\x03\x01\x02\r\n\r\n", "400", "TLS" },
	};
	OWN_BUF struct buf b = { 0 };
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_FREE char *want = xasprintf("HTTP/1.1 %s ", bad[i].status);
		const char *r = ask(bad[i].text);

		ok(starts(r, want) && strstr(r, "\"message\"") && !strstr(r, "<timeout>"), "refused and closed: %s", bad[i].what);
	}
	fd = dial();
	send(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\nA: \0\r\n\r\n", 37, 0);
	ok(starts(hear(fd, NULL), "HTTP/1.1 400 "), "refused: NUL");
	close(fd);
	buf_adds(&b, "GET /");
	for (int i = 0; i < 33000; i++)
		buf_addc(&b, 'a');
	buf_adds(&b, " HTTP/1.1\r\nHost: d\r\n\r\n");
	ok(starts(ask(b.data), "HTTP/1.1 414 "), "a URI over 32 KiB");
	buf_reset(&b);
	buf_adds(&b, "GET /_ping HTTP/1.1\r\nHost: d\r\n");
	for (int i = 0; i < 250; i++)
		buf_addf(&b, "X-%d: %0300d\r\n", i, i);
	buf_adds(&b, "\r\n");
	ok(starts(ask(b.data), "HTTP/1.1 431 "), "a header block over 64 KiB");
	buf_reset(&b);
	buf_adds(&b, "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n");
	for (int i = 0; i < 250; i++)
		buf_addf(&b, "X-%d: %0245d\r\n", i, i);
	buf_adds(&b, "\r\n");
	ok(starts(ask(b.data), "HTTP/1.1 200 "), "62 KiB of header in 250 fields");
	buf_reset(&b);
	buf_adds(&b, "GET /_ping?");
	for (int i = 0; i < 30000; i++)
		buf_addc(&b, 'a');
	buf_adds(&b, " HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
	ok(starts(ask(b.data), "HTTP/1.1 200 "), "30 KiB of URI");
}

static void test_strict_later(void)
{
	static const struct { const char *text, *status, *what; } bad[] = {
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
			"length and encoding" },
		{ "GET /_ping HTTP/1.1\nHost: d\n\n", "400", "bare line feeds" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\r\n c\r\n\r\n", "400", "a folded line" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\r c\r\n\r\n", "400", "a bare carriage return" },
		{ "GET /_ping HTTP/1.1\r\nHost: d\r\nA : b\r\n\r\n", "400", "a space before the colon" },
		{ "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "400",
			"a chunk line that ends with LF" },
		{ "GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n", "505", "another HTTP" },
	};
	OWN_BUF struct buf b = { 0 };
	const char *r;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_FREE char *want = xasprintf("HTTP/1.1 %s ", bad[i].status);

		fd = dial();
		for (int n = 0; n < 2; n++) {
			say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
			hear(fd, "\r\n\r\nOK");
		}
		say(fd, bad[i].text);
		r = hear(fd, NULL);
		ok(starts(r, want) && strstr(r, "\"message\"") && !strstr(r, "<timeout>"), "refused and closed as a later one: %s",
			bad[i].what);
		close(fd);
	}
	fd = dial();
	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	hear(fd, "\r\n\r\nOK");
	buf_adds(&b, "GET /_ping HTTP/1.1\r\nHost: d\r\n");
	for (int i = 0; i < 250; i++)
		buf_addf(&b, "X-%d: %0300d\r\n", i, i);
	say(fd, b.data);
	ok(starts(hear(fd, NULL), "HTTP/1.1 431 "), "a later header block over 64 KiB");
	close(fd);
	buf_reset(&b);
	buf_adds(&b, "GET /_ping HTTP/1.1\r\nHost: d\r\n");
	for (int i = 0; i < 250; i++)
		buf_addf(&b, "X-%d: %0245d\r\n", i, i);
	fd = dial();
	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	hear(fd, "\r\n\r\nOK");
	say(fd, b.data);
	usleep(100000);
	say(fd, "\r\nGET");
	r = hear(fd, "\r\n\r\nOK");
	ok(starts(r, "HTTP/1.1 200 ") && ends(r, "\r\n\r\nOK"), "62 KiB of a later one, in two pieces");
	close(fd);
	ok(starts(ask("POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 8388609\r\n\r\n"), "HTTP/1.1 413 "),
		"a body over 8 MiB");
}

static void test_stream(void)
{
	const char *r = ask("GET /stream HTTP/1.1\r\nHost: d\r\n\r\n");
	int fd;

	ok(strstr(r, "Transfer-Encoding: chunked\r\n") && strstr(r, "Connection: close\r\n"), "a stream is chunked and closes");
	ok(ends(r, "\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"), "chunk by chunk");
	r = ask("GET /stream HTTP/1.0\r\n\r\n");
	ok(!strstr(r, "chunked") && ends(r, "\r\n\r\none\ntwo\n"), "raw for HTTP/1.0");
	r = ask("GET /stream?fail=1 HTTP/1.1\r\nHost: d\r\n\r\n");
	ok(ends(r, "two\n\r\n"), "a failed job leaves the stream without its last chunk");
	fd = dial();
	cancelled = 0;
	say(fd, "POST /wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
	ok(starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 OK\r\n"), "headers leave at once");
	ok(!cancelled, "while the job waits");
	close(fd);
	ok(until(&cancelled, 1), "a client that goes away cancels its job");
}

static void test_slow_reader(void)
{
	int fd = dial(), other;

	jobs_done = cancelled = 0;
	say(fd, "GET /flood HTTP/1.1\r\nHost: d\r\n\r\n");
	hear(fd, "\r\n\r\n");
	usleep(50000);
	is_int(jobs_done, 0, "a reader that stops blocks its own job");
	other = dial();
	say(other, "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
	ok(ends(hear(other, NULL), "OK"), "and nobody else's");
	close(other);
	close(fd);
	ok(until(&jobs_done, 1) && cancelled == 1, "until it goes");
}

static void test_slowloris(struct http_server *s)
{
	int fds[100], fd, closed = 0;
	int64_t from = clock_mono();

	for (int i = 0; i < 100; i++) {
		fds[i] = dial();
		say(fds[i], "GET /_ping HTTP/1.1\r\nHo");
	}
	fd = dial();
	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	ok(ends(hear(fd, "\r\n\r\nOK"), "OK"), "a request beside 100 half ones");
	say(fd, "GET /_ping HTTP/1.1\r\nHo");
	for (int i = 0; i < 100; i++)
		closed += starts(hear(fds[i], NULL), "HTTP/1.1 408 ");
	is_int(closed, 100, "half requests are closed");
	ok(clock_mono() - from < 4 * NSEC_PER_SEC, "in time");
	ok(starts(hear(fd, NULL), "HTTP/1.1 408 "), "so is the half one on a kept-alive connection");
	close(fd);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	for (int i = 0; i < 400 && http_server_connections(s); i++)
		usleep(5000);
	is_int(http_server_connections(s), 0, "nothing is left of them");
}

static void *stop_main(void *s)
{
	return (void *)(intptr_t)http_server_stop(s, 1000);
}

static void test_stop(struct http_server *s)
{
	int idle = dial(), busy = dial();
	pthread_t t;
	void *r;

	say(idle, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	hear(idle, "\r\n\r\nOK");
	cancelled = 0;
	say(busy, "POST /wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
	hear(busy, "\r\n\r\n");
	pthread_create(&t, NULL, stop_main, s);
	pthread_join(t, &r);
	ok(!r, "the server stops");
	is_int(cancelled, 1, "running requests are cut in the end");
	is_str(hear(idle, NULL), "", "idle connections are closed");
	close(idle);
	close(busy);
}

static void test_crowd(struct router *router)
{
	struct http_limits limits = { .max_connections = 4 };
	struct http_server *s = http_server_new(router, &limits, NULL);
	int fds[4], mute[16], fd;
	const char *r;

	http_server_add_listener(s, listen_at(sock_path), NULL, NULL);
	http_server_start(s, NULL);
	for (int i = 0; i < 4; i++) {
		fds[i] = dial();
		say(fds[i], "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
		hear(fds[i], "\r\n\r\nOK");
	}
	fd = dial();
	say(fd, "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
	r = hear(fd, NULL);
	ok(starts(r, "HTTP/1.1 503 ") && ends(r, "{\"message\":\"too many open connections\"}\n"),
		"a connection too many is told so");
	close(fd);
	ok(ends(ask("GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"), "OK"), "pings are answered all the same");
	/* On a busy machine the first of them may have given way before the last one comes: then once more. */
	for (int tries = 0; tries < 5; tries++) {
		for (size_t i = 0; i < ARRAY_LEN(mute); i++)
			mute[i] = dial();
		fd = dial();
		r = hear(fd, NULL);
		close(fd);
		if (starts(r, "HTTP/1.1 503 "))
			break;
		for (size_t i = 0; tries < 4 && i < ARRAY_LEN(mute); i++)
			close(mute[i]);
	}
	ok(starts(r, "HTTP/1.1 503 "), "with no room even for that");
	r = "";
	for (int tries = 0; tries < 20 && !ends(r, "OK"); tries++) {
		usleep(1200000);
		r = ask("GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
	}
	ok(ends(r, "OK"), "those that ask nothing give way");
	for (size_t i = 0; i < ARRAY_LEN(mute); i++)
		close(mute[i]);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	ok(http_server_stop(s, 1000) == 0, "stopped");
	http_server_free(s);
}

/* What a port of this machine says of its bytes is another count than a Unix socket's. */
static void test_tcp(struct router *router)
{
	struct http_server *s = http_server_new(router, NULL, NULL);
	struct sockaddr_in sa;

	http_server_add_listener(s, listen_on_port(&sa, 0), NULL, NULL);
	http_server_start(s, NULL);
	tcp = sa;
	test_keepalive();
	test_strict_later();
	tcp.sin_port = 0;
	ok(http_server_stop(s, 1000) == 0, "stopped");
	http_server_free(s);
}

int main(void)
{
	static const struct http_job jobs[] = {
		{ "ping", job_ping }, { "echo", job_echo }, { "stream", job_stream }, { "wait", job_wait }, { "flood", job_flood },
	};
	struct http_world w;

	http_world_begin(&w, jobs, ARRAY_LEN(jobs), routes, ARRAY_LEN(routes));
	test_keepalive();
	test_continue();
	test_strict();
	test_strict_later();
	test_stream();
	test_slow_reader();
	test_slowloris(w.server);
	test_stop(w.server);
	http_server_free(w.server);
	test_crowd(w.router);
	test_tcp(w.router);
	http_world_end(&w);
	return tap_done();
}
