/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/progress.h"

#include <stdio.h>

#define BAR 50

static void send(const struct progress *p, const char *id, bool passes, const char *json)
{
	if (p->teller)
		teller_put(p->teller, id, passes, json);
	else if (p->emit)
		p->emit(p->ctx, json);
}

void progress_open(struct progress *p, registry_emit_fn *emit, void *ctx)
{
	*p = (struct progress){ emit, ctx, teller_new(emit, ctx) };
}

void progress_close(struct progress *p)
{
	if (p->teller)
		teller_end(p->teller);
	*p = (struct progress){ 0 };
}

void progress_say(const struct progress *p, const char *id, const char *fmt, ...)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *text = NULL;
	struct jw w;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "status", text);
	if (id)
		jw_kstr(&w, "id", id);
	jw_obj_end(&w);
	send(p, id, false, b.data);
}

static void step(const struct progress *p, const char *id, bool passes, const char *status)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "status", status);
	jw_kraw(&w, "progressDetail", "{}");
	jw_kstr(&w, "id", id);
	jw_obj_end(&w);
	send(p, id, passes, b.data);
}

void progress_step(const struct progress *p, const char *id, const char *status)
{
	step(p, id, false, status);
}

void progress_retry(const struct progress *p, const char *id, int64_t seconds)
{
	OWN_FREE char *text = xasprintf("Retrying in %lld second%s", (long long)seconds, seconds == 1 ? "" : "s");

	step(p, id, true, text);
}

void progress_pushed(const struct progress *p, const char *tag, const char *digest, int64_t size)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kraw(&w, "progressDetail", "{}");
	jw_kobj(&w, "aux");
	jw_kstr(&w, "Tag", tag);
	jw_kstr(&w, "Digest", digest);
	jw_kint(&w, "Size", size);
	jw_obj_end(&w);
	jw_obj_end(&w);
	send(p, NULL, false, b.data);
}

/* "36.45kB": four digits, decimal units. */
static void human(int64_t n, char ret[32])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)n;
	size_t i = 0;

	for (; v >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1000;
	snprintf(ret, 32, "%.4g%s", v, units[i]);
}

static char *bar(int64_t at, int64_t total)
{
	char line[BAR + 1], x[32], y[32];
	int full = total > 0 ? (int)((double)at / (double)total * 100) / 2 : 0;

	if (total <= 0 || at > total) {
		human(at, x);
		return xasprintf("%8s", x);
	}
	memset(line, '=', sizeof(line));
	line[full > BAR ? BAR : full] = '\0';
	human(at, x);
	human(total, y);
	return xasprintf("[%s>%*s] %8s/%s", line, BAR - full, "", x, y);
}

void progress_at(const struct progress *p, const char *id, const char *status, int64_t at, int64_t total)
{
	OWN_FREE char *drawn = bar(at, total);
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "status", status);
	jw_kobj(&w, "progressDetail");
	if (at)
		jw_kint(&w, "current", at);
	if (total)
		jw_kint(&w, "total", total);
	jw_obj_end(&w);
	jw_kstr(&w, "progress", drawn);
	if (id)
		jw_kstr(&w, "id", id);
	jw_obj_end(&w);
	send(p, id, true, b.data);
}
