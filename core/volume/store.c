/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The volume store. One entry a name, in a hash table under the map lock. Long work (a driver's call) takes the entry's
 * operation: busy is set, the lock dropped, and whoever needs the same name waits. Snapshots (struct volume) are shared
 * and never change. The index file is written by one thread at a time, for all that changed meanwhile.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/log.h"
#include "volume/volume_i.h"

#define BUCKETS 256

struct entry {
	char *name;
	struct volume *vol;   /* NULL: no such volume; somebody uses or makes it */
	struct volume *fresh; /* being made: in the index, not yet to be seen */
	bool busy;            /* an operation owns the entry */
	int waiting;          /* threads that wait for it: it must stay */
	struct strv users;    /* containers, a set */
	struct strv mounts;   /* containers, one item a mount */
	struct entry *next;
};

struct volume_store {
	char *data_root;
	struct volume_drivers *drivers;
	struct lock lock;          /* LOCK_MAP: all below, and the entries */
	pthread_cond_t idle;       /* an operation ended, or the index was written */
	struct entry *buckets[BUCKETS];
	uint64_t changed, written; /* generations of the index */
	bool writing;
};

static struct entry **bucket(struct volume_store *s, const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return &s->buckets[h % BUCKETS];
}

static struct entry *entry_find(struct volume_store *s, const char *name)
{
	struct entry *e = *bucket(s, name);

	while (e && !streq(e->name, name))
		e = e->next;
	return e;
}

static struct entry *entry_add(struct volume_store *s, const char *name)
{
	struct entry **head = bucket(s, name), *e = entry_find(s, name);

	if (e)
		return e;
	e = xcalloc(1, sizeof(*e));
	e->name = xstrdup(name);
	e->next = *head;
	*head = e;
	return e;
}

static void entry_free(struct entry *e)
{
	if (e->vol)
		volume_unref(e->vol);
	if (e->fresh)
		volume_unref(e->fresh);
	strv_done(&e->users);
	strv_done(&e->mounts);
	free(e->name);
	free(e);
}

/* Lets go of an entry that stands for nothing any more. */
static void entry_settle(struct volume_store *s, struct entry *e)
{
	struct entry **p = bucket(s, e->name);

	if (e->vol || e->fresh || e->busy || e->waiting || e->users.len || e->mounts.len)
		return;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	entry_free(e);
}

/* Takes the operation of an entry, which the caller found under the same hold of the lock. */
static void entry_begin(struct volume_store *s, struct entry *e)
{
	e->waiting++;
	while (e->busy)
		lock_wait(&s->lock, &s->idle, -1);
	e->waiting--;
	e->busy = true;
}

static void entry_end(struct volume_store *s, struct entry *e)
{
	e->busy = false;
	pthread_cond_broadcast(&s->idle);
	entry_settle(s, e);
}

/* Position of a container in a list, or -1. */
static ssize_t find_word(const struct strv *sv, const char *word)
{
	for (size_t i = 0; i < sv->len; i++)
		if (streq(sv->v[i], word))
			return (ssize_t)i;
	return -1;
}

static void drop_word(struct strv *sv, const char *word)
{
	ssize_t i = find_word(sv, word);

	if (i < 0)
		return;
	free(sv->v[i]);
	memmove(&sv->v[i], &sv->v[i + 1], (sv->len - (size_t)i) * sizeof(*sv->v)); /* with the NULL behind */
	sv->len--;
}

/* Every volume, with those being made. A reference each; the lock is held. */
static struct volume **all_volumes(struct volume_store *s, bool with_fresh, size_t *ret_len)
{
	struct volume **v = NULL;
	size_t len = 0;

	for (size_t b = 0; b < BUCKETS; b++)
		for (struct entry *e = s->buckets[b]; e; e = e->next) {
			struct volume *vol = e->vol ? e->vol : with_fresh ? e->fresh : NULL;

			if (!vol)
				continue;
			if ((len & (len - 1)) == 0)
				v = xrealloc(v, (len ? 2 * len : 1) * sizeof(*v));
			__atomic_add_fetch(&vol->refs, 1, __ATOMIC_RELAXED);
			v[len++] = vol;
		}
	*ret_len = len;
	return v;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct volume *const *)a)->name, (*(struct volume *const *)b)->name);
}

