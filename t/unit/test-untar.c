/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Extraction: hostile archives in every way that daemons of this kind fell for, each with a canary beside the root, in the
 * three kinds of trees; then what honest archives must become.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "image/changes.h"
#include "image/packtar.h"
#include "image/untar.h"

#include "tap.h"

static char dir[] = "/tmp/test-untar-XXXXXX";
static int root = -1;
static struct buf archive;
static struct buf_writer out;
static struct tar_writer writer;

static void shell(const char *fmt, ...)
{
	va_list ap;
	OWN_FREE char *cmd = NULL;

	va_start(ap, fmt);
	cmd = xvasprintf(fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		printf("# failed: %s\n", cmd);
}

/* A new root, and beside it the canary: a folder with a file, one more file, and their times. */
static void fresh(void)
{
	OWN_FREE char *path = xasprintf("%s/root", dir);

	fd_close(&root);
	shell("cd %s && rm -rf root canary && mkdir root canary && echo sing > canary/bird && chmod 640 canary/bird && touch -d @1 canary canary/bird", dir);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	buf_reset(&archive);
	buf_writer_init(&out, &archive);
	tar_writer_init(&writer, &out.writer);
}

static void canary(const char *what)
{
	OWN_FREE char *path = xasprintf("%s/canary", dir), *bird = xasprintf("%s/canary/bird", dir);
	OWN_BUF struct buf text = { 0 };
	struct stat a, b;

	ok(stat(path, &a) == 0 && stat(bird, &b) == 0 && a.st_mtime == 1 && b.st_mtime == 1 && (b.st_mode & 07777) == 0640 && b.st_nlink == 1 &&
		fs_read(AT_FDCWD, bird, 100, &text, NULL) == 0 && streq(text.data, "sing\n"), "%s: the canary sings", what);
}

static struct tar_entry entry(enum tar_type type, const char *name, const char *link)
{
	return (struct tar_entry){ .type = type, .name = name, .link = link ? link : "", .mode = 0751, .uid = 1001, .gid = 1002,
		.mtime = { .tv_sec = 1600000000 }, .atime = { .tv_nsec = UTIME_OMIT } };
}

static void add(enum tar_type type, const char *name, const char *link_or_data)
{
	struct tar_entry e = entry(type, name, type == TAR_FILE ? NULL : link_or_data);

	e.size = type == TAR_FILE && link_or_data ? (int64_t)strlen(link_or_data) : 0;
	tar_write_header(&writer, &e, NULL);
	if (e.size)
		tar_write_data(&writer, link_or_data, (size_t)e.size, NULL);
}

static const char *base;
static const struct untar_owner *owner;

static int extract(unsigned flags, enum graph_whiteout style, int64_t *size, struct err *err)
{
	struct untar_opts opts = { .flags = flags, .whiteout = style, .base = base, .owner = owner };
	struct mem_reader in;
	OWN_TAR_READER struct tar_reader *r = NULL;

	tar_write_end(&writer, NULL);
	mem_reader_init(&in, archive.data, archive.size);
	r = tar_reader_new(&in.reader, NULL);
	return untar(root, r, &opts, size, err);
}

static const struct { const char *name; unsigned flags; enum graph_whiteout style; } kinds[] = {
	{ "overlay layer", UNTAR_LAYER, GRAPH_WHITEOUT_OVERLAY }, { "copied layer", UNTAR_LAYER, GRAPH_WHITEOUT_DELETE },
	{ "aufs layer", UNTAR_LAYER, GRAPH_WHITEOUT_AUFS }, { "plain", 0, GRAPH_WHITEOUT_DELETE },
};

/* Builds the archive with make() and extracts it in every kind of tree: fails with text, or (text NULL) does no harm. */
static void hostile(const char *what, void (*make)(void), const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		OWN_ERR struct err err = ERR_INIT;
		int rc;

		fresh();
		make();
		rc = extract(kinds[i].flags, kinds[i].style, NULL, &err);
		if (text)
			ok(rc < 0 && err.class == ERR_INVALID && strstr(err_text(&err), text), "%s, %s: refused: %s", what, kinds[i].name, err_text(&err));
		else
			ok(rc == 0, "%s, %s: harmless: %s", what, kinds[i].name, err_text(&err));
		canary(what);
	}
}

