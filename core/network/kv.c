/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread reads what dockerd-kv says, and starts it anew; whoever asks waits for the answer with the number of the question. */
#include "network/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

#define ANSWER_MAX (10 * NSEC_PER_SEC) /* the process itself gives up sooner */
#define LINE_LIMIT (8u << 20)
#define PAUSE_MS 1000

/* A question under way. */
struct asked {
	int64_t id;
	bool done;
	int class; /* of enum err_class, -1: went well */
	char *text;
	struct asked *next;
};

struct kv {
	char *program;
	json_t *config;
	struct spawner *spawner;
	kv_fn *fn;
	void *ctx;
	pthread_t thread;
	int wake;             /* eventfd: the end */
	struct lock lock;     /* LOCK_LEAF: all below */
	pthread_cond_t cond;  /* an answer, or the socket is free */
	bool writing;         /* somebody has the socket for writing */
	bool closing, up;
	int fd;               /* -1: no process now */
	int64_t next_id;
	struct asked *asked;
	struct strmap leased; /* told again to a new process */
};

int kv_parse_url(const char *url, bool tls, struct strv *endpoints, char **prefix, struct err *err)
{
	const char *rest = url + strlen("etcd://");
	OWN_FREE char *hosts = NULL;
	OWN_STRV struct strv v = { 0 };
	size_t n;

	if (!str_has_prefix(url, "etcd://"))
		return err_set(err, ERR_INVALID, "invalid cluster store %s: it is etcd://HOST:PORT[,HOST:PORT...][/PATH]; other stores are not supported", url);
	n = strcspn(rest, "/");
	hosts = xstrndup(rest, n);
	strv_split(&v, hosts, ",");
	for (size_t i = 0; i < v.len; i++) {
		if (!*v.v[i] || strpbrk(v.v[i], " \t\"\\@?#"))
			return err_set(err, ERR_INVALID, "invalid cluster store %s: \"%s\" is no HOST:PORT", url, v.v[i]);
		strv_addf(endpoints, "%s://%s", tls ? "https" : "http", v.v[i]);
	}
	if (!endpoints->len)
		return err_set(err, ERR_INVALID, "invalid cluster store %s: no host", url);
	rest += n + (rest[n] == '/');
	n = strlen(rest);
	while (n && rest[n - 1] == '/')
		n--;
	free(*prefix);
	*prefix = n ? xasprintf("%.*s/", (int)n, rest) : xstrdup("");
	return 0;
}

static json_t *config_of(const struct kv_config *cfg)
{
	json_t *endpoints = json_array();

	for (size_t i = 0; i < cfg->endpoints->len; i++)
		json_array_append_new(endpoints, json_string(cfg->endpoints->v[i]));
	return json_pack("{s:o, s:s, s:i, s:s*, s:s*, s:s*}", "endpoints", endpoints, "prefix", cfg->prefix, "ttl", cfg->ttl,
		"ca", str_empty(cfg->ca) ? NULL : cfg->ca, "cert", str_empty(cfg->cert) ? NULL : cfg->cert, "key", str_empty(cfg->key) ? NULL : cfg->key);
}

