/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/graph-cache.h"

#include "base/lock.h"
#include "base/str.h"

#define SLOTS 64
#define TEXT_MAX 8192 /* longer ones are not kept: half a megabyte is the most that this can grow to */

struct slot { char *id, *json; };

struct graph_cache {
	struct lock lock; /* leaf */
	struct slot v[SLOTS];
};

static void slot_clear(struct slot *s)
{
	free(s->id);
	free(s->json);
	*s = (struct slot){ NULL, NULL };
}

static struct slot *slot_of(struct graph_cache *c, const char *id)
{
	size_t h = 5381;

	for (const char *p = id; *p; p++)
		h = h * 33 + (unsigned char)*p;
	return &c->v[h % SLOTS];
}

struct graph_cache *graph_cache_new(void)
{
	struct graph_cache *c = xcalloc(1, sizeof(*c));

	lock_init(&c->lock, LOCK_LEAF);
	return c;
}

void graph_cache_free(struct graph_cache *c)
{
	graph_cache_forget(c, NULL);
	lock_done(&c->lock);
	free(c);
}

bool graph_cache_write(struct graph_cache *c, const char *id, struct jw *w)
{
	WITH_LOCK(&c->lock);
	struct slot *s = slot_of(c, id);

	if (!s->id || !streq(s->id, id))
		return false;
	jw_raw(w, s->json);
	return true;
}

void graph_cache_put(struct graph_cache *c, const char *id, const char *json)
{
	WITH_LOCK(&c->lock);
	struct slot *s = slot_of(c, id);

	if (strlen(json) > TEXT_MAX)
		return;
	slot_clear(s);
	*s = (struct slot){ xstrdup(id), xstrdup(json) };
}

void graph_cache_forget(struct graph_cache *c, const char *id)
{
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < SLOTS; i++)
		if (c->v[i].id && (!id || streq(c->v[i].id, id)))
			slot_clear(&c->v[i]);
}
