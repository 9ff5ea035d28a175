/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/upload.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define SMALL (64u << 10)

static char *scope_of(const struct client *c, const char *repo)
{
	return client_scope(c, repo, "pull,push");
}

static bool is_good(const struct web_answer *a)
{
	return a->status >= 200 && a->status < 300;
}

/* One request, its error in f. 0 for any answer. */
static int ask(struct client *c, struct site *s, const struct web_request *rq, const char *scope, struct web_answer *a, struct failure *f)
{
	failure_done(f);
	if (client_ask(c, s, rq, scope, a, &f->err) == WEB_OK)
		return 0;
	f->status = f->err.class == ERR_UNAUTHORIZED ? 401 : 0;
	return -1;
}

int upload_have(struct client *c, const char *repo, const char *digest, int64_t *ret_size, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/blobs/%s", repo, digest), *scope = scope_of(c, repo);
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "HEAD", .url = path, .body_max = SMALL };
	struct site *s = client_site(c, f);

	if (!s || ask(c, s, &rq, scope, &a, f) < 0)
		return -1;
	*ret_size = a.length;
	if (is_good(&a))
		return 1;
	if (a.status == 404)
		return 0;
	client_refused(&a, f);
	return -1;
}

/* Where an upload goes on: of the site itself, or not at all. asked: the address or path that was answered. */
static char *upload_place(struct site *s, const char *asked, const struct web_answer *a, struct failure *f)
{
	OWN_FREE char *before = *asked == '/' ? xasprintf("%s%s", s->url, asked) : xstrdup(asked);
	OWN_FREE char *full = a->location ? web_resolve(before, a->location) : NULL;

	if (full && web_same_origin(full, s->url))
		return STEAL(full);
	failure_done(f);
	err_set(&f->err, ERR_INVALID, "the registry names no place of its own for an upload");
	return NULL;
}

static void give_up(struct client *c, struct site *s, const char *place, const char *scope)
{
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "DELETE", .url = place, .body_max = SMALL };

	client_ask(c, s, &rq, scope, &a, NULL);
}

int upload_mount(struct client *c, const char *repo, const char *digest, const char *from, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", repo, digest, from), *place = NULL;
	OWN_FREE char *scope = xasprintf("repository:%s:pull,push repository:%s:pull", repo, from);
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "POST", .url = path, .body_max = SMALL };
	struct site *s = client_site(c, f);

	if (!s || ask(c, s, &rq, scope, &a, f) < 0)
		return -1;
	if (a.status == 201)
		return 1;
	if (a.status == 202 && (place = upload_place(s, path, &a, f)))
		give_up(c, s, place, scope);
	failure_done(f);
	return 0;
}

/* Begins an upload: its place, owned by the caller. */
static char *begin(struct client *c, struct site *s, const struct upload *u, const char *scope, int64_t *ret_wait, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/blobs/uploads/", u->repo);
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "POST", .url = path, .body_max = SMALL };

	if (ask(c, s, &rq, scope, &a, f) < 0)
		return NULL;
	if (a.status == 202)
		return upload_place(s, path, &a, f);
	*ret_wait = retry_after(a.retry_after, clock_now() / NSEC_PER_SEC);
	client_refused(&a, f);
	return NULL;
}

/* What the registry has of it: a number of bytes, -1 when the upload is no more. */
static int64_t progress_of(struct client *c, struct site *s, const char *place, const char *scope, char **ret_place, struct failure *f)
{
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "GET", .url = place, .body_max = SMALL };
	const char *dash;
	int64_t last;

	if (ask(c, s, &rq, scope, &a, f) < 0 || a.status != 204 || !a.sent_range || !(dash = strchr(a.sent_range, '-')) || !str_to_i64(dash + 1, &last))
		return -1;
	*ret_place = a.location ? upload_place(s, place, &a, f) : xstrdup(place);
	return *ret_place ? (last > 0 ? last + 1 : 0) : -1;
}

