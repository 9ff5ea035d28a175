/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests whose answer is a stream: attach, logs, wait; and the pump between a connection and a shim. */
#include "container-streams.h"

#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "container/container.h"
#include "websocket.h"

#define RAW_STREAM "application/vnd.docker.raw-stream"
#define MULTIPLEXED_STREAM "application/vnd.docker.multiplexed-stream"
#define PUMP_ROOM 32768
#define HELD_LOOK_NS (50 * 1000)
#define HELD_LOOK_MOST_NS (2 * 1000 * 1000)

const char *stream_type(struct request *rq, bool tty)
{
	const char *upgrade = request_header(rq, "Upgrade");

	return !tty && rq->api_minor >= 42 && !str_empty(upgrade) ? MULTIPLEXED_STREAM : RAW_STREAM;
}

struct pump {
	struct http_stream *hs;
	struct attachment *a; /* of a start that has not happened yet: fd is -1 until then */
	int fd;
	const struct detach_keys *keys;
	size_t matched;
	unsigned how;
	bool use_stdin, client_eof, eof_passed, gone, detached;
	long look_ns;
	enum http_owed owed; /* output that the client has not taken: its input does not wait for that */
	bool deaf;           /* nobody takes the output any more, but what the client sent before is still to come */
	unsigned char pending[PUMP_ROOM + DETACH_KEYS_MAX]; /* from the client, not yet taken by the shim */
	size_t size, off;
};

static void flush_pending(struct pump *p)
{
	while (p->fd >= 0 && p->off < p->size) {
		ssize_t n = send(p->fd, p->pending + p->off, p->size - p->off, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			p->use_stdin = false; /* nobody reads it any more */
			break;
		}
		p->off += (size_t)n;
	}
	if (p->fd >= 0)
		p->size = p->off = 0;
}

static void take_input(struct pump *p)
{
	unsigned char in[PUMP_ROOM];
	ssize_t n = p->hs->read(p->hs, in, sizeof(in));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		p->gone = n < 0 && errno != ECONNRESET; /* a reset is the going of one who did not read: its input ends here, too */
		p->client_eof = true;
		return;
	}
	if (!p->use_stdin)
		return;
	if (p->keys) {
		p->detached = detach_keys_filter(p->keys, &p->matched, in, (size_t)n, p->pending, &p->size);
	} else {
		memcpy(p->pending, in, (size_t)n);
		p->size = (size_t)n;
	}
	flush_pending(p);
}

static void send_owed(struct pump *p)
{
	if (p->deaf)
		return;
	p->owed = p->hs->owed(p->hs);
	p->look_ns = !p->look_ns ? HELD_LOOK_NS : p->look_ns < HELD_LOOK_MOST_NS ? p->look_ns * 2 : p->look_ns;
	if (p->owed == OWED_IN_VAIN) {
		p->deaf = true;
		p->owed = OWED_NOTHING;
	}
}

