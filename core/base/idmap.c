/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/idmap.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/str.h"

static const struct idmaps *root;

void idmaps_set_root(const struct idmaps *m)
{
	root = m;
}

const struct idmaps *idmaps_root(void)
{
	return root;
}

void idmaps_done(struct idmaps *m)
{
	free(m->uids.v);
	free(m->gids.v);
	*m = (struct idmaps){ 0 };
}

static void list_copy(struct idmap_list *dst, const struct idmap_list *src)
{
	dst->len = src->len;
	dst->v = src->len ? xcalloc(src->len, sizeof(*src->v)) : NULL;
	for (size_t i = 0; i < src->len; i++)
		dst->v[i] = src->v[i];
}

void idmaps_copy(struct idmaps *dst, const struct idmaps *src)
{
	*dst = (struct idmaps){ 0 };
	if (!src)
		return;
	list_copy(&dst->uids, &src->uids);
	list_copy(&dst->gids, &src->gids);
}

static bool list_equal(const struct idmap_list *a, const struct idmap_list *b)
{
	for (size_t i = 0; i < a->len && a->len == b->len; i++)
		if (a->v[i].inside != b->v[i].inside || a->v[i].outside != b->v[i].outside || a->v[i].count != b->v[i].count)
			return false;
	return a->len == b->len;
}

bool idmaps_equal(const struct idmaps *a, const struct idmaps *b)
{
	if (idmaps_none(a) || idmaps_none(b))
		return idmaps_none(a) && idmaps_none(b);
	return list_equal(&a->uids, &b->uids) && list_equal(&a->gids, &b->gids);
}

void idmap_add(struct idmap_list *l, uint32_t inside, uint32_t outside, uint32_t count)
{
	l->v = xrealloc(l->v, (l->len + 1) * sizeof(*l->v));
	l->v[l->len++] = (struct idmap){ inside, outside, count };
}

static bool apart(uint32_t a, uint32_t b, uint32_t a_count, uint32_t b_count)
{
	return a < b ? b - a >= a_count : a - b >= b_count;
}

static int check_list(const struct idmap_list *l, const char *kind, struct err *err)
{
	if (l->len > IDMAP_RANGES_MAX)
		return err_set(err, ERR_INVALID, "more than %d ranges of %s ids", IDMAP_RANGES_MAX, kind);
	for (size_t i = 0; i < l->len; i++) {
		const struct idmap *a = &l->v[i];

		/* the last id means "none" to the kernel */
		if (!a->count || a->count > UINT32_MAX - a->inside || a->count > UINT32_MAX - a->outside)
			return err_set(err, ERR_INVALID, "a range of %s ids is empty or does not end: %" PRIu32 " from %" PRIu32, kind, a->count, a->outside);
		for (size_t k = 0; k < i; k++)
			if (!apart(a->inside, l->v[k].inside, a->count, l->v[k].count) || !apart(a->outside, l->v[k].outside, a->count, l->v[k].count))
				return err_set(err, ERR_INVALID, "two ranges of %s ids overlap at %" PRIu32, kind, a->outside);
	}
	return 0;
}

int idmaps_check(const struct idmaps *m, struct err *err)
{
	if (!m->uids.len != !m->gids.len)
		return err_set(err, ERR_INVALID, "ids of %s are mapped, and those of %s are not", m->uids.len ? "users" : "groups", m->uids.len ? "groups" : "users");
	return check_list(&m->uids, "user", err) < 0 || check_list(&m->gids, "group", err) < 0 ? -1 : 0;
}

bool idmap_out(const struct idmap_list *l, uint32_t inside, uint32_t *ret)
{
	for (size_t i = 0; i < l->len; i++)
		if (inside >= l->v[i].inside && inside - l->v[i].inside < l->v[i].count) {
			*ret = l->v[i].outside + (inside - l->v[i].inside);
			return true;
		}
	return false;
}

bool idmap_in(const struct idmap_list *l, uint32_t outside, uint32_t *ret)
{
	for (size_t i = 0; i < l->len; i++)
		if (outside >= l->v[i].outside && outside - l->v[i].outside < l->v[i].count) {
			*ret = l->v[i].inside + (outside - l->v[i].outside);
			return true;
		}
	return false;
}

int idmaps_owner_out(const struct idmaps *m, uint32_t *uid, uint32_t *gid, struct err *err)
{
	if (idmaps_none(m))
		return 0;
	if (!idmap_out(&m->uids, *uid, uid))
		return err_set(err, ERR_INVALID, "Container ID %" PRIu32 " cannot be mapped to a host ID", *uid);
	if (!idmap_out(&m->gids, *gid, gid))
		return err_set(err, ERR_INVALID, "Container ID %" PRIu32 " cannot be mapped to a host ID", *gid);
	return 0;
}

void idmaps_owner_in(const struct idmaps *m, uint32_t *uid, uint32_t *gid)
{
	if (idmaps_none(m))
		return;
	if (!idmap_in(&m->uids, *uid, uid))
		*uid = IDMAP_OVERFLOW;
	if (!idmap_in(&m->gids, *gid, gid))
		*gid = IDMAP_OVERFLOW;
}

