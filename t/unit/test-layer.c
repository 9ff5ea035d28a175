/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layer store on a graph driver of plain folders: register, rebuild, count, damage, restart, containers' layers. */
#include <sys/stat.h>
#include <sys/xattr.h>
#include <zstd.h>

#include "base/damage.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"
#include "base/tar.h"
#include "image/inflate.h"
#include "image/layer.h"

#include "fake-graph.h"
#include "tap.h"

static char dir[] = "/tmp/test-layer-XXXXXX";

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

static int count(const char *sub)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, sub);
	OWN_DIR DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += *e->d_name != '.';
	return n;
}

static struct layer_store *reopen(struct layer_store *s)
{
	OWN_ERR struct err err = ERR_INIT;

	if (s)
		layer_store_close(s);
	s = layer_store_open(NULL, dir, &err);
	ok(s != NULL, "the store opens: %s", err_text(&err));
	return s;
}

static void add(struct tar_writer *w, enum tar_type type, const char *name, const char *link, const char *data)
{
	struct tar_entry e = {
		.type = type, .name = name, .link = link ? link : "", .mode = type == TAR_DIR ? 0755 : 0640, .uid = 3, .gid = 4,
		.size = data ? (int64_t)strlen(data) : 0, .mtime = { .tv_sec = 1700000000 }, .atime = { .tv_nsec = UTIME_OMIT },
	};

	tar_write_header(w, &e, NULL);
	if (data && *data)
		tar_write_data(w, data, strlen(data), NULL);
}

/* A small image layer; the variant makes its digest. */
static void make_tar(struct buf *b, const char *variant)
{
	struct buf_writer out;
	struct tar_writer w;

	buf_writer_init(&out, b);
	tar_writer_init(&w, &out.writer);
	add(&w, TAR_DIR, "./", NULL, NULL);
	add(&w, TAR_DIR, "etc/", NULL, NULL);
	add(&w, TAR_FILE, "etc/variant", NULL, variant);
	add(&w, TAR_FILE, "etc/empty", NULL, "");
	add(&w, TAR_HARDLINK, "etc/same", "etc/variant", NULL);
	add(&w, TAR_SYMLINK, "lib", "usr/lib", NULL);
	add(&w, TAR_DIR, "usr/lib/", NULL, NULL);
	add(&w, TAR_FILE, "lib/through-link", NULL, "found through a link");
	add(&w, TAR_FILE, "caf\xc3\xa9<&>\xe2\x80\xa8", NULL, "utf-8 name");
	add(&w, TAR_FILE, "latin-\xe9", NULL, "a name that is not utf-8");
	tar_write_end(&w, NULL);
	buf_add(b, (char[7168]){ 0 }, 7168); /* GNU tar fills its records */
}

static int reg_staged(
	struct layer_store *s, const char *parent, const void *data, size_t size, const char *want, char **chain, struct err *err)
{
	struct mem_reader in;

	mem_reader_init(&in, data, size);
	return layer_register(s, parent, &in.reader, want, NULL, chain, NULL, err);
}

static int reg(struct layer_store *s, const char *parent, const void *data, size_t size, const char *want, char **chain, struct err *err)
{
	return reg_staged(s, parent, data, size, want, chain, err) < 0 ? -1 : layer_sync(s, err);
}

static void rebuilt(struct layer_store *s, const char *chain, const struct buf *want, const char *what)
{
	OWN_BUF struct buf got = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct buf_writer out;

	buf_writer_init(&out, &got);
	ok(layer_tar(s, chain, &out.writer, NULL, &err) == 0, "%s: its archive is put together: %s", what, err_text(&err));
	ok(got.size == want->size && memcmp(got.data, want->data, want->size) == 0, "%s: byte for byte", what);
}

