/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/log.h"
#include "container/container.h"
#include "driver.h"
#include "image/graph.h"
#include "image/image.h"
#include "image/layer.h"
#include "network/net.h"
#include "remap.h"
#include "root.h"
#include "volume/volume.h"

struct check {
	const struct config *cfg;
	char *data_root;
	struct graph *graph;
	struct layer_store *layers;
	struct image_store *images;
	struct volume_store *volumes;
	struct net_controller *nets;
	struct remap remap;
};

/* What a start puts right by itself fails here, and is said. */
static int make_read_only(const char *dir, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_errno(err, errno, "mount %s for the check", dir);
	/* with what is mounted below, such as the volumes; kernels before 5.12 can do one mount only */
	if (mount_setattr(AT_FDCWD, dir, AT_RECURSIVE, &attr, sizeof(attr)) == 0 ||
	    (errno == ENOSYS && mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0))
		return 0;
	return err_errno(err, errno, "mount %s read-only for the check", dir);
}

static int open_stores(struct check *c, struct err *err)
{
	const struct config *cfg = c->cfg;
	struct container_deps deps;

	if (driver_init(&cfg->plugin_dir, &cfg->driver_options, err) < 0 || root_check_stores(c->data_root, err) < 0)
		return -1;
	c->graph = graph_open(cfg->storage_driver, c->data_root, &cfg->storage_opts, idmaps_root_uid(idmaps_root()), idmaps_root_gid(idmaps_root()), err);
	c->layers = c->graph ? layer_store_open(c->graph, c->data_root, err) : NULL;
	c->images = c->layers ? image_store_open(c->layers, c->data_root, err) : NULL;
	c->volumes = c->images ? volume_store_open(c->data_root, cfg->exec_root, err) : NULL;
	c->nets = c->volumes ? net_open(c->data_root, cfg->exec_root, NULL, err) : NULL;
	if (!c->nets)
		return -1;
	deps = (struct container_deps){ .data_root = c->data_root, .exec_root = cfg->exec_root, .images = c->images };
	return container_check(&deps, cfg->repair, err);
}

static void close_stores(struct check *c)
{
	if (c->nets)
		net_close(c->nets);
	if (c->volumes)
		volume_store_close(c->volumes);
	if (c->images)
		image_store_close(c->images);
	if (c->layers)
		layer_store_close(c->layers);
	if (c->graph)
		graph_close(c->graph);
	free(c->data_root);
	idmaps_set_root(NULL);
	remap_done(&c->remap);
}

static void print_one(void *ctx, const struct damage *d)
{
	const struct check *c = ctx;
	const char *word = d->state == DAMAGE_REPAIRED && !c->cfg->repair ? "repairable" : damage_word(d->state);

	printf("%-10s %-9s %s\n", word, d->kind, d->text);
}

static int report(struct check *c, size_t layers)
{
	size_t lost = damage_count(DAMAGE_LOST), repaired = damage_count(DAMAGE_REPAIRED), orphans = damage_count(DAMAGE_ORPHAN),
	       swept = damage_count(DAMAGE_SWEPT);

	damage_each(print_one, c);
	printf("%s: %zu layers read, %zu damaged, %zu %s, %zu orphans, %zu removed\n", c->data_root, layers, lost, repaired,
		c->cfg->repair ? "repaired" : "repairable", orphans, swept);
	if (fflush(stdout) != 0)
		return 1;
	return lost || orphans || (repaired && !c->cfg->repair);
}

/* With --userns-remap that of these ids, which is as the daemon left it. */
static char *find_root(struct check *c, struct err *err)
{
	OWN_FREE char *path = NULL;
	char *real;

	if (remap_setup(c->cfg->userns_remap, false, &c->remap, err) < 0)
		return NULL;
	idmaps_set_root(idmaps_none(&c->remap.maps) ? NULL : &c->remap.maps);
	path = c->remap.on ? remap_path(&c->remap, c->cfg->data_root) : xstrdup(c->cfg->data_root);
	real = realpath(path, NULL);
	if (!real)
		err_errno(err, errno, "the data-root %s", path);
	return real;
}

static int run(struct check *c, struct err *err)
{
	OWN_FD int lock = -1, theirs = -1;
	size_t layers;

	if (root_check_user(err) < 0)
		return -1;
	c->data_root = find_root(c, err);
	if (!c->data_root)
		return -1;
	lock = root_lock(c->data_root, err);
	if (lock < 0 || root_lock_docker(c->data_root, &theirs, err) < 0 || (!c->cfg->repair && make_read_only(c->data_root, err) < 0) || open_stores(c, err) < 0)
		return -1;
	layers = layer_check_all(c->layers);
	/* An orphan may be what a damaged layer has lost. */
	layer_orphans(c->layers, c->cfg->repair && !damage_count(DAMAGE_LOST));
	return report(c, layers);
}

int check_run(const struct config *cfg)
{
	struct check c = { .cfg = cfg };
	OWN_ERR struct err err = ERR_INIT;
	int rc;

	if (!cfg->debug)
		log_set_level(LOG_FATAL); /* all that matters is printed */
	rc = run(&c, &err);
	if (rc < 0)
		fprintf(stderr, "%s\n", err_text(&err));
	close_stores(&c);
	return rc < 0 ? 1 : rc;
}
