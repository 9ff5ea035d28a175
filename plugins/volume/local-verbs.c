/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Driver "local": volumes get other names, and copies. Both appear by one rename, as new volumes do. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "local.h"

#define FAIL(v, call, class, sys, ...) dkd_failf((v)->host, (call), DKD_ERR_##class, (sys), __VA_ARGS__)

/* Both names make sense, and nobody uses the volume. */
static int32_t check_names(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name)
{
	char path[PATH_ROOM];

	if (!local_name_ok(name))
		return local_bad_name(call, v, name);
	if (!local_name_ok(new_name))
		return local_bad_name(call, v, new_name);
	local_data_path(v, name, path);
	if (local_uses(v, name, NULL, NULL) || local_is_mounted(path))
		return FAIL(v, call, CONFLICT, 0, "volume %s has active mounts", name);
	return 0;
}

static int32_t place(const struct dkd_call *call, struct dkd_volume *v, const char *from, const char *new_name)
{
	if (renameat2(v->fd, from, v->fd, new_name, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST)
			return FAIL(v, call, CONFLICT, 0, "a volume named %s already exists", new_name);
		return dkd_failf(v->host, call, errno == ENOENT ? DKD_ERR_NOT_FOUND : DKD_ERR_INTERNAL, errno, "rename %s/%s to %s", v->root, from, new_name);
	}
	return fsync(v->fd) < 0 ? FAIL(v, call, INTERNAL, errno, "sync %s", v->root) : 0;
}

int32_t local_rename(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name)
{
	return check_names(call, v, name, new_name) < 0 ? -1 : place(call, v, name, new_name);
}

/* The data of a volume into a new one below a name of ours; shared where the file system can. -1 with errno. */
static int copy_into(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *tmp)
{
	char from[300], to[80];
	int src, dst, rc, sys;

	snprintf(from, sizeof(from), "%s/_data", name);
	snprintf(to, sizeof(to), "%s/_data", tmp);
	src = openat(v->fd, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dst = src < 0 ? -1 : openat(v->fd, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = dst < 0 || dir_copy(call, src, dst) < 0 || syncfs(dst) < 0 ? -1 : 0;
	sys = errno;
	if (src >= 0)
		close(src);
	if (dst >= 0)
		close(dst);
	errno = sys;
	return rc;
}

int32_t local_snapshot(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name)
{
	struct local_options o;
	char tmp[64];
	int32_t rc;

	if (check_names(call, v, name, new_name) < 0)
		return -1;
	if (local_options_read(v, name, &o) < 0)
		return FAIL(v, call, INTERNAL, 0, "the options of volume %s are damaged (%s/%s/opts.json)", name, v->root, name);
	if (o.device) {
		rc = FAIL(v, call, NOT_IMPLEMENTED, 0, "volume %s is a %s of its own: driver local copies folders only", name, o.type ? o.type : "mount");
		local_options_done(&o);
		return rc;
	}
	local_own_name(v, "new", tmp);
	rc = local_fill(v, tmp, &o);
	if (rc < 0 || copy_into(call, v, name, tmp) < 0) {
		int sys = errno;

		rc = dkd_failf(v->host, call, sys == ENOSPC || sys == EDQUOT ? DKD_ERR_NO_SPACE : sys == ECANCELED ? DKD_ERR_CANCELLED :
			sys == ENOENT ? DKD_ERR_NOT_FOUND : DKD_ERR_INTERNAL, sys, "copy volume %s", name);
	} else {
		rc = place(call, v, tmp, new_name);
	}
	if (rc < 0)
		dir_remove(v->fd, tmp);
	local_options_done(&o);
	return rc;
}
