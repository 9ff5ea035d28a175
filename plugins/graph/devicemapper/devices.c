/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "size.h"
#include "pool.h"

static int deactivate(struct devices *d, const char *layer, bool deferred, const struct dkd_call *call, struct dm_error *e);
static int activate(struct devices *d, const struct store_device *v, const struct dkd_call *call, struct dm_error *e);

static const char *shown(const char *layer)
{
	return *layer ? layer : "base";
}

/* Numbers */

static bool is_used(const struct devices *d, unsigned id)
{
	return d->used[id / 8] & 1u << id % 8;
}

static void set_used(struct devices *d, unsigned id, bool to)
{
	if (to)
		d->used[id / 8] |= (unsigned char)(1u << id % 8);
	else
		d->used[id / 8] &= (unsigned char)~(1u << id % 8);
}

static int take_id(struct devices *d, unsigned *ret, struct dm_error *e)
{
	for (unsigned i = 0; i <= THIN_ID_MAX; i++) {
		d->set.next_id = (d->set.next_id + 1) & THIN_ID_MAX;
		if (is_used(d, d->set.next_id))
			continue;
		set_used(d, d->set.next_id, true);
		*ret = d->set.next_id;
		return 0;
	}
	return dm_refuse(e, DKD_ERR_NO_SPACE, 0, "devmapper: Unable to find a free device ID");
}

/* Transactions */

static int open_transaction(struct devices *d, const char *layer, unsigned id, struct dm_error *e)
{
	struct store_transaction t = { .transaction = d->transaction + 1, .id = id };

	snprintf(t.layer, sizeof(t.layer), "%s", layer);
	if (store_write_transaction(d->dir, &t) < 0)
		return DM_FAIL(e, "devmapper: Error saving transaction metadata");
	return 0;
}

static int close_transaction(struct devices *d, struct dm_error *e)
{
	if (thin_set_transaction(d->pool, d->transaction, d->transaction + 1) < 0)
		return DM_FAIL(e, "devmapper: Error setting devmapper transaction ID");
	d->transaction++;
	return 0;
}

struct owner { unsigned id; const char *layer; bool other; };

static int look_for_owner(void *to, const struct store_device *v, bool damaged)
{
	struct owner *o = to;

	o->other = !damaged && v->id == o->id && strcmp(v->layer, o->layer) != 0;
	return o->other;
}

/* What was begun is undone; a deletion is finished. */
static void roll_back(struct devices *d, const struct store_transaction *t)
{
	struct owner o = { .id = t->id, .layer = t->layer };
	struct dm_error e = { 0 };
	struct store_device v;
	bool known;

	dkd_logf(d->host, DKD_LOG_INFO, "rolling back the open transaction %llu of device %s (number %u)", (unsigned long long)t->transaction,
		shown(t->layer), t->id);
	deactivate(d, t->layer, false, NULL, &e);
	store_each_device(d->dir, look_for_owner, &o);
	known = store_read_device(d->dir, t->layer, &v) == 0;
	if (!o.other && thin_delete(d->pool, t->id) < 0 && errno != ENODATA) {
		dkd_logf(d->host, DKD_LOG_WARN, "delete device number %u: %s", t->id, strerror(errno));
		/* it is tried again */
		v.deleted = true;
		if (known && v.id == t->id && store_write_device(d->dir, &v) == 0)
			return;
	}
	/* a device of that name with another number was there before */
	if (known && v.id != t->id)
		return;
	if (store_remove_device(d->dir, t->layer) < 0)
		dkd_logf(d->host, DKD_LOG_WARN, "remove the metadata of device %s: %s", shown(t->layer), strerror(errno));
}

