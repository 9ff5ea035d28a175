/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files in and out of a container: docker cp, by the rules Docker has for links and slashes; and export. */
#include <errno.h>
#include <sys/stat.h>

#include "base/log.h"
#include "container/bundle/bundle.h"
#include "container/internal.h"
#include "image/layer.h"
#include "image/packtar.h"
#include "image/unpack.h"
#include "image/untar.h"

static int missing(const char *called, const char *path, struct err *err)
{
	if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
		return err_set(err, ERR_NOT_FOUND, "Could not find the file %s in container %s", path, called);
	if (errno == ENAMETOOLONG)
		return err_set(err, ERR_INVALID, "lstat %s: file name too long", path);
	return err_errno(err, errno, "%s in container %s", path, called);
}

/* The last word of a path is ".": what is in the folder is meant. */
static bool means_content(const char *path)
{
	size_t n = strlen(path);

	while (n && path[n - 1] == '/')
		n--;
	return n && path[n - 1] == '.' && (n == 1 || path[n - 2] == '/');
}

static char *name_of(const char *path)
{
	OWN_FREE char *clean = path_clean(path);

	if (means_content(path))
		return xstrdup(".");
	return xstrdup(clean[1] ? strrchr(clean, '/') + 1 : "/");
}

static int check_path(const char *path, struct err *err)
{
	if (str_empty(path) || strlen(path) >= 4096)
		return err_set(err, ERR_INVALID, "bad parameter: path cannot be empty%s", str_empty(path) ? "" : " or too long");
	return 0;
}

/* A link at the end is not followed, unless the path says that it is a folder. */
int container_path_open(struct container *c, const char *called, const char *path, struct container_path *ret, struct err *err)
{
	OWN_FREE char *clean = NULL;
	bool dir;

	*ret = (struct container_path){ .fd = -1 };
	if (check_path(path, err) < 0)
		return -1;
	ret->view = xcalloc(1, sizeof(*ret->view));
	container_ref(c);
	if (view_open(c, ret->view, err) < 0)
		return -1;
	clean = path_clean(path);
	dir = str_has_suffix(path, "/") || means_content(path) || streq(clean, "/");
	ret->fd = fs_beneath(ret->view->fd, clean, O_PATH | (dir ? O_DIRECTORY : O_NOFOLLOW), 0);
	if (ret->fd < 0)
		return missing(called, path, err);
	if (fstat(ret->fd, &ret->st) < 0)
		return err_errno(err, errno, "cannot look at %s", path);
	ret->name = name_of(path);
	if (S_ISLNK(ret->st.st_mode))
		ret->link = view_resolve(ret->view, clean, err);
	return S_ISLNK(ret->st.st_mode) && !ret->link ? -1 : 0;
}

int container_path_pack(const struct container_path *p, struct writer *out, const struct cancel *cancel, struct err *err)
{
	struct packtar_opts opts = { .cancel = cancel, .live = p->view->running, .ids = container_ids(p->view->container) };
	struct tar_writer tar;

	tar_writer_init(&tar, out);
	if (packtar(p->fd, p->name, &opts, &tar, err) < 0 || tar_write_end(&tar, err) < 0)
		return -1;
	container_event(p->view->container, "archive-path", NULL);
	return 0;
}

void container_path_close(struct container_path *p)
{
	fd_close(&p->fd);
	if (p->view) {
		struct container *c = p->view->container;

		view_close_later(p->view);
		container_unref(c);
	}
	free(p->view);
	free(p->name);
	free(p->link);
	*p = (struct container_path){ .fd = -1 };
}

/* The mount point that a path without links lies in, the deepest one; or NULL. */
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

static int check_writable(const struct view *v, const char *real, struct err *err)
{
	struct container *c = v->container;
	const struct mount_point *m = mount_of(c, real);

	if (m && !m->rw)
		return err_set(err, ERR_FORBIDDEN, "mounted volume is marked read-only");
	if (!m && c->host.readonly_rootfs)
		return err_set(err, ERR_FORBIDDEN, "container rootfs is marked read-only");
	return 0;
}

/* The container's user, by its own files; false when it has none: then it is as the archive says. */
static int find_owner(const struct view *v, struct untar_owner *ret, bool *ret_found, struct err *err)
{
	const struct container_config *cfg = &v->container->rec.config;
	struct user_ids ids;
	int r;

	*ret_found = !str_empty(cfg->user);
	if (!*ret_found)
		return 0;
	r = user_lookup(v->fd, cfg->user, NULL, &ids, err);
	*ret = (struct untar_owner){ ids.uid, ids.gid };
	user_ids_done(&ids);
	return r;
}

int container_path_put(struct container *c, const char *called, const char *path, const struct put_options *o, struct reader *in,
	struct err *err)
{
	CLEANUP(view_close) struct view v = { .container = c, .fd = -1 };
	OWN_FREE char *real = NULL;
	struct untar_owner owner;
	bool owned = false;
	OWN_FD int fd = -1;

	if (check_path(path, err) < 0 || view_open(c, &v, err) < 0)
		return -1;
	fd = fs_beneath(v.fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0 && errno == ENOTDIR)
		return err_set(err, ERR_INVALID, "extraction point is not a directory");
	if (fd < 0)
		return missing(called, path, err);
	real = view_resolve(&v, path, err);
	if (!real || check_writable(&v, real, err) < 0 || (o->own && find_owner(&v, &owner, &owned, err) < 0))
		return -1;
	if (unpack_files(in, v.fd, real, o->keep_types ? UNTAR_KEEP_TYPES : 0, owned ? &owner : NULL, container_ids(c), err) < 0)
		return -1;
	container_event(c, "extract-to-dir", NULL);
	view_close_later(&v);
	return 0;
}

int container_export(struct container *c, struct writer *out, const struct cancel *cancel, struct err *err)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	struct packtar_opts opts = { .cancel = cancel, .ids = container_ids(c) };
	OWN_FREE char *root = container_mount(c, c->id, err);
	struct tar_writer tar;
	OWN_FD int fd = -1;
	int r;

	if (!root)
		return -1;
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? err_errno(err, errno, "cannot open the container's root") : 0;
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
