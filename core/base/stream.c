/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/stream.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

ssize_t reader_read_all(struct reader *r, void *data, size_t size, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = r->read(r, (char *)data + done, size - done, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int reader_slurp(struct reader *r, size_t max, struct buf *ret, struct err *err)
{
	size_t room = 16384;

	for (;;) {
		ssize_t n;

		if (room > max - ret->size + 1)
			room = max - ret->size + 1;
		n = r->read(r, buf_reserve(ret, room), room, err);
		if (n < 0)
			return -1;
		ret->size += (size_t)n;
		ret->data[ret->size] = '\0';
		if (n == 0)
			return 0;
		if (ret->size > max)
			return err_set(err, ERR_TOO_LARGE, "more than %zu bytes", max);
	}
}

static ssize_t fd_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct fd_reader *r = (struct fd_reader *)reader;
	ssize_t n;

	do
		n = read(r->fd, data, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_errno(err, errno, "read") : n;
}

void fd_reader_init(struct fd_reader *r, int fd)
{
	*r = (struct fd_reader){ .reader = { .read = fd_read }, .fd = fd };
}

static int fd_write(struct writer *writer, const void *data, size_t size, struct err *err)
{
	struct fd_writer *w = (struct fd_writer *)writer;

	return fs_write_all(w->fd, data, size) < 0 ? err_errno(err, errno, "write") : 0;
}

void fd_writer_init(struct fd_writer *w, int fd)
{
	*w = (struct fd_writer){ .writer = { .write = fd_write }, .fd = fd };
}

static ssize_t mem_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct mem_reader *r = (struct mem_reader *)reader;

	if (size > r->size)
		size = r->size;
	if (size)
		memcpy(data, r->data, size);
	r->data += size;
	r->size -= size;
	return (ssize_t)size;
}

void mem_reader_init(struct mem_reader *r, const void *data, size_t size)
{
	*r = (struct mem_reader){ .reader = { .read = mem_read }, .data = data, .size = size };
}

static int buf_write(struct writer *writer, const void *data, size_t size, struct err *err)
{
	struct buf_writer *w = (struct buf_writer *)writer;

	buf_add(w->buf, data, size);
	return 0;
}

void buf_writer_init(struct buf_writer *w, struct buf *buf)
{
	*w = (struct buf_writer){ .writer = { .write = buf_write }, .buf = buf };
}
