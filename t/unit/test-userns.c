/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Id maps, the files they come from, and owners in archives on the way through them. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/filecap.h"
#include "base/fs.h"
#include "base/idmap.h"
#include "base/spawner.h"
#include "base/str.h"
#include "base/subid.h"
#include "image/packtar.h"
#include "image/untar.h"
#include "remap.h"
#include "tap.h"

static char *maps_text(const struct idmap_list *l)
{
	OWN_BUF struct buf b = { 0 };

	idmap_kernel(l, &b);
	return xstrndup(b.data ? b.data : "", b.size);
}

static void test_maps(void)
{
	OWN_IDMAPS struct idmaps m = { 0 }, again = { 0 }, other = { 0 }, joined = { 0 }, turned = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *word = NULL, *text = NULL;
	uint32_t uid, gid;

	idmap_add(&m.uids, 0, 1000, 10);
	idmap_add(&m.uids, 10, 5000, 5);
	idmap_add(&m.gids, 0, 2000, 10);
	is_int(idmaps_check(&m, &err), 0, "two ranges and one: %s", err_text(&err));
	ok(idmap_out(&m.uids, 9, &uid) && uid == 1009, "the last of the first");
	ok(idmap_out(&m.uids, 10, &uid) && uid == 5000, "the first of the second");
	ok(!idmap_out(&m.uids, 15, &uid), "none behind it");
	ok(idmap_in(&m.uids, 5004, &uid) && uid == 14 && !idmap_in(&m.uids, 5005, &uid) && !idmap_in(&m.uids, 999, &uid), "and back");
	is_int(idmap_extent(&m.uids), 15, "without a gap up to here");
	is_int(idmaps_root_uid(&m), 1000, "its root");
	is_int(idmaps_root_gid(&m), 2000, "and its group");
	uid = 12, gid = 3;
	ok(idmaps_owner_out(&m, &uid, &gid, &err) == 0 && uid == 5002 && gid == 2003, "an owner out");
	idmaps_owner_in(&m, &uid, &gid);
	ok(uid == 12 && gid == 3, "and in");
	uid = 1, gid = 10;
	ok(idmaps_owner_out(&m, &uid, &gid, &err) < 0 && streq(err.msg, "Container ID 10 cannot be mapped to a host ID"), "a group that is not mapped: %s", err_text(&err));
	err_done(&err);
	uid = 15, gid = 1;
	ok(idmaps_owner_out(&m, &uid, &gid, &err) < 0 && strstr(err.msg, "ID 15 "), "a user that is not mapped");
	err_done(&err);
	uid = 0, gid = 0;
	idmaps_owner_in(&m, &uid, &gid);
	ok(uid == IDMAP_OVERFLOW && gid == IDMAP_OVERFLOW, "the host's root is nobody inside");
	uid = 7, gid = 8;
	ok(idmaps_owner_out(NULL, &uid, &gid, &err) == 0 && uid == 7 && gid == 8 && idmaps_root_uid(NULL) == 0, "without maps all stay");

	word = idmaps_format(&m);
	is_str(word, "0-1000-10,10-5000-5/0-2000-10", "as a word");
	ok(idmaps_parse(word, &again, &err) == 0 && idmaps_equal(&m, &again), "and from it");
	ok(!idmaps_equal(&m, NULL) && idmaps_equal(NULL, &other), "equal or not");
	text = maps_text(&m.uids);
	is_str(text, "0 1000 10\n10 5000 5\n", "for the kernel");

	idmap_add(&other.uids, 5002, 90000, 100);
	idmap_add(&other.gids, 1990, 80000, 15);
	idmaps_join(&m, &other, &joined);
	ok(joined.uids.len == 1 && joined.uids.v[0].inside == 12 && joined.uids.v[0].outside == 90000 && joined.uids.v[0].count == 3, "one map behind another");
	ok(joined.gids.len == 1 && joined.gids.v[0].inside == 0 && joined.gids.v[0].outside == 80010 && joined.gids.v[0].count == 5, "of groups, too");
	idmaps_invert(&m, &turned);
	ok(idmap_out(&turned.uids, 5004, &uid) && uid == 14, "the other way round");
}

static void refused_maps(const char *word, const char *why)
{
	OWN_IDMAPS struct idmaps m = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(idmaps_parse(word, &m, &err) < 0 && strstr(err.msg, why), "refused: \"%s\": %s", word, err_text(&err));
	ok(!m.uids.v && !m.gids.v, "and nothing is left");
}

static void test_bad_maps(void)
{
	refused_maps("", "no id maps");
	refused_maps("0-1-1", "no id maps");
	refused_maps("0-1/0-1-1", "no id maps");
	refused_maps("0-1-x/0-1-1", "no id maps");
	refused_maps("0-1-4294967296/0-1-1", "no id maps");
	refused_maps("0-1-1/", "are not");
	refused_maps("0-1-0/0-1-1", "empty or does not end");
	refused_maps("4294967295-1-2/0-1-1", "empty or does not end");
	refused_maps("0-4294967290-6/0-1-1", "empty or does not end");
	refused_maps("0-10-5,4-100-5/0-1-1", "overlap");
	refused_maps("0-10-5,5-14-5/0-1-1", "overlap");
	refused_maps("0-1-1/0-10-5,5-6-5", "overlap");
}

