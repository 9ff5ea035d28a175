/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEY_MAX 256 /* longest value that fsconfig(2) takes, with its NUL */

int overlay_mount(const struct overlay_mount *m)
{
	return m->mapped ? overlay_mount_mapped(m) : overlay_mount_by(m, OVERLAY_BY_OPTIONS | OVERLAY_BY_FSCONFIG | OVERLAY_BY_CHDIR);
}

/* Options of mount(2): at most a page. */
struct text {
	char *data;
	size_t size, room;
	bool full;
};

__attribute__((format(printf, 2, 3)))
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->full)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->data + t->size, t->room - t->size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->room - t->size)
		t->full = true;
	else
		t->size += (size_t)n;
}

/* A path inside an option: the kernel splits at ':' and ',' unless a backslash stands before. */
static void add_path(struct text *t, const char *root, const char *path, bool lower)
{
	const char *special = lower ? "\\,:" : "\\,";

	for (const char *p = root; *p; ) {
		size_t n = strcspn(p, special);

		add(t, "%.*s", (int)n, p);
		p += n;
		if (*p)
			add(t, "\\%c", *p++);
	}
	if (*root)
		add(t, "/");
	add(t, "%s", path);
}

/* root "": relative paths. NULL with E2BIG when it takes more than a page. */
static char *options(const struct overlay_mount *m, const char *root)
{
	struct text t = { .room = (size_t)sysconf(_SC_PAGESIZE) - 1 };

	t.data = malloc(t.room);
	if (!t.data)
		return NULL;
	add(&t, "%s%s%slowerdir=", m->index_off ? "index=off," : "", m->userxattr ? "userxattr," : "", m->unsynced ? "volatile," : "");
	for (size_t i = 0; i < m->lower_len; i++) {
		if (i)
			add(&t, ":");
		add_path(&t, root, m->lower[i], true);
	}
	if (m->upper) {
		add(&t, ",upperdir=");
		add_path(&t, root, m->upper, false);
		add(&t, ",workdir=");
		add_path(&t, root, m->work, false);
	}
	if (m->label && *m->label)
		add(&t, ",context=\"%s\"", m->label);
	if (t.full) {
		free(t.data);
		errno = E2BIG;
		return NULL;
	}
	return t.data;
}

static char *join(const char *root, const char *path)
{
	char *ret;

	return asprintf(&ret, "%s/%s", root, path) < 0 ? NULL : ret;
}

static char *place_of(const struct overlay_mount *m)
{
	return m->place ? strdup(m->place) : join(m->root, m->target);
}

static int by_options(const struct overlay_mount *m)
{
	char *opts = options(m, m->root), *target = place_of(m);
	int rc = opts && target ? mount("overlay", target, "overlay", 0, opts) : -1, sys = errno;

	free(opts);
	free(target);
	errno = sys;
	return rc;
}

static int set(int fs, const char *key, const char *root, const char *path)
{
	char value[KEY_MAX];

	if (snprintf(value, sizeof(value), "%s%s%s", root, *root ? "/" : "", path) >= (int)sizeof(value))
		return errno = E2BIG, -1;
	return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

static int configure(const struct overlay_mount *m, int fs)
{
	/* "lowerdir+" takes one layer at a time: EINVAL from kernels before 6.8. */
	for (size_t i = 0; i < m->lower_len; i++)
		if (set(fs, "lowerdir+", m->root, m->lower[i]) < 0)
			return -1;
	if (m->upper && (set(fs, "upperdir", m->root, m->upper) < 0 || set(fs, "workdir", m->root, m->work) < 0))
		return -1;
	if (m->index_off && set(fs, "index", "", "off") < 0)
		return -1;
	if (m->userxattr && syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0)
		return -1;
	if (m->unsynced && syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
		return -1;
	if (m->label && *m->label && set(fs, "context", "", m->label) < 0)
		return -1;
	if (set(fs, "source", "", "overlay") < 0)
		return -1;
	return (int)syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

static int by_fsconfig(const struct overlay_mount *m)
{
	int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC), mnt = -1, rc = -1, sys;
	char *target = place_of(m);

	if (fs >= 0 && target && configure(m, fs) == 0)
		mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (mnt >= 0)
		rc = (int)syscall(SYS_move_mount, mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
	sys = errno;
	if (mnt >= 0)
		close(mnt);
	if (fs >= 0)
		close(fs);
	free(target);
	errno = sys;
	return rc;
}

/* From a thread with a working directory of its own: 128 links "l/26-letters" and two ids fit into a page. */
struct apart { const struct overlay_mount *m; int rc, sys; };

static void *mount_apart(void *arg)
{
	struct apart *a = arg;
	char *opts = options(a->m, "");

	a->rc = -1;
	if (opts && unshare(CLONE_FS) == 0 && chdir(a->m->root) == 0)
		a->rc = mount("overlay", a->m->place ? a->m->place : a->m->target, "overlay", 0, opts);
	a->sys = errno;
	free(opts);
	return NULL;
}

static int by_chdir(const struct overlay_mount *m)
{
	struct apart a = { .m = m };
	pthread_t thread;

	errno = pthread_create(&thread, NULL, mount_apart, &a);
	if (errno)
		return -1;
	pthread_join(thread, NULL);
	errno = a.sys;
	return a.rc;
}

int overlay_mount_by(const struct overlay_mount *m, unsigned ways)
{
	int rc = -1;

	errno = E2BIG;
	if (ways & OVERLAY_BY_OPTIONS) {
		rc = by_options(m);
		if (rc == 0 || errno != E2BIG)
			return rc;
	}
	if (ways & OVERLAY_BY_FSCONFIG) {
		rc = by_fsconfig(m);
		if (rc == 0 || !(ways & OVERLAY_BY_CHDIR))
			return rc;
	}
	return ways & OVERLAY_BY_CHDIR ? by_chdir(m) : rc;
}
