/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/client.h"

#include <ctype.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#define REDIRECTS_MAX 10
#define TRIES 3               /* of a small answer */
#define PAUSE_MAX 60          /* s that a registry may ask for */
#define PAGES_MAX 1000
#define TOKENS_MAX 64

void failure_done(struct failure *f)
{
	err_done(&f->err);
	free(f->code);
	*f = (struct failure){ ERR_INIT, NULL, 0 };
}

static char *basic(const char *user, const char *password)
{
	OWN_FREE char *plain = xasprintf("%s:%s", user, password ? password : "");
	size_t n = strlen(plain), room = BASE64_ENCODE_RAW_LENGTH(n);
	OWN_FREE char *text = xcalloc(1, room + 1);

	base64_encode_raw(text, n, (const uint8_t *)plain);
	return xasprintf("Basic %s", text);
}

static void add_param(struct buf *b, char sep, const char *name, const char *value)
{
	buf_addf(b, "%c%s=", sep, name);
	for (; *value; value++)
		if (isalnum((unsigned char)*value) || strchr("-._~", *value))
			buf_addc(b, *value);
		else
			buf_addf(b, "%%%02X", (unsigned char)*value);
}

enum web_end client_follow(const struct web_request *given, bool plain_is_fine, struct web_answer *ret, struct err *err)
{
	struct web_request rq = *given;
	OWN_FREE char *url = xstrdup(given->url);

	for (int i = 0;; i++) {
		OWN_FREE char *next = NULL;
		enum web_end end;

		rq.url = url;
		end = web_do(&rq, ret, err);
		if (end != WEB_OK || ret->status < 301 || ret->status > 308 || (ret->status > 303 && ret->status < 307) || !ret->location ||
		    (!streq(given->method, "GET") && !streq(given->method, "HEAD")))
			return end;
		next = web_resolve(url, ret->location);
		if (!next || (str_has_prefix(url, "https:") && str_has_prefix(next, "http:") && !plain_is_fine) || i == REDIRECTS_MAX) {
			err_set(err, ERR_INVALID, !next ? "Get \"%s\": a redirect to no address of HTTP" : i == REDIRECTS_MAX ? "Get \"%s\": stopped after 10 redirects" :
				"Get \"%s\": a redirect from HTTPS to plain HTTP is not followed", url);
			return WEB_STOPPED;
		}
		if (!web_same_origin(given->url, next)) {
			rq.authorization = NULL;
			rq.tls.cert = rq.tls.key = NULL;
		}
		web_answer_done(ret);
		free(url);
		url = STEAL(next);
	}
}

/* One or several, apart by blanks. apart: each is a parameter of its own, as GET has them; a form has them in one. */
static void add_scopes(struct buf *to, const char *scopes, bool apart)
{
	OWN_STRV struct strv all = { 0 };

	if (scopes && apart)
		strv_split(&all, scopes, " ");
	else if (scopes)
		strv_add(&all, scopes);
	for (size_t i = 0; i < all.len; i++)
		if (*all.v[i])
			add_param(to, '&', "scope", all.v[i]);
}

/* The parameters behind the first size bytes of an address begin with '&': the first of all is to begin with '?'. */
static void begin_query(struct buf *url, size_t size)
{
	if (url->size > size && !memchr(url->data, '?', size))
		url->data[size] = '?';
}

/* A token server's answer becomes a token, or an error. */
static int read_token(const struct web_answer *a, struct token *ret, struct err *err)
{
	if (a->status >= 200 && a->status < 300)
		return token_read(a->body.data, a->body.size, ret, err);
	answer_error(a->status, a->body.data, a->body.size, NULL, err);
	err->class = a->status == 401 || a->status == 403 ? ERR_UNAUTHORIZED : ERR_UNAVAILABLE;
	return -1;
}

