/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "netd/box.h"
#include "netd/flow.h"
#include "netd/forward.h"
#include "netd/log.h"
#include "netd/ports.h"
#include "netd/stream.h"

#define RECORDS     64       /* kept while no daemon is there */
#define RECORD_SIZE 256
#define MAX_OUT     (32u << 20)
#define FIRST_NS    (30 * NSEC_PER_SEC) /* within which the first daemon has to come */
#define REST_NS     (100 * NSEC_PER_MSEC)

struct peer {
	struct source src;
	struct list all;
	struct buf in, out;
	struct netd_fds fds;
	enum log_level level;
	bool known;              /* said hello: takes log records */
};

static struct list peers = LIST_INIT(peers);
static struct source listener = SOURCE_INIT;
static struct timer first_timer, rest_timer;
static const char *identity;
static struct { enum log_level level; char text[RECORD_SIZE]; } records[RECORDS];
static size_t n_records;

int control_listener(void)
{
	return listener.fd;
}

static void peer_free(struct peer *p)
{
	list_del(&p->all);
	loop_close(&p->src);
	netd_fds_done(&p->fds);
	buf_done(&p->in);
	buf_done(&p->out);
	free(p);
}

/* What does not go out now goes when there is room. */
static void peer_send(struct peer *p, const struct netd_msg *m)
{
	if (p->out.size < MAX_OUT)
		netd_msg_put(m, &p->out);
	loop_watch(&p->src, EPOLLIN | EPOLLOUT);
}

static void tell_record(struct peer *p, enum log_level level, const char *text)
{
	OWN_NETD_MSG struct netd_msg m = { 0 };

	if (level > p->level)
		return;
	netd_msg_init(&m, NETD_LOG);
	netd_msg_int(&m, NTAG_LEVEL, level);
	netd_msg_str(&m, NTAG_TEXT, text);
	peer_send(p, &m);
}

static void record(enum log_level level, const char *text)
{
	bool told = false;

	LIST_EACH(at, after, &peers) {
		struct peer *p = CONTAINER_OF(at, struct peer, all);

		if (!p->known)
			continue;
		tell_record(p, level, text);
		told = true;
	}
	if (told || level > LOG_INFO)
		return;
	if (n_records == RECORDS)
		memmove(records, records + 1, --n_records * sizeof(records[0]));
	records[n_records].level = level;
	snprintf(records[n_records++].text, RECORD_SIZE, "%s", text);
}

void netd_log(enum log_level level, const char *fmt, ...)
{
	char text[RECORD_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	record(level, text);
}

void netd_log_seldom(enum log_level level, const char *fmt, ...)
{
	static int64_t next;
	static unsigned left_out;
	char text[RECORD_SIZE];
	va_list ap;
	int n;

	if (loop_now() < next) {
		left_out++;
		return;
	}
	next = loop_now() + NSEC_PER_SEC;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (left_out && n > 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, " (and %u more such records)", left_out);
	left_out = 0;
	record(level, text);
}

void control_check_end(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNSPEC };
	socklen_t size = sizeof(sa);

	if (!list_empty(&peers) || ports_endpoint_count() || box_count())
		return;
	if (listener.fd >= 0 && getsockname(listener.fd, (struct sockaddr *)&sa, &size) == 0 && sa.sun_family == AF_UNIX)
		unlink(sa.sun_path);
	loop_end();
}

static void first_due(struct timer *t)
{
	control_check_end();
}

static size_t open_files(void)
{
	OWN_DIR DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (d && readdir(d))
		n++;
	return n > 3 ? n - 3 : 0; /* ".", "..", and the folder itself */
}

static int do_hello(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	int64_t level = netd_msg_get_int(m, NTAG_LEVEL, LOG_INFO);

	p->level = level < LOG_PANIC || level > LOG_TRACE ? LOG_INFO : (enum log_level)level;
	p->known = true;
	netd_msg_int(a, NTAG_VERSION, NETD_VERSION);
	netd_msg_str(a, NTAG_IDENTITY, identity);
	netd_msg_int(a, NTAG_PID, getpid());
	for (size_t i = 0; i < n_records; i++)
		tell_record(p, records[i].level, records[i].text);
	n_records = 0;
	return 0;
}

static int do_publish(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	const char *id = netd_msg_get_str(m, NTAG_ENDPOINT);
	OWN_FREE struct port_wish *wishes = NULL;
	OWN_FREE unsigned *chosen = NULL;
	size_t len = 0;

	if (!id)
		return err_set(err, ERR_INVALID, "ports without an endpoint");
	if (ports_decode(m, &wishes, &len, err) < 0)
		return -1;
	chosen = xcalloc(len + 1, sizeof(*chosen));
	if (ports_publish(id, wishes, len, chosen, err) < 0)
		return -1;
	for (size_t i = 0; i < len; i++) {
		struct netd_wire_port w = { .proto = (uint32_t)wishes[i].proto, .host_port = chosen[i], .host_port_end = chosen[i],
			.count = wishes[i].count, .port = wishes[i].port };

		netd_msg_bytes(a, NTAG_PORT, &w, sizeof(w));
	}
	return 0;
}

static int do_revoke(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	const char *id = netd_msg_get_str(m, NTAG_ENDPOINT);

	if (id)
		ports_revoke(id);
	return 0;
}

static int do_box(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	OWN_NETD_MSG struct netd_msg copy = { .head = m->head };
	int netns = -1;

	if (m->head.fds > 1 || (m->head.fds == 1 && !netd_fds_take(&p->fds, &netns, 1)))
		return err_set(err, ERR_INVALID, "a sandbox needs one network namespace");
	buf_add(&copy.body, m->body.data, m->body.size);
	return box_put(&copy, netns, err);
}

