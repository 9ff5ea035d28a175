/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a container as its processes see them, for docker cp: one root, opened. While it runs that is the root of its
 * first process. Otherwise the layer is mounted and volumes, binds and images are bound into a copy of that mount, which is
 * detached from everything before it is used: it goes with its descriptor, whatever becomes of the daemon. Nothing is
 * looked up by a path of the container's but with openat2 inside its root.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"

#define LINKS_MAX 255
#define NETFILE_TRIES 5
#define CLOSING_MAX 16 /* views of a store: who writes faster than the disk waits for it */

static struct layer_store *layers_of(const struct container *c)
{
	return image_store_layers(c->store->deps.images);
}

static bool is_shown(const struct mount_point *m)
{
	return !m->type || !streq(m->type, "tmpfs");
}

/* Mounts what m stands for and opens it: the descriptor, -1 with err, or -2 when there is nothing to show. */
static int open_source(struct view *v, const struct mount_point *m, struct err *err)
{
	struct container *c = v->container;
	const char *subpath = mount_subpath(m);
	OWN_FREE char *path = NULL;
	int fd;

	if (mount_is_image(m)) {
		path = mount_view_get(c, m, err);
		if (path)
			strv_add(&v->images, m->destination);
	} else if (!str_empty(m->name)) {
		path = volume_mount(c->store->deps.volumes, m->name, c->id, err);
		if (path)
			strv_add(&v->volumes, m->name);
	} else {
		path = xstrdup(m->source);
	}
	if (!path)
		return -1;
	fd = subpath ? mount_open_subpath(path, subpath, O_PATH, NULL) : open(path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -2 : fd;
}

/* The place in the view, made where it is missing, as a start would make it. */
static int open_place(int rootfd, const char *destination, bool dir, struct fs_owner owner)
{
	int fd = fs_beneath(rootfd, destination, O_PATH, 0);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (dir)
		return fs_beneath_mkdirs(rootfd, destination, 0755, owner);
	OWN_FREE char *above = xstrndup(destination, (size_t)(strrchr(destination, '/') - destination));
	OWN_FD int folder = fs_beneath_mkdirs(rootfd, *above ? above : "/", 0755, owner);
	OWN_FD int made = folder < 0 ? -1 : fs_beneath(rootfd, destination, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);

	return made < 0 || fchown(made, owner.uid, owner.gid) < 0 ? -1 : fs_beneath(rootfd, destination, O_PATH, 0);
}

/*
 * Binds what is open as from at a place of the container. Where that is no place for it, starting will tell. 1: it has no
 * name any more, as its file was replaced meanwhile.
 */
static int bind_at(const struct view *v, int from, int userns, int rootfd, const char *destination, bool rw, unsigned recursive, struct err *err)
{
	struct mount_attr attr = { .attr_set = rw ? 0 : MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE };
	OWN_FD int tree = -1;
	OWN_FD int place = -1;
	struct stat st, at;

	if (fstat(from, &st) < 0)
		return err_errno(err, errno, "cannot look at what goes to %s", destination);
	place = open_place(rootfd, destination, S_ISDIR(st.st_mode), container_root_owner(v->container));
	if (place < 0 || fstat(place, &at) < 0 || S_ISDIR(st.st_mode) != S_ISDIR(at.st_mode)) {
		log_debug("nothing can be mounted at %s of a container", destination);
		return 0;
	}
	if (userns >= 0)
		tree = userns_tree(from, userns, destination, err);
	else
		tree = open_tree(from, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive);
	if (userns >= 0 && tree < 0)
		return -1;
	/* kernels without the second call (5.11) show it writable: what is asked for is checked besides */
	if (tree < 0 || (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 && errno != ENOSYS) ||
	    move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return errno == ENOENT ? 1 : err_errno(err, errno, "cannot bind what goes to %s", destination);
	return 0;
}

static int show(struct view *v, const struct mount_point *m, int rootfd, struct err *err)
{
	OWN_FD int from = open_source(v, m, err), userns = USERNS_NONE;
	OWN_FREE char *spec = mount_idmap(m);

	if (from < 0)
		return from == -2 ? 0 : -1;
	userns = mount_is_image(m) ? USERNS_NONE : userns_for_mount(v->container, !str_empty(m->name), spec, err);
	if (userns == -1)
		return -1;
	return bind_at(v, from, userns, rootfd, m->destination, m->rw, m->spec.bind && m->spec.bind->non_recursive ? 0 : AT_RECURSIVE, err) < 0 ? -1 : 0;
}

/* One that the daemon writes, perhaps right now: then the next one is there at once. */
static int show_netfile(const struct view *v, const char *path, int rootfd, const char *destination, bool rw, struct err *err)
{
	int r = 1;

	for (int i = 0; i < NETFILE_TRIES && r == 1; i++) {
		OWN_FD int from = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

		r = from < 0 ? 0 : bind_at(v, from, USERNS_NONE, rootfd, destination, rw, 0, err);
	}
	return r < 0 ? -1 : 0;
}

/* The files that the daemon writes for a container, once it did. */
static int show_netfiles(struct view *v, int rootfd, struct err *err)
{
	struct container *c = v->container;
	OWN_FREE char *resolv = NULL, *hostname = NULL, *hosts = NULL;

	lock_take(&c->lock);
	resolv = xstrdup(c->rec.resolv_path ? c->rec.resolv_path : "");
	hostname = xstrdup(c->rec.hostname_path ? c->rec.hostname_path : "");
	hosts = xstrdup(c->rec.hosts_path ? c->rec.hosts_path : "");
	lock_drop(&c->lock);
	const struct { const char *path, *destination; } files[] = {
		{ resolv, "/etc/resolv.conf" }, { hostname, "/etc/hostname" }, { hosts, "/etc/hosts" },
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (*files[i].path && !jmap_get(&c->rec.mounts, files[i].destination, &mount_point_desc) &&
		    show_netfile(v, files[i].path, rootfd, files[i].destination, !c->host.readonly_rootfs, err) < 0)
			return -1;
	return 0;
}

static int by_depth(const void *a, const void *b)
{
	const struct mount_point *x = *(const struct mount_point *const *)a, *y = *(const struct mount_point *const *)b;

	return strcmp(x->destination, y->destination); /* what is below comes behind */
}

static int show_all(struct view *v, int rootfd, struct err *err)
{
	size_t n = v->container->rec.mounts.len;
	OWN_FREE const struct mount_point **sorted = xcalloc(n, sizeof(*sorted));

	for (size_t i = 0; i < n; i++)
		sorted[i] = jmap_at(&v->container->rec.mounts, i, &mount_point_desc);
	qsort(sorted, n, sizeof(*sorted), by_depth);
	for (size_t i = 0; i < n; i++)
		if (is_shown(sorted[i]) && show(v, sorted[i], rootfd, err) < 0)
			return -1;
	return show_netfiles(v, rootfd, err);
}

static char *views_dir(const struct container_store *s)
{
	return xasprintf("%s/views", s->deps.exec_root);
}

/* In a folder of its own for a moment: kernels before 6.15 mount nothing into a tree that is detached already. */
static int build(struct view *v, const char *root, struct err *err)
{
	OWN_FREE char *dir = views_dir(v->container->store), *path = xasprintf("%s/XXXXXX", dir);
	OWN_FD int rootfd = -1;
	int r = -1;

	if (fs_mkdirs(dir, 0700, err) < 0)
		return -1;
	if (!mkdtemp(path))
		return err_errno(err, errno, "cannot make a folder in %s", dir);
	if (mount(root, path, NULL, MS_BIND, NULL) < 0) {
		rmdir(path);
		return err_errno(err, errno, "cannot bind %s", root);
	}
	if (mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0 || (rootfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		err_errno(err, errno, "cannot bind %s", root);
	else
		r = show_all(v, rootfd, err);
	if (r == 0) {
		v->fd = open_tree(rootfd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
		if (v->fd < 0)
			r = err_errno(err, errno, "cannot bind %s", root);
	}
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		log_warn("cannot unmount %s: %s", path, strerror(errno));
	rmdir(path);
	return r;
}

void views_sweep(const struct container_store *s)
{
	OWN_FREE char *dir = views_dir(s);
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *path = xasprintf("%s/%s", dir, e->d_name);

		if (*e->d_name != '.') {
			umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
			rmdir(path);
		}
	}
}

static bool any_shown(struct container *c)
{
	bool ran;

	lock_take(&c->lock);
	ran = !str_empty(c->rec.hosts_path);
	lock_drop(&c->lock);
	if (ran)
		return true;
	for (size_t i = 0; i < c->rec.mounts.len; i++)
		if (is_shown(jmap_at(&c->rec.mounts, i, &mount_point_desc)))
			return true;
	return false;
}

/* The process that the number stood for when the root was opened is still there: it was its root. */
static bool open_running(struct view *v)
{
	struct container *c = v->container;
	CLEANUP(run_putp) struct run *run = container_run(c);
	char path[48];
	int64_t pid;

	lock_take(&c->lock);
	pid = run && run == c->run && c->rec.state.running && !c->rec.state.restarting ? c->rec.state.pid : 0;
	lock_drop(&c->lock);
	if (pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%lld/root", (long long)pid);
	v->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->fd >= 0 && shim_has_ended(run->shim))
		fd_close(&v->fd);
	return v->fd >= 0;
}

int view_open(struct container *c, struct view *ret, struct err *err)
{
	OWN_FREE char *root = NULL;
	OWN_ERR struct err why = ERR_INIT;

	*ret = (struct view){ .container = c, .fd = -1 };
	lock_none_held();
	/* a removal meanwhile; of a damaged container there may be none */
	ret->held = rwlayer_hold(layers_of(c), c->id, NULL) == 0;
	/* First, also where it runs: a restart beside the view must go on with this mount. Two of overlay with one upper folder do not know of
	 * each other's changes, and what goes through the older one is lost or fails (ESTALE). */
	root = container_mount(c, c->id, &why);
	ret->layer = root != NULL;
	ret->running = open_running(ret);
	if (ret->running)
		return 0;
	if (!root)
		return err_move(err, &why);
	if (any_shown(c))
		return build(ret, root, err);
	ret->fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret->fd < 0 ? err_errno(err, errno, "cannot open the container's root") : 0;
}

void view_close(struct view *v)
{
	struct container *c = v->container;

	fd_close(&v->fd); /* first: it holds the mounts */
	for (size_t i = 0; i < v->images.len; i++)
		mount_view_put(c, jmap_get(&c->rec.mounts, v->images.v[i], &mount_point_desc));
	strv_done(&v->images);
	for (size_t i = 0; i < v->volumes.len; i++)
		volume_unmount(c->store->deps.volumes, v->volumes.v[i], c->id, NULL);
	strv_done(&v->volumes);
	if (v->layer)
		rwlayer_unmount(layers_of(c), c->id, NULL);
	if (v->held)
		rwlayer_release(layers_of(c), c->id);
	*v = (struct view){ .container = c, .fd = -1 };
}

static void close_now(void *ctx)
{
	struct view *v = ctx;
	struct container *c = v->container;

	view_close(v);
	atomic_fetch_sub(&c->store->n_closing, 1);
	lock_take(&c->lock);
	c->closing--;
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	container_unref(c);
	free(v);
}

/* Volumes and images have users of their own, who would be told that they are in use. */
static bool may_wait(const struct view *v)
{
	return v->layer && !v->running && !v->images.len && !v->volumes.len && atomic_load(&v->container->store->n_closing) < CLOSING_MAX;
}

void view_close_later(struct view *v)
{
	struct container *c = v->container;
	struct view *own;

	if (!may_wait(v)) {
		view_close(v);
		return;
	}
	own = xmalloc(sizeof(*own));
	*own = *v;
	*v = (struct view){ .container = c, .fd = -1 };
	container_ref(c);
	lock_take(&c->lock);
	c->closing++;
	lock_drop(&c->lock);
	atomic_fetch_add(&c->store->n_closing, 1);
	work_post(c->store->closing, 0, close_now, close_now, own);
}

static bool is_view_of(const void *ctx, const void *container)
{
	return ((const struct view *)ctx)->container == container;
}

void views_settle(struct container *c)
{
	/* those that wait for a thread are closed here: there may be none */
	work_cancel(c->store->closing, is_view_of, c);
	WITH_LOCK(&c->lock);

	while (c->closing)
		lock_wait(&c->lock, &c->changed, -1);
}

/* The next name of *rest, or NULL at its end. */
static char *next_name(char **rest)
{
	char *name;

	while ((name = strsep(rest, "/")))
		if (*name && !streq(name, "."))
			return name;
	return NULL;
}

static void drop_last(struct buf *path)
{
	char *slash = path->data ? strrchr(path->data, '/') : NULL;

	if (slash) {
		path->size = (size_t)(slash - path->data);
		*slash = '\0';
	}
}

char *view_resolve(const struct view *v, const char *path, struct err *err)
{
	OWN_FREE char *left = xstrdup(path);
	OWN_BUF struct buf done = { 0 };
	char *rest = left, *name, target[4096];
	int links = 0;

	buf_add(&done, "", 0);
	while ((name = next_name(&rest))) {
		OWN_FD int fd = -1;
		size_t above = done.size;
		ssize_t n;

		if (streq(name, "..")) {
			drop_last(&done);
			continue;
		}
		buf_addf(&done, "/%s", name);
		fd = fs_beneath(v->fd, done.data, O_PATH | O_NOFOLLOW, 0);
		n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);
		if (n <= 0)
			continue; /* no link, or not there */
		if (++links > LINKS_MAX) {
			err_set(err, ERR_INVALID, "evalSymlinksInScope: too many links in %s", path);
			return NULL;
		}
		target[n] = '\0';
		done.size = *target == '/' ? 0 : above;
		done.data[done.size] = '\0';
		char *joined = xasprintf("%s/%s", target, rest ? rest : "");
		free(left);
		left = rest = joined;
		if (strlen(left) > 65536) {
			err_set(err, ERR_INVALID, "evalSymlinksInScope: too many links in %s", path);
			return NULL;
		}
	}
	return done.size ? buf_steal(&done) : xstrdup("/");
}