static char *with_digest(const char *place, const char *digest)
{
	return xasprintf("%s%cdigest=%s", place, strchr(place, '?') ? '&' : '?', digest);
}

static int finish(struct client *c, struct site *s, const struct upload *u, const char *place, const char *scope, struct failure *f)
{
	OWN_FREE char *url = with_digest(place, u->digest);
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "PUT", .url = url, .body_max = SMALL };

	if (ask(c, s, &rq, scope, &a, f) < 0)
		return -1;
	if (is_good(&a))
		return 0;
	client_refused(&a, f);
	return -1;
}

/* The rest of the file, and the end. *place follows the registry's word. */
static int send_rest(struct client *c, struct site *s, const struct upload *u, int64_t at, char **place, const char *scope, struct failure *f)
{
	OWN_ANSWER struct web_answer a = { .length = -1 };
	const struct web_request rq = { .method = "PATCH", .url = *place, .body = u->fd, .body_at = at, .body_size = u->size - at, .body_max = SMALL,
		.sent = u->at, .ctx = u->ctx };
	char *next;

	if (at < u->size) {
		if (ask(c, s, &rq, scope, &a, f) < 0)
			return -1;
		if (!is_good(&a)) {
			client_refused(&a, f);
			return -1;
		}
		next = a.location ? upload_place(s, *place, &a, f) : xstrdup(*place);
		if (!next)
			return -1;
		free(*place);
		*place = next;
	}
	return finish(c, s, u, *place, scope, f);
}

/* The registry has lost it, or its state: a new one may do better. */
static bool is_lost(const struct failure *f)
{
	return f->status == 416 || (f->code && (streq(f->code, "BLOB_UPLOAD_INVALID") || streq(f->code, "BLOB_UPLOAD_UNKNOWN")));
}

static bool may_pass(const struct failure *f)
{
	if (is_lost(f))
		return true;
	return f->status == 408 || f->status == 429 || f->status >= 500 || (f->status == 0 && f->err.class == ERR_UNAVAILABLE);
}

int upload_blob(struct client *c, const struct upload *u, struct failure *f)
{
	OWN_FREE char *scope = scope_of(c, u->repo), *place = NULL;
	struct site *s = client_site(c, f);

	if (!s)
		return -1;
	for (int try = 1;; try++) {
		OWN_FREE char *again = NULL;
		int64_t at = place ? progress_of(c, s, place, scope, &again, f) : -1, wait = -1;

		free(place);
		place = at >= 0 && at <= u->size ? STEAL(again) : NULL;
		if (!place) {
			at = 0;
			place = begin(c, s, u, scope, &wait, f);
		}
		if (place && send_rest(c, s, u, at, &place, scope, f) == 0)
			return 0;
		if (!may_pass(f) || try >= c->attempts || client_pause(try, wait, u->retry, u->ctx) < 0)
			break;
		if (is_lost(f))
			free(STEAL(place));
	}
	return -1;
}

int upload_manifest(struct client *c, const char *repo, const char *ref, const char *type, int fd, int64_t size, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/manifests/%s", repo, ref), *scope = scope_of(c, repo);
	const struct web_request rq = { .method = "PUT", .url = path, .body = fd, .body_size = size, .body_type = type, .body_max = SMALL };
	struct site *s = client_site(c, f);

	for (int try = 1; s; try++) {
		OWN_ANSWER struct web_answer a = { .length = -1 };
		int64_t wait = -1;

		if (ask(c, s, &rq, scope, &a, f) == 0) {
			if (is_good(&a))
				return 0;
			wait = retry_after(a.retry_after, clock_now() / NSEC_PER_SEC);
			client_refused(&a, f);
		}
		if (!may_pass(f) || try >= c->attempts || client_pause(try, wait, NULL, NULL) < 0)
			break;
	}
	return -1;
}