static int do_box_drop(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	const char *id = netd_msg_get_str(m, NTAG_BOX);

	if (id)
		box_drop(id);
	return 0;
}

struct wanted { const struct netd_msg *m; enum netd_tag tag; };

static bool is_wanted(const char *id, void *ctx)
{
	const struct wanted *w = ctx;
	struct netd_field f;

	for (size_t pos = 0; netd_msg_next(w->m, &pos, &f);) {
		const char *text = f.tag == w->tag ? netd_field_str(&f) : NULL;

		if (text && streq(text, id))
			return true;
	}
	return false;
}

static int do_keep(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	struct wanted w = { m, NTAG_BOX };

	boxes_keep(is_wanted, &w);
	w.tag = NTAG_ENDPOINT;
	ports_keep(is_wanted, &w);
	return 0;
}

static int do_status(struct peer *p, const struct netd_msg *m, struct netd_msg *a, struct err *err)
{
	netd_msg_int(a, NTAG_PID, getpid());
	netd_msg_int(a, NTAG_COUNT_ENDPOINTS, (int64_t)ports_endpoint_count());
	netd_msg_int(a, NTAG_COUNT_PORTS, (int64_t)ports_count());
	netd_msg_int(a, NTAG_COUNT_BOXES, (int64_t)box_count());
	netd_msg_int(a, NTAG_COUNT_STREAMS, (int64_t)stream_count());
	netd_msg_int(a, NTAG_COUNT_FLOWS, (int64_t)flow_count());
	netd_msg_int(a, NTAG_COUNT_QUERIES, (int64_t)forward_count());
	netd_msg_int(a, NTAG_COUNT_FDS, (int64_t)open_files());
	return 0;
}

/* The peer is another dockerd-netd; whatever comes of it, the connection ends. */
static void do_take_over(struct peer *p)
{
	loop_unwatch(&p->src);
	if (take_over_give(p->src.fd))
		_exit(0);
	netd_log(LOG_WARN, "another dockerd-netd did not take over: this one goes on");
	peer_free(p);
}

static void answer(struct peer *p, const struct netd_msg *m)
{
	static int (*const handlers[])(struct peer *, const struct netd_msg *, struct netd_msg *, struct err *) = {
		[NETD_HELLO] = do_hello, [NETD_PUBLISH] = do_publish, [NETD_REVOKE] = do_revoke, [NETD_BOX] = do_box,
		[NETD_BOX_DROP] = do_box_drop, [NETD_KEEP] = do_keep, [NETD_STATUS] = do_status,
	};
	OWN_NETD_MSG struct netd_msg a;
	OWN_ERR struct err err = ERR_INIT;
	int rc;

	netd_msg_init(&a, NETD_OK);
	if (m->head.type < ARRAY_LEN(handlers) && handlers[m->head.type])
		rc = handlers[m->head.type](p, m, &a, &err);
	else
		rc = err_set(&err, ERR_NOT_IMPLEMENTED, "dockerd-netd %d does not know request %u", NETD_VERSION, m->head.type);
	if (rc < 0) {
		netd_msg_done(&a);
		netd_msg_init(&a, NETD_ERROR);
		netd_msg_int(&a, NTAG_STATUS, err_status(err.class));
		netd_msg_str(&a, NTAG_TEXT, err_text(&err));
	}
	peer_send(p, &a);
}

static bool flush(struct peer *p)
{
	ssize_t n = p->out.size ? send(p->src.fd, p->out.data, p->out.size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_shift(&p->out, (size_t)n);
	return p->out.size || loop_watch(&p->src, EPOLLIN) == 0;
}

/* False: the connection is of no more use. */
static bool take_requests(struct peer *p, bool *ret_over)
{
	long n = netd_read(p->src.fd, &p->in, &p->fds, MSG_DONTWAIT);
	int r;

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	for (;;) {
		OWN_NETD_MSG struct netd_msg m = { 0 };

		r = netd_msg_parse(&p->in, &m);
		if (r <= 0)
			return r == 0;
		if (m.head.type == NETD_TAKE_OVER) {
			*ret_over = true;
			return true;
		}
		answer(p, &m);
		/* descriptors that nobody claimed */
		netd_fds_done(&p->fds);
	}
}

static void peer_ready(struct source *src, uint32_t events)
{
	struct peer *p = CONTAINER_OF(src, struct peer, src);
	bool over = false;

	if ((events & EPOLLOUT && !flush(p)) || (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !take_requests(p, &over)))
		peer_free(p);
	else if (over)
		do_take_over(p);
	control_check_end();
}

static void rest_over(struct timer *t)
{
	loop_watch(&listener, EPOLLIN);
}

static void listener_ready(struct source *src, uint32_t events)
{
	int fd = accept4(src->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(who);
	struct peer *p;

	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED) {
			loop_unwatch(src);
			loop_timer_at(&rest_timer, loop_now() + REST_NS, rest_over);
		}
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || (who.uid != 0 && who.uid != geteuid())) {
		netd_log_seldom(LOG_WARN, "a connection of user %d is refused", (int)who.uid);
		close(fd);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->src = (struct source){ .fd = fd, .fn = peer_ready };
	p->level = LOG_INFO;
	list_init(&p->all);
	list_add(&peers, &p->all);
	if (loop_watch(&p->src, EPOLLIN) < 0)
		peer_free(p);
}

int control_start(int fd, const char *id)
{
	identity = id;
	listener = (struct source){ .fd = fd, .fn = listener_ready };
	fcntl(fd, F_SETFL, O_NONBLOCK);
	loop_timer_at(&first_timer, loop_now() + FIRST_NS, first_due);
	return loop_watch(&listener, EPOLLIN);
}
