/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/download.h"

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define TELL_NS (100 * NSEC_PER_MSEC)
#define SHOWN 256             /* bytes of what the server says in an error */

struct state { const struct download *d; struct failure *f; int64_t at, told; };

static bool no_room(struct state *s)
{
	failure_done(s->f);
	str_set(&s->f->code, "NOSPACE");
	err_set(&s->f->err, ERR_NO_SPACE, "no space left on device: %s has more than the %lld bytes that are free", s->d->url, (long long)s->d->max);
	return false;
}

static bool on_bytes(void *ctx, const struct web_answer *a, const void *data, size_t size)
{
	struct state *s = ctx;
	const char *p = data;
	int64_t now = clock_mono();

	if (a->length > s->d->max || (int64_t)size > s->d->max - s->at)
		return no_room(s);
	while (size) {
		ssize_t n = pwrite(s->d->fd, p, size, s->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			failure_done(s->f);
			str_set(&s->f->code, errno == ENOSPC || errno == EDQUOT ? "NOSPACE" : "WRITE");
			return err_errno(&s->f->err, errno, "write what is imported") == 0;
		}
		p += n;
		size -= (size_t)n;
		s->at += n;
	}
	if (s->told == 0 || now - s->told >= TELL_NS) {
		s->told = now;
		s->d->at(s->d->ctx, s->at, a->length);
	}
	return true;
}

static const char *reason(int status)
{
	static const struct { int status; const char *text; } all[] = {
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 410, "Gone" },
		{ 429, "Too Many Requests" }, { 500, "Internal Server Error" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].status == status)
			return all[i].text;
	return "";
}

static void refused(struct state *s, const struct web_answer *a)
{
	OWN_FREE char *said = xstrndup(a->body.data ? a->body.data : "", a->body.size < SHOWN ? a->body.size : SHOWN);

	said[strcspn(said, "\r\n")] = '\0';
	failure_done(s->f);
	s->f->status = a->status;
	err_set(&s->f->err, ERR_UNAVAILABLE, "failed to GET %s with status %d %s: %s", s->d->url, a->status, reason(a->status), said);
}

/* 1: another try may help. */
static int try_once(struct state *s, int64_t *ret_wait)
{
	const struct web_request rq = { .method = "GET", .url = s->d->url, .sink = on_bytes, .ctx = s };
	OWN_ANSWER struct web_answer a = { .length = -1 };
	OWN_ERR struct err err = ERR_INIT;
	enum web_end end;

	failure_done(s->f);
	s->at = s->told = 0;
	*ret_wait = -1;
	if (ftruncate(s->d->fd, 0) < 0)
		return err_errno(&s->f->err, errno, "write what is imported");
	end = client_follow(&rq, false, &a, &err);
	if (end == WEB_OK && a.status >= 200 && a.status < 300)
		return 0;
	if (end == WEB_OK) {
		*ret_wait = retry_after(a.retry_after, clock_now() / NSEC_PER_SEC);
		refused(s, &a);
		return a.status == 408 || a.status == 429 || a.status >= 500 ? 1 : -1;
	}
	if (!s->f->code)
		err_move(&s->f->err, &err);
	return end == WEB_BROKEN ? 1 : -1;
}

/* What a connection that breaks has brought is no use: nothing says that the next one brings the same bytes. */
int download_get(struct client *c, const struct download *d, int64_t *ret_size, struct failure *f)
{
	struct state s = { .d = d, .f = f };
	int64_t begun = clock_mono(), wait;

	for (int try = 1;; try++) {
		int rc = try_once(&s, &wait);

		if (rc == 0) {
			*ret_size = s.at;
			return 0;
		}
		if (rc < 0 || try >= c->attempts || (s.at == 0 && clock_mono() - begun >= c->stall) || client_pause(try, wait, d->retry, d->ctx) < 0)
			return -1;
	}
}