static uint32_t list_root(const struct idmap_list *l)
{
	uint32_t id = 0;

	idmap_out(l, 0, &id);
	return id;
}

uint32_t idmaps_root_uid(const struct idmaps *m)
{
	return idmaps_none(m) ? 0 : list_root(&m->uids);
}

uint32_t idmaps_root_gid(const struct idmaps *m)
{
	return idmaps_none(m) ? 0 : list_root(&m->gids);
}

uint32_t idmap_extent(const struct idmap_list *l)
{
	uint32_t n = 0, id;
	bool more = true;

	if (!l->len)
		return UINT32_MAX;
	while (more) {
		more = false;
		for (size_t i = 0; i < l->len && !more; i++)
			if (l->v[i].inside <= n && n - l->v[i].inside < l->v[i].count) {
				n = l->v[i].inside + l->v[i].count;
				more = idmap_out(l, n, &id);
			}
		if (n == 0)
			break;
	}
	return n;
}

void idmap_kernel(const struct idmap_list *l, struct buf *ret)
{
	for (size_t i = 0; i < l->len; i++)
		buf_addf(ret, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", l->v[i].inside, l->v[i].outside, l->v[i].count);
}

static void format_list(const struct idmap_list *l, struct buf *b)
{
	for (size_t i = 0; i < l->len; i++)
		buf_addf(b, "%s%" PRIu32 "-%" PRIu32 "-%" PRIu32, i ? "," : "", l->v[i].inside, l->v[i].outside, l->v[i].count);
}

char *idmaps_format(const struct idmaps *m)
{
	OWN_BUF struct buf b = { 0 };

	if (!idmaps_none(m))
		format_list(&m->uids, &b);
	buf_addc(&b, '/');
	if (!idmaps_none(m))
		format_list(&m->gids, &b);
	return xstrndup(b.data, b.size);
}

static bool parse_range(const char *text, struct idmap_list *l)
{
	uint64_t n[3];
	OWN_STRV struct strv parts = { 0 };

	strv_split(&parts, text, "-");
	if (parts.len != 3)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (!str_to_u64(parts.v[i], &n[i]) || n[i] > UINT32_MAX)
			return false;
	idmap_add(l, (uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2]);
	return true;
}

static bool parse_list(const char *text, size_t size, struct idmap_list *l)
{
	OWN_FREE char *copy = xstrndup(text, size);
	OWN_STRV struct strv ranges = { 0 };

	if (size)
		strv_split(&ranges, copy, ",");
	for (size_t i = 0; i < ranges.len; i++)
		if (l->len > IDMAP_RANGES_MAX || !parse_range(ranges.v[i], l))
			return false;
	return true;
}

int idmaps_parse(const char *text, struct idmaps *ret, struct err *err)
{
	const char *slash = strchr(text, '/');

	*ret = (struct idmaps){ 0 };
	if (slash && parse_list(text, (size_t)(slash - text), &ret->uids) && parse_list(slash + 1, strlen(slash + 1), &ret->gids))
		return idmaps_check(ret, err) < 0 ? (idmaps_done(ret), -1) : 0;
	idmaps_done(ret);
	return err_set(err, ERR_INVALID, "no id maps: %.100s", text);
}

static uint32_t max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* What of a's outside is b's inside. Ends are past the last id, and fit: idmaps_check(). */
static void join_ranges(const struct idmap *a, const struct idmap *b, struct idmap_list *ret)
{
	uint32_t from = max(a->outside, b->inside), a_end = a->outside + a->count, b_end = b->inside + b->count;
	uint32_t end = a_end < b_end ? a_end : b_end;

	if (from < end)
		idmap_add(ret, a->inside + (from - a->outside), b->outside + (from - b->inside), end - from);
}

static void join_lists(const struct idmap_list *a, const struct idmap_list *b, struct idmap_list *ret)
{
	for (size_t i = 0; i < a->len; i++)
		for (size_t k = 0; k < b->len; k++)
			join_ranges(&a->v[i], &b->v[k], ret);
}

void idmaps_join(const struct idmaps *first, const struct idmaps *second, struct idmaps *ret)
{
	*ret = (struct idmaps){ 0 };
	if (idmaps_none(first) || idmaps_none(second)) {
		idmaps_copy(ret, idmaps_none(first) ? second : first);
		return;
	}
	join_lists(&first->uids, &second->uids, &ret->uids);
	join_lists(&first->gids, &second->gids, &ret->gids);
}

static void swap_sides(struct idmap_list *l)
{
	for (size_t i = 0; i < l->len; i++)
		l->v[i] = (struct idmap){ l->v[i].outside, l->v[i].inside, l->v[i].count };
}

void idmaps_invert(const struct idmaps *m, struct idmaps *ret)
{
	idmaps_copy(ret, m);
	swap_sides(&ret->uids);
	swap_sides(&ret->gids);
}
