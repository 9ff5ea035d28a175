/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layer store: register, rebuild, count, damage, restart. */
#include <zstd.h>

#include "base/damage.h"
#include "base/id.h"
#include "image/inflate.h"
#include "layer-box.h"

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

int main(void)
{
	if (!box_open())
		return tap_done();
	test_inflate();
	test_register();
	test_refused();
	test_restart();
	test_settle();
	test_tampered();
	fake_style = GRAPH_WHITEOUT_DELETE;
	test_register();
	test_refused();
	box_close();
	return tap_done();
}
