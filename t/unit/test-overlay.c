/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only the driver overlay2 does. */
#include "graph-test.h"

#include "../../plugins/graph/overlay.h"
#include "../../plugins/graph/size.h"

static char *json_of(void (*fn)(struct jw *w, const char *id), const char *id)
{
	struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	fn(&w, id);
	return buf_steal(&b);
}

static void write_status(struct jw *w, const char *id) { graph_status(g, w); }
static void write_metadata(struct jw *w, const char *id) { graph_metadata(g, id, w); }

static void test_overlay_facts(const char *root)
{
	OWN_FREE char *status = json_of(write_status, NULL), *parent = id_of(1), *child = id_of(2), *got = NULL, *want = NULL;

	ok(strstr(status, "[\"Supports d_type\",\"true\"]") && strstr(status, "[\"Native Overlay Diff\",\"") &&
		strstr(status, "[\"userxattr\",\"false\"]") && str_has_prefix(status, "[[\"Backing Filesystem\",\""), "status: %s", status);
	got = json_of(write_metadata, parent);
	want = xasprintf("{\"MergedDir\":\"%s/overlay2/%s/merged\",\"UpperDir\":\"%s/overlay2/%s/diff\",\"WorkDir\":\"%s/overlay2/%s/work\"}",
		root, parent, root, parent, root, parent);
	is_str(got, want, "metadata of a base layer");
	free(got);
	free(want);
	got = json_of(write_metadata, child);
	want = xasprintf("{\"LowerDir\":\"%s/overlay2/%s/diff\",\"MergedDir\":\"%s/overlay2/%s/merged\",\"UpperDir\":\"%s/overlay2/%s/diff\","
		"\"WorkDir\":\"%s/overlay2/%s/work\"}", root, parent, root, child, root, child, root, child);
	is_str(got, want, "metadata of a container's layer");
	free(got);
	ok(graph_create(g, "passing", parent, true, NULL, NULL, NULL) == 0, "a layer that goes again");
	got = json_of(write_metadata, "passing");
	ok(strstr(got, "/passing/diff"), "its metadata");
	free(got);
	graph_remove(g, "passing", NULL);
	got = json_of(write_metadata, "passing");
	is_str(got, "null", "none when it is gone");
}

static void mode_is(const char *dir, const char *name, mode_t type, mode_t mode)
{
	struct stat st;

	ok(lstat(at(dir, name), &st) == 0 && (st.st_mode & S_IFMT) == type && (st.st_mode & 07777) == mode && st.st_uid == 0,
		"layout: %s", name);
}