/* Makes the index file hold what the table holds now. The lock is held, and dropped meanwhile. */
static int index_save(struct volume_store *s, struct err *err)
{
	uint64_t want = ++s->changed, now;
	struct volume **v;
	size_t len;
	int ret;

	while (s->writing)
		lock_wait(&s->lock, &s->idle, -1);
	if (s->written >= want)
		return 0;
	s->writing = true;
	now = s->changed;
	v = all_volumes(s, true, &len);
	lock_drop(&s->lock);
	if (len)
		qsort(v, len, sizeof(*v), by_name);
	ret = volume_index_write(s->data_root, v, len, err);
	volume_list_free(v, len);
	lock_take(&s->lock);
	s->writing = false;
	if (ret == 0)
		s->written = now;
	pthread_cond_broadcast(&s->idle);
	return ret;
}

/* Opening: what the drivers hold, joined with what the index remembers. */
struct opening {
	struct volume_store *s;
	struct volume_driver *driver;
	const struct jlist *metas;
	size_t found;
	struct strv lost; /* volumes whose options the driver does not know any more */
};

static const struct volume_meta *meta_find(const struct jlist *metas, const char *name, const char *driver)
{
	for (size_t i = 0; i < metas->len; i++) {
		const struct volume_meta *m = jlist_at(metas, i, &volume_meta_desc);

		if (streq(m->name, name) && streq(m->driver, driver))
			return m;
	}
	return NULL;
}

/* Is everything there that the index and the driver speak of? */
static void check_local(struct opening *o, const struct volume_meta *m, const struct volume_info *info)
{
	const char *damaged = strmap_get(&info->options, VOLUME_DAMAGED_OPTION);

	if (m && strmap_get(&m->options, "device") && !strmap_get(&info->options, "device"))
		strv_add(&o->lost, info->name);
	else if (damaged)
		damage_note("volume", info->name, DAMAGE_LOST, "volume %s is damaged: %s", info->name, damaged);
}

/* A volume appears and goes as a whole: one whose folder is there, but not what is in it, has lost its data. */
static void open_emptied(struct volume_store *s, const struct jlist *metas)
{
	for (size_t i = 0; i < metas->len; i++) {
		const struct volume_meta *m = jlist_at(metas, i, &volume_meta_desc);
		OWN_FREE char *dir = NULL, *data = NULL;
		struct entry *e;

		if (!streq(m->driver, VOLUME_DRIVER_DEFAULT) || !id_is_name(m->name, 2) || ((e = entry_find(s, m->name)) && e->vol))
			continue;
		dir = xasprintf("%s/volumes/%s", s->data_root, m->name);
		if (!fs_exists(dir))
			continue; /* a create or removal that did not come to its end */
		data = xasprintf("%s/_data", dir);
		entry_add(s, m->name)->vol = volume_new(m, data, "local");
		damage_note("volume", m->name, DAMAGE_LOST, "volume %s is damaged: its folder %s is missing", m->name, data);
	}
}

/* The index has the options as they were given: the driver gets them again. */
static void give_options_again(struct opening *o)
{
	for (size_t i = 0; i < o->lost.len; i++) {
		const char *name = o->lost.v[i];
		const struct volume_meta *m = meta_find(o->metas, name, volume_driver_name(o->driver));
		OWN_VOLUME_INFO struct volume_info info = {0};
		OWN_ERR struct err err = ERR_INIT;

		if (volume_driver_create(o->driver, name, &m->options, &err) == 0 && volume_driver_info(o->driver, name, &info, &err) == 0 &&
		    strmap_get(&info.options, "device"))
			damage_note("volume", name, DAMAGE_REPAIRED, "volume %s had lost its options; they come from the index of volumes", name);
		else
			damage_note("volume", name, DAMAGE_LOST, "volume %s is damaged: its options are lost%s%s", name, err.msg ? ": " : "", err_text(&err));
	}
}

static void open_one(void *ctx, struct volume_info *info)
{
	struct opening *o = ctx;
	const char *driver = volume_driver_name(o->driver);
	const struct volume_meta *m = meta_find(o->metas, info->name, driver);
	struct volume_meta foreign = { info->name, (char *)driver, info->created, {0}, info->options };
	struct entry *e = entry_add(o->s, info->name);

	if (e->vol) {
		log_warn("volume %s: driver %s has one of this name too; the one of driver %s is used", info->name,
			driver, e->vol->driver);
		return;
	}
	e->vol = volume_new(m ? m : &foreign, info->mountpoint, volume_driver_scope(o->driver));
	o->found++;
	if (streq(driver, VOLUME_DRIVER_DEFAULT))
		check_local(o, m, info);
}

