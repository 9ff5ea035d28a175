/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Volumes get other names, and copies, where their driver can. */
#include "base/clock.h"
#include "base/log.h"
#include "volume/store_i.h"

/* Takes the operations of two entries at once, so that no two threads wait for each other. Both were found under the same hold of the lock. */
static void entry_begin_two(struct volume_store *s, struct entry *a, struct entry *b)
{
	a->waiting++;
	b->waiting++;
	while (a->busy || b->busy)
		lock_wait(&s->lock, &s->idle, -1);
	a->waiting--;
	b->waiting--;
	a->busy = b->busy = true;
}

struct change {
	const char *verb;
	bool moves; /* the old name goes */
	int (*call)(struct volume_driver *d, const char *name, const char *new_name, struct err *err);
};
static const struct change renaming = { "rename", true, volume_driver_rename }, copying = { "snapshot", false, volume_driver_snapshot };

static int check_change(const struct change *c, const struct entry *from, const struct entry *to, struct err *err)
{
	OWN_FREE char *ids = NULL;
	const struct strv *in_the_way = c->moves && from->users.len ? &from->users : &from->mounts;

	if (!from->vol)
		return vstore_no_such(from->name, err);
	if (to->vol || to->users.len)
		return err_set(err, ERR_CONFLICT, "%s %s: a volume named %s already exists", c->verb, from->name, to->name);
	if (!in_the_way->len)
		return 0;
	ids = strv_join(in_the_way, ", ");
	return err_set(err, ERR_CONFLICT, "%s %s: volume is in use - [%s]", c->verb, from->name, ids);
}

/* The work of it; both entries are busy, no lock is held. */
static int do_change(struct volume_store *s, const struct change *c, struct entry *from, struct entry *to, struct err *err)
{
	OWN_VOLUME_INFO struct volume_info info = {0};
	const struct volume *old = from->vol;
	struct volume_meta m = { to->name, old->driver, c->moves ? old->created : clock_now() / NSEC_PER_SEC * NSEC_PER_SEC, {0}, old->options };
	struct volume_driver *d = volume_driver_get(s->drivers, old->driver, err);
	struct volume *v;
	int rc;

	if (!d)
		return -1;
	/* Who names it means to keep it. */
	strmap_copy(&m.labels, &old->labels);
	strmap_del(&m.labels, VOLUME_ANONYMOUS_LABEL);
	v = volume_new(&m, "", old->scope);
	/* The index first: after a crash in between one of its items has no volume and goes away. */
	lock_take(&s->lock);
	to->fresh = v;
	rc = vstore_save(s, err);
	lock_drop(&s->lock);
	if (rc == 0)
		rc = c->call(d, from->name, to->name, err);
	if (rc == 0)
		rc = volume_driver_info(d, to->name, false, &info, err);
	lock_take(&s->lock);
	to->fresh = NULL;
	if (rc == 0) {
		to->vol = volume_new(&m, info.mountpoint, old->scope);
		to->since = clock_mono();
		if (c->moves)
			volume_unref(STEAL(from->vol));
	}
	s->changed++; /* goes with the next write */
	lock_drop(&s->lock);
	volume_unref(v);
	strmap_done(&m.labels);
	return rc;
}

static struct volume *change(struct volume_store *s, const struct change *c, const char *name, const char *new_name, struct err *err)
{
	struct volume *ret = NULL;
	struct entry *from, *to;
	int rc;

	if (vstore_check_name(new_name, err) < 0)
		return NULL;
	WITH_LOCK(&s->lock);
	from = ventry_find(s, name);
	if (!from) {
		vstore_no_such(name, err);
		return NULL;
	}
	if (streq(name, new_name)) {
		err_set(err, ERR_CONFLICT, "%s %s: a volume named %s already exists", c->verb, name, new_name);
		return NULL;
	}
	to = ventry_add(s, new_name);
	entry_begin_two(s, from, to);
	rc = check_change(c, from, to, err);
	if (rc == 0) {
		lock_drop(&s->lock);
		rc = do_change(s, c, from, to, err);
		if (rc < 0)
			err_wrap(err, "%s %s", c->verb, name);
		lock_take(&s->lock);
	}
	if (rc == 0) {
		ret = to->vol;
		__atomic_add_fetch(&ret->refs, 1, __ATOMIC_RELAXED);
	}
	ventry_end(s, from);
	ventry_end(s, to);
	return ret;
}

struct volume *volume_rename(struct volume_store *s, const char *name, const char *new_name, struct err *err)
{
	return change(s, &renaming, name, new_name, err);
}

struct volume *volume_snapshot(struct volume_store *s, const char *name, const char *new_name, struct err *err)
{
	return change(s, &copying, name, new_name, err);
}