/* Whole, by one at a time; false when the process is gone. No lock is held over the socket. */
static bool send_line(struct kv *kv, const json_t *message)
{
	OWN_FREE char *text = json_dumps(message, JSON_COMPACT);
	size_t size = text ? strlen(text) : 0, at = 0;
	int fd;

	if (!text)
		return false;
	text[size++] = '\n';
	lock_take(&kv->lock);
	while (kv->writing)
		lock_wait(&kv->lock, &kv->cond, -1);
	fd = kv->fd >= 0 ? fcntl(kv->fd, F_DUPFD_CLOEXEC, 3) : -1;
	kv->writing = true;
	lock_drop(&kv->lock);
	while (fd >= 0 && at < size) {
		ssize_t n = send(fd, text + at, size - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	lock_take(&kv->lock);
	kv->writing = false;
	pthread_cond_broadcast(&kv->cond);
	lock_drop(&kv->lock);
	fd_close(&fd);
	return at == size;
}

static int class_of(const char *name)
{
	return !name || streq(name, "unavailable") ? ERR_UNAVAILABLE : streq(name, "conflict") ? ERR_CONFLICT : ERR_INVALID;
}

/* Under the lock. */
static void end_asked(struct asked *a, int class, const char *text)
{
	a->done = true;
	a->class = class;
	str_set(&a->text, text);
}

static void on_answer(struct kv *kv, const json_t *js)
{
	int64_t id = json_integer_value(json_object_get(js, "id"));
	const char *error = json_string_value(json_object_get(js, "error"));
	WITH_LOCK(&kv->lock);

	for (struct asked *a = kv->asked; a; a = a->next)
		if (a->id == id)
			end_asked(a, error ? class_of(json_string_value(json_object_get(js, "class"))) : -1, error);
	pthread_cond_broadcast(&kv->cond);
}

static void set_up(struct kv *kv, bool up)
{
	WITH_LOCK(&kv->lock);
	kv->up = up;
}

static void on_event(struct kv *kv, const char *event, const json_t *js)
{
	static const struct { const char *name; enum kv_event event; } events[] = {
		{ "begin", KV_BEGIN }, { "put", KV_PUT }, { "delete", KV_DELETE }, { "synced", KV_SYNCED }, { "down", KV_DOWN },
	};
	const char *key = json_string_value(json_object_get(js, "key")), *value = json_string_value(json_object_get(js, "value"));

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (!streq(events[i].name, event))
			continue;
		if (events[i].event == KV_SYNCED || events[i].event == KV_DOWN)
			set_up(kv, events[i].event == KV_SYNCED);
		kv->fn(kv->ctx, events[i].event, key, events[i].event == KV_DOWN ? json_string_value(json_object_get(js, "text")) : value);
	}
}

static void on_line(struct kv *kv, const char *line, size_t size)
{
	json_t *js = json_loadb(line, size, 0, NULL);
	const char *event = json_string_value(json_object_get(js, "event"));

	if (event)
		on_event(kv, event, js);
	else if (js)
		on_answer(kv, js);
	json_decref(js);
}

/* The process is gone: whoever waits for it hears so. */
static void lost(struct kv *kv)
{
	WITH_LOCK(&kv->lock);

	fd_close(&kv->fd);
	kv->up = false;
	for (struct asked *a = kv->asked; a; a = a->next)
		if (!a->done)
			end_asked(a, ERR_UNAVAILABLE, "dockerd-kv ended");
	pthread_cond_broadcast(&kv->cond);
}

static int start(struct kv *kv, struct err *err)
{
	char *argv[] = { kv->program, NULL };
	OWN_FD int theirs = -1, pidfd = -1;
	OWN_STRMAP struct strmap leased = { 0 };
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "make a socket for dockerd-kv");
	theirs = pair[1];
	if (spawner_spawn(kv->spawner, argv, NULL, &theirs, 1, &pid, &pidfd, err) < 0) {
		close(pair[0]);
		return err_wrap(err, "start dockerd-kv");
	}
	lock_take(&kv->lock);
	kv->fd = pair[0];
	strmap_copy(&leased, &kv->leased);
	lock_drop(&kv->lock);
	if (!send_line(kv, kv->config))
		return err_set(err, ERR_UNAVAILABLE, "dockerd-kv takes no configuration");
	for (size_t i = 0; i < leased.len; i++) {
		json_t *m = json_pack("{s:i, s:s, s:s, s:s, s:b}", "id", 0, "op", "put", "key", leased.v[i].key, "value", leased.v[i].value, "lease", 1);

		send_line(kv, m);
		json_decref(m);
	}
	return 0;
}

/* Reads until the process or kv ends; true for kv's end. */
static bool serve(struct kv *kv, struct buf *in)
{
	struct pollfd p[2] = { { .fd = kv->fd, .events = POLLIN }, { .fd = kv->wake, .events = POLLIN } };
	ssize_t n;

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return true;
		if (p[1].revents)
			return true;
		n = recv(p[0].fd, buf_reserve(in, 65536), 65536, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || in->size > LINE_LIMIT)
			return false;
		in->size += n > 0 ? (size_t)n : 0;
		for (char *end; in->size && (end = memchr(in->data, '\n', in->size)); buf_shift(in, (size_t)(end - in->data) + 1))
			on_line(kv, in->data, (size_t)(end - in->data));
	}
}

static void *run(void *arg)
{
	struct kv *kv = arg;
	bool ended = false;

	while (!ended) {
		OWN_ERR struct err err = ERR_INIT;
		OWN_BUF struct buf in = { 0 };
		struct pollfd p = { .fd = kv->wake, .events = POLLIN };

		if (start(kv, &err) == 0)
			ended = serve(kv, &in);
		else
			log_error("%s", err_text(&err));
		lost(kv);
		if (ended)
			break;
		kv->fn(kv->ctx, KV_DOWN, NULL, err.msg ? err_text(&err) : "dockerd-kv ended");
		ended = poll(&p, 1, PAUSE_MS) > 0;
	}
	return NULL;
}

