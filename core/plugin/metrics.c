/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins of the type docker.metricscollector: /run/docker/metrics.sock inside is a socket of the daemon's, EXEC-ROOT/plugin-metrics/metrics.sock, where its figures
 * are. It is made for the first of them, and served by whoever was given to managed_serve_metrics(). Each is told to start, and to stop before it ends.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "plugin/managed_i.h"

#define START_MS 10000
#define STOP_MS 2000
#define ANSWER_MAX 65536
#define BACKLOG 16

bool metrics_wanted(const json_t *config)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(config, "Interface"), "Types"), i, one)
		if (json_is_string(one) && str_has_prefix(json_string_value(one), "docker.metricscollector/"))
			return true;
	return false;
}

char *metrics_path(const struct managed_store *s)
{
	return xasprintf("%s/plugin-metrics/metrics.sock", s->exec_root);
}

/* 0, or -1 with err: the address of a path. */
static int address_of(const char *path, struct sockaddr_un *ret, struct err *err)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return err_set(err, ERR_INVALID, "the path %s is too long for a socket", path);
	strcpy(ret->sun_path, path);
	return 0;
}

/* A socket that listens, for root alone: its folder is. */
static int open_door(const struct managed_store *s, struct err *err)
{
	OWN_FREE char *path = metrics_path(s), *dir = xasprintf("%s/plugin-metrics", s->exec_root);
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at;

	if (fs_mkdirs(dir, 0700, err) < 0 || address_of(path, &at, err) < 0)
		return -1;
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(err, errno, "listen on %s", path);
	return STEAL_FD(fd);
}

int metrics_prepare(struct managed_store *s, struct err *err)
{
	managed_metrics_fn *serve = NULL;
	bool made;
	int fd = -1;

	lock_take(&s->lock);
	if (!s->metrics_made) {
		s->metrics_fd = open_door(s, err);
		s->metrics_made = s->metrics_fd >= 0;
	}
	made = s->metrics_made;
	if (s->metrics_fd >= 0 && s->metrics_serve) {
		serve = s->metrics_serve;
		fd = s->metrics_fd;
		s->metrics_fd = -1;
	}
	lock_drop(&s->lock);
	if (!made)
		return -1;
	if (!serve || serve(s->metrics_ctx, fd, err) == 0)
		return 0;
	lock_take(&s->lock);
	s->metrics_made = false; /* the next one tries again */
	lock_drop(&s->lock);
	return -1;
}

static int wait_for(int fd, short events, int64_t until, struct err *err)
{
	int64_t left = (until - clock_mono()) / NSEC_PER_MSEC;
	struct pollfd p = { .fd = fd, .events = events };
	int n = poll(&p, 1, left > 0 ? (int)left : 0);

	if (n > 0)
		return 0;
	return n < 0 ? err_errno(err, errno, "wait") : err_set(err, ERR_UNAVAILABLE, "it did not answer in time");
}

/* To the connection's end. */
static int read_all(int fd, int64_t until, struct buf *ret, struct err *err)
{
	while (ret->size < ANSWER_MAX) {
		ssize_t n;

		if (wait_for(fd, POLLIN, until, err) < 0)
			return -1;
		n = read(fd, buf_reserve(ret, 4096), 4095);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "read its answer");
		ret->size += n > 0 ? (size_t)n : 0;
	}
	return err_set(err, ERR_TOO_LARGE, "its answer is longer than %d bytes", ANSWER_MAX);
}

static int judge(struct buf *answer, struct err *err)
{
	OWN_JSON json_t *js = NULL;
	const char *body, *why;

	buf_addc(answer, '\0');
	body = strstr(answer->data, "\r\n\r\n");
	if (!body || (!str_has_prefix(answer->data, "HTTP/1.0 200 ") && !str_has_prefix(answer->data, "HTTP/1.1 200 ")))
		return err_set(err, ERR_INTERNAL, "it answers %.*s", (int)strcspn(answer->data, "\r\n"), answer->data);
	js = json_read(body + 4, strlen(body + 4), NULL);
	why = json_string_value(json_object_get(js, "Err"));
	return str_empty(why) ? 0 : err_set(err, ERR_INTERNAL, "%.600s", why);
}

/* HTTP/1.0: the answer ends with the connection. */
static int ask(const char *socket_path, const char *method, int ms, struct err *err)
{
	OWN_FREE char *text = xasprintf("POST /MetricsCollector.%s HTTP/1.0\r\nHost: plugin\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n"
		"Content-Type: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: 0\r\n\r\n", method);
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int64_t until = clock_mono() + ms * NSEC_PER_MSEC;
	OWN_BUF struct buf answer = { 0 };
	struct sockaddr_un at;

	if (fd < 0 || address_of(socket_path, &at, err) < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return err_errno(err, errno, "connect");
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		return err_errno(err, errno, "send");
	return read_all(fd, until, &answer, err) < 0 ? -1 : judge(&answer, err);
}

void metrics_start(const struct managed_store *s, const struct managed *m, const char *socket_path)
{
	OWN_ERR struct err err = ERR_INIT;

	if (s->metrics_serve && ask(socket_path, "StartMetrics", START_MS, &err) < 0)
		log_error("plugin %s: MetricsCollector.StartMetrics: %s", m->name, err_text(&err));
}

void metrics_stop(const struct managed *m, const char *socket_path)
{
	OWN_ERR struct err err = ERR_INIT;

	if (ask(socket_path, "StopMetrics", STOP_MS, &err) < 0)
		log_info("plugin %s: MetricsCollector.StopMetrics: %s", m->name, err_text(&err));
}

int managed_serve_metrics(struct managed_store *s, managed_metrics_fn *serve, void *ctx, struct err *err)
{
	s->metrics_ctx = ctx;
	s->metrics_serve = serve;
	if (!s->metrics_made)
		return 0;
	if (metrics_prepare(s, err) < 0)
		return -1;
	for (const struct managed *m = s->all; m; m = m->next) {
		OWN_JSON json_t *config = m->pidfd >= 0 ? managed_config(m) : NULL;
		OWN_FREE char *socket_path = config && metrics_wanted(config) ? managed_socket(s, m, config) : NULL;

		if (socket_path)
			metrics_start(s, m, socket_path);
	}
	return 0;
}
