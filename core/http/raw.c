/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers written straight to the connection: streams, hijacks, and whatever closes it. */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "base/clock.h"
#include "http/conn.h"

#define LINGER_BYTES (16u << 20)
#define CLOSE_LINGER_MS 500
#define HEAD_READ_MS 1000
#define HEAD_READ_TCP_MS 20
#define HEAD_LOOK_NS (50 * 1000)

struct raw_stream {
	struct http_stream s; /* first */
	struct http_request *h;
	bool local;              /* a Unix socket */
	bool head_read;          /* or was waited for long enough */
	int64_t head_until;      /* clock_mono() */
	struct buf kept;         /* what was written and is not sent */
};

static ssize_t stream_read(struct http_stream *s, void *data, size_t size);
static int stream_write(struct http_stream *s, const void *data, size_t size);
static enum http_owed stream_owed(struct http_stream *s);
static int stream_settle(struct http_stream *s);
static int stream_shutdown_write(struct http_stream *s);
static bool stream_pending(struct http_stream *s);
static void stream_close(struct http_stream *s);
static void put_fields(const struct http_request *h, struct buf *b);

int raw_write(const struct cancel *cancel, int fd, struct iovec *iov, int n)
{
	lock_none_held();
	while (n) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
		ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			return -1;
		if (sent < 0) {
			if (cancel_wait(cancel, fd, POLLOUT, -1) < 0) {
				errno = ECANCELED;
				return -1;
			}
			continue;
		}
		for (; n && (size_t)sent >= iov->iov_len; iov++, n--)
			sent -= (ssize_t)iov->iov_len;
		if (n) {
			iov->iov_base = (char *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

/* A thread formats a second once. */
static const char *date_now(void)
{
	static _Thread_local struct { time_t at; char text[40]; } last;
	time_t now = time(NULL);
	struct tm tm;

	if (now != last.at)
		strftime(last.text, sizeof(last.text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	last.at = now;
	return last.text;
}

void raw_field(struct buf *b, const char *name, const char *value)
{
	buf_adds(b, name);
	buf_add(b, ": ", 2);
	buf_adds(b, value);
	buf_add(b, "\r\n", 2);
}

void raw_head(const struct http_request *h, int status, struct buf *b)
{
	buf_reserve(b, 512);
	buf_addf(b, "HTTP/1.%d %d %s\r\n", !h->http10, status, http_status_text(status));
	raw_field(b, "Date", date_now());
	put_fields(h, b);
}

int raw_begin(struct http_request *h, int status, const char *content_type, int64_t length)
{
	OWN_BUF struct buf b = { 0 };
	struct iovec iov;

	raw_head(h, status, &b);
	if (content_type)
		buf_addf(&b, "Content-Type: %s\r\n", content_type);
	h->chunked_answer = length < 0 && !h->http10;
	if (h->chunked_answer)
		buf_adds(&b, "Transfer-Encoding: chunked\r\n");
	else if (length >= 0 && status >= 200 && status != 204 && status != 304)
		buf_addf(&b, "Content-Length: %lld\r\n", (long long)length);
	buf_adds(&b, "Connection: close\r\n\r\n");
	iov = (struct iovec){ b.data, b.size };
	return raw_write(&h->cancel, h->conn->fd, &iov, 1);
}

int raw_chunk(struct http_request *h, const void *data, size_t size)
{
	char head[24];
	struct iovec iov[3] = { { head, 0 }, { (void *)data, size }, { (char *)"\r\n", 2 } };

	if (size == 0 || streq(h->method, "HEAD"))
		return 0;
	if (!h->chunked_answer)
		return raw_write(&h->cancel, h->conn->fd, iov + 1, 1);
	iov[0].iov_len = (size_t)snprintf(head, sizeof(head), "%zx\r\n", size);
	return raw_write(&h->cancel, h->conn->fd, iov, 3);
}

/* The last chunk, unless the job failed: a client must not take half a stream for a whole one. */
void raw_end(struct http_request *h)
{
	struct iovec iov = { (char *)"0\r\n\r\n", 5 };

	if (h->rq.sent == SENT_STREAM && h->chunked_answer && !h->rq.failed && !streq(h->method, "HEAD"))
		raw_write(&h->cancel, h->conn->fd, &iov, 1);
	if (h->rq.sent != SENT_HIJACK)
		raw_linger(h->conn->fd, h->body_complete ? 0 : 2000);
}

struct http_stream *raw_hijack(struct http_request *h, const char *content_type, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	socklen_t size = sizeof(int);
	int domain = 0;
	struct raw_stream *rs;
	struct iovec iov;

	buf_adds(&b, h->upgrade ? "HTTP/1.1 101 UPGRADED\r\n" : "HTTP/1.1 200 OK\r\n");
	if (content_type)
		buf_addf(&b, "Content-Type: %s\r\n", content_type);
	if (h->upgrade)
		buf_addf(&b, "Connection: Upgrade\r\n%s", strmap_get(&h->rq.reply_headers, "Upgrade") ? "" : "Upgrade: tcp\r\n");
	put_fields(h, &b);
	buf_adds(&b, "\r\n");
	/* From here on a half-close of the client is the end of its input, not its going. */
	h->rq.job->cancel.client_fd = h->cancel.client_fd = -1;
	iov = (struct iovec){ b.data, b.size };
	if (raw_write(&h->cancel, h->conn->fd, &iov, 1) < 0) {
		err_set(err, ERR_CANCELLED, "the client is gone");
		return NULL;
	}
	rs = xcalloc(1, sizeof(*rs));
	rs->s = (struct http_stream){ stream_read, stream_write, stream_owed, stream_settle, stream_shutdown_write, stream_pending,
		stream_close, h->conn->fd };
	rs->h = h;
	rs->local = getsockopt(h->conn->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
	rs->head_until = clock_mono() + (rs->local ? HEAD_READ_MS : HEAD_READ_TCP_MS) * NSEC_PER_MSEC;
	return &rs->s;
}

void raw_linger(int fd, int timeout_ms)
{
	int64_t end = clock_mono() + timeout_ms * NSEC_PER_MSEC;
	size_t total = 0;
	char junk[16384];

	shutdown(fd, SHUT_WR);
	while (total < LINGER_BYTES) {
		ssize_t n = recv(fd, junk, sizeof(junk), MSG_DONTWAIT);
		int64_t left = (end - clock_mono()) / NSEC_PER_MSEC;

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		if (n > 0)
			total += (size_t)n;
		else if (left <= 0 || cancel_wait(NULL, fd, POLLIN, (int)left) <= 0)
			return;
		if (left <= 0)
			return;
	}
}

const char *http_status_text(int status)
{
	static const struct { int status; const char *text; } texts[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Request Entity Too Large" },
		{ 414, "Request URI Too Long" },
		{ 431, "Request Header Fields Too Large" },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Unknown";
}

static ssize_t stream_read(struct http_stream *s, void *data, size_t size)
{
	ssize_t n;

	do
		n = recv(s->poll_fd, data, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

/*
 * Clients in Python (docker-py) take the head through a buffer, and what follows from the socket below it: what comes along with the head is
 * lost to them. Docker's first output is later by a containerd; here it waits until the head was read, as the kernel tells that of Unix
 * sockets (what is behind TLS has a record of its own for it). Of TCP nobody can tell it: a moment must do, shorter than Docker's.
 */
static bool head_unread(struct raw_stream *rs)
{
	int unread = 0;

	if (!rs->head_read)
		rs->head_read = clock_mono() >= rs->head_until || (rs->local && (ioctl(rs->s.poll_fd, SIOCOUTQ, &unread) < 0 || unread == 0));
	return !rs->head_read;
}

/* How much was sent; -1 with errno when there is nobody. */
static ssize_t send_now(int fd, const void *data, size_t size)
{
	ssize_t n;

	do
		n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 && errno == EAGAIN ? 0 : n;
}

static enum http_owed stream_owed(struct http_stream *s)
{
	struct raw_stream *rs = (struct raw_stream *)s;
	ssize_t n;

	if (!rs->kept.size)
		return OWED_NOTHING;
	if (head_unread(rs))
		return OWED_HEAD;
	n = send_now(s->poll_fd, rs->kept.data, rs->kept.size);
	if (n < 0)
		return OWED_IN_VAIN;
	buf_shift(&rs->kept, (size_t)n);
	return rs->kept.size ? OWED_ROOM : OWED_NOTHING;
}

static int stream_write(struct http_stream *s, const void *data, size_t size)
{
	struct raw_stream *rs = (struct raw_stream *)s;
	ssize_t n = 0;

	if (!rs->kept.size && !head_unread(rs))
		n = send_now(s->poll_fd, data, size);
	if (n < 0)
		return -1;
	if ((size_t)n < size)
		buf_add(&rs->kept, (const char *)data + n, size - (size_t)n);
	return 0;
}

static int stream_settle(struct http_stream *s)
{
	struct raw_stream *rs = (struct raw_stream *)s;
	struct timespec moment = { .tv_nsec = HEAD_LOOK_NS };
	struct iovec iov;
	int r;

	if (!rs->kept.size)
		return 0;
	while (head_unread(rs))
		nanosleep(&moment, NULL);
	iov = (struct iovec){ rs->kept.data, rs->kept.size };
	r = raw_write(&rs->h->cancel, s->poll_fd, &iov, 1);
	buf_reset(&rs->kept);
	return r;
}

static int stream_shutdown_write(struct http_stream *s)
{
	stream_settle(s);
	return shutdown(s->poll_fd, SHUT_WR);
}

/* All that the client sent stands in the socket still, so poll() tells. */
static bool stream_pending(struct http_stream *s)
{
	return false;
}

static void stream_close(struct http_stream *s)
{
	struct raw_stream *rs = (struct raw_stream *)s;

	stream_settle(s);
	raw_linger(s->poll_fd, CLOSE_LINGER_MS);
	shutdown(s->poll_fd, SHUT_RDWR);
	buf_done(&rs->kept);
	free(rs);
}

/* Values come from ourselves or from error texts: a line break must not end the field. */
static void put_fields(const struct http_request *h, struct buf *b)
{
	for (size_t i = 0; i < h->rq.reply_headers.len; i++) {
		const struct strmap_entry *e = &h->rq.reply_headers.v[i];

		if (!strpbrk(e->value, "\r\n"))
			raw_field(b, e->key, e->value);
	}
}
