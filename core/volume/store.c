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
#include "volume/store_i.h"

static struct entry **bucket(struct volume_store *s, const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return &s->buckets[h % VSTORE_BUCKETS];
}

struct entry *ventry_find(struct volume_store *s, const char *name)
{
	struct entry *e = *bucket(s, name);

	while (e && !streq(e->name, name))
		e = e->next;
	return e;
}

struct entry *ventry_add(struct volume_store *s, const char *name)
{
	struct entry **head = bucket(s, name), *e = ventry_find(s, name);

	if (e)
		return e;
	e = xcalloc(1, sizeof(*e));
	e->name = xstrdup(name);
	e->next = *head;
	*head = e;
	return e;
}

static void ventry_free(struct entry *e)
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
void ventry_settle(struct volume_store *s, struct entry *e)
{
	struct entry **p = bucket(s, e->name);

	if (e->vol || e->fresh || e->busy || e->waiting || e->users.len || e->mounts.len)
		return;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	ventry_free(e);
}

/* Takes the operation of an entry, which the caller found under the same hold of the lock. */
void ventry_begin(struct volume_store *s, struct entry *e)
{
	e->waiting++;
	while (e->busy)
		lock_wait(&s->lock, &s->idle, -1);
	e->waiting--;
	e->busy = true;
}

void ventry_end(struct volume_store *s, struct entry *e)
{
	e->busy = false;
	pthread_cond_broadcast(&s->idle);
	ventry_settle(s, e);
}

/* Every volume, with those being made. A reference each; the lock is held. */
static struct volume **all_volumes(struct volume_store *s, bool with_fresh, size_t *ret_len)
{
	struct volume **v = NULL;
	size_t len = 0;

	for (size_t b = 0; b < VSTORE_BUCKETS; b++)
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
int vstore_save(struct volume_store *s, struct err *err)
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

/* The volume's snapshot with another path; under the lock. */
static void set_mountpoint(struct entry *e, const char *path)
{
	struct volume *v = e->vol;
	struct volume_meta m = { v->name, v->driver, v->created, v->labels, v->options };

	if (streq(v->mountpoint, path))
		return;
	e->vol = volume_new(&m, path, v->scope);
	volume_unref(v);
}

static bool among(const struct volume_info *infos, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i++)
		if (streq(infos[i].name, name))
			return true;
	return false;
}

/* What a driver that is far has now. A volume that it has no more and nobody uses is gone, as Docker has it. */
void vstore_take_far(void *ctx, struct volume_driver *d, struct volume_info *infos, size_t len, int64_t asked)
{
	struct volume_store *s = ctx;
	const char *driver = volume_driver_name(d);
	struct entry *e, *next;

	WITH_LOCK(&s->lock);
	for (size_t i = 0; i < len; i++) {
		struct volume_meta foreign = { infos[i].name, (char *)driver, infos[i].created, {0}, {0} };

		e = ventry_add(s, infos[i].name);
		if (e->busy)
			continue;
		if (e->vol && streq(e->vol->driver, driver))
			set_mountpoint(e, infos[i].mountpoint);
		else if (!e->vol)
			e->vol = volume_new(&foreign, infos[i].mountpoint, volume_driver_scope(d));
	}
	for (size_t b = 0; b < VSTORE_BUCKETS; b++)
		for (e = s->buckets[b]; e; e = next) {
			next = e->next;
			if (e->vol && streq(e->vol->driver, driver) && e->since < asked && !e->busy && !e->users.len && !e->mounts.len &&
			    !among(infos, len, e->name)) {
				volume_unref(STEAL(e->vol));
				s->changed++; /* its item goes with the next write */
				ventry_settle(s, e);
			}
		}
}

