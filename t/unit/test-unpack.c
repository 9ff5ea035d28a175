/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unpacking in a process of its own: that it does what unpacking in place does, what it has given up while it works, how it
 * may end, and what the daemon does for one that lies. The liar is this very program under the name of the other.
 */
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

/* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD */
#define FIVE ((1ull << 0) | (1ull << 1) | (1ull << 3) | (1ull << 4) | (1ull << 27))

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

static struct source source_of(const struct buf *b, void (*do_at)(struct source *))
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
static pid_t wait_worker(void)
{
	for (int i = 0; i < 500; i++) {
		pid_t pid = find_worker();

		if (pid && status_of(pid, "\nSeccomp:", 10) == 2)
			return pid;
		usleep(10000);
	}
	return 0;
}

static bool all_gone(void)
{
	for (int i = 0; i < 200 && find_worker(); i++)
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

static int unpack(const struct buf *b, void (*do_at)(struct source *), const struct cancel *c, char digest[DIGEST_TEXT], int64_t *size,
	struct err *err)
{
	CLEANUP(place_done) struct place p = place_new(GRAPH_WHITEOUT_OVERLAY);
	struct source s = source_of(b, do_at);

	return unpack_layer(&s.reader, &p.tree, p.split, c, digest, size, err);
}

static void compress(enum inflate_kind kind, struct buf *ret)
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

static void check_tree(int root)
{
	char value[64];
	struct stat st;
	OWN_FD int ping = openat(root, "ping", O_RDONLY | O_CLOEXEC), d = openat(root, "d", O_RDONLY | O_CLOEXEC),
		   plain = openat(root, "plain", O_RDONLY | O_CLOEXEC);

	ok(fstatat(root, "d/big", &st, 0) == 0 && st.st_size == 3 << 20 && st.st_uid == 1001 && st.st_gid == 1002 && (st.st_mode & 07777) == 0751 &&
		st.st_mtime == 1600000000, "a file, its owner, mode and time");
	ok(fstatat(root, "d/gone", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0, "a whiteout");
	ok(fgetxattr(d, "trusted.overlay.opaque", value, sizeof(value)) == 1 && *value == 'y', "an opaque folder, marked by the daemon");
	ok(fgetxattr(ping, "security.capability", value, sizeof(value)) == 20 && memcmp(value, file_cap, 20) == 0, "a file's capabilities");
	ok(fgetxattr(plain, "trusted.overlay.redirect", value, sizeof(value)) < 0, "no overlay mark of the archive's own");
	ok(readlinkat(root, "l", value, sizeof(value)) == 11, "a link");
	ok(fstatat(root, "fifo", &st, 0) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0751 && st.st_uid == 1001, "a FIFO");
	ok(fstat(ping, &st) == 0 && st.st_nlink == 2, "a hard link");
}

static void test_kinds(void)
{
	static const char *const names[] = { "plain", "gzip", "zstd", "bzip2", "xz" };
	char want[DIGEST_TEXT];

	digest_of(archive.data, archive.size, want);
	for (int kind = INFLATE_PLAIN; kind <= INFLATE_XZ; kind++) {
		CLEANUP(place_done) struct place p = place_new(GRAPH_WHITEOUT_OVERLAY);
		OWN_BUF struct buf packed = { 0 }, again = { 0 };
		OWN_ERR struct err err = ERR_INIT;
		OWN_READER struct reader *json = NULL;
		char digest[DIGEST_TEXT] = "";
		struct buf_writer out;
		struct fd_reader split;
		struct source s;
		int64_t size = 0;

		compress((enum inflate_kind)kind, &packed);
		s = source_of(&packed, NULL);
		is_int(unpack_layer(&s.reader, &p.tree, p.split, NULL, digest, &size, &err), 0, "%s: unpacked: %s", names[kind], err_text(&err));
		is_str(digest, want, "%s: the digest of the plain bytes", names[kind]);
		is_int(size, (3 << 20) + 5 + 1 + 11, "%s: the size of what was written", names[kind]);
		check_tree(p.tree.fd);
		lseek(p.split, 0, SEEK_SET);
		fd_reader_init(&split, p.split);
		json = inflate_new(&split.reader, NULL, &err);
		buf_writer_init(&out, &again);
		ok(tarsplit_assemble(json, p.tree.fd, &out.writer, NULL, &err) == 0 && again.size == archive.size &&
			memcmp(again.data, archive.data, again.size) == 0, "%s: the archive comes together again: %s", names[kind], err_text(&err));
	}
	ok(all_gone(), "no process is left");
}

static void look_at_worker(struct source *s)
{
	pid_t pid = wait_worker();
	OWN_FREE char *root = xasprintf("/proc/%d/root", pid), *net = xasprintf("/proc/%d/ns/net", pid), *fds = xasprintf("/proc/%d/fd", pid),
		      *limits = xasprintf("/proc/%d/limits", pid), *devs = xasprintf("/proc/%d/net/dev", pid), *want = xasprintf("%s/root", dir);
	OWN_FREE char *oom = xasprintf("/proc/%d/oom_score_adj", pid);
	OWN_DIR DIR *d = opendir(fds);
	OWN_BUF struct buf text = { 0 };
	OWN_BUF struct buf b = { 0 };
	char to[256] = "", mine[256] = "";
	int n = 0;

	ok(pid > 0, "there is a process at work");
	is_int(status_of(pid, "\nSeccomp:", 10), 2, "its system calls are filtered");
	is_int(status_of(pid, "\nNoNewPrivs:", 10), 1, "it gains no privileges");
	is_int(status_of(pid, "\nCapEff:", 16), FIVE, "five capabilities are effective");
	is_int(status_of(pid, "\nCapPrm:", 16), FIVE, "and permitted");
	is_int(status_of(pid, "\nCapBnd:", 16) | status_of(pid, "\nCapInh:", 16) | status_of(pid, "\nCapAmb:", 16), 0, "nothing else is in reach");
	ok(readlink(root, to, sizeof(to) - 1) > 0, "it has a root");
	is_str(to, want, "which is the tree");
	memset(to, 0, sizeof(to));
	ok(readlink(net, to, sizeof(to) - 1) > 0 && readlink("/proc/self/ns/net", mine, sizeof(mine) - 1) > 0 && !streq(to, mine), "its network is not the host's");
	ok(fs_read(AT_FDCWD, devs, 65536, &text, NULL) == 0 && strstr(text.data, "lo:") && !strstr(strstr(text.data, "lo:") + 3, ":"), "and has nothing but lo, down");
	for (struct dirent *e; d && (e = readdir(d));) {
		memset(to, 0, sizeof(to));
		if (SANITIZED && streq(e->d_name, "2"))
			continue; /* a sanitizer's report */
		if (readlinkat(dirfd(d), e->d_name, to, sizeof(to) - 1) > 0 && *to == '/' && !str_has_prefix(to, dir) && !streq(to, "/dev/null"))
			n++;
	}
	ok(d && n == 0, "no descriptor leads out of the tree and the file of its tar-split");
	buf_reset(&text);
	ok(fs_read(AT_FDCWD, limits, 65536, &text, NULL) == 0 && strstr(text.data, "Max core file size        0 "), "no core file");
	buf_reset(&b);
	ok(fs_read(AT_FDCWD, oom, 100, &b, NULL) == 0 && streq(b.data, "500\n"), "it goes first when memory is short");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	ok(strstr(text.data, "Max address space         536870912 ") != NULL, "bounded memory");
#endif
}

static void test_confined(void)
{
	OWN_ERR struct err err = ERR_INIT;
	char digest[DIGEST_TEXT];
	int64_t size;

	is_int(unpack(&archive, look_at_worker, NULL, digest, &size, &err), 0, "and it does its work: %s", err_text(&err));
}

static void kill_worker(struct source *s)
{
	kill(wait_worker(), SIGKILL);
}

static void bad_call(struct source *s)
{
	kill(wait_worker(), SIGSYS);
}

static int stop_pipe[2];

static void stop(struct source *s)
{
	wait_worker();
	(void)!write(stop_pipe[1], "x", 1);
}

static void test_ends(void)
{
	OWN_ERR struct err killed = ERR_INIT, sys = ERR_INIT, cancelled = ERR_INIT, broke = ERR_INIT, cut = ERR_INIT, no = ERR_INIT;
	CLEANUP(place_done) struct place p = { .split = -1, .tree = { .fd = -1 } };
	const struct cancel c = { -1, (ok(pipe2(stop_pipe, O_CLOEXEC) == 0, "a token"), stop_pipe[0]) };
	OWN_FREE char *text = xasprintf("%s/text", dir);
	struct source s = source_of(&archive, NULL);
	char digest[DIGEST_TEXT];
	struct buf half = archive;
	int64_t size;

	ok(unpack(&archive, kill_worker, NULL, digest, &size, &killed) < 0, "one that is killed");
	is_str(err_text(&killed), "the process that unpacks was killed by signal 9 (Killed)", "is an error that says so");
	ok(all_gone(), "nothing is left of it");
	ok(unpack(&archive, bad_call, NULL, digest, &size, &sys) < 0 && strstr(err_text(&sys), "signal 31"), "so is a forbidden call: %s", err_text(&sys));
	ok(unpack(&archive, stop, &c, digest, &size, &cancelled) < 0 && cancelled.class == ERR_CANCELLED, "the token ends it");
	ok(!find_worker(), "before the caller goes on");
	s.fail = true;
	p = place_new(GRAPH_WHITEOUT_OVERLAY);
	ok(unpack_layer(&s.reader, &p.tree, p.split, NULL, digest, &size, &broke) < 0, "a stream that breaks");
	is_str(err_text(&broke), "the stream broke", "is what the caller hears");
	ok(!find_worker(), "and nobody works on");
	half.size = half.size / 2 + 100;
	ok(unpack(&half, NULL, NULL, digest, &size, &cut) < 0 && cut.class == ERR_INVALID, "an archive that is cut is the client's fault");
	is_str(err_text(&cut), "unexpected EOF", "in the words of the one who unpacks");
	shell("echo no program > %s && chmod 755 %s", text, text);
	unpack_done();
	ok(unpack_setup(sp, text, &no) == 0 && unpack(&archive, NULL, NULL, digest, &size, &no) < 0 && strstr(err_text(&no), "Exec format error"),
		"what cannot be started: %s", err_text(&no));
	unpack_done();
	err_done(&no);
	ok(unpack_setup(sp, "/nonexistent", &no) < 0 && strstr(err_text(&no), "the program /nonexistent is needed"), "what is not there: %s", err_text(&no));
	unpack_done();
	ok(unpack_setup(sp, program, &no) == 0, "the right one again");
	close(stop_pipe[0]);
	close(stop_pipe[1]);
}

static int slurp(const struct buf *packed, void (*do_at)(struct source *), struct buf *ret, struct err *err)
{
	struct source s = source_of(packed, do_at);
	OWN_READER struct reader *plain = unpack_plain(&s.reader, NULL, err);

	return plain ? reader_slurp(plain, 64 << 20, ret, err) : -1;
}

static void look_at_plain(struct source *s)
{
	pid_t pid = wait_worker();

	is_int(status_of(pid, "\nCapPrm:", 16) | status_of(pid, "\nCapEff:", 16) | status_of(pid, "\nCapBnd:", 16), 0, "what only decompresses has no capability");
	is_int(status_of(pid, "\nSeccomp:", 10), 2, "and filtered system calls");
}

static void no_worker(struct source *s)
{
	ok(!find_worker(), "what is plain takes no process");
}

/* Two streams and zeros behind them; then what is wrong with one. */
static void test_streams(enum inflate_kind kind, const char *name)
{
	OWN_BUF struct buf packed = { 0 }, twice = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	compress(kind, &packed);
	buf_add(&twice, packed.data, packed.size);
	buf_add(&twice, packed.data, packed.size);
	buf_add(&twice, (char[1000]){ 0 }, 1000);
	ok(slurp(&twice, NULL, &out, &err) == 0 && out.size == 2 * archive.size && memcmp(out.data + archive.size, archive.data, archive.size) == 0,
		"%s: two streams make one: %s", name, err_text(&err));
	twice.data[twice.size - 1] = 'x';
	buf_reset(&out);
	ok(slurp(&twice, NULL, &out, &err) < 0 && streq(err_text(&err), "garbage behind the compressed data"), "%s: %s", name, err_text(&err));
	packed.data[packed.size / 2] ^= 1;
	buf_reset(&out);
	ok(slurp(&packed, NULL, &out, &err) < 0 && err.class == ERR_INVALID, "%s: a wrong bit: %s", name, err_text(&err));
	packed.data[packed.size / 2] ^= 1;
	packed.size -= 9;
	buf_reset(&out);
	ok(slurp(&packed, NULL, &out, &err) < 0 && streq(err_text(&err), "unexpected EOF"), "%s: cut: %s", name, err_text(&err));
	packed.size = 6;
	buf_reset(&out);
	ok(slurp(&packed, NULL, &out, &err) < 0 && err.class == ERR_INVALID, "%s: its magic alone: %s", name, err_text(&err));
	ok(all_gone(), "%s: no process is left", name);
}

/* A window of 2^28 is refused before there is one; one of 2^27 is taken. */
static void test_xz_window(uint32_t size, bool fits)
{
	static const uint8_t text[] = "hello";
	lzma_options_lzma o;
	lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &o }, { LZMA_VLI_UNKNOWN, NULL } };
	OWN_BUF struct buf packed = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	lzma_lzma_preset(&o, 0);
	o.dict_size = 4096;
	is_int(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, text, 5, (uint8_t *)buf_reserve(&packed, 1000), &packed.size, 1000), LZMA_OK, "packs");
	/* the window's size: the byte behind LZMA2's id and 1 in the block's header, whose checksum is the last four of its twelve bytes */
	packed.data[12 + 6] = (char)((__builtin_ctz(size) - 12) * 2);
	uint32_t crc = lzma_crc32((uint8_t *)packed.data + 12, 8, 0);

	for (int i = 0; i < 4; i++)
		packed.data[20 + i] = (char)(crc >> (8 * i));
	if (fits)
		ok(slurp(&packed, NULL, &out, &err) == 0 && out.size == 5 && memcmp(out.data, "hello", 5) == 0, "xz: a window of %u: %s", size, err_text(&err));
	else
		ok(slurp(&packed, NULL, &out, &err) < 0 && streq(err_text(&err), "xz: needs too much memory"), "xz: a window of %u: %s", size, err_text(&err));
}

