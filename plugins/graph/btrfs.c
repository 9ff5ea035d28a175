/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * btrfs: a layer is a subvolume, made as a snapshot of its parent's. Layout as Docker's, in ROOT:
 *   subvolumes/ID  the whole tree of the layer
 *   quotas/ID      its size in bytes, of a layer that has one
 * Nothing is mounted; trees are compared and written by the daemon.
 */
#include <dirent.h>
#include <dockerd/graph.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "dir.h"
#include "size.h"
#include "subvolume.h"

#define GONE_MAX 256

struct dkd_graph {
	const struct dkd_host *host;
	char *root;
	int subvolumes, quotas;
	uint32_t uid, gid;
	uint64_t min_space;
	pthread_mutex_t lock; /* what follows */
	uint64_t gone[GONE_MAX]; /* groups of quota whose subvolumes are removed, until the kernel lets them go */
	unsigned gone_len;
};

/* Opening */

static bool on_btrfs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned)st.f_type == BTRFS_SUPER_MAGIC;
}

static bool kernel_has_btrfs(void)
{
	FILE *f = fopen("/proc/filesystems", "re");
	char line[128];
	bool ret = false;

	while (f && !ret && fgets(line, sizeof(line), f))
		ret = strstr(line, "\tbtrfs\n") != NULL;
	if (f)
		fclose(f);
	return ret;
}

static int32_t probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	char path[PATH_MAX], layers[PATH_MAX];
	char *slash;

	if (!root) {
		if (kernel_has_btrfs())
			return DKD_PROBE_MINE;
		host->fail(host, call, DKD_ERR_INTERNAL, 0, "this kernel has no btrfs, or has not loaded it yet (modprobe btrfs)");
		return DKD_PROBE_NOT_HERE;
	}
	snprintf(path, sizeof(path), "%s", root);
	snprintf(layers, sizeof(layers), "%s/subvolumes", root);
	while (access(path, F_OK) < 0 && (slash = strrchr(path, '/')) && slash > path)
		*slash = '\0';
	if (on_btrfs(path))
		return DKD_PROBE_MINE;
	dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "prerequisites for driver not satisfied (wrong filesystem?): %s lies on %s, not on btrfs", path, dir_fs_name(path));
	return dir_is_empty(layers) ? DKD_PROBE_NOT_HERE : DKD_PROBE_BROKEN;
}

static void btrfs_close(struct dkd_graph *g)
{
	if (g->subvolumes >= 0)
		close(g->subvolumes);
	if (g->quotas >= 0)
		close(g->quotas);
	pthread_mutex_destroy(&g->lock);
	free(g->root);
	free(g);
}

static int32_t check_options(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_open *o)
{
	for (uint32_t i = 0; i < o->options_len; i++) {
		if (strcasecmp(o->options[i].key, "btrfs.min_space") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Unknown option %s", o->options[i].key);
		if (!size_parse(o->options[i].value, &g->min_space))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", o->options[i].value);
	}
	return 0;
}

static int open_folder(struct dkd_graph *g, const char *name, mode_t mode, gid_t gid)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", g->root, name) >= (int)sizeof(path))
		return errno = ENAMETOOLONG, -1;
	/* On a read-only file system what is there does, as it is. */
	if (dir_make(AT_FDCWD, path, mode, geteuid(), gid) < 0 && errno != EROFS)
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int32_t prepare(const struct dkd_call *call, struct dkd_graph *g)
{
	if ((dir_make_all(g->root, 0710) < 0 || dir_make(AT_FDCWD, g->root, 0710, geteuid(), g->gid) < 0) && errno != EROFS)
		return dir_failf(g->host, call, "make %s", g->root);
	if (!on_btrfs(g->root))
		return dkd_failf(g->host, call, DKD_ERR_INTERNAL, 0, "prerequisites for driver not satisfied (wrong filesystem?): %s lies on %s, not on btrfs",
			g->root, dir_fs_name(g->root));
	g->subvolumes = open_folder(g, "subvolumes", 0710, g->gid);
	if (g->subvolumes < 0)
		return dir_failf(g->host, call, "make %s/subvolumes", g->root);
	g->quotas = open_folder(g, "quotas", 0700, 0);
	return g->quotas < 0 ? dir_failf(g->host, call, "make %s/quotas", g->root) : 0;
}

static int32_t btrfs_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g = calloc(1, sizeof(*g));

	if (!g || !(g->root = strdup(o->root)))
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "btrfs");
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->subvolumes = g->quotas = -1;
	pthread_mutex_init(&g->lock, NULL);
	if (check_options(call, g, o) < 0 || prepare(call, g) < 0)
		return btrfs_close(g), -1;
	*ret = g;
	return 0;
}

/* Sizes */

/* 0 for a layer without one. */
static uint64_t size_of(struct dkd_graph *g, const char *id)
{
	char text[32];
	uint64_t ret;

	return dir_read_file(g->quotas, id, text, sizeof(text)) > 0 && size_parse(text, &ret) ? ret : 0;
}

/* Quotas are a matter of the whole file system, which pays for them: they are switched on when the first size is asked for. */
static int limit(struct dkd_graph *g, const char *id, uint64_t size)
{
	int fd = openat(g->subvolumes, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc, sys;

	if (fd < 0)
		return -1;
	rc = subvolume_limit(fd, size);
	if (rc < 0 && (errno == ENOTCONN || errno == EINVAL || errno == ENOENT))
		rc = subvolume_quotas_on(fd) < 0 ? -1 : subvolume_limit(fd, size);
	sys = errno;
	close(fd);
	errno = sys;
	return rc;
}

static int set_size(struct dkd_graph *g, const char *id, uint64_t size)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, size);
	return limit(g, id, size) < 0 ? -1 : dir_write_file(g->quotas, id, text, 0644);
}

