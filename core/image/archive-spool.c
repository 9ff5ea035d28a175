/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/archive-spool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/digest.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "base/tar.h"
#include "image/unpack.h"

#define MEMBERS_MAX 65536
#define LINKS_MAX 8     /* in a row */
#define CHECK_SIZE (128 * 1024)
#define CHECK_ROOM (1 << 20) /* smaller members just fail */

struct spool {
	int fd;
	int64_t size;
	struct spool_member *v; /* sorted by name once all is read */
	size_t len, room;
};

static int open_file(const char *dir, struct err *err);
static int read_member(struct spool *sp, struct tar_reader *tar, const struct tar_entry *e, const struct cancel *c,
	struct err *err);
static int check_names(struct spool *sp, struct err *err);
static char *normalise(const char *base, const char *name);
static bool kept(struct digest *d, const char *hex);
static int broken_promise(const char *hex, struct err *err);
static const struct spool_member *find(const struct spool *sp, const char *name);

struct spool *spool_read(struct reader *in, const char *tmp_dir, const struct cancel *c, struct err *err)
{
	OWN_READER struct reader *plain = unpack_plain(in, c, err);
	OWN_TAR_READER struct tar_reader *tar = plain ? tar_reader_new(plain, NULL) : NULL;
	OWN_SPOOL struct spool *sp = xcalloc(1, sizeof(*sp));
	const struct tar_entry *e;
	int rc;

	sp->fd = -1;
	if (!plain)
		return NULL;
	sp->fd = open_file(tmp_dir, err);
	if (sp->fd < 0)
		return NULL;
	while ((rc = tar_next(tar, &e, err)) > 0)
		if (read_member(sp, tar, e, c, err) < 0)
			return NULL;
	if (rc < 0 || tar_drain(tar, err) < 0 || check_names(sp, err) < 0)
		return NULL;
	return STEAL(sp);
}

void spool_free(struct spool *sp)
{
	for (size_t i = 0; i < sp->len; i++) {
		free(sp->v[i].name);
		free(sp->v[i].link);
	}
	free(sp->v);
	fd_close(&sp->fd);
	free(sp);
}

const struct spool_member *spool_find(const struct spool *sp, const char *name)
{
	OWN_FREE char *at = normalise("", name);

	for (int i = 0; at && i < LINKS_MAX; i++) {
		const struct spool_member *m = find(sp, at);

		if (!m || !m->link)
			return m;
		str_set(&at, m->link);
	}
	return NULL;
}

const struct spool_member *spool_need(const struct spool *sp, const char *name, struct err *err)
{
	const struct spool_member *m = spool_find(sp, name);

	if (!m)
		err_set(err, ERR_INVALID, "invalid archive: it has no file %.200s", name);
	return m;
}

void spool_folders(const struct spool *sp, struct strv *ret)
{
	for (size_t i = 0; i < sp->len; i++) {
		const char *slash = strchr(sp->v[i].name, '/');
		size_t n = slash ? (size_t)(slash - sp->v[i].name) : 0;
		const char *last = ret->len ? ret->v[ret->len - 1] : "";

		/* sorted: what lies in one folder lies together */
		if (n && !(strlen(last) == n && memcmp(last, sp->v[i].name, n) == 0))
			strv_take(ret, xstrndup(sp->v[i].name, n));
	}
}

int spool_bytes(const struct spool *sp, const struct spool_member *m, size_t max, struct buf *ret, struct err *err)
{
	OWN_READER struct reader *r = spool_reader(sp, m);

	if (m->size > (int64_t)max)
		return err_set(err, ERR_TOO_LARGE, "invalid archive: %.200s is larger than %zu bytes", m->name, max);
	return spool_check(sp, m, NULL, err) < 0 ? -1 : reader_slurp(r, max, ret, err);
}

int spool_check(const struct spool *sp, const struct spool_member *m, const struct cancel *c, struct err *err)
{
	OWN_READER struct reader *r = spool_reader(sp, m);
	OWN_FREE char *data = xmalloc(CHECK_SIZE);
	struct digest d;
	ssize_t n;

	if (!m->promise)
		return 0;
	digest_init(&d);
	while ((n = r->read(r, data, CHECK_SIZE, err)) > 0) {
		if (cancel_fired(c))
			return err_set(err, ERR_CANCELLED, "cancelled");
		digest_add(&d, data, (size_t)n);
	}
	if (n < 0)
		return -1;
	return kept(&d, m->promise) ? 0 : broken_promise(m->promise, err);
}

struct span { struct reader reader; int fd; int64_t at, left; };

static ssize_t span_read(struct reader *r, void *data, size_t size, struct err *err)
{
	struct span *span = (struct span *)r;
	ssize_t n;

	if ((int64_t)size > span->left)
		size = (size_t)span->left;
	do
		n = size ? pread(span->fd, data, size, span->at) : 0;
	while (n < 0 && errno == EINTR);
	if (n < 0 || (n == 0 && size))
		return err_errno(err, n < 0 ? errno : EIO, "read the spooled archive");
	span->at += n;
	span->left -= n;
	return n;
}

static void span_close(struct reader *r)
{
	free(r);
}

struct reader *spool_reader(const struct spool *sp, const struct spool_member *m)
{
	struct span *span = xcalloc(1, sizeof(*span));

	*span = (struct span){ { span_read, span_close }, sp->fd, m->offset, m->size };
	return &span->reader;
}

