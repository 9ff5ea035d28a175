/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "router.h"

#include <strings.h>

#include "base/clock.h"
#include "base/log.h"

#define QUERY_MAX 4096    /* parameters of one request */
#define SEGMENTS_MAX 64   /* of a path; more match nothing */

/* One piece of a pattern between slashes. */
struct piece {
	char *text;   /* literal, or the variable's name */
	bool var, wild;
};

struct matcher {
	const struct route *route;
	struct piece *pieces;
	size_t len;
	int wild_at;  /* index of the piece that takes several segments, -1 for none */
};

struct middleware {
	middleware_fn *before, *after;
	void *ctx;
};

/* Everything but middlewares is fixed from router_new() on; those are added before the first request. */
struct router {
	struct engine *engine;
	int min_minor;
	bool experimental;
	struct matcher *matchers; /* sorted by first piece; rows of the table keep their order among equals */
	size_t len;
	struct middleware *middlewares;
	size_t n_middlewares;
};

/* A path taken apart: slices of the URI. */
struct segments {
	struct { const char *s; size_t size; } v[SEGMENTS_MAX];
	size_t len;
};

struct version {
	bool given;
	int major, minor;
	char text[16];
};

struct held_reply {
	const struct router *router;
	const struct request_ops *ops; /* the real ones */
	struct request_ops hold;
	bool set;
	bool seen;           /* the "after" middlewares saw it: a stream, before it began */
	struct err *refused; /* by one of these */
	int status;
	char *type;
	struct buf data;
};

static void compile(struct matcher *m, const struct route *route);
static const char *split_version(const char *path, size_t size, struct version *v);
static bool split_segments(const char *path, size_t size, struct segments *sg);
static const struct matcher *match(const struct router *r, const char *method, const struct segments *sg);
static int fill_vars(const struct matcher *m, const struct segments *sg, struct request *rq, struct err *err);
static int parse_query(const char *query, struct request *rq, struct err *err);
static int check_version(
	const struct router *r, const struct version *v, const struct matcher *m, struct request *rq, struct err *err);
static void run(struct router *r, const struct matcher *m, struct request *rq);
static int run_job(struct router *r, const struct matcher *m, struct request *rq, struct err *err);
static void access_log(const struct request *rq, int64_t started);

static int by_first_piece(const void *a, const void *b)
{
	const struct matcher *x = a, *y = b;
	int c = strcmp(x->pieces[0].text, y->pieces[0].text);

	return c ? c : (x->route > y->route) - (x->route < y->route);
}

struct router *router_new(struct engine *e, const struct route *routes, size_t len, int min_minor, struct err *err)
{
	struct router *r;

	for (size_t i = 0; i < len; i++)
		if (!engine_has(e, routes[i].job)) {
			err_set(err, ERR_INTERNAL, "route %s %s names the unknown job \"%s\"", routes[i].method,
				routes[i].pattern, routes[i].job);
			return NULL;
		}
	r = xcalloc(1, sizeof(*r));
	r->engine = e;
	r->min_minor = min_minor;
	r->matchers = xcalloc(len ? len : 1, sizeof(*r->matchers));
	r->len = len;
	for (size_t i = 0; i < len; i++)
		compile(&r->matchers[i], &routes[i]);
	qsort(r->matchers, len, sizeof(*r->matchers), by_first_piece);
	return r;
}

void router_free(struct router *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->len; i++) {
		for (size_t j = 0; j < r->matchers[i].len; j++)
			free(r->matchers[i].pieces[j].text);
		free(r->matchers[i].pieces);
	}
	free(r->matchers);
	free(r->middlewares);
	free(r);
}

void router_add_middleware(struct router *r, middleware_fn *before, middleware_fn *after, void *ctx)
{
	r->middlewares = xrealloc(r->middlewares, (r->n_middlewares + 1) * sizeof(*r->middlewares));
	r->middlewares[r->n_middlewares++] = (struct middleware){ before, after, ctx };
}

