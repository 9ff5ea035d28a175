/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver aufs on a kernel that need not have it: its system calls are recorded in place of being made. Shown is what the kernel
 * would be asked, and what is on disk; not what aufs makes of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../plugins/graph/aufs.h"
#include "base/fs.h"
#include "base/str.h"
#include "dockerd/graph.h"

#include "tap.h"

/* The kernel */

static struct strv asked;   /* "TARGET FLAGS OPTIONS" of each mount, "umount TARGET FLAGS" */
static struct strv mounted;
static bool has_aufs, knows_dirperm1;
static unsigned longest, remounts_before_failure;

static int fake_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
	if (!streq(source, "none") || !streq(type, "aufs"))
		return errno = ENODEV, -1;
	if (strstr(target, ".dirperm1-"))
		return knows_dirperm1 && strstr(data, ",dirperm1,xino=/dev/shm/aufs.xino") ? 0 : (errno = EINVAL, -1);
	strv_addf(&asked, "%s %s %s", target, flags == 0 ? "new" : flags == MS_REMOUNT ? "remount" : "?", (const char *)data);
	if (strlen(data) > longest)
		longest = (unsigned)strlen(data);
	if (flags == MS_REMOUNT && remounts_before_failure && !--remounts_before_failure)
		return errno = EINVAL, -1;
	if (!strv_contains(&mounted, target))
		strv_add(&mounted, target);
	return 0;
}

static int fake_umount(const char *target, int flags)
{
	if (strstr(target, ".dirperm1-"))
		return 0;
	strv_addf(&asked, "umount %s %d", target, flags);
	return strv_del(&mounted, target) ? 0 : (errno = EINVAL, -1);
}

static bool fake_is_mounted(const char *target)
{
	return strv_contains(&mounted, target);
}

static bool fake_kernel_has(void)
{
	return has_aufs;
}

static const struct aufs_calls fake = { fake_mount, fake_umount, fake_is_mounted, fake_kernel_has };

/* The daemon */

static char said[1024];
static uint32_t said_class;

static void host_log(const struct dkd_host *h, uint32_t level, const char *text)
{
	(void)h, (void)level, (void)text;
}

static int32_t host_fail(const struct dkd_host *h, const struct dkd_call *call, uint32_t cls, int32_t sys, const char *text)
{
	(void)h, (void)call, (void)sys;
	said_class = cls;
	snprintf(said, sizeof(said), "%s", text);
	return -1;
}

static const struct dkd_host host = { .size = sizeof(host), .log = host_log, .fail = host_fail };
static const struct dkd_call call = { .size = sizeof(call), .cancel_fd = -1 };
static const struct dkd_graph_ops *ops;
static struct dkd_graph *g;
static char base[] = "/tmp/test-aufs-XXXXXX";
static char root[64];

static int open_root(const char *key)
{
	struct dkd_pair pair = { key, "1" };
	struct dkd_graph_open open = { .size = sizeof(open), .root = root, .options = &pair, .options_len = key != NULL };

	return ops->open(&call, &host, &open, &g);
}

static int create(const char *id, const char *parent, const char *option)
{
	struct dkd_pair pair = { option, "1G" };
	struct dkd_graph_create c = { .size = sizeof(c), .flags = DKD_GRAPH_RW, .id = id, .parent = parent, .options = &pair, .options_len = option != NULL };

	return ops->create(&call, g, &c);
}

static int32_t keep(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

static char *get(const char *id, const char *label)
{
	struct dkd_graph_mount m = { .size = sizeof(m), .id = id, .label = label };
	char *path = NULL;

	strv_done(&asked);
	return ops->get(&call, g, &m, keep, &path) == 0 ? path : NULL;
}

static char *text_of(const char *name)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *path = xasprintf("%s/%s", root, name);

	return fs_read(AT_FDCWD, path, 1 << 20, &b, NULL) == 0 ? xstrdup(b.data ? b.data : "") : NULL;
}

static bool there(const char *name)
{
	OWN_FREE char *path = xasprintf("%s/%s", root, name);

	return access(path, F_OK) == 0;
}

/* The tests */

static void test_absent(void)
{
	has_aufs = false;
	is_int(ops->probe(&call, &host, NULL), DKD_PROBE_NOT_HERE, "a kernel without aufs: not here");
	is_str(said, "driver not supported: aufs: this kernel has no aufs, or has not loaded it yet (modprobe aufs)", "in one clear sentence");
	is_int(ops->probe(&call, &host, root), DKD_PROBE_NOT_HERE, "nor for an empty data-root");
	ok(open_root(NULL) < 0 && strstr(said, "this kernel has no aufs"), "nor is it opened");
	ok(!there(""), "and nothing is made");
	has_aufs = true;
	is_int(ops->probe(&call, &host, root), DKD_PROBE_MINE, "a kernel with it");
}

