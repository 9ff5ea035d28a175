/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From layerdb/tmp to their places: layers that were registered and are synced now. What lies in layerdb/sha256 is whole for
 * ever; what a crash or a power cut leaves in tmp is taken back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/layer-priv.h"

/* What is left of a damaged entry goes into a folder of tmp. Under the lock. */
static int set_aside(struct layer_store *s, const char *hex, char ret_name[STAGE_NAME], struct err *err)
{
	char suffix[17];

	id_random_hex(suffix, 16);
	snprintf(ret_name, STAGE_NAME, "damaged-%s", suffix);
	return renameat(s->sha256_fd, hex, s->tmp_fd, ret_name) < 0 ? err_errno(err, errno, "set aside layer %s", hex) : 0;
}

/* The folder of a synced layer goes to its place. Under the lock. */
static int sync_one(struct layer_store *s, struct layer *l, struct strv *aside, struct err *err)
{
	const char *hex = id_digest_hex(l->chain);
	char name[STAGE_NAME];

	if (faccessat(s->sha256_fd, hex, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		if (set_aside(s, hex, name, err) < 0)
			return -1;
		strv_add(aside, name);
	}
	if (renameat(s->tmp_fd, l->staged, s->sha256_fd, hex) < 0)
		return err_errno(err, errno, "store layer %s", l->chain);
	str_set(&l->staged, NULL);
	return 0;
}

/* The driver's file system, and the store's own where that is another. */
static int sync_all(struct layer_store *s, struct err *err)
{
	OWN_FREE char *driver_dir = xasprintf("%s/../../../%s", s->dir, graph_name(s->graph));
	struct stat here, there;

	if (graph_sync(s->graph, err) < 0)
		return err_wrap(err, "sync the layers");
	if (fstat(s->tmp_fd, &here) == 0 && stat(driver_dir, &there) == 0 && here.st_dev == there.st_dev)
		return 0;
	return syncfs(s->tmp_fd) < 0 ? err_errno(err, errno, "sync %s", s->dir) : 0;
}

/* Which layers are staged under which name: what is synced now counts for these folders alone. True: there is work. */
static bool sync_begin(struct layer_store *s, struct strmap *ret)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < s->staged.len; i++) {
		struct layer *l = layer_find(s, s->staged.v[i]);

		if (l && l->staged)
			strmap_set(ret, l->chain, l->staged);
	}
	if (!ret->len && !s->syncing)
		return false;
	s->syncing++;
	return true;
}

/* In the order of registration: a layer never lies in its place without its parent. */
static int sync_end(struct layer_store *s, const struct strmap *synced, struct strv *aside, int rc, struct err *err)
{
	struct strv later = { 0 };
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < s->staged.len; i++) {
		struct layer *l = layer_find(s, s->staged.v[i]);
		const char *name = strmap_get(synced, s->staged.v[i]);

		if (!l || !l->staged)
			continue;
		if (rc == 0 && name && streq(name, l->staged))
			rc = sync_one(s, l, aside, err);
		if (l->staged)
			strv_add(&later, l->chain);
	}
	strv_done(&s->staged);
	s->staged = later;
	return rc;
}

int layer_sync(struct layer_store *s, struct err *err)
{
	OWN_STRMAP struct strmap synced = { 0 };
	OWN_STRV struct strv aside = { 0 };
	int rc = 0;

	if (!sync_begin(s, &synced))
		return 0;
	lock_none_held();
	if (synced.len)
		rc = sync_end(s, &synced, &aside, sync_all(s, err), err);
	/* also for those whom another thread has just moved */
	if (rc == 0 && fsync(s->sha256_fd) < 0)
		rc = err_errno(err, errno, "sync %s/sha256", s->dir);
	for (size_t i = 0; i < aside.len; i++)
		layer_db_take_back(s, s->tmp_fd, aside.v[i]);
	lock_take(&s->lock);
	s->syncing--;
	lock_drop(&s->lock);
	return rc;
}
