/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authz.h"

#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "driver.h"
#include "dockerd/authz.h"

/* A driver that takes longer refuses. */
#define CALL_TIME (5 * NSEC_PER_SEC)
#define OPEN_TIME (15 * NSEC_PER_SEC) /* at the start, of a plugin whose socket is there before somebody listens */
#define POLICY "policy" /* the driver that knows the policies of listeners */

/* Opened once, stays until the facade is closed. */
struct member {
	const struct driver *driver;
	const struct dkd_authz_ops *ops;
	struct dkd_authz *handle;
	char *name;
	struct member *next;
};

/* The order in force; never changes, lives while somebody walks it. */
struct chain {
	int refs; /* atomic */
	size_t len;
	struct member *v[];
};

struct authz {
	struct lock lock;      /* LOCK_LEAF: chain */
	struct chain *chain;
	struct strv policies;  /* of listeners; never changes */
	unsigned turn;         /* atomic: of the rules; odd while drivers read them anew */
	struct member *opened; /* only touched by open, reload and close, which the daemon calls one after the other */
};

static void call_begin(struct driver_call *c, const struct member *m, const struct request *rq)
{
	driver_call_begin(c, m->driver);
	c->abi.deadline = clock_mono() + CALL_TIME;
	if (rq)
		c->abi.cancel_fd = -1; /* the client's socket is the HTTP library's */
}

static void member_free(struct member *m)
{
	if (m->handle && m->ops->close)
		m->ops->close(m->handle);
	free(m->name);
	free(m);
}

static struct member *member_open(const struct authz *a, const char *name, struct err *err)
{
	struct dkd_authz_open open = { .size = sizeof(open) };
	const struct driver *d = driver_load(DKD_KIND_AUTHZ, name, err);
	struct driver_call c;
	struct member *m;

	if (!d)
		return NULL;
	m = xcalloc(1, sizeof(*m));
	m->driver = d;
	m->ops = d->ops;
	m->name = xstrdup(name);
	open.instance = d->desc->provider ? name : NULL;
	if (streq(name, POLICY)) {
		open.policies = (const char *const *)a->policies.v;
		open.policies_len = (uint32_t)a->policies.len;
	}
	call_begin(&c, m, NULL);
	if (!a->chain)
		c.abi.deadline = clock_mono() + OPEN_TIME;
	if (driver_call_end(&c, m->ops->open(&c.abi, driver_host(d), &open, &m->handle), err) < 0) {
		member_free(m);
		return NULL;
	}
	return m;
}

