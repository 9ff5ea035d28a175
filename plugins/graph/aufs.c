/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * aufs: a layer is the directory of its differences, stacked by a kernel that has aufs. Layout as Docker's, in ROOT:
 *   diff/ID    what the layer adds, with aufs' own whiteouts
 *   layers/ID  the ids of the layers below, the nearest first, one a line; a layer is there when this file is
 *   mnt/ID     where the layer is mounted
 * A folder that is being removed is called ID-removing first.
 */
#include "aufs.h"

#include <dirent.h>
#include <dockerd/graph.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dir.h"

#define REMOVING "-removing"
#define PARENTS_SIZE (AUFS_BRANCHES * (NAME_MAX + 1) + 1)

struct dkd_graph {
	const struct dkd_host *host;
	char *root;
	int fd; /* of root */
	uint32_t uid, gid;
	const char *fs_name;
	bool dirperm1;
};

/* The layers below one, the nearest first. */
struct parents {
	char text[PARENTS_SIZE];
	const char *v[AUFS_BRANCHES + 1];
	size_t len;
};

/* Opening */

static int32_t probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	char layers[PATH_MAX];

	if (aufs_calls->kernel_has())
		return DKD_PROBE_MINE;
	host->fail(host, call, DKD_ERR_INTERNAL, 0, "driver not supported: aufs: this kernel has no aufs, or has not loaded it yet (modprobe aufs)");
	snprintf(layers, sizeof(layers), "%s/layers", root ? root : "");
	return root && !dir_is_empty(layers) ? DKD_PROBE_BROKEN : DKD_PROBE_NOT_HERE;
}

static void aufs_close(struct dkd_graph *g)
{
	if (g->fd >= 0)
		close(g->fd);
	free(g->root);
	free(g);
}

static bool is_removing(const char *name)
{
	size_t n = strlen(name), end = strlen(REMOVING);

	return n > end && strcmp(name + n - end, REMOVING) == 0;
}

/* What a crash left of removals. */
static void sweep(struct dkd_graph *g, const char *folder)
{
	int fd = openat(g->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (is_removing(e->d_name) && dir_remove(fd, e->d_name) < 0)
			dkd_logf(g->host, DKD_LOG_WARN, "remove %s/%s/%s: %s", g->root, folder, e->d_name, strerror(errno));
	if (dir)
		closedir(dir);
}

static int32_t prepare(const struct dkd_call *call, struct dkd_graph *g)
{
	static const char *const folders[] = { "mnt", "diff", "layers" };

	if ((dir_make_all(g->root, 0710) < 0 || dir_make(AT_FDCWD, g->root, 0710, geteuid(), g->gid) < 0) && errno != EROFS)
		return dir_failf(g->host, call, "make %s", g->root);
	g->fd = open(g->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0)
		return dir_failf(g->host, call, "open %s", g->root);
	g->fs_name = dir_fs_name(g->root);
	if (strcmp(g->fs_name, "aufs") == 0 || strcmp(g->fs_name, "btrfs") == 0 || strcmp(g->fs_name, "ecryptfs") == 0)
		return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "AUFS is not supported over %s", g->fs_name);
	if (strpbrk(g->root, ":=,"))
		return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "aufs takes no path with ':', '=' or ',' in it: %s", g->root);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (dir_make(g->fd, folders[i], 0710, geteuid(), g->gid) < 0 && errno != EROFS)
			return dir_failf(g->host, call, "make %s/%s", g->root, folders[i]);
	sweep(g, "mnt");
	sweep(g, "diff");
	return 0;
}

static int32_t aufs_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g;

	if (!aufs_calls->kernel_has())
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "driver not supported: aufs: this kernel has no aufs, or has not loaded it yet (modprobe aufs)");
	if (o->options_len)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "aufs: unknown option %s", o->options[0].key);
	g = calloc(1, sizeof(*g));
	if (!g || !(g->root = strdup(o->root)))
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "aufs");
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->fd = -1;
	if (prepare(call, g) < 0)
		return aufs_close(g), -1;
	g->dirperm1 = aufs_has_dirperm1(g->root);
	if (!g->dirperm1)
		host->log(host, DKD_LOG_WARN, "Current kernel doesn't support dirperm1");
	*ret = g;
	return 0;
}

/* Layers */