/* Takes note of a removed subvolume's group, and drops those that the kernel is done with. */
static void drop_groups(struct dkd_graph *g, uint64_t id)
{
	unsigned kept = 0;

	pthread_mutex_lock(&g->lock);
	if (g->gone_len == GONE_MAX) /* an empty group is not worth more */
		memmove(g->gone, g->gone + 1, sizeof(*g->gone) * --g->gone_len);
	g->gone[g->gone_len++] = id;
	for (unsigned i = 0; i < g->gone_len; i++)
		if (subvolume_drop_group(g->subvolumes, g->gone[i]) < 0 && errno == EBUSY)
			g->gone[kept++] = g->gone[i];
	g->gone_len = kept;
	pthread_mutex_unlock(&g->lock);
}

/* Layers */

static int32_t btrfs_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct stat st;

	(void)call;
	return fstatat(g->subvolumes, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int32_t no_idmaps(const struct dkd_call *call, struct dkd_graph *g)
{
	return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "btrfs: id maps of a single container are not supported");
}

static int32_t check_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c, uint64_t *ret_size)
{
	char least[SIZE_TEXT];

	*ret_size = 0;
	for (uint32_t i = 0; i < c->options_len; i++) {
		if (strcasecmp(c->options[i].key, "size") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Unknown option %s", c->options[i].key);
		if (!(c->flags & DKD_GRAPH_RW))
			return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt size is only supported for ReadWrite Layers");
		if (!size_parse(c->options[i].value, ret_size))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", c->options[i].value);
		if (*ret_size < g->min_space)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "btrfs: storage size cannot be less than %s", size_human(g->min_space, least));
	}
	if (c->idmaps)
		return no_idmaps(call, g);
	if (faccessat(g->subvolumes, c->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return dkd_failf(g->host, call, DKD_ERR_CONFLICT, 0, "layer %s exists already", c->id);
	if (c->parent && !btrfs_exists(call, g, c->parent))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "parent layer %s", c->parent);
	return 0;
}

static int make_subvolume(struct dkd_graph *g, const char *id, const char *parent)
{
	int source, rc, sys;

	if (!parent)
		return subvolume_create(g->subvolumes, id) < 0 ? -1 : dir_make(g->subvolumes, id, 0755, g->uid, g->gid);
	source = openat(g->subvolumes, parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = source < 0 ? -1 : subvolume_snapshot(g->subvolumes, id, source);
	sys = errno;
	if (source >= 0)
		close(source);
	errno = sys;
	return rc;
}

static int remove_layer(struct dkd_graph *g, const char *id)
{
	int is = subvolume_is(g->subvolumes, id);
	uint64_t was;

	unlinkat(g->quotas, id, 0);
	if (is < 0)
		return errno == ENOENT ? 0 : -1;
	if (!is) /* copied here by hand */
		return dir_remove(g->subvolumes, id);
	if (subvolume_destroy(g->subvolumes, id, &was) < 0)
		return -1;
	drop_groups(g, was);
	return 0;
}

static int32_t btrfs_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	uint64_t size;

	if (check_create(call, g, c, &size) < 0)
		return -1;
	if (make_subvolume(g, c->id, c->parent) == 0 && (!size || set_size(g, c->id, size) == 0))
		return 0;
	dir_failf(g->host, call, "make %s/subvolumes/%s", g->root, c->id);
	remove_layer(g, c->id);
	return -1;
}

static int32_t btrfs_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	return remove_layer(g, id) < 0 ? dir_failf(g->host, call, "remove %s/subvolumes/%s", g->root, id) : 0;
}

static int32_t btrfs_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	uint64_t size;

	if (m->idmaps)
		return no_idmaps(call, g);
	if (!btrfs_exists(call, g, m->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", m->id);
	/* Whatever became of the file system's quotas in between. */
	size = size_of(g, m->id);
	if (size && limit(g, m->id, size) < 0)
		return dir_failf(g->host, call, "limit %s/subvolumes/%s", g->root, m->id);
	snprintf(path, sizeof(path), "%s/subvolumes/%s", g->root, m->id);
	emit(to, path);
	return 0;
}

static int32_t btrfs_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	(void)call, (void)g, (void)id;
	return 0; /* nothing is mounted */
}

static int32_t btrfs_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	int fd = openat(g->subvolumes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return dir_failf(g->host, call, "list %s/subvolumes", g->root);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && emit(to, e->d_name) != 0)
			break;
	closedir(dir);
	return 0;
}

static int32_t btrfs_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	(void)call, (void)g;
	emit(to, "Btrfs", "");
	return 0;
}

static int32_t capabilities(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret)
{
	(void)call, (void)g;
	*ret = DKD_GRAPH_CAP_QUOTA;
	return 0;
}

static const struct dkd_graph_ops ops = {
	.probe = probe, .open = btrfs_open, .close = btrfs_close, .create = btrfs_create, .remove = btrfs_remove, .exists = btrfs_exists,
	.get = btrfs_get, .put = btrfs_put, .list = btrfs_list, .status = btrfs_status, .capabilities = capabilities,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "btrfs", .version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
