/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user namespace of a container: whose ids it has, and with whom it shares it. */
#include <dirent.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"

static bool is_host(const char *mode)
{
	return mode && streq(mode, "host");
}

#define ANNOTATION   "engine.userns"
#define DEFAULT_SIZE UINT32_C(65536)
#define SIZE_MAX_IDS (UINT32_C(1) << 31)
#define SPEC_MAX     16384
#define DAEMONS_OWN  (UINT32_MAX - 1) /* on disk, the owner of what the daemon is about to give away */

/* "auto", "auto:size=N". */
static bool parse_auto(const char *mode, uint32_t *ret_size)
{
	uint64_t n = DEFAULT_SIZE;

	if (!mode || !str_has_prefix(mode, "auto"))
		return false;
	mode += strlen("auto");
	if (*mode && (!str_has_prefix(mode, ":size=") || !str_to_u64(mode + strlen(":size="), &n) || !n || n > SIZE_MAX_IDS))
		return false;
	*ret_size = (uint32_t)n;
	return true;
}

bool userns_auto(const struct host_config *hc, uint32_t *ret_size)
{
	const char *mode = !str_empty(hc->userns_mode) ? hc->userns_mode : strmap_get(&hc->annotations, ANNOTATION);

	return parse_auto(mode, ret_size);
}

int userns_check(const struct host_config *hc, struct err *err)
{
	const char *mode = hc->userns_mode, *note = strmap_get(&hc->annotations, ANNOTATION);
	uint32_t size;

	if (!str_empty(mode) && !is_host(mode) && !parse_auto(mode, &size))
		return err_set(err, ERR_INVALID, "invalid userns mode: %.64s", mode);
	if (note && !parse_auto(note, &size))
		return err_set(err, ERR_INVALID, "invalid annotation " ANNOTATION "=%.64s: auto and auto:size=N are known", note);
	if (note && is_host(mode))
		return err_set(err, ERR_INVALID, "conflicting options: userns mode host and the annotation " ANNOTATION);
	return 0;
}

const struct idmaps *container_userns(const struct container *c)
{
	if (c->own.uids.len)
		return &c->own;
	return is_host(c->host.userns_mode) || idmaps_none(idmaps_root()) ? NULL : idmaps_root();
}

const struct idmaps *container_ids(const struct container *c)
{
	return c->own.uids.len ? &c->own : idmaps_root();
}

static void let_in(struct idmap_list *l)
{
	uint32_t id;

	if (!idmap_in(l, 0, &id) && !idmap_out(l, DAEMONS_OWN, &id) && l->len < IDMAP_RANGES_MAX)
		idmap_add(l, DAEMONS_OWN, 0, 1);
}

/*
 * The daemon makes files in such mounts, too, and owns them for the moment until it has given them away: without an id the kernel refuses that. No
 * process of a container in a user namespace has the host's 0.
 */
static void let_daemon_in(struct idmaps *m)
{
	let_in(&m->uids);
	let_in(&m->gids);
}

/* From the ids of the data-root, as they are on disk, to those of m. */
static void from_root(const struct idmaps *m, struct idmaps *ret)
{
	OWN_IDMAPS struct idmaps inside = { 0 };

	if (idmaps_none(idmaps_root())) {
		idmaps_copy(ret, m);
	} else {
		idmaps_invert(idmaps_root(), &inside);
		idmaps_join(&inside, m, ret);
	}
}

char *container_mount(const struct container *c, const char *layer, struct err *err)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	OWN_IDMAPS struct idmaps maps = { 0 };
	struct graph_ids ids = { &maps, -1 };
	OWN_FD int userns = -1;
	int shifted;

	if (!c->own.uids.len)
		return rwlayer_mount(layers, layer, container_mount_label(c), err);
	from_root(&c->own, &maps);
	shifted = rwlayer_shifted(layers, layer, &maps, err);
	if (shifted)
		return shifted < 0 ? NULL : rwlayer_mount(layers, layer, container_mount_label(c), err);
	let_daemon_in(&maps);
	ids.userns = userns = spawner_userns(c->store->deps.spawner, &maps, err);
	return userns < 0 ? NULL : rwlayer_mount_mapped(layers, layer, container_mount_label(c), &ids, err);
}

int container_fit_layer(const struct container *c, const char *layer, struct err *err)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	OWN_IDMAPS struct idmaps maps = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	OWN_FREE char *path = NULL;

	if (!c->own.uids.len || graph_maps_ids(layer_store_graph(layers)))
		return 0;
	path = container_mount(c, layer, &why);
	if (path)
		return rwlayer_unmount(layers, layer, err);
	if (why.class != ERR_NOT_IMPLEMENTED)
		return err_move(err, &why);
	log_info("container %.12s: its files get owners of its own: %s", c->id, err_text(&why));
	from_root(&c->own, &maps);
	return rwlayer_shift(layers, layer, &maps, err);
}

