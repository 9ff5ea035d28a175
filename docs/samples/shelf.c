/* SPDX-License-Identifier: MIT */
/*
 * A volume driver of one's own: volumes are folders on a shelf, a place that the configuration names ([volume.shelf] place = /srv/shelf).
 *
 *	cc -shared -fPIC -Wl,-z,defs $(pkg-config --cflags dockerd-driver) -o shelf.so shelf.c
 *	docker volume create -d shelf -o mode=0770 books
 *
 * A volume is PLACE/NAME with its one option as its mode. The daemon knows who uses it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dockerd/volume.h>

struct dkd_volume {
	const struct dkd_host *host;
	char place[3072];
};

static int32_t shelf_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_volume_open *open, struct dkd_volume **ret)
{
	const char *place = host->option(host, "place");
	struct dkd_volume *v = calloc(1, sizeof(*v));

	if (!v)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	v->host = host;
	snprintf(v->place, sizeof(v->place), "%s", place ? place : open->root);
	if (v->place[0] == '/' && (mkdir(v->place, 0711) == 0 || errno == EEXIST)) {
		*ret = v;
		return 0;
	}
	dkd_failf(host, call, DKD_ERR_INVALID, errno, "\"%s\" is no place for volumes", v->place);
	free(v);
	return -1;
}

static void shelf_close(struct dkd_volume *v)
{
	free(v);
}

static void path_of(const struct dkd_volume *v, const char *name, char ret[4096])
{
	snprintf(ret, 4096, "%s/%s", v->place, name);
}

static int32_t failed(const struct dkd_volume *v, const struct dkd_call *call, const char *what, const char *name)
{
	return dkd_failf(v->host, call, errno == ENOENT ? DKD_ERR_NOT_FOUND : DKD_ERR_INTERNAL, errno, "%s volume %s", what, name);
}

static int32_t shelf_create(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create)
{
	unsigned long mode = 0755;
	char path[4096];
	uint32_t i;

	for (i = 0; i < create->options_len; i++) {
		char *end = NULL;

		if (strcmp(create->options[i].key, "mode") != 0)
			return dkd_failf(v->host, call, DKD_ERR_INVALID, 0, "unknown option %s", create->options[i].key);
		mode = strtoul(create->options[i].value, &end, 8);
		if (!*create->options[i].value || *end || mode > 01777)
			return dkd_failf(v->host, call, DKD_ERR_INVALID, 0, "\"%s\" is no mode", create->options[i].value);
	}
	path_of(v, create->name, path);
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : failed(v, call, "make", create->name);
	return chmod(path, (mode_t)mode) < 0 ? failed(v, call, "make", create->name) : 0;
}

static int forget(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

/* FTW_PHYS follows no link that a container left there. */
static int32_t shelf_remove(const struct dkd_call *call, struct dkd_volume *v, const char *name)
{
	char path[4096];

	path_of(v, name, path);
	if (nftw(path, forget, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		return failed(v, call, "remove", name);
	return 0;
}

static int emit_one(struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to)
{
	char path[4096], mode[16];
	struct dkd_pair option = { "mode", mode };
	struct dkd_volume_info info = { .size = sizeof(info), .name = name, .mountpoint = path, .options = &option, .options_len = 1 };
	struct stat st;

	path_of(v, name, path);
	if (lstat(path, &st) < 0 || (!S_ISDIR(st.st_mode) && (errno = ENOENT)))
		return -1;
	snprintf(mode, sizeof(mode), "%04o", st.st_mode & 07777u);
	info.created = st.st_ctim.tv_sec * INT64_C(1000000000);
	return emit(to, &info) != 0;
}

static int32_t shelf_get(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to)
{
	return emit_one(v, name, emit, to) < 0 ? failed(v, call, "get", name) : 0;
}

static int32_t shelf_list(const struct dkd_call *call, struct dkd_volume *v, dkd_emit_volume *emit, void *to)
{
	DIR *dir = opendir(v->place);
	struct dirent *e;

	if (!dir)
		return failed(v, call, "list", "");
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && emit_one(v, e->d_name, emit, to) > 0)
			break; /* it wants no more */
	closedir(dir);
	return 0;
}

static int32_t shelf_mount(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_mount *mount, dkd_emit *emit, void *to)
{
	char path[4096];

	path_of(v, mount->name, path);
	if (access(path, F_OK) < 0)
		return failed(v, call, "mount", mount->name);
	emit(to, path);
	return 0;
}

static int32_t shelf_unmount(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *id)
{
	(void)call, (void)v, (void)name, (void)id;
	return 0; /* a folder needs none */
}

static int32_t shelf_rename(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name)
{
	char from[4096], to[4096];

	path_of(v, name, from);
	path_of(v, new_name, to);
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EEXIST ? dkd_failf(v->host, call, DKD_ERR_CONFLICT, EEXIST, "volume %s", new_name) : failed(v, call, "rename", name);
}

static const struct dkd_volume_ops ops = {
	.open = shelf_open,
	.close = shelf_close,
	.create = shelf_create,
	.remove = shelf_remove,
	.get = shelf_get,
	.list = shelf_list,
	.mount = shelf_mount,
	.unmount = shelf_unmount,
	.rename = shelf_rename,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_VOLUME, .abi_major = DKD_VOLUME_MAJOR, .abi_minor = DKD_VOLUME_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_OBJECT, .name = "shelf", .version = "1.0", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
