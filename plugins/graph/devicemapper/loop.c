/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dir.h"

#define LOOP_MAJOR 7
#define CONTROL_MINOR 237 /* of misc devices, major 10 */
#define TRIES 64          /* others may take the free device before this does */

int loop_file(int dir, const char *name, uint64_t size, bool *ret_new, uint64_t *ret_size)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), rc, sys;
	struct stat st;

	*ret_new = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fstat(fd, &st);
	if (rc == 0 && (uint64_t)st.st_size < size)
		rc = ftruncate(fd, (off_t)size) < 0 ? -1 : fstat(fd, &st);
	*ret_size = (uint64_t)st.st_size;
	sys = errno;
	if (rc < 0 && *ret_new)
		unlinkat(dir, name, 0);
	close(fd);
	errno = sys;
	return rc;
}

/* The node, which devtmpfs makes, or nobody. */
static int open_node(const char *path, unsigned major_nr, unsigned minor_nr, mode_t type)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mknod(path, type | 0600, makedev(major_nr, minor_nr)) < 0 && errno != EEXIST)
		return -1;
	return open(path, O_RDWR | O_CLOEXEC);
}

/* One step for kernels since 5.8, two for those before. */
static int configure(int dev, int file, const char *path)
{
	struct loop_config c = { .fd = (unsigned)file, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };
	int sys;

	strncpy((char *)c.info.lo_file_name, path, LO_NAME_SIZE - 1);
	if (ioctl(dev, LOOP_CONFIGURE, &c) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOTTY)
		return -1;
	if (ioctl(dev, LOOP_SET_FD, file) < 0)
		return -1;
	if (ioctl(dev, LOOP_SET_STATUS64, &c.info) == 0)
		return 0;
	sys = errno;
	ioctl(dev, LOOP_CLR_FD, 0);
	errno = sys;
	return -1;
}

int loop_attach(const char *path)
{
	int control = open_node("/dev/loop-control", 10, CONTROL_MINOR, S_IFCHR);
	int file = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC), dev = -1, sys;

	for (int i = 0; control >= 0 && file >= 0 && dev < 0 && i < TRIES; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		char name[32];

		if (n < 0)
			break;
		snprintf(name, sizeof(name), "/dev/loop%d", n);
		dev = open_node(name, LOOP_MAJOR, (unsigned)n, S_IFBLK);
		if (dev < 0)
			break;
		if (configure(dev, file, path) == 0)
			continue;
		sys = errno;
		close(dev);
		dev = -1;
		errno = sys;
		if (sys != EBUSY)
			break;
	}
	sys = errno;
	if (file >= 0)
		close(file);
	if (control >= 0)
		close(control);
	errno = sys;
	return dev;
}

int loop_device(int fd, dev_t *ret, uint64_t *ret_sectors)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISBLK(st.st_mode))
		return errno = ENOTBLK, -1;
	if (ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return -1;
	*ret = st.st_rdev;
	*ret_sectors = bytes / 512;
	return 0;
}

void loop_name(dev_t dev, char ret[PATH_MAX])
{
	char link[64], target[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	if (n > 0 && strrchr(target, '/'))
		snprintf(ret, PATH_MAX, "/dev/%.255s", strrchr(target, '/') + 1);
	else
		snprintf(ret, PATH_MAX, "%u:%u", major(dev), minor(dev));
}

void loop_backing(dev_t dev, char ret[PATH_MAX])
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop/backing_file", major(dev), minor(dev));
	if (dir_read_file(AT_FDCWD, path, ret, PATH_MAX) < 0)
		ret[0] = '\0';
}
