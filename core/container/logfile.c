/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/logfile.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/stream.h"
#include "image/inflate.h"

#define FILES_MAX 1001
#define CHUNK 65536
#define UNPACK_MAX (INT64_C(256) << 20)

struct logfile {
	char *path;
	int *fds;          /* oldest first; the last one is the file that grows */
	size_t len, at;
	struct buf buf;    /* read ahead; the first used bytes were given out */
	size_t used;
	bool skipping;     /* inside a line that is too long */
};

/* The plain text of a compressed rotated file, in memory: at most UNPACK_MAX of it, as no file this daemon bounds is larger. */
static int logfile_unpack(const char *path)
{
	OWN_FD int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	OWN_FD int out = in < 0 ? -1 : memfd_create("log", MFD_CLOEXEC);
	OWN_READER struct reader *plain = NULL;
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *chunk = xmalloc(CHUNK);
	struct fd_reader file;
	int64_t total = 0;
	ssize_t n = 0;

	if (out < 0)
		return -1;
	fd_reader_init(&file, in);
	plain = inflate_new(&file.reader, NULL, &err);
	while (plain && total < UNPACK_MAX && (n = plain->read(plain, chunk, CHUNK, &err)) > 0) {
		if (fs_write_all(out, chunk, (size_t)n) < 0)
			return -1;
		total += n;
	}
	if (!plain || n < 0)
		log_warn("%s: %s", path, err_text(&err));
	lseek(out, 0, SEEK_SET);
	return STEAL_FD(out);
}

static void add_fd(struct logfile *f, int fd)
{
	f->fds = xrealloc(f->fds, (f->len + 1) * sizeof(*f->fds));
	f->fds[f->len++] = fd;
}

static void open_all(struct logfile *f)
{
	int fd, count = 0;

	for (int n = 1; n < FILES_MAX; n++, count++) {
		OWN_FREE char *name = xasprintf("%s.%d", f->path, n);
		OWN_FREE char *packed = xasprintf("%s.gz", name);

		if (!fs_exists(name) && !fs_exists(packed))
			break;
	}
	for (int n = count; n > 0; n--) {
		OWN_FREE char *name = xasprintf("%s.%d", f->path, n);
		OWN_FREE char *packed = xasprintf("%s.gz", name);

		fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			fd = logfile_unpack(packed);
		if (fd >= 0)
			add_fd(f, fd);
	}
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		add_fd(f, fd);
}

/* Goes back from the end of fd over want line feeds: how many were found; *ret_off is behind the last of them, or 0. */
static int64_t seek_back(int fd, int64_t want, off_t *ret_off)
{
	OWN_FREE char *chunk = xmalloc(CHUNK);
	off_t end = lseek(fd, 0, SEEK_END);
	int64_t found = 0;
	bool last = true; /* the line feed at the very end closes the last line */

	while (end > 0) {
		size_t n = end > CHUNK ? CHUNK : (size_t)end;

		if (pread(fd, chunk, n, end - (off_t)n) != (ssize_t)n)
			break;
		for (size_t i = n; i-- > 0; last = false)
			if (chunk[i] == '\n' && !last && ++found == want) {
				*ret_off = end - (off_t)n + (off_t)i + 1;
				return found;
			}
		end -= (off_t)n;
	}
	*ret_off = 0;
	return last ? 0 : found + 1; /* the first line has no line feed in front */
}

static void seek_tail(struct logfile *f, int64_t tail)
{
	size_t i = f->len;

	if (tail == 0 && f->len) {
		lseek(f->fds[f->len - 1], 0, SEEK_END);
		f->at = f->len - 1;
		return;
	}
	while (i-- > 0 && tail > 0) {
		off_t off = 0;
		int64_t got = seek_back(f->fds[i], tail, &off);

		lseek(f->fds[i], off, SEEK_SET);
		f->at = i;
		if (off > 0)
			return;
		tail -= got;
	}
}

struct logfile *logfile_open(const char *path, int64_t tail, struct err *err)
{
	struct logfile *f = xcalloc(1, sizeof(*f));

	(void)err;
	f->path = xstrdup(path);
	open_all(f);
	if (tail >= 0)
		seek_tail(f, tail);
	return f;
}

void logfile_free(struct logfile *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->len; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	free(f->fds);
	free(f->path);
	buf_done(&f->buf);
	free(f);
}

/* The name that the file which was read to its end has now: 0 the current one, n after n rotations, -1 gone. */
static int name_of(struct logfile *f, const struct stat *st)
{
	for (int n = 0; n < FILES_MAX; n++) {
		OWN_FREE char *name = n ? xasprintf("%s.%d", f->path, n) : xstrdup(f->path);
		struct stat now;

		if (stat(name, &now) == 0) {
			if (now.st_ino == st->st_ino && now.st_dev == st->st_dev)
				return n;
		} else if (n > 0) {
			OWN_FREE char *packed = xasprintf("%s.gz", name);

			if (!fs_exists(packed))
				return -1;
		}
	}
	return -1;
}

/* At the end of the growing file: goes on with what took its place. */
static bool next_rotated(struct logfile *f)
{
	struct stat st, now;
	int n, fd;

	if (!f->len) {
		fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			add_fd(f, fd);
		return fd >= 0;
	}
	if (fstat(f->fds[f->len - 1], &st) < 0 || stat(f->path, &now) < 0)
		return false;
	if (st.st_ino == now.st_ino && st.st_dev == now.st_dev) {
		if (lseek(f->fds[f->len - 1], 0, SEEK_CUR) > st.st_size)
			return lseek(f->fds[f->len - 1], 0, SEEK_SET) == 0; /* somebody cut it */
		return false;
	}
	n = name_of(f, &st);
	OWN_FREE char *name = n > 1 ? xasprintf("%s.%d", f->path, n - 1) : xstrdup(f->path);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	add_fd(f, fd);
	f->at++;
	return true;
}

/* Reads on; false at the end of all there is. */
static bool fill(struct logfile *f)
{
	for (;;) {
		ssize_t n = 0;

		if (f->at < f->len) {
			if (f->used) {
				buf_shift(&f->buf, f->used);
				f->used = 0;
			}
			n = read(f->fds[f->at], buf_reserve(&f->buf, CHUNK), CHUNK);
			if (n > 0) {
				f->buf.size += (size_t)n;
				return true;
			}
		}
		if (f->at + 1 < f->len) {
			close(f->fds[f->at]);
			f->fds[f->at++] = -1;
			continue;
		}
		if (!next_rotated(f))
			return false;
	}
}

int logfile_next(struct logfile *f, const char **ret, size_t *ret_size)
{
	size_t seen = 0;

	for (;;) {
		char *start = f->buf.data ? f->buf.data + f->used : NULL;
		size_t have = f->buf.size - f->used;
		char *nl = have > seen ? memchr(start + seen, '\n', have - seen) : NULL;

		if (nl) {
			bool skip = f->skipping;

			*ret = start;
			*ret_size = (size_t)(nl - start);
			f->used += *ret_size + 1;
			f->skipping = false;
			seen = 0;
			if (!skip)
				return 1;
			continue;
		}
		seen = have;
		if (have > LOG_LINE_MAX) {
			f->used = f->buf.size;
			f->skipping = true;
			seen = 0;
		}
		if (!fill(f))
			return 0;
	}
}