static void test_layout(void)
{
	OWN_FREE char *base_file = NULL, *top_file = NULL, *dir = NULL, *again = NULL, *want = NULL;

	knows_dirperm1 = true;
	ok(open_root("aufs.nosuch") < 0 && said_class == DKD_ERR_INVALID, "an option is an error");
	ok(open_root(NULL) == 0 && there("mnt") && there("diff") && there("layers"), "opens and makes Docker's folders");
	ok(create("a", NULL, NULL) == 0 && create("b", "a", NULL) == 0 && create("c", "b", NULL) == 0, "three layers");
	ok(there("diff/a") && there("mnt/a") && there("diff/c") && there("mnt/c"), "with a folder each in diff and mnt");
	base_file = text_of("layers/a");
	top_file = text_of("layers/c");
	is_str(base_file, "", "the lowest has nothing below");
	is_str(top_file, "b\na\n", "the topmost the others, the nearest first");
	ok(create("c", "b", NULL) < 0 && said_class == DKD_ERR_CONFLICT, "an id once");
	ok(create("d", "nosuch", NULL) < 0 && said_class == DKD_ERR_NOT_FOUND && !there("diff/d"), "a parent must be there");
	ok(create("d", "b", "size") < 0, "no sizes");
	is_str(said, "--storage-opt is not supported for aufs", "in Docker's words");
	dir = get("a", NULL);
	want = xasprintf("%s/diff/a", root);
	is_str(dir, want, "a layer with nothing below is its directory");
	is_int(asked.len, 0, "and is not mounted");
	str_set(&dir, NULL);
	dir = get("c", NULL);
	free(want);
	want = xasprintf("%s/mnt/c", root);
	is_str(dir, want, "one with others is mounted");
	free(want);
	want = xasprintf("%s/mnt/c new br:%s/diff/c=rw:%s/diff/b=ro+wh:%s/diff/a=ro+wh,dio,xino=/dev/shm/aufs.xino,dirperm1", root, root, root, root);
	is_int(asked.len, 1, "by one call");
	is_str(asked.len ? asked.v[0] : NULL, want, "with Docker's options");
	again = get("c", NULL);
	ok(again && asked.len == 0, "once mounted it is taken as it is");
	ok(ops->put(&call, g, "c") == 0 && mounted.len == 0 && ops->put(&call, g, "c") == 0, "unmounted, and once more");
	free(again);
	again = get("c", "system_u:object_r:x_t:s0");
	ok(asked.len == 1 && strstr(asked.v[0], ",dirperm1,context=\"system_u:object_r:x_t:s0\""), "with a label");
	is_int(ops->cleanup(&call, g), 0, "the clean-up");
	is_int(mounted.len, 0, "unmounts what is left");
}

static void test_trees(void)
{
	struct dkd_graph_tree t = { .size = sizeof(t), .access = DKD_GRAPH_TREE_READ, .id = "c", .parent = "b" };
	OWN_FREE char *path = NULL, *want = xasprintf("%s/diff/c", root);

	ok(ops->tree(&call, g, &t, keep, &path) == 0 && t.whiteout == DKD_GRAPH_WHITEOUT_AUFS, "the difference to the parent, in aufs' own style");
	is_str(path, want, "is the layer's directory");
	t.parent = "a";
	is_int(ops->tree(&call, g, &t, keep, &path), 1, "that to another layer has none");
	t.parent = NULL;
	is_int(ops->tree(&call, g, &t, keep, &path), 1, "nor that to nothing");
}

static int32_t line(void *to, const char *key, const char *value)
{
	strv_addf(to, "%s: %s", key, value);
	return 0;
}

static void test_status(void)
{
	OWN_STRV struct strv lines = { 0 };
	OWN_FREE char *text = NULL, *want = xasprintf("Root Dir: %s, ", root);

	is_int(ops->status(&call, g, line, &lines), 0, "status");
	text = strv_join(&lines, ", ");
	ok(str_has_prefix(text, want) && strstr(text, ", Backing Filesystem: ") && strstr(text, ", Dirs: 3, Dirperm1 Supported: true"), "%s", text);
}

