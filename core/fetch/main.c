/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-fetch: speaks to one registry for one request of a client of the daemon, and ends with it. The HTTP client, its TLS library, and
 * everything that reads what a registry says before it is checked are here, without rights, and no part of the daemon. Descriptor 3 leads to the
 * daemon (registry/wire.h). One thread a request.
 */
#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/restrict.h"
#include "base/rights.h"
#include "fetch/blob.h"
#include "fetch/download.h"
#include "fetch/session.h"
#include "fetch/upload.h"
#include "registry/wire.h"

#define NOBODY 65534
#define THREADS_MAX 64
#define TELL_NS (100 * NSEC_PER_MSEC)

static const char accept_manifests[] =
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
	"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
	"application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1, application/json;q=0.1";

static struct client *client; /* set before threads */
static int threads;           /* atomic */

struct work { json_t *rq; int fd; int64_t told; };

static void say(json_t *js, bool wait)
{
	OWN_FREE char *text = json_dumps(js, JSON_COMPACT);

	json_decref(js);
	if (text && strlen(text) < WIRE_PACKET_MAX)
		while (send(WIRE_FD, text, strlen(text), MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) < 0 && errno == EINTR)
			;
}

static json_int_t id_of(const struct work *w)
{
	return json_integer_value(json_object_get(w->rq, "id"));
}

static void say_at(void *ctx, int64_t at)
{
	say(json_pack("{s:I, s:I}", "id", id_of(ctx), "at", (json_int_t)at), false);
}

/* Not for every piece that is sent. */
static void say_at_times(void *ctx, int64_t at)
{
	struct work *w = ctx;
	int64_t now = clock_mono();

	if (now - w->told < TELL_NS)
		return;
	w->told = now;
	say_at(w, at);
}

static void say_retry(void *ctx, int seconds)
{
	say(json_pack("{s:I, s:i}", "id", id_of(ctx), "retry", seconds), false);
}

/* jansson takes UTF-8 only. */
static json_t *any_text(const char *s)
{
	OWN_FREE char *cut = xstrndup(s ? s : "", WIRE_TEXT_MAX);

	if (!str_is_utf8(cut, strlen(cut)))
		for (char *p = cut; *p; p++)
			*p = (unsigned char)*p < 0x80 ? *p : '?';
	return json_string(cut);
}

static void say_failed(const struct work *w, const struct failure *f)
{
	json_t *js = json_pack("{s:I, s:o, s:i}", "id", id_of(w), "error", any_text(err_text(&f->err)), "status", f->status);

	if (f->code)
		json_object_set_new(js, "code", any_text(f->code));
	say(js, true);
}

static int put_body(const struct work *w, const void *data, size_t size, struct failure *f)
{
	const char *p = data;

	for (size_t at = 0; at < size;) {
		ssize_t n = pwrite(w->fd, p + at, size - at, (off_t)at);

		if (n <= 0)
			return err_errno(&f->err, n < 0 ? errno : EIO, "hand a document on");
		at += (size_t)n;
	}
	return 0;
}

static const char *word(const struct work *w, const char *key)
{
	const char *s = json_string_value(json_object_get(w->rq, key));

	return s ? s : "";
}

static int do_manifest(struct work *w, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/manifests/%s", word(w, "repo"), word(w, "ref")), *scope = client_scope(client, word(w, "repo"), "pull");
	OWN_ANSWER struct web_answer a = { .length = -1 };

	client_leave_out(client, json_integer_value(json_object_get(w->rq, "from")));
	if (client_get(client, path, accept_manifests, scope, WIRE_MANIFEST_MAX, &a, f) < 0 || put_body(w, a.body.data, a.body.size, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I, s:I, s:o}", "id", id_of(w), "size", (json_int_t)a.body.size, "next", (json_int_t)client_behind_mirror(client), "type",
		any_text(a.type)), true);
	return 0;
}

