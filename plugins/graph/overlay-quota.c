/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The size of a container's layer: a project quota of XFS on the layer's folder, which what is made in it inherits. A project is
 * a number that no other layer has; limits are set through a node of the file system's block device, as Docker names it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "overlay.h"

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

int overlay_quota_open(int rootfd, const char *root, struct overlay_quota *q)
{
	struct fs_quota_stat on = { 0 };
	char path[PATH_MAX];
	struct stat st;
	int sys;

	q->device[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/" OVERLAY_QUOTA_DEVICE, root) >= (int)sizeof(path))
		return errno = ENAMETOOLONG, -1;
	if (fstat(rootfd, &st) < 0 || (unlink(path) < 0 && errno != ENOENT) || mknod(path, S_IFBLK | 0600, st.st_dev) < 0)
		return -1;
	errno = ENOTSUP;
	if (quotactl(QCMD(Q_XGETQSTAT, PRJQUOTA), path, 0, (void *)&on) < 0 || !(on.qs_flags & FS_QUOTA_PDQ_ENFD)) {
		sys = errno;
		unlink(path);
		return errno = sys, -1;
	}
	memcpy(q->device, path, strlen(path) + 1);
	atomic_init(&q->next, first_free(rootfd));
	return 0;
}

int overlay_quota_set(struct overlay_quota *q, int rootfd, const char *layer, uint64_t bytes)
{
	int fd = openat(rootfd, layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), sys;
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

bool overlay_quota_parse(const char *text, uint64_t *ret)
{
	static const char units[] = "bkmgtp";
	const char *unit;
	double n;
	char *end;

	n = strtod(text, &end);
	if (end == text || strspn(text, "0123456789.") != (size_t)(end - text))
		return false;
	while (*end == ' ')
		end++;
	if (*end) {
		unit = strchr(units, *end | 0x20);
		if (!unit)
			return false;
		for (const char *u = units; u < unit; u++)
			n *= 1024;
		end += unit == units ? 1 : strcasecmp(end + 1, "ib") == 0 ? 3 : strcasecmp(end + 1, "b") == 0 ? 2 : 1;
	}
	if (*end || n >= 9.2e18)
		return false;
	*ret = (uint64_t)n;
	return true;
}
