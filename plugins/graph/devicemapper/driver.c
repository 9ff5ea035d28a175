/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * devicemapper: a layer is a thin device of the kernel's device-mapper with a file system on it, made as a snapshot of its parent's.
 * Trees are compared and written by the daemon. Layout as Docker's, in ROOT:
 *   devicemapper/{data,metadata}  loop files of the pool, where it is not given a device
 *   metadata/                     see store.h
 *   mnt/ID                        where a layer is mounted, while it is
 *   mnt/ID/rootfs                 its tree, inside the device; mnt/ID/id beside it names the layer
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dir.h"
#include "size.h"
#include "base.h"
#include "driver.h"
#include "lvm.h"

static int32_t dm_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	struct dm_error e = { 0 };
	struct store_device v;
	char path[PATH_MAX];

	if (m->idmaps)
		return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "devicemapper: id maps of a single mount are not supported");
	if (devices_find(&g->devices, m->id, &v, &e) < 0)
		return dm_tell(g->host, call, &e);
	if (!mounts_has(g, m->id) && mounts_make(g, &v, m->label, call, &e) < 0)
		return dm_tell(g->host, call, &e);
	mounts_let_go(g, m->id);
	mounts_hold(g, m->id);
	snprintf(path, sizeof(path), "%s/%s/rootfs", g->mnt, m->id);
	emit(to, path);
	return 0;
}

static int32_t dm_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct dm_error e = { 0 };

	if (store_reserved(id))
		return 0;
	mounts_let_go(g, id);
	return mounts_undo(g, id, call, &e) < 0 ? dm_tell(g->host, call, &e) : 0;
}

/* Opening */

static int32_t probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	char why[256], path[PATH_MAX];

	if (thin_here(why, sizeof(why)) == 0)
		return DKD_PROBE_MINE;
	dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "devicemapper: %s", why);
	if (!root)
		return DKD_PROBE_NOT_HERE;
	snprintf(path, sizeof(path), "%s/metadata/base", root);
	return access(path, F_OK) == 0 ? DKD_PROBE_BROKEN : DKD_PROBE_NOT_HERE;
}

static int open_dir(struct dkd_graph *g, const char *name, mode_t mode, uid_t uid, gid_t gid, struct dm_error *e)
{
	int fd = dir_make(g->fd, name, mode, uid, gid) == 0 ? openat(g->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	return fd < 0 ? DM_FAIL(e, "devmapper: make %s/%s", g->root, name) : fd;
}

static int open_dirs(struct dkd_graph *g, struct dm_error *e)
{
	if (dir_make_all(g->root, 0700) < 0 || dir_make(AT_FDCWD, g->root, 0700, g->uid, g->gid) < 0)
		return DM_FAIL(e, "devmapper: make %s", g->root);
	if (mounts_private(g, e) < 0)
		return -1;
	g->fd = open(g->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0)
		return DM_FAIL(e, "devmapper: open %s", g->root);
	g->metafd = open_dir(g, "metadata", 0700, geteuid(), getegid(), e);
	g->mntfd = g->metafd < 0 ? -1 : open_dir(g, "mnt", 0755, g->uid, g->gid, e);
	return g->mntfd < 0 ? -1 : 0;
}

static int check_udev(struct dkd_graph *g, struct dm_error *e)
{
	g->udev = thin_udev();
	if (!thin_udev_unheard() || g->options.override_udev)
		return 0;
	return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Udev sync is not supported. This will lead to data loss and unexpected behavior. udev runs on this host, "
		"and libdevmapper cannot wait for it; dm.override_udev_sync_check=true goes on all the same");
}

static int any(void *to, const struct store_device *v, bool damaged)
{
	(void)v, (void)damaged;
	return *(bool *)to = true;
}