struct kv *kv_open(const struct kv_config *cfg, struct spawner *sp, kv_fn *fn, void *ctx, struct err *err)
{
	struct kv *kv = xcalloc(1, sizeof(*kv));

	kv->program = xstrdup(cfg->program);
	kv->config = config_of(cfg);
	kv->spawner = sp;
	kv->fn = fn;
	kv->ctx = ctx;
	kv->fd = -1;
	kv->wake = eventfd(0, EFD_CLOEXEC);
	lock_init(&kv->lock, LOCK_LEAF);
	lock_cond_init(&kv->cond);
	if (kv->config && kv->wake >= 0 && pthread_create(&kv->thread, NULL, run, kv) == 0)
		return kv;
	err_set(err, ERR_INTERNAL, "start the way to the cluster store");
	json_decref(kv->config);
	fd_close(&kv->wake);
	lock_done(&kv->lock);
	pthread_cond_destroy(&kv->cond);
	free(kv->program);
	free(kv);
	return NULL;
}

void kv_close(struct kv *kv)
{
	uint64_t one = 1;

	if (!kv)
		return;
	if (write(kv->wake, &one, sizeof(one)) < 0)
		log_warn("cannot wake the cluster store's thread");
	pthread_join(kv->thread, NULL);
	fd_close(&kv->wake);
	json_decref(kv->config);
	strmap_done(&kv->leased);
	lock_done(&kv->lock);
	pthread_cond_destroy(&kv->cond);
	free(kv->program);
	free(kv);
}

/* Takes message, which lacks its id. */
static int ask(struct kv *kv, json_t *message, struct err *err)
{
	int64_t until = clock_mono() + ANSWER_MAX;
	struct asked a = { .class = ERR_UNAVAILABLE };
	bool sent;

	lock_none_held();
	lock_take(&kv->lock);
	a.id = ++kv->next_id;
	a.next = kv->asked;
	kv->asked = &a;
	lock_drop(&kv->lock);
	json_object_set_new(message, "id", json_integer(a.id));
	sent = send_line(kv, message);
	json_decref(message);
	lock_take(&kv->lock);
	while (sent && !a.done && clock_mono() < until)
		lock_wait(&kv->lock, &kv->cond, until - clock_mono());
	for (struct asked **p = &kv->asked; *p; p = &(*p)->next)
		if (*p == &a) {
			*p = a.next;
			break;
		}
	lock_drop(&kv->lock);
	if (a.class >= 0)
		err_set(err, (enum err_class)a.class, a.class == ERR_UNAVAILABLE ? "the cluster store is out of reach: %s" : "%s", a.text ? a.text : "no answer");
	free(a.text);
	return a.class < 0 ? 0 : -1;
}

int kv_put(struct kv *kv, const char *key, const char *value, bool leased, struct err *err)
{
	json_t *m = json_pack("{s:s, s:s, s:s, s:b}", "op", "put", "key", key, "value", value, "lease", leased);

	if (!m)
		return err_set(err, ERR_INVALID, "what goes into the cluster store has to be UTF-8");
	if (leased) {
		WITH_LOCK(&kv->lock);
		strmap_set(&kv->leased, key, value);
	}
	return ask(kv, m, err);
}

int kv_create(struct kv *kv, const struct strmap *pairs, struct err *err)
{
	json_t *list = json_array(), *m;

	for (size_t i = 0; i < pairs->len; i++)
		json_array_append_new(list, json_pack("[s, s]", pairs->v[i].key, pairs->v[i].value));
	m = json_array_size(list) == pairs->len ? json_pack("{s:s, s:o}", "op", "create", "pairs", list) : NULL;
	return m ? ask(kv, m, err) : err_set(err, ERR_INVALID, "what goes into the cluster store has to be UTF-8");
}

int kv_delete(struct kv *kv, const struct strv *keys, struct err *err)
{
	json_t *list = json_array();

	for (size_t i = 0; i < keys->len; i++) {
		json_array_append_new(list, json_string(keys->v[i]));
		WITH_LOCK(&kv->lock);
		strmap_del(&kv->leased, keys->v[i]);
	}
	return ask(kv, json_pack("{s:s, s:o}", "op", "delete", "keys", list), err);
}

bool kv_is_up(struct kv *kv)
{
	WITH_LOCK(&kv->lock);
	return kv->up;
}