static void chain_unref(struct chain *c)
{
	if (c && __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(c);
}
DEFINE_CLEANUP(struct chain, chain_unref)

static struct chain *chain_get(struct authz *a)
{
	WITH_LOCK(&a->lock);
	__atomic_add_fetch(&a->chain->refs, 1, __ATOMIC_RELAXED);
	return a->chain;
}

static struct member *member_get(struct authz *a, const char *name, struct err *err)
{
	struct member *m;

	for (m = a->opened; m; m = m->next)
		if (streq(m->name, name))
			return m;
	m = member_open(a, name, err);
	if (!m) {
		err_wrap(err, "authorization plugin %s", name);
		return NULL;
	}
	m->next = a->opened;
	a->opened = m;
	return m;
}

static struct chain *chain_new(struct authz *a, const struct strv *names, struct err *err)
{
	bool more = a->policies.len && !strv_contains(names, POLICY);
	struct chain *c = xcalloc(1, sizeof(*c) + (names->len + more) * sizeof(c->v[0]));

	c->refs = 1;
	for (size_t i = 0; i < names->len + more; i++) {
		struct member *m = member_get(a, i < names->len ? names->v[i] : POLICY, err);

		if (!m) {
			chain_unref(c);
			return NULL;
		}
		c->v[c->len++] = m;
	}
	return c;
}

bool authz_found(const char *name)
{
	OWN_ERR struct err why = ERR_INIT;

	return driver_load(DKD_KIND_AUTHZ, name, &why) || why.class != ERR_NOT_FOUND;
}

struct authz *authz_open(const struct strv *names, const struct strv *policies, struct err *err)
{
	struct authz *a = xcalloc(1, sizeof(*a));

	lock_init(&a->lock, LOCK_LEAF);
	strv_copy(&a->policies, policies);
	a->chain = chain_new(a, names, err);
	if (!a->chain) {
		authz_close(a);
		return NULL;
	}
	return a;
}

void authz_close(struct authz *a)
{
	if (!a)
		return;
	chain_unref(a->chain);
	while (a->opened) {
		struct member *m = a->opened;

		a->opened = m->next;
		member_free(m);
	}
	lock_done(&a->lock);
	strv_done(&a->policies);
	free(a);
}

static int reload_members(struct member *m, struct err *err)
{
	for (; m; m = m->next) {
		struct driver_call call;

		if (!m->ops->reload)
			continue;
		call_begin(&call, m, NULL);
		if (driver_call_end(&call, m->ops->reload(&call.abi, m->handle), err) < 0)
			return err_wrap(err, "authorization plugin %s", m->name);
	}
	return 0;
}

int authz_reload(struct authz *a, const struct strv *names, struct err *err)
{
	struct member *old = a->opened; /* those opened below have read their options */
	struct chain *c = chain_new(a, names, err);
	int rc;

	if (!c)
		return -1;
	__atomic_add_fetch(&a->turn, 1, __ATOMIC_SEQ_CST);
	rc = reload_members(old, err);
	if (rc == 0) {
		struct chain *before;

		lock_take(&a->lock);
		before = a->chain;
		a->chain = c;
		lock_drop(&a->lock);
		c = before;
	}
	__atomic_add_fetch(&a->turn, 1, __ATOMIC_SEQ_CST);
	chain_unref(c);
	return rc;
}

void authz_leave_out(struct authz *a, const char *name)
{
	struct chain *before, *c;

	lock_take(&a->lock);
	before = a->chain;
	c = xcalloc(1, sizeof(*c) + before->len * sizeof(c->v[0]));
	c->refs = 1;
	for (size_t i = 0; i < before->len; i++) {
		size_t n = strlen(before->v[i]->name);

		if (strncmp(before->v[i]->name, name, n) != 0 || (name[n] && !streq(name + n, ":latest")))
			c->v[c->len++] = before->v[i];
	}
	a->chain = c;
	lock_drop(&a->lock);
	chain_unref(before);
}

/* What drivers see of a request; pointers into it and into the buffers here. */
struct seen {
	struct dkd_authz_request abi;
	struct dkd_pair *headers;
	size_t headers_len;
	char *path;
};

static void seen_done(struct seen *s)
{
	free(s->headers);
	free(s->path);
}

/* Credentials are for registries alone. */
static void add_header(void *to, const char *name, const char *value)
{
	struct seen *s = to;

	if (strcasecmp(name, "Authorization") == 0 || strncasecmp(name, "X-Registry-", 11) == 0)
		return;
	if ((s->headers_len & (s->headers_len - 1)) == 0)
		s->headers = xrealloc(s->headers, (s->headers_len ? 2 * s->headers_len : 1) * sizeof(*s->headers));
	s->headers[s->headers_len++] = (struct dkd_pair){ name, value };
}

/*
 * The path as the handlers read it: each segment decoded, so that no escape hides a word from a rule, an escaped slash
 * neither; slashes in a row, which such a one may leave, are one.
 */
static char *plain_path(const char *path)
{
	struct buf b = {0};

	while (*path) {
		size_t size = strcspn(path, "/");
		OWN_FREE char *plain = uri_decode(path, size, false);

		for (const char *s = plain ? plain : ""; *s; s++)
			if (*s != '/' || !b.size || b.data[b.size - 1] != '/')
				buf_addc(&b, *s);
		path += size;
		if (*path == '/' && (!b.size || b.data[b.size - 1] != '/'))
			buf_addc(&b, '/');
		path += *path == '/';
	}
	return buf_steal(&b);
}

/*
 * Streams are not shown, nor is the password of a login. What comes on a connection that will be hijacked is a stream
 * too (what a terminal types) unless it is JSON, which is all that a handler would parse.
 */
static bool hides_body(const struct request *rq)
{
	unsigned flags = rq->route ? rq->route->flags : 0;
	const char *type = request_header(rq, "Content-Type");
	bool json = type && strncasecmp(type, "application/json", 16) == 0;

	return (flags & ROUTE_STREAM_BODY) || ((flags & ROUTE_HIJACK) && !json) || streq(rq->path, "/auth");
}

/* The body as the handler will read it. One that is too large ends the request here. */
static int fill_body(struct seen *s, struct request *rq, struct err *err)
{
	OWN_BUF struct buf copy = {0};

	if (hides_body(rq)) {
		s->abi.flags |= DKD_AUTHZ_BODY_STREAM;
		return 0;
	}
	if (!rq->body_known && request_body(rq, &copy, err) < 0)
		return -1;
	s->abi.body = rq->body.size ? rq->body.data : NULL;
	s->abi.body_size = rq->body.size;
	return 0;
}

static void fill_peer(struct seen *s, const struct peer *p)
{
	s->abi.peer_pid = -1;
	s->abi.listener = p && p->listener ? p->listener : "";
	s->abi.policy = p && p->policy ? p->policy : "";
	if (!p)
		return;
	s->abi.certs = (const char *const *)p->certs.v;
	s->abi.certs_len = (uint32_t)p->certs.len;
	if (!p->local)
		return;
	s->abi.flags |= DKD_AUTHZ_PEER;
	s->abi.peer_uid = p->uid;
	s->abi.peer_gid = p->gid;
	s->abi.peer_pid = p->pid;
}

static void fill(struct seen *s, struct request *rq)
{
	s->path = plain_path(rq->path);
	if (rq->ops->each_header)
		rq->ops->each_header(rq, add_header, s);
	s->abi.size = sizeof(s->abi);
	s->abi.user = rq->user ? rq->user : "";
	s->abi.user_auth = rq->user_auth ? rq->user_auth : "";
	s->abi.method = rq->method;
	s->abi.uri = rq->uri;
	s->abi.path = s->path;
	s->abi.headers = s->headers;
	s->abi.headers_len = (uint32_t)s->headers_len;
	s->abi.api_minor = (uint32_t)rq->api_minor;
	fill_peer(s, rq->peer);
}

static int emit_reason(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

static int verdict(const struct member *m, int rc, const char *reason, struct err *failed, struct err *err)
{
	if (rc == DKD_AUTHZ_ALLOW)
		return 0;
	if (rc == DKD_AUTHZ_DENY)
		return err_set(err, ERR_FORBIDDEN, "authorization denied by plugin %s: %s", m->name, reason ? reason : "");
	return err_set(err, ERR_UNAVAILABLE, "plugin %s failed with error: %s", m->name,
		rc < 0 ? err_text(failed) : "it answers neither yes nor no");
}

static int emit_label(void *to, const char *text)
{
	if (!strv_contains(to, text))
		strv_add(to, text);
	return 0;
}

static int ask_scope(const struct member *m, const struct seen *s, struct request *rq, struct err *err)
{
	OWN_ERR struct err failed = ERR_INIT;
	struct driver_call c;

	if (!m->ops->scope)
		return 0;
	call_begin(&c, m, rq);
	return verdict(m, driver_call_end(&c, m->ops->scope(&c.abi, m->handle, &s->abi, emit_label, &rq->scope), &failed), NULL, &failed, err);
}

static int ask_chain(struct authz *a, struct request *rq, struct err *err)
{
	CLEANUP(chain_unrefp) struct chain *chain = chain_get(a);
	CLEANUP(seen_done) struct seen s = {0};

	if (!chain->len)
		return 0;
	rq->judged = true;
	fill(&s, rq);
	if (fill_body(&s, rq, err) < 0)
		return -1;
	for (size_t i = 0; i < chain->len; i++) {
		const struct member *m = chain->v[i];
		OWN_ERR struct err failed = ERR_INIT;
		OWN_FREE char *reason = NULL;
		struct driver_call c;
		int rc;

		call_begin(&c, m, rq);
		rc = driver_call_end(&c, m->ops->request(&c.abi, m->handle, &s.abi, emit_reason, &reason), &failed);
		if (verdict(m, rc, reason, &failed, err) < 0 || ask_scope(m, &s, rq, err) < 0)
			return -1;
	}
	return 0;
}

/* A yes counts when all who gave it, and the labels that they ask for, are of the same rules. */
int authz_request(void *authz, struct request *rq, struct err *err)
{
	int64_t end = clock_mono() + CALL_TIME;
	struct authz *a = authz;

	for (;;) {
		unsigned turn = __atomic_load_n(&a->turn, __ATOMIC_SEQ_CST);
		int rc = ask_chain(a, rq, err);

		if (rc < 0 || (!(turn & 1) && __atomic_load_n(&a->turn, __ATOMIC_SEQ_CST) == turn))
			return rc;
		strv_done(&rq->scope);
		if (clock_mono() > end)
			return err_set(err, ERR_UNAVAILABLE, "the rules of authorization are being read anew, try again");
		usleep(1000);
	}
}

int authz_response(void *authz, struct request *rq, struct err *err)
{
	CLEANUP(chain_unrefp) struct chain *chain = chain_get(authz);
	CLEANUP(seen_done) struct seen s = {0};
	struct dkd_authz_response rs = { .size = sizeof(rs), .status = rq->status };
	OWN_FREE struct dkd_pair *headers = NULL;
	const char *type = NULL;
	const void *data = NULL;
	size_t size = 0, len = rq->reply_headers.len;
	int status = rq->status;

	if (!chain->len)
		return 0;
	fill(&s, rq);
	if (hides_body(rq) || !rq->body_known) {
		s.abi.flags |= DKD_AUTHZ_BODY_STREAM;
	} else {
		s.abi.body = rq->body.size ? rq->body.data : NULL;
		s.abi.body_size = rq->body.size;
	}
	if (!request_held_reply(rq, &status, &type, &data, &size))
		rs.flags |= DKD_AUTHZ_BODY_STREAM;
	rs.status = status;
	rs.body = size ? data : NULL;
	rs.body_size = size;
	headers = xcalloc(len + 1, sizeof(*headers));
	for (size_t i = 0; i < len; i++)
		headers[i] = (struct dkd_pair){ rq->reply_headers.v[i].key, rq->reply_headers.v[i].value };
	if (type)
		headers[len++] = (struct dkd_pair){ "Content-Type", type };
	rs.headers = headers;
	rs.headers_len = (uint32_t)len;
	/* Last asked, first told: as Docker has it. */
	for (size_t i = chain->len; i-- > 0;) {
		const struct member *m = chain->v[i];
		OWN_ERR struct err failed = ERR_INIT;
		OWN_FREE char *reason = NULL;
		struct driver_call c;
		int rc;

		if (!m->ops->response)
			continue;
		call_begin(&c, m, rq);
		rc = driver_call_end(&c, m->ops->response(&c.abi, m->handle, &s.abi, &rs, emit_reason, &reason), &failed);
		if (verdict(m, rc, reason, &failed, err) < 0)
			return -1;
	}
	return 0;
}
