/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/control.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/loop.h"
#include "base/str.h"
#include "shim/self.h"

struct conn {
	struct source src;
	struct buf in;
	struct conn *next;
};

static struct source listener = SOURCE_INIT;
static struct conn *subscriber;
static struct conn *conns; /* all, also those that ask while the shim ends */
static bool stopped;

static struct conn *conn_new(int fd, void (*fn)(struct source *src, uint32_t events))
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->src = (struct source){ .fd = fd, .fn = fn };
	c->next = conns;
	conns = c;
	loop_must_watch(&c->src, EPOLLIN);
	return c;
}

static void conn_free(struct conn *c, bool keep_fd)
{
	bool was_subscriber = c == subscriber;

	task_forget(c);
	if (was_subscriber)
		subscriber = NULL;
	loop_unwatch(&c->src);
	if (!keep_fd)
		loop_close(&c->src);
	buf_done(&c->in);
	for (struct conn **at = &conns; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	free(c);
	if (was_subscriber)
		task_check_end();
}

void control_answer(struct conn *c, const struct shim_msg *m, int with_fd)
{
	if (!c)
		return;
	if (m)
		shim_msg_send(c->src.fd, m, with_fd, MSG_DONTWAIT);
	if (c != subscriber)
		conn_free(c, false);
}

void control_ok(struct conn *c)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_OK);
	control_answer(c, &m, -1);
}

void control_error(struct conn *c, const struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_ERROR);
	shim_msg_int(&m, TAG_STATUS, err_status(err->class));
	shim_msg_str(&m, TAG_TEXT, err_text(err));
	control_answer(c, &m, -1);
}

bool control_event(const struct shim_msg *m)
{
	return subscriber && shim_msg_send(subscriber->src.fd, m, -1, MSG_DONTWAIT) == 0;
}

bool control_has_daemon(void)
{
	return subscriber;
}

void control_stop(void)
{
	OWN_FREE char *path = NULL;

	loop_close(&listener);
	if (stopped || !task_dir())
		return;
	stopped = true;
	path = xasprintf("%s/%s", task_dir(), SHIM_SOCKET);
	unlink(path);
}

static int do_subscribe(struct conn *c, const struct shim_msg *m, struct err *err)
{
	struct task *t = task_find(NULL, err);
	OWN_SHIM_MSG struct shim_msg a = { 0 };
	struct conn *old = subscriber;

	subscriber = c;
	if (old && old != c)
		conn_free(old, false);
	shim_msg_init(&a, SHIM_OK);
	shim_msg_int(&a, TAG_STATE, t->state);
	shim_msg_int(&a, TAG_PID, t->pid);
	shim_msg_int(&a, TAG_CODE, t->code);
	shim_msg_int(&a, TAG_TIME, t->time);
	shim_msg_int(&a, TAG_OOM, t->oom);
	shim_msg_int(&a, TAG_OOM_UNTOLD, t->state == SHIM_ENDED ? oom_untold() : 0);
	shim_msg_send(c->src.fd, &a, t->pid ? t->pidfd : -1, MSG_DONTWAIT);
	task_replay();
	return 0;
}

static int do_run(struct conn *c, const struct shim_msg *m, struct err *err)
{
	struct task *t = task_find(shim_msg_get_str(m, TAG_EXEC), err);

	return t ? task_run(t, c, err) : -1;
}

static int do_attach(struct conn *c, const struct shim_msg *m, struct err *err)
{
	struct task *t = task_find(shim_msg_get_str(m, TAG_EXEC), err);
	OWN_SHIM_MSG struct shim_msg ok = { 0 };
	int fd;

	if (!t)
		return -1;
	shim_msg_init(&ok, SHIM_OK);
	shim_msg_send(c->src.fd, &ok, -1, MSG_DONTWAIT);
	fd = c->src.fd;
	conn_free(c, true);
	streams_attach(&t->streams, fd, (unsigned)shim_msg_get_int(m, TAG_STREAMS, 0));
	return 0;
}

static int do_resize(struct conn *c, const struct shim_msg *m, struct err *err)
{
	struct task *t = task_find(shim_msg_get_str(m, TAG_EXEC), err);

	if (!t)
		return -1;
	if (t->state == SHIM_ENDED)
		return err_set(err, ERR_CONFLICT, "the process is not running");
	if (streams_resize(&t->streams, (uint16_t)shim_msg_get_int(m, TAG_ROWS, 0), (uint16_t)shim_msg_get_int(m, TAG_COLS, 0)) < 0)
		return err_errno(err, errno, "resize the terminal");
	control_ok(c);
	return 0;
}

