/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reading half: one large buffer, payload handed out in place, headers parsed as Go's archive/tar does. */
#include "base/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/str.h"
#include "base/tar-header.h"
#include "base/tar-pax.h"

#define READ_SIZE (256 * 1024)
#define SPARSE_MAP_MAX (16 * 1024 * 1024) /* bytes of one in front of a payload */

static const char hole_bytes[16384];

struct tar_reader {
	struct reader payload; /* first: tar_payload() hands it out */
	struct reader *in;
	struct tar_tap *tap;
	char *buf;
	size_t pos, end;
	bool eof, member, finished;
	int64_t left;  /* payload not read yet */
	uint32_t pad;  /* padding behind it */
	struct tar_entry entry;
	struct tar_pax pax;
	struct buf gnu_name, gnu_link;
	char name[256 + 2], link[101], uname[33], gname[33];
};

static int be_sparse(struct tar_reader *r, int64_t real, struct err *err);

static int truncated(struct err *err)
{
	return err_set(err, ERR_INVALID, "unexpected EOF");
}

static ssize_t payload_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	return tar_read((struct tar_reader *)reader, data, size, err);
}

struct tar_reader *tar_reader_new(struct reader *in, struct tar_tap *tap)
{
	struct tar_reader *r = xcalloc(1, sizeof(*r));

	r->payload.read = payload_read;
	r->in = in;
	r->tap = tap;
	r->buf = xmalloc(READ_SIZE);
	return r;
}

void tar_reader_free(struct tar_reader *r)
{
	free(r->buf);
	tar_pax_done(&r->pax);
	buf_done(&r->gnu_name);
	buf_done(&r->gnu_link);
	free(r);
}

struct reader *tar_payload(struct tar_reader *r)
{
	return &r->payload;
}

/* Makes at least want bytes available unless the stream ends before; the number available, or -1. */
static ssize_t fill(struct tar_reader *r, size_t want, struct err *err)
{
	if (r->end - r->pos >= want)
		return (ssize_t)(r->end - r->pos);
	memmove(r->buf, r->buf + r->pos, r->end - r->pos);
	r->end -= r->pos;
	r->pos = 0;
	while (r->end < want && !r->eof) {
		ssize_t n = r->in->read(r->in, r->buf + r->end, READ_SIZE - r->end, err);

		if (n < 0)
			return -1;
		r->eof = n == 0;
		r->end += (size_t)n;
	}
	return (ssize_t)r->end;
}

static int take_meta(struct tar_reader *r, size_t size, struct err *err)
{
	if (r->tap && size && r->tap->meta(r->tap, r->buf + r->pos, size, err) < 0)
		return -1;
	r->pos += size;
	return 0;
}

/* 1: a block lies at buf + pos; 0: the stream ended in front of it. */
static int need_block(struct tar_reader *r, struct err *err)
{
	ssize_t n = fill(r, TAR_BLOCK, err);

	if (n < 0)
		return -1;
	if (n == 0)
		return 0;
	return n < TAR_BLOCK ? truncated(err) : 1;
}

static bool in_hole(struct tar_reader *r)
{
	return r->entry.sparse && tar_sparse_hole(&r->pax.sparse) > 0;
}

/* How much of the payload comes next in one piece: at buf + pos, or of a hole. */
static ssize_t piece(struct tar_reader *r, size_t most, struct err *err)
{
	int64_t there = r->left;
	ssize_t n;

	if (in_hole(r)) {
		there = tar_sparse_hole(&r->pax.sparse);
		n = sizeof(hole_bytes);
	} else {
		if (r->left == 0)
			return 0;
		if (r->entry.sparse)
			there = tar_sparse_data(&r->pax.sparse);
		n = fill(r, 1, err);
		if (n <= 0)
			return n < 0 ? -1 : truncated(err);
	}
	if (n > there)
		n = (ssize_t)there;
	return (size_t)n > most ? (ssize_t)most : n;
}

static void passed(struct tar_reader *r, ssize_t n)
{
	r->pos += (size_t)n;
	r->left -= n;
	r->pax.sparse.pos += n;
}

ssize_t tar_data(struct tar_reader *r, const void **ret, struct err *err)
{
	ssize_t n;

	n = piece(r, READ_SIZE, err);
	if (n <= 0)
		return n;
	if (in_hole(r)) {
		*ret = hole_bytes;
		r->pax.sparse.pos += n;
		return n;
	}
	*ret = r->buf + r->pos;
	if (r->tap && r->tap->data(r->tap, *ret, (size_t)n, err) < 0)
		return -1;
	passed(r, n);
	return n;
}

