/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/log/file.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/stream.h"
#include "image/inflate.h"

#define FILES_MAX 1001
#define CHUNK 65536
#define OPEN_TRIES 5

/* The plain text of a compressed file. */
struct unpack {
	struct fd_reader file;
	struct reader *plain; /* NULL: broken */
};

struct part {
	int fd;      /* -1: read to its end */
	bool packed;
	struct unpack *unpack; /* of a packed one that is being read */
};

struct logfile {
	char *path;         /* NULL: for counting, nothing follows the one part */
	enum log_format format;
	struct part *parts; /* oldest first; the last one is the file that grows */
	size_t len, at;
	struct buf buf;     /* read ahead; the first used bytes were given out */
	size_t used;
	int64_t pass;       /* records in front that nobody asked for */
	bool skipping;      /* inside a line that is too long */
	const char *last;   /* what logfile_next() gave last */
	size_t last_size;
};

static void part_close(struct part *p)
{
	if (p->unpack) {
		reader_close(p->unpack->plain);
		free(p->unpack);
	}
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct part){ .fd = -1 };
}

static ssize_t part_read(struct part *p, void *data, size_t size)
{
	OWN_ERR struct err err = ERR_INIT;
	ssize_t n = -1;

	if (p->fd < 0)
		return 0;
	if (!p->packed)
		return read(p->fd, data, size);
	if (!p->unpack) {
		p->unpack = xcalloc(1, sizeof(*p->unpack));
		fd_reader_init(&p->unpack->file, p->fd);
		p->unpack->plain = inflate_new(&p->unpack->file.reader, NULL, &err);
	}
	if (p->unpack->plain)
		n = p->unpack->plain->read(p->unpack->plain, data, size, &err);
	if (n < 0 && err.msg)
		log_warn("a compressed file of a log: %s", err_text(&err));
	return n;
}

/* path for 0, path.N otherwise. */
static char *name_at(const struct logfile *f, int n)
{
	return n ? xasprintf("%s.%d", f->path, n) : xstrdup(f->path);
}

static bool add_part(struct logfile *f, int n)
{
	OWN_FREE char *name = name_at(f, n);
	OWN_FREE char *packed = xasprintf("%s.gz", name);
	struct part p = { .fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) };

	if (p.fd < 0 && n)
		p = (struct part){ .fd = open(packed, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), .packed = true };
	if (p.fd < 0)
		return false;
	f->parts = xrealloc(f->parts, (f->len + 1) * sizeof(*f->parts));
	f->parts[f->len++] = p;
	return true;
}

static void close_all(struct logfile *f)
{
	for (size_t i = 0; i < f->len; i++)
		part_close(&f->parts[i]);
	f->len = 0;
}

static int count_rotated(const struct logfile *f)
{
	for (int n = 1; n < FILES_MAX; n++) {
		OWN_FREE char *name = name_at(f, n);
		OWN_FREE char *packed = xasprintf("%s.gz", name);

		if (!fs_exists(name) && !fs_exists(packed))
			return n - 1;
	}
	return FILES_MAX - 1;
}