int router_stop_fd(const struct router *r)
{
	return engine_stop_fd(r->engine);
}

void router_set_experimental(struct router *r, bool on)
{
	r->experimental = on;
}

const struct route *router_match(struct router *r, const char *method, const char *uri_path)
{
	const struct matcher *m;
	struct segments sg;
	struct version v;
	size_t size = strcspn(uri_path, "?");
	const char *path = split_version(uri_path, size, &v);

	if (!split_segments(path, size - (size_t)(path - uri_path), &sg))
		return NULL;
	m = match(r, method, &sg);
	return m ? m->route : NULL;
}

static void put_headers(const struct router *r, struct request *rq)
{
	char version[16];

	snprintf(version, sizeof(version), "1.%d", API_MAX_MINOR);
	strmap_set(&rq->reply_headers, "Server", "Docker/" PACKAGE_VERSION " (linux)");
	strmap_set(&rq->reply_headers, "Api-Version", version);
	strmap_set(&rq->reply_headers, "Ostype", "linux");
	strmap_set(&rq->reply_headers, "Docker-Experimental", r->experimental ? "true" : "false");
}

/* Below 1.24 clients read plain text. */
static void reply_version_error(struct request *rq, const struct version *v, const struct err *err)
{
	OWN_FREE char *line = NULL;

	if (v->major > 1 || v->minor >= API_MIN_MINOR) {
		reply_error(rq, err);
		return;
	}
	line = xasprintf("%s\n", err_text(err));
	strmap_set(&rq->reply_headers, "X-Content-Type-Options", "nosniff");
	rq->ops->reply(rq, 400, "text/plain; charset=utf-8", line, strlen(line));
}

void router_handle(struct router *r, struct request *rq)
{
	size_t size = strcspn(rq->uri, "?");
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *path = NULL;
	int64_t started = clock_mono();
	const struct matcher *m;
	struct segments sg;
	struct version v;
	const char *rest = split_version(rq->uri, size, &v);

	path = xstrndup(rest, size - (size_t)(rest - rq->uri));
	rq->path = path;
	rq->api_minor = API_MAX_MINOR;
	put_headers(r, rq);
	m = split_segments(rest, strlen(path), &sg) ? match(r, rq->method, &sg) : NULL;
	if (!m && streq(rq->method, "OPTIONS"))
		reply_empty(rq, 200);
	else if (!m)
		err_set(&err, ERR_NOT_FOUND, "page not found");
	else if (check_version(r, &v, m, rq, &err) < 0)
		reply_version_error(rq, &v, &err);
	else if (fill_vars(m, &sg, rq, &err) == 0 && parse_query(rq->uri + size, rq, &err) == 0) {
		rq->route = m->route;
		run(r, m, rq);
	}
	if (rq->sent == SENT_NOTHING)
		reply_error(rq, &err);
	access_log(rq, started);
	rq->path = NULL;
}

bool request_held_reply(const struct request *rq, int *ret_status, const char **ret_type, const void **ret_data, size_t *ret_size)
{
	*ret_type = rq->held ? rq->held->type : NULL;
	if (!rq->held || !rq->held->set)
		return false;
	*ret_status = rq->held->status;
	*ret_data = rq->held->data.data;
	*ret_size = rq->held->data.size;
	return true;
}

static void compile(struct matcher *m, const struct route *route)
{
	OWN_STRV struct strv parts = { 0 };

	strv_split(&parts, route->pattern + 1, "/");
	*m = (struct matcher){ .route = route, .wild_at = -1, .len = parts.len };
	m->pieces = xcalloc(parts.len, sizeof(*m->pieces));
	for (size_t i = 0; i < parts.len; i++) {
		const char *s = parts.v[i];
		struct piece *p = &m->pieces[i];

		if (*s != '{') {
			p->text = xstrdup(s);
			continue;
		}
		p->var = true;
		p->text = xstrndup(s + 1, strcspn(s + 1, ":}"));
		p->wild = strchr(s, ':') != NULL;
		if (p->wild) {
			BUG_ON(m->wild_at >= 0);
			m->wild_at = (int)i;
		}
	}
	BUG_ON(m->pieces[0].var);
}