ssize_t tar_read(struct tar_reader *r, void *data, size_t size, struct err *err)
{
	ssize_t n;

	n = size ? piece(r, size, err) : 0;
	if (n <= 0)
		return n;
	if (in_hole(r)) {
		memset(data, 0, (size_t)n);
		r->pax.sparse.pos += n;
		return n;
	}
	memcpy(data, r->buf + r->pos, (size_t)n);
	if (r->tap && r->tap->data(r->tap, data, (size_t)n, err) < 0)
		return -1;
	passed(r, n);
	return n;
}

int64_t tar_hole(struct tar_reader *r)
{
	int64_t n = r->entry.sparse ? tar_sparse_hole(&r->pax.sparse) : 0;

	r->pax.sparse.pos += n;
	return n;
}

/* Ends the current member: the rest of its payload, then the padding. */
static int finish_member(struct tar_reader *r, struct err *err)
{
	const void *data;
	ssize_t n;

	if (!r->member)
		return 0;
	do {
		tar_hole(r);
		n = tar_data(r, &data, err);
	} while (n > 0);
	if (n < 0)
		return -1;
	if (r->tap && r->tap->entry_end(r->tap, err) < 0)
		return -1;
	r->member = false;
	n = fill(r, r->pad, err);
	if (n < 0)
		return -1;
	return n < (ssize_t)r->pad ? truncated(err) : take_meta(r, r->pad, err);
}

/* The payload of an extended header: at most TAR_META_MAX bytes, NUL-terminated in ret. */
static int read_extended(struct tar_reader *r, int64_t size, struct buf *ret, struct err *err)
{
	size_t left = (size_t)size, pad = (size_t)(-size & (TAR_BLOCK - 1));

	buf_reset(ret);
	if (size > TAR_META_MAX)
		return err_set(err, ERR_INVALID, "archive/tar: header field too long (%lld bytes)", (long long)size);
	while (left) {
		ssize_t n = fill(r, 1, err);
		size_t take = left;

		if (n < 0)
			return -1;
		if (n == 0)
			return truncated(err);
		if ((size_t)n < take)
			take = (size_t)n;
		buf_add(ret, r->buf + r->pos, take);
		if (take_meta(r, take, err) < 0)
			return -1;
		left -= take;
	}
	buf_add(ret, "", 0);
	if (fill(r, pad, err) < 0)
		return -1;
	return r->end - r->pos < pad ? truncated(err) : take_meta(r, pad, err);
}

int tar_number(const char *field, size_t size, int64_t *ret, struct err *err)
{
	const unsigned char *p = (const unsigned char *)field;
	const unsigned char *end = p + size;
	uint64_t n = 0;

	if (*p & 0x80) {
		unsigned char inv = *p & 0x40 ? 0xff : 0;

		for (size_t i = 0; i < size; i++) {
			unsigned char c = p[i] ^ inv;

			if (i == 0)
				c &= 0x7f;
			if (n >> 56)
				return tar_invalid(err, "number too large");
			n = n << 8 | c;
		}
		if (n >> 63)
			return tar_invalid(err, "number too large");
		*ret = inv ? (int64_t)~n : (int64_t)n;
		return 0;
	}
	while (p < end && (*p == ' ' || *p == '\0'))
		p++;
	for (; p < end && *p >= '0' && *p <= '7'; p++) {
		if (n >> 60)
			return tar_invalid(err, "number too large");
		n = n << 3 | (uint64_t)(*p - '0');
	}
	while (p < end && *p == ' ')
		p++;
	if (p < end && *p)
		return tar_invalid(err, "malformed number");
	*ret = (int64_t)n;
	return 0;
}
#define NUMBER(field, ret, err) tar_number(field, sizeof(field), ret, err)

/* Sums of the header with its checksum field read as blanks, as unsigned and as signed bytes: old writers used either. */
static bool checksum_good(const struct tar_header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	int64_t want, sum = 0, sum_signed = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		unsigned char c = i >= offsetof(struct tar_header, chksum) && i < offsetof(struct tar_header, typeflag) ? ' ' : p[i];

		sum += c;
		sum_signed += (signed char)c;
	}
	return NUMBER(h->chksum, &want, NULL) == 0 && (want == sum || want == sum_signed);
}

