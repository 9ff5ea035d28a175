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
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local.h"

#define OPTS_MAX 65536
#define PATH_ROOM 4608
#define FAIL(v, call, class, sys, ...) dkd_failf((v)->host, (call), DKD_ERR_##class, (sys), __VA_ARGS__)

/* One use of a volume that is mounted. */
struct use {
	char *name, *id;
	struct use *next;
};

struct dkd_volume {
	const struct dkd_host *host;
	char *root;
	int fd;               /* of root */
	uint32_t uid, gid;
	pthread_mutex_t lock; /* uses, count */
	struct use *uses;
	unsigned count;       /* for names of our own */
};

static void options_done(struct local_options *o)
{
	free(o->type);
	free(o->o);
	free(o->device);
}

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > 255 || !isalnum((unsigned char)name[0]))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
			return false;
	return true;
}

static int32_t bad_name(const struct dkd_call *call, struct dkd_volume *v, const char *name)
{
	return FAIL(v, call, INVALID, 0, "\"%.80s\" includes invalid characters for a local volume name, only "
		"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", name);
}

/* A name of ours in root that no volume has. */
static void own_name(struct dkd_volume *v, const char *prefix, char ret[64])
{
	pthread_mutex_lock(&v->lock);
	snprintf(ret, 64, ".%s-%d-%u", prefix, (int)getpid(), v->count++);
	pthread_mutex_unlock(&v->lock);
}

static char *read_small(int dir, const char *path, size_t *ret_size)
{
	int fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = calloc(1, OPTS_MAX + 1);
	n = text ? read(fd, text, OPTS_MAX) : -1;
	close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	*ret_size = (size_t)n;
	return text;
}

static char *json_text(json_t *js, const char *key)
{
	const char *s = json_string_value(json_object_get(js, key));

	return s && *s ? strdup(s) : NULL;
}

/* The options of a volume: 0 also when it has none, -1 when the file is damaged. */
static int options_read(struct dkd_volume *v, const char *name, struct local_options *ret)
{
	char path[300];
	size_t size = 0;
	char *text;
	json_t *js;

	*ret = (struct local_options){0};
	snprintf(path, sizeof(path), "%s/opts.json", name);
	text = read_small(v->fd, path, &size);
	if (!text)
		return errno == ENOENT ? 0 : -1;
	js = json_loadb(text, size, 0, NULL);
	free(text);
	if (!json_is_object(js)) {
		json_decref(js);
		return -1;
	}
	ret->type = json_text(js, "MountType");
	ret->o = json_text(js, "MountOpts");
	ret->device = json_text(js, "MountDevice");
	json_decref(js);
	return 0;
}