static void finish_open_transaction(struct devices *d)
{
	struct store_transaction t;

	if (store_read_transaction(d->dir, &t) < 0) {
		if (errno != ENOENT)
			dkd_logf(d->host, DKD_LOG_WARN, "the note of the open transaction cannot be read, and is taken for none: %s", strerror(errno));
		return;
	}
	if (t.transaction < d->transaction)
		dkd_logf(d->host, DKD_LOG_ERROR, "Open Transaction id %llu is less than pool transaction id %llu", (unsigned long long)t.transaction,
			(unsigned long long)d->transaction);
	if (t.transaction <= d->transaction)
		return;
	roll_back(d, &t);
	if (store_remove_transaction(d->dir) < 0)
		dkd_logf(d->host, DKD_LOG_WARN, "remove the note of the transaction: %s", strerror(errno));
}

/* Opening */

static int count(void *to, const struct store_device *v, bool damaged)
{
	struct devices *d = to;

	if (damaged) {
		dkd_logf(d->host, DKD_LOG_WARN, "the metadata of device %s is damaged", shown(v->layer));
		return 0;
	}
	set_used(d, v->id, true);
	d->deleted += v->deleted;
	return 0;
}

int devices_open(struct devices *d, const struct dkd_host *host, const struct dm_options *o, const char *pool, const char *prefix, int dir, struct dm_error *e)
{
	struct thin_pool_status status;
	pthread_condattr_t attr;

	*d = (struct devices){ .host = host, .options = o, .pool = pool, .dir = dir };
	snprintf(d->prefix, sizeof(d->prefix), "%s", prefix);
	d->used = calloc(1, (THIN_ID_MAX + 1) / 8);
	if (!d->used)
		return dm_refuse(e, DKD_ERR_INTERNAL, ENOMEM, "devmapper: device numbers");
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->more, &attr);
	pthread_condattr_destroy(&attr);
	store_sweep(dir);
	if (thin_pool_status(pool, &status) < 0)
		return DM_FAIL(e, "devmapper: read the status of %s", pool);
	d->transaction = status.transaction;
	if (store_read_set(dir, &d->set) < 0 && errno != ENOENT)
		return DM_FAIL(e, "devmapper: read deviceset-metadata");
	pthread_mutex_lock(&d->lock);
	finish_open_transaction(d);
	pthread_mutex_unlock(&d->lock);
	if (store_each_device(dir, count, d) < 0)
		return DM_FAIL(e, "devmapper: Failed to load device files");
	return 0;
}

void devices_close(struct devices *d)
{
	struct dm_error e = { 0 };

	if (!d->used)
		return;
	devices_rest(d);
	if (*d->set.base_uuid && devices_save_set(d, &e) < 0)
		dkd_logf(d->host, DKD_LOG_WARN, "%s", e.text);
	pthread_cond_destroy(&d->more);
	pthread_mutex_destroy(&d->lock);
	free(d->used);
	d->used = NULL;
}

struct tidy { struct devices *d; bool (*is_mounted)(void *to, const char *layer); void *to; };

static int tidy_one(void *to, const char *name)
{
	struct tidy *t = to;
	size_t len = strlen(t->d->prefix);
	const char *layer = name + len + 1;
	struct thin_info info;

	if (strncmp(name, t->d->prefix, len) != 0 || name[len] != '-' || strcmp(name, t->d->pool) == 0 || thin_info(name, &info) < 0 || !info.exists)
		return 0;
	if (info.suspended) {
		dkd_logf(t->d->host, DKD_LOG_INFO, "resuming device %s, which was left suspended", name);
		thin_resume(name);
	}
	if (!t->is_mounted(t->to, layer) && info.open_count == 0 && thin_remove(name, false) == 0)
		dkd_logf(t->d->host, DKD_LOG_DEBUG, "deactivated device %s, which was left", name);
	return 0;
}

void devices_tidy(struct devices *d, bool (*is_mounted)(void *to, const char *layer), void *to)
{
	struct tidy t = { d, is_mounted, to };

	if (thin_each(tidy_one, &t) < 0)
		dkd_logf(d->host, DKD_LOG_WARN, "list devices: %s", strerror(errno));
}

/* Names */

void devices_name(const struct devices *d, const char *layer, char ret[THIN_NAME_MAX])
{
	/* no layer was made under a longer name: there is none of the empty one either */
	if (snprintf(ret, THIN_NAME_MAX, "%s-%s", d->prefix, shown(layer)) >= THIN_NAME_MAX)
		ret[0] = '\0';
}