/* asked: a copy of what the site wants. offline: a token for later, too. */
static int fetch_token(struct site *s, const struct challenge *asked, const char *scope, bool offline, struct token *ret, struct err *err)
{
	const struct who *who = s->who;
	OWN_FREE char *realm = strstr(asked->realm, "://") ? web_resolve(s->url, asked->realm) : NULL, *auth = NULL;
	OWN_ANSWER struct web_answer a = { .length = -1 };
	OWN_BUF struct buf url = { 0 };
	OWN_BUF struct buf form = { 0 };
	struct web_request rq = { .method = "GET", .tls = s->tls, .body_max = TOKEN_MAX };
	bool refresh = !str_empty(who->identity_token);
	struct buf *to = refresh ? &form : &url;

	if (!realm)
		return err_set(err, ERR_INVALID, "the registry names a token server that has no address of HTTP");
	if (str_has_prefix(realm, "http:") && str_has_prefix(s->url, "https:") && !s->insecure)
		return err_set(err, ERR_INVALID, "the registry asks for a token over plain HTTP");
	buf_adds(&url, realm);
	if (refresh)
		buf_adds(&form, "grant_type=refresh_token");
	/* a form always has it, an address where there is one, as Docker's have */
	if (refresh || !str_empty(asked->service))
		add_param(to, '&', "service", asked->service ? asked->service : "");
	add_scopes(to, scope, !refresh);
	if (refresh || offline)
		add_param(to, '&', "client_id", "docker");
	if (refresh)
		add_param(to, '&', "refresh_token", who->identity_token);
	else if (offline)
		add_param(to, '&', "offline_token", "true");
	if (!refresh && !str_empty(who->username)) {
		add_param(to, '&', "account", who->username);
		rq.authorization = auth = basic(who->username, who->password);
	}
	if (!refresh)
		begin_query(&url, strlen(realm));
	if (refresh) {
		rq.method = "POST";
		rq.form = form.data;
	}
	if (!web_same_origin(s->url, realm))
		rq.tls.cert = rq.tls.key = NULL;
	rq.url = url.data;
	if (client_follow(&rq, s->insecure, &a, err) != WEB_OK)
		return -1;
	return read_token(&a, ret, err);
}

/* The lock is held. */
static void keep_token(struct site *s, const char *scope, const struct token *t)
{
	struct site_token *at = NULL;

	for (size_t i = 0; i < s->tokens_len && !at; i++)
		if (streq(s->tokens[i].scope, scope))
			at = &s->tokens[i];
	if (!at && s->tokens_len == TOKENS_MAX)
		return;
	if (!at) {
		s->tokens = xrealloc(s->tokens, (s->tokens_len + 1) * sizeof(*s->tokens));
		at = &s->tokens[s->tokens_len++];
		*at = (struct site_token){ .scope = xstrdup(scope) };
	}
	str_set(&at->text, t->text);
	at->until = clock_mono() + (t->lifetime - 10) * NSEC_PER_SEC;
}

static char *kept_token(struct site *s, const char *scope)
{
	for (size_t i = 0; i < s->tokens_len; i++)
		if (streq(s->tokens[i].scope, scope) && s->tokens[i].until > clock_mono())
			return xasprintf("Bearer %s", s->tokens[i].text);
	return NULL;
}

static void drop_token(struct site *s, const char *scope)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->tokens_len; i++)
		if (streq(s->tokens[i].scope, scope))
			s->tokens[i].until = 0;
	pthread_mutex_unlock(&s->lock);
}

