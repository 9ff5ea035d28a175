/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lvm.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "dir.h"

#define FILE_SETUP "setup-config.json"
#define PROFILE "docker-thinpool"
#define OUTPUT 4096
#define ARGS 16 /* of a program, at most */

static const char *const config_keys[] = { "ThinpPercent", "ThinpMetaPercent", "AutoExtendPercent", "AutoExtendThreshold" };

static void numbers(const struct dm_lvm_options *o, unsigned ret[4])
{
	ret[0] = o->percent, ret[1] = o->meta_percent, ret[2] = o->extend_percent, ret[3] = o->extend_threshold;
}

/* 1: made with these options. 0: nothing is made yet. */
static int was_made(const struct dm_lvm_options *o, int rootfd, struct dm_error *e)
{
	char text[OUTPUT];
	ssize_t n = dir_read_file(rootfd, FILE_SETUP, text, sizeof(text));
	unsigned want[4];
	const char *device;
	bool same;
	json_t *j;

	if (n <= 0)
		return n == 0 || errno == ENOENT ? 0 : DM_FAIL(e, "error reading existing setup config");
	j = json_loadb(text, (size_t)n, 0, NULL);
	if (!json_is_object(j)) {
		json_decref(j);
		return dm_refuse(e, DKD_ERR_INTERNAL, 0, "error unmarshaling previous device setup config");
	}
	device = json_string_value(json_object_get(j, "Device"));
	same = device && strcmp(device, o->device) == 0;
	numbers(o, want);
	for (int i = 0; i < 4; i++)
		same = same && json_integer_value(json_object_get(j, config_keys[i])) == (json_int_t)want[i];
	json_decref(j);
	return same ? 1 : dm_refuse(e, DKD_ERR_INVALID, 0, "changing direct-lvm config is not supported");
}

static int write_made(const struct dm_lvm_options *o, int rootfd, struct dm_error *e)
{
	json_t *j = json_object();
	unsigned have[4];
	char *text;
	int rc;

	numbers(o, have);
	json_object_set_new(j, "Device", json_string(o->device));
	for (int i = 0; i < 4; i++)
		json_object_set_new(j, config_keys[i], json_integer((json_int_t)have[i]));
	text = json_dumps(j, JSON_COMPACT);
	rc = text ? dir_write_file(rootfd, FILE_SETUP, text, 0600) : -1;
	if (rc < 0)
		DM_FAIL(e, "error writing direct lvm config to file");
	free(text);
	json_decref(j);
	return rc;
}

/* Programs */

static int32_t keep(void *to, const char *text)
{
	snprintf(to, OUTPUT, "%s", text);
	return 0;
}

struct programs { const struct dkd_host *host; const struct dkd_call *call; struct dm_error *e; };

static int run(struct programs *p, char output[OUTPUT], const char *const *argv)
{
	output[0] = '\0';
	int32_t status = p->host->run(p->host, p->call, argv, keep, output);

	if (status < 0)
		p->e->said = true;
	return status;
}

/* Where no udev makes the nodes of volumes, LVM is told to make them. */
static int must(struct programs *p, const char *const *argv)
{
	const char *all[ARGS + 3];
	char output[OUTPUT];
	size_t n = 0;
	int status;

	while (argv[n] && n < ARGS)
		all[n] = argv[n], n++;
	if (access("/run/udev/control", F_OK) < 0)
		all[n++] = "--config", all[n++] = "activation/verify_udev_operations=1";
	all[n] = NULL;
	status = run(p, output, all);

	return status <= 0 ? status : dm_refuse(p->e, DKD_ERR_INTERNAL, 0, "%.900s: exit status %d of %s", output, status, argv[0]);
}
#define MUST(p, ...) must((p), (const char *const[]){ __VA_ARGS__, NULL })