static int open_pool(struct dkd_graph *g, const struct dkd_call *call, struct dm_error *e)
{
	bool has_devices = false;
	char prefix[64];
	struct stat st;

	if (g->options.lvm.device) {
		if (lvm_setup(g->host, call, &g->options.lvm, g->fd, e) < 0)
			return -1;
		g->options.pool = strdup(LVM_POOL);
		if (!g->options.pool)
			return dm_refuse(e, DKD_ERR_INTERNAL, ENOMEM, "devmapper: options");
	}
	if (fstat(g->fd, &st) < 0)
		return DM_FAIL(e, "devmapper: look at %s", g->root);
	snprintf(prefix, sizeof(prefix), "docker-%u:%u-%llu", major(st.st_dev), minor(st.st_dev), (unsigned long long)st.st_ino);
	if (store_migrate(g->fd, g->metafd) < 0)
		return DM_FAIL(e, "devmapper: take over the metadata of an old release");
	store_each_device(g->metafd, any, &has_devices);
	if (pool_open(&g->pool, &g->options, g->root, g->fd, prefix, has_devices, e) < 0)
		return -1;
	if (*g->pool.data_file || *g->pool.meta_file)
		dkd_logf(g->host, DKD_LOG_WARN, "Usage of loopback devices is strongly discouraged for production use. "
			"Please use `--storage-opt dm.thinpooldev` or use `man dockerd` to refer to dm.thinpooldev section.");
	return devices_open(&g->devices, g->host, &g->options, g->pool.name, prefix, g->metafd, e);
}

static bool layer_is_mounted(void *to, const char *layer)
{
	return mounts_has(to, layer);
}

static int open_all(struct dkd_graph *g, const struct dkd_graph_open *o, const struct dkd_call *call, struct dm_error *e)
{
	char why[256];

	if (thin_here(why, sizeof(why)) < 0)
		return dm_refuse(e, DKD_ERR_INTERNAL, 0, "devicemapper: %s", why);
	if (dm_options_parse(&g->options, o->options, o->options_len, thin_defers_removal(), e) < 0)
		return -1;
	thin_log(g->host, g->options.log_level);
	if (check_udev(g, e) < 0 || open_dirs(g, e) < 0 || open_pool(g, call, e) < 0)
		return -1;
	devices_tidy(&g->devices, layer_is_mounted, g);
	if (base_setup(&g->devices, &g->pool, g->mnt, call, e) < 0)
		return -1;
	devices_retry(&g->devices);
	if (g->options.deferred_deletion && devices_work(&g->devices) < 0)
		return DM_FAIL(e, "devmapper: start the thread of deferred deletions");
	return 0;
}

/* The pool and the mount of root, unless something is mounted: containers that go on. */
static void take_down(struct dkd_graph *g)
{
	if (g->mntfd >= 0 && mounts_count(g))
		return;
	if (*g->pool.name && pool_close(&g->pool) < 0)
		dkd_logf(g->host, DKD_LOG_INFO, "the thin pool %s stays: %s", g->pool.name, strerror(errno));
	if (g->bound && umount2(g->root, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		dkd_logf(g->host, DKD_LOG_INFO, "unmount %s: %s", g->root, strerror(errno));
	g->bound = false;
}

static int32_t dm_cleanup(const struct dkd_call *call, struct dkd_graph *g)
{
	devices_rest(&g->devices);
	mounts_sweep(g, call);
	devices_tidy(&g->devices, layer_is_mounted, g);
	take_down(g);
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void dm_close(struct dkd_graph *g)
{
	devices_close(&g->devices);
	thin_release();
	thin_log(NULL, THIN_LOG_FATAL);
	mounts_let_all_go(g);
	close_fd(g->metafd);
	close_fd(g->mntfd);
	close_fd(g->fd);
	dm_options_done(&g->options);
	pthread_mutex_destroy(&g->held_lock);
	free(g->root);
	free(g->mnt);
	free(g);
}

static int32_t dm_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g = calloc(1, sizeof(*g));
	struct dm_error e = { 0 };

	if (!g || !(g->root = strdup(o->root)) || asprintf(&g->mnt, "%s/mnt", o->root) < 0)
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "devicemapper");
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->fd = g->mntfd = g->metafd = -1;
	pthread_mutex_init(&g->held_lock, NULL);
	thin_log(host, THIN_LOG_FATAL);
	if (open_all(g, o, call, &e) < 0) {
		dm_tell(host, call, &e);
		devices_rest(&g->devices);
		if (g->devices.used)
			devices_tidy(&g->devices, layer_is_mounted, g);
		take_down(g);
		return dm_close(g), -1;
	}
	*ret = g;
	return 0;
}

/* Layers */

static int32_t create_options(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c, uint64_t *ret_size)
{
	*ret_size = 0;
	for (uint32_t i = 0; i < c->options_len; i++) {
		if (strcasecmp(c->options[i].key, "size") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Unknown option %s", c->options[i].key);
		if (!(c->flags & DKD_GRAPH_RW))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt size is only supported for ReadWrite Layers");
		if (!size_parse(c->options[i].value, ret_size))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", c->options[i].value);
	}
	if (c->idmaps)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "devicemapper: id maps of a single container are not supported");
	return 0;
}

static int32_t dm_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	const char *parent = c->parent ? c->parent : STORE_BASE;
	struct store_device v, origin;
	struct dm_error e = { 0 }, unused = { 0 };
	uint64_t bytes;

	if (create_options(call, g, c, &bytes) < 0)
		return -1;
	if (devices_find(&g->devices, parent, &origin, &e) < 0 || devices_snapshot(&g->devices, c->id, parent, bytes, call, &e) < 0)
		return dm_tell(g->host, call, &e);
	if (bytes <= origin.bytes)
		return 0;
	if (devices_find(&g->devices, c->id, &v, &e) == 0 && base_grow(&g->devices, &v, g->mnt, call, &e) == 0)
		return 0;
	devices_delete(&g->devices, c->id, false, call, &unused);
	return dm_tell(g->host, call, &e);
}