/* The Authorization of a request, owned by the caller; *ret NULL: none is needed. */
static int authorize(struct site *s, const char *scope, char **ret, struct err *err)
{
	OWN_CHALLENGE struct challenge asked = { 0 };
	OWN_TOKEN struct token t = { 0 };

	*ret = NULL;
	if (!str_empty(s->who->registry_token)) {
		*ret = xasprintf("Bearer %s", s->who->registry_token);
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	asked = (struct challenge){ s->asked.scheme, xstrdup(s->asked.realm), xstrdup(s->asked.service), xstrdup(s->asked.scope) };
	if (asked.scheme == CHALLENGE_BEARER)
		*ret = kept_token(s, scope ? scope : "");
	pthread_mutex_unlock(&s->lock);
	if (asked.scheme == CHALLENGE_NONE || *ret)
		return 0;
	if (asked.scheme == CHALLENGE_BASIC) {
		if (str_empty(s->who->username))
			return err_set(err, ERR_UNAUTHORIZED, "no basic auth credentials");
		*ret = basic(s->who->username, s->who->password);
		return 0;
	}
	if (fetch_token(s, &asked, scope ? scope : asked.scope, false, &t, err) < 0)
		return -1;
	pthread_mutex_lock(&s->lock);
	keep_token(s, scope ? scope : "", &t);
	pthread_mutex_unlock(&s->lock);
	*ret = xasprintf("Bearer %s", t.text);
	return 0;
}

/* True when the site asks for something. */
static bool learn(struct site *s, const struct web_answer *a)
{
	struct challenge asked;

	challenge_read(&a->challenges, &asked);
	if (asked.scheme == CHALLENGE_NONE)
		return false;
	pthread_mutex_lock(&s->lock);
	challenge_done(&s->asked);
	s->asked = asked;
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* Is it there, and what does it ask for? Once. */
static enum web_end greet(struct site *s, struct err *err)
{
	OWN_FREE char *url = xasprintf("%s/v2/", s->url);
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "GET", .url = url, .tls = s->tls, .body_max = WEB_ERROR_MAX, .greeting = true };
	enum web_end end;
	bool known;

	pthread_mutex_lock(&s->lock);
	known = s->known;
	pthread_mutex_unlock(&s->lock);
	if (known)
		return WEB_OK;
	end = client_follow(&rq, s->insecure, &a, err);
	if (end == WEB_OK && a.status == 401)
		learn(s, &a);
	pthread_mutex_lock(&s->lock);
	s->known = end == WEB_OK;
	s->dead = end != WEB_OK;
	pthread_mutex_unlock(&s->lock);
	return end;
}

/* The address of a path there: names stand behind the site's prefix. */
static char *address_of(const struct site *s, const char *path)
{
	if (*path != '/')
		return xstrdup(path);
	if (!s->prefix || !str_has_prefix(path, "/v2/") || !path[4])
		return xasprintf("%s%s", s->url, path);
	return xasprintf("%s/v2/%s/%s", s->url, s->prefix, path + 4);
}

static char *scope_of(const struct site *s, const char *scope)
{
	static const char kind[] = "repository:";

	if (!scope || !s->prefix || !str_has_prefix(scope, kind))
		return xstrdup(scope);
	return xasprintf("%s%s/%s", kind, s->prefix, scope + strlen(kind));
}

char *client_scope(const struct client *c, const char *repo, const char *actions)
{
	if (!c->class)
		return xasprintf("repository:%s:%s", repo, actions);
	return xasprintf("repository:%s:%s repository(%s):%s:%s", repo, actions, c->class, repo, actions);
}

enum web_end client_ask(struct client *c, struct site *s, const struct web_request *given, const char *given_scope, struct web_answer *ret, struct err *err)
{
	OWN_FREE char *url = address_of(s, given->url), *scope = scope_of(s, given_scope);
	struct web_request rq = *given;
	enum web_end end = greet(s, err);

	rq.url = url;
	rq.tls = s->tls;
	for (int i = 0; end == WEB_OK; i++) {
		OWN_FREE char *auth = NULL;

		if (authorize(s, scope, &auth, err) < 0) {
			err_wrap(err, "%s \"%s\"", streq(rq.method, "HEAD") ? "Head" : "Get", url);
			return WEB_STOPPED;
		}
		rq.authorization = auth;
		end = client_follow(&rq, s->insecure, ret, err);
		if (end != WEB_OK || ret->status != 401 || i > 0 || !learn(s, ret))
			break;
		/* the first one knew nothing, or its token is no longer good; the same words twice help nobody */
		if (auth && str_has_prefix(auth, "Basic "))
			break;
		drop_token(s, scope ? scope : "");
		web_answer_done(ret);
	}
	return end;
}

void client_refused(const struct web_answer *a, struct failure *f)
{
	failure_done(f);
	f->status = a->status;
	answer_error(a->status, a->body.data, a->body.size, &f->code, &f->err);
}

int client_pause(int n, int64_t asked, void (*tell)(void *ctx, int seconds), void *ctx)
{
	int64_t ms = n <= 1 ? 250 : n >= 5 ? 8000 : 1000 << (n - 2);
	struct timespec ts;

	if (asked > PAUSE_MAX)
		return -1;
	if (asked * 1000 > ms)
		ms = asked * 1000;
	if (tell && ms >= 1000)
		tell(ctx, (int)(ms / 1000));
	ts = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&ts, NULL);
	return 0;
}

