/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/session.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/rights.h"
#include "registry/wire.h"

void session_reply_done(struct session_reply *r)
{
	free(r->text);
	free(r->code);
	free(r->type);
	free(r->token);
	*r = (struct session_reply){ 0 };
}

static int send_packet(struct session *s, json_t *js, const int *fds, size_t nfds, struct err *err)
{
	OWN_FREE char *text = json_dumps(js, JSON_COMPACT);
	struct iovec iov = { text, text ? strlen(text) : 0 };
	ssize_t n;

	if (!text || iov.iov_len >= WIRE_PACKET_MAX)
		return err_set(err, ERR_INVALID, "the credentials or the configuration of registries are too large");
	n = rights_send(s->fd, &iov, 1, fds, nfds, 0);
	explicit_bzero(text, iov.iov_len);
	return n < 0 ? err_errno(err, errno, "the process that speaks to registries") : 0;
}

static const char *proxy_of(const char *given, const char *upper, const char *lower)
{
	const char *env;

	if (!str_empty(given))
		return given;
	env = getenv(upper);
	if (str_empty(env))
		env = getenv(lower);
	return env ? env : "";
}

static json_t *text_or_null(const char *s)
{
	return str_empty(s) ? json_null() : json_string(s);
}

static json_t *first_packet(const struct registry_config *cfg, const char *domain, const char *class, const struct registry_auth *auth, int *fds, size_t *ret_nfds,
	struct err *err)
{
	json_t *sites = sites_of(cfg, domain, fds, WIRE_FDS_MAX, ret_nfds, err);
	OWN_FREE char *agent = NULL;
	struct utsname u;

	if (!sites)
		return NULL;
	BUG_ON(uname(&u) < 0);
	agent = xasprintf("docker/" PACKAGE_VERSION " git-commit/" DKD_GITCOMMIT " kernel/%s os/linux arch/%s", u.release, u.machine);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:i, s:i, s:i, s:{s:s, s:s, s:s}}", "sites", sites, "cidrs", sites_cidrs(cfg), "class", text_or_null(class),
		"username", text_or_null(auth->username), "password", text_or_null(auth->password), "identitytoken", text_or_null(auth->identity_token),
		"registrytoken", text_or_null(auth->registry_token), "agent", agent, "attempts", cfg->attempts,
		"stall", cfg->stall, "rate", cfg->rate, "proxy",
		"http", proxy_of(cfg->http_proxy, "HTTP_PROXY", "http_proxy"), "https", proxy_of(cfg->https_proxy, "HTTPS_PROXY", "https_proxy"),
		"no", proxy_of(cfg->no_proxy, "NO_PROXY", "no_proxy"));
}

static int start(struct session *s, struct spawner *sp, int program, struct err *err)
{
	static char name[] = "dockerd-fetch", *const argv[] = { name, NULL };
	const char *authorities = getenv("SSL_CERT_FILE"); /* the one thing of the environment that it has no other way to know */
	OWN_FREE char *entry = xasprintf("SSL_CERT_FILE=%s", authorities ? authorities : "");
	char *const env[] = { entry, NULL };
	OWN_FD int theirs = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "make a socket");
	s->fd = pair[0];
	theirs = pair[1];
	return spawner_task(sp, program, argv, env, &theirs, 1, &s->task, err) < 0 ? err_wrap(err, "start dockerd-fetch") : 0;
}

int session_open(struct session *s, struct spawner *sp, int program, const struct registry_config *cfg, const char *domain, const struct registry_auth *auth,
	const struct cancel *c, struct err *err)
{
	return session_open_class(s, sp, program, cfg, domain, NULL, auth, c, err);
}

int session_open_class(struct session *s, struct spawner *sp, int program, const struct registry_config *cfg, const char *domain, const char *class,
	const struct registry_auth *auth, const struct cancel *c, struct err *err)
{
	int fds[WIRE_FDS_MAX], rc = -1;
	size_t nfds = 0;
	json_t *first;

	lock_none_held();
	*s = (struct session)SESSION_INIT;
	s->cancel = c;
	first = first_packet(cfg, domain, class, auth, fds, &nfds, err);
	if (first && start(s, sp, program, err) == 0)
		rc = send_packet(s, first, fds, nfds, err);
	else if (!first && err && !err->msg)
		err_set(err, ERR_INVALID, "the configuration of registries is no text");
	json_decref(first);
	while (nfds)
		close(fds[--nfds]);
	if (rc < 0)
		session_close(s);
	return rc;
}

