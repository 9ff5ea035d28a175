/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dir.h"
#include "driver.h"
#include "filesystem.h"

#define NAMESPACES 4096 /* of mounts, that are told apart */

struct held { struct held *next; char layer[]; };

int mounts_private(struct dkd_graph *g, struct dm_error *e)
{
	struct statx st;

	if (statx(AT_FDCWD, g->root, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) < 0)
		return DM_FAIL(e, "devmapper: look at %s", g->root);
	if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT) && mount(g->root, g->root, NULL, MS_BIND, NULL) < 0)
		return DM_FAIL(e, "devmapper: mount %s on itself", g->root);
	g->bound = true;
	if (mount(NULL, g->root, NULL, MS_PRIVATE, NULL) < 0)
		return DM_FAIL(e, "devmapper: make %s a private mount", g->root);
	return 0;
}

/* Who wants them */

void mounts_hold(struct dkd_graph *g, const char *layer)
{
	struct held *h = malloc(sizeof(*h) + strlen(layer) + 1);

	if (!h)
		return;
	strcpy(h->layer, layer);
	pthread_mutex_lock(&g->held_lock);
	h->next = g->held;
	g->held = h;
	pthread_mutex_unlock(&g->held_lock);
}

void mounts_let_go(struct dkd_graph *g, const char *layer)
{
	struct held *found;

	pthread_mutex_lock(&g->held_lock);
	for (struct held **p = &g->held; *p;) {
		found = *p;
		if (strcmp(found->layer, layer) == 0) {
			*p = found->next;
			free(found);
		} else {
			p = &found->next;
		}
	}
	pthread_mutex_unlock(&g->held_lock);
}

void mounts_let_all_go(struct dkd_graph *g)
{
	for (struct held *next; g->held; g->held = next) {
		next = g->held->next;
		free(g->held);
	}
}

static bool is_held(struct dkd_graph *g, const char *layer)
{
	bool ret = false;

	pthread_mutex_lock(&g->held_lock);
	for (const struct held *h = g->held; h && !ret; h = h->next)
		ret = strcmp(h->layer, layer) == 0;
	pthread_mutex_unlock(&g->held_lock);
	return ret;
}

/* Mounting */

bool mounts_has(struct dkd_graph *g, const char *layer)
{
	struct stat mnt, here;

	return fstat(g->mntfd, &mnt) == 0 && fstatat(g->mntfd, layer, &here, AT_SYMLINK_NOFOLLOW) == 0 && mnt.st_dev != here.st_dev;
}

static void layer_path(const struct dkd_graph *g, const char *layer, const char *name, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%s%s", g->mnt, layer, name);
}

/* Once the folder goes, so does what other mount namespaces have copied of the mount. */
int mounts_undo(struct dkd_graph *g, const char *layer, const struct dkd_call *call, struct dm_error *e)
{
	char path[PATH_MAX];

	layer_path(g, layer, "", path);
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return DM_FAIL(e, "devmapper: Error unmounting device %s", path);
	if (unlinkat(g->mntfd, layer, AT_REMOVEDIR) < 0 && errno != ENOENT)
		dkd_logf(g->host, DKD_LOG_DEBUG, "remove %s: %s", path, strerror(errno));
	return devices_deactivate(&g->devices, layer, false, call, e);
}

