/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every kind of file, as a layer, below another layer, and copied up by a container. */
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "graph.h"

static const struct timespec old[2] = { { 1000000000, 5 }, { 1100000000, 123456789 } };

/* cap_net_raw+ep of version 2. */
static const unsigned char capability[20] = { 1, 0, 0, 2, 0, 0x20 };

/* What the file system takes at all, and from whom. */
static bool takes_user, takes_trusted, takes_capability, takes_devices, takes_owners;

static bool fill(const char *dir)
{
	bool good = put_text(dir, "plain", "text") && mkdir(below(dir, "d"), 0751) == 0 && put_text(dir, "d/owned", "o") && put_text(dir, "empty", "");

	good &= link(below(dir, "plain"), below(dir, "d/hard")) == 0 && symlink("../plain", below(dir, "d/soft")) == 0 && symlink("/no where", below(dir, "dangling")) == 0;
	takes_devices = mknod(below(dir, "null"), S_IFCHR | 0666, makedev(1, 3)) == 0 && mknod(below(dir, "disk"), S_IFBLK | 0660, makedev(7, 200)) == 0;
	good &= takes_devices || errno == EPERM;
	takes_owners = lchown(below(dir, "d/owned"), 1234, 5678) == 0 && lchown(below(dir, "d/soft"), 77, 88) == 0;
	good &= takes_owners || errno == EPERM || errno == EINVAL;
	good &= mkfifo(below(dir, "fifo"), 0600) == 0 && put_text(dir, "capable", "c");
	good &= chmod(below(dir, "d/owned"), 06755) == 0 && mkdir(below(dir, "sticky"), 0755) == 0 &&
		chmod(below(dir, "sticky"), 01777) == 0;
	takes_user = setxattr(below(dir, "plain"), "user.note", "hello", 5, 0) == 0;
	takes_trusted = setxattr(below(dir, "plain"), "trusted.note", "secret", 6, 0) == 0;
	takes_capability = setxattr(below(dir, "capable"), "security.capability", capability, sizeof(capability), 0) == 0;
	good &= utimensat(AT_FDCWD, below(dir, "d/owned"), old, 0) == 0 && utimensat(AT_FDCWD, below(dir, "d/soft"), old, AT_SYMLINK_NOFOLLOW) == 0 &&
		utimensat(AT_FDCWD, below(dir, "d"), old, 0) == 0;
	return good;
}

static bool is_old(const struct stat *st)
{
	return st->st_mtim.tv_sec == old[1].tv_sec && st->st_mtim.tv_nsec == old[1].tv_nsec;
}

static bool owned_by(const struct stat *st, uid_t uid, gid_t gid)
{
	return !takes_owners || (st->st_uid == uid && st->st_gid == gid);
}

static void check_attributes(const char *dir, const char *who)
{
	char value[64];

	if (takes_user)
		check_ok(getxattr(below(dir, "plain"), "user.note", value, sizeof(value)) == 5 && memcmp(value, "hello", 5) == 0, "%s: attributes of users", who);
	else
		check_skip(who, "the file system has no attributes of users");
	if (takes_trusted)
		check_ok(getxattr(below(dir, "plain"), "trusted.note", value, sizeof(value)) == 6 && memcmp(value, "secret", 6) == 0, "%s: trusted attributes", who);
	else
		check_skip(who, "no trusted attributes here");
	if (takes_capability)
		check_ok(getxattr(below(dir, "capable"), "security.capability", value, sizeof(value)) == sizeof(capability) &&
			memcmp(value, capability, sizeof(capability)) == 0, "%s: capabilities of files", who);
	else
		check_skip(who, "no capabilities of files here");
}

