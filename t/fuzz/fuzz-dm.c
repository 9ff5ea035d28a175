/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * devicemapper: options (KEY=VALUE a line), and its files: of a device, the set, the transaction, and of releases before 1.0. What is read is
 * written and read back as it was.
 */
#include <errno.h>
#include <fcntl.h>

#include "host.h"

#include "devicemapper/options.h"
#include "devicemapper/store.h"
#include "devicemapper/thin.h"

static void options(void)
{
	struct dkd_pair pairs[64];
	struct dm_options o;
	uint32_t len = 0;

	for (; len < fuzz_told.keys.len && len < 64; len++)
		pairs[len] = (struct dkd_pair){ fuzz_told.keys.v[len], fuzz_told.values.v[len] };
	for (int defers = 0; defers < 2; defers++) {
		struct dm_error e = { 0 };

		if (dm_options_parse(&o, pairs, len, defers, &e) < 0)
			FUZZ_CHECK(*e.text && e.class);
		else
			FUZZ_CHECK(o.block_sectors && o.block_sectors % 128 == 0 && o.min_free < 100 && strlen(o.mount_options) < DM_MOUNT_OPTIONS &&
				(!o.deferred_deletion || o.deferred_removal) && o.mkfs_args_len <= DM_MKFS_ARGS && !o.mkfs_args[o.mkfs_args_len]);
		dm_options_done(&o);
	}
}

static void devices(int dir)
{
	struct store_device d, again;

	if (store_read_device(dir, "layer", &d) < 0)
		return;
	FUZZ_CHECK(d.id <= THIN_ID_MAX && store_write_device(dir, &d) == 0 && store_read_device(dir, "layer", &again) == 0);
	FUZZ_CHECK(d.id == again.id && d.bytes == again.bytes && d.transaction == again.transaction && d.initialized == again.initialized &&
		d.deleted == again.deleted && strcmp(d.layer, again.layer) == 0);
}

static void sets(int dir)
{
	struct store_set s, again;

	if (store_read_set(dir, &s) < 0)
		return;
	FUZZ_CHECK(store_write_set(dir, &s) == 0 && store_read_set(dir, &again) == 0);
	FUZZ_CHECK(s.next_id == again.next_id && strcmp(s.base_uuid, again.base_uuid) == 0 && strcmp(s.base_fs, again.base_fs) == 0);
}

static void transactions(int dir)
{
	struct store_transaction t, again;

	if (store_read_transaction(dir, &t) < 0)
		return;
	FUZZ_CHECK(!strchr(t.layer, '/') && store_write_transaction(dir, &t) == 0 && store_read_transaction(dir, &again) == 0);
	FUZZ_CHECK(t.transaction == again.transaction && t.id == again.id && strcmp(t.layer, again.layer) == 0);
}

static int drop(void *to, const struct store_device *d, bool damaged)
{
	(void)damaged;
	FUZZ_CHECK(!strchr(d->layer, '/'));
	return store_remove_device(*(const int *)to, d->layer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const files[] = { "m/layer", "m/deviceset-metadata", "m/transaction-metadata", "devicemapper/json" };
	OWN_STRV struct strv parts = { 0 };
	int root = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir;

	fuzz_split(data, size, &parts);
	fuzz_host_begin(fuzz_part(&parts, 0));
	options();
	fuzz_host_end();
	mkdirat(root, "m", 0700);
	mkdirat(root, "devicemapper", 0700);
	dir = openat(root, "m", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(dir >= 0);
	for (size_t i = 0; i < 4; i++) {
		OWN_FREE char *path = xasprintf("%s/%s", fuzz_dir(), files[i]);

		fuzz_write(path, fuzz_part(&parts, i + 1), strlen(fuzz_part(&parts, i + 1)));
	}
	devices(dir);
	sets(dir);
	transactions(dir);
	if (store_migrate(root, dir) < 0)
		FUZZ_CHECK(errno);
	FUZZ_CHECK(store_each_device(dir, drop, &dir) == 0);
	close(dir);
	close(root);
	return 0;
}
