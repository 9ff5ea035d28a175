/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Overlays that the kernel makes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dir.h"
#include "overlay-flavour.h"

int32_t overlay_kernel_here(const struct dkd_call *call, const struct dkd_host *host)
{
	FILE *f = fopen("/proc/filesystems", "re");
	char line[128];
	bool has = access("/sys/module/overlay", F_OK) == 0;

	while (f && !has && fgets(line, sizeof(line), f))
		has = strstr(line, "\toverlay\n") != NULL;
	if (f)
		fclose(f);
	return has ? 0 : host->fail(host, call, DKD_ERR_INTERNAL, 0, "this kernel has no overlay file system, or has not loaded it yet (modprobe overlay)");
}

int overlay_kernel_check(const char *dir, struct overlay_facts *ret, const char **ret_what)
{
	overlay_check_sweep(dir);
	return overlay_check(dir, ret, ret_what);
}

int32_t overlay_kernel_mount(const struct dkd_call *call, struct dkd_graph *g, const char *id, struct overlay_mount *m)
{
	int rc = overlay_mount(m);

	/* Of a kernel that does not know volatile mounts, or of a layer that a power cut left with its mark. */
	if (rc < 0 && errno == EINVAL && m->upper) {
		m->unsynced = false;
		overlay_drop_volatile_mark(g, id);
		rc = overlay_mount(m);
	}
	/* The work folder is the kernel's and holds nothing that lasts: a lost one is made anew. */
	if (rc < 0 && errno == ENOENT && m->work && dir_make(g->fd, m->work, 0700, g->uid, g->gid) == 0)
		rc = overlay_mount(m);
	if (rc < 0 && errno == EINVAL && m->mapped)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "%s: layers on %s cannot be mounted with the ids of one container: that takes Linux 5.19 "
			"and a file system with idmapped mounts", overlay_flavour.name, g->fs_name);
	return rc == 0 ? 0 : dkd_failf(g->host, call, DKD_ERR_INTERNAL, errno, "error creating overlay mount to %s/%s", g->root, m->target);
}
