/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Volume driver "local": a volume is the directory ROOT/NAME/_data, in Docker's layout. Options (type, o, device) stand in
 * ROOT/NAME/opts.json; a volume that has them is mounted on _data while somebody uses it.
 *
 * A volume appears and goes by one rename: it is made under ".new-..." and removed under ".old-...". What a crash leaves
 * of these is taken away at the next open().
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "local.h"

#define FAIL(v, call, class, sys, ...) dkd_failf((v)->host, (call), DKD_ERR_##class, (sys), __VA_ARGS__)

bool local_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > 255 || !isalnum((unsigned char)name[0]))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
			return false;
	return true;
}

int32_t local_bad_name(const struct dkd_call *call, struct dkd_volume *v, const char *name)
{
	return FAIL(v, call, INVALID, 0, "\"%.80s\" includes invalid characters for a local volume name, only "
		"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", name);
}

/* A name of ours in root that no volume has. */
void local_own_name(struct dkd_volume *v, const char *prefix, char ret[64])
{
	pthread_mutex_lock(&v->lock);
	snprintf(ret, 64, ".%s-%d-%u", prefix, (int)getpid(), v->count++);
	pthread_mutex_unlock(&v->lock);
}

static int make_data(struct dkd_volume *v, int dir)
{
	if (mkdirat(dir, "_data", 0755) < 0)
		return errno == EEXIST ? 0 : -1;
	/* Not subject to the daemon's umask. */
	return fchmodat(dir, "_data", 0755, 0) < 0 || fchownat(dir, "_data", v->uid, v->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : 0;
}

/* Everything below the temporary name. */
int local_fill(struct dkd_volume *v, const char *tmp, const struct local_options *o)
{
	int dir, ret = -1;

	if (mkdirat(v->fd, tmp, 0701) < 0 || fchmodat(v->fd, tmp, 0701, 0) < 0)
		return -1;
	dir = openat(v->fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -1;
	if ((!o->size || quota_set(&v->quota, v->fd, tmp, o->size) == 0) && make_data(v, dir) == 0 &&
	    ((!o->type && !o->size) || local_options_write(dir, o) == 0) && fsync(dir) == 0)
		ret = 0;
	close(dir);
	return ret;
}

/* A directory of that name stands there already: a volume, or what a crash or somebody left of one. */
static int32_t create_existing(const struct dkd_call *call, struct dkd_volume *v, const char *name, const struct local_options *o)
{
	int dir = openat(v->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	struct local_options old = {0};
	bool lost;

	if (dir < 0)
		return FAIL(v, call, CONFLICT, errno, "'%s/%s' is in the way", v->root, name);
	if (make_data(v, dir) < 0)
		ret = FAIL(v, call, INTERNAL, errno, "error while creating volume data path '%s/%s/_data'", v->root, name);
	/* Options that were lost are given again. */
	lost = local_options_read(v, name, &old) < 0 || !old.device;
	local_options_done(&old);
	if (ret == 0 && o->type && lost &&
	    ((renameat(dir, "opts.json", dir, "opts.json.damaged") < 0 && errno != ENOENT) || local_options_write(dir, o) < 0))
		ret = FAIL(v, call, INTERNAL, errno, "write '%s/%s/opts.json'", v->root, name);
	close(dir);
	return ret;
}

static int32_t local_create(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create)
{
	struct local_options o = {0};
	char tmp[64];

	if (!local_name_ok(create->name))
		return local_bad_name(call, v, create->name);
	if (local_options_check(call, v, create, &o) < 0)
		return -1;
	local_own_name(v, "new", tmp);
	if (local_fill(v, tmp, &o) < 0) {
		int sys = errno;

		dir_remove(v->fd, tmp);
		return dkd_failf(v->host, call, sys == ENOSPC || sys == EDQUOT ? DKD_ERR_NO_SPACE : DKD_ERR_INTERNAL, sys,
			"error while creating volume root path '%s/%s'", v->root, create->name);
	}
	if (renameat2(v->fd, tmp, v->fd, create->name, RENAME_NOREPLACE) < 0) {
		int sys = errno;

		dir_remove(v->fd, tmp);
		if (sys == EEXIST)
			return create_existing(call, v, create->name, &o);
		return FAIL(v, call, INTERNAL, sys, "error while creating volume root path '%s/%s'", v->root, create->name);
	}
	if (fsync(v->fd) < 0)
		return FAIL(v, call, INTERNAL, errno, "sync %s", v->root);
	return 0;
}

bool local_is_mounted(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

void local_data_path(const struct dkd_volume *v, const char *name, char ret[PATH_ROOM])
{
	snprintf(ret, PATH_ROOM, "%s/%s/_data", v->root, name);
}

/* How many uses of name there are, without those of id when it is not NULL. */
unsigned local_uses(struct dkd_volume *v, const char *name, const char *but_id, bool *ret_has)
{
	unsigned n = 0;

	pthread_mutex_lock(&v->lock);
	for (struct use *u = v->uses; u; u = u->next) {
		if (strcmp(u->name, name) != 0)
			continue;
		if (but_id && strcmp(u->id, but_id) == 0)
			*ret_has = true;
		else
			n++;
	}
	pthread_mutex_unlock(&v->lock);
	return n;
}

static void use_drop(struct dkd_volume *v, const char *name, const char *id)
{
	struct use *gone;

	pthread_mutex_lock(&v->lock);
	for (struct use **u = &v->uses; *u; u = &(*u)->next)
		if (strcmp((*u)->name, name) == 0 && strcmp((*u)->id, id) == 0) {
			gone = *u;
			*u = gone->next;
			free(gone->name);
			free(gone->id);
			free(gone);
			break;
		}
	pthread_mutex_unlock(&v->lock);
}

static int use_add(struct dkd_volume *v, const char *name, const char *id)
{
	struct use *u = calloc(1, sizeof(*u));

	if (!u || !(u->name = strdup(name)) || !(u->id = strdup(id))) {
		if (u)
			free(u->name);
		free(u);
		return -1;
	}
	pthread_mutex_lock(&v->lock);
	u->next = v->uses;
	v->uses = u;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int32_t local_remove(const struct dkd_call *call, struct dkd_volume *v, const char *name)
{
	char path[PATH_ROOM], old[64];
	int sys;

	if (!local_name_ok(name))
		return local_bad_name(call, v, name);
	if (local_uses(v, name, NULL, NULL))
		return FAIL(v, call, CONFLICT, 0, "volume has active mounts");
	local_data_path(v, name, path);
	if (local_is_mounted(path) && umount2(path, MNT_DETACH) < 0)
		return FAIL(v, call, INTERNAL, errno, "unmount %s", path);
	local_own_name(v, "old", old);
	if (renameat2(v->fd, name, v->fd, old, RENAME_NOREPLACE) < 0) {
		if (errno == ENOENT)
			return 0;
		return FAIL(v, call, INTERNAL, errno, "remove %s/%s", v->root, name);
	}
	if (dir_remove(v->fd, old) < 0) {
		sys = errno;
		if (renameat2(v->fd, old, v->fd, name, RENAME_NOREPLACE) < 0)
			dkd_logf(v->host, DKD_LOG_ERROR, "what is left of volume %s stays in %s/%s: %s", name,
				v->root, old, strerror(errno));
		return FAIL(v, call, INTERNAL, sys, "error removing volume path '%s'", path);
	}
	if (fsync(v->fd) < 0)
		return FAIL(v, call, INTERNAL, errno, "sync %s", v->root);
	return 0;
}

/* 1: emitted, 0: no volume of that name. */
static int emit_one(struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to, int32_t *ret_rc)
{
	struct dkd_volume_info info = { .size = sizeof(info), .name = name };
	struct dkd_pair pairs[5];
	char path[PATH_ROOM], size[24];
	struct local_options o;
	struct statx sx;
	struct stat st;

	local_data_path(v, name, path);
	if (!local_name_ok(name) || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (statx(v->fd, name, 0, STATX_BTIME | STATX_MTIME, &sx) == 0) {
		const struct statx_timestamp *t = sx.stx_mask & STATX_BTIME ? &sx.stx_btime : &sx.stx_mtime;

		info.created = t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
	}
	info.mountpoint = path;
	if (local_options_read(v, name, &o) < 0)
		pairs[info.options_len++] = (struct dkd_pair){ "dockerd.damaged", "its file opts.json cannot be read" };
	if (o.device)
		pairs[info.options_len++] = (struct dkd_pair){ "device", o.device };
	if (o.o)
		pairs[info.options_len++] = (struct dkd_pair){ "o", o.o };
	if (o.type)
		pairs[info.options_len++] = (struct dkd_pair){ "type", o.type };
	if (o.size) {
		snprintf(size, sizeof(size), "%llu", (unsigned long long)o.size);
		pairs[info.options_len++] = (struct dkd_pair){ "size", size };
	}
	info.options = pairs;
	*ret_rc = emit(to, &info);
	local_options_done(&o);
	return 1;
}

static int32_t local_get(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to)
{
	int32_t rc;

	if (!emit_one(v, name, emit, to, &rc))
		return FAIL(v, call, NOT_FOUND, 0, "no such volume");
	return 0;
}

static int32_t local_list(const struct dkd_call *call, struct dkd_volume *v, dkd_emit_volume *emit, void *to)
{
	int fd = openat(v->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int32_t rc = 0;

	if (!d) {
		int sys = errno;

		if (fd >= 0)
			close(fd);
		return FAIL(v, call, INTERNAL, sys, "read %s", v->root);
	}
	while (rc == 0 && (e = readdir(d)))
		emit_one(v, e->d_name, emit, to, &rc);
	closedir(d);
	return 0;
}

static int32_t mount_first(const struct dkd_call *call, struct dkd_volume *v, const char *name,
	const struct local_options *o, const char *path)
{
	/* It stands from before a restart of the daemon: containers may live on it. */
	if (!o->device || local_is_mounted(path))
		return 0;
	dkd_logf(v->host, DKD_LOG_DEBUG, "mounts volume %s", name);
	return local_mount_options(v->host, call, o, path);
}

static int32_t local_mount(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_mount *m,
	dkd_emit *emit, void *to)
{
	char path[PATH_ROOM];
	bool has = false;
	struct local_options o;
	struct stat st;
	int32_t ret;

	if (!local_name_ok(m->name))
		return local_bad_name(call, v, m->name);
	if (m->idmaps)
		return FAIL(v, call, NOT_IMPLEMENTED, 0, "driver local does not map ids");
	local_data_path(v, m->name, path);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return FAIL(v, call, NOT_FOUND, 0, "volume path '%s' is missing", path);
	/* Without its options the directory below would be taken for the volume. */
	if (local_options_read(v, m->name, &o) < 0)
		return FAIL(v, call, INTERNAL, 0, "the options of volume %s are damaged (%s/%s/opts.json)",
			m->name, v->root, m->name);
	local_uses(v, m->name, m->id, &has);
	ret = mount_first(call, v, m->name, &o, path);
	if (ret == 0 && !has && use_add(v, m->name, m->id) < 0)
		ret = FAIL(v, call, INTERNAL, 0, "out of memory");
	local_options_done(&o);
	if (ret == 0)
		emit(to, path);
	return ret;
}

static int32_t local_unmount(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *id)
{
	char path[PATH_ROOM];
	struct local_options o;
	bool has = false;

	if (!local_name_ok(name))
		return local_bad_name(call, v, name);
	if (local_uses(v, name, id, &has) == 0 && local_options_read(v, name, &o) == 0) {
		bool mounted = o.device != NULL;

		local_options_done(&o);
		local_data_path(v, name, path);
		if (mounted && local_is_mounted(path) && umount2(path, MNT_DETACH) < 0)
			return FAIL(v, call, INTERNAL, errno, "unmount %s", path);
	}
	use_drop(v, name, id);
	return 0;
}

static int32_t local_path(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit *emit, void *to)
{
	char path[PATH_ROOM];

	if (!local_name_ok(name))
		return local_bad_name(call, v, name);
	local_data_path(v, name, path);
	emit(to, path);
	return 0;
}

static int32_t local_capabilities(const struct dkd_call *call, struct dkd_volume *v, struct dkd_volume_caps *ret)
{
	(void)call;
	(void)v;
	ret->scope = DKD_SCOPE_LOCAL;
	return 0;
}

static void local_close(struct dkd_volume *v)
{
	while (v->uses) {
		struct use *u = v->uses;

		v->uses = u->next;
		free(u->name);
		free(u->id);
		free(u);
	}
	if (v->fd >= 0)
		close(v->fd);
	pthread_mutex_destroy(&v->lock);
	free(v->root);
	free(v);
}

/* Takes away what a crash left of making or removing a volume. */
static void sweep(struct dkd_volume *v)
{
	int fd = openat(v->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if ((strncmp(e->d_name, ".new-", 5) == 0 || strncmp(e->d_name, ".old-", 5) == 0) &&
			dir_remove(v->fd, e->d_name) < 0)
			dkd_logf(v->host, DKD_LOG_WARN, "cannot remove %s/%s: %s", v->root, e->d_name, strerror(errno));
	closedir(d);
}

/* Without them a volume with a size is refused. */
static void find_quotas(struct dkd_volume *v)
{
	char device[PATH_ROOM];

	if (snprintf(device, sizeof(device), "%s/" QUOTA_DEVICE, v->root) < (int)sizeof(device) &&
	    quota_open(v->fd, device, QUOTA_VOLUMES, &v->quota) < 0)
		dkd_logf(v->host, DKD_LOG_DEBUG, "no sizes of volumes in %s: %s", v->root, strerror(errno));
}

/* There is none that it would know. */
static int32_t first_option(void *to, const char *key, const char *value)
{
	(void)key;
	(void)value;
	*(int *)to = 1;
	return 1;
}

static int32_t local_open(const struct dkd_call *call, const struct dkd_host *host,
	const struct dkd_volume_open *open_args, struct dkd_volume **ret)
{
	int any = 0;
	struct dkd_volume *v;
	int sys;

	host->each_option(host, first_option, &any);
	if (any)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "the section of this driver has options, and it knows none");
	if (strlen(open_args->root) > PATH_ROOM - 512)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "the path of the volumes is too long");
	if (mkdir(open_args->root, 0701) < 0 && errno != EEXIST)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, errno, "mkdir %s", open_args->root);
	v = calloc(1, sizeof(*v));
	if (!v || !(v->root = strdup(open_args->root))) {
		free(v);
		return dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	}
	v->host = host;
	v->uid = open_args->root_uid;
	v->gid = open_args->root_gid;
	pthread_mutex_init(&v->lock, NULL);
	v->fd = open(v->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v->fd < 0) {
		sys = errno;
		local_close(v);
		return dkd_failf(host, call, DKD_ERR_INTERNAL, sys, "open %s", open_args->root);
	}
	sweep(v);
	find_quotas(v);
	*ret = v;
	return 0;
}

static const struct dkd_volume_ops ops = {
	.open = local_open,
	.close = local_close,
	.create = local_create,
	.remove = local_remove,
	.get = local_get,
	.list = local_list,
	.mount = local_mount,
	.unmount = local_unmount,
	.path = local_path,
	.capabilities = local_capabilities,
	.rename = local_rename,
	.snapshot = local_snapshot,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_VOLUME,
	.abi_major = DKD_VOLUME_MAJOR,
	.abi_minor = DKD_VOLUME_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_OBJECT,
	.name = "local",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