static void parsed(const char *file, const char *want)
{
	OWN_IDMAPS struct idmaps m = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *text = NULL;

	ok(subid_parse(file, strlen(file), "/etc/subuid", "joe", 1234, &m.uids, &err) == 0, "parses: %s", err_text(&err));
	text = maps_text(&m.uids);
	is_str(text, want, "ranges of \"%.30s...\"", file);
}

static void not_parsed(const char *file, const char *want)
{
	OWN_IDMAPS struct idmaps m = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(subid_parse(file, strlen(file), "/etc/subuid", "joe", 1234, &m.uids, &err) < 0, "refused: %.40s", file);
	is_str(err_text(&err), want, "in Docker's words");
}

static void test_files(void)
{
	struct remap r;
	OWN_ERR struct err err = ERR_INIT;

	parsed("", "");
	parsed("ann:1:2\n\n# joe:1:2\n", "");
	parsed("joe:100000:65536", "0 100000 65536\n");
	parsed("joe:300:10\njoe:100:10\n", "0 300 10\n10 100 10\n");
	parsed("joe:300:10\n1234:100:5\n  joe:200:7\r\n", "0 100 5\n5 300 10\n15 200 7\n");
	parsed("joes:300:10\n12345:100:5\njo:1:1\n", "");
	not_parsed("joe:1\n", "Cannot parse subuid/gid information: Format not correct for /etc/subuid file");
	not_parsed("ann:1:2:3\njoe:1:2\n", "Cannot parse subuid/gid information: Format not correct for /etc/subuid file");
	not_parsed("joe:x:2\n", "String to int conversion failed during subuid/gid parsing of /etc/subuid: strconv.Atoi: parsing \"x\": invalid syntax");
	not_parsed("joe:1:4294967296\n", "String to int conversion failed during subuid/gid parsing of /etc/subuid: strconv.Atoi: parsing \"4294967296\": value out of range");
	not_parsed("joe:1:4000000000\njoe:2:4000000000\n", "/etc/subuid gives \"joe\" more ids than there are");
	ok(remap_setup("", true, &r, &err) == 0 && !r.on, "off");
	ok(remap_setup("a:b:c", true, &r, &err) < 0 && streq(err.msg, "Invalid user/group specification in --userns-remap: \"a:b:c\""), "too much: %s", err_text(&err));
}

static void test_filecap(void)
{
	unsigned char two[20] = { 1, 0, 0, 2, 0xff, 1 };
	struct filecap three;

	ok(filecap_own(two, sizeof(two), 100000, &three) && three.magic == htole32(0x03000001) && three.root == htole32(100000), "revision 3 for a root");
	is_int(((unsigned char *)&three)[4], 0xff, "with what it gives");
	ok(!filecap_own(two, sizeof(two), 0, &three), "the host's root needs none");
	ok(!filecap_own(two, 19, 1, &three), "too short");
	ok(filecap_own(two, sizeof(two), 7, &three), "once more");
	is_int(filecap_plain(&three, sizeof(three)), 20, "back to revision 2");
	ok(memcmp(&three, two, sizeof(two)) == 0, "as it was");
	is_int(filecap_plain(two, sizeof(two)), 20, "that stays");
	ok(!filecap_own(&three, 24, 7, &three), "and what is no revision 2 of its size stays");
}

static int unpack(int root, const struct buf *archive, const struct idmaps *ids, struct err *err)
{
	struct untar_opts opts = { .ids = ids };
	struct mem_reader in;
	OWN_TAR_READER struct tar_reader *r = NULL;

	mem_reader_init(&in, archive->data, archive->size);
	r = tar_reader_new(&in.reader, NULL);
	return untar(root, r, &opts, NULL, err);
}

static void add(struct tar_writer *w, enum tar_type type, const char *name, uint32_t uid, uint32_t gid)
{
	struct tar_entry e = { .type = type, .name = name, .link = type == TAR_SYMLINK ? "x" : "", .mode = 0755, .uid = uid, .gid = gid,
		.mtime = { .tv_sec = 1600000000 }, .atime = { .tv_nsec = UTIME_OMIT } };

	tar_write_header(w, &e, NULL);
}

static void owned_by(int root, const char *name, uint32_t uid, uint32_t gid)
{
	struct stat st = { .st_uid = 1 };

	fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW);
	ok(st.st_uid == uid && st.st_gid == gid, "%s is %u:%u's (%u:%u)", name, uid, gid, st.st_uid, st.st_gid);
}