static void test_plain(void)
{
	OWN_BUF struct buf gz = { 0 }, zst = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct source s;
	struct reader *r;
	char few[10];

	compress(INFLATE_GZIP, &gz);
	compress(INFLATE_ZSTD, &zst);
	ok(slurp(&archive, no_worker, &out, &err) == 0 && out.size == archive.size && memcmp(out.data, archive.data, out.size) == 0, "plain comes through");
	buf_reset(&out);
	ok(slurp(&gz, look_at_plain, &out, &err) == 0 && out.size == archive.size && memcmp(out.data, archive.data, out.size) == 0, "gzip: %s", err_text(&err));
	buf_reset(&out);
	ok(slurp(&zst, NULL, &out, &err) == 0 && out.size == archive.size && memcmp(out.data, archive.data, out.size) == 0, "zstd: %s", err_text(&err));
	buf_reset(&out);
	ok(slurp(&gz, kill_worker, &out, &err) < 0 && strstr(err_text(&err), "killed by signal 9"), "killed: %s", err_text(&err));
	gz.data[gz.size - 6] ^= 1;
	buf_reset(&out);
	ok(slurp(&gz, NULL, &out, &err) < 0 && err.class == ERR_INVALID, "a wrong checksum: %s", err_text(&err));
	gz.size -= 9;
	buf_reset(&out);
	ok(slurp(&gz, NULL, &out, &err) < 0 && streq(err_text(&err), "unexpected EOF"), "cut: %s", err_text(&err));
	/* a frame of five raw bytes that asks for a window of 2^27, then of 2^28 */
	buf_reset(&out);
	buf_add(&out, "\x28\xb5\x2f\xfd\x00\x88\x29\x00\x00hello", 14);
	s = source_of(&out, NULL);
	s.done = true;
	r = unpack_plain(&s.reader, NULL, &err);
	ok(r && r->read(r, few, sizeof(few), &err) == 5 && memcmp(few, "hello", 5) == 0, "the largest window fits into the memory allowed: %s", err_text(&err));
	reader_close(r);
	out.data[5] = (char)0x90;
	s = source_of(&out, NULL);
	r = unpack_plain(&s.reader, NULL, &err);
	ok(r && r->read(r, few, sizeof(few), &err) < 0 && err.class == ERR_INVALID, "a larger one is refused: %s", err_text(&err));
	reader_close(r);
	s = source_of(&zst, NULL);
	r = unpack_plain(&s.reader, NULL, &err);
	ok(r && r->read(r, few, sizeof(few), &err) == sizeof(few), "the first bytes alone");
	reader_close(r);
	ok(!find_worker(), "a reader that is closed early leaves nobody");
}