static void test_register(void)
{
	OWN_BUF struct buf tar = { 0 }, gz = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *chain = NULL, *chain2 = NULL, *diffid = NULL, *again = NULL, *zchain = NULL, *zst = NULL;
	struct layer_store *s = reopen(NULL);
	struct buf_writer out;
	struct gzip_writer *g;
	char digest[DIGEST_TEXT];
	size_t zsize;

	make_tar(&tar, "one");
	digest_of(tar.data, tar.size, digest);
	ok(reg(s, NULL, tar.data, tar.size, digest, &chain, &err) == 0, "registers a plain archive: %s", err_text(&err));
	is_str(chain, digest, "the first chain id is the diff id");
	diffid = layer_diffid(s, chain);
	is_str(diffid, digest, "the diff id is the archive's digest");
	is_int(layer_size(s, chain), 3 + 7 + 20 + 10 + 24, "size: files once, links their text");
	rebuilt(s, chain, &tar, "plain");
	is_int(count("image/fake/layerdb/tmp"), 0, "nothing stays in tmp");

	buf_writer_init(&out, &gz);
	g = gzip_writer_new(&out.writer);
	gzip_writer_sink(g)->write(gzip_writer_sink(g), tar.data, tar.size, NULL);
	gzip_writer_end(g, NULL);
	gzip_writer_free(g);
	ok(reg(s, NULL, gz.data, gz.size, digest, &again, &err) == 0, "registers the same as gzip: %s", err_text(&err));
	is_str(again, chain, "it is the same layer");
	is_int(count("layers"), 1, "the driver has it once");
	ok(reg(s, chain, gz.data, gz.size, digest, &chain2, &err) == 0, "registers gzip on top: %s", err_text(&err));
	ok(!streq(chain2, chain), "another chain");
	rebuilt(s, chain2, &tar, "gzip");

	zsize = ZSTD_compressBound(tar.size);
	zst = xmalloc(zsize);
	zsize = ZSTD_compress(zst, zsize, tar.data, tar.size, 3);
	ok(reg(s, chain2, zst, zsize, digest, &zchain, &err) == 0, "registers zstd on top: %s", err_text(&err));
	rebuilt(s, zchain, &tar, "zstd");

	s = reopen(s);
	ok(layer_exists(s, zchain) && layer_exists(s, chain), "layers are there after a restart");
	is_int(layer_size(s, chain), 64, "with their size");
	rebuilt(s, zchain, &tar, "after a restart");
	ok(layer_ref(s, zchain, &err) == 0, "takes a reference");
	{
		OWN_STRV struct strv removed = { 0 };

		ok(layer_unref(s, zchain, &removed, &err) == 0, "drops the last reference: %s", err_text(&err));
		is_int(removed.len, 3, "the layer went with its parents, which nothing held");
		is_str(removed.v[0], zchain, "top first");
	}
	is_int(count("layers"), 0, "the driver's layers are gone");
	is_int(count("image/fake/layerdb/sha256"), 0, "and their entries");
	is_int(count("image/fake/layerdb/tmp"), 0, "and tmp is empty");
	ok(layer_ref(s, zchain, &err) < 0 && err.class == ERR_NOT_FOUND, "no reference on what is gone");
	layer_store_close(s);
}

static void refused(struct layer_store *s, const void *data, size_t size, const char *want, const char *text, const char *what)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *chain = NULL;
	int before = count("layers");

	ok(reg(s, NULL, data, size, want, &chain, &err) < 0, "%s is refused", what);
	ok(strstr(err_text(&err), text) != NULL, "%s: %s", what, err_text(&err));
	ok(err.class == ERR_INVALID, "%s: the client's fault", what);
	is_int(count("layers"), before, "%s: the driver keeps nothing", what);
	is_int(count("image/fake/layerdb/tmp"), 0, "%s: tmp keeps nothing", what);
}