static void test_archives(const char *dir)
{
	OWN_IDMAPS struct idmaps m = { 0 };
	OWN_BUF struct buf archive = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct packtar_opts pack = { .ids = &m };
	struct buf_writer sink;
	struct tar_writer w;
	OWN_FREE char *again = xasprintf("%s/again", dir);

	idmap_add(&m.uids, 0, 100000, 1000);
	idmap_add(&m.gids, 0, 200000, 1000);
	buf_writer_init(&sink, &archive);
	tar_writer_init(&w, &sink.writer);
	add(&w, TAR_FILE, "in/deep/file", 5, 6);
	add(&w, TAR_DIR, "in/folder", 7, 8);
	add(&w, TAR_SYMLINK, "in/link", 0, 0);
	add(&w, TAR_FIFO, "in/fifo", 9, 9);
	tar_write_end(&w, NULL);
	is_int(unpack(root, &archive, &m, &err), 0, "unpacks: %s", err_text(&err));
	owned_by(root, "in/deep/file", 100005, 200006);
	owned_by(root, "in/deep", 100000, 200000);
	owned_by(root, "in/folder", 100007, 200008);
	owned_by(root, "in/link", 100000, 200000);
	owned_by(root, "in/fifo", 100009, 200009);

	buf_writer_init(&sink, &out);
	tar_writer_init(&w, &sink.writer);
	{
		OWN_FD int in = openat(root, "in", O_PATH | O_DIRECTORY | O_CLOEXEC);
		OWN_FD int stray = openat(in, "stray", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		ok(packtar(in, "", &pack, &w, &err) == 0 && tar_write_end(&w, &err) == 0, "packs: %s", err_text(&err));
		is_int(fs_mkdir(again, 0755, &err), 0, "a folder");
	}
	{
		OWN_FD int copy = open(again, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		is_int(unpack(copy, &out, NULL, &err), 0, "unpacks that: %s", err_text(&err));
		owned_by(copy, "deep/file", 5, 6);
		owned_by(copy, "folder", 7, 8);
		owned_by(copy, "link", 0, 0);
		owned_by(copy, "stray", IDMAP_OVERFLOW, IDMAP_OVERFLOW);
	}
	buf_reset(&archive);
	buf_writer_init(&sink, &archive);
	tar_writer_init(&w, &sink.writer);
	add(&w, TAR_FILE, "high", 1000, 0);
	tar_write_end(&w, NULL);
	ok(unpack(root, &archive, &m, &err) < 0 && err.class == ERR_INVALID && strstr(err.msg, "Container ID 1000 cannot be mapped to a host ID"),
		"an owner that is not mapped: %s", err_text(&err));
	ok(faccessat(root, "high", F_OK, 0) < 0, "is not written");
}

static void test_folders(const char *dir)
{
	OWN_FREE char *path = xasprintf("%s/made/for/it", dir), *above = xasprintf("%s/made", dir);
	OWN_FD int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int made = -1;

	is_int(fs_mkdir(above, 0755, &err), 0, "one that is there");
	is_int(fs_mkdirs_owned(path, 0755, (struct fs_owner){ 11, 12 }, &err), 0, "folders of an owner: %s", err_text(&err));
	owned_by(root, "made", 0, 0);
	owned_by(root, "made/for", 11, 12);
	owned_by(root, "made/for/it", 11, 12);
	is_int(fs_mkdirs_owned(path, 0755, (struct fs_owner){ 13, 14 }, &err), 0, "again");
	owned_by(root, "made/for/it", 11, 12);
	made = fs_beneath_mkdirs(root, "/made/new/below", 0755, (struct fs_owner){ 21, 22 });
	ok(made >= 0, "beneath a root, too");
	owned_by(root, "made/new", 21, 22);
	owned_by(root, "made/new/below", 21, 22);
}

static void test_namespace(struct spawner *sp)
{
	OWN_IDMAPS struct idmaps m = { 0 }, bad = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int fd = -1;
	struct stat a, b;

	idmap_add(&m.uids, 0, 100000, 1000);
	idmap_add(&m.gids, 0, 200000, 1000);
	fd = spawner_userns(sp, &m, &err);
	ok(fd >= 0, "a user namespace: %s", err_text(&err));
	ok(fstat(fd, &a) == 0 && stat("/proc/self/ns/user", &b) == 0 && a.st_ino != b.st_ino, "which is another");
	idmap_add(&bad.uids, 0, 1, 10);
	idmap_add(&bad.uids, 5, 100, 10);
	idmap_add(&bad.gids, 0, 1, 1);
	ok(spawner_userns(sp, &bad, &err) < 0 && strstr(err.msg, "make a user namespace"), "maps that the kernel does not take: %s", err_text(&err));
}

int main(void)
{
	struct spawner *sp = spawner_start(NULL);
	char dir[] = "/tmp/dkd-userns-XXXXXX";

	umask(0022);
	test_maps();
	test_bad_maps();
	test_files();
	test_filecap();
	if (geteuid() == 0 && mkdtemp(dir)) {
		test_archives(dir);
		test_folders(dir);
		test_namespace(sp);
		fs_remove_tree(AT_FDCWD, dir, NULL);
	} else {
		skip("owners and namespaces", "needs root");
	}
	spawner_stop(sp);
	return tap_done();
}