/* False at the end of the output. */
static bool take_output(struct pump *p)
{
	char out[PUMP_ROOM];
	ssize_t n = recv(p->fd, out, sizeof(out), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (!p->deaf && p->hs->write(p->hs, out, (size_t)n) < 0)
		p->deaf = true;
	send_owed(p);
	return true;
}

static void pass_eof(struct pump *p)
{
	if (!p->client_eof || p->size || p->fd < 0 || p->eof_passed || !(p->how & PUMP_STDIN) || (p->how & PUMP_EOF_LEAVES))
		return;
	shutdown(p->fd, SHUT_WR);
	p->eof_passed = true;
}

/* What the client sent, and how it stands. */
static void serve_client(struct pump *p, bool readable, bool hung_up)
{
	if (p->size)
		flush_pending(p);
	if (readable)
		take_input(p);
	else if (hung_up && !p->size)
		p->gone = true;
	pass_eof(p);
}

/* The stream's side is ready: that of a process that runs, or word of the start. False: it is over. */
static bool serve_stream(struct pump *p)
{
	if (p->fd >= 0)
		return take_output(p);
	p->fd = attachment_take(p->a);
	pass_eof(p);
	return p->fd >= 0;
}

static enum pump_end pump(struct pump *p, const struct cancel *cancel)
{
	for (;;) {
		bool want = !p->client_eof && !p->size, room = p->owed == OWED_ROOM;
		short taken = p->fd >= 0 && p->size ? POLLOUT : 0;
		struct pollfd pfd[3] = {
			{ .fd = p->size && !room ? -1 : p->hs->poll_fd, .events = (want ? POLLIN : 0) | (room ? POLLOUT : 0) },
			{ .fd = p->owed && !taken ? -1 : p->fd >= 0 ? p->fd : attachment_event(p->a), .events = (p->owed ? 0 : POLLIN) | taken },
			{ .fd = cancel ? cancel->stop_fd : -1, .events = POLLIN },
		};
		bool ahead = want && p->hs->pending && p->hs->pending(p->hs);
		const struct timespec none = { 0 }, look = { .tv_nsec = p->look_ns };

		if (ppoll(pfd, 3, ahead ? &none : p->owed == OWED_HEAD ? &look : NULL, NULL) < 0 && errno != EINTR)
			return PUMP_CLIENT_GONE;
		serve_client(p, want && (ahead || (pfd[0].revents & POLLIN)), pfd[0].revents & (POLLHUP | POLLERR));
		if (p->detached)
			return PUMP_DETACHED;
		if (p->client_eof && !p->size && (p->how & PUMP_EOF_LEAVES)) {
			if (p->fd >= 0 && !p->owed)
				take_output(p);
			return PUMP_CLIENT_GONE;
		}
		if (p->owed)
			send_owed(p);
		else if ((pfd[1].revents & (POLLIN | POLLHUP | POLLERR)) && !serve_stream(p))
			return PUMP_DONE;
		if (p->gone || pfd[2].revents || (p->deaf && (!p->use_stdin || (p->client_eof && !p->size))))
			return PUMP_CLIENT_GONE;
	}
}

enum pump_end stream_pump(
	struct http_stream *hs, int fd, unsigned how, const struct detach_keys *keys, const struct cancel *cancel)
{
	OWN_FREE struct pump *p = xcalloc(1, sizeof(*p));

	*p = (struct pump){ .hs = hs, .fd = fd, .how = how, .keys = keys, .use_stdin = how & PUMP_STDIN };
	return pump(p, cancel);
}

static int hijacked_emit(void *ctx, const void *data, size_t size)
{
	struct http_stream *hs = ctx;

	return hs->write(hs, data, size) < 0 ? -1 : hs->settle(hs);
}

struct attach_query { bool stream, in, out, err, logs, eof_leaves; };

static void attach_serve(struct container *c, struct attachment *a, struct http_stream *hs, const struct attach_query *q,
	const struct detach_keys *keys, const struct cancel *cancel)
{
	unsigned how = (q->in ? PUMP_STDIN : 0) | (q->eof_leaves ? PUMP_EOF_LEAVES : 0);
	const struct log_query lq = { .stdout_on = q->out, .stderr_on = q->err, .tail = -1 };
	OWN_FREE struct pump *p = NULL;

	if (q->logs)
		container_logs(c, &lq, cancel, hijacked_emit, hs, NULL);
	if (!a)
		return;
	p = xcalloc(1, sizeof(*p));
	*p = (struct pump){ .hs = hs, .a = a, .fd = -1, .how = how, .keys = container_is_tty(c) ? keys : NULL, .use_stdin = q->in };
	if (pump(p, cancel) == PUMP_DETACHED)
		container_detached(c);
	if (p->fd >= 0)
		close(p->fd);
}

/* The connection, with a WebSocket on it when that is asked for. */
static struct http_stream *take_over(struct request *rq, bool ws, bool tty, struct err *err)
{
	struct http_stream *hs;

	if (!ws)
		return rq->ops->hijack(rq, stream_type(rq, tty), err);
	hs = rq->ops->hijack(rq, NULL, err);
	return hs ? websocket_wrap(hs, rq->api_minor < 28, !tty) : NULL;
}

static int attach(struct job *job, bool ws, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = container_find(job_api(job)->containers, request_var(rq, "id"), err);
	bool all = ws && rq->api_minor < 42;
	struct attach_query q = { .stream = request_query_bool(rq, "stream", false), .in = all || request_query_bool(rq, "stdin", false),
		.out = all || request_query_bool(rq, "stdout", false), .err = all || request_query_bool(rq, "stderr", false),
		.logs = request_query_bool(rq, "logs", false) };
	struct attachment *a = NULL;
	struct detach_keys keys;
	struct http_stream *hs;

	if (!c || detach_keys_parse(request_query(rq, "detachKeys"), &keys, err) < 0)
		return -1;
	if (ws && websocket_accept(rq, err) < 0)
		return -1;
	q.in = q.in && container_open_stdin(c);
	q.eof_leaves = q.in && (container_is_tty(c) || !container_stdin_once(c));
	if (q.stream && (q.in || q.out || q.err)) {
		a = container_attach(c, request_var(rq, "id"), (q.in ? SHIM_STDIN : 0) | (q.out ? SHIM_STDOUT : 0) | (q.err ? SHIM_STDERR : 0), err);
		if (!a)
			return -1;
	}
	hs = take_over(rq, ws, container_is_tty(c), err);
	if (hs) {
		attach_serve(c, a, hs, &q, &keys, &job->cancel);
		hs->shutdown_write(hs);
		hs->close(hs);
	}
	if (a)
		attachment_free(a);
	return hs ? 0 : -1;
}

/* As Docker: an attach is refused in plain text, whatever the version, under the name of the stream that it would have been. */
int api_container_attach(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	OWN_FREE char *text = NULL;
	int r = attach(job, false, err);

	if (r == 0 || rq->sent != SENT_NOTHING)
		return r;
	text = xasprintf("%s\r\n", err_text(err));
	rq->ops->reply(rq, err_status(err->class), RAW_STREAM, text, strlen(text));
	return r;
}

int api_container_attach_ws(struct job *job, struct err *err)
{
	return attach(job, true, err);
}

static int reply_emit(void *ctx, const void *data, size_t size)
{
	struct request *rq = ctx;

	return rq->ops->write(rq, data, size);
}

static int stamp(struct request *rq, const char *name, int64_t *ret, struct err *err)
{
	const char *s = request_query(rq, name);

	*ret = 0;
	if (str_empty(s) || streq(s, "0"))
		return 0;
	if (!clock_parse_stamp(s, clock_now(), ret))
		return err_set(err, ERR_INVALID, "invalid value for \"%s\": %.64s", name, s);
	return 0;
}

int api_container_logs(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct log_query q = { .follow = request_query_bool(rq, "follow", false),
		.stdout_on = request_query_bool(rq, "stdout", false),
		.stderr_on = request_query_bool(rq, "stderr", false),
		.timestamps = request_query_bool(rq, "timestamps", false),
		.details = request_query_bool(rq, "details", false),
		.tail = -1 };
	CLEANUP(container_unrefp) struct container *c = NULL;
	const char *tail = request_query(rq, "tail");

	if (!q.stdout_on && !q.stderr_on)
		return err_set(err, ERR_INVALID, "Bad parameters: you must choose at least one stream");
	c = container_find(job_api(job)->containers, request_var(rq, "id"), err);
	if (!c || stamp(rq, "since", &q.since, err) < 0 || stamp(rq, "until", &q.until, err) < 0)
		return -1;
	if (tail && (!str_to_i64(tail, &q.tail) || q.tail < 0))
		q.tail = -1;
	if (container_logs_check(c, err) < 0)
		return -1;
	if (rq->ops->begin(rq, 200, !container_is_tty(c) && rq->api_minor >= 42 ? MULTIPLEXED_STREAM : RAW_STREAM) < 0)
		return 0;
	return container_logs(c, &q, &job->cancel, reply_emit, rq, err);
}

int api_container_stats(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = container_find(job_api(job)->containers, request_var(rq, "id"), err);
	bool stream = request_query_bool(rq, "stream", true), one_shot = request_query_bool(rq, "one-shot", false);

	if (!c)
		return -1;
	if (stream && one_shot)
		return err_set(err, ERR_INVALID, "cannot have stream=true and one-shot=true");
	if (rq->ops->begin(rq, 200, "application/json") < 0)
		return 0;
	return container_stats(c, stream, one_shot, &job->cancel, reply_emit, rq, err);
}

static int parse_condition(const char *s, enum wait_condition *ret, struct err *err)
{
	if (str_empty(s) || streq(s, "not-running"))
		*ret = WAIT_NOT_RUNNING;
	else if (streq(s, "next-exit"))
		*ret = WAIT_NEXT_EXIT;
	else if (streq(s, "removed"))
		*ret = WAIT_REMOVED;
	else
		return err_set(err, ERR_INVALID, "invalid condition: \"%.64s\"", s);
	return 0;
}

/* The headers leave before the container ends: clients start it only when they have them. */
int api_container_wait(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = container_find(job_api(job)->containers, request_var(rq, "id"), err);
	OWN_ERR struct err ignored = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *message = NULL;
	enum wait_condition cond = WAIT_NOT_RUNNING;
	struct waiter *waiter;
	struct jw w;
	int code = 0;

	if (!c || (rq->api_minor >= 30 && parse_condition(request_query(rq, "condition"), &cond, err) < 0))
		return -1;
	waiter = container_wait_begin(c, cond, err);
	if (!waiter)
		return -1;
	rq->ops->begin(rq, 200, "application/json");
	if (container_wait_end(waiter, &job->cancel, &code, &message, &ignored) < 0)
		return 0;
	jw_init(&w, &b);
	jw_obj(&w);
	if (!str_empty(message)) {
		jw_kobj(&w, "Error");
		jw_kstr(&w, "Message", message);
		jw_obj_end(&w);
	} else if (rq->api_minor < 42) {
		jw_knull(&w, "Error");
	}
	jw_kint(&w, "StatusCode", code);
	jw_obj_end(&w);
	buf_addc(&b, '\n');
	rq->ops->write(rq, b.data, b.size);
	return 0;
}