static void copy_field(char *dst, const char *field, size_t size)
{
	size_t n = strnlen(field, size);

	memcpy(dst, field, n);
	dst[n] = '\0';
}

static bool is_ustar(const struct tar_header *h) { return memcmp(h->magic, "ustar\0", 6) == 0; }
static bool is_gnu(const struct tar_header *h) { return memcmp(h->magic, "ustar  ", 8) == 0; }

static void header_names(struct tar_reader *r, const struct tar_header *h)
{
	size_t at = 0;

	if (is_ustar(h) && h->prefix[0]) {
		/* star keeps times in the last 24 bytes of the prefix. */
		bool star = memcmp(h->trailer + 8, "tar\0", 4) == 0;

		at = strnlen(h->prefix, star ? 131 : sizeof(h->prefix));
		memcpy(r->name, h->prefix, at);
		r->name[at++] = '/';
	}
	copy_field(r->name + at, h->name, sizeof(h->name));
	copy_field(r->link, h->linkname, sizeof(h->linkname));
	*r->uname = *r->gname = '\0';
	if (is_ustar(h) || is_gnu(h)) {
		copy_field(r->uname, h->uname, sizeof(h->uname));
		copy_field(r->gname, h->gname, sizeof(h->gname));
	}
}

static int owner(int64_t n, uint32_t *ret, struct err *err)
{
	if (n < 0 || n >= UINT32_MAX)
		return tar_invalid(err, "owner out of range");
	*ret = (uint32_t)n;
	return 0;
}

static int device(const struct tar_header *h, struct tar_entry *e, struct err *err)
{
	int64_t major = 0, minor = 0;

	if (!is_ustar(h) && !is_gnu(h))
		return 0;
	if (NUMBER(h->devmajor, &major, err) < 0 || NUMBER(h->devminor, &minor, err) < 0)
		return -1;
	if (major < 0 || major >= 1 << 12 || minor < 0 || minor >= 1 << 20)
		return tar_invalid(err, "device number out of range");
	e->major = (uint32_t)major;
	e->minor = (uint32_t)minor;
	return 0;
}

static int entry_numbers(struct tar_reader *r, const struct tar_header *h, int64_t size, struct err *err)
{
	struct tar_entry *e = &r->entry;
	int64_t mode, uid, gid, mtime;

	if (NUMBER(h->mode, &mode, err) < 0 || NUMBER(h->uid, &uid, err) < 0 || NUMBER(h->gid, &gid, err) < 0 ||
	    NUMBER(h->mtime, &mtime, err) < 0 || tar_pax_number(r->pax.uid, &uid, err) < 0 || tar_pax_number(r->pax.gid, &gid, err) < 0 ||
	    tar_pax_number(r->pax.size, &size, err) < 0)
		return -1;
	e->mode = (uint32_t)mode & 07777;
	e->mtime.tv_sec = mtime;
	e->atime.tv_nsec = UTIME_OMIT;
	if (owner(uid, &e->uid, err) < 0 || owner(gid, &e->gid, err) < 0 ||
	    tar_pax_time(r->pax.mtime, &e->mtime, err) < 0 || tar_pax_time(r->pax.atime, &e->atime, err) < 0)
		return -1;
	if (size < 0 || size > INT64_MAX - TAR_BLOCK)
		return tar_invalid(err, "size out of range");
	e->size = e->type == TAR_FILE ? size : 0;
	return e->type == TAR_CHARDEV || e->type == TAR_BLOCKDEV ? device(h, e, err) : 0;
}

static int entry_type(struct tar_entry *e, char flag, struct err *err)
{
	switch (flag) {
	case '\0': /* before ustar a trailing slash told directories from files */
		e->type = str_has_suffix(e->name, "/") ? TAR_DIR : TAR_FILE;
		return 0;
	case '7':
		e->type = TAR_FILE;
		return 0;
	case '0': case '1': case '2': case '3': case '4': case '5': case '6':
		e->type = (enum tar_type)flag;
		return 0;
	case 'S':
		e->type = TAR_FILE;
		return 0;
	default:
		return err_set(err, ERR_INVALID, "unhandled tar header type %d", flag);
	}
}

