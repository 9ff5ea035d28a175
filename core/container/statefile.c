/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.v2.json and hostconfig.json: read at the daemon's start, written atomically. */
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"

#define FILE_MAX (8u << 20)

char *container_dir(const struct container *c)
{
	return xasprintf("%s/%s", c->store->dir, c->id);
}

char *container_run_dir(const struct container *c)
{
	return xasprintf("%s/%s", c->store->run_dir, c->id);
}

static int read_table(const char *dir, const char *file, const struct jdesc *d, void *obj, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, file);
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, path, FILE_MAX, &b, err) < 0)
		return -1;
	if (!b.size)
		return err_set(err, ERR_INVALID, "%s is empty", path);
	if (jdesc_parse(d, b.data, b.size, obj, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

struct container *container_load(struct container_store *s, const char *id, struct err *err)
{
	CLEANUP(container_unrefp) struct container *c = container_new(s, id);
	OWN_FREE char *dir = container_dir(c);

	if (read_table(dir, "config.v2.json", &container_record_desc, &c->rec, err) < 0 ||
	    read_table(dir, "hostconfig.json", &host_config_desc, &c->host, err) < 0)
		return NULL;
	if (!c->rec.id || !streq(c->rec.id, id)) {
		err_set(err, ERR_INVALID, "%s/config.v2.json is of another container", dir);
		return NULL;
	}
	if (str_empty(c->rec.name) || c->rec.name[0] != '/' || !id_is_name(c->rec.name + 1, 1)) {
		err_set(err, ERR_INVALID, "%s/config.v2.json has no valid name", dir);
		return NULL;
	}
	/* Go's zero time is no time. */
	if (c->rec.state.started_at < 0)
		c->rec.state.started_at = 0;
	if (c->rec.state.finished_at < 0)
		c->rec.state.finished_at = 0;
	return STEAL(c);
}

static int write_table(const char *dir, const char *file, const struct buf *b, mode_t mode, enum fs_sync sync, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, file);

	return fs_write_atomic(AT_FDCWD, path, b->data, b->size, mode, sync, err);
}

int container_save(struct container *c, bool with_host, enum fs_sync sync, struct err *err)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_BUF struct buf rec = { 0 };
	OWN_BUF struct buf host = { 0 };
	struct jw w;

	lock_take(&c->lock);
	jw_init(&w, &rec);
	jdesc_encode(&container_record_desc, &c->rec, &w);
	if (with_host) {
		jw_init(&w, &host);
		jdesc_encode(&host_config_desc, &c->host, &w);
	}
	lock_drop(&c->lock);
	lock_none_held();
	/* hostconfig.json first: config.v2.json is what makes the folder a container. */
	if (with_host && write_table(dir, "hostconfig.json", &host, 0644, sync, err) < 0)
		return -1;
	return write_table(dir, "config.v2.json", &rec, 0600, sync, err);
}

bool container_save_state(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT;

	if (container_save(c, false, FS_RENAME_ONLY, &err) == 0)
		return true;
	log_error("container %s: cannot write its state: %s", c->id, err_text(&err));
	return false;
}
