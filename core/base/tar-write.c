/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/tar-header.h"
#include "base/tar.h"

static const char zeros[2 * TAR_BLOCK];

void tar_writer_init(struct tar_writer *w, struct writer *out)
{
	*w = (struct tar_writer){ .out = out };
}

static int put(struct tar_writer *w, const void *data, size_t size, struct err *err)
{
	return size ? w->out->write(w->out, data, size, err) : 0;
}

static void pax_record(struct buf *b, const char *key, const char *value, size_t size)
{
	/* SIZE counts its own digits: at most two tries until it fits. */
	size_t rest = strlen(key) + size + 3, total = rest + 1;
	char digits[24];

	while (total != rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total))
		total = rest + strlen(digits);
	buf_addf(b, "%s %s=", digits, key);
	buf_add(b, value, size);
	buf_addc(b, '\n');
}

static void pax_number(struct buf *b, const char *key, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	pax_record(b, key, text, strlen(text));
}

static void pax_time(struct buf *b, const char *key, const struct timespec *t)
{
	char text[48];
	int64_t sec = t->tv_sec, nsec = t->tv_nsec;
	size_t n;

	if (sec < 0 && nsec) { /* -1.25 is written, not -2 + 0.75 */
		sec++;
		nsec = 1000000000 - nsec;
	}
	n = (size_t)snprintf(text, sizeof(text), "%s%" PRId64 ".%09" PRId64, t->tv_sec < 0 && sec == 0 ? "-" : "", sec, nsec);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	pax_record(b, key, text, n);
}

/* Octal in a field of size bytes, NUL behind; when it does not fit the field is 0 and a PAX record carries the number. */
static void number(char *field, size_t size, int64_t n, struct buf *pax, const char *key)
{
	if (n < 0 || n >= INT64_C(1) << 3 * (size - 1)) {
		pax_number(pax, key, n);
		n = 0;
	}
	snprintf(field, size, "%0*" PRIo64, (int)size - 1, n);
}

static void put_name(struct tar_header *h, const char *name, struct buf *pax)
{
	size_t n = strlen(name);
	const char *cut = NULL;

	if (n <= sizeof(h->name)) {
		memcpy(h->name, name, n);
		return;
	}
	/* A slash with at most 155 bytes before and 1 to 100 behind it. */
	for (const char *p = name + n - sizeof(h->name) - 1; n <= 256 && p < name + n - 1; p++) {
		if (*p == '/' && p > name && p - name <= (ptrdiff_t)sizeof(h->prefix)) {
			cut = p;
			break;
		}
	}
	if (cut) {
		memcpy(h->prefix, name, (size_t)(cut - name));
		memcpy(h->name, cut + 1, n - (size_t)(cut + 1 - name));
		return;
	}
	pax_record(pax, "path", name, n);
	memcpy(h->name, name, sizeof(h->name));
}

static void put_owner_name(char *field, size_t size, const char *name, struct buf *pax, const char *key)
{
	size_t n = name ? strlen(name) : 0;

	if (n >= size) {
		pax_record(pax, key, name, n);
		n = 0;
	}
	if (n)
		memcpy(field, name, n);
}

static void finish(struct tar_header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	unsigned sum = 0;

	memcpy(h->magic, "ustar\0" "00", 8);
	memset(h->chksum, ' ', sizeof(h->chksum));
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += p[i];
	snprintf(h->chksum, 7, "%06o", sum);
}

static int put_pax(struct tar_writer *w, const struct buf *pax, const char *name, struct err *err)
{
	struct tar_header h = { .typeflag = 'x' };
	const char *slash = strrchr(name, '/');

	/* The name is only seen by readers that do not know PAX. */
	snprintf(h.name, sizeof(h.name), "PaxHeaders.0/%.80s", slash && slash[1] ? slash + 1 : "member");
	number(h.mode, sizeof(h.mode), 0644, NULL, NULL);
	number(h.uid, sizeof(h.uid), 0, NULL, NULL);
	number(h.gid, sizeof(h.gid), 0, NULL, NULL);
	number(h.mtime, sizeof(h.mtime), 0, NULL, NULL);
	number(h.size, sizeof(h.size), (int64_t)pax->size, NULL, NULL);
	finish(&h);
	if (put(w, &h, sizeof(h), err) < 0 || put(w, pax->data, pax->size, err) < 0)
		return -1;
	return put(w, zeros, -pax->size & (TAR_BLOCK - 1), err);
}