/* GNU tar's header of type S, before PAX: four extents where ustar has its prefix, the file's size, and blocks of more behind the header. */
static int old_sparse(struct tar_reader *r, const struct tar_header *h, struct err *err)
{
	const char *block = (const char *)h;
	int64_t real;
	bool more = block[482];

	if (!is_gnu(h))
		return tar_invalid(err, "sparse file of no known format");
	tar_sparse_reset(&r->pax.sparse);
	if (tar_number(block + 483, 12, &real, err) < 0 || tar_sparse_fields(&r->pax.sparse, block + 386, TAR_SPARSE_FIRST, err) < 0)
		return -1;
	while (more) {
		int n = need_block(r, err);

		if (n <= 0)
			return n < 0 ? -1 : truncated(err);
		block = r->buf + r->pos;
		more = block[TAR_SPARSE_MORE * TAR_SPARSE_FIELD];
		if (tar_sparse_fields(&r->pax.sparse, block, TAR_SPARSE_MORE, err) < 0 || take_meta(r, TAR_BLOCK, err) < 0)
			return -1;
	}
	return be_sparse(r, real, err);
}

/* Version 1.0: in blocks in front of the payload, a number a line: how many extents, then offsets and sizes. */
static int read_map(struct tar_reader *r, struct err *err)
{
	int64_t count = -1, blocks = 0;
	char line[24];
	size_t size = 0;
	bool is_size = false;

	while (count) {
		int n = r->left < TAR_BLOCK || blocks++ == SPARSE_MAP_MAX / TAR_BLOCK ? 0 : need_block(r, err);

		if (n <= 0)
			return n < 0 ? -1 : tar_invalid(err, "malformed map of a sparse file");
		for (const char *p = r->buf + r->pos, *end = p + TAR_BLOCK; count && p < end; p++) {
			if (size == sizeof(line) - 1)
				return tar_invalid(err, "malformed map of a sparse file");
			line[size++] = *p == '\n' ? '\0' : *p;
			if (*p != '\n')
				continue;
			size = 0;
			if (count < 0) {
				if (!str_to_i64(line, &count) || count < 0 || count > TAR_EXTENTS_MAX)
					return tar_invalid(err, "malformed map of a sparse file");
				continue;
			}
			if (tar_sparse_number(&r->pax.sparse, line, is_size, err) < 0)
				return -1;
			count -= is_size;
			is_size = !is_size;
		}
		if (take_meta(r, TAR_BLOCK, err) < 0)
			return -1;
		r->left -= TAR_BLOCK;
	}
	return 0;
}

/* What the records tell; a version that nobody knows is no sparse file, as in Go's archive/tar. */
static int pax_sparse(struct tar_reader *r, struct err *err)
{
	struct tar_pax *p = &r->pax;
	const char *major = p->sparse_major ? p->sparse_major : "", *minor = p->sparse_minor ? p->sparse_minor : "";
	bool in_front = streq(major, "1") && streq(minor, "0"), versioned = *major || *minor;
	int64_t real = r->entry.size, blocks;

	if (versioned ? !in_front && !(streq(major, "0") && (streq(minor, "0") || streq(minor, "1"))) : !p->sparse_map && !p->sparse.len)
		return 0;
	if (r->entry.type != TAR_FILE)
		return tar_invalid(err, "sparse file that is none");
	if (p->sparse_name)
		r->entry.name = p->sparse_name;
	if (tar_pax_number(p->sparse_size ? p->sparse_size : p->sparse_realsize, &real, err) < 0)
		return -1;
	if (in_front) {
		tar_sparse_reset(&p->sparse);
		if (read_map(r, err) < 0)
			return -1;
		return be_sparse(r, real, err);
	}
	if (p->sparse_map && tar_sparse_map(&p->sparse, p->sparse_map, err) < 0)
		return -1;
	blocks = (int64_t)p->sparse.len;
	if (tar_pax_number(p->sparse_blocks, &blocks, err) < 0)
		return -1;
	return blocks == (int64_t)p->sparse.len ? be_sparse(r, real, err) : tar_invalid(err, "malformed map of a sparse file");
}

static int be_sparse(struct tar_reader *r, int64_t real, struct err *err)
{
	if (tar_sparse_check(&r->pax.sparse, real, r->left, err) < 0)
		return -1;
	r->entry.sparse = true;
	r->entry.size = real;
	return 0;
}