/* The tree inside the device, and the file that names the layer to whoever finds the device. */
static int furnish(struct dkd_graph *g, const char *layer, struct dm_error *e)
{
	int fd = openat(g->mntfd, layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc, sys;
	struct stat st;

	if (fd < 0)
		return DM_FAIL(e, "devmapper: open %s/%s", g->mnt, layer);
	rc = fstatat(fd, "rootfs", &st, AT_SYMLINK_NOFOLLOW) < 0 ? dir_make(fd, "rootfs", 0755, g->uid, g->gid) : 0;
	if (rc == 0 && fstatat(fd, "id", &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		rc = dir_write_file(fd, "id", layer, 0600);
	sys = errno;
	close(fd);
	errno = sys;
	/* a device without room, or one that is read-only, is mounted all the same */
	if (rc < 0 && (sys == ENOSPC || sys == EROFS) && fstatat(g->mntfd, layer, &st, 0) == 0)
		rc = 0;
	return rc < 0 ? DM_FAIL(e, "devmapper: make %s/%s/rootfs", g->mnt, layer) : 0;
}

int mounts_make(struct dkd_graph *g, const struct store_device *v, const char *label, const struct dkd_call *call, struct dm_error *e)
{
	char device[PATH_MAX], path[PATH_MAX];
	struct dm_error unused = { 0 };

	layer_path(g, v->layer, "", path);
	devices_node(&g->devices, v->layer, device);
	if (dir_make(g->mntfd, v->layer, 0755, g->uid, g->gid) < 0)
		return DM_FAIL(e, "devmapper: make %s", path);
	if (devices_activate(&g->devices, v, call, e) < 0)
		return unlinkat(g->mntfd, v->layer, AT_REMOVEDIR), -1;
	if (filesystem_mount(device, path, g->options.mount_options, label, e) < 0) {
		unlinkat(g->mntfd, v->layer, AT_REMOVEDIR);
		devices_deactivate(&g->devices, v->layer, false, call, &unused);
		return -1;
	}
	if (*g->options.nospace_retries && strcmp(g->devices.set.base_fs, "xfs") == 0 && filesystem_retries(device, g->options.nospace_retries) < 0)
		DM_FAIL(e, "devmapper: user specified daemon option dm.xfs_nospace_max_retries but it does not seem to be supported on this system");
	if (e->class || furnish(g, v->layer, e) < 0)
		return mounts_undo(g, v->layer, call, &unused), -1;
	return 0;
}

/* What a crash left */

struct seen { char (*v)[64]; size_t len; };

/* The first look at a mount namespace, and not at this process' own. */
static bool is_new(struct seen *s, const char *pid)
{
	char path[300], name[64], (*more)[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	n = readlink(path, name, sizeof(name) - 1);
	if (n <= 0 || s->len == NAMESPACES)
		return false;
	name[n] = '\0';
	for (size_t i = 0; i < s->len; i++)
		if (strcmp(s->v[i], name) == 0)
			return false;
	more = realloc(s->v, (s->len + 1) * sizeof(*s->v));
	if (!more)
		return false;
	s->v = more;
	memcpy(s->v[s->len++], name, sizeof(name));
	return true;
}

static bool namespace_has(const char *pid, dev_t dev)
{
	char path[300], *line = NULL;
	unsigned major_nr, minor_nr;
	bool ret = false;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	f = fopen(path, "re");
	while (f && !ret && getline(&line, &size, f) > 0)
		ret = sscanf(line, "%*u %*u %u:%u", &major_nr, &minor_nr) == 2 && makedev(major_nr, minor_nr) == dev;
	if (f)
		fclose(f);
	free(line);
	return ret;
}

/* Has a process of another mount namespace, a container's say, the file system of a device? */
static bool used_elsewhere(dev_t dev)
{
	struct seen seen = { 0 };
	DIR *proc = opendir("/proc");
	struct dirent *e;
	bool ret = false;

	is_new(&seen, "self");
	while (proc && !ret && (e = readdir(proc)))
		ret = isdigit((unsigned char)e->d_name[0]) && is_new(&seen, e->d_name) && namespace_has(e->d_name, dev);
	if (proc)
		closedir(proc);
	free(seen.v);
	return ret;
}

/* Calls fn for each layer that is mounted. */
static void each(struct dkd_graph *g, void (*fn)(struct dkd_graph *g, const char *layer, dev_t dev, void *to), void *to)
{
	int fd = openat(g->mntfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	struct stat st;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && mounts_has(g, e->d_name) && fstatat(g->mntfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			fn(g, e->d_name, st.st_dev, to);
	if (dir)
		closedir(dir);
}

static void count_one(struct dkd_graph *g, const char *layer, dev_t dev, void *to)
{
	(void)g, (void)layer, (void)dev;
	++*(unsigned *)to;
}

unsigned mounts_count(struct dkd_graph *g)
{
	unsigned n = 0;

	each(g, count_one, &n);
	return n;
}

static void sweep_one(struct dkd_graph *g, const char *layer, dev_t dev, void *to)
{
	struct dm_error e = { 0 };

	if (!is_held(g, layer) && !used_elsewhere(dev) && mounts_undo(g, layer, to, &e) < 0)
		dkd_logf(g->host, DKD_LOG_WARN, "%s", e.text);
}

void mounts_sweep(struct dkd_graph *g, const struct dkd_call *call)
{
	each(g, sweep_one, (void *)(uintptr_t)call);
}