/* The liar: what it does is the number behind "files". */
enum lie { NONSENSE = 100, REDIRECT, NO_FD, NO_NAME, EXIT_3, STAYS, CLASS, QUIET, OPAQUE_FILE, FOREIGN_FIFO, WARNS, TWO_FDS };

static void liar_say(uint32_t kind, const void *text, size_t size, int fd)
{
	struct unpack_msg m = { .kind = kind, .class = kind == UNPACK_FAILED ? ERR_INVALID : 0 };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[2] = { { &m, sizeof(m) }, { (void *)text, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (kind == 9999)
		m.kind = UNPACK_FAILED, m.class = 9999;
	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	(void)!sendmsg(UNPACK_FD_CONTROL, &msg, MSG_NOSIGNAL);
}

static void liar_xattr(const void *text, size_t size, int fd)
{
	char words[64];
	int32_t answer = -1;

	liar_say(UNPACK_XATTR, text, size, fd);
	(void)!recv(UNPACK_FD_CONTROL, &answer, sizeof(answer), 0);
	snprintf(words, sizeof(words), "answer %d", answer);
	liar_say(UNPACK_FAILED, words, strlen(words), -1);
}

/* A packet with more descriptors than the rules know. */
static void liar_say_two(int fd)
{
	struct unpack_msg m = { .kind = UNPACK_WARN };
	int fds[2] = { fd, fd };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(fds))];
	} control = { 0 };
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	(void)!sendmsg(UNPACK_FD_CONTROL, &msg, MSG_NOSIGNAL);
}