/* Volumes of a driver that cannot be asked now: kept as the index has them. */
static void open_absent(struct volume_store *s, const struct jlist *metas, const char *driver)
{
	for (size_t i = 0; i < metas->len; i++) {
		const struct volume_meta *m = jlist_at(metas, i, &volume_meta_desc);
		struct entry *e;

		if (!streq(m->driver, driver) || !id_is_name(m->name, 2))
			continue;
		e = entry_add(s, m->name);
		if (!e->vol)
			e->vol = volume_new(m, "", "local");
	}
}

static int open_driver(struct volume_store *s, const struct jlist *metas, const char *name, struct err *err)
{
	struct opening o = { s, NULL, metas, 0, {0} };
	int rc;

	o.driver = volume_driver_get(s->drivers, name, err);
	if (!o.driver)
		return -1;
	rc = volume_driver_list(o.driver, open_one, &o, err);
	if (rc == 0)
		give_options_again(&o);
	strv_done(&o.lost);
	if (rc < 0)
		return -1;
	log_debug("volume driver %s: %zu volumes", name, o.found);
	return 0;
}

static void save_again(struct volume_store *s)
{
	OWN_ERR struct err err = ERR_INIT;
	WITH_LOCK(&s->lock);

	if (index_save(s, &err) < 0)
		log_warn("%s", err_text(&err));
}

struct volume_store *volume_store_open(const char *data_root, struct err *err)
{
	struct volume_store *s = xcalloc(1, sizeof(*s));
	OWN_STRV struct strv drivers = {0};
	struct jlist metas = {0};
	OWN_FREE char *dir = xasprintf("%s/volumes", data_root);
	bool again;

	s->data_root = xstrdup(data_root);
	s->drivers = volume_drivers_new(data_root);
	lock_init(&s->lock, LOCK_MAP);
	lock_cond_init(&s->idle);
	if (fs_mkdir(dir, 0701, err) < 0)
		goto fail;
	fs_sweep_temporary(dir);
	again = volume_index_read(data_root, &metas);
	again = volume_docker_read(data_root, &metas) || again;
	if (open_driver(s, &metas, VOLUME_DRIVER_DEFAULT, err) < 0)
		goto fail;
	open_emptied(s, &metas);
	strv_add(&drivers, VOLUME_DRIVER_DEFAULT);
	for (size_t i = 0; i < metas.len; i++) {
		const char *name = ((struct volume_meta *)jlist_at(&metas, i, &volume_meta_desc))->driver;
		OWN_ERR struct err why = ERR_INIT;

		if (strv_contains(&drivers, name))
			continue;
		strv_add(&drivers, name);
		if (open_driver(s, &metas, name, &why) < 0) {
			log_warn("volumes of driver %s cannot be used now: %s", name, err_text(&why));
			open_absent(s, &metas, name);
		}
	}
	for (size_t i = 0; i < metas.len; i++)
		jdesc_clear(&volume_meta_desc, jlist_at(&metas, i, &volume_meta_desc));
	free(metas.v);
	if (again)
		save_again(s);
	return s;
fail:
	for (size_t i = 0; i < metas.len; i++)
		jdesc_clear(&volume_meta_desc, jlist_at(&metas, i, &volume_meta_desc));
	free(metas.v);
	volume_store_close(s);
	return NULL;
}

void volume_store_close(struct volume_store *s)
{
	if (!s)
		return;
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct entry *e = s->buckets[b], *next; e; e = next) {
			next = e->next;
			entry_free(e);
		}
	volume_drivers_close(s->drivers);
	pthread_cond_destroy(&s->idle);
	lock_done(&s->lock);
	free(s->data_root);
	free(s);
}

/* Docker's local driver names the rule; here it holds for every driver. */
static int check_name(const char *name, struct err *err)
{
	if (strlen(name) < 2)
		return err_set(err, ERR_INVALID, "create %s: volume name is too short, names should be at least "
			"two alphanumeric characters", name);
	if (strlen(name) > 255)
		return err_set(err, ERR_INVALID, "create %.32s...: volume name is too long, names may have 255 characters", name);
	if (!id_is_name(name, 2))
		return err_set(err, ERR_INVALID, "create %s: \"%s\" includes invalid characters for a local volume name, only "
			"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, "
				"use absolute path", name, name);
	return 0;
}

/* An entry that has a volume already: is it the one that is asked for? */
static int check_same(const struct entry *e, const struct volume_driver *d, struct err *err)
{
	if (!d || streq(volume_driver_name(d), e->vol->driver))
		return 0;
	return err_set(err, ERR_CONFLICT, "create %s: driver '%s' already has volume '%s': volume name must be unique",
		e->name, e->vol->driver, e->name);
}

