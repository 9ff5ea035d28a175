/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver devicemapper without a kernel that has it: options, metadata, transactions, and file systems in files. */
#include "fake-thin.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"

#include "../../plugins/graph/devicemapper/devices.h"
#include "../../plugins/graph/devicemapper/filesystem.h"
#include "../../plugins/graph/devicemapper/pool.h"

#include "tap.h"

#define PREFIX "docker-8:1-42"
#define POOL PREFIX "-pool"

static char base[] = "/tmp/test-dm-XXXXXX";

/* Options */

static int parse(struct dm_options *o, struct dm_error *e, bool defers, const char *text)
{
	OWN_STRV struct strv words = { 0 };
	struct dkd_pair v[8];
	uint32_t len = 0;

	*e = (struct dm_error){ 0 };
	strv_split(&words, text, "|");
	for (size_t i = 0; i < words.len && len < 8; i++) {
		char *eq = strchr(words.v[i], '=');

		if (!eq)
			continue;
		*eq = '\0';
		v[len++] = (struct dkd_pair){ words.v[i], eq + 1 };
	}
	return dm_options_parse(o, v, len, defers, e);
}

static void test_refused(void)
{
	static const struct { const char *text, *why; } rows[] = {
		{ "dm.nosuch=1", "devmapper: Unknown option dm.nosuch" },
		{ "overlay2.size=1G", "devmapper: Unknown option overlay2.size" },
		{ "dm.basesize=big", "invalid size: 'big'" },
		{ "dm.loopdatasize=", "invalid size: ''" },
		{ "dm.fs=btrfs", "devmapper: Unsupported filesystem btrfs" },
		{ "dm.blkdiscard=maybe", "strconv.ParseBool: parsing \"maybe\": invalid syntax" },
		{ "dm.min_free_space=10", "devmapper: Option dm.min_free_space requires % suffix" },
		{ "dm.min_free_space=100%", "devmapper: Invalid value 100% for option dm.min_free_space" },
		{ "dm.min_free_space=x%", "strconv.ParseUint: parsing \"x\": invalid syntax" },
		{ "dm.min_free_space=-1%", "strconv.ParseUint: parsing \"-1\": invalid syntax" },
		{ "dm.xfs_nospace_max_retries=-1", "strconv.ParseUint: parsing \"-1\": invalid syntax" },
		{ "dm.xfs_nospace_max_retries=99999999999999999999", "strconv.ParseUint: parsing \"99999999999999999999\": value out of range" },
		{ "dm.libdm_log_level=1", "dm.libdm_log_level must be in range [2,7]" },
		{ "dm.libdm_log_level=8", "dm.libdm_log_level must be in range [2,7]" },
		{ "dm.thinp_percent=100%|dm.directlvm_device=/dev/x", "dm.thinp_percent must be greater than 0 and less than 100" },
		{ "dm.thinp_percent=a", "could not parse `dm.thinp_percent=a`: strconv.ParseUint: parsing \"a\": invalid syntax" },
		{ "dm.thinp_percent=10", "must provide device path in `dm.directlvm_device` in order to configure direct-lvm" },
		{ "dm.directlvm_device=/dev/x|dm.thinp_percent=10", "must set both `dm.thinp_percent` and `dm.thinp_metapercent` if either is specified" },
		{ "dm.directlvm_device=/dev/x|dm.thinp_percent=90|dm.thinp_metapercent=20%",
			"combined `dm.thinp_percent` and `dm.thinp_metapercent` must not be greater than 100" },
		{ "dm.directlvm_device=/dev/x|dm.thinpooldev=p", "cannot setup direct-lvm when `dm.thinpooldev` is also specified" },
		{ "dm.thinpooldev=/dev/vg/pool", "devmapper: dm.thinpooldev=/dev/vg/pool is no name below /dev/mapper" },
		{ "dm.thinpooldev=p|dm.datadev=/dev/x", "devmapper: dm.thinpooldev names a whole pool: dm.datadev and dm.metadatadev cannot be given beside it" },
		{ "dm.blocksize=100000", "devmapper: dm.blocksize=100000: a multiple of 64K is needed, up to 1G" },
		{ "dm.blocksize=0", "devmapper: dm.blocksize=0: a multiple of 64K is needed, up to 1G" },
		{ "dm.use_deferred_removal=false", "devmapper: Deferred deletion can not be enabled as deferred removal is not enabled. "
			"Enable deferred removal using --storage-opt dm.use_deferred_removal=true parameter" },
	};
	struct dm_options o;
	struct dm_error e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ok(parse(&o, &e, true, rows[i].text) < 0 && e.class == DKD_ERR_INVALID, "refused: %s", rows[i].text);
		is_str(e.text, rows[i].why, "... and why");
		dm_options_done(&o);
	}
	ok(parse(&o, &e, false, "dm.use_deferred_removal=true") < 0, "deferred removal on a kernel that cannot");
	is_str(e.text, "devmapper: Deferred removal can not be enabled as kernel does not support it", "... and why");
	dm_options_done(&o);
}

