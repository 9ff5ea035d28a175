/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "shim/logformat.h"
#include "shim/logpack.h"

#define LINE_MAX_SIZE (16 * 1024)
#define BATCH         (64 * 1024)
#define ID_SIZE       32

/* The line of a stream that has not ended yet. */
struct open_line {
	struct buf part;           /* what no record has yet */
	char id[2 * ID_SIZE + 1];  /* of its pieces */
	int ordinal;               /* of the last piece; 0: there is none */
	int64_t time;              /* of the first one */
};

struct logsink {
	char *path;
	bool local;
	int fd;                /* -1 while the file cannot be opened */
	int64_t size, max_size, max_age;
	int64_t born;          /* the first record of the file is no older */
	int max_file;
	char *tail[2];         /* logformat_json() */
	struct open_line line[2];
	struct buf out;        /* whole records not written yet */
	char stamp[CLOCK_TEXT]; /* of stamp_time */
	int64_t stamp_time;
	struct logpack *pack;  /* NULL: rotated files stay as they are */
};

static int64_t ns_of(const struct statx_timestamp *t)
{
	return t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
}

static int open_file(struct logsink *s, int flags)
{
	struct statx st;

	s->fd = open(s->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
	if (s->fd < 0)
		return -1;
	s->size = 0;
	s->born = clock_now();
	if (statx(s->fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_BTIME | STATX_MTIME, &st) == 0 && st.stx_size) {
		s->size = (int64_t)st.stx_size;
		s->born = ns_of(st.stx_mask & STATX_BTIME ? &st.stx_btime : &st.stx_mtime);
	}
	return 0;
}

struct logsink *logsink_open(const struct logger_config *cfg, struct err *err)
{
	struct logsink *s = xcalloc(1, sizeof(*s));

	s->path = xstrdup(cfg->path);
	s->local = cfg->local;
	s->max_size = cfg->max_size > 0 ? cfg->max_size : INT64_MAX;
	s->max_file = cfg->max_file > 0 ? cfg->max_file : 1;
	s->max_age = cfg->max_age;
	for (int i = 0; i < 2; i++)
		s->tail[i] = xasprintf("\",\"stream\":\"%s\",%s%s%s\"time\":\"", i ? "stderr" : "stdout", cfg->attrs ? "\"attrs\":" : "",
			cfg->attrs ? cfg->attrs : "", cfg->attrs ? "," : "");
	if (open_file(s, 0) < 0) {
		err_errno(err, errno, "open the log %s", cfg->path);
		logsink_close(s);
		return NULL;
	}
	if (cfg->compress && s->max_file > 1)
		s->pack = logpack_new(s->path, s->max_file);
	return s;
}

void logsink_close(struct logsink *s)
{
	if (!s)
		return;
	if (s->pack)
		logpack_free(s->pack);
	for (int i = 0; i < 2; i++) {
		free(s->tail[i]);
		buf_done(&s->line[i].part);
	}
	fd_close(&s->fd);
	buf_done(&s->out);
	free(s->path);
	free(s);
}

void logsink_trim(struct logsink *s)
{
	buf_done(&s->out);
	for (int i = 0; i < 2; i++)
		if (!s->line[i].part.size)
			buf_done(&s->line[i].part);
}

/* Writes the batch; on a short write the torn record is cut off again, so that the file holds whole ones only. */
static void flush(struct logsink *s)
{
	size_t size = s->out.size, done = 0;

	if (!size)
		return;
	while ((s->fd >= 0 || open_file(s, 0) == 0) && done < size) {
		ssize_t n = write(s->fd, s->out.data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done && done < size) {
		size_t whole = s->local ? logformat_local_whole(s->out.data, done) : logformat_json_whole(s->out.data, done);

		if (ftruncate(s->fd, s->size + (int64_t)whole) == 0)
			done = whole;
	}
	s->size += (int64_t)done;
	buf_reset(&s->out);
}

/* path.N, or path.N.gz. */
static char *rotated(const struct logsink *s, int n, bool packed)
{
	return n ? xasprintf("%s.%d%s", s->path, n, packed ? ".gz" : "") : xstrdup(s->path);
}

static void move_up(struct logsink *s)
{
	for (int n = s->max_file - 1; n > 0; n--) {
		for (int packed = 0; packed < 2; packed++) {
			OWN_FREE char *from = rotated(s, n - 1, packed), *to = rotated(s, n, packed);

			/* what is not replaced would stay for ever */
			if ((n == 1 && packed) || rename(from, to) < 0)
				unlink(to);
		}
	}
}

static void rotate(struct logsink *s)
{
	int64_t now = clock_now();
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = now / NSEC_PER_SEC, .tv_nsec = now % NSEC_PER_SEC } };

	flush(s);
	/* the kernel's own times are coarse: no two rotated files may have the same, readers know a compressed one by it */
	if (s->fd >= 0)
		futimens(s->fd, times);
	fd_close(&s->fd);
	if (s->max_file < 2) {
		open_file(s, O_TRUNC);
		return;
	}
	if (s->pack)
		logpack_hold(s->pack);
	move_up(s);
	open_file(s, 0);
	if (s->pack) {
		logpack_let_go(s->pack);
		logpack_kick(s->pack);
	}
}

