/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files in and out of a container (docker cp, export). A running container's tree is its own mount view (/proc/<pid>/root);
 * otherwise the layer is mounted, and a path at or below a mount leads to that volume, folder or file. Every path resolves
 * inside with openat2.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"
#include "image/packtar.h"
#include "image/unpack.h"
#include "image/untar.h"

/* Where a path of the container leads: a pinned root and the path below it. */
struct place {
	struct container *container;
	int rootfd;
	char *path;            /* below rootfd, absolute there; its trailing "/" or "/." is kept as dir */
	bool dir;
	bool layer;            /* mounted by us */
	char *volume;          /* mounted by us, name */
	const struct mount_point *view; /* mounted by us, an image */
	bool read_only;        /* a read-only mount or root */
};

static void place_done(struct place *p)
{
	if (p->rootfd >= 0)
		close(p->rootfd);
	if (p->layer)
		rwlayer_unmount(image_store_layers(p->container->store->deps.images), p->container->id, NULL);
	if (p->view)
		mount_view_put(p->container, p->view);
	if (p->volume)
		volume_unmount(p->container->store->deps.volumes, p->volume, p->container->id, NULL);
	free(p->volume);
	free(p->path);
}

/* name: the client's own for the container, as in Docker. */
static int missing(const char *name, const char *path, struct err *err)
{
	if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
		return err_set(err, ERR_NOT_FOUND, "Could not find the file %s in container %s", path, name);
	return err_errno(err, errno, "%s in container %s", path, name);
}

/* The mount point that path lies in, the deepest one. */
static const struct mount_point *mount_of(struct container *c, const char *path)
{
	const struct mount_point *best = NULL;

	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		const struct mount_point *m = jmap_at(&c->rec.mounts, i, &mount_point_desc);
		size_t n = strlen(m->destination);

		if (strncmp(path, m->destination, n) == 0 && (path[n] == '/' || !path[n]) &&
			(!best || n > strlen(best->destination)))
			best = m;
	}
	return best;
}

static int open_root(const char *root, int *ret_fd, struct err *err)
{
	*ret_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? err_errno(err, errno, "cannot open the container's root") : 0;
}

/* The file that the daemon keeps for the container and that a start mounts at path, or NULL. */
static char *own_file(struct container *c, const char *path)
{
	const struct { const char *path; char *const *file; } files[] = {
		{ "/etc/hostname", &c->rec.hostname_path }, { "/etc/hosts", &c->rec.hosts_path }, { "/etc/resolv.conf", &c->rec.resolv_path },
	};
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (streq(files[i].path, path) && !str_empty(*files[i].file) && **files[i].file == '/')
			return xstrdup(*files[i].file);
	return NULL;
}

/* The container does not run: its layer, or the volume or folder that the path lies in. */
static int place_stopped(struct place *p, const struct mount_point *m, struct err *err)
{
	struct container *c = p->container;
	OWN_FREE char *own = m ? NULL : own_file(c, p->path);
	OWN_FREE char *root = NULL;

	if (own) {
		char *slash = strrchr(own, '/');

		str_set(&p->path, slash);
		*slash = '\0';
		return open_root(own, &p->rootfd, err);
	}
	if (m && m->type && streq(m->type, "tmpfs"))
		m = NULL;
	if (m && mount_is_image(m)) {
		root = mount_view_get(c, m, err);
		p->view = root ? m : NULL;
	} else if (m && !str_empty(m->name)) {
		root = volume_mount(c->store->deps.volumes, m->name, c->id, err);
		if (root)
			p->volume = xstrdup(m->name);
	} else if (m) {
		root = xstrdup(m->source);
	} else {
		root = rwlayer_mount(image_store_layers(c->store->deps.images), c->id, c->rec.mount_label, err);
		p->layer = root != NULL;
	}
	if (!root)
		return -1;
	if (m) {
		OWN_FREE char *rest = xasprintf("/%s", p->path + strlen(m->destination));

		str_set(&p->path, rest);
	}
	if (m && mount_subpath(m)) {
		p->rootfd = mount_open_subpath(root, mount_subpath(m), O_PATH | O_DIRECTORY, err);
		return p->rootfd < 0 ? -1 : 0;
	}
	return open_root(root, &p->rootfd, err);
}

/* The root of the process that the container is, or -1: it does not run. */
static int running_root(struct container *c)
{
	CLEANUP(run_putp) struct run *run = container_run(c);
	OWN_FD int fd = -1;
	char root[48];
	int64_t pid;

	lock_take(&c->lock);
	pid = run && run == c->run && c->rec.state.running && !c->rec.state.restarting ? c->rec.state.pid : 0;
	lock_drop(&c->lock);
	lock_none_held();
	if (pid <= 0)
		return -1;
	snprintf(root, sizeof(root), "/proc/%lld/root", (long long)pid);
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* asked behind the opening: until then the number was this process's, and no other's of the host */
	return fd >= 0 && !shim_has_ended(run->shim) ? STEAL_FD(fd) : -1;
}