static int do_get(struct work *w, struct failure *f)
{
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const char *path = word(w, "path"), *scope = word(w, "scope");

	if (*path != '/')
		return err_set(&f->err, ERR_INVALID, "no path");
	if (client_get(client, path, "application/json", *scope ? scope : NULL, WIRE_MANIFEST_MAX, &a, f) < 0 || put_body(w, a.body.data, a.body.size, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I}", "id", id_of(w), "size", (json_int_t)a.body.size), true);
	return 0;
}

static int do_tags(struct work *w, struct failure *f)
{
	OWN_BUF struct buf all = { 0 };

	if (client_tags(client, word(w, "repo"), WIRE_MANIFEST_MAX, &all, f) < 0 || put_body(w, all.data, all.size, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I}", "id", id_of(w), "size", (json_int_t)all.size), true);
	return 0;
}

static int do_blob(struct work *w, struct failure *f)
{
	const struct blob b = {
		.repo = word(w, "repo"), .digest = word(w, "digest"), .size = json_integer_value(json_object_get(w->rq, "size")), .fd = w->fd,
		.at = say_at, .retry = say_retry, .ctx = w,
	};

	if (blob_get(client, &b, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I}", "id", id_of(w), "size", (json_int_t)b.size), true);
	return 0;
}

static void say_part(void *ctx, int64_t at, int64_t total)
{
	say(json_pack("{s:I, s:I, s:I}", "id", id_of(ctx), "at", (json_int_t)at, "total", (json_int_t)(total < 0 ? 0 : total)), false);
}

static int do_download(struct work *w, struct failure *f)
{
	const struct download d = {
		.url = word(w, "url"), .fd = w->fd, .max = json_integer_value(json_object_get(w->rq, "max")), .at = say_part, .retry = say_retry, .ctx = w,
	};
	int64_t size;

	if (download_get(client, &d, &size, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I}", "id", id_of(w), "size", (json_int_t)size), true);
	return 0;
}

static int do_login(struct work *w, struct failure *f)
{
	OWN_FREE char *token = NULL;

	if (client_login(client, &token, f) < 0)
		return -1;
	say(json_pack("{s:I, s:s}", "id", id_of(w), "identitytoken", token ? token : ""), true);
	return 0;
}

static int do_have(struct work *w, struct failure *f)
{
	int64_t size = -1;
	int rc = upload_have(client, word(w, "repo"), word(w, "digest"), &size, f);

	if (rc >= 0)
		say(json_pack("{s:I, s:b, s:I}", "id", id_of(w), "yes", rc, "size", (json_int_t)(rc ? size : 0)), true);
	return rc < 0 ? -1 : 0;
}

static int do_mount(struct work *w, struct failure *f)
{
	int rc = upload_mount(client, word(w, "repo"), word(w, "digest"), word(w, "from"), f);

	if (rc >= 0)
		say(json_pack("{s:I, s:b}", "id", id_of(w), "yes", rc), true);
	return rc < 0 ? -1 : 0;
}

static int do_upload(struct work *w, struct failure *f)
{
	const struct upload u = {
		.repo = word(w, "repo"), .digest = word(w, "digest"), .size = json_integer_value(json_object_get(w->rq, "size")), .fd = w->fd,
		.at = say_at_times, .retry = say_retry, .ctx = w,
	};

	if (upload_blob(client, &u, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I}", "id", id_of(w), "size", (json_int_t)u.size), true);
	return 0;
}

static int do_put(struct work *w, struct failure *f)
{
	int64_t size = json_integer_value(json_object_get(w->rq, "size"));

	if (upload_manifest(client, word(w, "repo"), word(w, "ref"), word(w, "type"), w->fd, size, f) < 0)
		return -1;
	say(json_pack("{s:I, s:I}", "id", id_of(w), "size", (json_int_t)size), true);
	return 0;
}

static void *work(void *arg)
{
	static const struct { const char *op; int (*fn)(struct work *w, struct failure *f); } ops[] = {
		{ "manifest", do_manifest }, { "get", do_get }, { "tags", do_tags }, { "blob", do_blob }, { "download", do_download }, { "login", do_login },
		{ "have", do_have }, { "mount", do_mount }, { "upload", do_upload }, { "put", do_put },
	};
	struct work *w = arg;
	struct failure f = { ERR_INIT, NULL, 0 };
	int rc = err_set(&f.err, ERR_INVALID, "no such request");

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (streq(ops[i].op, word(w, "op"))) {
			failure_done(&f);
			rc = ops[i].fn(w, &f);
		}
	if (rc < 0)
		say_failed(w, &f);
	failure_done(&f);
	json_decref(w->rq);
	fd_close(&w->fd);
	free(w);
	__atomic_sub_fetch(&threads, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* One packet: its size, 0 at the end. */
static ssize_t receive(char *data, size_t size, int *fds, size_t *ret_nfds)
{
	struct iovec iov = { data, size };

	*ret_nfds = WIRE_FDS_MAX;
	return rights_recv(WIRE_FD, &iov, 1, fds, ret_nfds, 0);
}

static void begin(const char *text, size_t size, int fd)
{
	struct work *w = xcalloc(1, sizeof(*w));
	pthread_attr_t attr;
	pthread_t t;

	w->rq = json_loadb(text, size, 0, NULL);
	w->fd = fd;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	__atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	if (!w->rq || threads > THREADS_MAX || pthread_create(&t, &attr, work, w) != 0)
		_exit(1);
	pthread_attr_destroy(&attr);
}

/* A user namespace that has no such id has a user as its root: he stays, without any of root's rights. */
static int become_nobody(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0)
		return 0;
	return errno == EINVAL ? caps_keep(0, 0) : -1;
}

/* Nobody's rights, and none to get more. */
static int confine(void)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (become_nobody() < 0)
		return -1;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* it holds passwords */
}

int main(void)
{
	static char packet[WIRE_PACKET_MAX];
	OWN_ERR struct err err = ERR_INIT;
	int fds[WIRE_FDS_MAX];
	size_t nfds;
	ssize_t n;

	signal(SIGPIPE, SIG_IGN);
	n = receive(packet, sizeof(packet), fds, &nfds);
	if (n < 0) {
		fprintf(stderr, "dockerd-fetch is started by dockerd\n");
		return 1;
	}
	if (n == 0 || confine() < 0 || !(client = session_read(packet, (size_t)n, fds, nfds, &err)))
		return 1;
	explicit_bzero(packet, sizeof(packet));
	while ((n = receive(packet, sizeof(packet), fds, &nfds)) > 0) {
		begin(packet, (size_t)n, nfds ? fds[0] : -1);
		for (size_t i = 1; i < nfds; i++)
			close(fds[i]);
	}
	/* threads may still wait for the network: nobody wants to know */
	_exit(0);
}
