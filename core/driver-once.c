/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver-once.h"

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/str.h"

struct entry {
	struct entry *next;
	char *name;
	void *object; /* NULL while one thread is at it */
};

struct driver_once {
	driver_once_open_fn *open;
	driver_once_close_fn *close;
	void *ctx;
	struct lock lock; /* LOCK_LEAF: entries */
	pthread_cond_t settled;
	struct entry *entries;
};

struct driver_once *driver_once_new(driver_once_open_fn *open, driver_once_close_fn *close, void *ctx)
{
	struct driver_once *o = xcalloc(1, sizeof(*o));

	o->open = open;
	o->close = close;
	o->ctx = ctx;
	lock_init(&o->lock, LOCK_LEAF);
	lock_cond_init(&o->settled);
	return o;
}

void driver_once_free(struct driver_once *o)
{
	for (struct entry *e = o->entries, *next; e; e = next) {
		next = e->next;
		o->close(e->object);
		free(e->name);
		free(e);
	}
	pthread_cond_destroy(&o->settled);
	lock_done(&o->lock);
	free(o);
}

/* Where the name's entry is linked, or would be. */
static struct entry **find(struct driver_once *o, const char *name)
{
	struct entry **p = &o->entries;

	while (*p && !streq((*p)->name, name))
		p = &(*p)->next;
	return p;
}

void *driver_once_find(struct driver_once *o, const char *name)
{
	WITH_LOCK(&o->lock);
	struct entry *e = *find(o, name);

	return e ? e->object : NULL;
}

void *driver_once_get(struct driver_once *o, const char *name, struct err *err)
{
	struct entry **p, *e;
	void *object;
	WITH_LOCK(&o->lock);

	while ((e = *find(o, name)) && !e->object)
		lock_wait(&o->lock, &o->settled, -1);
	if (e)
		return e->object;
	e = xcalloc(1, sizeof(*e));
	e->name = xstrdup(name);
	e->next = o->entries;
	o->entries = e;
	lock_drop(&o->lock);
	object = o->open(o->ctx, name, err);
	lock_take(&o->lock);
	e->object = object;
	if (!object) {
		p = find(o, name);
		*p = e->next;
		free(e->name);
		free(e);
	}
	pthread_cond_broadcast(&o->settled);
	return object;
}