void devices_node(const struct devices *d, const char *layer, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "/dev/mapper/%s-%s", d->prefix, shown(layer));
}

static int find(struct devices *d, const char *layer, struct store_device *ret, struct dm_error *e)
{
	*ret = (struct store_device){ 0 };
	errno = ENOENT;
	if (!(*layer && store_reserved(layer)) && store_read_device(d->dir, layer, ret) == 0)
		return 0;
	if (errno == ENOENT || errno == ENAMETOOLONG)
		return dm_refuse(e, DKD_ERR_NOT_FOUND, 0, "devmapper: Unknown device %s", shown(layer));
	return DM_FAIL(e, "devmapper: read the metadata of device %s", shown(layer));
}

int devices_find(struct devices *d, const char *layer, struct store_device *ret, struct dm_error *e)
{
	return find(d, layer, ret, e);
}

int devices_save(struct devices *d, const struct store_device *v, struct dm_error *e)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = store_write_device(d->dir, v) < 0 ? DM_FAIL(e, "devmapper: write the metadata of device %s", shown(v->layer)) : 0;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int devices_save_set(struct devices *d, struct dm_error *e)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = store_write_set(d->dir, &d->set) < 0 ? DM_FAIL(e, "devmapper: write deviceset-metadata") : 0;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/* Making */

/* In the pool, under the number in v or the next one that is free there. origin NULL: an empty one. */
static int make_in_pool(struct devices *d, struct store_device *v, const struct store_device *origin, struct dm_error *e)
{
	while ((origin ? thin_snapshot(d->pool, v->id, origin->id) : thin_new(d->pool, v->id)) < 0) {
		if (errno != EEXIST)
			return DM_FAIL(e, "devmapper: Error running %s in the pool %s", origin ? "CreateSnapDevice" : "CreateDevice", d->pool);
		/* somebody else's, or one whose metadata is lost: its number stays taken */
		dkd_logf(d->host, DKD_LOG_ERROR, "Device ID %u exists in pool but it is supposed to be unused", v->id);
		if (take_id(d, &v->id, e) < 0 || open_transaction(d, v->layer, v->id, e) < 0)
			return -1;
	}
	return 0;
}

static int make(struct devices *d, const char *layer, uint64_t bytes, const struct store_device *origin, struct dm_error *e)
{
	struct store_device v = { .bytes = bytes, .transaction = d->transaction + 1 };

	snprintf(v.layer, sizeof(v.layer), "%s", layer);
	if (take_id(d, &v.id, e) < 0)
		return -1;
	if (open_transaction(d, layer, v.id, e) == 0 && make_in_pool(d, &v, origin, e) == 0) {
		if (store_write_device(d->dir, &v) < 0)
			DM_FAIL(e, "devmapper: write the metadata of device %s", shown(layer));
		else if (close_transaction(d, e) == 0)
			return 0;
		store_remove_device(d->dir, layer);
		thin_delete(d->pool, v.id);
	}
	set_used(d, v.id, false);
	return -1;
}

int devices_new(struct devices *d, const char *layer, uint64_t bytes, struct dm_error *e)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = make(d, layer, bytes, NULL, e);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/* Calls off a deferred removal; one that is under way is waited for: ENXIO then. */
static int cancel_removal(struct devices *d, const char *name, const struct dkd_call *call)
{
	unsigned turn = 0;
	int rc;

	while ((rc = thin_cancel_removal(name)) < 0 && errno == EBUSY) {
		pthread_mutex_unlock(&d->lock);
		rc = dm_patience(call, &turn);
		pthread_mutex_lock(&d->lock);
		if (rc < 0)
			return -1;
	}
	return rc;
}