static void put_times(struct tar_header *h, const struct tar_entry *e, struct buf *pax)
{
	struct timespec mtime = e->mtime;

	if (mtime.tv_nsec == UTIME_OMIT)
		mtime = (struct timespec){ 0 };
	if (mtime.tv_nsec || mtime.tv_sec < 0 || mtime.tv_sec >= INT64_C(1) << 33) {
		pax_time(pax, "mtime", &mtime);
		if (mtime.tv_sec < 0 || mtime.tv_sec >= INT64_C(1) << 33)
			mtime.tv_sec = 0;
	}
	number(h->mtime, sizeof(h->mtime), mtime.tv_sec, pax, "mtime");
	if (e->atime.tv_nsec != UTIME_OMIT && (e->atime.tv_sec || e->atime.tv_nsec))
		pax_time(pax, "atime", &e->atime);
}

int tar_write_header(struct tar_writer *w, const struct tar_entry *e, struct err *err)
{
	OWN_BUF struct buf pax = { 0 };
	struct tar_header h = { .typeflag = (char)e->type };
	size_t link_len = e->link ? strlen(e->link) : 0;

	BUG_ON(w->left);
	put_name(&h, e->name, &pax);
	if (link_len > sizeof(h.linkname)) {
		pax_record(&pax, "linkpath", e->link, link_len);
		link_len = sizeof(h.linkname);
	}
	if (link_len)
		memcpy(h.linkname, e->link, link_len);
	number(h.mode, sizeof(h.mode), e->mode & 07777, &pax, "mode");
	number(h.uid, sizeof(h.uid), e->uid, &pax, "uid");
	number(h.gid, sizeof(h.gid), e->gid, &pax, "gid");
	number(h.size, sizeof(h.size), e->type == TAR_FILE ? e->size : 0, &pax, "size");
	number(h.devmajor, sizeof(h.devmajor), e->major, &pax, "SCHILY.devmajor");
	number(h.devminor, sizeof(h.devminor), e->minor, &pax, "SCHILY.devminor");
	put_owner_name(h.uname, sizeof(h.uname), e->uname, &pax, "uname");
	put_owner_name(h.gname, sizeof(h.gname), e->gname, &pax, "gname");
	put_times(&h, e, &pax);
	for (size_t i = 0; i < e->xattrs_len; i++) {
		OWN_FREE char *key = xasprintf("SCHILY.xattr.%s", e->xattrs[i].name);

		pax_record(&pax, key, e->xattrs[i].value, e->xattrs[i].size);
	}
	finish(&h);
	if (pax.size && put_pax(w, &pax, e->name, err) < 0)
		return -1;
	w->left = e->type == TAR_FILE ? e->size : 0;
	w->pad = (uint32_t)(-w->left & (TAR_BLOCK - 1));
	return put(w, &h, sizeof(h), err);
}

int tar_write_data(struct tar_writer *w, const void *data, size_t size, struct err *err)
{
	BUG_ON((int64_t)size > w->left);
	w->left -= (int64_t)size;
	if (put(w, data, size, err) < 0)
		return -1;
	return w->left ? 0 : put(w, zeros, w->pad, err);
}

int tar_write_file(struct tar_writer *w, const char *name, const void *data, size_t size, int64_t mtime, struct err *err)
{
	bool dir = str_has_suffix(name, "/");
	struct tar_entry e = {
		.type = dir ? TAR_DIR : TAR_FILE, .name = name, .link = "", .mode = dir ? 0755 : 0644,
		.size = (int64_t)size, .mtime = { .tv_sec = mtime }, .atime = { .tv_nsec = UTIME_OMIT },
	};

	if (tar_write_header(w, &e, err) < 0)
		return -1;
	return size ? tar_write_data(w, data, size, err) : 0;
}

int tar_write_end(struct tar_writer *w, struct err *err)
{
	BUG_ON(w->left);
	return put(w, zeros, sizeof(zeros), err);
}
