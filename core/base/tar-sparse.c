/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/tar-sparse.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/tar-pax.h"

#define FIELD 12 /* bytes of a number in a header */

static int bad(struct err *err);

void tar_sparse_reset(struct tar_sparse *s)
{
	*s = (struct tar_sparse){ .v = s->v, .room = s->room };
}

void tar_sparse_done(struct tar_sparse *s)
{
	free(s->v);
}

int tar_sparse_add(struct tar_sparse *s, int64_t offset, int64_t size, struct err *err)
{
	if (s->len == TAR_EXTENTS_MAX)
		return tar_invalid(err, "too many pieces of a sparse file");
	if (s->len == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->v = xrealloc(s->v, s->room * sizeof(*s->v));
	}
	s->v[s->len++] = (struct tar_extent){ offset, size };
	return 0;
}

int tar_sparse_fields(struct tar_sparse *s, const char *fields, size_t n, struct err *err)
{
	for (; n && *fields; n--, fields += TAR_SPARSE_FIELD) {
		int64_t offset, size;

		if (tar_number(fields, FIELD, &offset, err) < 0 || tar_number(fields + FIELD, FIELD, &size, err) < 0 ||
		    tar_sparse_add(s, offset, size, err) < 0)
			return -1;
	}
	return 0;
}

int tar_sparse_number(struct tar_sparse *s, const char *text, bool is_size, struct err *err)
{
	int64_t n;

	if (is_size != s->odd || !str_to_i64(text, &n))
		return bad(err);
	s->odd = !s->odd;
	if (is_size)
		return tar_sparse_add(s, s->offset, n, err);
	s->offset = n;
	return 0;
}

int tar_sparse_map(struct tar_sparse *s, const char *text, struct err *err)
{
	OWN_FREE char *copy = xstrdup(text);
	char *at = copy, *number;

	while ((number = strsep(&at, ",")))
		if (tar_sparse_number(s, number, s->odd, err) < 0)
			return -1;
	return 0;
}

int tar_sparse_check(struct tar_sparse *s, int64_t real, int64_t stored, struct err *err)
{
	int64_t end = 0;

	if (s->odd || real < 0 || real > TAR_SPARSE_MAX)
		return bad(err);
	for (size_t i = 0; i < s->len; i++) {
		if (s->v[i].offset < end || s->v[i].offset > real || s->v[i].size < 0 || s->v[i].size > real - s->v[i].offset)
			return bad(err);
		end = s->v[i].offset + s->v[i].size;
		stored -= s->v[i].size;
	}
	if (stored != 0)
		return bad(err);
	s->real = real;
	s->pos = 0;
	s->at = 0;
	return 0;
}

/* The extent that holds pos, or the next one; NULL behind the last. */
static const struct tar_extent *here(struct tar_sparse *s)
{
	while (s->at < s->len && s->v[s->at].offset + s->v[s->at].size <= s->pos)
		s->at++;
	return s->at < s->len ? &s->v[s->at] : NULL;
}

int64_t tar_sparse_hole(struct tar_sparse *s)
{
	const struct tar_extent *x = here(s);

	return !x ? s->real - s->pos : x->offset > s->pos ? x->offset - s->pos : 0;
}

int64_t tar_sparse_data(struct tar_sparse *s)
{
	const struct tar_extent *x = here(s);

	return x && x->offset <= s->pos ? x->offset + x->size - s->pos : 0;
}

static int bad(struct err *err)
{
	return tar_invalid(err, "malformed map of a sparse file");
}
