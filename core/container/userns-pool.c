/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges of ids of containers' own: taken out of the subordinate ids of one user, no two of them overlapping, kept in the record, given back
 * with the container. Nothing on disk has these ids, so that a range which cannot be used any more is replaced at the next start; but for
 * layers that rwlayer_shift() gave them, whose containers do not start with others.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/subid.h"
#include "container/internal.h"

/* The ids of a range that l has, too: behind the last of these, else 0. */
static uint64_t behind(const struct idmap_list *l, uint64_t from, uint64_t end)
{
	for (size_t i = 0; i < l->len; i++) {
		uint64_t first = l->v[i].outside, last = first + l->v[i].count;

		if (from < last && first < end)
			return last;
	}
	return 0;
}

static const struct idmap_list *kind_of(const struct idmaps *m, bool gids)
{
	return gids ? &m->gids : &m->uids;
}

/* The same of all that is in use. Under the lock. */
static uint64_t behind_all(const struct container_store *s, bool gids, uint64_t from, uint64_t end)
{
	uint64_t next = idmaps_none(idmaps_root()) ? 0 : behind(kind_of(idmaps_root(), gids), from, end);

	for (size_t i = 0; !next && i < s->ranges_len; i++)
		next = behind(kind_of(&s->ranges[i].maps, gids), from, end);
	return next;
}

/* The first size ids of the pool in a row that are nobody's. Under the lock. */
static bool find_room(const struct container_store *s, const struct idmap_list *pool, bool gids, uint32_t size, uint32_t *ret)
{
	for (size_t i = 0; i < pool->len; i++) {
		uint64_t at = pool->v[i].outside, end = at + pool->v[i].count, next;

		while (at + size <= end && (next = behind_all(s, gids, at, at + size)))
			at = next;
		if (at + size <= end) {
			*ret = (uint32_t)at;
			return true;
		}
	}
	return false;
}

/* Under the lock. */
static void note(struct container_store *s, const struct container *c)
{
	struct userns_range *r;

	s->ranges = xrealloc(s->ranges, (s->ranges_len + 1) * sizeof(*s->ranges));
	r = &s->ranges[s->ranges_len++];
	memcpy(r->id, c->id, sizeof(r->id));
	idmaps_copy(&r->maps, &c->own);
}

static int read_pool(const char *user, struct idmaps *ret, struct err *err)
{
	struct subid_user u = { 0 };
	int rc;

	if (!subid_user_find(user, &u))
		u = (struct subid_user){ xstrdup(user), UINT32_MAX }; /* a name in the files is enough */
	rc = subid_ranges("/etc/subuid", "uid", u.name, u.id, &ret->uids, err) < 0 ||
		subid_ranges("/etc/subgid", "gid", u.name, u.id, &ret->gids, err) < 0 ? -1 : 0;
	subid_user_done(&u);
	return rc < 0 ? err_wrap(err, "a user namespace of its own takes ids of the user \"%s\" (--userns-pool)", user) : 0;
}

int ids_take(struct container *c, uint32_t size, struct err *err)
{
	struct container_store *s = c->store;
	const char *user = s->deps.defaults->userns_pool;
	OWN_IDMAPS struct idmaps pool = { 0 };
	OWN_FREE char *text = NULL;
	uint32_t uid, gid;

	if (read_pool(user, &pool, err) < 0)
		return -1;
	{
		WITH_LOCK(&s->ranges_lock);
		if (!find_room(s, &pool.uids, false, size, &uid) || !find_room(s, &pool.gids, true, size, &gid))
			return err_set(err, ERR_CONFLICT, "no %" PRIu32 " subordinate ids in a row are left of those of the user \"%s\"", size, user);
		idmap_add(&c->own.uids, 0, uid, size);
		idmap_add(&c->own.gids, 0, gid, size);
		note(s, c);
	}
	text = idmaps_format(&c->own);
	container_set_text(c, &c->rec.userns, text);
	return 0;
}

void ids_adopt(struct container *c)
{
	struct container_store *s = c->store;
	OWN_ERR struct err err = ERR_INIT;
	bool taken = false;

	if (str_empty(c->rec.userns) || idmaps_parse(c->rec.userns, &c->own, &err) < 0) {
		if (err.msg)
			log_warn("container %.12s: its ids are given anew: %s", c->id, err_text(&err));
		str_set(&c->rec.userns, NULL);
		return;
	}
	lock_take(&s->ranges_lock);
	for (int gids = 0; gids <= 1; gids++) {
		const struct idmap_list *l = kind_of(&c->own, gids);

		for (size_t i = 0; i < l->len; i++)
			taken |= behind_all(s, gids, l->v[i].outside, (uint64_t)l->v[i].outside + l->v[i].count) != 0;
	}
	/* who runs keeps them in any case */
	if (!taken || c->rec.state.running)
		note(s, c);
	lock_drop(&s->ranges_lock);
	if (!taken || c->rec.state.running)
		return;
	log_warn("container %.12s: its ids %s are another's, too: it gets others with its next start", c->id, c->rec.userns);
	idmaps_done(&c->own);
	str_set(&c->rec.userns, NULL);
}

void ids_give(struct container *c)
{
	struct container_store *s = c->store;
	WITH_LOCK(&s->ranges_lock);

	for (size_t i = 0; i < s->ranges_len; i++)
		if (streq(s->ranges[i].id, c->id)) {
			idmaps_done(&s->ranges[i].maps);
			s->ranges[i] = s->ranges[--s->ranges_len];
			return;
		}
}

void ids_done(struct container_store *s)
{
	for (size_t i = 0; i < s->ranges_len; i++)
		idmaps_done(&s->ranges[i].maps);
	free(s->ranges);
	s->ranges = NULL;
	s->ranges_len = 0;
}
