/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/graph-clone.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/log.h"

static bool is_mount(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int attach(int tree, const char *dir, const char *at, int userns, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .propagation = MS_PRIVATE, .userns_fd = (uint64_t)userns };

	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM)
			return err_set(err, ERR_NOT_IMPLEMENTED, "%s cannot be mounted with the ids of one container: this kernel or its file system has no "
				"idmapped mounts", dir);
		return err_errno(err, errno, "map the ids of %s", dir);
	}
	if (fs_mkdirs(at, 0700, err) < 0)
		return -1;
	return move_mount(tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? err_errno(err, errno, "mount %s at %s", dir, at) : 0;
}

int graph_clone(const char *dir, const char *at, int userns, struct err *err)
{
	OWN_FD int tree = -1;

	lock_none_held();
	if (is_mount(at))
		return 0;
	tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 && errno == ENOSYS)
		return err_set(err, ERR_NOT_IMPLEMENTED, "this kernel has no idmapped mounts");
	return tree < 0 ? err_errno(err, errno, "clone %s", dir) : attach(tree, dir, at, userns, err);
}

void graph_clone_drop(const char *at)
{
	if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		log_warn("cannot unmount %s: %s", at, strerror(errno));
	rmdir(at);
}