static void test_taken(void)
{
	struct dm_options o;
	struct dm_error e;

	is_int(parse(&o, &e, true, ""), 0, "no options");
	ok(o.base_size == 10ull << 30 && o.data_size == 100ull << 30 && o.meta_size == 2ull << 30 && o.block_sectors == 128 && o.min_free == 10, "sizes of Docker's");
	ok(o.discard && o.deferred_removal && o.deferred_deletion && !o.base_size_given && o.log_level == 2 && !*o.fs, "the rest of Docker's defaults");
	dm_options_done(&o);
	is_int(parse(&o, &e, false, ""), 0, "an old kernel");
	ok(!o.deferred_removal && !o.deferred_deletion, "defers nothing");
	dm_options_done(&o);
	is_int(parse(&o, &e, true, "DM.BaseSize=20G|dm.fs=xfs|dm.mountopt=noatime|dm.mountopt=discard|dm.mkfsarg=-q|dm.mkfsarg=-x|dm.blocksize=512K|dm.min_free_space=5%"),
		0, "many options");
	ok(o.base_size == 20ull << 30 && o.base_size_given && o.block_sectors == 1024 && o.min_free == 5, "sizes");
	is_str(o.fs, "xfs", "the file system");
	is_str(o.mount_options, "noatime,discard", "mount options are joined");
	ok(o.mkfs_args_len == 2 && streq(o.mkfs_args[0], "-q") && streq(o.mkfs_args[1], "-x"), "arguments of mkfs are listed");
	dm_options_done(&o);
	is_int(parse(&o, &e, true, "devicemapper.basesize=1G|devicemapper.dm.fs=ext4|dm.thinpooldev=/dev/mapper/vg-pool|dm.libdm_log_level=7|dm.xfs_nospace_max_retries=007"), 0,
		"the configuration's section");
	ok(o.base_size == 1ull << 30 && streq(o.fs, "ext4") && o.log_level == 7 && streq(o.nospace_retries, "7"), "has the same keys");
	is_str(o.pool, "vg-pool", "a pool by its path");
	ok(!o.discard, "nothing is discarded on a given pool");
	dm_options_done(&o);
	is_int(parse(&o, &e, true, "dm.thinpooldev=p|dm.blkdiscard=true"), 0, "unless it is wished");
	ok(o.discard, "which counts");
	dm_options_done(&o);
	is_int(parse(&o, &e, true, "dm.use_deferred_deletion=0|dm.use_deferred_removal=F|dm.override_udev_sync_check=1"), 0, "words for yes and no");
	ok(!o.deferred_removal && !o.deferred_deletion && o.override_udev, "are read");
	dm_options_done(&o);
	is_int(parse(&o, &e, true, "dm.directlvm_device=/dev/x|dm.thinp_percent=90%|dm.thinp_metapercent=2|dm.thinp_autoextend_percent=30|dm.thinp_autoextend_threshold=70%|"
		"dm.directlvm_device_force=true"), 0, "direct-lvm");
	ok(streq(o.lvm.device, "/dev/x") && o.lvm.percent == 90 && o.lvm.meta_percent == 2 && o.lvm.extend_percent == 30 && o.lvm.extend_threshold == 70 && o.lvm.force, "its options");
	dm_options_done(&o);
}