static int number(const char **s, const char *end)
{
	int n = 0;

	for (; *s < end && **s >= '0' && **s <= '9'; (*s)++)
		if (n < 100000)
			n = n * 10 + (**s - '0');
	return n;
}

/* "/v1.41/info" -> "/info". Anything else comes back as it is. */
static const char *split_version(const char *path, size_t size, struct version *v)
{
	const char *end = path + size, *s = path + 2, *stop;

	*v = (struct version){ .given = false };
	if (size < 4 || path[0] != '/' || path[1] != 'v' || *s < '0' || *s > '9')
		return path;
	for (stop = s; stop < end && ((*stop >= '0' && *stop <= '9') || *stop == '.'); stop++)
		;
	if (stop == end || *stop != '/')
		return path;
	v->given = true;
	snprintf(v->text, sizeof(v->text), "%.*s", (int)(stop - s), s);
	v->major = number(&s, stop);
	if (s < stop)
		s++;
	v->minor = number(&s, stop);
	return stop;
}

static bool split_segments(const char *path, size_t size, struct segments *sg)
{
	const char *end = path + size;

	sg->len = 0;
	if (size == 0 || *path != '/')
		return false;
	while (path < end) {
		const char *from = ++path;

		while (path < end && *path != '/')
			path++;
		if (sg->len == SEGMENTS_MAX)
			return false;
		sg->v[sg->len].s = from;
		sg->v[sg->len++].size = (size_t)(path - from);
	}
	return true;
}

static bool piece_fits(const struct piece *p, const char *s, size_t size)
{
	if (p->var)
		return size > 0;
	return strlen(p->text) == size && memcmp(p->text, s, size) == 0;
}

static bool fits(const struct matcher *m, const struct segments *sg)
{
	size_t extra;

	if (sg->len < m->len || (sg->len > m->len && m->wild_at < 0))
		return false;
	extra = sg->len - m->len;
	for (size_t i = 0, j = 0; i < m->len; i++, j++) {
		if (!piece_fits(&m->pieces[i], sg->v[j].s, sg->v[j].size))
			return false;
		if ((int)i == m->wild_at)
			j += extra;
	}
	return true;
}

static int compare_first(const struct matcher *m, const struct segments *sg)
{
	int c = strncmp(m->pieces[0].text, sg->v[0].s, sg->v[0].size);

	return c ? c : m->pieces[0].text[sg->v[0].size] != '\0';
}