static bool may_pass(int status)
{
	return status == 408 || status == 429 || status >= 500;
}

/* From one site. 0, -1. */
static int get_from(struct client *c, struct site *s, const struct web_request *rq, const char *scope, struct web_answer *ret, struct failure *f)
{
	int64_t begun = clock_mono();

	for (int try = 1;; try++) {
		enum web_end end;
		int64_t wait = -1;

		failure_done(f);
		end = client_ask(c, s, rq, scope, ret, &f->err);
		if (end == WEB_OK && ret->status >= 200 && ret->status < 300)
			return 0;
		if (end == WEB_OK) {
			wait = retry_after(ret->retry_after, clock_now() / NSEC_PER_SEC);
			client_refused(ret, f);
		} else if (f->err.class == ERR_UNAUTHORIZED) {
			f->status = 401;
		}
		web_answer_done(ret);
		if (try == TRIES || (end == WEB_BROKEN && clock_mono() - begun >= c->stall) ||
		    !(end == WEB_BROKEN || (end == WEB_OK && may_pass(f->status))) || client_pause(try, wait, NULL, NULL) < 0)
			return -1;
	}
}

bool client_go_on(struct site *s)
{
	bool dead;

	pthread_mutex_lock(&s->lock);
	dead = s->dead;
	pthread_mutex_unlock(&s->lock);
	return s->mirror || dead;
}

struct site *client_site(struct client *c, struct failure *f)
{
	for (size_t i = __atomic_load_n(&c->first, __ATOMIC_RELAXED); i < c->len; i++) {
		if (c->sites[i].mirror)
			continue;
		failure_done(f);
		if (greet(&c->sites[i], &f->err) == WEB_OK) {
			__atomic_store_n(&c->first, i, __ATOMIC_RELAXED);
			return &c->sites[i];
		}
	}
	return NULL;
}

int client_get(struct client *c, const char *path, const char *accept, const char *scope, size_t max, struct web_answer *ret, struct failure *f)
{
	const struct web_request rq = { .method = "GET", .url = path, .accept = accept, .body_max = max };

	for (size_t i = __atomic_load_n(&c->first, __ATOMIC_RELAXED); i < c->len; i++) {
		if (get_from(c, &c->sites[i], &rq, scope, ret, f) == 0) {
			__atomic_store_n(&c->first, i, __ATOMIC_RELAXED);
			return 0;
		}
		if (!client_go_on(&c->sites[i]))
			break;
	}
	return -1;
}

void client_leave_out(struct client *c, int64_t before)
{
	if (before > (int64_t)__atomic_load_n(&c->first, __ATOMIC_RELAXED) && (size_t)before < c->len)
		__atomic_store_n(&c->first, (size_t)before, __ATOMIC_RELAXED);
}

int64_t client_behind_mirror(struct client *c)
{
	size_t at = __atomic_load_n(&c->first, __ATOMIC_RELAXED);

	return c->sites[at].mirror ? (int64_t)at + 1 : 0;
}

/* Adds the names of one page; how many bytes they took, -1 when it is no page. */
static int add_tags(json_t *all, const struct buf *page, struct err *err)
{
	OWN_JSON json_t *js = json_read(page->data ? page->data : "", page->size, err);
	json_t *tags = json_object_get(js, "tags"), *tag;
	size_t i;

	if (!js)
		return err_wrap(err, "the registry's list of tags");
	if (!json_is_array(tags))
		return 0;
	json_array_foreach(tags, i, tag)
		if (json_is_string(tag))
			json_array_append(all, tag);
	return 0;
}