/* An active origin stands still meanwhile. One that was about to go is kept until then. */
static int snapshot(struct devices *d, const char *layer, const struct store_device *origin, uint64_t bytes, const struct dkd_call *call, struct dm_error *e)
{
	char name[THIN_NAME_MAX];
	struct thin_info info;
	bool about_to_go;
	int rc;

	devices_name(d, origin->layer, name);
	if (thin_info(name, &info) < 0)
		return DM_FAIL(e, "devmapper: look for device %s", name);
	about_to_go = info.exists && info.deferred_remove;
	if (about_to_go && cancel_removal(d, name, call) < 0) {
		if (errno != ENXIO)
			return DM_FAIL(e, "devmapper: keep device %s", name);
		info.exists = about_to_go = false;
	}
	if (info.exists && thin_suspend(name) < 0)
		return DM_FAIL(e, "devmapper: suspend device %s", name);
	rc = make(d, layer, bytes, origin, e);
	if (info.exists && thin_resume(name) < 0)
		dkd_logf(d->host, DKD_LOG_ERROR, "resume device %s: %s", name, strerror(errno));
	if (about_to_go)
		thin_remove(name, true);
	return rc;
}

static int check_new(struct devices *d, const char *layer, const struct store_device *origin, uint64_t bytes, struct dm_error *e)
{
	struct store_device v;
	char text[SIZE_TEXT];

	if (store_reserved(layer) || strlen(d->prefix) + 1 + strlen(layer) >= THIN_NAME_MAX)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: %s cannot be a layer's name", layer);
	if (store_read_device(d->dir, layer, &v) == 0)
		return dm_refuse(e, DKD_ERR_CONFLICT, 0, "devmapper: device %s already exists. Deleted=%s", layer, v.deleted ? "true" : "false");
	if (errno != ENOENT)
		return DM_FAIL(e, "devmapper: read the metadata of device %s", layer);
	if (origin->deleted)
		return dm_refuse(e, DKD_ERR_CONFLICT, 0, "devmapper: Base device %s has been marked for deferred deletion", shown(origin->layer));
	if (bytes && bytes < origin->bytes)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Container size cannot be smaller than %s", size_human(origin->bytes, text));
	return 0;
}

