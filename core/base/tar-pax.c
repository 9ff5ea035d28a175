/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extended headers of PAX (POSIX.1-2001, "pax Interchange Format"), read as Go's archive/tar does. */
#include "base/tar-pax.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/tar-header.h"

#define XATTRS_MAX 256 /* of one member */

int tar_invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "archive/tar: invalid tar header: %s", what);
}

void tar_pax_done(struct tar_pax *p)
{
	free(p->xattrs);
	buf_done(&p->text);
	tar_sparse_done(&p->sparse);
}

void tar_pax_reset(struct tar_pax *p)
{
	struct tar_pax keep = { .text = p->text, .xattrs = p->xattrs, .sparse = p->sparse };

	buf_reset(&keep.text);
	tar_sparse_reset(&keep.sparse);
	*p = keep;
}

static int pax_add_xattr(struct tar_pax *p, const char *name, const char *value, size_t size, struct err *err)
{
	if (!*name)
		return tar_invalid(err, "extended attribute without a name");
	for (size_t i = 0; i < p->xattrs_len; i++) {
		if (streq(p->xattrs[i].name, name)) {
			p->xattrs[i] = (struct tar_xattr){ name, value, size };
			return 0;
		}
	}
	if (p->xattrs_len == XATTRS_MAX)
		return tar_invalid(err, "too many extended attributes");
	if (!p->xattrs)
		p->xattrs = xmalloc(XATTRS_MAX * sizeof(*p->xattrs));
	p->xattrs[p->xattrs_len++] = (struct tar_xattr){ name, value, size };
	return 0;
}

static int pax_add(struct tar_pax *p, const char *key, const char *value, size_t size, struct err *err)
{
	static const struct { const char *key; size_t offset; } known[] = {
		{ "path", offsetof(struct tar_pax, path) }, { "linkpath", offsetof(struct tar_pax, linkpath) },
		{ "uname", offsetof(struct tar_pax, uname) }, { "gname", offsetof(struct tar_pax, gname) },
		{ "size", offsetof(struct tar_pax, size) }, { "uid", offsetof(struct tar_pax, uid) },
		{ "gid", offsetof(struct tar_pax, gid) }, { "mtime", offsetof(struct tar_pax, mtime) },
		{ "atime", offsetof(struct tar_pax, atime) },
		{ "GNU.sparse.major", offsetof(struct tar_pax, sparse_major) }, { "GNU.sparse.minor", offsetof(struct tar_pax, sparse_minor) },
		{ "GNU.sparse.name", offsetof(struct tar_pax, sparse_name) }, { "GNU.sparse.size", offsetof(struct tar_pax, sparse_size) },
		{ "GNU.sparse.realsize", offsetof(struct tar_pax, sparse_realsize) }, { "GNU.sparse.map", offsetof(struct tar_pax, sparse_map) },
		{ "GNU.sparse.numblocks", offsetof(struct tar_pax, sparse_blocks) },
	};

	if (str_has_prefix(key, "SCHILY.xattr."))
		return pax_add_xattr(p, key + strlen("SCHILY.xattr."), value, size, err);
	if (streq(key, "GNU.sparse.offset") || streq(key, "GNU.sparse.numbytes"))
		return tar_sparse_number(&p->sparse, value, streq(key, "GNU.sparse.numbytes"), err);
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!streq(key, known[i].key))
			continue;
		if (memchr(value, '\0', size))
			return tar_invalid(err, "NUL in an extended header");
		*(const char **)((char *)p + known[i].offset) = size ? value : NULL; /* empty: what the plain header says */
	}
	return 0;
}

int tar_pax_parse(struct tar_pax *p, struct err *err)
{
	char *at = p->text.data, *end = at + p->text.size;

	while (at < end) {
		char *record = at, *eq;
		size_t size = 0;

		while (at < end && *at >= '0' && *at <= '9' && size <= TAR_META_MAX)
			size = size * 10 + (size_t)(*at++ - '0');
		if (at == record || at == end || *at != ' ' || size > (size_t)(end - record) || record + size <= at + 2)
			return tar_invalid(err, "malformed extended header");
		at++;
		eq = memchr(at, '=', (size_t)(record + size - 1 - at));
		if (!eq || eq == at || record[size - 1] != '\n' || memchr(at, '\0', (size_t)(eq - at)))
			return tar_invalid(err, "malformed extended header");
		*eq = record[size - 1] = '\0';
		if (pax_add(p, at, eq + 1, (size_t)(record + size - 1 - (eq + 1)), err) < 0)
			return -1;
		at = record + size;
	}
	return 0;
}

int tar_pax_number(const char *text, int64_t *ret, struct err *err)
{
	if (text && !str_to_i64(text, ret))
		return tar_invalid(err, "malformed number in an extended header");
	return 0;
}

int tar_pax_time(const char *text, struct timespec *ret, struct err *err)
{
	OWN_FREE char *copy = NULL;
	char *dot;
	int64_t sec, nsec = 0;
	int digits = 0;

	if (!text)
		return 0;
	copy = xstrdup(text);
	dot = strchr(copy, '.');
	if (dot) {
		*dot = '\0';
		for (const char *p = dot + 1; *p; p++) {
			if (*p < '0' || *p > '9')
				return tar_invalid(err, "malformed time in an extended header");
			if (digits < 9) {
				nsec = nsec * 10 + (*p - '0');
				digits++;
			}
		}
		for (; digits < 9; digits++)
			nsec *= 10;
	}
	if (!str_to_i64(copy, &sec))
		return tar_invalid(err, "malformed time in an extended header");
	if (*copy == '-' && nsec) {
		sec = sec == INT64_MIN ? sec : sec - 1;
		nsec = 1000000000 - nsec;
	}
	*ret = (struct timespec){ .tv_sec = sec, .tv_nsec = nsec };
	return 0;
}