static void refresh(struct volume_store *s, bool patient)
{
	OWN_STRV struct strv known = {0};

	lock_take(&s->lock);
	for (size_t b = 0; b < VSTORE_BUCKETS; b++)
		for (const struct entry *e = s->buckets[b]; e; e = e->next)
			if (e->vol && !streq(e->vol->driver, VOLUME_DRIVER_DEFAULT) && !strv_contains(&known, e->vol->driver))
				strv_add(&known, e->vol->driver);
	lock_drop(&s->lock);
	for (size_t i = known.len; i-- > 0;)
		if (!volume_driver_is_far(known.v[i]))
			strv_del(&known, known.v[i]);
	far_refresh(s->far, &known, patient);
}

void volume_refresh(struct volume_store *s)
{
	refresh(s, false);
}

void volume_store_share(struct volume_store *s)
{
	struct volume **v;
	size_t len;

	lock_take(&s->lock);
	v = all_volumes(s, false, &len);
	lock_drop(&s->lock);
	volume_docker_write(s->data_root, v, len);
	volume_list_free(v, len);
}

void volume_store_give_up(struct volume_store *s, bool on)
{
	on ? volume_drivers_cancel(s->drivers) : volume_drivers_resume(s->drivers);
}

void volume_store_close(struct volume_store *s)
{
	if (!s)
		return;
	volume_drivers_cancel(s->drivers);
	far_free(s->far);
	for (size_t b = 0; b < VSTORE_BUCKETS; b++)
		for (struct entry *e = s->buckets[b], *next; e; e = next) {
			next = e->next;
			ventry_free(e);
		}
	volume_drivers_close(s->drivers);
	pthread_cond_destroy(&s->idle);
	lock_done(&s->lock);
	free(s->data_root);
	free(s);
}

/* Docker's local driver names the rule; here it holds for every driver. */
int vstore_check_name(const char *name, struct err *err)
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

static void print_options(struct buf *b, const struct strmap *options)
{
	if (!options->len)
		buf_adds(b, "none");
	for (size_t i = 0; i < options->len; i++)
		buf_addf(b, "%s%s=%s", i ? "," : "", options->v[i].key, options->v[i].value);
}

/* An empty one, as a variable without a value gives it, is none. */
static size_t count_options(const struct strmap *options)
{
	size_t n = 0;

	for (size_t i = 0; i < options->len; i++)
		n += !str_empty(options->v[i].value);
	return n;
}

/* Docker keeps the old ones and says nothing. Of a volume that a plugin made by itself nobody knows them. */
static int check_options(const struct volume *v, const struct strmap *asked, struct err *err)
{
	OWN_BUF struct buf there = {0}, want = {0};
	bool same = count_options(asked) == count_options(&v->options);

	if (!count_options(asked) || (!v->options.len && !streq(v->driver, VOLUME_DRIVER_DEFAULT)))
		return 0;
	for (size_t i = 0; i < asked->len && same; i++) {
		const char *had = strmap_get(&v->options, asked->v[i].key);

		same = str_empty(asked->v[i].value) || (had && streq(had, asked->v[i].value));
	}
	if (same)
		return 0;
	print_options(&there, &v->options);
	print_options(&want, asked);
	return err_set(err, ERR_CONFLICT, "create %s: the volume exists with other options: %s, not %s", v->name, there.data, want.data);
}

/* An entry that has a volume already: is it the one that is asked for? */
static int check_same(const struct entry *e, const struct volume_driver *d, const struct strmap *options, struct err *err)
{
	if (!d || streq(volume_driver_name(d), e->vol->driver))
		return check_options(e->vol, options, err);
	return err_set(err, ERR_CONFLICT, "create %s: driver '%s' already has volume '%s': volume name must be unique",
		e->name, e->vol->driver, e->name);
}

