/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* direct-lvm of the driver devicemapper, with programs that are only written down. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#include "../../plugins/graph/devicemapper/lvm.h"

#include "tap.h"

static char base[] = "/tmp/test-lvm-XXXXXX";
static int root = -1;

/* What was run, a program a line, and which one of them says what. */
static struct buf ran;
static struct { const char *program, *says; int status; } answer;

static int32_t fake_run(const struct dkd_host *host, const struct dkd_call *call, const char *const *argv, dkd_emit *emit, void *to)
{
	bool this = answer.program && streq(argv[0], answer.program);

	(void)host, (void)call;
	for (size_t i = 0; argv[i]; i++)
		if (!streq(argv[i], "--config") && !strstr(argv[i], "verify_udev_operations"))
			buf_addf(&ran, "%s%s", i ? " " : "", argv[i]);
	buf_addc(&ran, '\n');
	emit(to, this ? answer.says : streq(argv[0], "lvmdiskscan") ? "/dev/x" : "");
	return this ? answer.status : 0;
}

static int setup(const struct dm_lvm_options *o, struct dm_error *e, const char *program, int status, const char *says)
{
	static const struct dkd_host host = { .size = sizeof(host), .run = fake_run };
	static const struct dkd_call call = { .size = sizeof(call), .cancel_fd = -1 };

	answer.program = program, answer.status = status, answer.says = says;
	buf_reset(&ran);
	buf_adds(&ran, "");
	*e = (struct dm_error){ 0 };
	return lvm_setup(&host, &call, o, root, e);
}

static void put(const char *name, const char *text, mode_t mode)
{
	OWN_FREE char *path = xasprintf("%s/%s", base, name);
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	if (fd < 0 || fs_write_all(fd, text, strlen(text)) < 0)
		perror(path);
}

static bool file_is(const char *name, const char *text)
{
	char got[512] = "";
	OWN_FREE char *path = xasprintf("%s/%s", base, name);
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0 && streq(got, text);
}

static const char *const programs[] = { "pvcreate", "vgcreate", "lvcreate", "lvconvert", "lvchange", "thin_check" };

static void test_programs(const struct dm_lvm_options *o)
{
	struct dm_error e;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		OWN_FREE char *bin = xasprintf("bin/%s", programs[i]);

		is_int(setup(o, &e, NULL, 0, NULL), -1, "without %s nothing is done", programs[i]);
		ok(strstr(e.text, programs[i]) && strstr(e.text, "while setting up direct lvm") && streq(ran.data, ""), "and it is named");
		put(bin, "", 0755);
	}
	put("bin/lvmdiskscan", "", 0755);
	put("bin/pvdisplay", "", 0755);
	put("bin/blkid", "", 0755);
}

static void test_devices(const struct dm_lvm_options *o)
{
	static const struct { const char *program, *says, *why; } rows[] = {
		{ "lvmdiskscan", "/dev/other [1 GiB]", "/dev/x is not available for use with devicemapper" },
		{ "pvdisplay", "  PV Name  /dev/x\n  VG Name               group\n", "/dev/x is already part of a volume group \"group\": must remove this device from any volume group or "
			"provide a different device" },
		{ "blkid", "/dev/x: UUID=\"1\" TYPE=\"ext4\"", "/dev/x has a filesystem already, use dm.directlvm_device_force=true if you want to wipe the device" },
	};
	struct dm_error e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		is_int(setup(o, &e, rows[i].program, 0, rows[i].says), -1, "a device of which %s says something else", rows[i].program);
		is_str(e.text, rows[i].why, "is refused");
		ok(!strstr(ran.data, "create"), "and left alone");
	}
}