static void test_refused(void)
{
	OWN_BUF struct buf tar = { 0 }, gz = { 0 };
	struct layer_store *s = reopen(NULL);
	struct buf_writer out;
	struct gzip_writer *g;

	make_tar(&tar, "two");
	refused(s, tar.data, tar.size, "sha256:0000000000000000000000000000000000000000000000000000000000000000", "invalid diffID: expected", "another digest");
	refused(s, tar.data, tar.size - 9000, NULL, "unexpected EOF", "a cut archive");
	buf_writer_init(&out, &gz);
	g = gzip_writer_new(&out.writer);
	gzip_writer_sink(g)->write(gzip_writer_sink(g), tar.data, tar.size, NULL);
	gzip_writer_end(g, NULL);
	gzip_writer_free(g);
	refused(s, gz.data, gz.size - 20, NULL, "unexpected EOF", "a cut gzip");
	gz.data[gz.size - 6] ^= 1;
	refused(s, gz.data, gz.size, NULL, "gzip: invalid checksum", "a gzip with a wrong checksum");
	gz.data[gz.size - 6] ^= 1;
	buf_adds(&gz, "garbage");
	refused(s, gz.data, gz.size, NULL, "garbage behind the compressed data", "a gzip with garbage behind it");
	refused(s, "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9, NULL, "zstd: Frame requires too much memory", "a zstd window of 2 GiB");
	refused(s, "\x28\xb5\x2f\xfd\x00\x00", 6, NULL, "unexpected EOF", "a cut zstd");
	refused(s, "\x1f\x8b\x08\x00garbage-garbage-garbage", 27, NULL, "gzip", "a gzip that is none");
	ok(layer_register(s, "sha256:1111111111111111111111111111111111111111111111111111111111111111", NULL, NULL, NULL, NULL, NULL, NULL) < 0,
		"a parent that is not there");
	layer_store_close(s);
}

static ssize_t inflated(const void *data, size_t size, struct buf *ret, enum inflate_kind *kind, struct err *err)
{
	struct mem_reader in;
	OWN_READER struct reader *r = NULL;

	buf_reset(ret);
	mem_reader_init(&in, data, size);
	r = inflate_new(&in.reader, kind, err);
	return r ? reader_slurp(r, 1 << 20, ret, err) : -1;
}

static void gzip(struct buf *to, const char *text)
{
	struct buf_writer out;
	struct gzip_writer *g;

	buf_writer_init(&out, to);
	g = gzip_writer_new(&out.writer);
	gzip_writer_sink(g)->write(gzip_writer_sink(g), text, strlen(text), NULL);
	gzip_writer_end(g, NULL);
	gzip_writer_free(g);
}

static void test_inflate(void)
{
	OWN_BUF struct buf gz = { 0 }, got = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	enum inflate_kind kind;
	char frame[200];
	size_t n;

	gzip(&gz, "one ");
	gzip(&gz, "two");
	ok(inflated(gz.data, gz.size, &got, &kind, &err) == 0 && kind == INFLATE_GZIP, "two gzip members: %s", err_text(&err));
	is_str(got.data, "one two", "make one stream");
	buf_add(&gz, (char[1000]){ 0 }, 1000);
	ok(inflated(gz.data, gz.size, &got, &kind, &err) == 0, "zeros may follow");
	n = ZSTD_compress(frame, 100, "one ", 4, 1);
	n += ZSTD_compress(frame + n, 100, "two", 3, 1);
	ok(inflated(frame, n, &got, &kind, &err) == 0 && kind == INFLATE_ZSTD, "two zstd frames: %s", err_text(&err));
	is_str(got.data, "one two", "make one stream");
	ok(inflated("plain", 5, &got, &kind, &err) == 0 && kind == INFLATE_PLAIN && streq(got.data, "plain"), "plain bytes pass");
	ok(inflated("", 0, &got, &kind, &err) == 0 && kind == INFLATE_PLAIN && got.size == 0, "nothing passes");
	ok(inflated("BZh9", 4, &got, &kind, &err) < 0 && err.class == ERR_NOT_IMPLEMENTED, "%s", err_text(&err));
	ok(inflated("\xfd" "7zXZ\0", 6, &got, &kind, &err) < 0 && err.class == ERR_NOT_IMPLEMENTED, "%s", err_text(&err));
}

static void put(const char *path, const char *text)
{
	OWN_FREE char *full = xasprintf("%s/%s", dir, path);
	OWN_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ok(fd >= 0 && fs_write_all(fd, text, strlen(text)) == 0, "writes %s", path);
}

static void test_restart(void)
{
	OWN_BUF struct buf tar = { 0 };
	OWN_FREE char *chain = NULL, *top = NULL, *path = NULL, *left = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);
	char id[ID_HEX + 1];

	make_tar(&tar, "three");
	reg(s, NULL, tar.data, tar.size, NULL, &chain, &err);
	reg(s, chain, tar.data, tar.size, NULL, &top, &err);
	is_int(count("layers"), 2, "two layers");

	/* A registration that a kill ended, and a removal. */
	id_random_hex(id, ID_HEX);
	left = xasprintf("%s/layers/%s", dir, id);
	fs_mkdir(left, 0700, NULL);
	shell("mkdir %s/image/fake/layerdb/tmp/write-set-1", dir);
	put("image/fake/layerdb/tmp/write-set-1/cache-id", id);
	s = reopen(s);
	ok(!fs_exists(left), "start-up takes back an unfinished layer");
	is_int(count("layers"), 2, "and nothing else");
	is_int(count("image/fake/layerdb/tmp"), 0, "tmp is swept");

	/* A staging folder that names a layer in use, or nonsense. */
	shell("mkdir %s/image/fake/layerdb/tmp/write-set-2 && cp %s/image/fake/layerdb/sha256/%s/cache-id %s/image/fake/layerdb/tmp/write-set-2",
		dir, dir, chain + 7, dir);
	shell("mkdir %s/image/fake/layerdb/tmp/write-set-3", dir);
	put("image/fake/layerdb/tmp/write-set-3/cache-id", "../../victim");
	shell("mkdir -p %s/victim", dir);
	s = reopen(s);
	is_int(count("layers"), 2, "a layer in use is never swept");
	is_int(count("victim") + (int)fs_exists(dir), 1, "an id that is none touches nothing");
	rebuilt(s, top, &tar, "after the sweep");

	/* Damage: each file in turn, empty. */
	for (int i = 0; i < 3; i++) {
		static const char *const files[] = { "diff", "size", "cache-id" };

		shell("cp -a %s/image/fake/layerdb/sha256/%s %s/saved", dir, chain + 7, dir);
		free(path);
		path = xasprintf("image/fake/layerdb/sha256/%s/%s", chain + 7, files[i]);
		put(path, "");
		s = reopen(s);
		ok(!layer_exists(s, chain), "an empty %s leaves the layer out", files[i]);
		ok(!layer_exists(s, top), "and what stands on it");
		is_int(count("layers"), 2, "but removes no data");
		free(STEAL(top));
		free(STEAL(chain));
		ok(reg(s, NULL, tar.data, tar.size, NULL, &chain, &err) == 0, "it can be loaded again: %s", err_text(&err));
		rebuilt(s, chain, &tar, "loaded again");
		ok(reg(s, chain, tar.data, tar.size, NULL, &top, &err) == 0, "and the one on top: %s", err_text(&err));
		is_int(count("layers"), i < 2 ? 2 : 3, "whole data is taken over (without a cache-id nobody knows which)");
		shell("rm -rf %s/saved", dir);
	}
	s = reopen(s);
	ok(layer_exists(s, top), "whole again after a restart");
	layer_sweep(s);
	ok(!layer_exists(s, chain) && !layer_exists(s, top), "the sweep removes what no image holds");
	layer_store_close(s);
	shell("rm -rf %s/layers/*", dir);
}

