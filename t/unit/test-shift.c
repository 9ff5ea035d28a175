/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Other owners for a whole tree (image/shift.h). */
#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/filecap.h"
#include "base/fs.h"
#include "image/shift.h"

#include "tap.h"

static char base[] = "/tmp/test-shift-XXXXXX";
static int root;

static void put(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	int fd = openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
		printf("# %s: %m\n", name);
	close(fd);
}

static bool is_owned(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	if (fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	printf("# %s: %u:%u %o\n", name, st.st_uid, st.st_gid, st.st_mode & 07777);
	return st.st_uid == uid && st.st_gid == gid && (st.st_mode & 07777) == mode;
}

static char *at(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

/* user:1:rw, group:2:r, and what an ACL has to have. */
static const struct acl { uint32_t version; struct { uint16_t tag, perm; uint32_t id; } v[6]; } acl = {
	2, { { 0x01, 6, UINT32_MAX }, { 0x02, 6, 1 }, { 0x04, 4, UINT32_MAX }, { 0x08, 4, 2 }, { 0x10, 6, UINT32_MAX }, { 0x20, 4, UINT32_MAX } },
};

static bool takes_acl, takes_cap;

static void make_tree(void)
{
	static const uint32_t cap[5] = { 0x02000001, 0x2000, 0, 0, 0 };
	struct timespec old[2] = { { 1000, 5 }, { 2000, 6 } };

	mkdirat(root, "d", 0755);
	mkdirat(root, "d/e", 0755);
	put("plain", 0, 0, 0644);
	put("d/e/own", 7, 8, 06755);
	put("d/high", 70000, 70001, 0600);
	put("capable", 3, 3, 0755);
	put("acl", 0, 0, 0664);
	linkat(root, "d/e/own", root, "twice", 0);
	symlinkat("/nowhere", root, "link");
	utimensat(root, "link", old, AT_SYMLINK_NOFOLLOW);
	mkfifoat(root, "pipe", 0600);
	takes_cap = setxattr(at("capable"), FILECAP_XATTR, cap, sizeof(cap), 0) == 0;
	takes_acl = setxattr(at("acl"), "system.posix_acl_access", &acl, sizeof(acl), 0) == 0 &&
		setxattr(at("d"), "system.posix_acl_default", &acl, sizeof(acl), 0) == 0;
}

static void look_at_acl(const char *name, const char *attribute)
{
	struct acl got;

	ok(getxattr(at(name), attribute, &got, sizeof(got)) == sizeof(got) && got.v[1].id == 101 && got.v[3].id == 200002 && got.v[0].id == UINT32_MAX,
		"ids in %s", attribute);
}

int main(void)
{
	struct idmap uids[] = { { 0, 100, 1000 } }, gids[] = { { 0, 200000, 500 }, { 500, 300000, 500 } };
	struct idmaps maps = { { uids, 1 }, { gids, 2 } };
	OWN_ERR struct err err = ERR_INIT;
	struct filecap cap;
	struct stat st;

	if (getuid() != 0) {
		skip("owners", "needs root");
		return tap_done();
	}
	ok(mkdtemp(base) && (root = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0, "a folder");
	make_tree();
	ok(shift_tree(root, &maps, &err) == 0, "all of it: %s", err_text(&err));
	ok(is_owned(".", 100, 200000, 0700), "the root itself");
	ok(is_owned("plain", 100, 200000, 0644) && is_owned("d/e", 100, 200000, 0755), "files and folders");
	ok(is_owned("d/e/own", 107, 200008, 06755), "set-id bits stay");
	ok(is_owned("twice", 107, 200008, 06755), "a file with two names gets them once");
	ok(is_owned("d/high", 70000, 70001, 0600), "an id that the map does not know stays");
	ok(is_owned("link", 100, 200000, 0777) && is_owned("pipe", 100, 200000, 0600), "a link itself, a FIFO unopened");
	ok(fstatat(root, "link", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 6, "times stay");
	if (takes_cap)
		ok(getxattr(at("capable"), FILECAP_XATTR, &cap, sizeof(cap)) == sizeof(cap) && le32toh(cap.root) == 100 && le32toh(cap.sets[0]) == 0x2000,
			"a file's capabilities, for the root of the map");
	else
		skip("a file's capabilities", "not here");
	if (takes_acl)
		look_at_acl("acl", "system.posix_acl_access"), look_at_acl("d", "system.posix_acl_default");
	else
		skip("ACLs", "not here");
	close(root);
	fs_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
