/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/damage.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"

/* A store that is damaged all over must not fill the memory; what is beyond is in the log. */
#define DAMAGE_MAX 4096

static struct lock lock = LOCK_INIT(LOCK_LEAF); /* guards all below */
static struct damage *list;
static size_t len;
static void (*listener)(void *ctx, const struct damage *d);
static void *listener_ctx;

static struct damage copy_of(const struct damage *d)
{
	return (struct damage){ d->kind, xstrdup(d->id), xstrdup(d->text), d->state };
}

static void done(struct damage *d)
{
	free(d->id);
	free(d->text);
}

/* Under the lock. */
static bool known(const struct damage *d)
{
	for (size_t i = 0; i < len; i++)
		if (streq(list[i].kind, d->kind) && streq(list[i].id, d->id) && streq(list[i].text, d->text) &&
		    list[i].state == d->state)
			return true;
	return false;
}

void damage_note(const char *kind, const char *id, enum damage_state state, const char *fmt, ...)
{
	struct damage d = { kind, xstrdup(id), NULL, state };
	void (*heard)(void *ctx, const struct damage *d);
	bool news;
	va_list ap;
	void *ctx;

	va_start(ap, fmt);
	d.text = xvasprintf(fmt, ap);
	va_end(ap);
	lock_take(&lock);
	news = !known(&d);
	if (news && len < DAMAGE_MAX) {
		list = xrealloc(list, (len + 1) * sizeof(*list));
		list[len++] = copy_of(&d);
	}
	heard = listener;
	ctx = listener_ctx;
	lock_drop(&lock);
	if (news)
		log_write(state == DAMAGE_SWEPT ? LOG_INFO : LOG_WARN, "%s", d.text);
	if (news && heard)
		heard(ctx, &d);
	done(&d);
}

void damage_forget(const char *kind, const char *id)
{
	size_t n = 0;
	WITH_LOCK(&lock);

	for (size_t i = 0; i < len; i++) {
		if (streq(list[i].kind, kind) && streq(list[i].id, id))
			done(&list[i]);
		else
			list[n++] = list[i];
	}
	len = n;
}

size_t damage_count(enum damage_state state)
{
	size_t n = 0;
	WITH_LOCK(&lock);

	for (size_t i = 0; i < len; i++)
		n += list[i].state == state;
	return n;
}

/* Under the lock. */
static struct damage *copy_all(size_t *ret_len)
{
	struct damage *v = xcalloc(len + 1, sizeof(*v));

	for (size_t i = 0; i < len; i++)
		v[i] = copy_of(&list[i]);
	*ret_len = len;
	return v;
}

static void emit_all(struct damage *v, size_t n, void (*emit)(void *ctx, const struct damage *d), void *ctx)
{
	for (size_t i = 0; i < n; i++) {
		if (emit)
			emit(ctx, &v[i]);
		done(&v[i]);
	}
	free(v);
}

void damage_each(void (*emit)(void *ctx, const struct damage *d), void *ctx)
{
	struct damage *v;
	size_t n;

	lock_take(&lock);
	v = copy_all(&n);
	lock_drop(&lock);
	emit_all(v, n, emit, ctx);
}

void damage_listen(void (*heard)(void *ctx, const struct damage *d), void *ctx)
{
	struct damage *v;
	size_t n;

	/* in one: what is noted from here on is heard once */
	lock_take(&lock);
	listener = heard;
	listener_ctx = ctx;
	v = copy_all(&n);
	lock_drop(&lock);
	emit_all(v, n, heard, ctx);
}

const char *damage_word(enum damage_state state)
{
	static const char *const words[] = { "damaged", "repaired", "orphan", "swept" };

	return words[state];
}
