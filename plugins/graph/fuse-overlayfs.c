/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuse-overlayfs: overlays of the program of that name, for who may not mount the kernel's. The program goes into the background
 * once its mount is there, and ends with it: it is no child of the daemon's, and outlives it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "dir.h"
#include "overlay-links.h"

#define PROGRAM "fuse-overlayfs"

static bool on_path(const char *name)
{
	const char *p = getenv("PATH");
	char file[PATH_MAX];

	for (p = p ? p : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; *p; ) {
		int n = (int)strcspn(p, ":");

		if (n && snprintf(file, sizeof(file), "%.*s/%s", n, p, name) < (int)sizeof(file) && access(file, X_OK) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

static int32_t here(const struct dkd_call *call, const struct dkd_host *host)
{
	if (!on_path(PROGRAM))
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "the program fuse-overlayfs is not installed");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return host->fail(host, call, DKD_ERR_INTERNAL, errno, "/dev/fuse");
	return 0;
}

/* Trusted attributes are root's alone, outside of user namespaces. */
static bool may_trust(int dir)
{
	static const char name[] = "trusted.overlay.dockerd-check";

	return fsetxattr(dir, name, "y", 1, 0) == 0 && fremovexattr(dir, name) == 0;
}

static int check(const char *path, struct overlay_facts *ret, const char **ret_what)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	*ret = (struct overlay_facts){ 0 };
	*ret_what = "look at the folder";
	if (!dir)
		return -1;
	e = readdir(dir);
	ret->d_type = e && e->d_type != DT_UNKNOWN;
	ret->userxattr = !may_trust(fd);
	closedir(dir);
	*ret_what = "use the program fuse-overlayfs, which is not installed,";
	if (!on_path(PROGRAM))
		return errno = ENOENT, -1;
	*ret_what = "use /dev/fuse";
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return -1;
	*ret_what = "give the program a path with ':', ',' or '\\' in it";
	return strpbrk(path, ":,\\") ? errno = EINVAL, -1 : 0;
}

static int32_t option(const struct dkd_call *call, struct dkd_graph *g, const char *key, const char *value)
{
	(void)value;
	return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "fuse-overlayfs: unknown option %s", key);
}

/* Mounts */

static char *options(const struct overlay_mount *m)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < m->lower_len; i++)
		fprintf(f, "%s%s/%s", i ? ":" : "lowerdir=", m->root, m->lower[i]);
	if (m->upper)
		fprintf(f, ",upperdir=%s/%s,workdir=%s/%s", m->root, m->upper, m->root, m->work);
	if (m->label && *m->label)
		fprintf(f, ",context=\"%s\"", m->label);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static int32_t keep_line(void *to, const char *text)
{
	const char *last = text;
	char *ret = to;

	/* What it ends with is why; warnings stand before that. */
	for (const char *p = text; (p = strchr(p, '\n')) && p[1]; )
		last = ++p;
	snprintf(ret, 512, "%.*s", (int)strcspn(last, "\n"), last);
	return 0;
}

static int32_t mount_layer(const struct dkd_call *call, struct dkd_graph *g, const char *id, struct overlay_mount *m)
{
	char target[PATH_MAX], why[512] = "it says nothing";
	char *opts = options(m);
	const char *argv[] = { PROGRAM, "-o", opts, target, NULL };
	struct stat st;
	int32_t rc;

	(void)id;
	if (!opts)
		return g->host->fail(g->host, call, DKD_ERR_INTERNAL, ENOMEM, PROGRAM);
	snprintf(target, sizeof(target), "%s/%s", m->root, m->target);
	/* The program of an earlier mount is gone, and left it without anybody behind it. */
	if (stat(target, &st) < 0 && errno == ENOTCONN)
		umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (m->work && dir_make(g->fd, m->work, 0700, g->uid, g->gid) < 0)
		rc = dkd_failf(g->host, call, DKD_ERR_INTERNAL, errno, "make %s/%s", m->root, m->work);
	else
		rc = g->host->run(g->host, call, argv, keep_line, why);
	free(opts);
	if (rc <= 0)
		return rc;
	return dkd_failf(g->host, call, DKD_ERR_INTERNAL, 0, "error creating fuse-overlayfs mount to %s: the program ends with %d: %s", target, rc, why);
}

const struct overlay_flavour overlay_flavour = {
	.name = "fuse-overlayfs", .here = here, .check = check, .option = option, .folders = overlay_folders,
	.mount = mount_layer,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(overlay_ops), .thread_model = DKD_THREADS_OBJECT, .name = "fuse-overlayfs", .version = PACKAGE_VERSION, .ops = &overlay_ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