/* What leads to path there, before the prefix is put on. */
static char *own_path(const struct site *s, const char *path)
{
	size_t n = s->prefix ? strlen(s->prefix) : 0;

	if (!n || !str_has_prefix(path, "/v2/") || strncmp(path + 4, s->prefix, n) != 0 || path[4 + n] != '/')
		return xstrdup(path);
	return xasprintf("/v2/%s", path + 4 + n + 1);
}

int client_tags(struct client *c, const char *repo, size_t max, struct buf *ret, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/tags/list", repo), *scope = xasprintf("repository:%s:pull", repo);
	OWN_JSON json_t *all = json_array();
	OWN_FREE char *text = NULL, *last = xstrdup("");
	size_t sum = 0;

	for (int page = 0; path; page++) {
		OWN_ANSWER struct web_answer a = { .length = -1 };
		OWN_FREE char *next = NULL, *full = NULL;
		const struct site *at;
		const char *site;

		if (client_get(c, path, "application/json", scope, max - sum, &a, f) < 0)
			return -1;
		sum += a.body.size;
		if (add_tags(all, &a.body, &f->err) < 0)
			return -1;
		next = link_next(a.link);
		free(STEAL(path));
		if (!next)
			break;
		at = &c->sites[__atomic_load_n(&c->first, __ATOMIC_RELAXED)];
		site = at->url;
		full = web_resolve(site, next);
		if (!full || !web_same_origin(site, full) || streq(full + strlen(site), last) || page == PAGES_MAX || sum >= max)
			return err_set(&f->err, ERR_INVALID, "the registry's list of tags goes on without end or elsewhere");
		str_set(&last, full + strlen(site));
		path = own_path(at, last);
	}
	text = json_dumps(all, JSON_COMPACT);
	buf_adds(ret, text ? text : "[]");
	return 0;
}

/* One site. What the login is worth is seen by asking for the root once more. */
static int login_at(struct client *c, struct site *s, char **ret_token, struct failure *f)
{
	OWN_ANSWER struct web_answer a = { .length = -1 };
	OWN_FREE char *url = xasprintf("%s/v2/", s->url), *auth = NULL;
	OWN_TOKEN struct token t = { 0 };
	struct web_request rq = { .method = "GET", .url = url, .tls = s->tls, .body_max = WEB_ERROR_MAX };

	if (greet(s, &f->err) != WEB_OK)
		return -1;
	if (s->asked.scheme == CHALLENGE_BEARER) {
		if (fetch_token(s, &s->asked, NULL, true, &t, &f->err) < 0) {
			f->status = f->err.class == ERR_UNAUTHORIZED ? 401 : 0;
			return err_wrap(&f->err, "Get \"%s\"", url);
		}
		rq.authorization = auth = xasprintf("Bearer %s", t.text);
	} else if (authorize(s, NULL, &auth, &f->err) < 0) {
		f->status = 401;
		return err_wrap(&f->err, "Get \"%s\"", url);
	}
	rq.authorization = auth;
	if (client_follow(&rq, s->insecure, &a, &f->err) != WEB_OK)
		return -1;
	f->status = a.status;
	if (a.status == 200) {
		*ret_token = STEAL(t.refresh);
		return 0;
	}
	return err_set(&f->err, ERR_UNAVAILABLE, "login attempt to %s failed with status: %d %s", url, a.status,
		a.status == 401 ? "Unauthorized" : a.status == 403 ? "Forbidden" : a.status == 404 ? "Not Found" : "");
}

int client_login(struct client *c, char **ret_token, struct failure *f)
{
	*ret_token = NULL;
	for (size_t i = 0; i < c->len; i++) {
		if (c->sites[i].mirror)
			continue;
		failure_done(f);
		if (login_at(c, &c->sites[i], ret_token, f) == 0)
			return 0;
		if (!client_go_on(&c->sites[i]))
			break;
	}
	return -1;
}
