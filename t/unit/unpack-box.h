/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the tests of unpacking in a process of its own: an archive, compressed or not, a place for it, and the process at work. */
#ifndef T_UNPACK_BOX_H
#define T_UNPACK_BOX_H

#include "image/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <bzlib.h>
#include <lzma.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/sanitized.h"
#include "base/str.h"
#include "base/tar.h"
#include "image/inflate.h"
#include "image/tarsplit.h"
#include "image/unpack-wire.h"
#include "image/untar.h"
#include "tap.h"

static char dir[] = "/tmp/test-unpack-XXXXXX";
static char *program;
static struct spawner *sp;
static struct buf archive; /* a layer of everything */

/* VFS_CAP_REVISION_2 | effective, cap_net_raw */
static const unsigned char file_cap[20] = { 1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

static void shell(const char *fmt, ...)
{
	OWN_FREE char *cmd = NULL;
	va_list ap;

	va_start(ap, fmt);
	cmd = xvasprintf(fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		printf("# failed: %s\n", cmd);
}

static void add(struct tar_writer *w, enum tar_type type, const char *name, const char *link, const void *data, size_t size,
	const struct tar_xattr *x)
{
	struct tar_entry e = { .type = type, .name = name, .link = link ? link : "", .uname = "", .gname = "", .mode = 0751, .uid = 1001,
		.gid = 1002, .mtime = { .tv_sec = 1600000000 }, .atime = { .tv_nsec = UTIME_OMIT }, .size = (int64_t)size, .xattrs = x,
		.xattrs_len = x ? 1 : 0 };

	tar_write_header(w, &e, NULL);
	if (size)
		tar_write_data(w, data, size, NULL);
}

static void make_archive(void)
{
	const struct tar_xattr cap = { "security.capability", (const char *)file_cap, sizeof(file_cap) },
			       redirect = { "trusted.overlay.redirect", "/x", 2 };
	OWN_FREE char *big = xcalloc(1, 3 << 20);
	struct buf_writer out;
	struct tar_writer w;

	for (size_t i = 0; i < 3 << 20; i++)
		big[i] = (char)(i * i >> 7);
	buf_writer_init(&out, &archive);
	tar_writer_init(&w, &out.writer);
	add(&w, TAR_DIR, "d/", NULL, NULL, 0, NULL);
	add(&w, TAR_FILE, "d/.wh..wh..opq", NULL, NULL, 0, NULL);
	add(&w, TAR_FILE, "d/.wh.gone", NULL, NULL, 0, NULL);
	add(&w, TAR_FILE, "d/big", NULL, big, 3 << 20, NULL);
	add(&w, TAR_FILE, "ping", NULL, "ping\n", 5, &cap);
	add(&w, TAR_FILE, "plain", NULL, "x", 1, &redirect);
	add(&w, TAR_SYMLINK, "l", "/etc/passwd", NULL, 0, NULL);
	add(&w, TAR_HARDLINK, "h", "ping", NULL, 0, NULL);
	add(&w, TAR_FIFO, "fifo", NULL, NULL, 0, NULL);
	add(&w, TAR_CHARDEV, "dev", NULL, NULL, 0, NULL);
	tar_write_end(&w, NULL);
}

/* A stream of data, at most a chunk at a time, which calls do_at once when the first half is out. */
struct source {
	struct reader reader;
	const char *data;
	size_t size, pos;
	void (*do_at)(struct source *s);
	bool done, fail;
	int fd;
};

static ssize_t source_read(struct reader *r, void *data, size_t size, struct err *err)
{
	struct source *s = (struct source *)r;

	if (s->pos >= s->size / 2 && !s->done) {
		s->done = true;
		if (s->do_at)
			s->do_at(s);
		if (s->fail)
			return err_set(err, ERR_UNAVAILABLE, "the stream broke");
	}
	if (size > 4096)
		size = 4096;
	if (size > s->size - s->pos)
		size = s->size - s->pos;
	memcpy(data, s->data + s->pos, size);
	s->pos += size;
	return (ssize_t)size;
}

__attribute__((unused)) static struct source source_of(const struct buf *b, void (*do_at)(struct source *))
{
	return (struct source){ .reader = { source_read, NULL }, .data = b->data, .size = b->size, .do_at = do_at, .fd = -1 };
}

static uint64_t status_of(pid_t pid, const char *key, int base)
{
	OWN_FREE char *path = xasprintf("/proc/%d/status", pid);
	OWN_BUF struct buf b = { 0 };
	const char *at;

	if (fs_read(AT_FDCWD, path, 65536, &b, NULL) < 0 || !(at = strstr(b.data, key)))
		return UINT64_MAX;
	return strtoull(at + strlen(key), NULL, base);
}

/* The process at work: the grandchild of that name. 0: none. */
static pid_t find_worker(void)
{
	OWN_DIR DIR *d = opendir("/proc");
	struct dirent *e;

	while ((e = readdir(d))) {
		pid_t pid = (pid_t)atoi(e->d_name);
		OWN_FREE char *path = xasprintf("/proc/%d/comm", pid);
		OWN_BUF struct buf b = { 0 };

		if (pid > 0 && fs_read(AT_FDCWD, path, 100, &b, NULL) == 0 && streq(b.data, "dockerd-untar\n") &&
			status_of((pid_t)status_of(pid, "\nPPid:", 10), "\nPPid:", 10) == (uint64_t)getpid())
			return pid;
	}
	return 0;
}

/* The same once it is confined. */
__attribute__((unused)) static pid_t wait_worker(void)
{
	for (int i = 0; i < 2000; i++) {
		pid_t pid = find_worker();

		if (pid && status_of(pid, "\nSeccomp:", 10) == 2)
			return pid;
		usleep(10000);
	}
	return 0;
}

__attribute__((unused)) static bool all_gone(void)
{
	for (int i = 0; i < 2000 && find_worker(); i++)
		usleep(10000);
	return !find_worker();
}

/* A folder of its own: root and the file of the tar-split. */
struct place { struct graph_tree tree; int split; };

static struct place place_new(enum graph_whiteout style)
{
	OWN_FREE char *root = xasprintf("%s/root", dir), *split = xasprintf("%s/split", dir);

	shell("rm -rf %s %s && mkdir %s", root, split, root);
	return (struct place){ { .fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .whiteout = style, .parent_fd = -1 },
		open(split, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) };
}

static void place_done(struct place *p)
{
	close(p->tree.fd);
	close(p->split);
}

__attribute__((unused)) static int unpack(const struct buf *b, void (*do_at)(struct source *), const struct cancel *c, char digest[DIGEST_TEXT], int64_t *size,
	struct err *err)
{
	CLEANUP(place_done) struct place p = place_new(GRAPH_WHITEOUT_OVERLAY);
	struct source s = source_of(b, do_at);

	return unpack_layer(&s.reader, &p.tree, p.split, c, digest, size, err);
}

__attribute__((unused)) static void compress(enum inflate_kind kind, struct buf *ret)
{
	if (kind == INFLATE_GZIP) {
		struct buf_writer out;
		struct gzip_writer *gz;

		buf_writer_init(&out, ret);
		gz = gzip_writer_new(&out.writer);
		gzip_writer_sink(gz)->write(gzip_writer_sink(gz), archive.data, archive.size, NULL);
		gzip_writer_end(gz, NULL);
		gzip_writer_free(gz);
	} else if (kind == INFLATE_ZSTD) {
		size_t room = ZSTD_compressBound(archive.size);

		ret->size = ZSTD_compress(buf_reserve(ret, room), room, archive.data, archive.size, 1);
	} else if (kind == INFLATE_BZIP2) {
		unsigned size = (unsigned)archive.size + 65536;

		BZ2_bzBuffToBuffCompress(buf_reserve(ret, size), &size, archive.data, (unsigned)archive.size, 1, 0, 0);
		ret->size = size;
	} else if (kind == INFLATE_XZ) {
		size_t room = lzma_stream_buffer_bound(archive.size);

		lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, (uint8_t *)archive.data, archive.size, (uint8_t *)buf_reserve(ret, room), &ret->size, room);
	} else {
		buf_add(ret, archive.data, archive.size);
	}
}

__attribute__((unused)) static void kill_worker(struct source *s)
{
	kill(wait_worker(), SIGKILL);
}

/* False: this machine cannot. */
static bool box_open(const char *unpacker)
{
	const char *build = getenv("top_builddir");
	OWN_ERR struct err err = ERR_INIT;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return false;
	}
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	program = unpacker ? xstrdup(unpacker) : xasprintf("%s/dockerd-untar", build ? build : ".");
	sp = spawner_start(&err);
	ok(sp && mkdtemp(dir) && unpack_setup(sp, program, &err) == 0, "set up: %s", err_text(&err));
	make_archive();
	return true;
}

static int box_close(void)
{
	unpack_done();
	spawner_stop(sp);
	shell("rm -rf %s", dir);
	buf_done(&archive);
	free(program);
	return tap_done();
}

#endif