static void test_failures(const struct dm_lvm_options *o)
{
	static const struct { const char *program; bool undone; } rows[] = {
		{ "pvcreate", false }, { "vgcreate", false }, { "lvcreate", true }, { "lvconvert", true }, { "lvchange", true },
	};
	struct dm_error e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		OWN_FREE char *why = xasprintf("words of it: exit status 5 of %s", rows[i].program);

		is_int(setup(o, &e, rows[i].program, 5, "words of it"), -1, "%s fails", rows[i].program);
		is_str(e.text, why, "with its words");
		is_int(strstr(ran.data, "\nvgremove -f docker\npvremove -f /dev/x\n") != NULL, rows[i].undone, "the group that was made is %s",
			rows[i].undone ? "removed" : "none");
		ok(faccessat(root, "setup-config.json", F_OK, 0) < 0, "nothing is written down");
	}
}

static void test_made(struct dm_lvm_options *o)
{
	struct dm_error e;

	is_int(setup(o, &e, "lvmdiskscan", 0, "  /dev/x [1 GiB]"), 0, "a device that is bare");
	is_str(ran.data, "lvmdiskscan\npvdisplay /dev/x\nblkid /dev/x\npvcreate -f /dev/x\nvgcreate docker /dev/x\n"
		"lvcreate --wipesignatures y -n thinpool docker --extents 95%VG\nlvcreate --wipesignatures y -n thinpoolmeta docker --extents 1%VG\n"
		"lvconvert -y --zero n -c 512K --thinpool docker/thinpool --poolmetadata docker/thinpoolmeta\n"
		"lvchange --metadataprofile docker-thinpool docker/thinpool\n", "the programs, in their order");
	ok(file_is("lvm/profile/docker-thinpool.profile", "activation{\nthin_pool_autoextend_threshold=80\nthin_pool_autoextend_percent=20\n}"), "a profile, that lets it grow");
	ok(file_is("root/setup-config.json", "{\"Device\":\"/dev/x\",\"ThinpPercent\":0,\"ThinpMetaPercent\":0,\"AutoExtendPercent\":0,\"AutoExtendThreshold\":0}"), "what was made is written down");
	is_int(setup(o, &e, NULL, 0, NULL), 0, "the next start");
	is_str(ran.data, "", "runs none of them");
	o->percent = 90;
	is_int(setup(o, &e, NULL, 0, NULL), -1, "other numbers");
	is_str(e.text, "changing direct-lvm config is not supported", "are refused");
	unlinkat(root, "setup-config.json", 0);
	o->force = true, o->meta_percent = 2, o->extend_threshold = 70, o->extend_percent = 30;
	is_int(setup(o, &e, "lvmdiskscan", 0, "/dev/x"), 0, "with force, and numbers of one's own");
	ok(!strstr(ran.data, "blkid") && strstr(ran.data, "--extents 90%VG") && strstr(ran.data, "--extents 2%VG"), "nobody asks for file systems");
	ok(file_is("lvm/profile/docker-thinpool.profile", "activation{\nthin_pool_autoextend_threshold=70\nthin_pool_autoextend_percent=30\n}"), "the profile has the numbers");
	unlinkat(root, "setup-config.json", 0);
	put("root/setup-config.json", "{", 0600);
	is_int(setup(o, &e, NULL, 0, NULL), -1, "a damaged record");
	is_str(e.text, "error unmarshaling previous device setup config", "is told");
}

int main(void)
{
	char device[] = "/dev/x";
	struct dm_lvm_options o = { .device = device };
	OWN_FREE char *bin = NULL, *lvm = NULL, *dir = NULL;

	if (!mkdtemp(base))
		return 1;
	bin = xasprintf("%s/bin", base), lvm = xasprintf("%s/lvm", base), dir = xasprintf("%s/root", base);
	mkdir(bin, 0755), mkdir(lvm, 0755), mkdir(dir, 0755);
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	setenv("PATH", bin, 1);
	setenv("LVM_SYSTEM_DIR", lvm, 1);
	test_programs(&o);
	test_devices(&o);
	test_failures(&o);
	test_made(&o);
	buf_done(&ran);
	close(root);
	fs_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