void session_close(struct session *s)
{
	int status;

	fd_close(&s->fd);
	if (s->task >= 0)
		spawner_task_end(&s->task, true, &status, NULL);
}

uint32_t session_ask(struct session *s, json_t *rq, int fd, struct err *err)
{
	int rc;

	if (!rq) {
		err_set(err, ERR_INVALID, "a request to a registry that is no text");
		return 0;
	}
	json_object_set_new(rq, "id", json_integer(++s->last));
	rc = send_packet(s, rq, &fd, fd >= 0, err);
	json_decref(rq);
	return rc < 0 ? 0 : s->last;
}

static char *text_of(json_t *js, const char *key)
{
	const char *s = json_string_value(json_object_get(js, key));

	return str_empty(s) ? NULL : xstrdup(s);
}

static void read_reply(json_t *js, struct session_reply *r)
{
	json_t *at = json_object_get(js, "at"), *retry = json_object_get(js, "retry");

	*r = (struct session_reply){ .id = (uint32_t)json_integer_value(json_object_get(js, "id")), .kind = SESSION_DONE };
	r->text = text_of(js, "error");
	r->code = text_of(js, "code");
	r->type = text_of(js, "type");
	r->token = text_of(js, "identitytoken");
	r->total = json_integer_value(json_object_get(js, "total"));
	r->next = json_integer_value(json_object_get(js, "next"));
	r->yes = json_is_true(json_object_get(js, "yes"));
	r->status = (int)json_integer_value(json_object_get(js, "status"));
	if (r->text || json_object_get(js, "error"))
		r->kind = SESSION_FAILED;
	else if (at || retry)
		r->kind = at ? SESSION_AT : SESSION_RETRY;
	r->n = json_integer_value(at ? at : retry ? retry : json_object_get(js, "size"));
	if (r->n < 0)
		r->n = 0;
}

int session_next(struct session *s, int timeout_ms, struct session_reply *ret, struct err *err)
{
	OWN_FREE char *packet = NULL;
	OWN_JSON json_t *js = NULL;
	int rc = cancel_wait(s->cancel, s->fd, POLLIN, timeout_ms);
	ssize_t n;

	*ret = (struct session_reply){ 0 };
	if (rc <= 0)
		return rc == 0 ? 0 : err_set(err, ERR_CANCELLED, "the client is gone");
	packet = xmalloc(WIRE_PACKET_MAX);
	n = recv(s->fd, packet, WIRE_PACKET_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return err_set(err, ERR_INTERNAL, "the process that speaks to registries ended");
	js = json_read(packet, (size_t)n, err);
	if (!js)
		return err_wrap(err, "the process that speaks to registries");
	read_reply(js, ret);
	return 1;
}

static int read_body(int fd, size_t max, int64_t size, struct buf *body, struct err *err)
{
	if (size > (int64_t)max)
		return err_set(err, ERR_TOO_LARGE, "a document of a registry is larger than %zu bytes", max);
	while ((int64_t)body->size < size) {
		ssize_t n = pread(fd, buf_reserve(body, (size_t)size - body->size), (size_t)size - body->size, (off_t)body->size);

		if (n <= 0)
			return err_set(err, ERR_INTERNAL, "a document of a registry is not there");
		body->size += (size_t)n;
	}
	buf_adds(body, "");
	return 0;
}

int session_get(struct session *s, json_t *rq, size_t max, struct buf *body, struct session_reply *ret, struct err *err)
{
	OWN_FD int fd = body ? memfd_create("registry", MFD_CLOEXEC) : -1;
	uint32_t id;
	int rc;

	*ret = (struct session_reply){ 0 };
	if (body && fd < 0) {
		json_decref(rq);
		return err_errno(err, errno, "make room for a document");
	}
	id = session_ask(s, rq, fd, err);
	if (!id)
		return -1;
	for (;;) {
		rc = session_next(s, -1, ret, err);
		if (rc < 0)
			return -1;
		if (rc && ret->id == id && ret->kind >= SESSION_DONE)
			break;
		session_reply_done(ret);
	}
	if (ret->kind == SESSION_FAILED)
		return 1;
	return body ? read_body(fd, max, ret->n, body, err) : 0;
}
