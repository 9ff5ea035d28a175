/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-kv: the daemon's way to a key-value store, a process of its own so that the HTTP client and its TLS library are no part of the
 * daemon. Descriptor 3 is a stream socket to the daemon, one JSON object in a line in both directions (kv/etcd.h); the first line that comes is the
 * configuration: {"endpoints":[...],"prefix","ttl","ca","cert","key"}. It ends with the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "kv/etcd.h"

#define LINK_FD 3
#define LINE_MAX_SIZE (8u << 20)
#define IDLE_MS 60000

struct link {
	struct buf in;
	bool ended;
};

/* The daemon reads all the time; a socket that takes nothing is waited for. */
static void say(void *ctx, json_t *message)
{
	struct link *l = ctx;
	OWN_FREE char *text = json_dumps(message, JSON_COMPACT);
	size_t size = text ? strlen(text) : 0, at = 0;

	if (!text)
		return;
	text[size++] = '\n'; /* in the place of the NUL: it is written by its size */
	while (at < size && !l->ended) {
		ssize_t n = write(LINK_FD, text + at, size - at);
		struct pollfd p = { .fd = LINK_FD, .events = POLLOUT };

		if (n > 0)
			at += (size_t)n;
		else if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR)
			l->ended = true;
	}
}

/* What is there now, without waiting. */
static void fill(struct link *l)
{
	ssize_t n;

	do {
		n = read(LINK_FD, buf_reserve(&l->in, 65536), 65536);
		if (n > 0)
			l->in.size += (size_t)n;
	} while (n > 0 && l->in.size < LINE_MAX_SIZE);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || l->in.size >= LINE_MAX_SIZE)
		l->ended = true;
}

/* The next line, or NULL. */
static json_t *next(struct link *l)
{
	char *end = l->in.size ? memchr(l->in.data, '\n', l->in.size) : NULL;
	json_t *js;

	if (!end)
		return NULL;
	js = json_loadb(l->in.data, (size_t)(end - l->in.data), 0, NULL);
	buf_shift(&l->in, (size_t)(end - l->in.data) + 1);
	return js ? js : json_object();
}

static struct etcd *configure(struct link *l)
{
	struct pollfd p = { .fd = LINK_FD, .events = POLLIN };
	struct etcd_config cfg = { .ttl = 60 };
	json_t *js = NULL;
	struct etcd *e = NULL;

	while (!l->ended && !(js = next(l)))
		if (poll(&p, 1, -1) > 0)
			fill(l);
	if (js && json_unpack(js, "{s:o, s:s, s?i, s?s, s?s, s?s}", "endpoints", &cfg.endpoints, "prefix", &cfg.prefix, "ttl", &cfg.ttl,
	    "ca", &cfg.ca, "cert", &cfg.cert, "key", &cfg.key) == 0 && json_array_size(cfg.endpoints))
		e = etcd_new(&cfg, say, l);
	json_decref(js);
	return e;
}

int main(void)
{
	struct link l = { .ended = false };
	struct etcd *e;
	json_t *js;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0); /* it holds keys */
	if (fcntl(LINK_FD, F_SETFL, O_NONBLOCK) < 0) {
		fprintf(stderr, "dockerd-kv is started by dockerd\n");
		return 1;
	}
	e = configure(&l);
	while (e && !l.ended) {
		while ((js = next(&l))) {
			etcd_request(e, js);
			json_decref(js);
		}
		etcd_run(e, LINK_FD, IDLE_MS);
		fill(&l);
	}
	etcd_free(e);
	buf_done(&l.in);
	return 0;
}