static void test_overlay_layout(const char *root)
{
	OWN_FREE char *home = xasprintf("%s/overlay2", root), *parent = xasprintf("%s/%064x", home, 1), *child = xasprintf("%s/%064x", home, 2);
	OWN_FREE char *link = xstrdup(file_text(parent, "link")), *name = xasprintf("l/%s", link), *lower = xstrdup(file_text(child, "lower"));
	char target[256] = "";

	mode_is(root, "overlay2", S_IFDIR, 0710);
	mode_is(home, "l", S_IFDIR, 0700);
	mode_is(home, strrchr(parent, '/') + 1, S_IFDIR, 0710);
	mode_is(parent, "diff", S_IFDIR, 0755);
	mode_is(parent, "link", S_IFREG, 0644);
	mode_is(parent, "committed", S_IFREG, 0600);
	mode_is(child, "work", S_IFDIR, 0700);
	mode_is(child, "lower", S_IFREG, 0644);
	ok(access(at(parent, "work"), F_OK) < 0 && access(at(parent, "lower"), F_OK) < 0, "a base layer has no more");
	ok(access(at(child, "committed"), F_OK) < 0 && access(at(child, "merged"), F_OK) < 0, "a container's layer neither");
	ok(strlen(link) == 26 && strspn(link, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == 26, "a short name: %s", link);
	is_str(lower, name, "the lower file");
	ok(readlink(at(home, name), target, sizeof(target) - 1) > 0, "the link");
	is_str(target, "../0000000000000000000000000000000000000000000000000000000000000001/diff", "leads to the layer");
}

/* A layer that Docker wrote: made here by hand. */
static void test_overlay_foreign(const char *root)
{
	OWN_FREE char *home = xasprintf("%s/overlay2", root), *a = xasprintf("%s/aaaa", home), *b = xasprintf("%s/bbbb-init", home), *dir = NULL;

	mkdir(a, 0710);
	mkdir(at(a, "diff"), 0755);
	put_file(at(a, "diff"), "low", "from docker");
	put_file(a, "link", "WRQ6X75JHJHT3MKXTKNWXGAP64");
	put_file(a, "committed", "");
	ok(symlink("../aaaa/diff", at(home, "l/WRQ6X75JHJHT3MKXTKNWXGAP64")) == 0, "a foreign link");
	mkdir(b, 0710);
	mkdir(at(b, "diff"), 0755);
	mkdir(at(b, "work"), 0700);
	put_file(b, "link", "M2737QEXWZUSCEVVDOQZ52EW2X");
	put_file(b, "lower", "l/WRQ6X75JHJHT3MKXTKNWXGAP64");
	ok(symlink("../bbbb-init/diff", at(home, "l/M2737QEXWZUSCEVVDOQZ52EW2X")) == 0, "another");
	dir = get("bbbb-init");
	is_str(file_text(dir, "low"), "from docker", "layers of another daemon are mounted");
	graph_put(g, "bbbb-init", NULL);
	put_file(b, "lower", "l/WRQ6X75JHJHT3MKXTKNWXGAP64:l/../../../../etc");
	ok(!graph_get(g, "bbbb-init", NULL, NULL), "a lower file that leads elsewhere is refused");
	put_file(b, "lower", "");
	ok(!graph_get(g, "bbbb-init", NULL, NULL), "and one that a power cut emptied");
	works(graph_remove(g, "bbbb-init", err) == 0 && graph_remove(g, "aaaa", err) == 0, "removed");
	ok(access(at(home, "l/M2737QEXWZUSCEVVDOQZ52EW2X"), F_OK) < 0 && errno == ENOENT, "with their links");
}

/* What a daemon that was killed leaves. */
static void test_overlay_crash(const char *root)
{
	OWN_FREE char *home = xasprintf("%s/overlay2", root), *child = id_of(2), *other = id_of(30), *parent = id_of(1), *dir = get(child), *again = NULL;
	OWN_FREE char *dangling = xasprintf("%s/l/AAAAAAAAAAAAAAAAAAAAAAAAAA", home), *base_dir = xasprintf("%s/%064x", home, 1);
	OWN_FREE char *link = xstrdup(file_text(base_dir, "link")), *check_dir = xasprintf("%s/.overlay-check-abcdef", home);
	OWN_ERR struct err why = ERR_INIT;
	struct stat st;

	works(graph_create(g, other, parent, true, NULL, NULL, err) == 0, "a second container");
	free(get(other));
	ok(symlink("../gone/diff", dangling) == 0, "a link to a layer that is gone");
	ok(mkdir(check_dir, 0700) == 0 && mkdir(at(check_dir, "merged"), 0700) == 0 && mount("none", at(check_dir, "merged"), "tmpfs", 0, NULL) == 0,
		"a folder of a trial mount");
	put_file(base_dir, "link", "");
	graph_close(g); /* unmounts nothing */
	is_str(file_text(dir, "a"), "from the parent", "containers keep their mounts while there is no daemon");
	g = graph_open("overlay2", root, NULL, 0, 0, &why);
	ok(lstat(check_dir, &st) < 0, "the trial's folder is swept");
	ok(lstat(dangling, &st) < 0, "the dangling link is swept: %s", err_text(&why));
	again = get(child);
	is_str(again, dir, "a mount that still stands is taken over");
	ok(graph_put(g, child, NULL) == 0 && access(dir, F_OK) < 0, "and undone");
	works(graph_remove(g, other, err) == 0, "a layer that is mounted still is removed");
	works(graph_create(g, other, parent, true, NULL, NULL, err) == 0, "a child of a layer whose link file is empty");
	is_str(file_text(base_dir, "link"), link, "which is mended with its old name");
	works(graph_remove(g, other, err) == 0, "removed");
}

/* The options of the mount at a path, as the kernel has them; NULL: there is none. */
static char *mount_options(const char *path)
{
	OWN_FREE char *want = xasprintf(" %s ", path);
	char line[8192], *ret = NULL;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (fgets(line, sizeof(line), f))
		if (strstr(line, want))
			str_set(&ret, strstr(line, " - "));
	fclose(f);
	return ret;
}

static bool is_volatile(const char *dir)
{
	OWN_FREE char *options = mount_options(dir);

	/* newer kernels write fsync=volatile */
	return options && (strstr(options, ",volatile") || strstr(options, ",fsync=volatile"));
}

/* A container's layer that need not outlive a power cut, and the kernel's mark of it. */
static void test_overlay_volatile(const char *root)
{
	OWN_FREE char *child = id_of(2), *brief = id_of(31), *parent = id_of(1), *layer = xasprintf("%s/overlay2/%s", root, brief), *dir = NULL;
	const char *mark = "work/work/incompat/volatile";

	dir = get(child);
	ok(!is_volatile(dir) && graph_put(g, child, NULL) == 0, "a mount is synced when it goes");
	free(dir);
	works(graph_create(g, brief, parent, true, NULL, NULL, err) == 0, "a brief container");
	dir = graph_get_brief(g, brief, NULL, NULL);
	if (!is_volatile(dir)) {
		skip("volatile mounts", "the kernel has none");
		graph_put(g, brief, NULL);
		graph_remove(g, brief, NULL);
		return;
	}
	ok(access(at(layer, mark), F_OK) == 0, "its mount is not, and is marked");
	put_file(dir, "b", "brief");
	ok(graph_put(g, brief, NULL) == 0 && access(at(layer, mark), F_OK) < 0, "the mark goes with the mount");
	for (int i = 0; i < 2; i++) {
		free(dir);
		dir = graph_get_brief(g, brief, NULL, NULL);
		ok(dir && is_volatile(dir), "mounted again, and");
		/* What a power cut leaves: whole, or in the middle of its making or going. */
		graph_close(g);
		umount2(dir, MNT_DETACH);
		g = graph_open("overlay2", root, NULL, 0, 0, NULL);
		ok(i == 0 || unlink(at(layer, "work/work/incompat/volatile/dirty")) == 0, "left by a power cut");
		free(dir);
		dir = i ? get(brief) : graph_get_brief(g, brief, NULL, NULL);
		is_str(dir ? file_text(dir, "b") : NULL, "brief", "it can be mounted");
		ok(graph_put(g, brief, NULL) == 0 && access(at(layer, mark), F_OK) < 0, "and the mark is gone");
	}
	free(dir);
	dir = graph_get_brief(g, brief, NULL, NULL);
	graph_close(g);
	g = graph_open("overlay2", root, NULL, 0, 0, NULL);
	free(get(brief));
	ok(graph_put(g, brief, NULL) == 0 && access(at(layer, mark), F_OK) < 0, "another daemon unmounts it as well");
	works(graph_remove(g, brief, err) == 0, "removed");
}

static void test_overlay_long_root(void)
{
	OWN_FREE char *root = xasprintf("%s/%0100d/%0100d/%0100d,:\\", base, 1, 2, 3);
	struct graph *saved = g;
	OWN_ERR struct err err = ERR_INIT;

	ok(fs_mkdirs(root, 0711, NULL) == 0, "a data-root with a path of more than 300 bytes");
	g = graph_open("overlay2", root, NULL, 0, 0, &err);
	if (ok(g != NULL, "opens: %s", err_text(&err))) {
		OWN_FREE char *top = id_of(1099), *few = id_of(1001), *dir = NULL;

		is_int(stack(1000, 100), 100, "100 layers there");
		dir = get(few);
		ok(dir && access(at(dir, "f0"), F_OK) == 0, "two are mounted, although the path has a comma, a colon and a backslash");
		graph_put(g, few, NULL);
		free(dir);
		dir = get(top);
		ok(dir && access(at(dir, "f0"), F_OK) == 0 && access(at(dir, "f99"), F_OK) == 0, "100 are mounted");
		graph_put(g, top, NULL);
		graph_close(g);
	}
	g = saved;
}

static void test_overlay_ways(void)
{
	static const struct { unsigned way; const char *name; } ways[] = {
		{ OVERLAY_BY_OPTIONS, "options" }, { OVERLAY_BY_FSCONFIG, "the new mount API" }, { OVERLAY_BY_CHDIR, "options, from the root" },
	};
	static const char *const dirs[] = { "one", "two", "up", "wk", "all" };
	OWN_FREE char *root = xasprintf("%s/ways", base), *all = xasprintf("%s/all", root);
	const char *lower[] = { "one", "two" };
	struct overlay_mount m = { .root = root, .lower = lower, .lower_len = 2, .upper = "up", .work = "wk", .target = "all", .index_off = true };

	mkdir(root, 0711);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		mkdir(at(root, dirs[i]), 0755);
	put_file(root, "one/same", "nearest");
	put_file(root, "two/same", "below");
	put_file(root, "two/only", "below");
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		int rc = overlay_mount_by(&m, ways[i].way);

		if (rc < 0 && errno == EINVAL && ways[i].way == OVERLAY_BY_FSCONFIG) {
			skip("mounts by the new mount API", "this kernel does not take layers one by one");
			continue;
		}
		is_int(rc, 0, "mounts by %s", ways[i].name);
		is_str(file_text(all, "same"), "nearest", "... the nearest layer first");
		is_str(file_text(all, "only"), "below", "... the other below");
		put_file(all, "new", ways[i].name);
		is_str(file_text(root, "up/new"), ways[i].name, "... and the upper one on top");
		umount2(all, MNT_DETACH);
	}
}