/* Mounts with ids */

/* "FROM-TO-COUNT#..."; behind "@" TO is an id inside of m. */
static bool parse_ranges(const char *text, const struct idmap_list *inside, struct idmap_list *ret)
{
	OWN_STRV struct strv ranges = { 0 };
	bool relative = *text == '@';

	strv_split(&ranges, text + relative, "#");
	for (size_t i = 0; i < ranges.len; i++) {
		OWN_STRV struct strv n = { 0 };
		uint64_t v[3];
		uint32_t to;

		strv_split(&n, ranges.v[i], "-");
		if (n.len != 3 || ret->len >= IDMAP_RANGES_MAX)
			return false;
		for (size_t k = 0; k < 3; k++)
			if (!str_to_u64(n.v[k], &v[k]) || v[k] > UINT32_MAX)
				return false;
		to = (uint32_t)v[1];
		if (relative && inside && inside->len && !idmap_out(inside, (uint32_t)v[1], &to))
			return false;
		idmap_add(ret, (uint32_t)v[0], to, (uint32_t)v[2]);
	}
	return true;
}

/* "uids=RANGES", "gids=RANGES" or both with ";" between. What is not named is as in m, or stays as it is. */
static int parse_spec(const char *spec, const struct idmaps *m, struct idmaps *ret, struct err *err)
{
	OWN_STRV struct strv parts = { 0 };
	OWN_IDMAPS struct idmaps rest = { 0 };

	if (strlen(spec) > SPEC_MAX)
		return err_set(err, ERR_INVALID, "invalid idmap: it is too long");
	strv_split(&parts, spec, ";");
	for (size_t i = 0; i < parts.len; i++) {
		const char *p = parts.v[i];
		bool uids = str_has_prefix(p, "uids="), good = uids || str_has_prefix(p, "gids=");
		struct idmap_list *l = uids ? &ret->uids : &ret->gids;

		if (!good || l->len || !parse_ranges(p + strlen("uids="), idmaps_none(m) ? NULL : uids ? &m->uids : &m->gids, l))
			return err_set(err, ERR_INVALID, "invalid idmap: %.64s: it is uids=FROM-TO-COUNT#...;gids=FROM-TO-COUNT#..., with @ before ids of the container", p);
	}
	if (!idmaps_none(m)) {
		idmaps_copy(&rest, m);
	} else {
		idmap_add(&rest.uids, 0, 0, UINT32_MAX);
		idmap_add(&rest.gids, 0, 0, UINT32_MAX);
	}
	if (!ret->uids.len)
		ret->uids = rest.uids, rest.uids = (struct idmap_list){ 0 };
	if (!ret->gids.len)
		ret->gids = rest.gids, rest.gids = (struct idmap_list){ 0 };
	return idmaps_check(ret, err) < 0 ? err_wrap(err, "invalid idmap") : 0;
}

int userns_check_spec(const char *spec, struct err *err)
{
	OWN_IDMAPS struct idmaps m = { 0 };

	return *spec ? parse_spec(spec, NULL, &m, err) : 0;
}

int userns_for_mount(const struct container *c, bool volume, const char *spec, struct err *err)
{
	const struct idmaps *m = container_userns(c);
	OWN_IDMAPS struct idmaps maps = { 0 };

	if (!spec && (!volume || !c->own.uids.len))
		return USERNS_NONE;
	if (spec && *spec) {
		if (parse_spec(spec, m, &maps, err) < 0)
			return -1;
	} else if (idmaps_none(m)) {
		return err_set(err, ERR_INVALID, "idmap without ids takes a container with a user namespace: say idmap=uids=FROM-TO-COUNT;gids=FROM-TO-COUNT");
	} else if (volume) {
		from_root(m, &maps);
	} else {
		idmaps_copy(&maps, m);
	}
	if (!idmaps_none(m))
		let_daemon_in(&maps);
	return spawner_userns(c->store->deps.spawner, &maps, err);
}

