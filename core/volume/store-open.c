/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a store begins: what the drivers hold, joined with what the index remembers. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "volume/store_i.h"

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

		if (!streq(m->driver, VOLUME_DRIVER_DEFAULT) || !id_is_name(m->name, 2) || ((e = ventry_find(s, m->name)) && e->vol))
			continue;
		dir = xasprintf("%s/volumes/%s", s->data_root, m->name);
		if (!fs_exists(dir))
			continue; /* a create or removal that did not come to its end */
		data = xasprintf("%s/_data", dir);
		ventry_add(s, m->name)->vol = volume_new(m, data, "local");
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

		if (volume_driver_create(o->driver, name, &m->options, &err) == 0 && volume_driver_info(o->driver, name, false, &info, &err) == 0 &&
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
	struct entry *e = ventry_add(o->s, info->name);

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
		e = ventry_add(s, m->name);
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

	if (vstore_save(s, &err) < 0)
		log_warn("%s", err_text(&err));
}

struct volume_store *volume_store_open(const char *data_root, const char *exec_root, struct err *err)
{
	struct volume_store *s = xcalloc(1, sizeof(*s));
	OWN_STRV struct strv drivers = {0};
	struct jlist metas = {0};
	OWN_FREE char *dir = xasprintf("%s/volumes", data_root);
	bool again;

	s->data_root = xstrdup(data_root);
	s->drivers = volume_drivers_new(data_root, exec_root);
	s->far = far_new(s->drivers, vstore_take_far, s);
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
		if (volume_driver_is_far(name)) {
			open_absent(s, &metas, name); /* no start waits for another process */
		} else if (open_driver(s, &metas, name, &why) < 0) {
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