/* What is put right from what else there is. */
static void test_settle(void)
{
	static const char *const files[] = { "diff", "parent", "size", "cache-id" };
	OWN_FREE char *chain = NULL, *top = NULL, *base_diff = NULL, *top_diff = NULL;
	OWN_BUF struct buf tar = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);
	int64_t size;

	make_tar(&tar, "settle");
	reg(s, NULL, tar.data, tar.size, NULL, &chain, &err);
	reg(s, chain, tar.data, tar.size, NULL, &top, &err);
	base_diff = layer_diffid(s, chain);
	top_diff = layer_diffid(s, top);
	size = layer_size(s, top);
	for (int i = 0; i < 4; i++)
		for (int way = 0; way < 3; way++) {
			OWN_FREE char *path = xasprintf("image/fake/layerdb/sha256/%s/%s", top + 7, files[i]), *why = NULL, *held = NULL;
			size_t before = damage_count(DAMAGE_REPAIRED);

			if (way == 0)
				put(path, "");
			else
				shell("rm %s/%s", dir, path);
			if (way == 2)
				shell("mkdir -p %s/%s", dir, path);
			s = reopen(s);
			ok(!layer_exists(s, top), "%s damaged, way %d: the layer cannot be used", files[i], way);
			layer_teach(s, chain, NULL, base_diff);
			layer_teach(s, top, chain, top_diff);
			layer_settle(s);
			held = layer_claim(s, top, &why);
			ok(layer_exists(s, top) && held && !why, "it is put right: %s", why ? why : "");
			ok(damage_count(DAMAGE_REPAIRED) > before, "and that is noted");
			ok(layer_size(s, top) > 0 && layer_size(s, top) <= size, "its size");
			rebuilt(s, top, &tar, "its content");
			damage_forget("layer", top);
		}
	/* A base that is gone: what stands on it is listed, refused and removable. */
	shell("mv %s/image/fake/layerdb/sha256/%s %s/saved", dir, chain + 7, dir);
	s = reopen(s);
	{
		OWN_FREE char *why = NULL, *held = NULL;

		layer_settle(s);
		held = layer_claim(s, top, &why);
		ok(held && why, "a layer without its base is held, and said to be damaged: %s", why ? why : "");
		ok(layer_ref(s, top, &err) < 0 && strstr(err_text(&err), "damaged"), "but cannot be used: %s", err_text(&err));
		free(STEAL(chain));
		ok(reg(s, NULL, tar.data, tar.size, NULL, &chain, NULL) == 0 && layer_exists(s, top), "until its base comes back");
		ok(layer_unref(s, top, NULL, NULL) == 0 && !layer_exists(s, top), "and it can go");
		layer_unref(s, chain, NULL, NULL);
	}
	layer_store_close(s);
	shell("rm -rf %s/saved %s/layers/*", dir, dir);
}

