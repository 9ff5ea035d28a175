/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facade over volume drivers: opens each once, turns its callbacks into plain structs. The only caller of them. */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/idmap.h"
#include "base/log.h"
#include "driver.h"
#include "driver-once.h"
#include "dockerd/volume.h"
#include "volume/volume_i.h"

/* How long a driver has, as Docker gives its plugins: for work that may move data, and for questions. */
#define LONG_CALL (120 * NSEC_PER_SEC)
#define SHORT_CALL (30 * NSEC_PER_SEC)
#define QUICK_CALL (2 * NSEC_PER_SEC) /* where there is an answer without it */

struct volume_driver {
	const struct driver *driver;
	const struct dkd_volume_ops *ops;
	struct dkd_volume *handle;
	char *asked;       /* the name it was asked for by */
	const char *scope;
	int cancel;        /* of struct volume_drivers */
};

struct volume_drivers {
	char *data_root, *exec_root;
	int cancel;        /* eventfd: readable when no call is to be waited for any more */
	struct driver_once *opened;
};

static void call_begin(struct driver_call *c, const struct volume_driver *d, int64_t time)
{
	driver_call_begin(c, d->driver);
	c->abi.deadline = clock_mono() + time;
	c->abi.cancel_fd = d->cancel;
}

void volume_info_done(struct volume_info *i)
{
	free(i->name);
	free(i->mountpoint);
	strmap_done(&i->options);
	strmap_done(&i->status);
	*i = (struct volume_info){0};
}

static void ask_scope(struct volume_driver *d)
{
	struct dkd_volume_caps caps = { .size = sizeof(caps) };
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;

	d->scope = "local";
	if (!d->ops->capabilities)
		return;
	call_begin(&c, d, SHORT_CALL);
	if (driver_call_end(&c, d->ops->capabilities(&c.abi, d->handle, &caps), &err) < 0)
		log_warn("volume driver %s does not tell its capabilities, its volumes are taken for local: %s",
			d->asked, err_text(&err));
	else if (caps.scope == DKD_SCOPE_GLOBAL)
		d->scope = "global";
}

/* Where the driver keeps what it likes. It makes that folder itself, when it needs one; the one around it is ours. */
static char *driver_root(const char *data_root, const char *name, struct err *err)
{
	OWN_FREE char *around = NULL;

	if (streq(name, VOLUME_DRIVER_DEFAULT))
		return xasprintf("%s/volumes", data_root);
	around = xasprintf("%s/volume-drivers", data_root);
	return fs_mkdirs(around, 0701, err) < 0 ? NULL : xasprintf("%s/%s", around, name);
}

/* Loads and opens; no lock is held. */
static int driver_open(const struct volume_drivers *ds, struct volume_driver *d, struct err *err)
{
	OWN_FREE char *root = NULL;
	struct dkd_volume_open open = { .size = sizeof(open), .exec_root = ds->exec_root, .root_uid = idmaps_root_uid(idmaps_root()),
		.root_gid = idmaps_root_gid(idmaps_root()) };
	struct driver_call c;

	d->driver = driver_load(DKD_KIND_VOLUME, d->asked, err);
	if (!d->driver)
		return -1;
	d->ops = d->driver->ops;
	root = driver_root(ds->data_root, d->driver->desc->name, err);
	if (!root)
		return -1;
	open.root = root;
	open.instance = d->driver->desc->provider ? d->asked : NULL;
	call_begin(&c, d, LONG_CALL);
	if (driver_call_end(&c, d->ops->open(&c.abi, driver_host(d->driver), &open, &d->handle), err) < 0)
		return err_wrap(err, "open volume driver %s", d->asked);
	ask_scope(d);
	return 0;
}

static void driver_free(void *object)
{
	struct volume_driver *d = object;

	if (d->handle && d->ops->close)
		d->ops->close(d->handle);
	free(d->asked);
	free(d);
}