static int32_t aufs_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];

	(void)call;
	snprintf(path, sizeof(path), "layers/%s", id);
	return faccessat(g->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_id(const char *s)
{
	return *s && *s != '.' && strlen(s) <= NAME_MAX && !strpbrk(s, "/:=,");
}

/* -1 with errno; EUCLEAN: a file that says nothing sensible. */
static int read_parents(struct dkd_graph *g, const char *id, struct parents *p)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "layers/%s", id);
	p->len = 0;
	if (dir_read_file(g->fd, path, p->text, sizeof(p->text)) < 0)
		return -1;
	for (char *line = p->text, *end; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		if (p->len == AUFS_BRANCHES || !is_id(line))
			return errno = EUCLEAN, -1;
		p->v[p->len++] = line;
	}
	return 0;
}

/* 1 when there would be too many. */
static int write_parents(struct dkd_graph *g, const char *id, const char *parent)
{
	char path[PATH_MAX], text[PARENTS_SIZE + NAME_MAX + 2] = "";
	struct parents p = { .len = 0 };
	size_t n = 0;

	if (parent) {
		if (read_parents(g, parent, &p) < 0)
			return -1;
		if (p.len + 2 > AUFS_BRANCHES)
			return 1;
		n = (size_t)snprintf(text, sizeof(text), "%s\n", parent);
		for (size_t i = 0; i < p.len; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", p.v[i]);
	}
	snprintf(path, sizeof(path), "layers/%s", id);
	return dir_write_file(g->fd, path, text, 0644);
}

/* The folder of a layer in mnt or diff. */
static int make_folder(struct dkd_graph *g, const char *folder, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, id);
	return dir_make(g->fd, path, 0755, g->uid, g->gid);
}

static int unmount(const struct dkd_call *call, struct dkd_graph *g, const char *id);

static int remove_folder(struct dkd_graph *g, const char *folder, const char *id)
{
	char path[PATH_MAX], aside[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, id);
	snprintf(aside, sizeof(aside), "%s/%s" REMOVING, folder, id);
	if (renameat(g->fd, path, g->fd, aside) < 0 && errno != ENOENT) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -1;
		/* one of an earlier time is in the way */
		if (dir_remove(g->fd, aside) < 0 || renameat(g->fd, path, g->fd, aside) < 0)
			return -1;
	}
	return dir_remove(g->fd, aside);
}

/* The file last of all: what is left before that is a layer still, and can be removed again. */
static int remove_layer(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];

	if (unmount(call, g, id) < 0 || remove_folder(g, "mnt", id) < 0 || remove_folder(g, "diff", id) < 0)
		return -1;
	snprintf(path, sizeof(path), "layers/%s", id);
	return unlinkat(g->fd, path, 0) < 0 && errno != ENOENT ? -1 : 0;
}

static int32_t check_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	if (c->options_len)
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt is not supported for aufs");
	if (c->idmaps)
		return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "aufs: id maps of a single container are not supported");
	if (aufs_exists(call, g, c->id))
		return dkd_failf(g->host, call, DKD_ERR_CONFLICT, 0, "layer %s exists already", c->id);
	if (c->parent && !aufs_exists(call, g, c->parent))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "parent layer %s", c->parent);
	return 0;
}

static int32_t aufs_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	int rc;

	if (check_create(call, g, c) < 0)
		return -1;
	rc = make_folder(g, "mnt", c->id) < 0 || make_folder(g, "diff", c->id) < 0 ? -1 : write_parents(g, c->id, c->parent);
	if (rc == 0)
		return 0;
	if (rc > 0)
		g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "max depth exceeded");
	else
		dir_failf(g->host, call, "make layer %s in %s", c->id, g->root);
	remove_layer(call, g, c->id);
	return -1;
}

static int32_t aufs_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	return remove_layer(call, g, id) < 0 ? dir_failf(g->host, call, "remove layer %s in %s", id, g->root) : 0;
}

static int32_t aufs_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	int fd = openat(g->fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return dir_failf(g->host, call, "list %s/layers", g->root);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && emit(to, e->d_name) != 0)
			break;
	closedir(dir);
	return 0;
}

/* Mounts */

