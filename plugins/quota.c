/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "quota.h"

#define BLOCK 512 /* what limits are counted in */

#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

static int get_project(int fd, uint32_t *ret)
{
	struct fsxattr x = { 0 };

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		return -1;
	*ret = x.fsx_projid;
	return 0;
}

/* Behind every project that root's folders have. */
static uint32_t first_free(int rootfd)
{
	int fd = openat(rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	uint32_t most = 0, id;
	struct dirent *e;

	if (get_project(rootfd, &id) == 0)
		most = id;
	while (dir && (e = readdir(dir))) {
		int at = openat(rootfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (at < 0)
			continue;
		if (get_project(at, &id) == 0 && id > most)
			most = id;
		close(at);
	}
	if (dir)
		closedir(dir);
	return most + 1;
}

int quota_open(int rootfd, const char *device, uint32_t least, struct quota *q)
{
	struct fs_quota_stat on = { 0 };
	struct stat st;
	uint32_t next;
	int sys;

	q->device[0] = '\0';
	if (strlen(device) >= sizeof(q->device))
		return errno = ENAMETOOLONG, -1;
	if (fstat(rootfd, &st) < 0 || (unlink(device) < 0 && errno != ENOENT) || mknod(device, S_IFBLK | 0600, st.st_dev) < 0)
		return -1;
	errno = ENOTSUP;
	if (quotactl(QCMD(Q_XGETQSTAT, PRJQUOTA), device, 0, (void *)&on) < 0 || !(on.qs_flags & FS_QUOTA_PDQ_ENFD)) {
		sys = errno;
		unlink(device);
		return errno = sys, -1;
	}
	memcpy(q->device, device, strlen(device) + 1);
	next = first_free(rootfd);
	atomic_init(&q->next, next > least ? next : least);
	return 0;
}

int quota_set(struct quota *q, int rootfd, const char *folder, uint64_t bytes)
{
	int fd = openat(rootfd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), sys;
	uint32_t id = atomic_fetch_add(&q->next, 1);
	struct fs_disk_quota limit = { .d_version = FS_DQUOT_VERSION, .d_flags = FS_PROJ_QUOTA, .d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT, .d_id = id,
		.d_blk_hardlimit = bytes / BLOCK, .d_blk_softlimit = bytes / BLOCK };
	struct fsxattr x = { 0 };
	int rc = -1;

	if (fd < 0)
		return -1;
	/* the limit first: nothing is ever written in a project without one */
	if (quotactl(QCMD(Q_XSETQLIM, PRJQUOTA), q->device, (int)id, (void *)&limit) == 0 && ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0) {
		x.fsx_projid = id;
		x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
		rc = ioctl(fd, FS_IOC_FSSETXATTR, &x);
	}
	sys = errno;
	close(fd);
	errno = sys;
	return rc;
}