/* The work of making one; the entry is busy, no lock is held. */
static int make(struct volume_store *s, struct entry *e, struct volume_driver *d, const struct volume_meta *m, struct err *err)
{
	OWN_VOLUME_INFO struct volume_info info = {0};
	struct volume *v = volume_new(m, "", volume_driver_scope(d));
	int ret;

	/* The index first: after a crash in between its item has no volume and goes away. */
	lock_take(&s->lock);
	e->fresh = v;
	ret = index_save(s, err);
	lock_drop(&s->lock);
	if (ret == 0)
		ret = volume_driver_create(d, m->name, &m->options, err);
	if (ret == 0)
		ret = volume_driver_info(d, m->name, &info, err);
	lock_take(&s->lock);
	e->fresh = NULL;
	if (ret == 0)
		e->vol = volume_new(m, info.mountpoint, volume_driver_scope(d));
	else
		s->changed++; /* its item goes with the next write */
	lock_drop(&s->lock);
	volume_unref(v);
	return ret;
}

struct volume *volume_create_for(struct volume_store *s, const char *name, const char *driver, const struct strmap *opts,
	const struct strmap *labels, const char *container_id, bool *ret_created, struct err *err)
{
	struct volume_meta m = { .created = clock_now() / NSEC_PER_SEC * NSEC_PER_SEC };
	struct volume_driver *d = NULL;
	struct volume *ret = NULL;
	bool created = false;
	char id[ID_HEX + 1];
	struct entry *e;
	int rc;

	if (labels)
		strmap_copy(&m.labels, labels);
	if (opts)
		strmap_copy(&m.options, opts);
	if (str_empty(name)) {
		id_new(id);
		name = id;
		strmap_set(&m.labels, VOLUME_ANONYMOUS_LABEL, "");
	}
	if (check_name(name, err) < 0)
		goto out;
	if (!str_empty(driver) && !(d = volume_driver_get(s->drivers, driver, err))) {
		err_wrap(err, "create %s", name);
		goto out;
	}
	lock_take(&s->lock);
	e = entry_add(s, name);
	entry_begin(s, e);
	if (e->vol) {
		rc = check_same(e, d, err);
	} else {
		lock_drop(&s->lock);
		if (!d)
			d = volume_driver_get(s->drivers, VOLUME_DRIVER_DEFAULT, err);
		m.name = xstrdup(name);
		m.driver = xstrdup(d ? volume_driver_name(d) : VOLUME_DRIVER_DEFAULT);
		rc = d ? make(s, e, d, &m, err) : -1;
		if (rc < 0)
			err_wrap(err, "create %s", name);
		created = rc == 0;
		lock_take(&s->lock);
	}
	if (rc == 0) {
		ret = e->vol;
		__atomic_add_fetch(&ret->refs, 1, __ATOMIC_RELAXED);
		if (container_id && !strv_contains(&e->users, container_id))
			strv_add(&e->users, container_id);
	}
	entry_end(s, e);
	lock_drop(&s->lock);
	if (ret_created)
		*ret_created = created;
out:
	jdesc_clear(&volume_meta_desc, &m);
	return ret;
}

struct volume *volume_create(struct volume_store *s, const char *name, const char *driver, const struct strmap *opts,
	const struct strmap *labels, struct err *err)
{
	return volume_create_for(s, name, driver, opts, labels, NULL, NULL, err);
}

static int no_such(const char *name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
}

struct volume *volume_get(struct volume_store *s, const char *name, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct entry *e = entry_find(s, name);

	if (!e || !e->vol) {
		no_such(name, err);
		return NULL;
	}
	__atomic_add_fetch(&e->vol->refs, 1, __ATOMIC_RELAXED);
	return e->vol;
}

size_t volume_list(struct volume_store *s, struct volume ***ret)
{
	size_t len;

	lock_take(&s->lock);
	*ret = all_volumes(s, false, &len);
	lock_drop(&s->lock);
	if (len)
		qsort(*ret, len, sizeof(**ret), by_name);
	return len;
}

static int in_use(const struct entry *e, struct err *err)
{
	OWN_FREE char *ids = NULL;

	if (!e->users.len && !e->mounts.len)
		return 0;
	ids = strv_join(e->users.len ? &e->users : &e->mounts, ", ");
	return err_set(err, ERR_CONFLICT, "remove %s: volume is in use - [%s]", e->name, ids);
}

