/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP library: its connections, and requests as it tells of them. */
#include "http/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "http/conn.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK (2u << 20)
#else
#define STACK (192u << 10)
#endif
/*
 * Of the library, per connection: the largest header block there may be, its fields, read-ahead. The library clears all of it
 * between two requests: it costs a ping more than anything else does, and each kept connection owns all of it.
 */
#define POOL (88u << 10)
#define RELAY_END_MS 1000

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mc, const char *url, const char *method, const char *version,
	const char *data, size_t *size, void **ctx);
static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *mc);
static void on_completed(void *cls, struct MHD_Connection *mc, void **ctx, enum MHD_RequestTerminationCode code);
static void on_connection(void *cls, struct MHD_Connection *mc, void **ctx, enum MHD_ConnectionNotificationCode code);
static void await_next(struct conn *c, struct MHD_Connection *mc);
static size_t keep_escapes(void *cls, struct MHD_Connection *mc, char *s);
static enum MHD_Result begin_request(struct http_request *h, const char *method, const char *version);
static enum MHD_Result take_body(struct http_request *h, const char *data, size_t *size);
static enum MHD_Result finish(struct http_request *h);
static enum MHD_Result refuse(struct http_request *h, enum err_class class, const char *text);

int http_server_start(struct http_server *s, struct err *err)
{
	const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
		MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC;
	struct epoll_event wake = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
	int r;

	if (http_speaks_tls(s)) {
		http_limit_tls(&s->limits);
		if (tls_relay_start(s, err) < 0)
			return -1;
	}
	s->mhd = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->limits.max_connections + 2 * SLOTS_APART + 64,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->limits.idle_timeout_s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,
		MHD_OPTION_URI_LOG_CALLBACK, on_request_line, s,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_END);
	if (!s->mhd)
		return err_errno(err, errno, "cannot start the HTTP server");
	epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &wake);
	r = pthread_create(&s->acceptor, NULL, http_accept_main, s);
	if (r) {
		MHD_stop_daemon(s->mhd);
		s->mhd = NULL;
		return err_errno(err, r, "cannot start the HTTP server's thread");
	}
	s->started = true;
	tls_relay_listen(s);
	return 0;
}

int http_server_stop(struct http_server *s, int timeout_ms)
{
	if (s->started) {
		tls_relay_end_handshakes(s);
		eventfd_write(s->wake_fd, 1);
		pthread_join(s->acceptor, NULL);
		s->started = false;
	}
	lock_take(&s->lock);
	s->stopping = true;
	lock_drop(&s->lock);
	if (!http_requests_end(s, timeout_ms)) {
		log_warn("requests still run, leaving them behind");
		return -1;
	}
	if (s->mhd)
		MHD_stop_daemon(s->mhd);
	s->mhd = NULL;
	tls_relay_end(s, RELAY_END_MS);
	return 0;
}

static void leave(struct http_server *s, int lib_fd)
{
	struct conn *c;
	int feed, own;

	lock_take(&s->lock);
	c = (size_t)lib_fd < s->n_by_fd ? s->by_fd[lib_fd] : NULL;
	if (!c) {
		lock_drop(&s->lock);
		return;
	}
	s->by_fd[lib_fd] = NULL;
	feed = c->feed_fd;
	own = feed >= 0 ? c->fd : -1;
	http_conn_release(c);
	lock_drop(&s->lock);
	if (feed >= 0)
		close(feed);
	if (own >= 0)
		close(own);
}

/* Files c under its library descriptor, for on_connection(). */
static void enter(struct conn *c)
{
	struct http_server *s = c->srv;

	/* The library has closed this number before: whoever still stands there never got a thread. */
	leave(s, c->lib_fd);
	lock_take(&s->lock);
	if ((size_t)c->lib_fd >= s->n_by_fd) {
		size_t n = (size_t)c->lib_fd + 64;

		s->by_fd = xrealloc(s->by_fd, n * sizeof(*s->by_fd));
		memset(s->by_fd + s->n_by_fd, 0, (n - s->n_by_fd) * sizeof(*s->by_fd));
		s->n_by_fd = n;
	}
	s->by_fd[c->lib_fd] = c;
	c->state = CONN_ACTIVE;
	s->n_active++;
	c->deadline = 0;
	lock_drop(&s->lock);
}