static const struct matcher *match(const struct router *r, const char *method, const struct segments *sg)
{
	size_t from = 0, to = r->len;

	while (from < to) {
		size_t mid = (from + to) / 2;

		if (compare_first(&r->matchers[mid], sg) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	for (; from < r->len && compare_first(&r->matchers[from], sg) == 0; from++)
		if (streq(r->matchers[from].route->method, method) && fits(&r->matchers[from], sg))
			return &r->matchers[from];
	return NULL;
}

static int fill_vars(const struct matcher *m, const struct segments *sg, struct request *rq, struct err *err)
{
	size_t extra = sg->len - m->len;

	for (size_t i = 0, j = 0; i < m->len; i++, j++) {
		const char *from = sg->v[j].s;
		OWN_FREE char *value = NULL;

		if ((int)i == m->wild_at)
			j += extra;
		if (!m->pieces[i].var)
			continue;
		value = uri_decode(from, (size_t)(sg->v[j].s + sg->v[j].size - from), false);
		if (!value)
			return err_set(err, ERR_INVALID, "invalid URL escape in the path");
		strmap_set(&rq->vars, m->pieces[i].text, value);
	}
	return 0;
}

/* query: "" or "?..." */
static int parse_query(const char *query, struct request *rq, struct err *err)
{
	while (*query) {
		const char *from = ++query;
		size_t size = strcspn(from, "&"), eq = strcspn(from, "=&");
		OWN_FREE char *key = NULL, *value = NULL;

		query = from + size;
		if (size == 0)
			continue;
		key = uri_decode(from, eq, true);
		value = eq < size ? uri_decode(from + eq + 1, size - eq - 1, true) : xstrdup("");
		if (!key || !value)
			return err_set(err, ERR_INVALID, "invalid URL escape in the query");
		if (rq->query_all.len == QUERY_MAX)
			return err_set(err, ERR_INVALID, "more than %d query parameters", QUERY_MAX);
		strv_addf(&rq->query_all, "%s=%s", key, value);
		if (!strmap_get(&rq->query, key))
			strmap_set(&rq->query, key, value);
	}
	return 0;
}

static int check_version(
	const struct router *r, const struct version *v, const struct matcher *m, struct request *rq, struct err *err)
{
	if (!v->given)
		return 0;
	rq->api_versioned = true;
	if (v->major == 1)
		rq->api_minor = v->minor;
	if (m->route->flags & ROUTE_UNVERSIONED)
		return 0;
	if (v->major > 1 || (v->major == 1 && v->minor > API_ACCEPT_MINOR))
		return err_set(err, ERR_INVALID, "client version %s is too new. Maximum supported API version is 1.%d", v->text,
			API_MAX_MINOR);
	if (v->major < 1 || v->minor < r->min_minor)
		return err_set(err, ERR_INVALID, "client version %s is too old. Minimum supported API version is 1.%d, "
			"please upgrade your client to a newer version", v->text, r->min_minor);
	if (v->minor < m->route->min_minor)
		return err_set(
			err, ERR_INVALID, "%s %s requires minimum API version 1.%d", rq->method, rq->path, m->route->min_minor);
	return 0;
}

static int hold_reply(struct request *rq, int status, const char *content_type, const void *data, size_t size)
{
	struct held_reply *h = rq->held;

	BUG_ON(rq->sent != SENT_NOTHING);
	h->set = true;
	h->status = status;
	str_set(&h->type, content_type);
	buf_add(&h->data, data ? data : "", data ? size : 0);
	rq->sent = SENT_ALL;
	rq->status = status;
	return 0;
}

static int show_answer(struct request *rq)
{
	struct held_reply *h = rq->held;

	h->seen = true;
	for (size_t i = 0; i < h->router->n_middlewares && !h->refused->msg; i++)
		if (h->router->middlewares[i].after)
			h->router->middlewares[i].after(h->router->middlewares[i].ctx, rq, h->refused);
	return h->refused->msg ? -1 : 0;
}

static int write_refused(struct request *rq, const void *data, size_t size)
{
	(void)rq, (void)data, (void)size;
	return -1;
}

/* Refused, it is for the handler as if the client had left. */
static int hold_begin(struct request *rq, int status, const char *content_type)
{
	struct held_reply *h = rq->held;

	rq->status = status;
	str_set(&h->type, content_type);
	if (show_answer(rq) == 0)
		return h->ops->begin(rq, status, content_type);
	h->hold.write = write_refused;
	rq->sent = SENT_STREAM;
	return -1;
}

static struct http_stream *hold_hijack(struct request *rq, const char *content_type, struct err *err)
{
	struct held_reply *h = rq->held;

	rq->status = request_header(rq, "Upgrade") ? 101 : 200;
	str_set(&h->type, content_type);
	if (show_answer(rq) == 0)
		return h->ops->hijack(rq, content_type, err);
	err_set(err, h->refused->class, "%s", h->refused->msg);
	return NULL;
}

static void hold(const struct router *r, struct request *rq, struct held_reply *h, struct err *refused)
{
	*h = (struct held_reply){ .router = r, .ops = rq->ops, .hold = *rq->ops, .refused = refused };
	h->hold.reply = hold_reply;
	h->hold.begin = hold_begin;
	h->hold.hijack = hold_hijack;
	rq->ops = &h->hold;
	rq->held = h;
}

/* The answer leaves, or an error in its place. */
static void release(struct request *rq, struct held_reply *h)
{
	rq->ops = h->ops;
	rq->held = NULL;
	if (h->refused->msg) {
		rq->sent = SENT_NOTHING;
		rq->failed = false;
		reply_error(rq, h->refused);
	} else if (h->set) {
		rq->sent = SENT_NOTHING;
		rq->ops->reply(rq, h->status, h->type, h->data.data, h->data.size);
	}
	free(h->type);
	buf_done(&h->data);
}

static void run(struct router *r, const struct matcher *m, struct request *rq)
{
	OWN_ERR struct err err = ERR_INIT, refused = ERR_INIT;
	struct held_reply h;
	bool held = false, passed;
	int bad = 0;

	for (size_t i = 0; i < r->n_middlewares; i++)
		held |= r->middlewares[i].after != NULL;
	if (held)
		hold(r, rq, &h, &refused);
	for (size_t i = 0; i < r->n_middlewares && bad == 0; i++)
		if (r->middlewares[i].before)
			bad = r->middlewares[i].before(r->middlewares[i].ctx, rq, &err);
	passed = bad == 0;
	if (passed)
		bad = run_job(r, m, rq, &err);
	if (bad < 0 && rq->sent == SENT_NOTHING)
		reply_error(rq, &err);
	if (held && passed && !h.seen)
		show_answer(rq);
	if (held)
		release(rq, &h);
}

static int run_job(struct router *r, const struct matcher *m, struct request *rq, struct err *err)
{
	struct job *job = engine_job(r->engine, m->route->job, err);
	int bad;

	if (!job)
		return -1;
	job->face = rq;
	job->cancel.client_fd = rq->client_fd;
	rq->job = job;
	bad = job_run(job, err);
	rq->job = NULL;
	job_free(job);
	if (bad < 0 && (!err->msg || err_status(err->class) >= 500 || rq->sent != SENT_NOTHING))
		log_error("Handler for %s %s returned error: %s", rq->method, rq->path, err_text(err));
	rq->failed = bad < 0 && rq->sent != SENT_NOTHING;
	if (bad == 0 && rq->sent == SENT_NOTHING)
		return err_set(err, ERR_INTERNAL, "job %s gave no answer", m->route->job);
	return bad;
}

/* The URI with the values of secret parameters masked. */
static char *mask_uri(const char *uri)
{
	static const char *const secret[] = { "buildargs", "data", "identitytoken", "jointoken", "password", "registrytoken",
		"remote", "secret", "signingcakey", "unlockkey" };
	const char *at = strchr(uri, '?');
	OWN_BUF struct buf b = { 0 };

	if (!at)
		return xstrdup(uri);
	buf_add(&b, uri, (size_t)(at - uri));
	while (*at) {
		size_t size = 1 + strcspn(at + 1, "&"), eq = 1 + strcspn(at + 1, "=&");
		bool hide = false;

		for (size_t i = 0; i < ARRAY_LEN(secret); i++)
			hide |= strlen(secret[i]) == eq - 1 && strncasecmp(secret[i], at + 1, eq - 1) == 0;
		buf_add(&b, at, hide ? eq : size);
		if (hide)
			buf_adds(&b, "=*****");
		at += size;
	}
	return buf_steal(&b);
}

static void access_log(const struct request *rq, int64_t started)
{
	OWN_FREE char *uri = NULL, *status = NULL, *took = NULL;

	if (log_get_level() < LOG_DEBUG)
		return;
	uri = mask_uri(rq->uri);
	status = xasprintf("%d", rq->status);
	took = xasprintf("%.3fms", (double)(clock_mono() - started) / 1e6);
	log_fields(LOG_DEBUG, (const char *const[]){ "status", status, "took", took, NULL }, "%s %s", rq->method, uri);
}
