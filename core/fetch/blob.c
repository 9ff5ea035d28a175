/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/blob.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digest.h"

#define CHUNK (256 * 1024)
#define WORTH (1 << 20)       /* bytes that make a try a success of its own */
#define TELL_NS (100 * NSEC_PER_MSEC)

enum outcome { DONE, AGAIN, NEVER /* here */ };

struct state {
	const struct blob *b;
	struct failure *f;
	struct digest digest;     /* of the first at bytes */
	int64_t at, told;
	int64_t asked;            /* Range of the request under way */
	bool begun;               /* it has given a byte */
	bool resumed;             /* some of it is from another try */
	int64_t wait;             /* Retry-After, or -1 */
};

static int fail(struct state *s, const char *code, const char *text)
{
	failure_done(s->f);
	str_set(&s->f->code, code);
	return err_set(&s->f->err, ERR_INVALID, "%s", text);
}

static int fail_write(struct state *s, int sys)
{
	fail(s, sys == ENOSPC || sys == EDQUOT ? "NOSPACE" : "WRITE", "");
	return err_errno(&s->f->err, sys, "write a layer");
}

static int reset(struct state *s)
{
	digest_init(&s->digest);
	s->at = 0;
	s->resumed = false;
	return ftruncate(s->b->fd, 0) < 0 ? fail_write(s, errno) : 0;
}

/* What the file has already. */
static int take_up(struct state *s)
{
	OWN_FREE char *chunk = xmalloc(CHUNK);
	ssize_t n;

	digest_init(&s->digest);
	s->at = 0;
	while ((n = pread(s->b->fd, chunk, CHUNK, s->at)) > 0) {
		digest_add(&s->digest, chunk, (size_t)n);
		s->at += n;
	}
	if (n < 0)
		return fail_write(s, errno);
	s->resumed = s->at > 0;
	return s->at > s->b->size ? reset(s) : 0;
}

static void tell(struct state *s, bool now)
{
	int64_t t = clock_mono();

	if (!now && t - s->told < TELL_NS)
		return;
	s->told = t;
	s->b->at(s->b->ctx, s->at);
}

/* The first byte of an answer: where it belongs. */
static bool begin(struct state *s, const struct web_answer *a)
{
	s->begun = true;
	if (a->status == 206)
		return range_start(a->range) == s->asked || fail(s, "SIZE", "the registry sent another part of the blob than asked for") == 0;
	return s->asked == 0 || reset(s) == 0;
}

static bool put(struct state *s, const char *data, size_t size)
{
	while (size) {
		ssize_t n = pwrite(s->b->fd, data, size, s->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_write(s, n < 0 ? errno : EIO) == 0;
		digest_add(&s->digest, data, (size_t)n);
		s->at += n;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static bool on_bytes(void *ctx, const struct web_answer *a, const void *data, size_t size)
{
	struct state *s = ctx;

	if (!s->begun && !begin(s, a))
		return false;
	if ((int64_t)size > s->b->size - s->at)
		return fail(s, "SIZE", "the blob is larger than its manifest says") == 0;
	if (!put(s, data, size))
		return false;
	tell(s, false);
	return true;
}

static enum outcome check(struct state *s)
{
	char got[DIGEST_TEXT];
	bool resumed = s->resumed;

	if (s->at < s->b->size) {
		failure_done(s->f);
		err_set(&s->f->err, ERR_UNAVAILABLE, "unexpected EOF");
		return AGAIN;
	}
	tell(s, true);
	digest_text(&s->digest, got);
	if (streq(got, s->b->digest))
		return DONE;
	fail(s, "DIGEST", "");
	err_set(&s->f->err, ERR_INVALID, "filesystem layer verification failed for digest %s", s->b->digest);
	if (ftruncate(s->b->fd, 0) < 0)
		return NEVER;
	digest_init(&s->digest);
	s->at = 0;
	s->resumed = false;
	/* what was there before may have been the fault */
	return resumed ? AGAIN : NEVER;
}

static enum outcome try_once(struct state *s, struct client *c, struct site *site, const char *path, const char *scope)
{
	OWN_ANSWER struct web_answer a = { .length = -1 };
	OWN_ERR struct err err = ERR_INIT;
	struct web_request rq = { .method = "GET", .url = path, .from = s->at, .sink = on_bytes, .ctx = s };
	enum web_end end;

	s->asked = s->at;
	s->begun = false;
	s->wait = -1;
	if (s->at == s->b->size && s->at > 0)
		return check(s);
	failure_done(s->f);
	end = client_ask(c, site, &rq, scope, &a, &err);
	s->resumed |= s->begun && s->asked > 0 && s->at > 0;
	if (end == WEB_OK && a.status >= 200 && a.status < 300)
		return check(s);
	if (end == WEB_OK && a.status == 416)
		return reset(s) < 0 ? NEVER : AGAIN;
	if (end == WEB_OK) {
		s->wait = retry_after(a.retry_after, clock_now() / NSEC_PER_SEC);
		client_refused(&a, s->f);
		return a.status == 408 || a.status == 429 || a.status >= 500 ? AGAIN : NEVER;
	}
	if (s->f->code)
		return NEVER; /* the sink's own word */
	err_move(&s->f->err, &err);
	s->f->status = s->f->err.class == ERR_UNAUTHORIZED ? 401 : 0;
	return end == WEB_STOPPED ? NEVER : AGAIN;
}

static enum outcome get_from(struct state *s, struct client *c, struct site *site, const char *path, const char *scope)
{
	int tries = 0;
	/* where it was when it last moved on, at the least rate */
	int64_t mark = s->at, since = clock_mono(), worth = c->rate * (c->stall / NSEC_PER_SEC);

	for (;;) {
		int64_t before = s->at;
		enum outcome o = try_once(s, c, site, path, scope);

		if (o != AGAIN)
			return o;
		if (s->at - before >= WORTH)
			tries = 0;
		if (s->at < mark || s->at - mark >= worth) {
			mark = s->at;
			since = clock_mono();
		}
		if (++tries >= c->attempts || clock_mono() - since >= c->stall || client_pause(tries, s->wait, s->b->retry, s->b->ctx) < 0)
			return NEVER;
		/* a pause that the registry asked for is no stall */
		if (s->wait > 0)
			since += s->wait * NSEC_PER_SEC;
	}
}

int blob_get(struct client *c, const struct blob *b, struct failure *f)
{
	OWN_FREE char *path = xasprintf("/v2/%s/blobs/%s", b->repo, b->digest), *scope = client_scope(c, b->repo, "pull");
	struct state s = { .b = b, .f = f };

	if (take_up(&s) < 0)
		return -1;
	for (size_t i = __atomic_load_n(&c->first, __ATOMIC_RELAXED); i < c->len; i++) {
		if (get_from(&s, c, &c->sites[i], path, scope) == DONE)
			return 0;
		if (f->code && (streq(f->code, "NOSPACE") || streq(f->code, "WRITE")))
			break;
		/* what a site lied about is nothing for another to go on with */
		if (f->code && (streq(f->code, "SIZE") || streq(f->code, "DIGEST")) && reset(&s) < 0)
			break;
		if (!client_go_on(&c->sites[i]))
			break;
	}
	return -1;
}