/* All that aufs takes: more than a page of options. */
static void test_branches(void)
{
	OWN_FREE char *dir = NULL, *all = NULL;
	OWN_STRV struct strv options = { 0 };
	char id[65], below[65] = "";
	unsigned made = 0, seen = 0;
	const char *at;

	for (unsigned i = 0; i < AUFS_BRANCHES && made == i; i++) {
		snprintf(id, sizeof(id), "%064x", i);
		made += create(id, i ? below : NULL, NULL) == 0;
		memcpy(below, id, sizeof(id));
	}
	is_int(made, AUFS_BRANCHES, "127 layers on each other");
	ok(create("over", below, NULL) < 0 && streq(said, "max depth exceeded") && !there("layers/over") && !there("diff/over"), "one more is refused, and leaves nothing");
	dir = get(below, "label");
	ok(dir && asked.len > 1 && strstr(asked.v[0], " new br:"), "the topmost is mounted in %zu steps", asked.len);
	ok(longest < (unsigned)sysconf(_SC_PAGESIZE), "each with less than a page of options");
	for (size_t i = 1; i < asked.len; i++)
		seen += strstr(asked.v[i], " remount append:") && strstr(asked.v[i], ",context=\"label\"");
	is_int(seen, asked.len - 1, "the others append");
	all = strv_join(&asked, " ");
	at = all;
	seen = 0;
	for (unsigned i = AUFS_BRANCHES - 1; at && i-- > 0; seen += at != NULL) {
		snprintf(id, sizeof(id), "%064x", i);
		at = strstr(at + 1, id);
	}
	is_int(seen, AUFS_BRANCHES - 1, "every layer once, from the nearest to the lowest");
	ops->put(&call, g, below);
	remounts_before_failure = 2;
	free(dir);
	dir = get(below, NULL);
	ok(!dir && mounted.len == 0, "a step that fails leaves nothing mounted");
	ok(strstr(said, "error creating aufs mount to "), "and is said");
	for (unsigned i = AUFS_BRANCHES; i-- > 0; ) {
		snprintf(id, sizeof(id), "%064x", i);
		made -= ops->remove(&call, g, id) == 0;
	}
	is_int(made, 0, "all are removed");
}

static void put_file(const char *name, const char *text)
{
	OWN_FREE char *path = xasprintf("%s/%s", root, name);

	fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FS_RENAME_ONLY, NULL);
}

static void make_dir(const char *name)
{
	OWN_FREE char *path = xasprintf("%s/%s", root, name);

	fs_mkdirs(path, 0755, NULL);
}

static void test_removal(void)
{
	OWN_FREE char *dir = get("c", NULL);

	make_dir("diff/c/d");
	put_file("diff/c/d/.wh.gone", "");
	make_dir("diff/c-removing");
	put_file("diff/c-removing/old", "");
	ok(ops->remove(&call, g, "c") == 0 && mounted.len == 0, "a layer that is mounted is unmounted and removed");
	ok(!there("diff/c") && !there("mnt/c") && !there("layers/c") && !there("diff/c-removing"), "nothing of it is left, nor of an earlier try");
	is_int(ops->remove(&call, g, "c"), 0, "again is fine");
	make_dir("mnt/x-removing");
	make_dir("diff/x-removing/sub");
	ops->close(g);
	knows_dirperm1 = false;
	ok(open_root(NULL) == 0 && !there("mnt/x-removing") && !there("diff/x-removing"), "what a crash left of removals goes at the next start");
	free(dir);
	dir = get("b", NULL);
	ok(dir && asked.len == 1 && !strstr(asked.v[0], "dirperm1"), "an aufs without dirperm1 is not asked for it");
	ops->put(&call, g, "b");
	ops->close(g);
}

/* A root as Docker's driver leaves it: base and image layer, a container's init and own. */
static void test_docker(void)
{
	OWN_FREE char *dir = NULL, *want = NULL;
	struct dkd_graph_mount m = { .size = sizeof(m), .id = "bad" };
	int32_t rc;

	snprintf(root, sizeof(root), "%s/docker", base);
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = { "one", "two", "box-init", "box" }, *const files[] = { "", "one\n", "two\none\n", "box-init\ntwo\none\n" };
		OWN_FREE char *diff = xasprintf("diff/%s", names[i]), *mnt = xasprintf("mnt/%s", names[i]), *list = xasprintf("layers/%s", names[i]);

		make_dir(diff);
		make_dir(mnt);
		make_dir("layers");
		put_file(list, files[i]);
	}
	has_aufs = false;
	is_int(ops->probe(&call, &host, root), DKD_PROBE_BROKEN, "layers of Docker's on a kernel without aufs: broken, not passed over");
	has_aufs = true;
	ok(open_root(NULL) == 0 && ops->exists(&call, g, "box") == 1 && ops->exists(&call, g, "two") == 1, "a root of Docker's opens, with its layers");
	dir = get("box", NULL);
	want = xasprintf("%s/mnt/box new br:%s/diff/box=rw:%s/diff/box-init=ro+wh:%s/diff/two=ro+wh:%s/diff/one=ro+wh,dio,xino=/dev/shm/aufs.xino", root, root, root, root, root);
	is_str(asked.len ? asked.v[0] : NULL, want, "a container of its is mounted");
	ops->put(&call, g, "box");
	put_file("layers/bad", "../../etc\n");
	rc = ops->get(&call, g, &m, keep, &want);
	ok(rc < 0, "a list of layers that says nothing sensible is refused");
	ops->close(g);
}

int main(void)
{
	if (!mkdtemp(base))
		return 99;
	snprintf(root, sizeof(root), "%s/aufs", base);
	aufs_calls = &fake;
	ops = dkd_driver_entry()->ops;
	is_str(dkd_driver_entry()->name, "aufs", "the driver");
	test_absent();
	test_layout();
	test_trees();
	test_status();
	test_branches();
	test_removal();
	test_docker();
	strv_done(&asked);
	strv_done(&mounted);
	fs_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