int http_add_connection(struct conn *c, const char *feed, size_t feed_size)
{
	struct http_server *s = c->srv;
	int sv[2], lib_fd;

	c->lib_fd = c->fd;
	if (feed) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 || fs_write_all(sv[0], feed, feed_size) < 0) {
			int fd = c->fd;

			lock_take(&s->lock);
			http_conn_release(c);
			lock_drop(&s->lock);
			close(fd);
			return -1;
		}
		c->feed_fd = sv[0];
		c->lib_fd = sv[1];
	}
	lib_fd = c->lib_fd;
	enter(c);
	if (MHD_add_connection(s->mhd, lib_fd, (struct sockaddr *)&c->addr, c->addr_len) == MHD_YES)
		return 0;
	leave(s, lib_fd); /* the library has closed it */
	return -1;
}

static void on_connection(void *cls, struct MHD_Connection *mc, void **ctx, enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = cls;
	int fd = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		WITH_LOCK(&s->lock);

		*ctx = s->by_fd[fd];
	} else {
		leave(s, fd);
	}
}

static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *mc)
{
	struct http_server *s = cls;
	struct http_request *h = xcalloc(1, sizeof(*h));

	h->conn = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	h->mc = mc;
	h->uri = xstrdup(uri);
	h->raw = h->conn->feed_fd >= 0;
	lock_take(&s->lock);
	s->n_requests++;
	lock_drop(&s->lock);
	return h;
}

/* Ends every request became of it. */
static void on_completed(void *cls, struct MHD_Connection *mc, void **ctx, enum MHD_RequestTerminationCode code)
{
	struct http_server *s = cls;
	struct http_request *h = *ctx;
	struct conn *c;
	bool more;

	*ctx = NULL;
	if (!h)
		return;
	c = h->conn;
	more = code == MHD_REQUEST_TERMINATED_COMPLETED_OK && h->keep;
	http_request_done(h);
	free(h);
	lock_take(&s->lock);
	s->n_requests--;
	pthread_cond_broadcast(&s->changed);
	lock_drop(&s->lock);
	if (more)
		await_next(c, mc);
}

/* On the connection's own thread, between two requests. */
static void await_next(struct conn *c, struct MHD_Connection *mc)
{
	int64_t since = clock_mono();

	if (!http_guard_even(c) || !http_guard_next(c)) {
		shutdown(c->fd, SHUT_RDWR); /* the library reads the end and closes */
		return;
	}
	if (clock_mono() - since < NSEC_PER_SEC)
		return;
	/* The library has counted our waiting as idleness: its clock starts again when a time-out is set where none was. */
	MHD_set_connection_option(mc, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	MHD_set_connection_option(mc, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)c->srv->limits.idle_timeout_s);
}

static size_t keep_escapes(void *cls, struct MHD_Connection *mc, char *s)
{
	return strlen(s);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mc, const char *url, const char *method, const char *version,
	const char *data, size_t *size, void **ctx)
{
	struct http_request *h = *ctx;

	if (!h->begun) {
		if (!http_guard_begin(h->conn))
			return MHD_NO;
		h->begun = true;
		return begin_request(h, method, version);
	}
	if (*size)
		return take_body(h, data, size);
	h->body_complete = true;
	return finish(h);
}

static enum MHD_Result each_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct http_request *h = cls;

	strv_add(&h->names, key);
	strv_add(&h->values, value ? value : "");
	return MHD_YES;
}

/* What runs while the header block is all there is: everything that streams. */
static enum MHD_Result begin_request(struct http_request *h, const char *method, const char *version)
{
	struct http_framing f = HTTP_FRAMING_INIT;
	unsigned flags;
	const char *why, *type;
	bool has_body;