/* Metadata */

static char *text_of(int dir, const char *name)
{
	static char text[512];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static void put_text(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("# %s is not written\n", name);
	if (fd >= 0)
		close(fd);
}

static int folder(const char *name)
{
	OWN_FREE char *path = xasprintf("%s/%s", base, name);

	mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int count_each(void *to, const struct store_device *v, bool damaged)
{
	unsigned *n = to;

	n[damaged]++;
	n[2] += streq(v->layer, "");
	return 0;
}

/* What Docker 20.10 writes, to the byte; and what else it reads. */
static void test_store(void)
{
	struct store_device d = { .layer = "abc-init", .id = 7, .bytes = 10737418240, .transaction = 9, .initialized = false, .deleted = true }, got;
	struct store_transaction t = { .transaction = 12, .layer = "abc", .id = 3 }, t_got;
	struct store_set s = { .next_id = 5, .base_uuid = "a-b", .base_fs = "xfs" }, s_got;
	unsigned n[3] = { 0 };
	int dir = folder("store");

	is_int(store_write_device(dir, &d), 0, "a device is written");
	is_str(text_of(dir, "abc-init"), "{\"device_id\":7,\"size\":10737418240,\"transaction_id\":9,\"initialized\":false,\"deleted\":true}", "as Docker does");
	ok(store_read_device(dir, "abc-init", &got) == 0 && memcmp(&got, &d, sizeof(d)) == 0, "and read");
	d = (struct store_device){ .layer = STORE_BASE, .initialized = true };
	ok(store_write_device(dir, &d) == 0 && strstr(text_of(dir, "base"), "\"initialized\":true"), "the base has a name of its own");
	is_int(store_write_transaction(dir, &t), 0, "a transaction is written");
	is_str(text_of(dir, "transaction-metadata"), "{\"open_transaction_id\":12,\"device_hash\":\"abc\",\"device_id\":3}", "as Docker does");
	ok(store_read_transaction(dir, &t_got) == 0 && t_got.transaction == 12 && t_got.id == 3 && streq(t_got.layer, "abc"), "and read");
	is_int(store_write_set(dir, &s), 0, "the set is written");
	is_str(text_of(dir, "deviceset-metadata"), "{\"next_device_id\":5,\"BaseDeviceUUID\":\"a-b\",\"BaseDeviceFilesystem\":\"xfs\"}", "as Docker does");
	put_text(dir, "deviceset-metadata", "{\"next_device_id\":5,\"BaseDeviceUUID\":\"a\\nb\"}");
	ok(store_read_set(dir, &s_got) < 0 && errno == EBADMSG, "a set with a name that would have to be escaped");
	store_write_set(dir, &s);
	ok(store_read_set(dir, &s_got) == 0 && s_got.next_id == 5 && streq(s_got.base_uuid, "a-b") && streq(s_got.base_fs, "xfs"), "and read");
	put_text(dir, "other", " { \"more\": [1], \"size\" : 5, \"device_id\":16777215 }\n");
	ok(store_read_device(dir, "other", &got) == 0 && got.bytes == 5 && got.id == 16777215 && !got.deleted && !got.initialized, "members may be missing, or more");
	for (size_t i = 0; i < 7; i++) {
		static const char *const bad[] = { "", "[]", "{", "{\"device_id\":16777216}", "{\"device_id\":-1}", "{\"size\":\"10\"}", "{\"size\":1e30}" };

		put_text(dir, "bad", bad[i]);
		ok(store_read_device(dir, "bad", &got) < 0 && errno == EBADMSG, "a damaged device: %s", bad[i]);
	}
	put_text(dir, "transaction-metadata", "{\"open_transaction_id\":1,\"device_hash\":\"../../x\",\"device_id\":3}");
	ok(store_read_transaction(dir, &t_got) < 0 && errno == EBADMSG, "a transaction of a layer outside");
	ok(store_remove_transaction(dir) == 0 && store_read_transaction(dir, &t_got) < 0 && errno == ENOENT, "no transaction");
	ok(store_reserved("base") && store_reserved("deviceset-metadata") && store_reserved("transaction-metadata") && store_reserved("json.migrated") && !store_reserved("abc"),
		"names that no layer has");
	put_text(dir, ".tmp123", "x");
	put_text(dir, "json.migrated", "x");
	store_each_device(dir, count_each, n);
	ok(n[0] == 3 && n[1] == 1 && n[2] == 1, "all devices: %u whole, %u damaged, the base", n[0], n[1]);
	store_sweep(dir);
	ok(faccessat(dir, ".tmp123", F_OK, 0) < 0, "half written files go");
	ok(store_remove_device(dir, "abc-init") == 0 && store_remove_device(dir, "abc-init") == 0, "a device is removed, twice");
	close(dir);
}

static void test_migration(void)
{
	int root = folder("old"), dir = folder("old/metadata");
	struct store_device d;

	mkdirat(root, "devicemapper", 0700);
	is_int(store_migrate(root, dir), 0, "nothing to migrate");
	put_text(root, "devicemapper/json", "{\"Devices\":{\"\":{\"device_id\":0,\"size\":100,\"transaction_id\":1,\"initialized\":true},\"l1\":{\"device_id\":4,\"size\":100}}}");
	is_int(store_migrate(root, dir), 0, "the single file of old releases");
	ok(store_read_device(dir, "", &d) == 0 && d.initialized && store_read_device(dir, "l1", &d) == 0 && d.id == 4, "becomes one for each device");
	ok(faccessat(root, "devicemapper/json.migrated", F_OK, 0) == 0 && store_migrate(root, dir) == 0, "once");
	put_text(root, "devicemapper/json", "{\"Devices\":{\"../x\":{\"device_id\":0}}}");
	ok(store_migrate(root, dir) < 0 && errno == EBADMSG, "not out of its folder");
	put_text(root, "devicemapper/json", "{\"Devices\":{\"deviceset-metadata\":{\"device_id\":0}}}");
	ok(store_migrate(root, dir) < 0 && errno == EBADMSG, "not over a file of the store's own");
	close(root);
	close(dir);
}

/* Devices */

static void no_log(const struct dkd_host *h, uint32_t level, const char *text)
{
	(void)h;
	if (getenv("VERBOSE"))
		printf("# log %u: %s\n", level, text);
}

static const struct dkd_host host = { .size = sizeof(host), .log = no_log };
static struct dm_options options;

static bool nothing_mounted(void *to, const char *layer)
{
	(void)to, (void)layer;
	return false;
}

static int start(struct devices *d, int dir)
{
	struct dm_error e = { 0 };
	int rc = devices_open(d, &host, &options, POOL, PREFIX, dir, &e);

	if (rc < 0)
		printf("# %s\n", e.text);
	else
		devices_tidy(d, nothing_mounted, NULL);
	return rc;
}

static bool is_there(struct devices *d, const char *layer)
{
	struct dm_error e = { 0 };
	struct store_device v;

	return devices_find(d, layer, &v, &e) == 0;
}

static int activate(struct devices *d, const char *layer)
{
	struct dm_error e = { 0 };
	struct store_device v;

	return devices_find(d, layer, &v, &e) < 0 ? -1 : devices_activate(d, &v, NULL, &e);
}

static int *slot_of(const char *layer)
{
	char name[THIN_NAME_MAX];
	int i;

	snprintf(name, sizeof(name), PREFIX "-%s", layer);
	i = fake_find(name);
	return i < 0 ? NULL : &fake->active[i].open;
}

static void test_devices(void)
{
	struct dm_error e = { 0 };
	struct store_device v;
	struct devices d;
	int dir = folder("devices");

	fake_new();
	is_int(start(&d, dir), 0, "an empty pool");
	ok(devices_new(&d, STORE_BASE, 1 << 30, &e) == 0 && devices_snapshot(&d, "one", STORE_BASE, 0, NULL, &e) == 0, "a base, and a layer on it");
	ok(devices_find(&d, "one", &v, &e) == 0 && v.id == 2 && v.bytes == 1 << 30 && v.transaction == 2, "is as large as the base");
	is_int((int)fake->transaction, 2, "the pool has counted");
	ok(devices_snapshot(&d, "one", STORE_BASE, 0, NULL, &e) < 0 && e.class == DKD_ERR_CONFLICT, "not twice");
	is_str(e.text, "devmapper: device one already exists. Deleted=false", "in Docker's words");
	e = (struct dm_error){ 0 };
	ok(devices_snapshot(&d, "two", "none", 0, NULL, &e) < 0 && e.class == DKD_ERR_NOT_FOUND, "not on what is not there");
	e = (struct dm_error){ 0 };
	ok(devices_snapshot(&d, "two", "one", 1 << 29, NULL, &e) < 0 && e.class == DKD_ERR_INVALID, "not smaller than what it stands on");
	is_str(e.text, "devmapper: Container size cannot be smaller than 1.074GB", "in Docker's words");
	e = (struct dm_error){ 0 };
	ok(devices_snapshot(&d, "base", "one", 0, NULL, &e) < 0 && e.class == DKD_ERR_INVALID, "not under a name of the store's");
	e = (struct dm_error){ 0 };
	ok(devices_snapshot(&d, "two", "one", 1ull << 31, NULL, &e) == 0 && devices_find(&d, "two", &v, &e) == 0 && v.bytes == 1ull << 31, "but larger");
	ok(activate(&d, "one") == 0 && devices_snapshot(&d, "three", "one", 0, NULL, &e) == 0 && fake->unsafe == 0, "an active one stands still while it is copied");
	ok(slot_of("one") && !fake->active[fake_find(PREFIX "-one")].suspended, "and goes on");
	/* somebody else's device has the next number */
	fake->there[d.set.next_id + 1] = true;
	ok(devices_snapshot(&d, "four", "one", 0, NULL, &e) == 0 && devices_find(&d, "four", &v, &e) == 0 && v.id == d.set.next_id, "a number that is taken is passed over");
	fake->fail_with = ENOSPC;
	ok(devices_snapshot(&d, "five", "one", 0, NULL, &e) < 0 && e.sys == ENOSPC && !is_there(&d, "five"), "a pool that refuses leaves nothing");
	e = (struct dm_error){ 0 };
	ok(devices_delete(&d, "four", false, NULL, &e) == 0 && !is_there(&d, "four") && !fake->there[v.id], "deleted");
	is_int(devices_delete(&d, "four", false, NULL, &e), 0, "what is not there is fine");
	devices_find(&d, "three", &v, &e);
	fake->there[v.id] = false;
	ok(devices_delete(&d, "three", false, NULL, &e) == 0 && !is_there(&d, "three"), "one that the pool has lost can be deleted");
	devices_close(&d);
	close(dir);
}

static void test_deferred(void)
{
	struct dm_error e = { 0 };
	struct store_device v;
	struct devices d;
	int dir = folder("deferred");

	fake_new();
	start(&d, dir);
	ok(devices_new(&d, STORE_BASE, 1 << 30, &e) == 0 && devices_snapshot(&d, "used", STORE_BASE, 0, NULL, &e) == 0 && activate(&d, "used") == 0, "a layer");
	*slot_of("used") = 1;
	ok(devices_deactivate(&d, "used", false, NULL, &e) == 0 && fake->active[fake_find(PREFIX "-used")].deferred, "one in use is removed later");
	ok(activate(&d, "used") == 0 && !fake->active[fake_find(PREFIX "-used")].deferred, "unless it is wanted again");
	ok(devices_deactivate(&d, "used", false, NULL, &e) == 0 && devices_snapshot(&d, "copy", "used", 0, NULL, &e) == 0 && fake->unsafe == 0 &&
		fake->active[fake_find(PREFIX "-used")].deferred, "a copy of it does not change that");
	fake->removing = 2;
	ok(devices_snapshot(&d, "late", "used", 0, NULL, &e) == 0 && fake->removing == 0 && fake->unsafe == 0, "a removal that is under way is waited for");
	ok(activate(&d, "used") == 0, "active again");
	*slot_of("used") = 1;
	ok(devices_delete(&d, "used", false, NULL, &e) == 0 && devices_deleted(&d) == 1, "one in use is deleted later");
	ok(devices_find(&d, "used", &v, &e) == 0 && v.deleted && devices_activate(&d, &v, NULL, &e) < 0, "and not used any more");
	e = (struct dm_error){ 0 };
	ok(devices_snapshot(&d, "used", STORE_BASE, 0, NULL, &e) < 0 && strstr(e.text, "already exists. Deleted=true"), "its name is taken");
	e = (struct dm_error){ 0 };
	ok(devices_snapshot(&d, "more", "used", 0, NULL, &e) < 0 && strstr(e.text, "marked for deferred deletion"), "nothing stands on it");
	devices_retry(&d);
	is_int((int)devices_deleted(&d), 1, "it stays while it is in use");
	devices_close(&d);
	ok(start(&d, dir) == 0 && devices_deleted(&d) == 1, "and over a restart");
	*slot_of("used") = 0;
	devices_retry(&d);
	ok(devices_deleted(&d) == 0 && !is_there(&d, "used") && !fake->there[v.id], "then it goes");
	e = (struct dm_error){ 0 };
	options.deferred_deletion = options.deferred_removal = false;
	ok(activate(&d, "copy") == 0, "a device in use, where nothing is deferred");
	*slot_of("copy") = 1;
	ok(devices_delete(&d, "copy", false, &(struct dkd_call){ .cancel_fd = -1, .deadline = 1 }, &e) < 0 && e.sys == ECANCELED && is_there(&d, "copy"),
		"is waited for as long as the caller does");
	options.deferred_deletion = options.deferred_removal = true;
	devices_close(&d);
	close(dir);
}

/* The worker comes back to what was in use, and ends when it is told. */
static void test_worker(void)
{
	struct dm_error e = { 0 };
	struct devices d;
	int dir = folder("worker"), waited = 0;

	fake_new();
	start(&d, dir);
	devices_new(&d, STORE_BASE, 1 << 30, &e);
	devices_snapshot(&d, "used", STORE_BASE, 0, NULL, &e);
	activate(&d, "used");
	*slot_of("used") = 1;
	is_int(devices_work(&d), 0, "a worker");
	ok(devices_delete(&d, "used", false, NULL, &e) == 0 && devices_deleted(&d) == 1, "a deletion that waits");
	*slot_of("used") = 0;
	while (devices_deleted(&d) && waited++ < 600)
		usleep(100000);
	ok(devices_deleted(&d) == 0 && !is_there(&d, "used"), "is done when the device is free");
	devices_close(&d);
	ok(!d.working, "the worker has ended");
	close(dir);
}

/* Crashes */

enum { BASE, ONE, TWO, THREE, LAYERS };
static const char *const names[LAYERS] = { STORE_BASE, "one", "two", "three" };
enum { NEVER, BEGUN, MADE, GOING, GONE };
static int *state;

/* A life with every kind of change. */
static void live(int dir)
{
	struct dm_error e = { 0 };
	struct devices d;

	if (start(&d, dir) < 0)
		_exit(1);
	for (int i = BASE; i < LAYERS; i++) {
		state[i] = BEGUN;
		if (i == BASE ? devices_new(&d, STORE_BASE, 1 << 30, &e) : devices_snapshot(&d, names[i], names[i - 1], 0, NULL, &e))
			_exit(2);
		state[i] = MADE;
		if (activate(&d, names[i]) < 0)
			_exit(3);
	}
	for (int i = THREE; i >= TWO; i--) {
		state[i] = GOING;
		if (devices_delete(&d, names[i], false, NULL, &e) < 0)
			_exit(4);
		state[i] = GONE;
	}
	_exit(0);
}

struct seen { bool file[FAKE_IDS]; unsigned files; };

static int see(void *to, const struct store_device *v, bool damaged)
{
	struct seen *s = to;

	if (!damaged && v->id < FAKE_IDS)
		s->file[v->id] = true, s->files++;
	return 0;
}

/* What the next start makes of it: as many devices in the pool as in the metadata, the same ones, and all that was finished. */
static bool repaired(int dir)
{
	struct dm_error e = { 0 };
	struct seen s = { 0 };
	struct devices d;
	bool good = start(&d, dir) == 0;

	store_each_device(dir, see, &s);
	for (int i = 0; good && i < FAKE_IDS; i++)
		good = s.file[i] == fake->there[i];
	for (int i = BASE; good && i < LAYERS; i++)
		good = state[i] == MADE ? is_there(&d, names[i]) : state[i] == GONE || state[i] == NEVER ? !is_there(&d, names[i]) : true;
	for (int i = 0; good && i < FAKE_ACTIVE; i++)
		good = !*fake->active[i].name;
	if (good && !is_there(&d, STORE_BASE))
		good = devices_new(&d, STORE_BASE, 1 << 30, &e) == 0;
	good = good && devices_snapshot(&d, "again", STORE_BASE, 0, NULL, &e) == 0 && devices_delete(&d, "again", true, NULL, &e) == 0;
	devices_close(&d);
	return good;
}

static void test_crashes(void)
{
	unsigned stop, bad = 0;
	int status = -1;

	state = mmap(NULL, LAYERS * sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (stop = 2; stop < 400; stop++) {
		OWN_FREE char *name = xasprintf("crash-%u", stop);
		int dir = folder(name);
		pid_t pid;

		memset(state, 0, LAYERS * sizeof(*state));
		fake_new();
		fake->stop = stop;
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			live(dir);
		waitpid(pid, &status, 0);
		fake->stop = 0;
		if (!repaired(dir)) {
			printf("# after stop %u: states %d %d %d %d\n", stop, state[0], state[1], state[2], state[3]);
			bad++;
		}
		close(dir);
		munmap(fake, sizeof(*fake));
		if (WEXITSTATUS(status) != 9)
			break;
	}
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0 && stop > 40, "a life of %u calls comes to its end", stop / 2);
	is_int((int)bad, 0, "a crash before or after any of them is repaired by the next start");
}

/* A transaction that names what it does not own. */
static void test_foreign_transaction(void)
{
	struct store_transaction t = { .transaction = 3, .layer = "new" };
	struct dm_error e = { 0 };
	struct store_device v;
	struct devices d;
	int dir = folder("foreign");

	fake_new();
	start(&d, dir);
	devices_new(&d, STORE_BASE, 1 << 30, &e);
	devices_snapshot(&d, "one", STORE_BASE, 0, NULL, &e);
	devices_find(&d, "one", &v, &e);
	devices_close(&d);
	t.id = v.id;
	store_write_transaction(dir, &t);
	ok(start(&d, dir) == 0 && is_there(&d, "one") && fake->there[v.id], "a number that is another layer's is not deleted");
	devices_close(&d);
	t = (struct store_transaction){ .transaction = 1, .layer = "one", .id = v.id };
	store_write_transaction(dir, &t);
	ok(start(&d, dir) == 0 && is_there(&d, "one"), "one of before is none");
	devices_close(&d);
	put_text(dir, "transaction-metadata", "");
	ok(start(&d, dir) == 0 && is_there(&d, "one"), "a damaged one is none");
	devices_close(&d);
	close(dir);
}

/* The pool */

static void test_room(void)
{
	struct dm_error e = { 0 };
	struct pool_space s;
	struct pool p = { .name = POOL };

	fake_new();
	fake->data_used = 900;
	fake->meta_used = 90;
	is_int(pool_has_room(POOL, 10, &e), 0, "a tenth is free");
	fake->data_used = 901;
	ok(pool_has_room(POOL, 10, &e) < 0 && e.class == DKD_ERR_NO_SPACE, "less is refused");
	is_str(e.text, "devmapper: Thin Pool has 99 free data blocks which is less than minimum required 100 free data blocks. "
		"Create more free space in thin pool or use dm.min_free_space option to change behavior", "in Docker's words");
	is_int(pool_has_room(POOL, 0, &e), 0, "unless nothing needs to be free");
	e = (struct dm_error){ 0 };
	fake->data_used = 0;
	fake->meta_used = 91;
	ok(pool_has_room(POOL, 10, &e) < 0, "metadata, too");
	is_str(e.text, "devmapper: Thin Pool has 9 free metadata blocks which is less than minimum required 10 free metadata blocks. "
		"Create more free metadata space in thin pool or use dm.min_free_space option to change behavior", "in Docker's words");
	is_int(pool_space(&p, 10, &s), 0, "its space");
	ok(s.block == 65536 && s.data_total == 65536000 && s.meta_used == 91 * 4096 && s.min_free == 6553600 && s.data_free == s.data_total, "in bytes");
}

/* File systems */

static void test_filesystem(const char *type, const char *mkfs, uint64_t size)
{
	OWN_FREE char *file = xasprintf("%s/%s.img", base, type), *command = xasprintf("%s %s > /dev/null 2>&1", mkfs, file), *uuid = NULL, *ask = NULL;
	struct filesystem fs = { 0 };
	char want[64] = "";
	FILE *out;
	int fd;

	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || system(command) != 0) {
		skip("a file system", mkfs);
		return;
	}
	close(fd);
	ok(filesystem_probe(file, &fs) == 0 && streq(fs.type, type), "%s is known by its superblock", type);
	ok(fs.bytes <= size && fs.bytes + (16 << 20) > size, "and its size: %llu", (unsigned long long)fs.bytes);
	ask = xasprintf("blkid -p -s UUID -o value %s", file);
	out = popen(ask, "re");
	if (out && fscanf(out, "%63s", want) == 1)
		is_str(fs.uuid, want, "and its UUID, as blkid prints it");
	if (out)
		pclose(out);
	unlink(file);
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct filesystem fs;
	struct dm_error e;

	if (!mkdtemp(base))
		return 99;
	test_refused();
	test_taken();
	test_store();
	test_migration();
	parse(&options, &e, true, "dm.blkdiscard=false");
	test_devices();
	test_deferred();
	test_worker();
	test_crashes();
	test_foreign_transaction();
	test_room();
	test_filesystem("ext4", "mkfs.ext4 -q -F", 64 << 20);
	test_filesystem("xfs", "mkfs.xfs -q -f", 320 << 20);
	ok(filesystem_probe("/dev/zero", &fs) < 0 && errno == EMEDIUMTYPE, "no file system");
	dm_options_done(&options);
	if (fs_remove_tree(AT_FDCWD, base, &err) < 0)
		printf("# %s\n", err_text(&err));
	return tap_done();
}