static void *open_named(void *ctx, const char *name, struct err *err)
{
	const struct volume_drivers *ds = ctx;
	struct volume_driver *d = xcalloc(1, sizeof(*d));

	d->asked = xstrdup(name);
	d->cancel = ds->cancel;
	if (driver_open(ds, d, err) == 0)
		return d;
	if (err && err->class == ERR_NOT_FOUND)
		err_set(err, ERR_NOT_FOUND, "error looking up volume plugin %s: plugin \"%s\" not found", name, name);
	driver_free(d);
	return NULL;
}

struct volume_drivers *volume_drivers_new(const char *data_root, const char *exec_root)
{
	struct volume_drivers *ds = xcalloc(1, sizeof(*ds));

	ds->data_root = xstrdup(data_root);
	ds->exec_root = xstrdup(exec_root);
	ds->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ds->opened = driver_once_new(open_named, driver_free, ds);
	return ds;
}

void volume_drivers_resume(struct volume_drivers *ds)
{
	eventfd_t n;

	eventfd_read(ds->cancel, &n);
}

void volume_drivers_cancel(struct volume_drivers *ds)
{
	eventfd_write(ds->cancel, 1);
}

void volume_drivers_close(struct volume_drivers *ds)
{
	driver_once_free(ds->opened);
	if (ds->cancel >= 0)
		close(ds->cancel);
	free(ds->data_root);
	free(ds->exec_root);
	free(ds);
}

struct volume_driver *volume_driver_get(struct volume_drivers *ds, const char *name, struct err *err)
{
	return driver_once_get(ds->opened, name, err);
}

struct volume_driver *volume_driver_find(struct volume_drivers *ds, const char *name)
{
	return driver_once_find(ds->opened, name);
}

bool volume_driver_is_far(const char *name)
{
	const struct driver *d = driver_load(DKD_KIND_VOLUME, name, NULL);

	return !d || d->desc->provider;
}

void volume_drivers_far(struct strv *ret)
{
	driver_provided(DKD_KIND_VOLUME, ret);
}

const char *volume_driver_name(const struct volume_driver *d)
{
	return d->driver->desc->provider ? d->asked : d->driver->desc->name;
}

const char *volume_driver_scope(const struct volume_driver *d)
{
	return d->scope;
}

int volume_driver_create(struct volume_driver *d, const char *name, const struct strmap *opts, struct err *err)
{
	OWN_FREE struct dkd_pair *pairs = xcalloc(opts->len + 1, sizeof(*pairs));
	struct dkd_volume_create create = {
		.size = sizeof(create), .name = name, .options = pairs, .options_len = (uint32_t)opts->len,
	};
	struct driver_call c;

	for (size_t i = 0; i < opts->len; i++)
		pairs[i] = (struct dkd_pair){ opts->v[i].key, opts->v[i].value };
	call_begin(&c, d, LONG_CALL);
	return driver_call_end(&c, d->ops->create(&c.abi, d->handle, &create), err);
}

int volume_driver_remove(struct volume_driver *d, const char *name, struct err *err)
{
	struct driver_call c;

	call_begin(&c, d, LONG_CALL);
	return driver_call_end(&c, d->ops->remove(&c.abi, d->handle, name), err);
}

static void pairs_to_map(struct strmap *ret, const struct dkd_pair *pairs, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		strmap_set(ret, pairs[i].key, pairs[i].value ? pairs[i].value : "");
}

/* Copies what a driver emits, which may be of an older minor. False: not usable. */
static bool take_info(struct volume_info *ret, const struct dkd_volume_info *given)
{
	struct dkd_volume_info in = {0};

	memcpy(&in, given, given->size < sizeof(in) ? given->size : sizeof(in));
	if (!in.name || !id_is_name(in.name, 2))
		return false;
	volume_info_done(ret);
	ret->name = xstrdup(in.name);
	ret->mountpoint = xstrdup(in.mountpoint ? in.mountpoint : "");
	ret->created = in.created;
	if (in.options)
		pairs_to_map(&ret->options, in.options, in.options_len);
	if (in.status)
		pairs_to_map(&ret->status, in.status, in.status_len);
	return true;
}

static int emit_info(void *to, const struct dkd_volume_info *given)
{
	take_info(to, given);
	return 0;
}