static int liar(int lie)
{
	char data[4096];
	int fd = openat(UNPACK_FD_OUT, "victim", O_RDONLY | O_CLOEXEC);

	while (lie != QUIET && read(UNPACK_FD_IN, data, sizeof(data)) > 0)
		;
	switch (lie) {
	case NONSENSE:
		(void)!send(UNPACK_FD_CONTROL, "hello", 5, 0);
		break;
	case REDIRECT:
		liar_xattr("trusted.overlay.redirect\0/x", 27, fd);
		break;
	case NO_FD:
		liar_xattr("security.capability\0x", 21, -1);
		break;
	case NO_NAME:
		liar_xattr("security.capability", 19, fd);
		break;
	case OPAQUE_FILE:
		liar_xattr("trusted.overlay.opaque\0y", 24, fd);
		break;
	case FOREIGN_FIFO:
		liar_xattr("security.x\0y", 12, UNPACK_FD_IN);
		break;
	case CLASS:
		liar_say(9999, "", 0, -1);
		break;
	case STAYS:
		liar_say(UNPACK_DONE, NULL, 0, -1);
		sleep(100);
		break;
	case QUIET:
		liar_say(UNPACK_DONE, NULL, 0, -1);
		break;
	case TWO_FDS:
		for (int i = 0; i < 20; i++)
			liar_say_two(fd);
		liar_say(UNPACK_DONE, NULL, 0, -1);
		break;
	case WARNS:
		for (int i = 0; i < 200; i++)
			liar_say(UNPACK_WARN, "beware", 6, -1);
		liar_say(UNPACK_DONE, NULL, 0, -1);
		break;
	}
	return 3;
}

