/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/teller.h"

#include "base/lock.h"
#include "base/str.h"

#define STACK (192 * 1024) /* as that of a connection, whose part this is */

struct message {
	struct message *next, *before;
	char *about, *json;
	bool passes;
};

struct teller {
	registry_emit_fn *emit;
	void *ctx;
	pthread_t thread;
	struct lock lock;     /* LEAF: everything below */
	pthread_cond_t more;
	struct message *first, *last;
	bool end;
};

static void message_free(struct message *m)
{
	free(m->about);
	free(m->json);
	free(m);
}

/* The next one; NULL at the end. */
static struct message *take(struct teller *t)
{
	WITH_LOCK(&t->lock);
	struct message *m;

	while (!t->first && !t->end)
		lock_wait(&t->lock, &t->more, -1);
	m = t->first;
	if (!m)
		return NULL;
	t->first = m->next;
	*(m->next ? &m->next->before : &t->last) = NULL;
	return m;
}

static void *tell_all(void *arg)
{
	struct teller *t = arg;
	struct message *m;

	while ((m = take(t))) {
		t->emit(t->ctx, m->json);
		message_free(m);
	}
	return NULL;
}

struct teller *teller_new(registry_emit_fn *emit, void *ctx)
{
	struct teller *t;
	pthread_attr_t attr;
	int rc;

	if (!emit)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->emit = emit;
	t->ctx = ctx;
	lock_init(&t->lock, LOCK_LEAF);
	lock_cond_init(&t->more);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	rc = pthread_create(&t->thread, &attr, tell_all, t);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		return t;
	lock_done(&t->lock);
	pthread_cond_destroy(&t->more);
	free(t);
	return NULL;
}

/* The lock is held: the newest message about it, when it passes. */
static struct message *passing(struct teller *t, const char *about)
{
	struct message *m = t->last;

	while (m && !(m->about && streq(m->about, about)))
		m = m->before;
	return m && m->passes ? m : NULL;
}

void teller_put(struct teller *t, const char *about, bool passes, const char *json)
{
	WITH_LOCK(&t->lock);
	struct message *m = about && passes ? passing(t, about) : NULL;

	if (m) {
		str_set(&m->json, json);
		return;
	}
	m = xcalloc(1, sizeof(*m));
	*m = (struct message){ .before = t->last, .about = about ? xstrdup(about) : NULL, .json = xstrdup(json), .passes = passes };
	*(t->last ? &t->last->next : &t->first) = m;
	t->last = m;
	pthread_cond_signal(&t->more);
}

void teller_end(struct teller *t)
{
	lock_take(&t->lock);
	t->end = true;
	pthread_cond_signal(&t->more);
	lock_drop(&t->lock);
	pthread_join(t->thread, NULL);
	lock_done(&t->lock);
	pthread_cond_destroy(&t->more);
	free(t);
}
