/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "aufs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define XINO "dio,xino=/dev/shm/aufs.xino"

static bool is_mounted(const char *target)
{
	char up[4096];
	struct stat here, above;

	snprintf(up, sizeof(up), "%s/..", target);
	return lstat(target, &here) == 0 && stat(up, &above) == 0 && here.st_dev != above.st_dev;
}

static bool kernel_has(void)
{
	FILE *f = fopen("/proc/filesystems", "re");
	char line[128];
	bool ret = false;

	while (f && !ret && fgets(line, sizeof(line), f))
		ret = strstr(line, "\taufs\n") != NULL;
	if (f)
		fclose(f);
	return ret;
}

static const struct aufs_calls kernel = { mount, umount2, is_mounted, kernel_has };
const struct aufs_calls *aufs_calls = &kernel;

struct text { char *data; size_t size, room; };

/* False, and nothing added, when it does not fit. */
__attribute__((format(printf, 2, 3)))
static bool add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->data + t->size, t->room - t->size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->room - t->size)
		return t->data[t->size] = '\0', false;
	t->size += (size_t)n;
	return true;
}

static void add_label(struct text *t, const char *label)
{
	t->room = (size_t)sysconf(_SC_PAGESIZE);
	if (label && *label)
		add(t, "%scontext=\"%s\"", t->size && t->data[t->size - 1] != ',' ? "," : "", label);
}

int aufs_mount(const struct aufs_mount *m)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), label = m->label ? strlen(m->label) + sizeof(",context=\"\"") : 0, next = 0;
	size_t rest = label + sizeof("," XINO ",dirperm1");
	struct text t = { malloc(page), 0, page - rest };
	int rc = -1, sys;

	if (!t.data || rest + 64 > page)
		return free(t.data), errno = E2BIG, -1;
	if (!add(&t, "br:%s=rw", m->rw))
		return free(t.data), errno = E2BIG, -1;
	while (next < m->ro_len && add(&t, ":%s=ro+wh", m->ro[next]))
		next++;
	t.room = page;
	add(&t, "," XINO "%s", m->dirperm1 ? ",dirperm1" : "");
	add_label(&t, m->label);
	rc = aufs_calls->mount("none", m->target, "aufs", 0, t.data);
	while (rc == 0 && next < m->ro_len) {
		size_t before = next;

		t.size = 0;
		t.room = page - rest;
		while (next < m->ro_len && add(&t, "append:%s=ro+wh,", m->ro[next]))
			next++;
		add_label(&t, m->label);
		rc = next > before ? aufs_calls->mount("none", m->target, "aufs", MS_REMOUNT, t.data) : (errno = E2BIG, -1);
		if (rc < 0) {
			sys = errno;
			aufs_calls->umount(m->target, MNT_DETACH);
			errno = sys;
		}
	}
	sys = errno;
	free(t.data);
	errno = sys;
	return rc;
}

bool aufs_has_dirperm1(const char *dir)
{
	static const char *const names[] = { "", "/branch", "/union" };
	char base[4096], path[4200], opts[4400];
	bool ret;

	if (snprintf(base, sizeof(base), "%s/.dirperm1-XXXXXX", dir) >= (int)sizeof(base) || !mkdtemp(base))
		return false;
	for (int i = 1; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", base, names[i]);
		mkdir(path, 0700);
	}
	snprintf(opts, sizeof(opts), "br:%s/branch,dirperm1,xino=/dev/shm/aufs.xino", base);
	ret = aufs_calls->mount("none", path, "aufs", 0, opts) == 0;
	if (ret)
		aufs_calls->umount(path, MNT_DETACH);
	for (int i = 3; i-- > 0; ) {
		snprintf(path, sizeof(path), "%s%s", base, names[i]);
		rmdir(path);
	}
	return ret;
}