static void test_tampered(void)
{
	OWN_BUF struct buf tar = { 0 }, got = { 0 };
	OWN_FREE char *chain = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct layer_store *s = reopen(NULL);
	struct buf_writer out;

	buf_writer_init(&out, &got);
	make_tar(&tar, "four");
	reg(s, NULL, tar.data, tar.size, NULL, &chain, &err);
	shell("printf FOUR > %s/layers/$(cat %s/image/fake/layerdb/sha256/%s/cache-id)/etc/variant", dir, dir, chain + 7);
	ok(layer_tar(s, chain, &out.writer, NULL, &err) < 0 && strstr(err_text(&err), "checksum failed for \"etc/variant\""),
		"changed content is seen: %s", err_text(&err));
	shell("cd %s/layers/$(cat %s/image/fake/layerdb/sha256/%s/cache-id)/etc && rm variant && ln -s /etc/passwd variant", dir, dir, chain + 7);
	ok(layer_tar(s, chain, &out.writer, NULL, &err) < 0, "a link instead of the file is not followed");
	layer_unref(s, chain, NULL, NULL);
	layer_store_close(s);
}

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

/* What was not synced yet is nothing yet: a crash leaves it in tmp, and nothing of it stays. */
static void test_sync(void)
{
	OWN_BUF struct buf tar = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *low = NULL, *high = NULL;
	struct layer_store *s = reopen(NULL);

	make_tar(&tar, "sync");
	ok(reg_staged(s, NULL, tar.data, tar.size, NULL, &low, &err) == 0, "registers: %s", err_text(&err));
	ok(reg_staged(s, low, tar.data, tar.size, NULL, &high, &err) == 0, "and on top: %s", err_text(&err));
	is_int(count("image/fake/layerdb/sha256"), 0, "nothing has its place yet");
	rebuilt(s, high, &tar, "staged");
	fake_fail_sync = 1;
	ok(layer_sync(s, &err) < 0, "a sync fails");
	err_done(&err);
	is_int(count("image/fake/layerdb/sha256"), 0, "still nothing has its place");
	ok(layer_sync(s, &err) == 0, "the next does not: %s", err_text(&err));
	is_int(count("image/fake/layerdb/sha256"), 2, "both have their places");
	is_int(count("image/fake/layerdb/tmp"), 0, "and are staged no more");
	rebuilt(s, high, &tar, "synced");
	fake_fail_sync = 1;
	ok(layer_sync(s, &err) == 0 && fake_fail_sync == 1, "with nothing new there is no sync");
	fake_fail_sync = 0;
	layer_unref(s, high, NULL, NULL);
	layer_unref(s, low, NULL, NULL);
	is_int(count("layers") + count("image/fake/layerdb/sha256"), 0, "they go");

	free(STEAL(low));
	ok(reg_staged(s, NULL, tar.data, tar.size, NULL, &low, &err) == 0, "registers again");
	shell("for f in %s/image/fake/layerdb/tmp/*/*; do : > $f; done", dir);
	s = reopen(s);
	ok(!layer_exists(s, low), "after a power cut it is not there");
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "nor is anything of it, though its files are empty");

	free(STEAL(high));
	ok(reg_staged(s, NULL, tar.data, tar.size, NULL, &high, &err) == 0, "registers again");
	layer_unref(s, high, NULL, NULL);
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "one that goes before it was synced leaves nothing");
	ok(layer_sync(s, &err) == 0, "and is forgotten");
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