int userns_tree(int dirfd, int userns, const char *name, struct err *err)
{
	OWN_FD int tree = open_tree(dirfd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };

	if (tree < 0)
		return err_errno(err, errno, "cannot bind %s", name);
	if (userns == USERNS_NONE || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return STEAL_FD(tree);
	if (errno == EINVAL || errno == ENOSYS || errno == EPERM)
		return err_set(err, ERR_INVALID, "cannot map the ids of %s: its file system or this kernel has no idmapped mounts, or it is one already", name);
	return err_errno(err, errno, "cannot map the ids of %s", name);
}

/* A root that its own root may reach */

/*
 * The runtime looks up the root as the container's root, whom the data-root does not let in: it belongs to nobody with such ids. So the root is bound
 * below the exec-root, in a folder that only this group passes, until the runtime has started it.
 */
char *userns_expose(const struct container *c, const char *rootfs, struct err *err)
{
	OWN_FREE char *roots = xasprintf("%s/roots", c->store->deps.exec_root), *dir = xasprintf("%s/%s", roots, c->id);
	OWN_FREE char *path = xasprintf("%s/rootfs", dir);
	struct fs_owner owner = container_root_owner(c);
	OWN_FD int tree = -1;

	if (!c->own.uids.len)
		return xstrdup(rootfs);
	lock_none_held();
	if (fs_mkdir(roots, 0711, err) < 0 || fs_mkdir(dir, 0710, err) < 0 || fs_mkdir(path, 0700, err) < 0)
		return NULL;
	if (chmod(c->store->deps.exec_root, 0711) < 0 || chmod(roots, 0711) < 0 || lchown(dir, 0, owner.gid) < 0 || chmod(dir, 0710) < 0 ||
		(tree = open_tree(AT_FDCWD, rootfs, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)) < 0 ||
		move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
		err_errno(err, errno, "cannot show the root of container %s at %s", c->id, path);
		return NULL;
	}
	return STEAL(path);
}

static void hide(const char *exec_root, const char *id, bool folder)
{
	OWN_FREE char *dir = xasprintf("%s/roots/%s", exec_root, id), *path = xasprintf("%s/rootfs", dir);

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		log_warn("cannot unmount %s: %s", path, strerror(errno));
	if (folder) {
		rmdir(path);
		rmdir(dir);
	}
}

void userns_hide(const struct container *c, bool folder)
{
	if (c->own.uids.len)
		hide(c->store->deps.exec_root, c->id, folder);
}

void userns_sweep(const struct container_store *s)
{
	OWN_FREE char *roots = xasprintf("%s/roots", s->deps.exec_root);
	OWN_DIR DIR *d = opendir(roots);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *run = xasprintf("%s/%s", s->run_dir, e->d_name);

		if (id_is_hex64(e->d_name))
			hide(s->deps.exec_root, e->d_name, !fs_exists(run));
	}
}

struct fs_owner container_root_owner(const struct container *c)
{
	const struct idmaps *ids = container_ids(c);

	return (struct fs_owner){ idmaps_root_uid(ids), idmaps_root_gid(ids) };
}

struct fs_owner container_dir_owner(void)
{
	return (struct fs_owner){ 0, idmaps_root_gid(idmaps_root()) };
}

/* The pid of whom a mode "container:X" names; 0 when that is no such mode, or X does not run: the mode's own checks tell. */
static int64_t joined_pid(struct container *c, const char *mode, const char *what, struct err *err)
{
	CLEANUP(container_unrefp) struct container *other = NULL;
	int64_t pid;

	if (!mode || !str_has_prefix(mode, "container:"))
		return 0;
	other = container_find(c->store, mode + strlen("container:"), NULL);
	if (!other)
		return 0;
	if (!idmaps_equal(container_userns(c), container_userns(other)))
		return err_set(err, ERR_INVALID, "cannot share the %s namespace of container %s: it has another user namespace", what, other->id);
	lock_take(&other->lock);
	pid = other->rec.state.running && !other->rec.state.restarting ? other->rec.state.pid : 0;
	lock_drop(&other->lock);
	return pid;
}

/* Namespaces of another container belong to its user namespace, which alone has rights there. */
static int open_joined(struct container *c, struct err *err)
{
	const struct { const char *mode, *what; } shared[] = {
		{ c->host.network_mode, "network" }, { c->host.ipc_mode, "IPC" }, { c->host.pid_mode, "PID" },
	};

	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		int64_t pid = joined_pid(c, shared[i].mode, shared[i].what, err);
		OWN_FREE char *path = pid > 0 ? xasprintf("/proc/%lld/ns/user", (long long)pid) : NULL;
		int fd;

		if (pid < 0)
			return -1;
		if (!path)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? err_errno(err, errno, "cannot share the %s namespace of a container: open %s", shared[i].what, path) : fd;
	}
	return USERNS_NONE;
}

int userns_open(struct container *c, struct err *err)
{
	const struct idmaps *maps = container_userns(c);
	int fd;

	if (!maps)
		return USERNS_NONE;
	fd = open_joined(c, err);
	return fd == USERNS_NONE ? spawner_userns(c->store->deps.spawner, maps, err) : fd;
}

char *userns_pin(int fd, const char *run_dir, struct err *err)
{
	OWN_FREE char *pins = xasprintf("%s/mounts", run_dir), *path = xasprintf("%s/userns", pins);
	OWN_FREE char *from = xasprintf("/proc/self/fd/%d", fd);
	OWN_FD int place = -1;

	lock_none_held();
	if (fs_mkdir(pins, 0700, err) < 0)
		return NULL;
	place = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (place < 0 || mount(from, path, NULL, MS_BIND, NULL) < 0) {
		err_errno(err, errno, "cannot bind the user namespace to %s", path);
		return NULL;
	}
	return STEAL(path);
}
