/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections that are taken over, and bodies that stream into their job, over real sockets. */
#include "http-client.h"

/* Jobs */

static int job_ping(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	return rq->ops->reply(rq, 200, "text/plain", "OK", streq(rq->method, "HEAD") ? 0 : 2);
}

/* Sends back what it reads, upper case; at the end of input says bye. */
static int job_attach(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	OWN_BUF struct buf body = { 0 };
	struct http_stream *s;
	char data[256];
	ssize_t n;

	if (request_query(rq, "missing"))
		return err_set(err, ERR_NOT_FOUND, "No such container: x");
	if (request_query(rq, "json") && request_body(rq, &body, err) < 0)
		return -1;
	s = rq->ops->hijack(rq, "application/vnd.docker.raw-stream", err);
	if (!s)
		return -1;
	if (body.size && s->write(s, body.data, body.size) == 0)
		s->settle(s);
	if (request_query(rq, "held")) {
		bool held = s->write(s, "over", 4) == 0 && s->owed(s) == OWED_HEAD;

		/* the client of a Unix socket reads nothing before it has been told so */
		for (int64_t end = clock_mono() + 500 * NSEC_PER_MSEC; s->owed(s) == OWED_HEAD && clock_mono() < end;)
			usleep(1000);
		uploaded = (held ? 1 : 0) + (s->owed(s) == OWED_HEAD ? 2 : 0);
	}
	if (request_query(rq, "hangup")) {
		if (!request_query(rq, "held"))
			s->write(s, "over", 4);
		s->shutdown_write(s);
	}
	for (;;) {
		struct pollfd p = { s->poll_fd, POLLIN, 0 };

		if (!s->pending(s))
			poll(&p, 1, 10000);
		n = s->read(s, data, sizeof(data));
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			break;
		uploaded += n;
		for (ssize_t i = 0; i < n; i++)
			data[i] = data[i] >= 'a' && data[i] <= 'z' ? (char)(data[i] - 32) : data[i];
		if (!request_query(rq, "hangup") && s->write(s, data, (size_t)n) == 0)
			s->settle(s);
	}
	if (!request_query(rq, "hangup"))
		s->write(s, "bye", 3);
	s->close(s);
	jobs_done++;
	return 0;
}

static int job_load(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	char data[10000], line[96], text[DIGEST_TEXT];
	int64_t limit = -1, total = 0;
	struct digest d;
	ssize_t n;

	request_query_int(rq, "fail_at", &limit, NULL);
	if (request_query(rq, "progress")) {
		rq->ops->begin(rq, 200, "application/json");
		rq->ops->write(rq, "started\n", 8);
	}
	digest_init(&d);
	while ((n = rq->ops->read_body(rq, data, sizeof(data), err)) > 0) {
		digest_add(&d, data, (size_t)n);
		total += n;
		uploaded = total;
		if (limit >= 0 && total >= limit)
			return err_set(err, ERR_INVALID, "bad archive");
		if (request_query(rq, "enough") && total >= 100)
			break;
	}
	if (n < 0) {
		cancelled++;
		return -1;
	}
	digest_text(&d, text);
	n = snprintf(line, sizeof(line), "%lld %s\n", (long long)total, text);
	if (rq->sent == SENT_STREAM)
		return rq->ops->write(rq, line, (size_t)n);
	return rq->ops->reply(rq, 200, "text/plain", line, (size_t)n);
}

static const struct route routes[] = {
	{ "GET", "/_ping", "ping", 0, ROUTE_UNVERSIONED },
	{ "HEAD", "/_ping", "ping", 0, ROUTE_UNVERSIONED },
	{ "POST", "/attach", "attach", 0, ROUTE_HIJACK },
	{ "POST", "/load", "load", 0, ROUTE_STREAM_BODY },
};

#define HIJACK "POST /attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"

