/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.v2.json and hostconfig.json: read at the daemon's start, written atomically. */
#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/reserve.h"
#include "container/internal.h"
#include "image/layer.h"

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

static int read_record(const char *dir, const char *file, struct container *c, struct err *err)
{
	if (read_table(dir, file, &container_record_desc, &c->rec, err) < 0)
		return -1;
	if (!c->rec.id || !streq(c->rec.id, c->id))
		return err_set(err, ERR_INVALID, "%s/%s is of another container", dir, file);
	if (str_empty(c->rec.name) || c->rec.name[0] != '/' || !id_is_name(c->rec.name + 1, 1))
		return err_set(err, ERR_INVALID, "%s/%s has no valid name", dir, file);
	/* Go's zero time is no time. */
	if (c->rec.state.started_at < 0)
		c->rec.state.started_at = 0;
	if (c->rec.state.finished_at < 0)
		c->rec.state.finished_at = 0;
	return 0;
}

static int read_host(const char *dir, const char *file, struct container *c, struct err *err)
{
	return read_table(dir, file, &host_config_desc, &c->host, err);
}

/* 0; 1 when it comes from the copy and err says why; -1 when neither can be read: then obj is empty. */
static int read_either(struct container *c, const char *file, int (*read)(const char *, const char *, struct container *, struct err *),
	const struct jdesc *desc, void *obj, struct err *err)
{
	OWN_FREE char *dir = container_dir(c), *copy = xasprintf("%s.copy", file);

	if (read(dir, file, c, err) == 0)
		return 0;
	jdesc_clear(desc, obj);
	if (read(dir, copy, c, NULL) == 0)
		return 1;
	jdesc_clear(desc, obj);
	return -1;
}

/* All that is known of a container whose record is lost. */
static void fill_lost(struct container *c)
{
	OWN_FREE char *dir = container_dir(c);
	struct stat st;

	str_set(&c->rec.id, c->id);
	c->rec.name = xasprintf("/damaged_%.12s", c->id);
	str_set(&c->rec.image, "");
	str_set(&c->rec.path, "");
	str_set(&c->rec.config.image, "");
	str_set(&c->rec.driver, graph_name(layer_store_graph(image_store_layers(c->store->deps.images))));
	str_set(&c->rec.os, "linux");
	c->rec.args.set = true;
	c->rec.created = stat(dir, &st) == 0 ? st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec : clock_now();
}

static void set_damaged(struct container *c, const char *why)
{
	c->damaged = xstrdup(why);
	c->rec.state.dead = true;
	c->rec.state.running = c->rec.state.paused = c->rec.state.restarting = c->rec.state.removal = false;
	c->rec.state.pid = 0;
	free(c->rec.state.error);
	c->rec.state.error = xasprintf("damaged: %s", why);
}

/* Both files anew, from what was read; the damaged ones are set aside. */
static void write_again(struct container *c, const char *why, bool record)
{
	OWN_FREE char *dir = container_dir(c), *path = xasprintf("%s/%s", dir, record ? "config.v2.json" : "hostconfig.json");
	OWN_ERR struct err err = ERR_INIT;

	if (record)
		str_set(&c->rec.state.error, "its record was damaged and comes from a copy, with the state of that time");
	damage_note("container", c->id, DAMAGE_REPAIRED, "container %.12s (%s) was damaged (%s) and is repaired from a copy", c->id,
		c->rec.name + 1, why);
	if (fs_set_aside(AT_FDCWD, path, &err) < 0 || container_save(c, true, FS_SYNC, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
}

struct container *container_load(struct container_store *s, const char *id)
{
	struct container *c = container_new(s, id);
	OWN_ERR struct err rec_err = ERR_INIT, host_err = ERR_INIT;
	OWN_FREE char *layer = NULL;
	int rec = read_either(c, "config.v2.json", read_record, &container_record_desc, &c->rec, &rec_err);
	int host = read_either(c, "hostconfig.json", read_host, &host_config_desc, &c->host, &host_err);

	if (rec < 0)
		fill_lost(c);
	if (rec < 0 || host < 0) {
		set_damaged(c, err_text(rec < 0 ? &rec_err : &host_err));
		return c;
	}
	if (rec > 0)
		write_again(c, err_text(&rec_err), true);
	if (host > 0)
		write_again(c, err_text(&host_err), false);
	layer = rwlayer_damage(image_store_layers(s->deps.images), id);
	if (layer && !(c->rec.state.running && container_has_run_dir(c)) && !c->rec.state.removal && !c->rec.state.dead)
		set_damaged(c, layer);
	ids_adopt(c);
	return c;
}

void container_tell_damage(struct container *c)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	OWN_FREE char *layer = rwlayer_damage(layers, c->id);

	if (c->rec.state.removal)
		return; /* its layer goes first */
	rwlayer_tell(layers, c->id);
	if (c->damaged)
		damage_note("container", c->id, DAMAGE_LOST, "container %.12s (%s) is damaged: %s", c->id, c->rec.name + 1, c->damaged);
	else if (layer)
		damage_note("container", c->id, DAMAGE_LOST, "container %.12s (%s): %s", c->id, c->rec.name + 1, layer);
}

bool container_has_record(struct container_store *s, const char *id)
{
	OWN_FREE char *file = xasprintf("%s/%s/config.v2.json", s->dir, id), *copy = xasprintf("%s.copy", file);

	return fs_exists(file) || fs_exists(copy);
}

int container_check_whole(const struct container *c, struct err *err)
{
	return c->damaged ? err_set(err, ERR_INTERNAL, "container %.12s is damaged: %s", c->id, c->damaged) : 0;
}

static int write_table(const char *dir, const char *file, const struct buf *b, mode_t mode, enum fs_sync sync, bool copy,
	struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, file);

	return (copy ? fs_write_copied : fs_write_atomic)(AT_FDCWD, path, b->data, b->size, mode, sync, err);
}

int container_save(struct container *c, bool with_host, enum fs_sync sync, struct err *err)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_BUF struct buf rec = { 0 };
	OWN_BUF struct buf host = { 0 };
	/* The copy is for what never changes; a mark of the state does not pay for one, nor does what goes by itself. */
	bool copy = sync == FS_SYNC && !c->host.auto_remove;
	struct jw w;

	if (c->damaged)
		return 0; /* what is on disk may still be of use to somebody */
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
	if (with_host && write_table(dir, "hostconfig.json", &host, 0644, sync == FS_SYNC ? FS_SYNC_DATA : sync, copy, err) < 0)
		return -1;
	return write_table(dir, "config.v2.json", &rec, 0600, sync, copy, err);
}

bool container_save_state(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT;

	int rc;

	/* How it ended must not be lost to a full disk. */
	reserve_allow(true);
	rc = container_save(c, false, c->host.auto_remove ? FS_RENAME_ONLY : FS_ORDERED, &err);
	reserve_allow(false);
	if (rc == 0)
		return true;
	log_error("container %s: cannot write its state: %s", c->id, err_text(&err));
	return false;
}
