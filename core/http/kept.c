/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests of a kept-alive connection that are whole in the socket when the guard has looked at them: they are taken out,
 * run and answered here, and the library never sees them. What streams, hijacks or asks for more than a plain answer is
 * left where it is, for the library.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "http/conn.h"

static bool split_fields(const char *data, const struct http_head *head, struct http_request *h, bool *ret_keep);
static bool answer(struct http_request *h, bool keep);

static bool has_answer_of_its_own(const struct conn *c, const struct http_head *head, size_t size)
{
	const struct route *route;

	if (head->http10 || head->chunked || streq(head->method, "HEAD"))
		return false;
	if (head->content_length > 0 && (size_t)head->content_length > size - head->size)
		return false;
	route = router_match(c->srv->router, head->method, head->uri);
	return !route || !(route->flags & (ROUTE_HIJACK | ROUTE_STREAM_BODY));
}

static void count(struct http_server *s, int by)
{
	WITH_LOCK(&s->lock);

	s->n_requests += (size_t)by;
	if (by < 0)
		pthread_cond_broadcast(&s->changed);
}

enum http_kept http_kept_serve(struct conn *c, char *data, size_t size, struct http_head *head)
{
	size_t body = head->content_length > 0 ? (size_t)head->content_length : 0, whole = head->size + body;
	struct http_request h = { .conn = c, .body_complete = true };
	bool keep = true;

	if (!has_answer_of_its_own(c, head, size) || !split_fields(data, head, &h, &keep)) {
		http_request_done(&h);
		return KEPT_NOT;
	}
	/* The bytes that were looked at, once more: nobody else reads this socket. */
	if (recv(c->fd, data, whole, MSG_DONTWAIT) != (ssize_t)whole) {
		http_request_done(&h);
		return KEPT_ENDS;
	}
	count(c->srv, 1);
	if (body)
		buf_add(&h.body, data + head->size, body);
	h.uri = STEAL(head->uri);
	h.method = xstrdup(head->method);
	http_request_init(&h);
	router_handle(c->srv->router, &h.rq);
	if (h.answer.set && !h.raw) {
		keep = keep && !http_crowded(c->srv);
		keep = answer(&h, keep) && keep;
		if (!keep)
			raw_linger(c->fd, 0);
	} else {
		keep = false;
		raw_end(&h);
	}
	http_request_done(&h);
	count(c->srv, -1);
	return keep ? KEPT_ANSWERED : KEPT_ENDS;
}

static bool is_name(const char *name, size_t size, const char *want)
{
	return strlen(want) == size && strncasecmp(name, want, size) == 0;
}

/* The fields of a block that http_head_check() has passed. False: one of them asks for the library. */
static bool split_fields(const char *data, const struct http_head *head, struct http_request *h, bool *ret_keep)
{
	const char *end = data + head->size - 2, *line = (const char *)memchr(data, '\n', head->size) + 1, *next;

	for (; line < end; line = next + 1) {
		const char *colon = memchr(line, ':', (size_t)(end - line)), *from = colon + 1, *to;
		OWN_FREE char *value = NULL;

		next = memchr(line, '\n', (size_t)(end - line));
		for (to = next - 1; from < to && (*from == ' ' || *from == '\t'); from++)
			;
		for (; to > from && (to[-1] == ' ' || to[-1] == '\t'); to--)
			;
		if (is_name(line, (size_t)(colon - line), "Expect") || is_name(line, (size_t)(colon - line), "Upgrade"))
			return false;
		value = xstrndup(from, (size_t)(to - from));
		if (is_name(line, (size_t)(colon - line), "Connection") && strcasestr(value, "close"))
			*ret_keep = false;
		strv_take(&h->names, xstrndup(line, (size_t)(colon - line)));
		strv_take(&h->values, STEAL(value));
	}
	return true;
}

static int unread(int fd)
{
	int n = 0;

	return ioctl(fd, SIOCOUTQ, &n) < 0 ? 0 : n;
}

/* False: the client has read nothing for the time a connection may be idle. One that reads little makes no room for long. */
static bool wait_room(const struct conn *c)
{
	struct pollfd p = { c->fd, POLLOUT, 0 };
	int before, n;

	do {
		before = unread(c->fd);
		n = poll(&p, 1, c->srv->limits.idle_timeout_s * 1000);
	} while ((n < 0 && errno == EINTR) || (n == 0 && unread(c->fd) < before));
	return n > 0;
}

/* All of it, or false: the client is gone, or as good as that. */
static bool send_all(const struct conn *c, struct iovec *iov, size_t n)
{
	while (n) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
		ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && (errno == EINTR || (errno == EAGAIN && wait_room(c))))
			continue;
		if (sent < 0)
			return false;
		for (; n && (size_t)sent >= iov->iov_len; iov++, n--)
			sent -= (ssize_t)iov->iov_len;
		if (n) {
			iov->iov_base = (char *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return true;
}

static bool answer(struct http_request *h, bool keep)
{
	bool bare = h->rq.status < 200 || h->rq.status == 204 || h->rq.status == 304;
	OWN_BUF struct buf b = { 0 };
	struct iovec iov[2];

	lock_none_held();
	raw_head(h, h->rq.status, &b);
	if (h->answer.type)
		raw_field(&b, "Content-Type", h->answer.type);
	if (!bare)
		buf_addf(&b, "Content-Length: %zu\r\n", h->answer.data.size);
	buf_adds(&b, keep ? "\r\n" : "Connection: close\r\n\r\n");
	iov[0] = (struct iovec){ b.data, b.size };
	iov[1] = (struct iovec){ h->answer.data.data, bare ? 0 : h->answer.data.size };
	return send_all(h->conn, iov, iov[1].iov_len ? 2 : 1);
}