static void dotdot(void) { add(TAR_FILE, "../canary/egg", "x"); }
static void dotdot_deep(void) { add(TAR_FILE, "a/b/../../../canary/bird", "x"); }
static void dotdot_dir(void) { add(TAR_DIR, "..", NULL); }
static void absolute(void) { char *name = xasprintf("%s/canary/egg", dir); add(TAR_FILE, name, "x"); free(name); }
static void absolute_dotdot(void) { add(TAR_FILE, "/../canary/egg", "x"); }
static void link_then_write(void) { add(TAR_SYMLINK, "l", "../canary"); add(TAR_FILE, "l/egg", "x"); }
static void abs_link_then_write(void) { char *to = xasprintf("%s/canary", dir); add(TAR_SYMLINK, "l", to); add(TAR_FILE, "l/egg", "x"); free(to); }
static void link_file_then_write(void) { add(TAR_SYMLINK, "bird", "../canary/bird"); add(TAR_FILE, "bird/x", "x"); }
static void link_chain(void) { add(TAR_SYMLINK, "a", ".."); add(TAR_SYMLINK, "b", "a/canary"); add(TAR_FILE, "b/bird", "x"); }
static void link_loop(void) { add(TAR_SYMLINK, "a", "b"); add(TAR_SYMLINK, "b", "a"); add(TAR_FILE, "a/x", "x"); }
static void magic_link(void) { add(TAR_SYMLINK, "l", "/proc/self/root"); add(TAR_FILE, "l/egg", "x"); }
static void hard_out(void) { add(TAR_HARDLINK, "h", "../canary/bird"); add(TAR_FILE, "h", "x"); }
static void hard_abs(void) { char *to = xasprintf("%s/canary/bird", dir); add(TAR_HARDLINK, "h", to); free(to); }
static void hard_via_link(void) { add(TAR_SYMLINK, "l", "../canary"); add(TAR_HARDLINK, "h", "l/bird"); }
static void hard_to_link(void) { char *to = xasprintf("%s/canary/bird", dir); add(TAR_SYMLINK, "l", to); add(TAR_HARDLINK, "h", "l"); free(to); }
static void hard_to_root(void) { add(TAR_HARDLINK, "h", "."); }
static void hard_to_dir(void) { add(TAR_DIR, "d", NULL); add(TAR_HARDLINK, "h", "d"); }
static void root_as_file(void) { add(TAR_FILE, "./", "x"); }
static void root_as_link(void) { add(TAR_SYMLINK, ".", "../canary"); }
static void root_as_link2(void) { add(TAR_SYMLINK, "a/..", "../canary"); }
static void below_file(void) { add(TAR_FILE, "f", "x"); add(TAR_FILE, "f/g", "x"); }
static void long_component(void) { char name[300]; memset(name, 'n', 299); name[299] = '\0'; add(TAR_FILE, name, "x"); }
static void empty_link(void) { add(TAR_SYMLINK, "l", ""); }
static void deep_path(void)
{
	char name[1001];

	for (int i = 0; i < 1000; i += 2)
		memcpy(name + i, "d/", 2);
	name[1000] = '\0';
	add(TAR_DIR, name, NULL);
}

static void test_hostile(void)
{
	hostile("dotdot", dotdot, "outside of the archive's root");
	hostile("dotdot deep", dotdot_deep, "outside of the archive's root");
	hostile("dotdot itself", dotdot_dir, "outside of the archive's root");
	hostile("absolute and dotdot", absolute_dotdot, "outside of the archive's root");
	hostile("absolute", absolute, NULL);
	hostile("a link, then through it", link_then_write, "l/egg");
	hostile("an absolute link, then through it", abs_link_then_write, "l/egg");
	hostile("a link to a file, then below it", link_file_then_write, "bird/x");
	hostile("a chain of links", link_chain, "b/bird");
	hostile("a loop of links", link_loop, "a/x");
	hostile("a magic link", magic_link, "l/egg");
	hostile("a hard link out", hard_out, "invalid hardlink");
	hostile("an absolute hard link", hard_abs, "hard link");
	hostile("a hard link through a link", hard_via_link, "hard link");
	hostile("a hard link to a link", hard_to_link, NULL);
	hostile("a hard link to the root", hard_to_root, "invalid hardlink");
	hostile("a hard link to a folder", hard_to_dir, "invalid hardlink");
	hostile("the root as a file", root_as_file, "must be a directory");
	hostile("the root as a link", root_as_link, "must be a directory");
	hostile("the root as a link, by a detour", root_as_link2, "must be a directory");
	hostile("below a file", below_file, "f/g");
	hostile("a component of 299 bytes", long_component, "File name too long");
	hostile("a link to nothing", empty_link, "create \"l\"");
	hostile("500 folders deep", deep_path, NULL);
}