static void check_files(const char *dir, const char *who)
{
	struct stat st, other;
	char target[64];

	check_ok(has_text(dir, "plain", "text") && has_text(dir, "empty", ""), "%s: content", who);
	check_ok(lstat(below(dir, "d/owned"), &st) == 0 && owned_by(&st, 1234, 5678) && (st.st_mode & 07777) == 06755, "%s: owner, mode, set-id bits", who);
	check_ok(is_old(&st), "%s: times to the nanosecond", who);
	check_ok(lstat(below(dir, "d/hard"), &st) == 0 && lstat(below(dir, "plain"), &other) == 0 && st.st_ino == other.st_ino && st.st_nlink >= 2, "%s: hard links", who);
	check_ok(lstat(below(dir, "d/soft"), &st) == 0 && S_ISLNK(st.st_mode) && owned_by(&st, 77, 88) && is_old(&st), "%s: symbolic links, their owner and time", who);
	check_ok(readlink(below(dir, "dangling"), target, sizeof(target)) == 9, "%s: symbolic links that lead nowhere", who);
	check_ok(lstat(below(dir, "d"), &st) == 0 && (st.st_mode & 07777) == 0751 && is_old(&st), "%s: mode and time of a directory", who);
	check_ok(lstat(below(dir, "sticky"), &st) == 0 && (st.st_mode & 07777) == 01777, "%s: the sticky bit", who);
	if (takes_devices)
		check_ok(lstat(below(dir, "null"), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && lstat(below(dir, "disk"), &other) == 0 &&
			S_ISBLK(other.st_mode) && other.st_rdev == makedev(7, 200), "%s: device nodes", who);
	else
		check_skip(who, "device nodes take root");
	check_ok(lstat(below(dir, "fifo"), &st) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0600, "%s: FIFOs", who);
	check_attributes(dir, who);
}

/* What a container does to a file from below keeps the rest of it. */
static void check_copied_up(const char *dir)
{
	struct stat st;

	check_ok(chmod(below(dir, "capable"), 0700) == 0 && put_text(dir, "empty", "not any more") && rename(below(dir, "fifo"), below(dir, "d/fifo")) == 0,
		"a container changes files from below");
	check_ok(lstat(below(dir, "d/fifo"), &st) == 0 && S_ISFIFO(st.st_mode) && missing(dir, "fifo"), "a FIFO is moved");
	check_ok(has_text(dir, "capable", "c") && lstat(below(dir, "capable"), &st) == 0 && (st.st_mode & 07777) == 0700, "a mode is changed, the content stays");
	check_ok(has_text(dir, "empty", "not any more"), "content is changed");
	check_attributes(dir, "after the change");
}

void graph_case_files(struct check *c)
{
	struct graph_tree t;
	OWN_FREE char *dir = NULL;

	if (!graph_begin(c))
		return;
	graph_create(layer(1), NULL, false);
	works(graph_tree(layer(1), NULL, DKD_GRAPH_TREE_WRITE, &t) == 0 && fill(t.path), "a layer is filled");
	works(graph_tree_done(&t) == 0, "its tree is closed");
	dir = graph_get(layer(1));
	check_files(dir, "the layer");
	graph_put(layer(1));
	graph_create(layer(2), layer(1), false);
	graph_create(layer(3), layer(2), true);
	free(dir);
	dir = graph_get(layer(3));
	check_files(dir, "a container two layers above");
	check_copied_up(dir);
	works(graph_put(layer(3)) == 0, "unmounted");
	free(dir);
	dir = graph_get(layer(2));
	check_ok(has_text(dir, "empty", "") && !missing(dir, "fifo"), "the layer below has not changed");
	graph_put(layer(2));
	graph_end();
}

/* Names */

static const char *const odd[] = {
	"with space", "-dash", "tab\there", "line\nbreak", "back\\slash", "colon:comma,equals=", "\"quotes'", "*?[]", "\xff\xfe not UTF-8", "\xc3\xa4\xe2\x82\xac",
	"...", ".hidden", "a.wh.b", "%s%n", "$HOME `id`", "trailing ", " leading",
};

void graph_case_names(struct check *c)
{
	char longest[256];
	struct graph_tree t;
	OWN_FREE char *dir = NULL;
	unsigned seen = 0, written = 0;

	if (!graph_begin(c))
		return;
	memset(longest, 'n', 255);
	longest[255] = '\0';
	graph_create(layer(1), NULL, false);
	works(graph_tree(layer(1), NULL, DKD_GRAPH_TREE_WRITE, &t) == 0, "a layer to write");
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		written += tree_write(&t, odd[i], odd[i]) == 0;
	check_ok(written == ARRAY_LEN(odd) && tree_write(&t, longest, "long") == 0, "odd names are written");
	graph_tree_done(&t);
	graph_create(layer(2), layer(1), true);
	dir = graph_get(layer(2));
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		seen += has_text(dir, odd[i], odd[i]);
	check_ok(seen == ARRAY_LEN(odd) && has_text(dir, longest, "long"), "and read above");
	check_ok(dir && rename(below(dir, odd[0]), below(dir, "plain")) == 0 && unlink(below(dir, odd[3])) == 0 && put_text(dir, odd[8], "changed"), "moved, removed, changed");
	graph_put(layer(2));
	changes_are(layer(2), layer(1), "A /plain, C /\xff\xfe not UTF-8, D /line\nbreak, D /with space", "which is told");
	graph_end();
}

/* Sparse files */

void graph_case_sparse(struct check *c)
{
	off_t size = c->longer ? (off_t)8 << 30 : (off_t)64 << 20;
	OWN_FREE char *dir = NULL;
	struct graph_tree t;
	OWN_FD int fd = -1;
	struct stat st;
	char end[3];

	if (!graph_begin(c))
		return;
	graph_create(layer(1), NULL, false);
	works(graph_tree(layer(1), NULL, DKD_GRAPH_TREE_WRITE, &t) == 0, "a layer to write");
	fd = openat(t.fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	check_ok(fd >= 0 && pwrite(fd, "beg", 3, 0) == 3 && pwrite(fd, "end", 3, size - 3) == 3, "a file with a hole is written");
	fd_close(&fd);
	graph_tree_done(&t);
	graph_create(layer(2), layer(1), true);
	dir = graph_get(layer(2));
	fd = dir ? open(below(dir, "sparse"), O_RDONLY | O_CLOEXEC) : -1;
	check_ok(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == size && pread(fd, end, 3, size - 3) == 3 && memcmp(end, "end", 3) == 0, "it is whole above");
	check_ok(fd >= 0 && (off_t)st.st_blocks * 512 < size / 4, "and still sparse");
	fd_close(&fd);
	graph_put(layer(2));
	graph_end();
}