/* Writes dir/opts.json, synced. */
static int options_write(int dir, const struct local_options *o)
{
	json_t *js = json_pack("{s:s, s:s, s:s, s:{s:i}}", "MountType", o->type ? o->type : "", "MountOpts", o->o ? o->o : "",
		"MountDevice", o->device ? o->device : "", "Quota", "Size", 0);
	char *text = js ? json_dumps(js, JSON_COMPACT) : NULL;
	int fd = openat(dir, "opts.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int ret = -1;

	json_decref(js);
	if (text && fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0)
		ret = 0;
	if (fd >= 0)
		close(fd);
	free(text);
	return ret;
}

/* Docker's rules for options. Sets only pointers into the caller's pairs. */
static int32_t options_check(const struct dkd_call *call, struct dkd_volume *v,
	const struct dkd_volume_create *create, struct local_options *ret)
{
	const char *size = NULL;
	char *end;

	for (uint32_t i = 0; i < create->options_len; i++) {
		const char *key = create->options[i].key;
		char *value = (char *)create->options[i].value;

		if (strcmp(key, "type") == 0)
			ret->type = value;
		else if (strcmp(key, "o") == 0)
			ret->o = value;
		else if (strcmp(key, "device") == 0)
			ret->device = value;
		else if (strcmp(key, "size") == 0)
			size = value;
		else
			return FAIL(v, call, INVALID, 0, "invalid option: \"%s\"", key);
	}
	if ((ret->type || ret->o) && !ret->device)
		return FAIL(v, call, INVALID, 0, "missing required option: \"device\"");
	if ((ret->device || ret->o) && !ret->type)
		return FAIL(v, call, INVALID, 0, "missing required option: \"type\"");
	if (!size)
		return 0;
	if (strtod(size, &end) <= 0 || end == size)
		return FAIL(v, call, INVALID, 0, "invalid size: '%s'", size);
	return FAIL(v, call, INVALID, 0, "quota size requested but no quota support");
}

static int make_data(struct dkd_volume *v, int dir)
{
	if (mkdirat(dir, "_data", 0755) < 0)
		return errno == EEXIST ? 0 : -1;
	/* Not subject to the daemon's umask. */
	return fchmodat(dir, "_data", 0755, 0) < 0 || fchownat(dir, "_data", v->uid, v->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : 0;
}

/* Everything below the temporary name. */
static int fill_new(struct dkd_volume *v, const char *tmp, const struct local_options *o)
{
	int dir, ret = -1;

	if (mkdirat(v->fd, tmp, 0701) < 0 || fchmodat(v->fd, tmp, 0701, 0) < 0)
		return -1;
	dir = openat(v->fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -1;
	if (fchown(dir, (uid_t)-1, v->gid) == 0 && make_data(v, dir) == 0 &&
	    (!o->type || options_write(dir, o) == 0) && fsync(dir) == 0)
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
	lost = options_read(v, name, &old) < 0 || !old.device;
	options_done(&old);
	if (ret == 0 && o->type && lost &&
	    ((renameat(dir, "opts.json", dir, "opts.json.damaged") < 0 && errno != ENOENT) || options_write(dir, o) < 0))
		ret = FAIL(v, call, INTERNAL, errno, "write '%s/%s/opts.json'", v->root, name);
	close(dir);
	return ret;
}

static int32_t local_create(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create)
{
	struct local_options o = {0};
	char tmp[64];

	if (!name_ok(create->name))
		return bad_name(call, v, create->name);
	if (options_check(call, v, create, &o) < 0)
		return -1;
	own_name(v, "new", tmp);
	if (fill_new(v, tmp, &o) < 0) {
		int sys = errno;

		local_remove_tree(v->fd, tmp);
		return dkd_failf(v->host, call, sys == ENOSPC || sys == EDQUOT ? DKD_ERR_NO_SPACE : DKD_ERR_INTERNAL, sys,
			"error while creating volume root path '%s/%s'", v->root, create->name);
	}
	if (renameat2(v->fd, tmp, v->fd, create->name, RENAME_NOREPLACE) < 0) {
		int sys = errno;

		local_remove_tree(v->fd, tmp);
		if (sys == EEXIST)
			return create_existing(call, v, create->name, &o);
		return FAIL(v, call, INTERNAL, sys, "error while creating volume root path '%s/%s'", v->root, create->name);
	}
	if (fsync(v->fd) < 0)
		return FAIL(v, call, INTERNAL, errno, "sync %s", v->root);
	return 0;
}

static bool is_mounted(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static void data_path(const struct dkd_volume *v, const char *name, char ret[PATH_ROOM])
{
	snprintf(ret, PATH_ROOM, "%s/%s/_data", v->root, name);
}

/* How many uses of name there are, without those of id when it is not NULL. */
static unsigned uses_of(struct dkd_volume *v, const char *name, const char *but_id, bool *ret_has)
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

	if (!name_ok(name))
		return bad_name(call, v, name);
	if (uses_of(v, name, NULL, NULL))
		return FAIL(v, call, CONFLICT, 0, "volume has active mounts");
	data_path(v, name, path);
	if (is_mounted(path) && umount2(path, MNT_DETACH) < 0)
		return FAIL(v, call, INTERNAL, errno, "unmount %s", path);
	own_name(v, "old", old);
	if (renameat2(v->fd, name, v->fd, old, RENAME_NOREPLACE) < 0) {
		if (errno == ENOENT)
			return 0;
		return FAIL(v, call, INTERNAL, errno, "remove %s/%s", v->root, name);
	}
	if (local_remove_tree(v->fd, old) < 0) {
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
	struct dkd_pair pairs[4];
	char path[PATH_ROOM];
	struct local_options o;
	struct statx sx;
	struct stat st;

	data_path(v, name, path);
	if (!name_ok(name) || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (statx(v->fd, name, 0, STATX_BTIME | STATX_MTIME, &sx) == 0) {
		const struct statx_timestamp *t = sx.stx_mask & STATX_BTIME ? &sx.stx_btime : &sx.stx_mtime;

		info.created = t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
	}
	info.mountpoint = path;
	if (options_read(v, name, &o) < 0)
		pairs[info.options_len++] = (struct dkd_pair){ "dockerd.damaged", "its file opts.json cannot be read" };
	if (o.device)
		pairs[info.options_len++] = (struct dkd_pair){ "device", o.device };
	if (o.o)
		pairs[info.options_len++] = (struct dkd_pair){ "o", o.o };
	if (o.type)
		pairs[info.options_len++] = (struct dkd_pair){ "type", o.type };
	info.options = pairs;
	*ret_rc = emit(to, &info);
	options_done(&o);
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
	if (!o->device || is_mounted(path))
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

	if (!name_ok(m->name))
		return bad_name(call, v, m->name);
	if (m->idmaps)
		return FAIL(v, call, NOT_IMPLEMENTED, 0, "driver local does not map ids");
	data_path(v, m->name, path);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return FAIL(v, call, NOT_FOUND, 0, "volume path '%s' is missing", path);
	/* Without its options the directory below would be taken for the volume. */
	if (options_read(v, m->name, &o) < 0)
		return FAIL(v, call, INTERNAL, 0, "the options of volume %s are damaged (%s/%s/opts.json)",
			m->name, v->root, m->name);
	uses_of(v, m->name, m->id, &has);
	ret = mount_first(call, v, m->name, &o, path);
	if (ret == 0 && !has && use_add(v, m->name, m->id) < 0)
		ret = FAIL(v, call, INTERNAL, 0, "out of memory");
	options_done(&o);
	if (ret == 0)
		emit(to, path);
	return ret;
}

static int32_t local_unmount(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *id)
{
	char path[PATH_ROOM];
	struct local_options o;
	bool has = false;

	if (!name_ok(name))
		return bad_name(call, v, name);
	if (uses_of(v, name, id, &has) == 0 && options_read(v, name, &o) == 0) {
		bool mounted = o.device != NULL;

		options_done(&o);
		data_path(v, name, path);
		if (mounted && is_mounted(path) && umount2(path, MNT_DETACH) < 0)
			return FAIL(v, call, INTERNAL, errno, "unmount %s", path);
	}
	use_drop(v, name, id);
	return 0;
}

static int32_t local_path(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit *emit, void *to)
{
	char path[PATH_ROOM];

	if (!name_ok(name))
		return bad_name(call, v, name);
	data_path(v, name, path);
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
			local_remove_tree(v->fd, e->d_name) < 0)
			dkd_logf(v->host, DKD_LOG_WARN, "cannot remove %s/%s: %s", v->root, e->d_name, strerror(errno));
	closedir(d);
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
