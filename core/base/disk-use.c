/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/disk-use.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/inode-map.h"
#include "base/str.h"

enum { DEPTH_MAX = 1000, SEEN_MAX = 1 << 20 };

/* The folders from the top to where the walk is: on the heap, the threads that ask have small stacks. */
struct way {
	DIR **v;
	size_t len, room;
};

static void way_push(struct way *w, int fd);
static void way_pop(struct way *w);
static void step(struct way *w, struct inode_map *seen, int64_t *sum);

static void way_done(struct way *w);

int64_t disk_use(int dir_fd, const struct cancel *cancel)
{
	OWN_INODE_MAP struct inode_map seen = { 0 };
	CLEANUP(way_done) struct way way = { 0 };
	int64_t sum = 0;

	if (dir_fd < 0)
		return -1;
	way_push(&way, dir_fd);
	while (way.len && !cancel_fired(cancel))
		step(&way, &seen, &sum);
	return way.len ? -1 : sum;
}

static int64_t bytes_of(struct inode_map *seen, const struct stat *st)
{
	if (st->st_nlink < 2)
		return st->st_size;
	/* Past the bound each name counts its share: memory does not grow with what a container makes. */
	if (seen->len >= SEEN_MAX)
		return st->st_size / (int64_t)st->st_nlink;
	return inode_map_note(seen, st, "") ? 0 : st->st_size;
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
static void step(struct way *w, struct inode_map *seen, int64_t *sum)
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