static int fill(struct layer_draft *d, const struct buf *tar, struct err *err)
{
	struct mem_reader in;

	mem_reader_init(&in, tar->data, tar->size);
	return layer_draft_fill(d, &in.reader, NULL, NULL, err);
}

/* Nobody frees what a crash ends; kept, so that it is no leak. */
static struct layer_draft *volatile ended[2];

/* Two drafts on one another, the upper one filled first. */
static void test_drafts(void)
{
	OWN_BUF struct buf low = { 0 }, high = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *first = NULL, *second = NULL, *other = NULL, *want = NULL, *sum = NULL;
	struct layer_store *s = reopen(NULL);
	struct layer_draft *a, *b, *c;
	char digest[DIGEST_TEXT];

	make_tar(&low, "low");
	make_tar(&high, "high");
	a = layer_draft_new(s, NULL, NULL, &err);
	b = layer_draft_new(s, NULL, a, &err);
	ok(a && b && fill(b, &high, &err) == 0, "a draft on a draft is filled first: %s", err_text(&err));
	is_int(count("image/fake/layerdb/sha256"), 0, "neither is in the store");
	is_int(count("image/fake/layerdb/tmp"), 2, "both are noted, so that a crash leaves nothing");
	ok(fill(a, &low, &err) == 0 && layer_draft_commit(a, NULL, &first, &err) == 0, "the lower one goes in: %s", err_text(&err));
	layer_draft_free(a);
	ok(layer_draft_commit(b, first, &second, &err) == 0, "then the upper one: %s", err_text(&err));
	layer_draft_free(b);
	digest_of(high.data, high.size, digest);
	want = layer_chain_id(first, digest);
	is_str(second, want, "on top of it");
	ok(layer_sync(s, &err) == 0, "both are synced: %s", err_text(&err));
	rebuilt(s, second, &high, "the upper one");
	is_int(count("layers"), 2, "the driver has two layers");
	layer_unref(s, second, NULL, NULL);

	a = layer_draft_new(s, NULL, NULL, &err);
	b = layer_draft_new(s, NULL, a, &err);
	c = layer_draft_new(s, first, NULL, &err);
	ok(a && b && c && fill(a, &low, &err) == 0 && fill(b, &high, &err) == 0 && fill(c, &high, &err) == 0, "three drafts: %s", err_text(&err));
	ok(layer_draft_commit(a, NULL, &other, &err) == 0 && streq(other, first), "the layer of one was there already");
	layer_draft_free(a);
	is_int(layer_draft_commit(b, first, NULL, &err), 1, "what stands on the copy that went is to be made anew");
	layer_draft_free(b);
	ok(layer_draft_commit(c, first, &sum, &err) == 0 && streq(sum, second), "what stands on the store's own goes in: %s", err_text(&err));
	layer_draft_free(c);
	layer_unref(s, second, NULL, NULL);
	layer_unref(s, first, NULL, NULL);
	layer_unref(s, first, NULL, NULL);
	is_int(count("layers"), 0, "nothing is left");
	ok(!layer_exists(s, first), "with the last reference the layer goes");

	a = layer_draft_new(s, NULL, NULL, &err);
	b = layer_draft_new(s, NULL, a, &err);
	ok(fill(b, &low, NULL) == 0, "drafts that a crash ends");
	ended[0] = a;
	ended[1] = b;
	layer_store_close(s);
	s = reopen(NULL);
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "leave nothing behind");
	layer_store_close(s);
}

int main(void)
{
	OWN_FREE char *root = NULL;

	umask(022);
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	if (geteuid() != 0) {
		skip("layer store", "needs root");
		return tap_done();
	}
	BUG_ON(!mkdtemp(dir));
	root = xasprintf("%s/layers", dir);
	fake_root = root;
	fs_mkdir(root, 0700, NULL);
	fake_style = GRAPH_WHITEOUT_OVERLAY;
	test_inflate();
	test_register();
	test_refused();
	test_drafts();
	test_restart();
	test_settle();
	test_sync();
	test_empty_mount();
	test_tampered();
	fake_style = GRAPH_WHITEOUT_DELETE;
	test_register();
	test_refused();
	test_rwlayer();
	test_rwlayer_held();
	test_placeholders();
	shell("rm -rf %s", dir);
	return tap_done();
}