	h->method = xstrdup(method);
	h->http10 = streq(version, "HTTP/1.0");
	MHD_get_connection_values(h->mc, MHD_HEADER_KIND, each_header, h);
	http_request_init(h);
	why = http_request_framing(h, &f);
	if (why)
		return refuse(h, ERR_INVALID, why);
	h->route = router_match(h->conn->srv->router, method, h->uri);
	flags = h->route ? h->route->flags : 0;
	has_body = f.chunked || f.content_length > 0;
	h->body_complete = !has_body;
	if (flags & ROUTE_HIJACK) {
		/* A chunked body of anything else but JSON is the stream itself: it may never end. */
		type = request_header(&h->rq, "Content-Type");
		if (!has_body || (f.chunked && (!type || strncasecmp(type, "application/json", 16) != 0))) {
			h->raw = true;
			return finish(h);
		}
	} else if (flags & ROUTE_STREAM_BODY) {
		if (has_body && !upload_start(h))
			return refuse(h, ERR_UNAVAILABLE, "no thread is left for the upload");
	} else if (f.content_length > (int64_t)REQUEST_BODY_MAX) {
		return refuse(h, ERR_TOO_LARGE, "request body is too large");
	}
	return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *h, const char *data, size_t *size)
{
	size_t n = *size;

	*size = 0;
	if (h->upload)
		return upload_push(h->upload, data, n) ? MHD_YES : finish(h);
	if (h->body.size + n > REQUEST_BODY_MAX)
		return refuse(h, ERR_TOO_LARGE, "request body is too large");
	buf_add(&h->body, data, n);
	return MHD_YES;
}

/* The client wants to go on, and may. */
static bool keeps(struct http_request *h)
{
	if (h->http10 || http_crowded(h->conn->srv))
		return false;
	for (size_t i = 0; i < h->names.len; i++)
		if (strcasecmp(h->names.v[i], "Connection") == 0 && strcasestr(h->values.v[i], "close"))
			return false;
	return http_guard_even(h->conn);
}

static enum MHD_Result answer_by_library(struct http_request *h)
{
	/* The library frees the copy when the last byte is out. */
	struct MHD_Response *r =
		MHD_create_response_from_buffer(h->answer.data.size, h->answer.data.size ? h->answer.data.data : (char *)"",
			h->answer.data.size ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result done;

	if (!r)
		return MHD_NO;
	h->answer.data = (struct buf){ 0 };
	for (size_t i = 0; i < h->rq.reply_headers.len; i++)
		MHD_add_response_header(r, h->rq.reply_headers.v[i].key, h->rq.reply_headers.v[i].value);
	if (h->answer.type)
		MHD_add_response_header(r, "Content-Type", h->answer.type);
	h->keep = keeps(h);
	if (!h->keep)
		MHD_add_response_header(r, "Connection", "close");
	done = MHD_queue_response(h->mc, (unsigned)h->rq.status, r);
	MHD_destroy_response(r);
	return done;
}

/* Runs the job (or waits for its end) and lets the answer leave. */
static enum MHD_Result finish(struct http_request *h)
{
	if (h->upload)
		upload_end(h->upload);
	else
		router_handle(h->conn->srv->router, &h->rq);
	if (h->answer.set && !h->raw && h->body_complete)
		return answer_by_library(h);
	if (h->answer.set) {
		raw_begin(h, h->rq.status, h->answer.type, (int64_t)h->answer.data.size);
		if (h->answer.data.size)
			raw_chunk(h, h->answer.data.data, h->answer.data.size);
	}
	raw_end(h);
	return MHD_NO;
}

/* An error ahead of the router; the connection closes. */
static enum MHD_Result refuse(struct http_request *h, enum err_class class, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;

	h->raw = true;
	err_set(&err, class, "%s", text);
	reply_error(&h->rq, &err);
	raw_begin(h, h->rq.status, h->answer.type, (int64_t)h->answer.data.size);
	raw_chunk(h, h->answer.data.data, h->answer.data.size);
	raw_end(h);
	return MHD_NO;
}
