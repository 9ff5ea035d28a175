/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who uses a volume, and its mounts. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "volume/store_i.h"

void volume_use(struct volume_store *s, const char *name, const char *container_id)
{
	WITH_LOCK(&s->lock);
	struct entry *e = ventry_add(s, name);

	if (!strv_contains(&e->users, container_id))
		strv_add(&e->users, container_id);
}

void volume_unuse(struct volume_store *s, const char *name, const char *container_id)
{
	WITH_LOCK(&s->lock);
	struct entry *e = ventry_find(s, name);

	if (!e)
		return;
	strv_del(&e->users, container_id);
	ventry_settle(s, e);
}

size_t volume_users(struct volume_store *s, const char *name, struct strv *ret)
{
	WITH_LOCK(&s->lock);
	struct entry *e = ventry_find(s, name);

	if (e && ret)
		strv_copy(ret, &e->users);
	return e ? e->users.len : 0;
}

/*
 * What a driver is told of one mount: the container's id for the first of its mounts of a volume, with a number for those beside it. Each is
 * mounted once and unmounted once, the last one first.
 */
static char *mount_id(const struct entry *e, const char *container_id)
{
	size_t n = 0;

	for (size_t i = 0; i < e->mounts.len; i++)
		n += streq(e->mounts.v[i], container_id);
	return n ? xasprintf("%s-%zu", container_id, n) : xstrdup(container_id);
}

/* alone: it is an error when somebody has mounted it. */
static char *mount_for(struct volume_store *s, const char *name, const char *container_id, bool alone, struct err *err)
{
	struct volume_driver *d;
	char *path = NULL;
	struct entry *e;

	WITH_LOCK(&s->lock);
	e = ventry_find(s, name);
	if (!e) {
		vstore_no_such(name, err);
		return NULL;
	}
	ventry_begin(s, e);
	if (!e->vol) {
		vstore_no_such(name, err);
	} else if (alone && e->mounts.len) {
		err_set(err, ERR_CONFLICT, "volume %s is in use - [%s]", name, e->mounts.v[0]);
	} else {
		OWN_FREE char *id = mount_id(e, container_id);

		lock_drop(&s->lock);
		/* Asked each time: the second mount of a container gets the same path, and the driver sees that it still stands. */
		d = volume_driver_get(s->drivers, e->vol->driver, err);
		path = d ? volume_driver_mount(d, name, id, err) : NULL;
		if (!path)
			err_wrap(err, "error while mounting volume '%s'", *e->vol->mountpoint ? e->vol->mountpoint : name);
		lock_take(&s->lock);
		if (path)
			strv_add(&e->mounts, container_id);
	}
	ventry_end(s, e);
	return path;
}

char *volume_mount(struct volume_store *s, const char *name, const char *container_id, struct err *err)
{
	return mount_for(s, name, container_id, false, err);
}

char *volume_mount_alone(struct volume_store *s, const char *name, const char *id, struct err *err)
{
	return mount_for(s, name, id, true, err);
}

int volume_adopt(struct volume_store *s, const char *name, const char *container_id, struct err *err)
{
	OWN_FREE char *path = NULL;
	OWN_FREE char *driver = NULL;
	struct entry *e;

	lock_take(&s->lock);
	e = ventry_find(s, name);
	if (e && e->vol)
		driver = xstrdup(e->vol->driver);
	lock_drop(&s->lock);
	if (!driver)
		return vstore_no_such(name, err);
	if (streq(driver, VOLUME_DRIVER_DEFAULT) || !volume_driver_is_far(driver)) {
		path = volume_mount(s, name, container_id, err);
		return path ? 0 : -1;
	}
	WITH_LOCK(&s->lock);
	e = ventry_add(s, name);
	strv_add(&e->mounts, container_id);
	return 0;
}

int volume_unmount(struct volume_store *s, const char *name, const char *container_id, struct err *err)
{
	struct volume_driver *d;
	struct entry *e;
	int ret = 0;

	WITH_LOCK(&s->lock);
	e = ventry_find(s, name);
	if (!e)
		return 0;
	ventry_begin(s, e);
	if (strv_contains(&e->mounts, container_id)) {
		strv_del(&e->mounts, container_id);
		if (e->vol) {
			OWN_FREE char *id = mount_id(e, container_id);

			lock_drop(&s->lock);
			d = volume_driver_get(s->drivers, e->vol->driver, err);
			ret = d ? volume_driver_unmount(d, name, id, err) : -1;
			if (ret < 0)
				err_wrap(err, "error while unmounting volume %s", name);
			lock_take(&s->lock);
		}
	}
	ventry_end(s, e);
	return ret;
}