/* The driver's part of a removal. With force a volume whose driver is gone is forgotten. */
static int remove_from_driver(struct volume_store *s, const struct volume *v, bool force, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;
	struct volume_driver *d = volume_driver_get(s->drivers, v->driver, &why);

	if (!d && force) {
		log_warn("volume %s is forgotten, its driver was not asked: %s", v->name, err_text(&why));
		return 0;
	}
	if (!d || volume_driver_remove(d, v->name, &why) < 0) {
		err_wrap(&why, "remove %s", v->name);
		return err_move(err, &why);
	}
	return 0;
}

int volume_remove(struct volume_store *s, const char *name, bool force, struct err *err)
{
	OWN_ERR struct err late = ERR_INIT;
	struct entry *e;
	int ret = -1;

	WITH_LOCK(&s->lock);
	e = entry_find(s, name);
	if (!e)
		return force ? 0 : no_such(name, err);
	entry_begin(s, e);
	if (!e->vol) {
		ret = force ? 0 : no_such(name, err);
	} else if (in_use(e, err) == 0) {
		lock_drop(&s->lock);
		ret = remove_from_driver(s, e->vol, force, err);
		lock_take(&s->lock);
		if (ret == 0) {
			volume_unref(STEAL(e->vol));
			damage_forget("volume", name);
			if (index_save(s, &late) < 0)
				log_warn("volume %s is gone but still in the index: %s", name, err_text(&late));
		}
	}
	entry_end(s, e);
	return ret;
}

void volume_use(struct volume_store *s, const char *name, const char *container_id)
{
	WITH_LOCK(&s->lock);
	struct entry *e = entry_add(s, name);

	if (!strv_contains(&e->users, container_id))
		strv_add(&e->users, container_id);
}

void volume_unuse(struct volume_store *s, const char *name, const char *container_id)
{
	WITH_LOCK(&s->lock);
	struct entry *e = entry_find(s, name);

	if (!e)
		return;
	drop_word(&e->users, container_id);
	entry_settle(s, e);
}

size_t volume_users(struct volume_store *s, const char *name, struct strv *ret)
{
	WITH_LOCK(&s->lock);
	struct entry *e = entry_find(s, name);

	if (e && ret)
		strv_copy(ret, &e->users);
	return e ? e->users.len : 0;
}

char *volume_mount(struct volume_store *s, const char *name, const char *container_id, struct err *err)
{
	struct volume_driver *d;
	char *path = NULL;
	struct entry *e;

	WITH_LOCK(&s->lock);
	e = entry_find(s, name);
	if (!e) {
		no_such(name, err);
		return NULL;
	}
	entry_begin(s, e);
	if (!e->vol) {
		no_such(name, err);
	} else {
		lock_drop(&s->lock);
		/* Asked each time: the second mount of a container gets the same path, and the driver sees that it still stands. */
		d = volume_driver_get(s->drivers, e->vol->driver, err);
		path = d ? volume_driver_mount(d, name, container_id, err) : NULL;
		if (!path)
			err_wrap(err, "error while mounting volume '%s'", *e->vol->mountpoint ? e->vol->mountpoint : name);
		lock_take(&s->lock);
		if (path)
			strv_add(&e->mounts, container_id);
	}
	entry_end(s, e);
	return path;
}

int volume_unmount(struct volume_store *s, const char *name, const char *container_id, struct err *err)
{
	struct volume_driver *d;
	struct entry *e;
	int ret = 0;

	WITH_LOCK(&s->lock);
	e = entry_find(s, name);
	if (!e)
		return 0;
	entry_begin(s, e);
	if (find_word(&e->mounts, container_id) >= 0) {
		drop_word(&e->mounts, container_id);
		if (e->vol && find_word(&e->mounts, container_id) < 0) {
			lock_drop(&s->lock);
			d = volume_driver_get(s->drivers, e->vol->driver, err);
			ret = d ? volume_driver_unmount(d, name, container_id, err) : -1;
			if (ret < 0)
				err_wrap(err, "error while unmounting volume %s", name);
			lock_take(&s->lock);
		}
	}
	entry_end(s, e);
	return ret;
}

void volume_encode_status(struct volume_store *s, const struct volume *v, struct jw *w)
{
	OWN_VOLUME_INFO struct volume_info info = {0};
	struct volume_driver *d = volume_driver_get(s->drivers, v->driver, NULL);

	if (d)
		volume_driver_info(d, v->name, &info, NULL);
	volume_encode_with(v, info.status.len ? &info.status : NULL, w);
}