static void test_hijack(void)
{
	int fd = dial();
	const char *r;

	jobs_done = 0;
	say(fd, HIJACK "Content-Length: 0\r\n\r\n");
	r = hear(fd, "\r\n\r\n");
	ok(starts(r, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: "
		     "Upgrade\r\nUpgrade: tcp\r\n"),
		"101 UPGRADED");
	ok(strstr(r, "Api-Version: 1.51\r\n") != NULL, "with the usual headers");
	say(fd, "hello");
	is_str(hear(fd, "HELLO"), "HELLO", "both ways");
	shutdown(fd, SHUT_WR);
	is_str(hear(fd, NULL), "bye", "output goes on after the client's half-close");
	close(fd);
	ok(until(&jobs_done, 1), "and the job ends");

	fd = dial();
	say(fd, "POST /attach HTTP/1.1\r\nHost: d\r\n\r\nearly");
	r = hear(fd, "EARLY");
	ok(starts(r, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n") && !strstr(r, "Upgrade"),
		"200 without the Upgrade header");
	ok(ends(r, "\r\n\r\nEARLY"), "bytes that came with the request are the stream's first");
	shutdown(fd, SHUT_WR);
	is_str(hear(fd, NULL), "bye", "its half-close");
	close(fd);

	fd = dial();
	say(fd, "POST /attach?json=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: "
		"application/json\r\nContent-Length: 7\r\n\r\n{\"T\"");
	usleep(20000);
	say(fd, ":1}early");
	r = hear(fd, "EARLY");
	ok(starts(r, "HTTP/1.1 101 ") && ends(r, "\r\n\r\n{\"T\":1}EARLY"), "a JSON body first, what follows is the stream's");
	close(fd);

	fd = dial();
	uploaded = 0;
	say(fd, "POST /attach?hangup=1 HTTP/1.1\r\nHost: d\r\n\r\n");
	ok(ends(hear(fd, NULL), "over"), "the server's half-close");
	jobs_done = 0;
	say(fd, "still");
	shutdown(fd, SHUT_WR);
	ok(until(&jobs_done, 1) && uploaded == 5, "input goes on after it");
	close(fd);

	fd = dial();
	say(fd, HIJACK "Transfer-Encoding: chunked\r\n\r\nnever");
	ok(ends(hear(fd, "NEVER"), "NEVER"), "a chunked request that never ends");
	close(fd);
	r = ask("POST /attach?missing=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
	ok(starts(r, "HTTP/1.1 404 Not Found\r\n") && ends(r, "{\"message\":\"No such container: x\"}\n"), "an error instead");
}

/* On a connection that has served a request before, the library reads the header block. */
static void test_hijack_later(void)
{
	int fd = dial();
	const char *r;

	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	hear(fd, "\r\n\r\nOK");
	say(fd, "POST /attach?json=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: "
		"application/json\r\nContent-Length: 2\r\n\r\n{}");
	r = hear(fd, "{}");
	ok(starts(r, "HTTP/1.1 101 UPGRADED\r\n") && ends(r, "\r\n\r\n{}"), "a hijack after another request");
	say(fd, "abc");
	is_str(hear(fd, "ABC"), "ABC", "both ways");
	shutdown(fd, SHUT_WR);
	is_str(hear(fd, NULL), "bye", "half-closed");
	close(fd);
}

/* The first output waits until the head was read, where that can be known, else for a moment. */
static int asked_held(void)
{
	int fd = dial();

	uploaded = -1;
	say(fd, "POST /attach?held=1&hangup=1 HTTP/1.1\r\nHost: d\r\n\r\n");
	for (int i = 0; i < 4000 && uploaded < 0; i++)
		usleep(5000);
	ok(ends(hear(fd, "over"), "\r\n\r\nover"), "and it comes");
	close(fd);
	return (int)uploaded;
}

static void test_held(struct router *router)
{
	struct http_server *s = http_server_new(router, NULL, NULL);
	struct sockaddr_in sa;
	int held;

	is_int(asked_held(), 3, "held as long as the client of a Unix socket does not read");
	http_server_add_listener(s, listen_on_port(&sa, 0), NULL, NULL);
	http_server_start(s, NULL);
	tcp = sa;
	held = asked_held();
	/* the job may have come late to its first look */
	for (int i = 0; i < 50 && held == 0; i++)
		held = asked_held();
	is_int(held, 1, "for a moment on TCP");
	tcp.sin_port = 0;
	http_server_stop(s, 1000);
	http_server_free(s);
}

static char *block(size_t size)
{
	char *b = xmalloc(size);

	for (size_t i = 0; i < size; i++)
		b[i] = (char)(i * 7 + i / 251);
	return b;
}

static void send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		data += n;
		size -= (size_t)n;
	}
}

