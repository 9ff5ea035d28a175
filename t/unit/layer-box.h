/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the tests of layers: a store on a graph driver of plain folders, and small archives to put into it. Between box_open() and box_close(). */
#ifndef T_LAYER_BOX_H
#define T_LAYER_BOX_H

#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/tar.h"
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

__attribute__((unused)) static int reg(struct layer_store *s, const char *parent, const void *data, size_t size, const char *want, char **chain, struct err *err)
{
	return reg_staged(s, parent, data, size, want, chain, err) < 0 ? -1 : layer_sync(s, err);
}

__attribute__((unused)) static void rebuilt(struct layer_store *s, const char *chain, const struct buf *want, const char *what)
{
	OWN_BUF struct buf got = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct buf_writer out;

	buf_writer_init(&out, &got);
	ok(layer_tar(s, chain, &out.writer, NULL, &err) == 0, "%s: its archive is put together: %s", what, err_text(&err));
	ok(got.size == want->size && memcmp(got.data, want->data, want->size) == 0, "%s: byte for byte", what);
}

/* false: not as root, and nothing can be tried. */
static bool box_open(void)
{
	umask(022);
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	if (geteuid() != 0) {
		skip("layer store", "needs root");
		return false;
	}
	BUG_ON(!mkdtemp(dir));
	fake_root = xasprintf("%s/layers", dir);
	fs_mkdir(fake_root, 0700, NULL);
	fake_style = GRAPH_WHITEOUT_OVERLAY;
	return true;
}

static void box_close(void)
{
	shell("rm -rf %s", dir);
}

#endif