static int32_t mount_layer(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *req, const struct parents *p, const char *target)
{
	char rw[PATH_MAX], *ro[AUFS_BRANCHES];
	struct aufs_mount m = {
		.rw = rw, .ro = (const char *const *)ro, .ro_len = p->len, .target = target, .label = req->label, .dirperm1 = g->dirperm1,
	};
	size_t made = 0;
	int32_t rc = -1;

	snprintf(rw, sizeof(rw), "%s/diff/%s", g->root, req->id);
	while (made < p->len && asprintf(&ro[made], "%s/diff/%s", g->root, p->v[made]) >= 0)
		made++;
	if (made < p->len)
		g->host->fail(g->host, call, DKD_ERR_INTERNAL, ENOMEM, "aufs");
	else if (make_folder(g, "mnt", req->id) < 0)
		dir_failf(g->host, call, "make %s", target);
	else if (aufs_mount(&m) < 0)
		dir_failf(g->host, call, "error creating aufs mount to %s", target);
	else
		rc = 0;
	while (made > 0)
		free(ro[--made]);
	return rc;
}

static int32_t aufs_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	struct parents p;

	if (m->idmaps)
		return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "aufs: id maps of a single mount are not supported");
	if (!aufs_exists(call, g, m->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", m->id);
	if (read_parents(g, m->id, &p) < 0)
		return dir_failf(g->host, call, "read %s/layers/%s", g->root, m->id);
	snprintf(path, sizeof(path), "%s/%s/%s", g->root, p.len ? "mnt" : "diff", m->id);
	if (p.len && !aufs_calls->is_mounted(path) && mount_layer(call, g, m, &p, path) < 0)
		return -1;
	emit(to, path);
	return 0;
}

/* aufs keeps links between branches, which the program of its tools writes down before an unmount; without it nothing is said. */
static void flush_links(const struct dkd_call *call, struct dkd_graph *g, const char *target)
{
	const char *argv[] = { "/sbin/auplink", target, "flush", NULL };

	if (access(argv[0], X_OK) == 0 && g->host->run(g->host, call, argv, NULL, NULL) != 0)
		dkd_logf(g->host, DKD_LOG_WARN, "Couldn't run auplink before unmount %s", target);
}

static int unmount(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/mnt/%s", g->root, id);
	if (!aufs_calls->is_mounted(path))
		return 0;
	flush_links(call, g, path);
	if (aufs_calls->umount(path, UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EBUSY ? aufs_calls->umount(path, MNT_DETACH | UMOUNT_NOFOLLOW) : -1;
}

static int32_t aufs_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	return unmount(call, g, id) < 0 ? dir_failf(g->host, call, "unmount %s/mnt/%s", g->root, id) : 0;
}

static int32_t aufs_cleanup(const struct dkd_call *call, struct dkd_graph *g)
{
	int fd = openat(g->fd, "mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && unmount(call, g, e->d_name) < 0)
			dkd_logf(g->host, DKD_LOG_WARN, "unmount %s/mnt/%s: %s", g->root, e->d_name, strerror(errno));
	if (dir)
		closedir(dir);
	return 0;
}

/* Facts and trees */

static int32_t count_one(void *to, const char *id)
{
	(void)id;
	++*(unsigned *)to;
	return 0;
}

static int32_t aufs_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	unsigned dirs = 0;
	char text[16];

	if (aufs_list(call, g, count_one, &dirs) < 0)
		return -1;
	snprintf(text, sizeof(text), "%u", dirs);
	emit(to, "Root Dir", g->root);
	emit(to, "Backing Filesystem", g->fs_name);
	emit(to, "Dirs", text);
	emit(to, "Dirperm1 Supported", g->dirperm1 ? "true" : "false");
	return 0;
}

static int32_t aufs_tree(const struct dkd_call *call, struct dkd_graph *g, struct dkd_graph_tree *t, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	struct parents p;

	if (!aufs_exists(call, g, t->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", t->id);
	if (read_parents(g, t->id, &p) < 0)
		return dir_failf(g->host, call, "read %s/layers/%s", g->root, t->id);
	if (t->parent ? !p.len || strcmp(p.v[0], t->parent) != 0 : p.len > 0)
		return 1;
	snprintf(path, sizeof(path), "%s/diff/%s", g->root, t->id);
	t->whiteout = DKD_GRAPH_WHITEOUT_AUFS;
	emit(to, path);
	return 0;
}

static int32_t capabilities(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret)
{
	(void)call, (void)g;
	*ret = DKD_GRAPH_CAP_PARALLEL;
	return 0;
}

static const struct dkd_graph_ops ops = {
	.probe = probe, .open = aufs_open, .close = aufs_close, .create = aufs_create, .remove = aufs_remove, .exists = aufs_exists,
	.get = aufs_get, .put = aufs_put, .status = aufs_status, .tree = aufs_tree, .list = aufs_list, .cleanup = aufs_cleanup,
	.capabilities = capabilities,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "aufs", .version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