int devices_snapshot(struct devices *d, const char *layer, const char *parent, uint64_t bytes, const struct dkd_call *call, struct dm_error *e)
{
	struct store_device origin;
	int rc = -1;

	pthread_mutex_lock(&d->lock);
	if (find(d, parent, &origin, e) == 0 && check_new(d, layer, &origin, bytes, e) == 0 &&
	    pool_has_room(d->pool, d->options->min_free, e) == 0)
		rc = snapshot(d, layer, &origin, bytes ? bytes : origin.bytes, call, e);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/* Activating */

/* deleted ones, too: to discard their blocks. */
static int activate(struct devices *d, const struct store_device *v, const struct dkd_call *call, struct dm_error *e)
{
	char name[THIN_NAME_MAX];
	struct thin_info info;

	devices_name(d, v->layer, name);
	if (thin_info(name, &info) < 0)
		return DM_FAIL(e, "devmapper: look for device %s", name);
	if (info.exists && info.deferred_remove && cancel_removal(d, name, call) < 0) {
		if (errno != ENXIO)
			return DM_FAIL(e, "devmapper: keep device %s", name);
		info.exists = false;
	}
	if (info.exists && info.suspended && thin_resume(name) < 0)
		return DM_FAIL(e, "devmapper: resume device %s", name);
	if ((info.exists ? thin_node(name) : thin_activate(d->pool, name, v->id, v->bytes)) < 0)
		return DM_FAIL(e, "devmapper: Error activating devmapper device for '%s'", shown(v->layer));
	return 0;
}

int devices_activate(struct devices *d, const struct store_device *v, const struct dkd_call *call, struct dm_error *e)
{
	int rc;

	if (v->deleted)
		return dm_refuse(e, DKD_ERR_NOT_FOUND, 0, "devmapper: Can't activate device %s as it is marked for deletion", shown(v->layer));
	pthread_mutex_lock(&d->lock);
	rc = activate(d, v, call, e);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int deactivate(struct devices *d, const char *layer, bool deferred, const struct dkd_call *call, struct dm_error *e)
{
	char name[THIN_NAME_MAX];
	unsigned turn = 0;

	devices_name(d, layer, name);
	while (thin_remove(name, deferred) < 0) {
		int rc;

		if (errno == ENXIO)
			return 0;
		if (errno != EBUSY)
			return DM_FAIL(e, "devmapper: remove device %s", name);
		pthread_mutex_unlock(&d->lock);
		rc = dm_patience(call, &turn);
		pthread_mutex_lock(&d->lock);
		if (rc < 0)
			return DM_FAIL(e, "devmapper: remove device %s, which is in use", name);
	}
	return 0;
}

int devices_deactivate(struct devices *d, const char *layer, bool now, const struct dkd_call *call, struct dm_error *e)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = deactivate(d, layer, d->options->deferred_removal && !now, call, e);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/* Deleting */

/* Blocks that a deletion gives back to the pool are not given back by the pool to what it lies on: discarded ones are. */
static void discard(struct devices *d, const struct store_device *v, const struct dkd_call *call)
{
	char name[THIN_NAME_MAX], path[PATH_MAX];
	uint64_t range[2] = { 0, v->bytes };
	struct dm_error e = { 0 };
	struct thin_info info;
	int fd;

	devices_name(d, v->layer, name);
	devices_node(d, v->layer, path);
	if (activate(d, v, call, &e) < 0 || thin_info(name, &info) < 0 || info.open_count)
		return;
	fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		return;
	if (ioctl(fd, BLKDISCARD, range) < 0)
		dkd_logf(d->host, DKD_LOG_DEBUG, "discard device %s: %s", name, strerror(errno));
	close(fd);
}

static int mark_deleted(struct devices *d, struct store_device *v, struct dm_error *e)
{
	if (v->deleted)
		return 0;
	v->deleted = true;
	if (store_write_device(d->dir, v) < 0)
		return DM_FAIL(e, "devmapper: mark device %s as deleted", shown(v->layer));
	d->deleted++;
	pthread_cond_broadcast(&d->more);
	return 0;
}

static int delete_in_pool(struct devices *d, struct store_device *v, bool now, struct dm_error *e)
{
	/* not in the pool any more: nothing is left to delete there */
	if (thin_delete(d->pool, v->id) < 0 && errno != ENODATA) {
		if (errno == EBUSY && d->options->deferred_deletion && !now)
			return mark_deleted(d, v, e);
		return DM_FAIL(e, "devmapper: Error deleting device %s", shown(v->layer));
	}
	if (store_remove_device(d->dir, v->layer) < 0)
		return DM_FAIL(e, "devmapper: Error removing metadata of device %s", shown(v->layer));
	d->deleted -= v->deleted;
	set_used(d, v->id, false);
	return 0;
}

static int delete(struct devices *d, struct store_device *v, bool now, const struct dkd_call *call, struct dm_error *e)
{
	bool later = d->options->deferred_deletion && !now;
	char name[THIN_NAME_MAX];
	struct thin_info info;
	int rc;

	if (d->options->discard)
		discard(d, v, call);
	/* where no deletion is deferred, no removal before one may be */
	if (deactivate(d, v->layer, later, call, e) < 0)
		return -1;
	devices_name(d, v->layer, name);
	if (later && thin_info(name, &info) == 0 && info.exists)
		return mark_deleted(d, v, e);
	if (open_transaction(d, v->layer, v->id, e) < 0)
		return -1;
	rc = delete_in_pool(d, v, now, e);
	return close_transaction(d, e) < 0 ? -1 : rc;
}

int devices_delete(struct devices *d, const char *layer, bool now, const struct dkd_call *call, struct dm_error *e)
{
	struct dm_error why = { 0 };
	struct store_device v;
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	if (find(d, layer, &v, &why) == 0)
		rc = delete(d, &v, now, call, e);
	else if (why.class != DKD_ERR_NOT_FOUND)
		*e = why, rc = -1;
	pthread_mutex_unlock(&d->lock);
	return rc;
}
