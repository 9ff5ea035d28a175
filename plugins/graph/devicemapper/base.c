/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "size.h"
#include "filesystem.h"

#define ROUNDED (UINT64_C(256) << 20) /* what a file system may leave unused at its device's end */

/* Learns what is on it, and writes that down. */
static int remember(struct devices *d, const struct store_device *v, const struct dkd_call *call, struct dm_error *e)
{
	struct filesystem fs;
	char path[PATH_MAX];
	int rc;

	if (devices_activate(d, v, call, e) < 0)
		return -1;
	devices_node(d, v->layer, path);
	rc = filesystem_probe(path, &fs);
	if (rc < 0)
		DM_FAIL(e, "devmapper: Could not query and save base device UUID");
	devices_deactivate(d, v->layer, false, call, e);
	if (rc < 0)
		return -1;
	snprintf(d->set.base_fs, sizeof(d->set.base_fs), "%s", fs.type);
	snprintf(d->set.base_uuid, sizeof(d->set.base_uuid), "%s", fs.uuid);
	return devices_save_set(d, e);
}

/* Making it */

static int create(struct devices *d, const struct dkd_call *call, struct dm_error *e)
{
	const char *type = *d->options->fs ? d->options->fs : filesystem_default();
	struct store_device v;
	char path[PATH_MAX];
	int rc;

	if (devices_new(d, STORE_BASE, d->options->base_size, e) < 0 || devices_find(d, STORE_BASE, &v, e) < 0 || devices_activate(d, &v, call, e) < 0)
		return -1;
	devices_node(d, STORE_BASE, path);
	dkd_logf(d->host, DKD_LOG_INFO, "Creating filesystem %s on device %s", type, path);
	rc = filesystem_make(d->host, call, path, type, d->options, e);
	devices_deactivate(d, STORE_BASE, false, call, e);
	if (rc < 0)
		return -1;
	/* until this is written the next start makes it anew */
	v.initialized = true;
	if (devices_save(d, &v, e) < 0)
		return -1;
	return remember(d, &v, call, e);
}

/* Somebody's pool is taken only when nobody used it. */
static int check_pool(const struct pool *p, struct dm_error *e)
{
	struct thin_pool_status s;

	if (!p->given)
		return 0;
	if (thin_pool_status(p->name, &s) < 0)
		return DM_FAIL(e, "devmapper: read the status of %s", p->name);
	if (s.data_used)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Unable to take ownership of thin-pool (%s) that already has used data blocks", p->name);
	if (s.transaction)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Unable to take ownership of thin-pool (%s) with non-zero transaction ID", p->name);
	return 0;
}

/* The one that is there */

static int verify(struct devices *d, const struct store_device *v, const struct dkd_call *call, struct filesystem *ret, struct dm_error *e)
{
	char path[PATH_MAX];
	int rc;

	if (devices_activate(d, v, call, e) < 0)
		return -1;
	devices_node(d, v->layer, path);
	rc = filesystem_probe(path, ret);
	if (rc < 0)
		DM_FAIL(e, "devmapper: Base Device UUID and Filesystem verification failed: read %s", path);
	devices_deactivate(d, v->layer, false, call, e);
	if (rc < 0)
		return -1;
	if (*d->set.base_uuid && strcmp(ret->uuid, d->set.base_uuid) != 0)
		return dm_refuse(e, DKD_ERR_INTERNAL, 0, "devmapper: Base Device UUID and Filesystem verification failed: devmapper: Current Base Device UUID:%s "
			"does not match with stored UUID:%s. Possibly using a different thin pool than last invocation", ret->uuid, d->set.base_uuid);
	if (*d->options->fs && strcmp(d->options->fs, ret->type) != 0)
		dkd_logf(d->host, DKD_LOG_WARN, "Base device already exists and has filesystem %s on it. User specified filesystem %s will be ignored.", ret->type,
			d->options->fs);
	if (strcmp(d->set.base_uuid, ret->uuid) == 0 && strcmp(d->set.base_fs, ret->type) == 0)
		return 0;
	snprintf(d->set.base_fs, sizeof(d->set.base_fs), "%s", ret->type);
	snprintf(d->set.base_uuid, sizeof(d->set.base_uuid), "%s", ret->uuid);
	return devices_save_set(d, e);
}

int base_grow(struct devices *d, const struct store_device *v, const char *mnt, const struct dkd_call *call, struct dm_error *e)
{
	char device[PATH_MAX], path[PATH_MAX];
	int rc;

	if (snprintf(path, sizeof(path), "%s/%s", mnt, *v->layer ? v->layer : "base") >= (int)sizeof(path))
		return dm_refuse(e, DKD_ERR_INVALID, ENAMETOOLONG, "devmapper: %s", mnt);
	/* active with the size of before */
	if (devices_deactivate(d, v->layer, true, call, e) < 0 || devices_activate(d, v, call, e) < 0)
		return -1;
	devices_node(d, v->layer, device);
	rc = mkdir(path, 0700) < 0 && errno != EEXIST ? DM_FAIL(e, "devmapper: make %s", path) : filesystem_mount(device, path, d->options->mount_options, NULL, e);
	if (rc == 0) {
		rc = filesystem_grow(path, d->set.base_fs, v->bytes);
		if (rc < 0)
			DM_FAIL(e, "devmapper: Failed to grow rootfs of %s", device);
		umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	rmdir(path);
	return devices_deactivate(d, v->layer, false, call, e) < 0 ? -1 : rc;
}

/* The size is written first: a file system must not be larger than its device. A crash before it has grown shows at the next start. */
static int grow(struct devices *d, struct store_device *v, const struct filesystem *fs, const char *mnt, const struct dkd_call *call, struct dm_error *e)
{
	char text[SIZE_TEXT];

	if (d->options->base_size_given && d->options->base_size < v->bytes)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Base device size cannot be smaller than %s", size_human(v->bytes, text));
	if (d->options->base_size_given && d->options->base_size > v->bytes) {
		v->bytes = d->options->base_size;
		if (devices_save(d, v, e) < 0)
			return -1;
	} else if (fs->bytes + ROUNDED >= v->bytes) {
		return 0;
	}
	return base_grow(d, v, mnt, call, e);
}

int base_setup(struct devices *d, const struct pool *p, const char *mnt, const struct dkd_call *call, struct dm_error *e)
{
	struct dm_error why = { 0 };
	struct store_device v;
	struct filesystem fs;

	if (devices_find(d, STORE_BASE, &v, &why) == 0) {
		if (v.initialized && !v.deleted)
			return verify(d, &v, call, &fs, e) < 0 ? -1 : grow(d, &v, &fs, mnt, call, e);
		dkd_logf(d->host, DKD_LOG_INFO, "Removing uninitialized base image");
		if (devices_delete(d, STORE_BASE, true, call, e) < 0)
			return -1;
	} else if (why.class != DKD_ERR_NOT_FOUND) {
		return *e = why, -1;
	} else if (check_pool(p, e) < 0) {
		return -1;
	}
	return create(d, call, e);
}
