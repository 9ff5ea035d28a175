/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

#define LINE_MAX_SIZE (16 * 1024)
#define BATCH         (64 * 1024)

struct logger {
	char *path;
	int fd;                /* -1 while the file cannot be opened */
	int64_t size, max_size;
	int max_file;
	char *tail[2];         /* `","stream":"stdout",["attrs":{..},]"time":"` */
	struct buf part[2];    /* the line that has not ended yet */
	struct buf out;        /* whole JSON lines not written yet */
	char stamp[CLOCK_TEXT]; /* of this batch */
};

static int open_file(struct logger *l, int flags)
{
	struct stat st;

	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
	if (l->fd < 0)
		return -1;
	l->size = fstat(l->fd, &st) == 0 ? st.st_size : 0;
	return 0;
}

struct logger *logger_open(const char *path, int64_t max_size, int max_file, const char *attrs, struct err *err)
{
	struct logger *l = xcalloc(1, sizeof(*l));

	l->path = xstrdup(path);
	l->max_size = max_size > 0 ? max_size : INT64_MAX;
	l->max_file = max_file > 0 ? max_file : 1;
	for (int i = 0; i < 2; i++)
		l->tail[i] = xasprintf("\",\"stream\":\"%s\",%s%s%s\"time\":\"", i ? "stderr" : "stdout", attrs ? "\"attrs\":" : "",
			attrs ? attrs : "", attrs ? "," : "");
	if (open_file(l, 0) < 0) {
		err_errno(err, errno, "open the log %s", path);
		logger_close(l);
		return NULL;
	}
	return l;
}

void logger_close(struct logger *l)
{
	if (!l)
		return;
	for (int i = 0; i < 2; i++) {
		free(l->tail[i]);
		buf_done(&l->part[i]);
	}
	fd_close(&l->fd);
	buf_done(&l->out);
	free(l->path);
	free(l);
}

void logger_trim(struct logger *l)
{
	buf_done(&l->out);
	for (int i = 0; i < 2; i++)
		if (!l->part[i].size)
			buf_done(&l->part[i]);
}

/* Writes the batch; on a short write the torn line is cut off again, so that the file holds whole lines only. */
static void flush(struct logger *l)
{
	size_t size = l->out.size;
	ssize_t n = -1;

	if (!size)
		return;
	if (l->fd >= 0 || open_file(l, 0) == 0) {
		do
			n = write(l->fd, l->out.data, size);
		while (n < 0 && errno == EINTR);
	}
	if (n > 0 && (size_t)n < size) {
		const char *nl = memrchr(l->out.data, '\n', (size_t)n);
		ssize_t whole = nl ? nl + 1 - l->out.data : 0;

		if (ftruncate(l->fd, l->size + whole) == 0)
			n = whole;
	}
	if (n < 0)
		n = 0;
	l->size += n;
	buf_reset(&l->out);
}

static void rotate(struct logger *l)
{
	OWN_FREE char *to = NULL;

	flush(l);
	fd_close(&l->fd);
	if (l->max_file < 2) {
		open_file(l, O_TRUNC);
		return;
	}
	for (int i = l->max_file - 1; i > 0; i--) {
		OWN_FREE char *from = i > 1 ? xasprintf("%s.%d", l->path, i - 1) : xstrdup(l->path);

		free(to);
		to = xasprintf("%s.%d", l->path, i);
		(void)!rename(from, to);
	}
	open_file(l, 0);
}

/* Length of the well-formed sequence at s (first byte >= 0x80), 0 when there is none. */
static size_t utf8_at(const unsigned char *s, const unsigned char *end)
{
	size_t n = *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;

	return n && (size_t)(end - s) >= n && str_is_utf8((const char *)s, n) ? n : 0;
}

/* 1: needs more than a copy inside a JSON string. */
static const char special[256] = {
	[0x00 ... 0x1f] = 1, ['"'] = 1, ['\\'] = 1, ['<'] = 1, ['>'] = 1, ['&'] = 1, [0x80 ... 0xff] = 1,
};

static char *put_special(char *to, const unsigned char **at, const unsigned char *end)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = *at;
	size_t n;

	*at = s + 1;
	switch (*s) {
	case '"':
	case '\\':
		*to++ = '\\';
		*to++ = (char)*s;
		return to;
	case '\n':
		return (char *)memcpy(to, "\\n", 2) + 2;
	case '\r':
		return (char *)memcpy(to, "\\r", 2) + 2;
	}
	if (*s < 0x80) {
		memcpy(to, "\\u00", 4);
		to[4] = hex[*s >> 4];
		to[5] = hex[*s & 15];
		return to + 6;
	}
	n = utf8_at(s, end);
	if (n == 0)
		return (char *)memcpy(to, "\\ufffd", 6) + 6;
	*at = s + n;
	if (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] & 0xfe) == 0xa8)
		return (char *)memcpy(to, s[2] & 1 ? "\\u2029" : "\\u2028", 6) + 6;
	memcpy(to, s, n);
	return to + n;
}

/* At most six bytes a byte: the room is there. */
static char *put_text(char *to, const char *text, size_t size)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + size;

	while (s < end) {
		const unsigned char *from = s;

		while (s < end && !special[*s])
			s++;
		to = (char *)memcpy(to, from, (size_t)(s - from)) + (s - from);
		if (s < end)
			to = put_special(to, &s, end);
	}
	return to;
}

static void put_record(struct logger *l, int i, const char *text, size_t size)
{
	size_t tail = strlen(l->tail[i]);
	char *to;

	if (l->size + (int64_t)l->out.size >= l->max_size)
		rotate(l);
	to = buf_reserve(&l->out, 6 * size + tail + CLOCK_TEXT + 32);
	to = (char *)memcpy(to, "{\"log\":\"", 8) + 8;
	to = put_text(to, text, size);
	to = (char *)memcpy(to, l->tail[i], tail) + tail;
	to = stpcpy(to, l->stamp);
	to = (char *)memcpy(to, "\"}\n", 3) + 3;
	l->out.size = (size_t)(to - l->out.data);
	if (l->out.size >= BATCH)
		flush(l);
}

static void take_stamp(struct logger *l)
{
	clock_rfc3339nano(clock_now(), l->stamp);
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
static size_t put_some(struct logger *l, int i, const char *data, size_t size)
{
	struct buf *part = &l->part[i];
	size_t room = LINE_MAX_SIZE - part->size, n = size < room ? size : room, whole;
	const char *nl = memchr(data, '\n', n);

	if (nl)
		n = (size_t)(nl + 1 - data);
	if (!part->size && (nl || n == room)) {
		n = nl ? n : cut(data, n);
		put_record(l, i, data, n);
		return n;
	}
	/* joined first: a read may have ended inside a character */
	buf_add(part, data, n);
	if (nl || n == room) {
		whole = nl ? part->size : cut(part->data, part->size);
		put_record(l, i, part->data, whole);
		buf_shift(part, whole);
	}
	return n;
}

void logger_write(struct logger *l, int stream, const char *data, size_t size)
{
	take_stamp(l);
	while (size) {
		size_t n = put_some(l, stream == 2, data, size);

		data += n;
		size -= n;
	}
	flush(l);
}

void logger_end(struct logger *l, int stream)
{
	struct buf *part = &l->part[stream == 2];

	if (!part->size)
		return;
	take_stamp(l);
	put_record(l, stream == 2, part->data, part->size);
	buf_reset(part);
	flush(l);
}