/* Whether the last part is (still) the file that grows. */
static bool is_current(const struct logfile *f)
{
	struct stat st, now;

	return f->len && fstat(f->parts[f->len - 1].fd, &st) == 0 && stat(f->path, &now) == 0 && st.st_ino == now.st_ino &&
		st.st_dev == now.st_dev;
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

/* The same over the records of local, by the lengths behind them. */
static int64_t seek_back_local(int fd, int64_t want, off_t *ret_off)
{
	int64_t found = 0;

	*ret_off = lseek(fd, 0, SEEK_END);
	while (*ret_off > 0 && found < want) {
		unsigned char b[2][4];
		off_t n, start;

		if (*ret_off < 8 || pread(fd, b[1], 4, *ret_off - 4) != 4)
			break;
		n = (off_t)((uint32_t)b[1][0] << 24 | (uint32_t)b[1][1] << 16 | (uint32_t)b[1][2] << 8 | b[1][3]);
		start = *ret_off - n - 8;
		if (start < 0 || pread(fd, b[0], 4, start) != 4 || memcmp(b[0], b[1], 4) != 0)
			break;
		*ret_off = start;
		found++;
	}
	return found;
}

/* What waits for its end is none if a record follows that has one: where that begins, 0 when there is none. */
static size_t find_record(const char *s, size_t size)
{
	for (size_t at = 1; at < size; at++) {
		struct log_line l;
		const char *text;
		size_t n;
		bool good;

		if (loglocal_frame(s + at, size - at, &text, &n) <= 0)
			continue;
		good = loglocal_parse(text, n, &l);
		log_line_done(&l);
		if (good)
			return at;
	}
	return 0;
}

/* From the beginning of a part on: what no way back leads through (a compressed file, something in it that is no record). */
static int64_t count_records(const struct logfile *f, int fd, bool packed)
{
	struct part p = { .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .packed = packed };
	struct logfile one = { .format = f->format, .parts = &p, .len = 1 };
	const char *s;
	size_t size;
	int64_t n = 0;

	lseek(fd, 0, SEEK_SET);
	while (logfile_next(&one, &s, &size))
		n++;
	buf_done(&one.buf);
	part_close(&p);
	lseek(fd, 0, SEEK_SET);
	return n;
}

/* Puts the part where its last want records begin; how many it has, if those are fewer. */
static int64_t part_seek(struct logfile *f, const struct part *p, int64_t want)
{
	off_t off = 0;
	int64_t found;

	if (!p->packed) {
		found = f->format == LOG_JSON ? seek_back(p->fd, want, &off) : seek_back_local(p->fd, want, &off);
		if (found == want || off == 0) {
			lseek(p->fd, off, SEEK_SET);
			return found;
		}
	}
	found = count_records(f, p->fd, p->packed);
	f->pass = found > want ? found - want : 0;
	return found - f->pass;
}

static void seek_tail(struct logfile *f, int64_t tail)
{
	size_t i = f->len;

	if (tail == 0 && f->len) {
		f->at = f->len - 1;
		if (f->parts[f->at].packed)
			part_close(&f->parts[f->at]);
		else
			lseek(f->parts[f->at].fd, 0, SEEK_END);
		return;
	}
	while (i-- > 0 && tail > 0) {
		f->at = i;
		tail -= part_seek(f, &f->parts[i], tail);
	}
}

/*
 * The name that the file which was read to its end has now: 0 the current one, n after n rotations; one more than there are when
 * it is gone. A compressed file has the time of the one that it was.
 */
static int name_of(const struct logfile *f, const struct stat *st)
{
	int count = count_rotated(f);

	for (int n = 0; n <= count; n++) {
		OWN_FREE char *name = name_at(f, n);
		OWN_FREE char *packed = xasprintf("%s.gz", name);
		struct stat now;

		if (stat(name, &now) == 0 && now.st_ino == st->st_ino && now.st_dev == st->st_dev)
			return n;
		if (n && stat(packed, &now) == 0 && now.st_mtim.tv_sec == st->st_mtim.tv_sec && now.st_mtim.tv_nsec == st->st_mtim.tv_nsec)
			return n;
	}
	return count + 1;
}

/* Again when there was a rotation meanwhile: a file would be there twice, or not at all. */
static void open_all(struct logfile *f)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		int oldest = count_rotated(f);
		struct stat st;

		close_all(f);
		for (int n = oldest; n >= 0; n--)
			add_part(f, n);
		if (!fs_exists(f->path))
			return;
		if (is_current(f) && f->len == (size_t)oldest + 1 && fstat(f->parts[0].fd, &st) == 0 && name_of(f, &st) == oldest)
			return;
	}
}

struct logfile *logfile_open(const char *path, enum log_format format, int64_t tail)
{
	struct logfile *f = xcalloc(1, sizeof(*f));

	f->path = xstrdup(path);
	f->format = format;
	open_all(f);
	if (tail >= 0)
		seek_tail(f, tail);
	return f;
}

void logfile_free(struct logfile *f)
{
	if (!f)
		return;
	close_all(f);
	free(f->parts);
	free(f->path);
	buf_done(&f->buf);
	free(f);
}

/* At the end of the last file: adds what took its place, if that is another. What the last one got until then is still read. */
static bool next_rotated(struct logfile *f)
{
	struct part *last = f->len ? &f->parts[f->len - 1] : NULL;
	struct stat st;
	int n;

	if (!last)
		return add_part(f, 0);
	if (last->fd < 0 || fstat(last->fd, &st) < 0 || !fs_exists(f->path))
		return false;
	if (is_current(f)) {
		if (lseek(last->fd, 0, SEEK_CUR) > st.st_size)
			return lseek(last->fd, 0, SEEK_SET) == 0; /* somebody cut it */
		return false;
	}
	n = name_of(f, &st);
	if (n == 0 || !add_part(f, n - 1))
		return false;
	if (name_of(f, &st) == n)
		return true;
	/* rotated again at this moment: it may be the wrong one */
	close(f->parts[--f->len].fd);
	return next_rotated(f);
}

static bool skip_to_record(struct logfile *f)
{
	size_t n = f->buf.size > f->used ? find_record(f->buf.data + f->used, f->buf.size - f->used) : 0;

	f->used += n;
	return n;
}