static int do_kill(struct conn *c, const struct shim_msg *m, struct err *err)
{
	struct task *t = task_find(shim_msg_get_str(m, TAG_EXEC), err);
	int signal = (int)shim_msg_get_int(m, TAG_SIGNAL, 0);

	if (!t)
		return -1;
	if (signal < 1 || signal > 64)
		return err_set(err, ERR_INVALID, "invalid signal: %d", signal);
	if (shim_msg_get_int(m, TAG_ALL, 0) && !t->id) {
		OWN_STRV struct strv words = { 0 };

		strv_add(&words, "kill");
		strv_add(&words, "--all");
		strv_addf(&words, "%s", task_id());
		strv_addf(&words, "%d", signal);
		return task_command(&words, false, c, err);
	}
	if (task_kill(t, signal, err) < 0)
		return -1;
	control_ok(c);
	return 0;
}

static int do_pause(struct conn *c, const struct shim_msg *m, struct err *err)
{
	OWN_STRV struct strv words = { 0 };

	strv_add(&words, shim_msg_get_int(m, TAG_PAUSE, 1) ? "pause" : "resume");
	strv_add(&words, task_id());
	return task_command(&words, true, c, err);
}

static int do_checkpoint(struct conn *c, const struct shim_msg *m, struct err *err)
{
	return task_checkpoint(shim_msg_get_str(m, TAG_IMAGES), shim_msg_get_int(m, TAG_LEAVE_RUNNING, 1), c, err);
}

static int do_restore(struct conn *c, const struct shim_msg *m, struct err *err)
{
	const char *images = shim_msg_get_str(m, TAG_IMAGES);

	if (!images)
		return err_set(err, ERR_INVALID, "no folder of a checkpoint was named");
	str_set(&self.images, images);
	return task_run(&self.container, c, err);
}

static int do_exec_create(struct conn *c, const struct shim_msg *m, struct err *err)
{
	if (task_exec_create(m, err) < 0)
		return -1;
	control_ok(c);
	return 0;
}

static int do_release(struct conn *c, const struct shim_msg *m, struct err *err)
{
	return task_release(c, err);
}

static void conn_ready(struct source *src, uint32_t events);

static void accept_ready(struct source *src, uint32_t events)
{
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
		close(fd);
		return;
	}
	conn_new(fd, conn_ready);
}

/* In a folder of mode 0700; a path too long for a socket address goes by way of the folder's descriptor. */
static int start_listening(struct err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	shim_address(task_dir(), task_dirfd(), SHIM_SOCKET, &a);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(a.sun_path, 0600) < 0 || listen(fd, 64) < 0) {
		err_errno(err, errno, "listen on %s/%s", task_dir(), SHIM_SOCKET);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	listener = (struct source){ .fd = fd, .fn = accept_ready };
	loop_must_watch(&listener, EPOLLIN);
	return 0;
}

static int do_config(struct conn *c, const struct shim_msg *m, struct err *err)
{
	if (c != subscriber)
		return err_set(err, ERR_FORBIDDEN, "only the shim's creator configures it");
	if (task_config(m, err) < 0 || start_listening(err) < 0)
		return -1;
	control_ok(c);
	return 0;
}

/* Each either takes care of the connection or fails. */
static int (*const requests[])(struct conn *c, const struct shim_msg *m, struct err *err) = {
	[SHIM_CONFIG] = do_config, [SHIM_RUN] = do_run, [SHIM_SUBSCRIBE] = do_subscribe, [SHIM_ATTACH] = do_attach,
	[SHIM_RESIZE] = do_resize, [SHIM_KILL] = do_kill, [SHIM_PAUSE] = do_pause, [SHIM_EXEC_CREATE] = do_exec_create,
	[SHIM_EXEC_RUN] = do_run, [SHIM_RELEASE] = do_release, [SHIM_CHECKPOINT] = do_checkpoint, [SHIM_RESTORE] = do_restore,
};

static void dispatch(struct conn *c, const struct shim_msg *m)
{
	OWN_ERR struct err err = ERR_INIT;

	if (m->head.version > SHIM_VERSION)
		err_set(&err, ERR_NOT_IMPLEMENTED, "this shim speaks protocol version %d, not %d", SHIM_VERSION, m->head.version);
	else if (m->head.type >= ARRAY_LEN(requests) || !requests[m->head.type])
		err_set(&err, ERR_NOT_IMPLEMENTED, "this shim (protocol %d) does not know request %d", SHIM_VERSION, m->head.type);
	else if (m->head.type != SHIM_CONFIG && !task_configured())
		err_set(&err, ERR_CONFLICT, "the shim is not configured yet");
	else if (requests[m->head.type](c, m, &err) == 0)
		return;
	control_error(c, &err);
}

static void conn_ready(struct source *src, uint32_t events)
{
	struct conn *c = CONTAINER_OF(src, struct conn, src);
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	ssize_t n = recv(src->fd, buf_reserve(&c->in, 16384), 16384, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_free(c, false);
		return;
	}
	c->in.size += (size_t)n;
	/* one request a connection; a subscriber's own connection asks for nothing else either */
	switch (shim_msg_parse(&c->in, &m)) {
	case 1:
		dispatch(c, &m);
		break;
	case -1:
		conn_free(c, false);
		break;
	}
}

void control_start(int fd)
{
	subscriber = conn_new(fd, conn_ready);
}