static int open_file(const char *dir, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/archive-XXXXXX", dir);
	int fd;

	if (fs_mkdirs(dir, 0700, err) < 0)
		return -1;
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "temporary file in %s", dir);
	unlink(path);
	return fd;
}

static struct spool_member *add(struct spool *sp, char *name)
{
	struct spool_member *m;

	if (sp->len == sp->room) {
		sp->room = sp->room ? 2 * sp->room : 64;
		sp->v = xrealloc(sp->v, sp->room * sizeof(*sp->v));
	}
	m = &sp->v[sp->len++];
	*m = (struct spool_member){ .name = name, .offset = sp->size };
	return m;
}

/* blobs/sha256/<hex> is its own promise. */
static const char *promised(const char *name)
{
	static const char prefix[] = "blobs/sha256/";

	return str_has_prefix(name, prefix) && id_is_hex64(name + strlen(prefix)) ? name + strlen(prefix) : NULL;
}

static int broken_promise(const char *hex, struct err *err)
{
	return err_set(err, ERR_INVALID, "invalid archive: blob sha256:%s has the wrong digest", hex);
}

static bool kept(struct digest *d, const char *hex)
{
	char text[DIGEST_TEXT];

	digest_text(d, text);
	return streq(text + strlen("sha256:"), hex);
}

/* A member that does not fit fails before its first byte, and before the disk is full for everybody. */
static int check_room(const struct spool *sp, int64_t size, struct err *err)
{
	struct statvfs fs;

	if (size < CHECK_ROOM || fstatvfs(sp->fd, &fs) < 0 || size <= (int64_t)fs.f_bavail * (int64_t)fs.f_frsize)
		return 0;
	return err_errno(err, ENOSPC, "spool %lld bytes of the archive", (long long)size);
}

static int copy_payload(struct spool *sp, struct tar_reader *tar, struct spool_member *m, int64_t size, const struct cancel *c,
	struct err *err)
{
	const char *hex = promised(m->name);
	struct digest d;
	const void *data;
	ssize_t n;

	if (check_room(sp, size, err) < 0)
		return -1;
	if (size > SPOOL_CHECKED)
		m->promise = STEAL(hex);
	digest_init(&d);
	while ((n = tar_data(tar, &data, err)) > 0) {
		if (cancel_fired(c))
			return err_set(err, ERR_CANCELLED, "cancelled");
		if (hex)
			digest_add(&d, data, (size_t)n);
		if (fs_write_all(sp->fd, data, (size_t)n) < 0)
			return err_errno(err, errno, "spool the archive");
		m->size += n;
		sp->size += n;
	}
	if (n == 0 && hex && !kept(&d, hex))
		return broken_promise(hex, err);
	return n < 0 ? -1 : 0;
}

static int read_member(struct spool *sp, struct tar_reader *tar, const struct tar_entry *e, const struct cancel *c,
	struct err *err)
{
	OWN_FREE char *name = normalise("", e->name), *link = NULL;

	if (!name)
		return err_set(err, ERR_INVALID, "invalid archive: bad member name %.200s", e->name);
	if (sp->len >= MEMBERS_MAX)
		return err_set(err, ERR_INVALID, "invalid archive: more than %d members", MEMBERS_MAX);
	switch (e->type) {
	case TAR_DIR:
		return 0;
	case TAR_FILE:
		return copy_payload(sp, tar, add(sp, STEAL(name)), e->size, c, err);
	case TAR_SYMLINK:
		link = normalise(name, e->link);
		break;
	case TAR_HARDLINK:
		link = normalise("", e->link);
		break;
	default:
		return err_set(err, ERR_INVALID, "invalid archive: %.200s is neither file nor folder", e->name);
	}
	if (!link)
		return err_set(err, ERR_INVALID, "invalid archive: link %.200s leads outside", e->name);
	add(sp, STEAL(name))->link = STEAL(link);
	return 0;
}

static int member_cmp(const void *a, const void *b)
{
	return strcmp(((const struct spool_member *)a)->name, ((const struct spool_member *)b)->name);
}

static int check_names(struct spool *sp, struct err *err)
{
	if (sp->len)
		qsort(sp->v, sp->len, sizeof(*sp->v), member_cmp);
	for (size_t i = 1; i < sp->len; i++)
		if (streq(sp->v[i - 1].name, sp->v[i].name))
			return err_set(err, ERR_INVALID, "invalid archive: it has %.200s twice", sp->v[i].name);
	return 0;
}

static const struct spool_member *find(const struct spool *sp, const char *name)
{
	struct spool_member key = { .name = (char *)name };

	return sp->len ? bsearch(&key, sp->v, sp->len, sizeof(*sp->v), member_cmp) : NULL;
}

/* The name relative to the folder that base lies in, "." and ".." resolved; NULL when it is absolute or leaves the archive. */
static char *normalise(const char *base, const char *name)
{
	const char *slash = strrchr(base, '/');
	OWN_BUF struct buf b = { 0 };

	if (*name == '/' || !*name)
		return NULL;
	buf_add(&b, base, slash ? (size_t)(slash - base) : 0);
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && memcmp(p, "..", 2) == 0) {
			size_t k = b.size;

			if (!k)
				return NULL;
			while (k && b.data[k - 1] != '/')
				k--;
			b.size = k ? k - 1 : 0;
		} else if (n && !(n == 1 && *p == '.')) {
			if (b.size)
				buf_addc(&b, '/');
			buf_add(&b, p, n);
		}
		p += n + (p[n] == '/');
	}
	return b.size ? xstrndup(b.data, b.size) : xstrdup(".");
}
