/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layers of containers: their changes, as an archive and committed; held, damaged, removed under their users. */
#include "base/damage.h"
#include "layer-box.h"

static void emit(void *ctx, const char *path, int kind)
{
	strv_addf(ctx, "%c %s", "CAD"[kind], path);
}

static void is_changes(struct layer_store *s, const char *want, const char *what)
{
	OWN_STRV struct strv lines = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = NULL;

	ok(rwlayer_changes(s, "c1", emit, &lines, &err) == 0, "%s: changes: %s", what, err_text(&err));
	got = strv_join(&lines, ";");
	is_str(got ? got : "", want, "%s", what);
}

static void rw_create(struct layer_store *s, const char *chain)
{
	OWN_ERR struct err err = ERR_INIT;

	ok(rwlayer_create(s, "c1", chain, NULL, NULL, &err) == 0, "makes a container's layer: %s", err_text(&err));
	ok(rwlayer_create(s, "c1", chain, NULL, NULL, &err) < 0 && err.class == ERR_CONFLICT, "only once");
	ok(rwlayer_create(s, "../c2", chain, NULL, NULL, &err) < 0 && err.class == ERR_INVALID, "no path for an id");
	is_int(count("layers"), 3, "image, init and the writable layer");
	is_int(count("image/fake/layerdb/mounts/c1"), 3, "mount-id, init-id and parent");
	is_changes(s, "", "a fresh container");
}

static struct layer_store *rw_repair(struct layer_store *s, const char *chain)
{
	size_t before = damage_count(DAMAGE_REPAIRED);
	OWN_ERR struct err err = ERR_INIT;

	shell("rm %s/image/fake/layerdb/mounts/c1/init-id", dir);
	s = reopen(s);
	layer_settle(s);
	is_int(count("image/fake/layerdb/mounts/c1"), 3, "a file of it that is lost is put back");
	is_int(damage_count(DAMAGE_REPAIRED), before, "nobody hears of it: it may be of an interrupted create");
	rwlayer_tell(s, "c1");
	rwlayer_tell(s, "c1");
	rwlayer_tell(s, "nobody");
	is_int(damage_count(DAMAGE_REPAIRED), before + 1, "until it turns out to have a container");
	damage_forget("container", "c1");
	ok(layer_ref(s, chain, &err) == 0, "the image holds its layer again: %s", err_text(&err));
	return s;
}

/* What Docker puts where mounts come. */
static void rw_init(const char *root)
{
	OWN_FREE char *mtab = xasprintf("%s/etc/mtab", root);
	char link[32] = "";
	struct stat st;

	for (const char *const *p = (const char *const[]){ "dev/pts", "dev/shm", "proc", "sys", NULL }; *p; p++) {
		OWN_FREE char *path = xasprintf("%s/%s", root, *p);

		ok(lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0755, "folder %s", *p);
	}
	for (const char *const *p = (const char *const[]){ ".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console", NULL }; *p; p++) {
		OWN_FREE char *path = xasprintf("%s/%s", root, *p);

		ok(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && (st.st_mode & 07777) == 0755, "file %s", *p);
	}
	ok(readlink(mtab, link, sizeof(link) - 1) > 0 && streq(link, "/proc/mounts"), "link etc/mtab");
}

static void rw_work(struct layer_store *s, const char *root, struct buf *diff)
{
	OWN_FREE char *sock = xasprintf("%s/sock", root), *listing = NULL;
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv names = { 0 };
	OWN_TAR_READER struct tar_reader *r = NULL;
	const struct tar_entry *e;
	struct buf_writer out;
	struct mem_reader in;

	shell("cd %s && echo hello > etc/new && rm etc/empty && mkdir -p a/b && chmod 600 etc/variant && ln etc/new a/b/hard && rm lib", root);
	mknod(sock, S_IFSOCK | 0600, 0);
	is_changes(s, "A /a;A /a/b;A /a/b/hard;C /etc;D /etc/empty;A /etc/new;C /etc/same;C /etc/variant;D /lib;A /sock", "after work");
	is_int(rwlayer_size(s, "c1", NULL, &err), 6 + 4, "size: hard links once");
	buf_writer_init(&out, diff);
	ok(rwlayer_tar(s, "c1", &out.writer, 0, NULL, &err) == 0, "the diff as an archive: %s", err_text(&err));
	mem_reader_init(&in, diff->data, diff->size);
	r = tar_reader_new(&in.reader, NULL);
	while (tar_next(r, &e, &err) > 0)
		strv_addf(&names, "%c%s%s%s", e->type, e->name, *e->link ? ">" : "", e->link);
	listing = strv_join(&names, " ");
	is_str(listing, "5a/ 5a/b/ 0a/b/hard 5etc/ 0etc/.wh.empty 1etc/new>a/b/hard 0etc/same 1etc/variant>etc/same 0.wh.lib", "its members");
}

static void rw_commit(struct layer_store *s, const char *chain, const struct buf *diff)
{
	OWN_FREE char *next = NULL, *bad = xasprintf("%s/bad", dir);
	OWN_ERR struct err err = ERR_INIT;

	ok(reg(s, chain, diff->data, diff->size, NULL, &next, &err) == 0, "it registers on top: %s", err_text(&err));
	shell("cd %s/layers/$(cat %s/image/fake/layerdb/sha256/%s/cache-id) && test ! -e etc/empty -a ! -e lib -a -e usr/lib -a "
		"\"$(cat a/b/hard)\" = hello -a a/b/hard -ef etc/new || touch %s/bad", dir, dir, next + 7, dir);
	ok(!fs_exists(bad), "the commit has the container's files");
	layer_unref(s, next, NULL, NULL);
}