/* Removes rotated files in which everything is too old. */
static void expire(struct logsink *s, int64_t now)
{
	if (s->pack)
		logpack_hold(s->pack);
	for (int n = s->max_file - 1; n > 0; n--) {
		for (int packed = 0; packed < 2; packed++) {
			OWN_FREE char *name = rotated(s, n, packed);
			struct stat st;

			if (stat(name, &st) == 0 && now - (st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec) > s->max_age)
				unlink(name);
		}
	}
	if (s->pack)
		logpack_let_go(s->pack);
}

void logsink_tick(struct logsink *s)
{
	int64_t now = clock_now();

	if (!s->max_age)
		return;
	if (s->size && now - s->born > s->max_age)
		rotate(s);
	expire(s, now);
}

static void new_id(char *ret)
{
	unsigned char raw[ID_SIZE] = { 0 };

	(void)!getrandom(raw, sizeof(raw), GRND_NONBLOCK);
	for (size_t i = 0; i < sizeof(raw); i++, ret += 2)
		snprintf(ret, 3, "%02x", raw[i]);
}

static void put_record(struct logsink *s, int i, int64_t time, const char *text, size_t size)
{
	struct open_line *line = &s->line[i];
	bool ends = size && text[size - 1] == '\n';
	struct log_record r = { .stream = i + 1, .time = time, .text = text, .size = size, .partial = !ends || line->ordinal, .last = ends };

	if (s->size + (int64_t)s->out.size >= s->max_size || (s->max_age && s->size && time - s->born > s->max_age))
		rotate(s);
	if (r.partial) {
		if (!line->ordinal) {
			line->time = time;
			new_id(line->id);
		}
		r.ordinal = ++line->ordinal;
		r.id = line->id;
		r.time = line->time;
		if (ends)
			line->ordinal = 0;
	}
	if (s->local) {
		logformat_local(&s->out, &r);
	} else {
		if (r.time != s->stamp_time)
			clock_rfc3339nano(s->stamp_time = r.time, s->stamp);
		logformat_json(&s->out, &r, s->tail[i], s->stamp);
	}
	if (s->out.size >= BATCH)
		flush(s);
}

/* Where a line that is too long is cut: not inside a character. */
static size_t cut(const char *data, size_t size)
{
	for (size_t back = 1; back <= 3 && back < size; back++) {
		unsigned char c = (unsigned char)data[size - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if (c >= 0xc0 && back < (c < 0xe0 ? 2u : c < 0xf0 ? 3u : 4u))
			return size - back;
		break;
	}
	return size;
}

/* Takes what belongs to one record off the front of data, writes the record if it is complete; the count taken. */
static size_t put_some(struct logsink *s, int i, int64_t time, const char *data, size_t size)
{
	struct buf *part = &s->line[i].part;
	size_t room = LINE_MAX_SIZE - part->size, n = size < room ? size : room, whole;
	const char *nl = memchr(data, '\n', n);

	if (nl)
		n = (size_t)(nl + 1 - data);
	if (!part->size && (nl || n == room)) {
		n = nl ? n : cut(data, n);
		put_record(s, i, time, data, n);
		return n;
	}
	/* joined first: a read may have ended inside a character */
	buf_add(part, data, n);
	if (nl || n == room) {
		whole = nl ? part->size : cut(part->data, part->size);
		put_record(s, i, time, part->data, whole);
		buf_shift(part, whole);
	}
	return n;
}

static void put_all(struct logsink *s, int i, int64_t time, const char *data, size_t size)
{
	while (size) {
		size_t n = put_some(s, i, time, data, size);

		data += n;
		size -= n;
	}
}

void logsink_write(struct logsink *s, int stream, int64_t time, const char *data, size_t size)
{
	put_all(s, stream == 2, time, data, size);
	flush(s);
}

void logsink_end(struct logsink *s, int stream, int64_t time)
{
	struct open_line *line = &s->line[stream == 2];

	if (line->part.size)
		put_record(s, stream == 2, time, line->part.data, line->part.size);
	buf_reset(&line->part);
	line->ordinal = 0;
	flush(s);
}

void logsink_dropped(struct logsink *s, int64_t time, uint64_t bytes)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "[%llu bytes of output were dropped: the log could not be written in time]\n",
		(unsigned long long)bytes);

	for (int i = 0; i < 2; i++)
		if (s->line[i].part.size || s->line[i].ordinal)
			put_all(s, i, time, "\n", 1);
	put_all(s, 1, time, text, (size_t)n);
	flush(s);
}
