/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dir.h"
#include "loop.h"

#define LOOP_DIR "devicemapper" /* of the files, below root */

/* One of the two devices of a pool that is made. */
struct half {
	const char *what; /* "data", "metadata": the file's name, too */
	const char *given;
	uint64_t size;
	int fd;
	dev_t dev;
	uint64_t sectors;
	char path[PATH_MAX];
	bool is_loop, is_new;
};

static int open_loop(struct half *h, const char *root, int rootfd, bool must_exist, struct dm_error *e)
{
	uint64_t size;
	char name[64];

	snprintf(name, sizeof(name), LOOP_DIR "/%s", h->what);
	if (snprintf(h->path, sizeof(h->path), "%s/%s", root, name) >= (int)sizeof(h->path))
		return dm_refuse(e, DKD_ERR_INVALID, ENAMETOOLONG, "devmapper: %s", root);
	if (must_exist && faccessat(rootfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return dm_refuse(e, DKD_ERR_INTERNAL, errno, "devmapper: %s holds layers, and the pool they are in is gone: %s", root, h->path);
	if (dir_make(rootfd, LOOP_DIR, 0700, geteuid(), getegid()) < 0)
		return DM_FAIL(e, "devmapper: make %s/" LOOP_DIR, root);
	if (loop_file(rootfd, name, h->size, &h->is_new, &size) < 0)
		return DM_FAIL(e, "devmapper: make the loopback file %s", h->path);
	h->fd = loop_attach(h->path);
	if (h->fd < 0)
		return DM_FAIL(e, "devmapper: attach a loop device to %s", h->path);
	h->is_loop = true;
	return 0;
}

static int open_half(struct half *h, const char *root, int rootfd, bool must_exist, struct dm_error *e)
{
	if (h->given) {
		h->fd = open(h->given, O_RDWR | O_CLOEXEC);
		if (h->fd < 0)
			return DM_FAIL(e, "devmapper: open the %s device %s", h->what, h->given);
	} else if (open_loop(h, root, rootfd, must_exist, e) < 0) {
		return -1;
	}
	if (loop_device(h->fd, &h->dev, &h->sectors) < 0)
		return DM_FAIL(e, "devmapper: the %s device %s", h->what, h->given ? h->given : h->path);
	return 0;
}

static int make_pool(struct pool *p, struct half h[2], uint32_t block_sectors, struct dm_error *e)
{
	uint64_t whole = h[0].sectors - h[0].sectors % block_sectors;

	if (!whole)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: the data device is smaller than one block of %u KiB", block_sectors / 2);
	if (thin_pool_create(p->name, h[1].dev, h[0].dev, whole, block_sectors) == 0)
		return 0;
	if (errno == EILSEQ || errno == EINVAL)
		return DM_FAIL(e, "devmapper: make the thin pool %s: the kernel's log says why; it may be that the metadata device holds something else, "
			"and that its first 4 KiB must be wiped, or that blocks of %u KiB were not what the pool was made with", p->name, block_sectors / 2);
	return DM_FAIL(e, "devmapper: make the thin pool %s", p->name);
}

static int create(struct pool *p, const struct dm_options *o, const char *root, int rootfd, bool has_devices, struct dm_error *e)
{
	struct half h[2] = {
		{ .what = "data", .given = o->data_device, .size = o->data_size, .fd = -1 },
		{ .what = "metadata", .given = o->meta_device, .size = o->meta_size, .fd = -1 },
	};
	int rc = -1;

	if (open_half(&h[0], root, rootfd, has_devices, e) == 0 && open_half(&h[1], root, rootfd, has_devices, e) == 0)
		rc = make_pool(p, h, o->block_sectors, e);
	/* the pool holds its devices itself; without it the loop devices go with these descriptors */
	for (int i = 0; i < 2; i++) {
		if (h[i].fd >= 0)
			close(h[i].fd);
		if (rc < 0 && h[i].is_new)
			unlink(h[i].path);
	}
	return rc;
}

/* What a pool lies on, made now or left by a daemon before. */
static int learn(struct pool *p, struct dm_error *e)
{
	dev_t meta, data;
	uint32_t block;

	if (thin_pool_table(p->name, &meta, &data, &block) < 0)
		return DM_FAIL(e, "devmapper: read the table of %s", p->name);
	if (p->given)
		return 0;
	loop_name(data, p->data_device);
	loop_name(meta, p->meta_device);
	loop_backing(data, p->data_file);
	loop_backing(meta, p->meta_file);
	return 0;
}

int pool_open(struct pool *p, const struct dm_options *o, const char *root, int rootfd, const char *prefix, bool has_devices, struct dm_error *e)
{
	struct thin_pool_status status;
	struct thin_info info;

	*p = (struct pool){ .given = o->pool != NULL };
	if (snprintf(p->name, sizeof(p->name), "%s%s", o->pool ? o->pool : prefix, o->pool ? "" : "-pool") >= (int)sizeof(p->name))
		return dm_refuse(e, DKD_ERR_INVALID, ENAMETOOLONG, "devmapper: %s", p->name);
	if (thin_info(p->name, &info) < 0)
		return DM_FAIL(e, "devmapper: look for the thin pool %s", p->name);
	if (!info.exists && p->given)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: there is no thin pool %s: dm.thinpooldev names one that is made and active", p->name);
	if (!info.exists && create(p, o, root, rootfd, has_devices, e) < 0)
		return -1;
	if (info.exists && info.suspended && !p->given && thin_resume(p->name) < 0)
		return DM_FAIL(e, "devmapper: resume the thin pool %s", p->name);
	if (thin_pool_status(p->name, &status) < 0)
		return errno == ENOTBLK ? dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Device %s is not a thin pool", p->name) :
			DM_FAIL(e, "devmapper: read the status of %s", p->name);
	if (status.failed)
		return dm_refuse(e, DKD_ERR_INTERNAL, 0, "devmapper: the thin pool %s has failed: its metadata must be repaired (thin_check, thin_repair)", p->name);
	return learn(p, e);
}

int pool_close(const struct pool *p)
{
	if (p->given || thin_remove(p->name, false) == 0 || errno == ENXIO)
		return 0;
	return -1;
}

int pool_has_room(const char *pool, unsigned min_free, struct dm_error *e)
{
	static const struct { const char *what, *more; } words[] = { { "data", "" }, { "metadata", "metadata " } };
	struct thin_pool_status s;

	if (!min_free)
		return 0;
	if (thin_pool_status(pool, &s) < 0)
		return DM_FAIL(e, "devmapper: read the status of %s", pool);
	for (int i = 0; i < 2; i++) {
		uint64_t total = i ? s.meta_total : s.data_total, is_free = total - (i ? s.meta_used : s.data_used), least = total * min_free / 100;

		if (is_free < (least ? least : 1))
			return dm_refuse(e, DKD_ERR_NO_SPACE, 0, "devmapper: Thin Pool has %llu free %s blocks which is less than minimum required %llu free %s blocks. "
				"Create more free %sspace in thin pool or use dm.min_free_space option to change behavior", (unsigned long long)is_free, words[i].what,
				(unsigned long long)(least ? least : 1), words[i].what, words[i].more);
	}
	return 0;
}

/* A loop file cannot take more than its own file system has. */
static void bound(uint64_t *is_free, const char *file)
{
	struct statvfs st;

	if (*file && statvfs(file, &st) == 0 && (uint64_t)st.f_bfree * st.f_frsize < *is_free)
		*is_free = (uint64_t)st.f_bfree * st.f_frsize;
}

int pool_space(const struct pool *p, unsigned min_free, struct pool_space *ret)
{
	struct thin_pool_status s;

	*ret = (struct pool_space){ 0 };
	if (thin_pool_status(p->name, &s) < 0)
		return -1;
	if (!s.data_total)
		return errno = EIO, -1;
	ret->block = s.sectors / s.data_total * THIN_SECTOR;
	ret->data_used = s.data_used * ret->block;
	ret->data_total = s.data_total * ret->block;
	ret->data_free = ret->data_total - ret->data_used;
	ret->meta_used = s.meta_used * THIN_METADATA_BLOCK;
	ret->meta_total = s.meta_total * THIN_METADATA_BLOCK;
	ret->meta_free = ret->meta_total - ret->meta_used;
	ret->min_free = s.data_total * min_free / 100 * ret->block;
	bound(&ret->data_free, p->data_file);
	bound(&ret->meta_free, p->meta_file);
	return 0;
}