static void test_overlay_remap(void)
{
	OWN_FREE char *root = xasprintf("%s/remap", base), *home = xasprintf("%s/overlay2", root), *a = id_of(1), *b = id_of(2), *dir = NULL;
	OWN_FREE char *work = xasprintf("%s/%s/work", home, b);
	struct graph *saved = g;
	struct stat st;

	mkdir(root, 0711);
	g = graph_open("overlay2", root, NULL, 100000, 100001, NULL);
	ok(g && graph_create(g, a, NULL, false, NULL, NULL, NULL) == 0 && graph_create(g, b, a, true, NULL, NULL, NULL) == 0, "layers of a remapped root");
	ok(stat(home, &st) == 0 && st.st_uid == 0 && st.st_gid == 100001 && (st.st_mode & 07777) == 0710, "may pass through the home");
	dir = get(b);
	ok(stat(dir, &st) == 0 && st.st_uid == 100000 && st.st_gid == 100001, "and owns the merged directory");
	ok(stat(at(work, "work"), &st) == 0 && st.st_uid == 100000 && st.st_gid == 100001, "and the kernel's working directory");
	graph_put(g, b, NULL);
	graph_close(g);
	g = saved;
}

static void test_sizes(void)
{
	static const struct { const char *text; int64_t bytes; } rows[] = { { "4096", 4096 }, { "10b", 10 }, { "1k", 1024 }, { "1KB", 1024 }, { "2MiB", 2 << 20 },
		{ "1.5g", 3LL << 29 }, { "1 G", 1LL << 30 }, { "0", 0 }, { "", -1 }, { "-1", -1 }, { "x", -1 }, { "1x", -1 }, { "1gg", -1 }, { "1 gib x", -1 },
		{ "1e3", -1 }, { ".", -1 }, { "0x10", -1 }, { "99999999999p", -1 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n = 0;
		bool fine = size_parse(rows[i].text, &n);

		is_int(fine ? (int64_t)n : -1, rows[i].bytes, "the size \"%s\"", rows[i].text);
	}
}

static void test_overlay_options(void)
{
	static const struct { const char *opt, *error; } rows[] = {
		{ "overlay2.foo=1", "error initializing graphdriver: overlay2: unknown option overlay2.foo" },
		{ "dm.basesize=1", "error initializing graphdriver: overlay2: unknown option dm.basesize" },
		{ "overlay2.size", "error initializing graphdriver: Unable to parse key/value option: overlay2.size" },
		{ "overlay2.size=many", "error initializing graphdriver: invalid size: 'many'" },
		{ "overlay2.override_kernel_check=maybe", "error initializing graphdriver: strconv.ParseBool: parsing \"maybe\": invalid syntax" },
	};
	OWN_FREE char *root = xasprintf("%s/options", base);
	OWN_STRV struct strv fine = { 0 };
	OWN_STRMAP struct strmap opts = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	struct graph *other;

	mkdir(root, 0711);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN_STRV struct strv v = { 0 };

		strv_add(&v, rows[i].opt);
		fails_with(!graph_open("overlay2", root, &v, 0, 0, err), rows[i].error, "option %s", rows[i].opt);
	}
	strv_add(&fine, "overlay2.override_kernel_check=true");
	other = graph_open("overlay2", root, &fine, 0, 0, &why);
	ok(other != NULL, "an option of old is taken: %s", err_text(&why));
	graph_close(other);
	strmap_set(&opts, "graph.overlay2.bar", "2");
	driver_set_options(&opts);
	fails_with(!graph_open("overlay2", root, NULL, 0, 0, err), "error initializing graphdriver: overlay2: unknown option overlay2.bar",
		"an option of the configuration's section [graph.overlay2]");
	driver_set_options(NULL);
}

/* A layer and a container's on top of it, which the tests look at. */
static void make_layers(void)
{
	OWN_FREE char *parent = id_of(1), *child = id_of(2), *dir = NULL;

	works(graph_create(g, parent, NULL, false, NULL, NULL, err) == 0, "a base layer");
	dir = get(parent);
	put_file(dir, "a", "from the parent");
	works(graph_put(g, parent, err) == 0 && graph_create(g, child, parent, true, NULL, NULL, err) == 0, "and a child");
}

static void overlay_only(void)
{
	OWN_FREE char *root = xasprintf("%s/overlay2", base);

	mkdir(root, 0710);
	g = graph_open("overlay2", root, NULL, 0, 0, NULL);
	make_layers();
	test_overlay_facts(root);
	test_overlay_layout(root);
	test_overlay_foreign(root);
	test_overlay_crash(root);
	test_overlay_volatile(root);
	test_overlay_long_root();
	test_overlay_ways();
	test_overlay_remap();
	test_sizes();
	test_overlay_options();
	graph_close(g);
}

int main(void)
{
	graph_test_begin();
	if (dir_is_overlay("/tmp"))
		skip("overlay2", "/tmp is an overlay itself, which cannot hold another's upper directory");
	else
		overlay_only();
	fs_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