/* In a layer tree that starts empty a name taken is a mistake; elsewhere the later member wins, and nothing is followed. */
static void test_replaced(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf text = { 0 };
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		fresh();
		add(TAR_SYMLINK, "f", "../canary/bird");
		add(TAR_FILE, "f", "x");
		if (kinds[i].flags)
			ok(extract(kinds[i].flags, kinds[i].style, NULL, &err) < 0 && strstr(err_text(&err), "duplicates"), "%s: twice, as link and file", kinds[i].name);
		else
			ok(extract(0, kinds[i].style, NULL, &err) == 0 && fstatat(root, "f", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode), "the file replaces the link");
		canary("link, then file");
		fresh();
		add(TAR_DIR, "d", NULL);
		add(TAR_SYMLINK, "d/", "../canary");
		add(TAR_FILE, "d/egg", "x");
		ok(extract(kinds[i].flags, kinds[i].style, NULL, &err) < 0, "%s: a folder becomes a link, then through it: %s", kinds[i].name, err_text(&err));
		canary("folder, then link");
		fresh();
		add(TAR_DIR, "d", NULL);
		add(TAR_SYMLINK, "alias", "d");
		add(TAR_FILE, "d/f", "one");
		add(TAR_FILE, "alias/f", "two");
		if (kinds[i].style == GRAPH_WHITEOUT_OVERLAY)
			ok(extract(kinds[i].flags, kinds[i].style, NULL, &err) < 0 && strstr(err_text(&err), "duplicates"), "twice under two names");
	}
	fresh();
	shell("mkdir %s/root/d && ln -s ../../canary %s/root/d/l && echo old > %s/root/f", dir, dir, dir);
	add(TAR_DIR, "d/l", NULL);
	add(TAR_FILE, "d/l/x", "in");
	add(TAR_FILE, "f", "new");
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) == 0, "what was there is replaced: %s", err_text(&err));
	ok(fs_beneath_read(root, "d/l/x", 10, &text, &err) == 0 && streq(text.data, "in"), "the link became a folder");
	canary("links that were there");
	fresh();
	shell("ln -s ../canary %s/root/d", dir);
	add(TAR_DIR, "d/", NULL);
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) == 0 && fstatat(root, "d", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode), "a folder replaces a link to one");
	canary("a folder where a link is");
	fresh();
	shell("mkdir -p %s/root/d/sub && touch %s/root/f", dir, dir);
	add(TAR_FILE, "d", "x");
	ok(extract(UNTAR_KEEP_TYPES, GRAPH_WHITEOUT_DELETE, NULL, &err) < 0 && strstr(err_text(&err), "cannot overwrite directory \"/d\""), "types are kept: %s", err_text(&err));
	fresh();
	shell("touch %s/root/f", dir);
	add(TAR_DIR, "f", NULL);
	ok(extract(UNTAR_KEEP_TYPES, GRAPH_WHITEOUT_DELETE, NULL, &err) < 0 && strstr(err_text(&err), "cannot overwrite non-directory \"/f\""), "types are kept: %s", err_text(&err));
}

static bool is_whiteout(const char *name)
{
	struct stat st;

	return fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static bool is_opaque(const char *name)
{
	OWN_FD int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char c = 0;

	return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &c, 1) == 1 && c == 'y';
}