/* Reads on; false at the end of all there is. */
static bool fill(struct logfile *f)
{
	for (;;) {
		struct part *p = f->at < f->len ? &f->parts[f->at] : NULL;
		ssize_t n = 0;

		if (f->used) {
			buf_shift(&f->buf, f->used);
			f->used = 0;
		}
		if (p)
			n = part_read(p, buf_reserve(&f->buf, CHUNK), CHUNK);
		if (n > 0) {
			f->buf.size += (size_t)n;
			return true;
		}
		if (f->format == LOG_LOCAL && skip_to_record(f))
			return true;
		if (f->at + 1 < f->len) {
			part_close(p);
			f->at++;
			if (f->format == LOG_LOCAL)
				buf_reset(&f->buf); /* a torn record has no rest in the next file */
			continue;
		}
		if (!f->path || !next_rotated(f))
			return false;
	}
}

bool logfile_parse(const struct logfile *f, const char *s, size_t size, struct log_line *ret)
{
	return f->format == LOG_LOCAL ? loglocal_parse(s, size, ret) : log_line_parse(s, size, ret);
}

static int next_local(struct logfile *f, const char **ret, size_t *ret_size)
{
	for (;;) {
		ssize_t n = loglocal_frame(f->buf.data ? f->buf.data + f->used : "", f->buf.size - f->used, ret, ret_size);

		if (n == 0 && !fill(f))
			return 0;
		f->used += n > 0 ? (size_t)n : n < 0 ? 1 : 0;
		if (n > 0)
			return 1;
	}
}

static int next_json(struct logfile *f, const char **ret, size_t *ret_size)
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

int logfile_next(struct logfile *f, const char **ret, size_t *ret_size)
{
	do {
		if (!(f->format == LOG_LOCAL ? next_local(f, ret, ret_size) : next_json(f, ret, ret_size)))
			return 0;
	} while (f->pass && f->pass--);
	f->last = *ret;
	f->last_size = *ret_size;
	return 1;
}

void logfile_tell(const struct logfile *f, struct log_place *ret)
{
	const struct part *p = f->at < f->len ? &f->parts[f->at] : NULL;
	struct log_line l = { 0 };
	struct stat st;

	if (f->last && logfile_parse(f, f->last, f->last_size, &l))
		ret->time = l.time;
	log_line_done(&l);
	ret->inode = 0;
	if (!p || p->fd < 0 || p->packed || fstat(p->fd, &st) < 0)
		return;
	ret->inode = st.st_ino;
	ret->offset = lseek(p->fd, 0, SEEK_CUR) - (off_t)(f->buf.size - f->used);
}

static bool ends_record_json(int fd, off_t offset, int64_t time)
{
	size_t n = offset < LOG_LINE_MAX ? (size_t)offset : LOG_LINE_MAX;
	OWN_FREE char *text = xmalloc(n + 1);
	struct log_line l = { 0 };
	const char *before;
	bool same;

	if (n < 2 || pread(fd, text, n, offset - (off_t)n) != (ssize_t)n || text[--n] != '\n')
		return false;
	before = memrchr(text, '\n', n);
	if (before)
		n -= (size_t)(before + 1 - text);
	same = log_line_parse(before ? before + 1 : text, n, &l) && l.time == time;
	log_line_done(&l);
	return same;
}

static bool ends_record_local(int fd, off_t offset, int64_t time)
{
	OWN_FREE char *text = NULL;
	struct log_line l = { 0 };
	unsigned char b[4];
	size_t n;
	bool same;

	if (offset < 8 || pread(fd, b, 4, offset - 4) != 4)
		return false;
	n = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
	if (n > LOG_LINE_MAX || (off_t)n + 8 > offset)
		return false;
	text = xmalloc(n + 1);
	if (pread(fd, text, n, offset - 4 - (off_t)n) != (ssize_t)n)
		return false;
	same = loglocal_parse(text, n, &l) && l.time == time;
	log_line_done(&l);
	return same;
}

/* Whether a record of that time ends there: an inode's number may be another file's by now. */
static bool ends_record(const struct logfile *f, int fd, const struct log_place *place)
{
	return (f->format == LOG_LOCAL ? ends_record_local : ends_record_json)(fd, place->offset, place->time);
}

bool logfile_seek(struct logfile *f, const struct log_place *place)
{
	for (size_t i = 0; place->inode && i < f->len; i++) {
		struct stat st;

		if (f->parts[i].packed || fstat(f->parts[i].fd, &st) < 0 || st.st_ino != place->inode ||
			!ends_record(f, f->parts[i].fd, place))
			continue;
		lseek(f->parts[i].fd, place->offset, SEEK_SET);
		for (size_t k = 0; k < i; k++)
			part_close(&f->parts[k]);
		f->at = i;
		return true;
	}
	return false;
}
