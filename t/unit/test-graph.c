/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graph drivers through their facade: one conformance suite, run on each. */
#include "graph-test.h"

/* The suite */

static void fill(const char *dir)
{
	static const struct timespec old[2] = { { 1000000000, 5 }, { 1100000000, 123456789 } };
	int fd, bad = 0;

	put_file(dir, "a", "from the parent");
	put_file(dir, "gone", "x");
	mkdir(at(dir, "d"), 0755);
	put_file(dir, "d/b", "b");
	bad |= link(at(dir, "a"), at(dir, "d/hard"));
	bad |= symlink("../a", at(dir, "d/soft"));
	mknod(at(dir, "null"), S_IFCHR | 0666, makedev(1, 3));
	mkfifo(at(dir, "fifo"), 0600);
	bad |= lchown(at(dir, "d/b"), 1234, 5678);
	chmod(at(dir, "d/b"), 04755);
	setxattr(at(dir, "d/b"), "user.note", "hello", 5, 0);
	fd = open(at(dir, "sparse"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	bad |= pwrite(fd, "end", 3, 50 << 20) != 3;
	close(fd);
	utimensat(AT_FDCWD, at(dir, "d/b"), old, 0);
	utimensat(AT_FDCWD, at(dir, "d/soft"), old, AT_SYMLINK_NOFOLLOW);
	bad |= utimensat(AT_FDCWD, at(dir, "d"), old, 0);
	ok(!bad, "%s: a layer is filled", driver);
}

static void check_inherited(const char *dir)
{
	struct stat st, other;
	char note[16] = "";

	is_str(file_text(dir, "a"), "from the parent", "%s: the child sees the parent's file", driver);
	ok(lstat(at(dir, "d/b"), &st) == 0 && st.st_uid == 1234 && st.st_gid == 5678 && (st.st_mode & 07777) == 04755, "%s: owner and mode", driver);
	ok(st.st_mtim.tv_sec == 1100000000 && st.st_mtim.tv_nsec == 123456789, "%s: times to the nanosecond", driver);
	ok(getxattr(at(dir, "d/b"), "user.note", note, sizeof(note)) == 5 && streq(note, "hello"), "%s: extended attributes", driver);
	ok(lstat(at(dir, "d/hard"), &st) == 0 && lstat(at(dir, "a"), &other) == 0 && st.st_ino == other.st_ino && st.st_nlink == 2,
		"%s: hard links stay one file", driver);
	ok(lstat(at(dir, "d/soft"), &st) == 0 && S_ISLNK(st.st_mode) && st.st_mtim.tv_sec == 1100000000, "%s: symbolic links, with their time", driver);
	ok(lstat(at(dir, "d"), &st) == 0 && st.st_mtim.tv_sec == 1100000000, "%s: the time of a directory", driver);
	ok(lstat(at(dir, "null"), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3), "%s: device nodes", driver);
	ok(lstat(at(dir, "fifo"), &st) == 0 && S_ISFIFO(st.st_mode), "%s: FIFOs", driver);
	ok(lstat(at(dir, "sparse"), &st) == 0 && st.st_size == (50 << 20) + 3 && st.st_blocks < 2048, "%s: sparse files stay sparse", driver);
}

static void test_layers(void)
{
	OWN_FREE char *parent = id_of(1), *child = id_of(2), *second = id_of(3), *dir = NULL;

	works(graph_create(g, parent, NULL, false, NULL, NULL, err) == 0, "%s: create a base layer", driver);
	ok(graph_exists(g, parent) && is_listed(parent), "%s: it is there", driver);
	dir = get(parent);
	fill(dir);
	works(graph_put(g, parent, err) == 0, "%s: put", driver);
	works(graph_create(g, child, parent, true, NULL, NULL, err) == 0, "%s: create a child", driver);
	works(graph_create(g, second, parent, true, NULL, NULL, err) == 0, "%s: create another", driver);
	str_set(&dir, NULL);
	dir = get(child);
	check_inherited(dir);
	put_file(dir, "a", "changed");
	unlink(at(dir, "gone"));
	works(graph_put(g, child, err) == 0, "%s: put the child", driver);
	free(dir);
	dir = get(child);
	is_str(file_text(dir, "a"), "changed", "%s: what was written is kept", driver);
	ok(access(at(dir, "gone"), F_OK) < 0, "%s: and what was removed", driver);
	graph_put(g, child, NULL);
	free(dir);
	dir = get(second);
	is_str(file_text(dir, "a"), "from the parent", "%s: a sibling does not see it", driver);
	graph_put(g, second, NULL);
	works(graph_sync(g, err) == 0, "%s: sync", driver);
	works(graph_remove(g, second, err) == 0 && !graph_exists(g, second) && !is_listed(second), "%s: remove", driver);
	works(graph_remove(g, second, err) == 0, "%s: removing what is not there is fine", driver);
}

static void test_refusals(void)
{
	OWN_FREE char *there = id_of(2), *half = id_of(998), *missing = id_of(999);
	OWN_STRMAP struct strmap opts = { 0 };
	struct graph_tree t;

	ok(graph_create(g, there, NULL, false, NULL, NULL, NULL) < 0, "%s: an id only once", driver);
	ok(graph_create(g, half, missing, false, NULL, NULL, NULL) < 0, "%s: a parent must be there", driver);
	ok(!graph_exists(g, half) && !is_listed(half), "%s: nothing is left of that", driver);
	fails_with(graph_create(g, "../x", NULL, false, NULL, NULL, err) < 0, "invalid layer id \"../x\"", "%s: an id is no path", driver);
	fails_with(graph_remove(g, "..", err) < 0, "invalid layer id \"..\"", "%s: not to remove either", driver);
	fails_with(!graph_get(g, "a/../b", NULL, err), "invalid layer id \"a/../b\"", "%s: nor to mount", driver);
	fails_with(graph_create(g, missing, "../x", false, NULL, NULL, err) < 0, "invalid layer id \"../x\"", "%s: nor as a parent", driver);
	fails_with(graph_tree_read(g, "/", NULL, &t, err) < 0, "invalid layer id \"/\"", "%s: nor as a tree", driver);
	ok(!graph_get(g, missing, NULL, NULL), "%s: a layer that is not there is not mounted", driver);
	strmap_set(&opts, "size", "10G");
	ok(graph_create(g, missing, NULL, true, NULL, &opts, NULL) < 0 && !graph_exists(g, missing), "%s: --storage-opt size is refused", driver);
	ok(!graph_takes_quota(g), "%s: and not promised", driver);
}

static void test_counting(void)
{
	OWN_FREE char *child = id_of(2), *first = get(child), *second = get(child), *mounted = xasprintf("%s: remove layer %s: it is mounted", driver, child);

	is_str(second, first, "%s: mounted twice, one directory", driver);
	fails_with(graph_remove(g, child, err) < 0, mounted,
		"%s: a mounted layer is not removed", driver);
	works(graph_put(g, child, err) == 0, "%s: put once", driver);
	is_str(file_text(first, "a"), "changed", "%s: still mounted", driver);
	works(graph_put(g, child, err) == 0, "%s: put twice", driver);
	works(graph_put(g, child, err) == 0, "%s: once too often is fine", driver);
}

static void *get_and_put(void *arg)
{
	OWN_FREE char *child = id_of(2);
	long bad = 0;

	for (int i = 0; i < 50; i++) {
		OWN_FREE char *dir = graph_get(g, child, NULL, NULL);

		OWN_FREE char *a = dir ? xasprintf("%s/a", dir) : NULL;

		bad += !a || access(a, F_OK) < 0 || graph_put(g, child, NULL) < 0;
	}
	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t t[4];
	long bad = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, get_and_put, NULL);
	for (int i = 0; i < 4; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		bad += (long)ret;
	}
	is_int(bad, 0, "%s: four threads get and put one layer", driver);
}

static void test_trees(void)
{
	OWN_FREE char *parent = id_of(1), *child = id_of(2), *fresh = id_of(20), *dir = NULL;
	bool native = streq(driver, "overlay2");
	struct graph_tree t;
	struct stat st;
	int fd;

	works(graph_tree_read(g, child, parent, &t, err) == 0, "%s: a tree to read", driver);
	is_int(t.whiteout, native ? GRAPH_WHITEOUT_OVERLAY : GRAPH_WHITEOUT_DELETE, "%s: its style of whiteouts", driver);
	ok(native == (t.parent_fd < 0), "%s: with the parent's beside it only when trees are compared", driver);
	ok(native == (fstatat(t.fd, "d", &st, 0) < 0), "%s: it holds the difference, or everything", driver);
	if (native)
		ok(fstatat(t.fd, "gone", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0, "%s: a whiteout", driver);
	else
		ok(fstatat(t.parent_fd, "gone", &st, 0) == 0 && fstatat(t.fd, "gone", &st, 0) < 0, "%s: gone here, there in the parent", driver);
	graph_tree_done(g, &t);

	works(graph_tree_read(g, child, NULL, &t, err) == 0, "%s: the difference to nothing", driver);
	ok(fstatat(t.fd, "d/b", &st, 0) == 0 && t.whiteout == GRAPH_WHITEOUT_DELETE, "%s: is everything", driver);
	graph_tree_done(g, &t);

	works(graph_create(g, fresh, parent, false, NULL, NULL, err) == 0, "%s: a layer to write", driver);
	works(graph_tree_write(g, fresh, parent, &t, err) == 0, "%s: a tree to write", driver);
	fd = openat(t.fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ok(fd >= 0 && write(fd, "n", 1) == 1, "%s: a file in it", driver);
	close(fd);
	if (native)
		mknodat(t.fd, "gone", S_IFCHR, 0);
	else
		unlinkat(t.fd, "gone", 0);
	graph_tree_done(g, &t);
	dir = get(fresh);
	is_str(file_text(dir, "new"), "n", "%s: is seen mounted", driver);
	is_str(file_text(dir, "a"), "from the parent", "%s: over the parent", driver);
	ok(access(at(dir, "gone"), F_OK) < 0, "%s: where a deletion deletes", driver);
	graph_put(g, fresh, NULL);
	works(graph_remove(g, fresh, err) == 0, "%s: removed", driver);
}

static void test_depth(void)
{
	OWN_FREE char *top = id_of(1119), *rw = id_of(1500), *dir = NULL;
	int seen = 0;

	is_int(stack(1000, 120), 120, "%s: 120 layers", driver);
	works(graph_create(g, rw, top, true, NULL, NULL, err) == 0, "%s: and a container's on top", driver);
	dir = get(rw);
	for (int i = 0; dir && i < 120; i++) {
		OWN_FREE char *name = xasprintf("f%d", i);

		seen += access(at(dir, name), F_OK) == 0;
	}
	is_int(seen, 120, "%s: every one of them is seen", driver);
	put_file(dir, "w", "w");
	is_str(file_text(dir, "w"), "w", "%s: and written on", driver);
	graph_put(g, rw, NULL);
	if (!streq(driver, "overlay2"))
		return;
	is_int(stack(2000, 130), 129, "%s: 128 below one are the most", driver);
	OWN_FREE char *last = id_of(2128), *over = id_of(2129);

	fails_with(graph_create(g, over, last, false, NULL, NULL, err) < 0, "max depth exceeded", "%s: the next is refused", driver);
	ok(!graph_exists(g, over), "%s: and leaves nothing", driver);
	free(dir);
	dir = get(last);
	ok(dir && access(at(dir, "f0"), F_OK) == 0, "%s: 128 below one are mounted", driver);
	graph_put(g, last, NULL);
}

/* An image may nest directories as deep as it likes: they must be copied within reason, and removed in any case. */
static void test_nesting(void)
{
	OWN_FREE char *low = id_of(40), *high = id_of(41), *dir = NULL;
	int fd, made = 0;

	graph_create(g, low, NULL, false, NULL, NULL, NULL);
	dir = get(low);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int next; made < 3000 && mkdirat(fd, "d", 0755) == 0; made++) {
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	is_int(made, 3000, "%s: directories 3000 deep", driver);
	graph_put(g, low, NULL);
	graph_create(g, high, low, true, NULL, NULL, NULL); /* may fail for vfs, for want of descriptors */
	works(graph_remove(g, high, err) == 0 && !is_listed(high), "%s: a child of that is removed", driver);
	works(graph_remove(g, low, err) == 0 && !is_listed(low), "%s: and the layer", driver);
}

static void test_again(const char *root)
{
	OWN_FREE char *child = id_of(2), *dir = NULL;
	OWN_ERR struct err err = ERR_INIT;

	graph_close(g);
	g = graph_open(NULL, root, NULL, 0, 0, &err);
	ok(g != NULL, "%s: opened again without a name: %s", driver, err_text(&err));
	is_str(graph_name(g), driver, "%s: data outranks the priority list", driver);
	dir = get(child);
	is_str(file_text(dir, "a"), "changed", "%s: the layers are there", driver);
	graph_put(g, child, NULL);
}

static void suite(const char *name)
{
	OWN_FREE char *root = xasprintf("%s/%s", base, name);
	OWN_ERR struct err err = ERR_INIT;

	driver = name;
	mkdir(root, 0710);
	g = graph_open(name, root, NULL, 0, 0, &err);
	if (!ok(g != NULL, "%s: opens: %s", driver, err_text(&err)))
		return;
	is_str(graph_name(g), name, "%s: its name", driver);
	test_layers();
	test_refusals();
	test_counting();
	test_threads();
	test_trees();
	test_depth();
	test_nesting();
	test_again(root);
	graph_close(g);
}

/* Which driver */

static const char *chosen(const char *root)
{
	OWN_ERR struct err err = ERR_INIT;
	struct graph *c = graph_open(NULL, root, NULL, 0, 0, &err);
	static char name[512];

	snprintf(name, sizeof(name), "%s", c ? graph_name(c) : err_text(&err));
	graph_close(c);
	return name;
}

static void test_choice(void)
{
	OWN_FREE char *root = xasprintf("%s/choice", base), *several = NULL, *old = NULL;

	mkdir(root, 0711);
	is_str(chosen(root), "overlay2", "nothing there: the first of the list that works");
	mkdir(at(root, "vfs"), 0711);
	is_str(chosen(root), "overlay2", "an empty folder is no data");
	mkdir(at(root, "vfs/dir"), 0711);
	mkdir(at(root, "vfs/dir/x"), 0711);
	is_str(chosen(root), "vfs", "data of vfs");
	mkdir(at(root, "overlay2/x"), 0711);
	is_str(chosen(root), "overlay2", "vfs is the last resort");
	mkdir(at(root, "zfs"), 0711);
	mkdir(at(root, "zfs/x"), 0711);
	several = xasprintf("error initializing graphdriver: %s contains several valid graphdrivers: zfs, overlay2; "
		"Please cleanup or explicitly choose storage driver (-s <DRIVER>)", root);
	is_str(chosen(root), several, "data of two");
	rmdir(at(root, "overlay2/x"));
	is_str(chosen(root), "error initializing graphdriver: prior storage driver zfs failed: graph driver zfs not found", "data of one that is not there");
	rename(at(root, "zfs"), at(root, "overlay"));
	is_str(chosen(root), "overlay", "data of the layout before overlay2");
	rename(at(root, "overlay"), at(root, "aliased2"));
	old = xasprintf("error initializing graphdriver: %s holds data of the storage driver aliased2, which is not supported", root);
	fails_with(!graph_open("aliased2", root, NULL, 0, 0, err), old, "data under another name of a driver is not its own");
	fails_with(!graph_open("nosuch", root, NULL, 0, 0, err), "error initializing graphdriver: driver not supported: graph driver nosuch not found", "a name nobody has");
}

/* What the facade does for any driver: shown on one that notices (t/abi/fixture.c). */

static void *look(void *arg)
{
	long bad = 0;

	for (int i = 0; i < 5; i++)
		bad += !graph_exists(g, arg);
	return (void *)bad;
}

static void test_facade(void)
{
	OWN_FREE char *root = xasprintf("%s/facade", base);
	OWN_ERR struct err why = ERR_INIT;
	char layer[] = "a";
	pthread_t t[4];
	long bad = 0;

	mkdir(root, 0711);
	g = graph_open("object", root, NULL, 0, 0, &why);
	if (!ok(g != NULL, "the fixture opens: %s", err_text(&why)))
		return;
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, look, layer);
	for (int i = 0; i < 4; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		bad += (long)ret;
	}
	is_int(bad, 0, "no two calls for one layer at the same time");
	ok(graph_create(g, "x", NULL, false, NULL, NULL, &why) < 0 && why.class == ERR_NO_SPACE, "a failure keeps its class");
	is_str(err_text(&why), "object: create layer x: never any room", "and names driver and layer");
	ok(graph_list(g, &(struct strv){ 0 }, &why) < 0 && why.class == ERR_NOT_IMPLEMENTED, "what a driver cannot do is said");
	graph_close(g);
}

int main(void)
{
	graph_test_begin();
	test_facade();
	suite("vfs");
	if (dir_is_overlay("/tmp"))
		skip("overlay2", "/tmp is an overlay itself, which cannot hold another's upper directory");
	else
		suite("overlay"), suite("overlay2"), test_choice();
	fs_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
