/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "subvolume.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP_INODE BTRFS_FIRST_FREE_OBJECTID /* of every subvolume's top folder */

static int set_name(char *to, size_t size, const char *name)
{
	if (strlen(name) >= size)
		return errno = ENAMETOOLONG, -1;
	strcpy(to, name);
	return 0;
}

int subvolume_create(int dir, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	return set_name(args.name, sizeof(args.name), name) < 0 ? -1 : ioctl(dir, BTRFS_IOC_SUBVOL_CREATE, &args);
}

int subvolume_snapshot(int dir, const char *name, int source)
{
	struct btrfs_ioctl_vol_args args = { .fd = source };

	return set_name(args.name, sizeof(args.name), name) < 0 ? -1 : ioctl(dir, BTRFS_IOC_SNAP_CREATE, &args);
}

int subvolume_id(int fd, uint64_t *ret)
{
	struct btrfs_ioctl_ino_lookup_args args = { .objectid = TOP_INODE };

	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) < 0)
		return -1;
	*ret = args.treeid;
	return 0;
}

int subvolume_is(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return S_ISDIR(st.st_mode) && st.st_ino == TOP_INODE;
}

/* The first subvolume right inside another: 1, or 0 when there is none. */
static int first_inside(int fd, uint64_t id, uint64_t *ret)
{
	struct btrfs_ioctl_search_args args = { .key = {
		.tree_id = BTRFS_ROOT_TREE_OBJECTID, .min_objectid = id, .max_objectid = id, .min_type = BTRFS_ROOT_REF_KEY, .max_type = BTRFS_ROOT_REF_KEY,
		.max_offset = UINT64_MAX, .max_transid = UINT64_MAX, .nr_items = 1,
	} };
	struct btrfs_ioctl_search_header found;

	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) < 0)
		return -1;
	memcpy(&found, args.buf, sizeof(found));
	*ret = found.offset;
	return args.key.nr_items > 0;
}

/* The deepest first, without a stack: who made them chose the depth. */
static int destroy_inside(int dir, uint64_t id)
{
	for (;;) {
		struct btrfs_ioctl_vol_args_v2 args = { .flags = BTRFS_SUBVOL_SPEC_BY_ID };
		uint64_t deepest = id, next;
		int rc;

		while ((rc = first_inside(dir, deepest, &next)) > 0)
			deepest = next;
		if (rc < 0 || deepest == id)
			return rc;
		args.subvolid = deepest;
		if (ioctl(dir, BTRFS_IOC_SNAP_DESTROY_V2, &args) < 0)
			return -1;
	}
}

int subvolume_destroy(int dir, const char *name, uint64_t *ret_id)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int fd, rc, sys;
	uint64_t id;

	if (set_name(args.name, sizeof(args.name), name) < 0)
		return -1;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = subvolume_id(fd, &id);
	sys = errno;
	close(fd);
	errno = sys;
	if (rc < 0)
		return -1;
	if (ret_id)
		*ret_id = id;
	rc = ioctl(dir, BTRFS_IOC_SNAP_DESTROY, &args);
	if (rc < 0 && errno == ENOTEMPTY)
		rc = destroy_inside(dir, id) < 0 ? -1 : ioctl(dir, BTRFS_IOC_SNAP_DESTROY, &args);
	return rc;
}

int subvolume_quotas_on(int fd)
{
	struct btrfs_ioctl_quota_ctl_args args = { .cmd = BTRFS_QUOTA_CTL_ENABLE };

	return ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args);
}

int subvolume_limit(int fd, uint64_t bytes)
{
	/* group 0: that of the subvolume itself */
	struct btrfs_ioctl_qgroup_limit_args args = { .lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = bytes } };

	return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args);
}

int subvolume_drop_group(int fd, uint64_t id)
{
	struct btrfs_ioctl_qgroup_create_args args = { .qgroupid = id };

	return ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args);
}