static int place_find(struct container *c, const char *path, struct place *ret, struct err *err)
{
	const struct mount_point *m;

	*ret = (struct place){ .container = c, .rootfd = -1 };
	if (str_empty(path) || strlen(path) >= 4096)
		return err_set(err, ERR_INVALID, "bad parameter: path cannot be empty");
	ret->path = path_clean(path);
	ret->dir = str_has_suffix(path, "/") || str_has_suffix(path, "/.") || streq(ret->path, "/");
	m = mount_of(c, ret->path);
	ret->read_only = m ? !m->rw : c->host.readonly_rootfs;
	ret->rootfd = running_root(c);
	return ret->rootfd >= 0 ? 0 : place_stopped(ret, m, err);
}

/* The object itself: a link at the end is not followed unless the path says that it is a folder. */
static int place_open(struct place *p, const char *name, const char *path, struct err *err)
{
	int fd = fs_beneath(p->rootfd, p->path, O_PATH | O_CLOEXEC | (p->dir ? O_DIRECTORY : O_NOFOLLOW), 0);

	if (fd < 0)
		missing(name, path, err);
	return fd;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int container_stat_path(struct container *c, const char *name, const char *path, struct container_path *ret, struct err *err)
{
	CLEANUP(place_done) struct place p = { .rootfd = -1 };
	OWN_FREE char *clean = str_empty(path) ? NULL : path_clean(path);
	OWN_FD int fd = -1;
	char target[4096];
	ssize_t n;

	if (place_find(c, path, &p, err) < 0)
		return -1;
	fd = place_open(&p, name, path, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &ret->st) < 0)
		return err_errno(err, errno, "cannot look at %s", path);
	ret->name = xstrdup(base_name(clean));
	n = S_ISLNK(ret->st.st_mode) ? readlinkat(fd, "", target, sizeof(target) - 1) : 0;
	if (n > 0) {
		target[n] = '\0';
		ret->link = *target == '/' ? xstrdup(target) : NULL;
		if (!ret->link) {
			OWN_FREE char *dir = xstrndup(clean, strlen(clean) - strlen(base_name(clean)));
			OWN_FREE char *joined = xasprintf("%s/%s", dir, target);

			ret->link = path_clean(joined);
		}
	}
	return 0;
}

int container_get_path(struct container *c, const char *name, const char *path, struct writer *out,
	const struct cancel *cancel, struct err *err)
{
	CLEANUP(place_done) struct place p = { .rootfd = -1 };
	struct packtar_opts opts = { .cancel = cancel };
	OWN_FREE char *clean = NULL;
	struct tar_writer tar;
	OWN_FD int fd = -1;

	if (place_find(c, path, &p, err) < 0)
		return -1;
	fd = place_open(&p, name, path, err);
	if (fd < 0)
		return -1;
	clean = path_clean(path);
	tar_writer_init(&tar, out);
	if (packtar(fd, str_has_suffix(path, "/.") || streq(clean, "/") ? "." : base_name(clean), &opts, &tar, err) < 0 ||
		tar_write_end(&tar, err) < 0)
		return -1;
	container_event(c, "archive-path", NULL);
	return 0;
}

int container_put_path(struct container *c, const char *name, const char *path, bool keep_types, struct reader *in,
	struct err *err)
{
	CLEANUP(place_done) struct place p = { .rootfd = -1 };
	OWN_FD int fd = -1;

	if (place_find(c, path, &p, err) < 0)
		return -1;
	fd = fs_beneath(p.rootfd, p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0 && errno == ENOTDIR)
		return err_set(err, ERR_INVALID, "extraction point is not a directory");
	if (fd < 0)
		return missing(name, path, err);
	if (p.read_only)
		return err_set(err, ERR_FORBIDDEN, "container rootfs is marked read-only");
	if (unpack_files(in, p.rootfd, p.path, keep_types ? UNTAR_KEEP_TYPES : 0, err) < 0)
		return -1;
	container_event(c, "extract-to-dir", NULL);
	return 0;
}

int container_export(struct container *c, struct writer *out, const struct cancel *cancel, struct err *err)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	struct packtar_opts opts = { .cancel = cancel };
	OWN_FREE char *root = rwlayer_mount(layers, c->id, c->rec.mount_label, err);
	struct tar_writer tar;
	OWN_FD int fd = -1;
	int r;

	if (!root)
		return -1;
	r = open_root(root, &fd, err);
	tar_writer_init(&tar, out);
	if (r == 0)
		r = packtar(fd, "", &opts, &tar, err);
	if (r == 0)
		r = tar_write_end(&tar, err);
	rwlayer_unmount(layers, c->id, NULL);
	if (r == 0)
		container_event(c, "export", NULL);
	return r;
}