/* What is asked of the device where the program is there; what it answers otherwise does not matter. */
static int check_device(struct programs *p, const struct dm_lvm_options *o)
{
	char output[OUTPUT];
	const char *at;

	if (dm_has_program("lvmdiskscan") && run(p, output, (const char *const[]){ "lvmdiskscan", NULL }) == 0 && !strstr(output, o->device))
		return dm_refuse(p->e, DKD_ERR_INVALID, 0, "%s is not available for use with devicemapper", o->device);
	if (dm_has_program("pvdisplay") && run(p, output, (const char *const[]){ "pvdisplay", o->device, NULL }) == 0) {
		at = strstr(output, "VG Name");
		at = at ? at + strlen("VG Name") : "";
		at += strspn(at, " \t");
		if (strcspn(at, "\n"))
			return dm_refuse(p->e, DKD_ERR_INVALID, 0, "%s is already part of a volume group \"%.*s\": must remove this device from any volume group or "
				"provide a different device", o->device, (int)strcspn(at, "\n"), at);
	}
	if (!o->force && dm_has_program("blkid") && run(p, output, (const char *const[]){ "blkid", o->device, NULL }) == 0 && strstr(output, " TYPE=\""))
		return dm_refuse(p->e, DKD_ERR_INVALID, 0, "%s has a filesystem already, use dm.directlvm_device_force=true if you want to wipe the device", o->device);
	return p->e->said ? -1 : 0;
}

static int write_profile(const struct dm_lvm_options *o, struct dm_error *e)
{
	const char *lvm = getenv("LVM_SYSTEM_DIR");
	char text[160], path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/profile", lvm && *lvm ? lvm : "/etc/lvm");

	snprintf(text, sizeof(text), "activation{\nthin_pool_autoextend_threshold=%u\nthin_pool_autoextend_percent=%u\n}",
		o->extend_threshold ? o->extend_threshold : 80, o->extend_percent ? o->extend_percent : 20);
	if (n < 0 || (size_t)n >= sizeof(path) - sizeof("/" PROFILE ".profile"))
		errno = ENAMETOOLONG, n = -1;
	if (n < 0 || dir_make_all(path, 0755) < 0 || dir_write_file(AT_FDCWD, strcat(path, "/" PROFILE ".profile"), text, 0600) < 0)
		return DM_FAIL(e, "error writing docker thinp autoextend profile");
	return 0;
}

static int make_pool(struct programs *p, const struct dm_lvm_options *o)
{
	char data[32], meta[32];

	snprintf(data, sizeof(data), "%u%%VG", o->percent ? o->percent : 95);
	snprintf(meta, sizeof(meta), "%u%%VG", o->meta_percent ? o->meta_percent : 1);
	if (MUST(p, "lvcreate", "--wipesignatures", "y", "-n", "thinpool", "docker", "--extents", data) < 0 ||
	    MUST(p, "lvcreate", "--wipesignatures", "y", "-n", "thinpoolmeta", "docker", "--extents", meta) < 0 ||
	    MUST(p, "lvconvert", "-y", "--zero", "n", "-c", "512K", "--thinpool", "docker/thinpool", "--poolmetadata", "docker/thinpoolmeta") < 0)
		return -1;
	if (write_profile(o, p->e) < 0)
		return -1;
	return MUST(p, "lvchange", "--metadataprofile", PROFILE, "docker/thinpool");
}

/* A group whose pool does not come about goes again: the next start would refuse the device that is part of one. */
static int make(struct programs *p, const struct dm_lvm_options *o)
{
	char output[OUTPUT];

	if (MUST(p, "pvcreate", "-f", o->device) < 0 || MUST(p, "vgcreate", "docker", o->device) < 0)
		return -1;
	if (make_pool(p, o) == 0)
		return 0;
	if (run(p, output, (const char *const[]){ "vgremove", "-f", "docker", NULL }) == 0)
		run(p, output, (const char *const[]){ "pvremove", "-f", o->device, NULL });
	return -1;
}

int lvm_setup(const struct dkd_host *host, const struct dkd_call *call, const struct dm_lvm_options *o, int rootfd, struct dm_error *e)
{
	static const char *const needed[] = { "pvcreate", "vgcreate", "lvcreate", "lvconvert", "lvchange", "thin_check" };
	struct programs p = { host, call, e };
	int made = was_made(o, rootfd, e);

	if (made)
		return made < 0 ? -1 : 0;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!dm_has_program(needed[i]))
			return dm_refuse(e, DKD_ERR_INVALID, 0, "error looking up command `%s` while setting up direct lvm: it is not on this host "
				"(packages lvm2 and thin-provisioning-tools)", needed[i]);
	if (check_device(&p, o) < 0 || make(&p, o) < 0)
		return -1;
	return write_made(o, rootfd, e);
}