static int make_entry(struct tar_reader *r, const struct tar_header *h, int64_t size, struct err *err)
{
	struct tar_entry *e = &r->entry;

	header_names(r, h);
	*e = (struct tar_entry){
		.name = r->gnu_name.size ? r->gnu_name.data : r->pax.path ? r->pax.path : r->name,
		.link = r->gnu_link.size ? r->gnu_link.data : r->pax.linkpath ? r->pax.linkpath : r->link,
		.uname = r->pax.uname ? r->pax.uname : r->uname,
		.gname = r->pax.gname ? r->pax.gname : r->gname,
		.xattrs = r->pax.xattrs,
		.xattrs_len = r->pax.xattrs_len,
	};
	if (strlen(e->name) > TAR_NAME_MAX || strlen(e->link) > TAR_NAME_MAX || (r->pax.sparse_name && strlen(r->pax.sparse_name) > TAR_NAME_MAX))
		return tar_invalid(err, "name too long");
	if (entry_type(e, h->typeflag, err) < 0 || entry_numbers(r, h, size, err) < 0)
		return -1;
	r->left = e->size;
	r->pad = (uint32_t)(-e->size & (TAR_BLOCK - 1));
	return h->typeflag == 'S' ? old_sparse(r, h, err) : pax_sparse(r, err);
}

static const char zeros[TAR_BLOCK];

/* The first zero block is at hand: a second one, or the end of the stream, ends the archive. */
static int end_mark(struct tar_reader *r, struct err *err)
{
	int n;

	if (take_meta(r, TAR_BLOCK, err) < 0)
		return -1;
	n = need_block(r, err);
	if (n < 0)
		return -1;
	if (n && memcmp(r->buf + r->pos, zeros, TAR_BLOCK) != 0)
		return tar_invalid(err, "data behind a zero block");
	r->finished = true;
	return n ? take_meta(r, TAR_BLOCK, err) : 0;
}

static int extended(struct tar_reader *r, char flag, int64_t size, struct err *err)
{
	switch (flag) {
	case 'x':
		tar_pax_reset(&r->pax);
		return read_extended(r, size, &r->pax.text, err) < 0 ? -1 : tar_pax_parse(&r->pax, err);
	case 'g': { /* defaults for what follows: ignored, as Docker does */
		OWN_BUF struct buf skipped = { 0 };

		return read_extended(r, size, &skipped, err);
	}
	default: {
		struct buf *name = flag == 'L' ? &r->gnu_name : &r->gnu_link;

		if (read_extended(r, size, name, err) < 0)
			return -1;
		name->size = strlen(name->data);
		return 0;
	}
	}
}

int tar_next(struct tar_reader *r, const struct tar_entry **ret, struct err *err)
{
	if (finish_member(r, err) < 0)
		return -1;
	if (r->finished)
		return 0;
	tar_pax_reset(&r->pax);
	buf_reset(&r->gnu_name);
	buf_reset(&r->gnu_link);
	for (int metas = 0;; metas++) {
		struct tar_header h;
		int64_t size;
		int n = need_block(r, err);

		if (n < 0)
			return -1;
		if (n == 0 && metas)
			return truncated(err);
		if (n == 0) {
			r->finished = true;
			return 0;
		}
		memcpy(&h, r->buf + r->pos, sizeof(h));
		if (memcmp(&h, zeros, TAR_BLOCK) == 0)
			return end_mark(r, err);
		if (!checksum_good(&h))
			return tar_invalid(err, "checksum");
		if (NUMBER(h.size, &size, err) < 0)
			return -1;
		if (take_meta(r, TAR_BLOCK, err) < 0)
			return -1;
		if (!h.typeflag || !strchr("xgLK", h.typeflag)) {
			if (make_entry(r, &h, size, err) < 0)
				return -1;
			break;
		}
		if (metas == TAR_METAS_MAX)
			return tar_invalid(err, "too many extended headers");
		if (size < 0)
			return tar_invalid(err, "size out of range");
		if (extended(r, h.typeflag, size, err) < 0)
			return -1;
	}
	r->member = true;
	if (r->tap && r->tap->entry(r->tap, &r->entry, err) < 0)
		return -1;
	*ret = &r->entry;
	return 1;
}

int tar_drain(struct tar_reader *r, struct err *err)
{
	int64_t total = 0;

	for (;;) {
		ssize_t n = fill(r, 1, err);

		if (n <= 0)
			return (int)n;
		total += n;
		if (total > TAR_TRAILER_MAX)
			return err_set(err, ERR_INVALID, "archive/tar: more than %d bytes behind the end of the archive", TAR_TRAILER_MAX);
		if (take_meta(r, (size_t)n, err) < 0)
			return -1;
	}
}