static void test_upload(void)
{
	size_t size = 3u << 20;
	OWN_FREE char *data = block(size), *want = NULL, *head = NULL;
	char text[DIGEST_TEXT];
	const char *r;
	int fd = dial();

	digest_of(data, size, text);
	want = xasprintf("%zu %s\n", size, text);
	head = xasprintf("POST /load HTTP/1.1\r\nHost: d\r\nContent-Length: %zu\r\n\r\n", size);
	say(fd, head);
	send_all(fd, data, size);
	r = hear(fd, want);
	ok(starts(r, "HTTP/1.1 200 ") && strstr(r, want), "an upload that comes at once");
	close(fd);

	fd = dial();
	uploaded = 0;
	say(fd, head);
	send_all(fd, data, size / 2);
	for (int i = 0; i < 4000 && uploaded < (long long)size / 2; i++)
		usleep(5000);
	is_int(uploaded, size / 2, "the job reads an upload while it arrives");
	send_all(fd, data + size / 2, size - size / 2);
	r = hear(fd, want);
	ok(starts(r, "HTTP/1.1 200 OK\r\n") && ends(r, want), "and sees all of its bytes");
	say(fd, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
	ok(ends(hear(fd, "\r\n\r\nOK"), "OK"), "the connection stays");
	say(fd, "POST /load?enough=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 1048576\r\n\r\n");
	send_all(fd, data, 1u << 20);
	ok(starts(hear(fd, "sha256"), "HTTP/1.1 200 "), "a job that has enough leaves the rest");
	close(fd);

	fd = dial();
	say(fd, "POST /load?progress=1 HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	usleep(50000);
	ok(recv(fd, text, sizeof(text), MSG_DONTWAIT) < 0, "progress waits for the upload's last byte");
	say(fd, "0\r\n\r\n");
	r = hear(fd, NULL);
	ok(strstr(r, "\r\n8\r\nstarted\n\r\n") && strstr(r, "5 sha256:2cf24dba") && ends(r, "0\r\n\r\n"), "then goes out");
	close(fd);
}

static void test_upload_fails(void)
{
	size_t size = 1u << 20;
	OWN_FREE char *data = block(size);
	const char *r;
	int fd = dial();

	say(fd, "POST /load?fail_at=100 HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000000\r\n\r\n");
	send_all(fd, data, size);
	send_all(fd, data, size);
	r = hear(fd, NULL);
	ok(starts(r, "HTTP/1.1 400 Bad Request\r\n") && ends(r, "{\"message\":\"bad archive\"}\n"),
		"a job that fails early answers at once");
	close(fd);
	fd = dial();
	cancelled = 0;
	say(fd, "POST /load HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000\r\n\r\n12345");
	usleep(20000);
	close(fd);
	ok(until(&cancelled, 1), "a client that goes away in mid-upload cancels the job");
}

int main(void)
{
	static const struct http_job jobs[] = { { "ping", job_ping }, { "attach", job_attach }, { "load", job_load } };
	struct http_world w;

	http_world_begin(&w, jobs, ARRAY_LEN(jobs), routes, ARRAY_LEN(routes));
	test_hijack();
	test_hijack_later();
	test_held(w.router);
	test_upload();
	test_upload_fails();
	ok(http_server_stop(w.server, 1000) == 0, "stopped");
	http_server_free(w.server);
	http_world_end(&w);
	return tap_done();
}
