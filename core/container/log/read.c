/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "container/internal.h"
#include "container/log/file.h"

#define BATCH 32768

struct log_out {
	const struct log_query *q;
	bool tty;
	struct buf buf;
	int (*emit)(void *ctx, const void *data, size_t size);
	void *ctx;
};

static int check(const struct log_config *lc, struct err *err)
{
	if ((lc->type && streq(lc->type, "none")) || log_cache_disabled(lc))
		return err_set(err, ERR_NOT_IMPLEMENTED, "configured logging driver does not support reading");
	return 0;
}

int container_logs_check(struct container *c, struct err *err)
{
	CLEANUP(log_config_done) struct log_config lc = { 0 };

	log_config_get(c, &lc);
	return check(&lc, err);
}

static int flush(struct log_out *o)
{
	int r = o->buf.size ? o->emit(o->ctx, o->buf.data, o->buf.size) : 0;

	buf_reset(&o->buf);
	return r;
}

/* "k=v,k=v", both sides percent-encoded as in a query. */
static void add_details(const struct strmap *attrs, struct buf *b)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";

	for (size_t i = 0; i < attrs->len; i++) {
		const char *parts[2] = { attrs->v[i].key, attrs->v[i].value };

		for (int k = 0; k < 2; k++) {
			buf_adds(b, k ? "=" : i ? "," : "");
			for (const char *p = parts[k]; *p; p++) {
				if (strchr(plain, *p))
					buf_addc(b, *p);
				else if (*p == ' ')
					buf_addc(b, '+');
				else
					buf_addf(b, "%%%02X", (unsigned char)*p);
			}
		}
	}
	buf_addc(b, ' ');
}

static int put_line(struct log_out *o, const struct log_line *l)
{
	OWN_BUF struct buf head = { 0 };
	char stamp[CLOCK_TEXT];
	size_t size;

	if (o->q->timestamps)
		buf_addf(&head, "%s ", clock_rfc3339fixed(l->time, stamp));
	if (o->q->details)
		add_details(&l->attrs, &head);
	size = head.size + l->size;
	if (!o->tty) {
		unsigned char frame[8] = { l->from_stderr ? 2 : 1, 0, 0, 0, (unsigned char)(size >> 24),
			(unsigned char)(size >> 16), (unsigned char)(size >> 8), (unsigned char)size };

		buf_add(&o->buf, frame, sizeof(frame));
	}
	if (head.size)
		buf_add(&o->buf, head.data, head.size);
	buf_add(&o->buf, l->text, l->size);
	return o->buf.size >= BATCH ? flush(o) : 0;
}

/* Gives out what there is: 1 when the until time was passed, -1 when the reader went. */
static int drain(struct logfile *f, struct log_out *o)
{
	const char *text;
	size_t size;

	while (logfile_next(f, &text, &size)) {
		struct log_line l;
		int r = 0;

		if (!logfile_parse(f, text, size, &l)) {
			log_line_done(&l);
			continue;
		}
		if (o->q->until && l.time > o->q->until)
			r = 1;
		else if (l.time >= o->q->since && (l.from_stderr ? o->q->stderr_on : o->q->stdout_on))
			r = put_line(o, &l);
		log_line_done(&l);
		if (r)
			return r < 0 ? -1 : flush(o) < 0 ? -1 : 1;
	}
	return flush(o);
}

/* The log's folder and the container's, where the state file is. */
int logs_watch(const char *dir, const char *path)
{
	OWN_FREE char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0) {
		inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
		inotify_add_watch(fd, parent, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
	}
	return fd;
}

/* Until the folder changes (the log or the state file), or it is time to look again. False when it is over. */
static bool wait_more(int fd, const struct cancel *cancel, int64_t until)
{
	char events[4096];
	int timeout = LOGS_LOOK_AGAIN_MS;

	if (until) {
		int64_t now = clock_now(), left = until > now ? (until - now) / 1000000 : 0;

		if (left <= 0)
			return false;
		if (left < timeout)
			timeout = (int)left;
	}
	if (cancel_wait(cancel, fd, POLLIN, timeout) < 0)
		return false;
	while (fd >= 0 && read(fd, events, sizeof(events)) > 0)
		;
	return true;
}

int container_logs(struct container *c, const struct log_query *q, const struct cancel *cancel,
	int (*emit)(void *ctx, const void *data, size_t size), void *ctx, struct err *err)
{
	struct log_out o = { .q = q, .tty = c->rec.config.tty, .emit = emit, .ctx = ctx };
	CLEANUP(logfile_freep) struct logfile *f = NULL;
	OWN_FREE char *dir = container_dir(c);
	OWN_FREE char *path = NULL;
	CLEANUP(log_config_done) struct log_config lc = { 0 };
	CLEANUP(log_plan_done) struct log_plan plan = { 0 };
	OWN_FD int changes = -1;
	bool running = q->follow && container_is_running(c);
	int r;

	log_config_get(c, &lc);
	if (check(&lc, err) < 0 || log_plan_make(&lc, &plan, err) < 0)
		return -1;
	path = log_file_path(c, &lc);
	if (running)
		changes = logs_watch(dir, path);
	f = logfile_open(path, log_plan_is_local(&plan) ? LOG_LOCAL : LOG_JSON, q->tail);
	for (;;) {
		/* Asked before the last read: what a container wrote before it ended is in the file by then. */
		running = running && container_is_running(c);
		r = drain(f, &o);
		if (r || !running || !wait_more(changes, cancel, q->until))
			break;
	}
	buf_done(&o.buf);
	return 0;
}