static int emit_path(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

/* Where it would be, of one that is mounted nowhere now; a driver need not know. */
static void ask_path(struct volume_driver *d, const char *name, int64_t time, struct volume_info *i)
{
	struct driver_call c;

	if (!d->ops->path || !str_empty(i->mountpoint))
		return;
	call_begin(&c, d, time);
	driver_call_end(&c, d->ops->path(&c.abi, d->handle, name, emit_path, &i->mountpoint), NULL);
}

int volume_driver_info(struct volume_driver *d, const char *name, bool quick, struct volume_info *ret, struct err *err)
{
	struct driver_call c;

	call_begin(&c, d, quick ? QUICK_CALL : SHORT_CALL);
	if (driver_call_end(&c, d->ops->get(&c.abi, d->handle, name, emit_info, ret), err) < 0)
		return -1;
	if (!ret->name || !streq(ret->name, name))
		return err_set(err, ERR_INTERNAL, "volume driver %s tells nothing of volume %s", d->asked, name);
	ask_path(d, name, quick ? QUICK_CALL : SHORT_CALL, ret);
	return 0;
}

struct listing {
	void (*emit)(void *ctx, struct volume_info *info);
	void *ctx;
	const char *driver;
};

static int emit_listed(void *to, const struct dkd_volume_info *given)
{
	struct listing *l = to;
	OWN_VOLUME_INFO struct volume_info info = {0};

	if (take_info(&info, given))
		l->emit(l->ctx, &info);
	else
		log_debug("volume driver %s: something whose name is no volume's is passed over", l->driver);
	return 0;
}

int volume_driver_list(struct volume_driver *d, void (*emit)(void *ctx, struct volume_info *info), void *ctx, struct err *err)
{
	struct listing l = { emit, ctx, d->asked };
	struct driver_call c;

	call_begin(&c, d, SHORT_CALL);
	return driver_call_end(&c, d->ops->list(&c.abi, d->handle, emit_listed, &l), err);
}


char *volume_driver_mount(struct volume_driver *d, const char *name, const char *id, struct err *err)
{
	struct dkd_volume_mount mount = { .size = sizeof(mount), .name = name, .id = id };
	OWN_FREE char *path = NULL;
	struct driver_call c;

	call_begin(&c, d, LONG_CALL);
	if (driver_call_end(&c, d->ops->mount(&c.abi, d->handle, &mount, emit_path, &path), err) < 0)
		return NULL;
	if (!path || path[0] != '/') {
		err_set(err, ERR_INTERNAL, "volume driver %s mounted volume %s at no absolute path", d->asked, name);
		return NULL;
	}
	return STEAL(path);
}

int volume_driver_unmount(struct volume_driver *d, const char *name, const char *id, struct err *err)
{
	struct driver_call c;

	call_begin(&c, d, LONG_CALL);
	return driver_call_end(&c, d->ops->unmount(&c.abi, d->handle, name, id), err);
}

int64_t volume_driver_usage(struct volume_driver *d, const char *name)
{
	struct driver_call c;
	int64_t size;

	if (!d->ops->usage)
		return -1;
	call_begin(&c, d, SHORT_CALL);
	size = d->ops->usage(&c.abi, d->handle, name);
	return driver_call_end(&c, size < 0 ? -1 : 0, NULL) < 0 ? -1 : size;
}

typedef int32_t two_names(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name);

static int call_with_two(struct volume_driver *d, const char *verb, two_names *fn, const char *name, const char *new_name, struct err *err)
{
	struct driver_call c;

	if (!fn)
		return err_set(err, ERR_NOT_IMPLEMENTED, "volume driver %s cannot %s volumes", d->asked, verb);
	driver_call_begin(&c, d->driver); /* a copy takes as long as it takes */
	c.abi.cancel_fd = d->cancel;
	return driver_call_end(&c, fn(&c.abi, d->handle, name, new_name), err);
}

int volume_driver_rename(struct volume_driver *d, const char *name, const char *new_name, struct err *err)
{
	return call_with_two(d, "rename", d->ops->rename, name, new_name, err);
}

int volume_driver_snapshot(struct volume_driver *d, const char *name, const char *new_name, struct err *err)
{
	return call_with_two(d, "copy", d->ops->snapshot, name, new_name, err);
}