static void test_rwlayer(void)
{
	OWN_BUF struct buf tar = { 0 }, diff = { 0 };
	OWN_FREE char *chain = NULL, *root = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);

	make_tar(&tar, "five");
	reg(s, NULL, tar.data, tar.size, NULL, &chain, &err);
	rw_create(s, chain);
	s = rw_repair(s, chain);
	is_int(rwlayer_size(s, "c1", NULL, &err), 0, "a fresh container's size");
	root = rwlayer_mount(s, "c1", NULL, &err);
	rw_init(root);
	rw_work(s, root, &diff);
	rw_commit(s, chain, &diff);
	layer_unref(s, chain, NULL, NULL);
	ok(layer_exists(s, chain), "the container holds its image's layer");
	s = reopen(s);
	ok(rwlayer_exists(s, "c1"), "the container's layer is there after a restart");
	layer_sweep(s);
	ok(layer_exists(s, chain), "and still holds its image's layer");
	ok(rwlayer_remove(s, "c1", &err) == 0, "removes it: %s", err_text(&err));
	ok(rwlayer_remove(s, "c1", &err) == 0, "and again, which is fine");
	is_int(count("layers"), 0, "nothing stays");
	is_int(count("image/fake/layerdb/mounts"), 0, "no mount entry either");
	ok(rwlayer_mount(s, "c1", NULL, &err) == NULL && err.class == ERR_NOT_FOUND, "no mount of what is gone");
	layer_store_close(s);
}

/* Removed under its users, and a driver that fails. */
static void test_rwlayer_held(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);

	ok(rwlayer_create(s, "c1", NULL, NULL, NULL, &err) == 0, "another container's layer: %s", err_text(&err));
	free(rwlayer_mount(s, "c1", NULL, &err));
	free(rwlayer_mount(s, "c1", NULL, &err));
	ok(rwlayer_remove(s, "c1", &err) == 0 && !rwlayer_exists(s, "c1"), "removed while it is mounted");
	ok(rwlayer_mount(s, "c1", NULL, &err) == NULL && err.class == ERR_NOT_FOUND, "nobody mounts it then");
	rwlayer_unmount(s, "c1", NULL);
	ok(count("layers") > 0, "it stays as long as somebody has it mounted");
	ok(rwlayer_unmount(s, "c1", &err) == 0, "the last one unmounts it: %s", err_text(&err));
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "and it goes");
	ok(rwlayer_unmount(s, "c1", &err) < 0 && err.class == ERR_NOT_FOUND, "once");

	ok(rwlayer_create(s, "c1", NULL, NULL, NULL, &err) == 0 && rwlayer_hold(s, "c1", &err) == 0, "one that is held: %s", err_text(&err));
	ok(rwlayer_remove(s, "c1", &err) == 0 && count("layers") > 0, "stays, too");
	rwlayer_release(s, "c1");
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "until it is released");

	fake_fail_create = 2;
	ok(rwlayer_create(s, "c1", NULL, NULL, NULL, &err) < 0, "the driver fails half-way");
	is_int(count("layers") + count("image/fake/layerdb/tmp") + rwlayer_exists(s, "c1"), 0, "nothing stays of it");
	layer_store_close(s);
}

/* What the image has in the place of a mount goes; its links are not followed out of the root. */
static void test_placeholders(void)
{
	OWN_BUF struct buf tar = { 0 };
	OWN_FREE char *chain = NULL, *root = NULL, *canary = xasprintf("%s/canary", dir), *path = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);
	struct buf_writer out;
	struct tar_writer w;

	fs_mkdir(canary, 0755, NULL);
	buf_writer_init(&out, &tar);
	tar_writer_init(&w, &out.writer);
	add(&w, TAR_SYMLINK, "etc", canary, NULL);
	add(&w, TAR_SYMLINK, "dev", "../../canary", NULL);
	add(&w, TAR_FILE, "proc", NULL, "no folder");
	tar_write_end(&w, NULL);
	ok(reg(s, NULL, tar.data, tar.size, NULL, &chain, &err) == 0, "an image of links: %s", err_text(&err));
	ok(rwlayer_create(s, "c1", chain, NULL, NULL, &err) == 0, "a container from it: %s", err_text(&err));
	is_int(count("canary"), 0, "nothing outside was made");
	root = rwlayer_mount(s, "c1", NULL, &err);
	path = xasprintf("%s/etc/hosts", root);
	ok(fs_exists(path), "its own folders came instead");
	rwlayer_remove(s, "c1", NULL);
	layer_unref(s, chain, NULL, NULL);
	layer_store_close(s);
}

/* A container's layer whose files a power cut left empty. */
static void test_empty_mount(void)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);

	ok(rwlayer_create(s, id, NULL, NULL, NULL, &err) == 0, "a container's layer: %s", err_text(&err));
	ok(rwlayer_sync(s, id, &err) == 0, "synced: %s", err_text(&err));
	shell("for f in %s/image/fake/layerdb/mounts/*/*; do : > $f; done", dir);
	s = reopen(s);
	layer_settle(s);
	ok(rwlayer_exists(s, id), "it is there without what its files held");
	ok(rwlayer_remove(s, id, &err) == 0, "and goes: %s", err_text(&err));
	is_int(count("layers") + count("image/fake/layerdb/mounts") + count("image/fake/layerdb/tmp"), 0, "as a whole");
	layer_store_close(s);
}

int main(void)
{
	if (!box_open())
		return tap_done();
	test_empty_mount();
	fake_style = GRAPH_WHITEOUT_DELETE;
	test_rwlayer();
	test_rwlayer_held();
	test_placeholders();
	box_close();
	return tap_done();
}
