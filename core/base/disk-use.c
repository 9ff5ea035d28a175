/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/disk-use.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"

enum { DEPTH_MAX = 1000, SEEN_MAX = 1 << 20 };

/* Files of several names that were met: open addressing, at most half full; an inode of 0 is a free slot. */
struct seen {
	struct seen_slot { dev_t dev; ino_t ino; } *v;
	size_t len, room;
};

/* The folders from the top to where the walk is: on the heap, the threads that ask have small stacks. */
struct way {
	DIR **v;
	size_t len, room;
};

static void way_push(struct way *w, int fd);
static void way_pop(struct way *w);
static void step(struct way *w, struct seen *seen, int64_t *sum);
static bool first_name(struct seen *s, const struct stat *st);

static void seen_done(struct seen *s) { free(s->v); }
static void way_done(struct way *w);

int64_t disk_use(int dir_fd, const struct cancel *cancel)
{
	CLEANUP(seen_done) struct seen seen = { 0 };
	CLEANUP(way_done) struct way way = { 0 };
	int64_t sum = 0;

	if (dir_fd < 0)
		return -1;
	way_push(&way, dir_fd);
	while (way.len && !cancel_fired(cancel))
		step(&way, &seen, &sum);
	return way.len ? -1 : sum;
}

static int64_t bytes_of(struct seen *seen, const struct stat *st)
{
	if (st->st_nlink < 2)
		return st->st_size;
	/* Past the bound each name counts its share: memory does not grow with what a container makes. */
	if (seen->len >= SEEN_MAX)
		return st->st_size / (int64_t)st->st_nlink;
	return first_name(seen, st) ? st->st_size : 0;
}

/* Takes over fd. A folder that went or cannot be read counts nothing. */
static void way_push(struct way *w, int fd)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	if (w->len == w->room) {
		w->room = w->room ? w->room * 2 : 16;
		w->v = xrealloc(w->v, w->room * sizeof(*w->v));
	}
	w->v[w->len++] = dir;
}

static void way_pop(struct way *w) { closedir(w->v[--w->len]); }

static void way_done(struct way *w)
{
	while (w->len)
		way_pop(w);
	free(w->v);
}

/* Goes on in the deepest folder, as far as its next folder or its end. */
static void step(struct way *w, struct seen *seen, int64_t *sum)
{
	DIR *dir = w->v[w->len - 1];
	struct dirent *d;
	struct stat st;

	while ((d = readdir(dir))) {
		if (streq(d->d_name, ".") || streq(d->d_name, "..") || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			if (w->len > DEPTH_MAX)
				continue;
			way_push(w, openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
			return;
		}
		if (__builtin_add_overflow(*sum, bytes_of(seen, &st), sum))
			*sum = INT64_MAX;
	}
	way_pop(w);
}

static struct seen_slot *slot_of(const struct seen *s, dev_t dev, ino_t ino)
{
	size_t i = ((uint64_t)ino * 0x9e3779b97f4a7c15u ^ dev) & (s->room - 1);

	while (s->v[i].ino && (s->v[i].ino != ino || s->v[i].dev != dev))
		i = (i + 1) & (s->room - 1);
	return &s->v[i];
}

static void grow(struct seen *s)
{
	struct seen old = *s;

	s->room = old.room ? old.room * 2 : 64;
	s->v = xcalloc(s->room, sizeof(*s->v));
	for (size_t i = 0; i < old.room; i++)
		if (old.v[i].ino)
			*slot_of(s, old.v[i].dev, old.v[i].ino) = old.v[i];
	free(old.v);
}

static bool first_name(struct seen *s, const struct stat *st)
{
	struct seen_slot *slot;

	if (s->len * 2 >= s->room)
		grow(s);
	slot = slot_of(s, st->st_dev, st->st_ino);
	if (slot->ino)
		return false;
	*slot = (struct seen_slot){ st->st_dev, st->st_ino };
	s->len++;
	return true;
}
