/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/inode-map.h"

#include "base/str.h"

static struct inode_map_slot *slot(const struct inode_map *m, dev_t dev, ino_t ino)
{
	size_t i = (size_t)(((uint64_t)ino * UINT64_C(0x9e3779b97f4a7c15)) >> 20 ^ dev) & (m->room - 1);

	while (m->v[i].name && (m->v[i].ino != ino || m->v[i].dev != dev))
		i = (i + 1) & (m->room - 1);
	return &m->v[i];
}

static void grow(struct inode_map *m)
{
	struct inode_map old = *m;

	m->room = old.room ? old.room * 2 : 64;
	m->v = xcalloc(m->room, sizeof(*m->v));
	for (size_t i = 0; i < old.room; i++)
		if (old.v[i].name)
			*slot(m, old.v[i].dev, old.v[i].ino) = old.v[i];
	free(old.v);
}

const char *inode_map_note(struct inode_map *m, const struct stat *st, const char *name)
{
	struct inode_map_slot *at;

	if ((m->len + 1) * 4 > m->room * 3)
		grow(m);
	at = slot(m, st->st_dev, st->st_ino);
	if (at->name)
		return at->name;
	*at = (struct inode_map_slot){ st->st_dev, st->st_ino, xstrdup(name) };
	m->len++;
	return NULL;
}

void inode_map_done(struct inode_map *m)
{
	for (size_t i = 0; i < m->room; i++)
		free(m->v[i].name);
	free(m->v);
	*m = (struct inode_map){ 0 };
}