static bool there(const char *name) { return faccessat(root, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

static void test_whiteouts(void)
{
	static const char *const bad[] = { ".wh.", ".wh...", ".wh..", "d/.wh...", ".wh.d/x" };
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (size_t k = 0; k < 2; k++) {
			fresh();
			add(TAR_FILE, bad[i], NULL);
			ok(extract(kinds[k].flags, kinds[k].style, NULL, &err) < 0 && strstr(err_text(&err), "invalid whiteout"), "%s, %s: %s", bad[i], kinds[k].name, err_text(&err));
			canary(bad[i]);
		}
	}

	fresh();
	add(TAR_FILE, ".wh.gone", NULL);
	add(TAR_FILE, "d/.wh.gone", NULL);
	add(TAR_DIR, "o", NULL);
	add(TAR_FILE, "o/.wh..wh..opq", NULL);
	add(TAR_FILE, "o/new", "x");
	add(TAR_DIR, ".wh..wh.plnk", NULL);
	add(TAR_FILE, ".wh..wh.plnk/1.2", "x");
	add(TAR_FILE, ".wh..wh.aufs", NULL);
	add(TAR_FILE, ".wh.back", NULL);
	add(TAR_DIR, "back", NULL);
	add(TAR_FILE, ".wh.deep", NULL);
	add(TAR_FILE, "deep/down/f", "x");
	add(TAR_FILE, "kept", "x");
	add(TAR_FILE, ".wh.kept", NULL);
	add(TAR_DIR, "keptdir", NULL);
	add(TAR_FILE, ".wh.keptdir", NULL);
	ok(extract(UNTAR_LAYER, GRAPH_WHITEOUT_OVERLAY, NULL, &err) == 0, "whiteouts in an overlay: %s", err_text(&err));
	ok(is_whiteout("gone") && is_whiteout("d/gone"), "become devices 0:0");
	ok(is_opaque("o") && there("o/new") && !there("o/.wh..wh..opq"), "opaque folders get their mark");
	ok(!there(".wh..wh.plnk") && !there(".wh..wh.aufs") && !there(".wh.gone"), "aufs's own files are left out");
	ok(is_opaque("back"), "a folder in the place of a whiteout is opaque");
	ok(is_opaque("deep") && there("deep/down/f"), "so is one made on the way");
	ok(there("kept") && !is_whiteout("kept") && is_opaque("keptdir"), "a whiteout never hides its own layer");
	ok(!is_opaque("d") && !is_opaque("."), "nothing else is opaque");

	fresh();
	shell("cd %s/root && mkdir -p d/sub o/sub/deep two && touch gone d/gone d/stay o/old o/sub/old o/sub/deep/old both && ln -s ../canary link && ln -s ../../canary o/link", dir);
	add(TAR_FILE, ".wh.gone", NULL);
	add(TAR_FILE, ".wh.link", NULL);
	add(TAR_FILE, "d/.wh.gone", NULL);
	add(TAR_FILE, "nowhere/.wh.gone", NULL);
	add(TAR_FILE, "o/sub/deep/new", "x");
	add(TAR_FILE, "o/.wh..wh..opq", NULL);
	add(TAR_FILE, "both", "x");
	add(TAR_FILE, ".wh.both", NULL);
	ok(extract(UNTAR_LAYER, GRAPH_WHITEOUT_DELETE, NULL, &err) == 0, "whiteouts in a copy: %s", err_text(&err));
	ok(!there("gone") && !there("d/gone") && !there("link") && there("d/stay"), "delete");
	ok(!there("nowhere"), "make no folder");
	ok(!there("o/old") && !there("o/link") && !there("o/sub/old") && !there("o/sub/deep/old") && there("o/sub/deep/new"), "opaque spares what this layer brought");
	ok(there("both"), "a whiteout spares what this layer brought");
	canary("whiteouts of links");

	fresh();
	add(TAR_FILE, ".wh.gone", NULL);
	add(TAR_FILE, "o/.wh..wh..opq", NULL);
	ok(extract(UNTAR_LAYER, GRAPH_WHITEOUT_AUFS, NULL, &err) == 0 && there(".wh.gone") && there("o/.wh..wh..opq"), "aufs keeps its own");
	fresh();
	add(TAR_SYMLINK, "l", "../canary");
	add(TAR_FILE, "l/.wh.bird", NULL);
	add(TAR_FILE, "l/.wh..wh..opq", NULL);
	extract(UNTAR_LAYER, GRAPH_WHITEOUT_DELETE, NULL, &err);
	canary("a whiteout through a link");
	fresh();
	add(TAR_FILE, ".wh.plain", NULL);
	ok(extract(0, GRAPH_WHITEOUT_OVERLAY, NULL, &err) == 0 && there(".wh.plain"), "outside of layers it is a name like others");
}

static void test_marks(void)
{
	const struct tar_xattr xattrs[] = {
		{ "trusted.overlay.redirect", "/..", 3 }, { "trusted.overlay.opaque", "y", 1 }, { "user.overlay.opaque", "y", 1 },
		{ "user.kept", "v", 1 }, { "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20 },
	};
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *path = xasprintf("%s/root/d", dir), *file = xasprintf("%s/root/f", dir);
	struct tar_entry e;
	char list[1000];
	ssize_t n;

	fresh();
	e = entry(TAR_DIR, "d", NULL);
	e.xattrs = xattrs;
	e.xattrs_len = 4;
	tar_write_header(&writer, &e, NULL);
	e = entry(TAR_FILE, "f", NULL);
	e.mode = 06755;
	e.xattrs = xattrs;
	e.xattrs_len = 5;
	tar_write_header(&writer, &e, NULL);
	add(TAR_CHARDEV, "hole", NULL);
	ok(extract(UNTAR_LAYER, GRAPH_WHITEOUT_OVERLAY, NULL, &err) == 0, "the overlay's marks: %s", err_text(&err));
	n = listxattr(path, list, sizeof(list));
	ok(n == 10 && streq(list, "user.kept"), "are not taken from an archive");
	ok(!there("hole"), "nor devices 0:0");
	ok(getxattr(file, "security.capability", list, sizeof(list)) == 20, "capabilities are");
	{
		struct stat st;

		ok(stat(file, &st) == 0 && (st.st_mode & 07777) == 06755, "set-id bits are");
	}
	fresh();
	add(TAR_FILE, ".wh.w", NULL);
	add(TAR_HARDLINK, "copy-of-whiteout", "w");
	ok(extract(UNTAR_LAYER, GRAPH_WHITEOUT_OVERLAY, NULL, &err) < 0 && strstr(err_text(&err), "invalid hardlink"), "no hard link to a whiteout");
}

static void test_metadata(void)
{
	static const char *const names[] = { "d", "d/f", "d/l", "d/fifo", "d/dev", "d/blk" };
	static const mode_t types[] = { S_IFDIR, S_IFREG, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK };
	OWN_ERR struct err err = ERR_INIT;
	struct tar_entry e;
	struct stat st;
	int64_t size;

	fresh();
	umask(077);
	add(TAR_DIR, "./", NULL);
	add(TAR_DIR, "d", NULL);
	add(TAR_FILE, "d/f", "12345");
	add(TAR_SYMLINK, "d/l", "nowhere");
	add(TAR_FIFO, "d/fifo", NULL);
	e = entry(TAR_CHARDEV, "d/dev", NULL); e.major = 1; e.minor = 3;
	tar_write_header(&writer, &e, NULL);
	e = entry(TAR_BLOCKDEV, "d/blk", NULL); e.major = 7; e.minor = 300;
	tar_write_header(&writer, &e, NULL);
	add(TAR_HARDLINK, "d/h", "d/f");
	add(TAR_HARDLINK, "d/hl", "./d/../d/l");
	add(TAR_FILE, "made/on/the/way", "x");
	add(TAR_FILE, "d/late", "x");
	ok(extract(UNTAR_LAYER, GRAPH_WHITEOUT_OVERLAY, &size, &err) == 0, "an honest layer: %s", err_text(&err));
	umask(022);
	is_int(size, 5 + 7 + 2, "its size");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ok(fstatat(root, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == types[i], "%s: its type", names[i]);
		ok(st.st_uid == 1001 && st.st_gid == 1002, "%s: its owner", names[i]);
		ok(S_ISLNK(st.st_mode) || (st.st_mode & 07777) == 0751, "%s: its mode", names[i]);
		is_int(st.st_mtime, 1600000000, "%s: its time, whatever came into it later", names[i]);
	}
	ok(st.st_rdev == makedev(7, 300), "a device's number");
	ok(fstat(root, &st) == 0 && st.st_uid == 1001 && st.st_mtime == 1600000000, "the root's own owner and time");
	ok(fstatat(root, "d/h", &st, 0) == 0 && st.st_nlink == 2, "hard links");
	ok(fstatat(root, "d/hl", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) && st.st_nlink == 2, "hard links of links");
	ok(fstatat(root, "made/on", &st, 0) == 0 && st.st_uid == 0 && (st.st_mode & 07777) == 0755, "folders made on the way");
}

static void mark(const char *name, const char *attribute)
{
	OWN_FREE char *path = xasprintf("%s/root/%s", dir, name);

	ok(setxattr(path, attribute, "y", 1, 0) == 0, "sets %s", attribute);
}

/* Trees into archives and back. */
static void test_packtar(void)
{
	OWN_BUF struct buf first = { 0 }, second = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_CHANGES struct changes diff = { 0 };
	OWN_FD int copy = -1;
	OWN_FREE char *path = xasprintf("%s/copy", dir);
	struct packtar_opts opts = { 0 };
	struct untar_opts into = { .flags = 0 };
	struct buf_writer sink;
	struct tar_writer w;
	struct mem_reader in;
	struct tar_reader *r;

	fresh();
	shell("cd %s/root && mkdir -p b/sub a && echo 1 > b/f && ln b/f a/hard && ln -s ../x b/link && mkfifo b/fifo && mknod b/dev c 1 3 && chmod 4711 b/f && chown -h 5:6 b/link && "
		"touch -d @1500000000.5 b/f b/sub", dir);
	mknodat(root, "b/sock", S_IFSOCK | 0600, 0);
	mark("b/f", "user.x");
	buf_writer_init(&sink, &first);
	tar_writer_init(&w, &sink.writer);
	ok(packtar(root, "", &opts, &w, &err) == 0 && tar_write_end(&w, &err) == 0, "packs a tree: %s", err_text(&err));
	fs_mkdir(path, 0755, NULL);
	copy = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mem_reader_init(&in, first.data, first.size);
	r = tar_reader_new(&in.reader, NULL);
	ok(untar(copy, r, &into, NULL, &err) == 0, "and unpacks it: %s", err_text(&err));
	tar_reader_free(r);
	ok(changes_compare(copy, root, NULL, &diff, &err) == 0, "compares them: %s", err_text(&err));
	is_int(diff.len, 2, "they differ in the socket alone");
	is_str(diff.len == 2 ? diff.v[1].path : "", "/b/sock", "which is left out");
	buf_writer_init(&sink, &second);
	tar_writer_init(&w, &sink.writer);
	ok(packtar(copy, "", &opts, &w, &err) == 0 && tar_write_end(&w, &err) == 0, "packs the copy");
	ok(first.size == second.size && memcmp(first.data, second.data, first.size) == 0, "the same bytes");
	buf_reset(&second);
	tar_writer_init(&w, &sink.writer);
	ok(packtar(copy, "renamed", &opts, &w, &err) == 0 && str_has_prefix(second.data, "renamed/"), "under another name");
}

static int64_t bytes_read(void)
{
	OWN_FILE FILE *f = fopen("/proc/self/io", "re");
	long long n = 0;

	return f && fscanf(f, "rchar: %lld", &n) == 1 ? n : -1;
}

/* Holes are zeros in the archive, and are not read; what is beyond the room is not begun. */
static void test_holes(void)
{
	enum { SIZE = 96 << 20, AT = 40 << 20 };
	OWN_BUF struct buf tape = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int fd = -1;
	struct packtar_opts opts = { .room = SIZE };
	struct buf_writer sink;
	struct tar_writer w;
	bool same = true;
	int64_t before;

	fresh();
	shell("cd %s/root && mkdir d && printf first > d/f && truncate -s %d d/f && printf middle | dd of=d/f bs=1 seek=%d conv=notrunc status=none", dir, SIZE, AT);
	fd = openat(root, "d", O_PATH | O_CLOEXEC);
	buf_reserve(&tape, SIZE + (1 << 20));
	buf_writer_init(&sink, &tape);
	tar_writer_init(&w, &sink.writer);
	before = bytes_read();
	ok(packtar(fd, "", &opts, &w, &err) == 0, "packs a file with holes: %s", err_text(&err));
	ok(bytes_read() - before < 4 << 20, "which are not read: %lld bytes", (long long)(bytes_read() - before));
	is_int(tape.size, 512 + SIZE, "they are in the archive");
	for (size_t i = 0; i < SIZE && same; i++)
		same = tape.data[512 + i] == (i < 5 ? "first"[i] : i >= AT && i < AT + 6 ? "middle"[i - AT] : 0);
	ok(same, "as zeros");
	opts.room--;
	buf_reset(&tape);
	ok(packtar(fd, "", &opts, &w, &err) < 0 && err.class == ERR_NO_SPACE && tape.size == 0, "a file beyond the room is not begun");
	is_str(err_text(&err), "archive f of 100663296 bytes: No space left on device", "in words");
}

static void is_changes(const struct changes *c, const char *want, const char *what)
{
	OWN_STRV struct strv lines = { 0 };
	OWN_FREE char *got = NULL;

	for (size_t i = 0; i < c->len; i++)
		strv_addf(&lines, "%c%s", "CAD"[c->v[i].kind], c->v[i].path);
	got = strv_join(&lines, " ");
	is_str(got ? got : "", want, "%s", what);
}

static void test_changes(void)
{
	OWN_CHANGES struct changes whole = { 0 }, upper = { 0 }, all = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *path = xasprintf("%s/lower", dir);
	OWN_FD int lower = -1;

	/* The lower tree, and root as the upper one of an overlay, as work in a container would leave it. */
	fresh();
	shell("cd %s && rm -rf lower && mkdir -p lower/same lower/touched lower/gonedir/x lower/opaque/sub lower/swap && cd lower && "
		"touch -d @5 same/f touched/f touched/g gone gonedir/x/y opaque/old opaque/kept swap/in mode fraction && echo", dir);
	shell("cd %s/root && mkdir -p same touched opaque new/sub swapped && touch -d @5 same/f opaque/kept mode && echo longer > touched/f && "
		"mknod gone c 0 0 && mknod gonedir c 0 0 && mknod never c 0 0 && touch opaque/new new/sub/f swap && "
		"chmod 600 mode && touch -d @5.25 fraction && mknod new/sub/w c 0 0", dir);
	mark("opaque", "trusted.overlay.opaque");
	lower = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(changes_upper(root, GRAPH_WHITEOUT_OVERLAY, lower, NULL, &upper, &err) == 0, "an upper tree: %s", err_text(&err));
	is_changes(&upper, "D/gone D/gonedir C/mode A/new A/new/sub A/new/sub/f C/opaque A/opaque/new D/opaque/old D/opaque/sub C/swap A/swapped C/touched C/touched/f",
		"its changes");
	is_int(changes_size(&upper, root), 7, "their size");

	/* The same end state as a whole tree must give the same list. */
	shell("cd %s && rm -rf root/* && cp -a lower/. root/ && cd root && rm -rf gone gonedir opaque/old opaque/sub swap && echo longer > touched/f && "
		"mkdir -p new/sub swapped && touch opaque/new new/sub/f swap && chmod 600 mode", dir);
	ok(changes_compare(root, lower, NULL, &whole, &err) == 0, "whole trees: %s", err_text(&err));
	is_changes(&whole, "D/gone D/gonedir C/mode A/new A/new/sub A/new/sub/f C/opaque A/opaque/new D/opaque/old D/opaque/sub C/swap A/swapped C/touched C/touched/f",
		"the same changes");
	shell("cd %s && rm -rf lower/opaque lower/swap lower/same lower/touched", dir);
	ok(changes_compare(lower, -1, NULL, &all, &err) == 0, "against nothing");
	is_changes(&all, "A/fraction A/gone A/gonedir A/gonedir/x A/gonedir/x/y A/mode", "all is new");
}

/* Folders of one name in each other, from root; the innermost. */
static int nested(const char *name, int levels)
{
	int at = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (levels--) {
		int below = mkdirat(at, name, 0700) == 0 ? openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

		close(at);
		at = below;
	}
	return at;
}

/* A container chooses names, depth and number of its files: what is kept of them is bounded. */
static void test_changes_bounded(void)
{
	OWN_CHANGES struct changes many = { 0 }, deep = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	char name[251] = { 0 };
	OWN_FD int at = -1;

	fresh();
	memset(name, 'n', sizeof(name) - 1);
	at = nested(name, 15);
	ok(at >= 0 && changes_compare(root, -1, NULL, &deep, &err) == 0, "names of 3,765 bytes: %s", err_text(&err));
	is_int(deep.len, 15, "all of them");
	for (int i = 0; i < 34000; i++) {
		snprintf(name, sizeof(name), "%0250d", i);
		mknodat(at, name, S_IFREG | 0600, 0);
	}
	ok(changes_compare(root, -1, NULL, &many, &err) < 0 && strstr(err_text(&err), "too many changes"), "34,000 of 4,016 bytes: %s", err_text(&err));
	ok(many.len > 30000 && many.len < 33800, "no more than 128 MiB were kept: %zu", many.len);
	err_done(&err);
	fresh();
	close(at);
	at = nested(name, 18);
	changes_done(&deep);
	ok(at >= 0 && changes_compare(root, -1, NULL, &deep, &err) < 0 && strstr(err_text(&err), "too deeply"), "a path of 4,518 bytes is too long: %.40s", err_text(&err));
	fresh();
}

static int extract_at_most(uint64_t max, struct err *err)
{
	struct untar_opts opts = { .flags = UNTAR_LAYER, .whiteout = GRAPH_WHITEOUT_OVERLAY, .entries_max = max };
	struct mem_reader in;
	OWN_TAR_READER struct tar_reader *r = NULL;

	mem_reader_init(&in, archive.data, archive.size);
	r = tar_reader_new(&in.reader, NULL);
	return untar(root, r, &opts, NULL, err);
}

/* Folders made on the way count as members do: few bytes of archive must not make millions of them. */
static void test_counts(void)
{
	OWN_ERR struct err err = ERR_INIT;

	fresh();
	add(TAR_FILE, "a/b/c/d/f", "x");
	add(TAR_FILE, "a/b/c/d/g", "x");
	tar_write_end(&writer, NULL);
	ok(extract_at_most(5, &err) < 0 && strstr(err_text(&err), "more than 5 entries"), "too many members: %s", err_text(&err));
	fresh();
	add(TAR_FILE, "a/b/c/d/f", "x");
	add(TAR_FILE, "a/b/c/d/g", "x");
	tar_write_end(&writer, NULL);
	ok(extract_at_most(6, &err) == 0, "just as many as may be");
}

/* Members go below a folder of the root, and links on the way lead where the root's own processes would come. */
static void test_base(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf text = { 0 };
	char deep[TAR_NAME_MAX];
	struct stat st;

	fresh();
	shell("mkdir -p %s/root/data %s/root/tmp %s/root/real && ln -s /data %s/root/tmp/link && ln -s real %s/root/alias", dir, dir, dir, dir, dir);
	base = "tmp";
	add(TAR_DIR, ".", NULL);
	add(TAR_FILE, "link/f", "in");
	add(TAR_FILE, "new/g", "in");
	add(TAR_HARDLINK, "h", "new/g");
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) == 0, "below a folder: %s", err_text(&err));
	ok(fs_beneath_read(root, "data/f", 10, &text, &err) == 0 && streq(text.data, "in"), "an absolute link leads from the root on");
	ok(fstatat(root, "tmp/h", &st, 0) == 0 && st.st_nlink == 2, "hard links are below it, too");
	ok(fstatat(root, "tmp", &st, 0) == 0 && st.st_uid == 1001 && fstatat(root, ".", &st, 0) == 0 && st.st_uid == 0, "the root's member is that folder");
	fresh();
	shell("mkdir -p %s/root/real && ln -s real %s/root/alias", dir, dir);
	base = "alias";
	add(TAR_FILE, "f", "in");
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) == 0 && fstatat(root, "real/f", &st, 0) == 0, "by way of a link: %s", err_text(&err));
	fresh();
	shell("mkdir %s/root/tmp", dir);
	base = "tmp";
	add(TAR_FILE, "../f", "out");
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) < 0 && fstatat(root, "f", &st, 0) < 0 &&
		streq(err_text(&err), "\"../f\" is outside of \"/tmp\""), "not above it: %s", err_text(&err));
	fresh();
	shell("mkdir -p %s/root/tmp/sub", dir);
	add(TAR_FILE, "sub", "x");
	ok(extract(UNTAR_KEEP_TYPES, GRAPH_WHITEOUT_DELETE, NULL, &err) < 0 &&
		streq(err_text(&err), "cannot overwrite directory \"/tmp/sub\" with non-directory \"/tmp\""), "types are kept: %s", err_text(&err));
	fresh();
	shell("mkdir %s/root/tmp", dir);
	owner = &(struct untar_owner){ 7, 8 };
	add(TAR_FILE, "f", "x");
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) == 0 && fstatat(root, "tmp/f", &st, 0) == 0 && st.st_uid == 7 && st.st_gid == 8,
		"with one owner");
	owner = NULL;
	fresh();
	shell("mkdir %s/root/tmp", dir);
	memset(deep, 'd', sizeof(deep) - 1);
	for (size_t i = 100; i < sizeof(deep) - 1; i += 100)
		deep[i] = '/';
	deep[sizeof(deep) - 1] = '\0';
	add(TAR_FILE, deep, "x");
	ok(extract(0, GRAPH_WHITEOUT_DELETE, NULL, &err) < 0, "a name that is too long with it: %s", err_text(&err));
	base = NULL;
	canary("folders below the root");
}

int main(void)
{
	umask(022);
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	if (geteuid() != 0) {
		skip("extraction", "needs root");
		return tap_done();
	}
	BUG_ON(!mkdtemp(dir));
	test_hostile();
	test_replaced();
	test_whiteouts();
	test_marks();
	test_metadata();
	test_packtar();
	test_holes();
	test_changes();
	test_changes_bounded();
	test_counts();
	test_base();
	fd_close(&root);
	buf_done(&archive);
	shell("rm -rf %s", dir);
	return tap_done();
}
