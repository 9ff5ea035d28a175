/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/mirror.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void entry_done(struct mirror_entry *e)
{
	free(e->key);
	free(e->value);
}

void mirror_done(struct mirror *m)
{
	for (size_t i = 0; i < m->len; i++)
		entry_done(&m->v[i]);
	free(m->v);
	*m = (struct mirror){ 0 };
}

void mirror_begin(struct mirror *m)
{
	m->round++;
}

/* Where key is, or would be. */
static size_t place(const struct mirror *m, const char *key)
{
	size_t low = 0, high = m->len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(m->v[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_at(const struct mirror *m, size_t i, const char *key)
{
	return i < m->len && streq(m->v[i].key, key);
}

bool mirror_put(struct mirror *m, const char *key, const char *value)
{
	size_t i = place(m, key);
	bool same;

	if (is_at(m, i, key)) {
		same = streq(m->v[i].value, value);
		m->v[i].round = m->round;
		if (!same)
			str_set(&m->v[i].value, value);
		return !same;
	}
	if (m->len == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->v = xrealloc(m->v, m->room * sizeof(*m->v));
	}
	memmove(m->v + i + 1, m->v + i, (m->len - i) * sizeof(*m->v));
	m->v[i] = (struct mirror_entry){ xstrdup(key), xstrdup(value), m->round };
	m->len++;
	return true;
}

char *mirror_delete(struct mirror *m, const char *key)
{
	size_t i = place(m, key);
	char *value;

	if (!is_at(m, i, key))
		return NULL;
	value = STEAL(m->v[i].value);
	entry_done(&m->v[i]);
	memmove(m->v + i, m->v + i + 1, (m->len - i - 1) * sizeof(*m->v));
	m->len--;
	return value;
}

void mirror_end(struct mirror *m, struct strmap *gone)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->len; i++) {
		if (m->v[i].round == m->round) {
			m->v[kept++] = m->v[i];
			continue;
		}
		strmap_set(gone, m->v[i].key, m->v[i].value);
		entry_done(&m->v[i]);
	}
	m->len = kept;
}

const char *mirror_get(const struct mirror *m, const char *key)
{
	size_t i = place(m, key);

	return is_at(m, i, key) ? m->v[i].value : NULL;
}

void mirror_list(const struct mirror *m, const char *prefix, struct strmap *ret)
{
	for (size_t i = place(m, prefix); i < m->len && str_has_prefix(m->v[i].key, prefix); i++)
		strmap_set(ret, m->v[i].key, m->v[i].value);
}