static int32_t dm_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct dm_error e = { 0 };

	if (store_reserved(id))
		return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "%s is not a layer", id);
	mounts_let_go(g, id);
	if ((mounts_has(g, id) && mounts_undo(g, id, call, &e) < 0) || devices_delete(&g->devices, id, false, call, &e) < 0)
		return dm_tell(g->host, call, &e);
	if (dir_remove(g->mntfd, id) < 0)
		return dkd_failf(g->host, call, DKD_ERR_INTERNAL, errno, "remove %s/%s", g->mnt, id);
	return 0;
}

static int32_t dm_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct dm_error e = { 0 };
	struct store_device v;

	if (devices_find(&g->devices, id, &v, &e) == 0)
		return !v.deleted;
	/* a damaged one is there */
	return e.class != DKD_ERR_NOT_FOUND;
}

struct listing { dkd_emit *emit; void *to; };

static int list_one(void *to, const struct store_device *v, bool damaged)
{
	struct listing *l = to;

	(void)damaged;
	return *v->layer && !v->deleted ? l->emit(l->to, v->layer) : 0;
}

static int32_t dm_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	struct listing l = { emit, to };

	if (store_each_device(g->metafd, list_one, &l) < 0)
		return dkd_failf(g->host, call, DKD_ERR_INTERNAL, errno, "list %s/metadata", g->root);
	return 0;
}

static int32_t capabilities(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret)
{
	(void)call, (void)g;
	*ret = DKD_GRAPH_CAP_QUOTA;
	return 0;
}

/* Disks */

static int sync_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc, sys;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	rc = syncfs(fd);
	sys = errno;
	close(fd);
	errno = sys;
	return rc;
}

/* File systems that are mounted first, then what the pool's loop files and the metadata lie on. Unmounted ones are with the pool. */
static int32_t dm_sync(const struct dkd_call *call, struct dkd_graph *g)
{
	int fd = openat(g->mntfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (dir && rc == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			rc = sync_dir(g->mntfd, entry->d_name);
	if (dir)
		closedir(dir);
	if (!dir || rc < 0 || syncfs(g->fd) < 0)
		return dkd_failf(g->host, call, DKD_ERR_INTERNAL, errno, "sync %s", g->root);
	return 0;
}

/* The pool has it, and the file with its metadata is written: its name is left. */
static int32_t dm_sync_layer(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	return fsync(g->metafd) < 0 ? dkd_failf(g->host, call, DKD_ERR_INTERNAL, errno, "sync the metadata of %s", id) : 0;
}

static const struct dkd_graph_ops ops = {
	.probe = probe, .open = dm_open, .close = dm_close, .create = dm_create, .remove = dm_remove, .exists = dm_exists, .get = dm_get, .put = dm_put,
	.status = facts_status, .metadata = facts_metadata, .list = dm_list, .sync = dm_sync, .cleanup = dm_cleanup, .capabilities = capabilities,
	.sync_layer = dm_sync_layer,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "devicemapper", .version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
