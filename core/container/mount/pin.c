/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A path below a volume or an image, for the runtime: whoever writes to the volume may swap its folders for links at any
 * time, so the place is found once, within the volume, and bound by its descriptor to a name in the run folder. The runtime
 * gets that name; once it has started the container nobody needs it any more. So does a mount with other ids than its files'.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "container/internal.h"

const char *mount_subpath(const struct mount_point *m)
{
	if (m->spec.volume && !str_empty(m->spec.volume->subpath))
		return m->spec.volume->subpath;
	return m->spec.image && !str_empty(m->spec.image->subpath) ? m->spec.image->subpath : NULL;
}

int mount_open_subpath(const char *root, const char *subpath, int flags, struct err *err)
{
	OWN_FD int rootfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = rootfd < 0 ? -1 : fs_within(rootfd, subpath, flags);
	int sys = errno;

	if (fd >= 0)
		return fd;
	if (sys == EXDEV)
		return err_set(err, ERR_INVALID, "path concatenation escapes the base directory, base: %s, subpath: %s", root, subpath);
	if (sys == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "cannot access path %s/%s: lstat %s/%s: no such file or directory", root, subpath,
			root, subpath);
	err_errno(err, sys, "cannot access path %s/%s", root, subpath);
	if (err && (sys == ENOTDIR || sys == ELOOP))
		err->class = ERR_NOT_FOUND;
	return -1;
}

/* A folder or a file to mount over, as what comes there is one. */
static int make_place(const char *path, bool is_dir, struct err *err)
{
	OWN_FD int fd = -1;

	if (is_dir)
		return fs_mkdir(path, 0700, err);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(err, errno, "create %s", path) : 0;
}

char *mount_pin(const struct container *c, size_t n, const char *root, const char *subpath, int userns, struct err *err)
{
	OWN_FREE char *dir = container_run_dir(c), *pins = xasprintf("%s/mounts", dir), *path = xasprintf("%s/%zu", pins, n);
	OWN_FD int fd = subpath ? mount_open_subpath(root, subpath, O_PATH, err) : open(root, O_PATH | O_CLOEXEC);
	OWN_FD int tree = -1;
	struct stat st;

	if (fd < 0) {
		if (!subpath)
			err_errno(err, errno, "cannot bind %s", root);
		return NULL;
	}
	lock_none_held();
	if (fstat(fd, &st) < 0) {
		err_errno(err, errno, "cannot bind %s/%s", root, subpath ? subpath : "");
		return NULL;
	}
	tree = userns_tree(fd, userns, subpath ? subpath : root, err);
	if (tree < 0)
		return NULL;
	if (fs_mkdir(pins, 0700, err) < 0 || make_place(path, S_ISDIR(st.st_mode), err) < 0)
		return NULL;
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
		err_errno(err, errno, "cannot bind %s/%s", root, subpath ? subpath : "");
		return NULL;
	}
	return STEAL(path);
}

void mounts_unpin(const char *run_dir)
{
	OWN_FREE char *pins = xasprintf("%s/mounts", run_dir);
	OWN_DIR DIR *d = opendir(pins);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *path = xasprintf("%s/%s", pins, e->d_name);

		if (*e->d_name != '.' && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
			log_warn("cannot unmount %s: %s", path, strerror(errno));
	}
}
