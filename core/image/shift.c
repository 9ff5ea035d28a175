/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/shift.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/deep.h"
#include "base/filecap.h"
#include "base/fs.h"
#include "base/inode-map.h"
#include "image/list-dir.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define ACL_USER    0x02
#define ACL_GROUP   0x08
#define ACL_MAX     65536

struct walk {
	const struct idmaps *maps;
	struct inode_map seen; /* files with several names: each once */
};

/* The attribute's form: a version, then entries. */
struct acl_entry { uint16_t tag, perm; uint32_t id; };

static uint32_t shifted(const struct idmap_list *l, uint32_t id)
{
	uint32_t ret;

	return idmap_out(l, id, &ret) ? ret : id;
}

/* Names are /proc/self/fd/DIR/NAME: of no kind of file but folders and plain ones, which are no links. */
static int shift_acl(const struct walk *w, const char *path, const char *name)
{
	char value[ACL_MAX];
	ssize_t n = lgetxattr(path, name, value, sizeof(value));

	if (n < 4)
		return n < 0 && errno != ENODATA && errno != EOPNOTSUPP ? -1 : 0;
	for (size_t at = 4; at + sizeof(struct acl_entry) <= (size_t)n; at += sizeof(struct acl_entry)) {
		struct acl_entry e;

		memcpy(&e, value + at, sizeof(e));
		if (le16toh(e.tag) == ACL_USER)
			e.id = htole32(shifted(&w->maps->uids, le32toh(e.id)));
		else if (le16toh(e.tag) == ACL_GROUP)
			e.id = htole32(shifted(&w->maps->gids, le32toh(e.id)));
		memcpy(value + at, &e, sizeof(e));
	}
	return lsetxattr(path, name, value, (size_t)n, 0);
}

/* And capabilities: they are set again, for the root of its namespace. */
static int put_capability(const struct walk *w, const char *path, char *value, ssize_t size)
{
	struct filecap own;

	if (size < 0)
		return 0;
	size = (ssize_t)filecap_plain(value, (size_t)size);
	if (filecap_own(value, (size_t)size, shifted(&w->maps->uids, 0), &own))
		return lsetxattr(path, FILECAP_XATTR, &own, sizeof(own), 0);
	return lsetxattr(path, FILECAP_XATTR, value, (size_t)size, 0);
}

/* What is copied up from another layer for this may have got a time of its own. */
static int keep_time(int dir, const char *name, const struct stat *st)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	struct stat now;

	if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return now.st_mtim.tv_sec == st->st_mtim.tv_sec && now.st_mtim.tv_nsec == st->st_mtim.tv_nsec ? 0 : utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static int shift_entry(const struct walk *w, int dir, const char *name, const struct stat *st)
{
	uint32_t uid = shifted(&w->maps->uids, st->st_uid), gid = shifted(&w->maps->gids, st->st_gid);
	OWN_FREE char *path = xasprintf("/proc/self/fd/%d/%s", dir, name);
	bool plain = S_ISREG(st->st_mode);
	char cap[64];
	ssize_t n = plain ? lgetxattr(path, FILECAP_XATTR, cap, sizeof(cap)) : -1;

	if ((uid != st->st_uid || gid != st->st_gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	/* a new owner takes set-id bits away */
	if (plain && st->st_mode & 06000 && fs_chmod_entry(dir, name, st->st_mode & 07777) < 0)
		return -1;
	if (plain && put_capability(w, path, cap, n) < 0)
		return -1;
	if (!S_ISDIR(st->st_mode) && keep_time(dir, name, st) < 0)
		return -1;
	if (!plain && !S_ISDIR(st->st_mode))
		return 0;
	return shift_acl(w, path, ACL_ACCESS) < 0 || (S_ISDIR(st->st_mode) && shift_acl(w, path, ACL_DEFAULT) < 0) ? -1 : 0;
}

static int walk_dir(void *ctx, int fd, int other, int depth, struct err *err)
{
	struct walk *w = ctx;
	OWN_STRV struct strv names = { 0 };

	(void)other;
	if (list_dir(fd, &names) < 0)
		return err_errno(err, errno, "list a folder of the layer");
	for (size_t i = 0; i < names.len; i++) {
		const char *name = names.v[i];
		OWN_FD int child = -1;
		struct stat st;

		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(err, errno, "look at %s", name);
		if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && inode_map_note(&w->seen, &st, ""))
			continue;
		if (shift_entry(w, fd, name, &st) < 0)
			return err_errno(err, errno, "give %s to another owner", name);
		if (!S_ISDIR(st.st_mode))
			continue;
		if (depth == DEEP_MAX)
			return err_set(err, ERR_INVALID, "%s: folders are nested too deeply", name);
		child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0)
			return err_errno(err, errno, "open %s", name);
		if (deep_step(walk_dir, w, child, -1, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

int shift_tree(int fd, const struct idmaps *maps, struct err *err)
{
	struct walk w = { .maps = maps };
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0 || shift_entry(&w, fd, ".", &st) < 0)
		return err_errno(err, errno, "give the layer to another owner");
	rc = walk_dir(&w, fd, -1, 0, err);
	inode_map_done(&w.seen);
	return rc;
}