/* Another host, or somebody beside the daemon, has made it with the same plugin: as by Docker it is taken as it is, and not made again. */
static bool is_there_already(struct volume_driver *d, const struct volume_meta *m, struct volume_info *ret)
{
	return volume_driver_is_far(m->driver) && volume_driver_info(d, m->name, true, ret, NULL) == 0;
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
	ret = vstore_save(s, err);
	lock_drop(&s->lock);
	if (ret == 0 && !is_there_already(d, m, &info)) {
		ret = volume_driver_create(d, m->name, &m->options, err);
		if (ret == 0)
			ret = volume_driver_info(d, m->name, false, &info, err);
	}
	lock_take(&s->lock);
	e->fresh = NULL;
	if (ret == 0) {
		e->vol = volume_new(m, info.mountpoint, volume_driver_scope(d));
		e->since = clock_mono();
	} else {
		vstore_save(s, NULL); /* its item goes: a plugin that is not there at the next start cannot say that there is none */
	}
	lock_drop(&s->lock);
	volume_unref(v);
	return ret;
}

static bool is_known(struct volume_store *s, const char *name)
{
	WITH_LOCK(&s->lock);
	const struct entry *e = ventry_find(s, name);

	return e && e->vol;
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
	if (vstore_check_name(name, err) < 0)
		goto out;
	/* A name alone may be that of a volume that only a plugin knows so far. */
	if (str_empty(driver) && name != id && !is_known(s, name))
		refresh(s, true);
	if (!str_empty(driver) && !(d = volume_driver_get(s->drivers, driver, err))) {
		err_wrap(err, "create %s", name);
		goto out;
	}
	lock_take(&s->lock);
	e = ventry_add(s, name);
	ventry_begin(s, e);
	if (e->vol) {
		rc = check_same(e, d, &m.options, err);
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
	ventry_end(s, e);
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

int vstore_no_such(const char *name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
}

static struct volume *get_known(struct volume_store *s, const char *name)
{
	WITH_LOCK(&s->lock);
	struct entry *e = ventry_find(s, name);

	if (!e || !e->vol)
		return NULL;
	__atomic_add_fetch(&e->vol->refs, 1, __ATOMIC_RELAXED);
	return e->vol;
}

struct volume *volume_get(struct volume_store *s, const char *name, struct err *err)
{
	struct volume *v = get_known(s, name);

	if (!v) {
		volume_refresh(s);
		v = get_known(s, name);
	}
	if (!v)
		vstore_no_such(name, err);
	return v;
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
	e = ventry_find(s, name);
	if (!e)
		return force ? 0 : vstore_no_such(name, err);
	ventry_begin(s, e);
	if (!e->vol) {
		ret = force ? 0 : vstore_no_such(name, err);
	} else if (in_use(e, err) == 0) {
		lock_drop(&s->lock);
		ret = remove_from_driver(s, e->vol, force, err);
		lock_take(&s->lock);
		if (ret == 0) {
			volume_unref(STEAL(e->vol));
			damage_forget("volume", name);
			if (vstore_save(s, &late) < 0)
				log_warn("volume %s is gone but still in the index: %s", name, err_text(&late));
		}
	}
	ventry_end(s, e);
	return ret;
}

void volume_encode_status(struct volume_store *s, const struct volume *v, struct jw *w)
{
	OWN_VOLUME_INFO struct volume_info info = {0};
	OWN_ERR struct err err = ERR_INIT;
	struct volume_driver *d = NULL;
	bool far = !streq(v->driver, VOLUME_DRIVER_DEFAULT) && volume_driver_is_far(v->driver);

	if (!far)
		d = volume_driver_get(s->drivers, v->driver, NULL);
	else if (volume_refresh(s), far_answers(s->far, v->driver))
		d = volume_driver_find(s->drivers, v->driver);
	if (d && volume_driver_info(d, v->name, far, &info, &err) < 0 && far)
		strmap_set(&info.status, VOLUME_ERROR_STATUS, err_text(&err));
	else if (far && !d)
		strmap_set(&info.status, VOLUME_ERROR_STATUS, "its driver does not answer");
	volume_encode_with(v, info.mountpoint && *info.mountpoint ? info.mountpoint : v->mountpoint, info.status.len ? &info.status : NULL, w);
}
