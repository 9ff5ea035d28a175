/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mounts for containers with ids of their own: the driver's whole folder is cloned with the id map, and the overlay is put together
 * from layers below that clone, upper folder included. So all layers keep one kind of owners on disk, whoever mounts them. The
 * overlay holds what it needs of the clone, which goes as soon as it stands.
 */
#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

static int attach(const char *root, const char *at, int userns)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .propagation = MS_PRIVATE, .userns_fd = (uint64_t)userns };
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, root, OPEN_TREE_CLONE | O_CLOEXEC), rc = -1, sys;

	if (tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		rc = (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH);
	sys = errno;
	if (tree >= 0)
		close(tree);
	errno = sys;
	return rc;
}

/* All that this process may is effective again: another file system user takes what concerns files away. */
static int raise_all(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted;
	return (int)syscall(SYS_capset, &head, data);
}

/*
 * On a thread of its own, which has credentials of its own. The kernel makes files in the work folder with those of who mounts, and the map
 * knows no other root than the container's.
 */
struct owner { const struct overlay_mount *m; uint32_t uid, gid; int rc, sys; };

static void *mount_as(void *arg)
{
	struct owner *o = arg;

	o->rc = -1;
	setfsgid(o->gid);
	setfsuid(o->uid);
	if (raise_all() == 0)
		o->rc = overlay_mount(o->m);
	o->sys = errno;
	return NULL;
}

int overlay_mount_mapped(const struct overlay_mount *m)
{
	const char *at = m->mapped->at;
	struct overlay_mount below = *m;
	struct owner o = { .m = &below, .uid = m->mapped->uid, .gid = m->mapped->gid };
	int dumpable = prctl(PR_GET_DUMPABLE), failed;
	pthread_t thread;

	if (mkdir(at, 0700) < 0 && errno != EEXIST)
		return -1;
	o.rc = attach(m->root, at, m->mapped->userns);
	o.sys = errno;
	if (o.rc == 0) {
		below.root = at;
		below.mapped = NULL;
		o.rc = -1;
		failed = pthread_create(&thread, NULL, mount_as, &o); /* not into o, which is the thread's from then on */
		if (failed)
			o.sys = failed;
		else
			pthread_join(thread, NULL);
		umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW);
		/* the kernel takes it away where credentials change */
		if (dumpable == 1)
			prctl(PR_SET_DUMPABLE, 1);
	}
	rmdir(at);
	errno = o.sys;
	return o.rc;
}