static int lie(int number, struct err *err)
{
	CLEANUP(place_done) struct place p = place_new(GRAPH_WHITEOUT_DELETE);
	struct source s = source_of(&archive, NULL);

	shell("echo x > %s/root/victim", dir);
	return unpack_files(&s.reader, p.tree.fd, "/", (unsigned)number, NULL, err);
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	BUG_ON(!d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_liar(void)
{
	static const struct { int number; const char *text; } cases[] = {
		{ NONSENSE, "the process that unpacks sent nonsense" }, { CLASS, "the process that unpacks sent nonsense" },
		{ EXIT_3, "the process that unpacks ended with status 3" }, { REDIRECT, "answer 1" }, { NO_FD, "answer 1" },
		{ NO_NAME, "answer 1" }, { OPAQUE_FILE, "answer 1" }, { FOREIGN_FIFO, "answer 1" },
	};
	OWN_FREE char *log = xasprintf("%s/log", dir);
	OWN_FD int fd = open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	OWN_BUF struct buf text = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int lines = 0;

	unpack_done();
	ok(unpack_setup(sp, "/proc/self/exe", &err) == 0, "a process that lies");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN_ERR struct err e = ERR_INIT;

		ok(lie(cases[i].number, &e) < 0, "lie %d", cases[i].number);
		is_str(err_text(&e), cases[i].text, "is seen through");
	}
	is_int(lie(STAYS, &err), 0, "one that has answered and stays does not hold anybody up");
	is_int(lie(QUIET, &err), 0, "one that reads nothing, neither");
	log_set_fd(fd);
	is_int(lie(WARNS, &err), 0, "one that warns and warns");
	log_set_fd(-1);
	fs_read(AT_FDCWD, log, 1 << 20, &text, &err);
	for (size_t i = 0; i < text.size; i++)
		lines += text.data[i] == '\n';
	is_int(lines, 8, "fills no log");
	lines = open_fds();
	log_set_fd(fd);
	is_int(lie(TWO_FDS, &err), 0, "one that sends more descriptors than it may");
	log_set_fd(-1);
	is_int(open_fds(), lines, "leaves none here");
	ok(all_gone(), "nobody is left");
}

int main(int argc, char **argv)
{
	const char *build = getenv("top_builddir");
	OWN_ERR struct err err = ERR_INIT;

	if (argc > 2 && streq(argv[0], "dockerd-untar"))
		return liar(atoi(argv[2]));
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	program = xasprintf("%s/dockerd-untar", build ? build : ".");
	sp = spawner_start(&err);
	ok(sp && mkdtemp(dir) && unpack_setup(sp, program, &err) == 0, "set up: %s", err_text(&err));
	make_archive();
	test_kinds();
	test_confined();
	test_ends();
	test_plain();
	test_streams(INFLATE_BZIP2, "bzip2");
	test_streams(INFLATE_XZ, "xz");
	test_xz_window(1u << 27, true);
	test_xz_window(1u << 28, false);
	test_liar();
	unpack_done();
	spawner_stop(sp);
	shell("rm -rf %s", dir);
	buf_done(&archive);
	free(program);
	return tap_done();
}
