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

static int64_t measure(int fd, int depth, const struct cancel *cancel, struct seen *seen, int64_t *sum);
static bool first_name(struct seen *s, const struct stat *st);

static void seen_done(struct seen *s) { free(s->v); }

int64_t disk_use(int dir_fd, const struct cancel *cancel)
{
	CLEANUP(seen_done) struct seen seen = { 0 };
	int64_t sum = 0;

	if (dir_fd < 0 || measure(dir_fd, 0, cancel, &seen, &sum) < 0)
		return -1;
	return sum;
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
static int64_t measure(int fd, int depth, const struct cancel *cancel, struct seen *seen, int64_t *sum)
{
	OWN_DIR DIR *dir = fdopendir(fd);
	struct dirent *d;
	struct stat st;

	if (!dir) {
		close(fd);
		return 0;
	}
	if (depth > DEPTH_MAX || cancel_fired(cancel))
		return -1;
	while ((d = readdir(dir))) {
		int sub;

		if (streq(d->d_name, ".") || streq(d->d_name, "..") || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			if (__builtin_add_overflow(*sum, bytes_of(seen, &st), sum))
				*sum = INT64_MAX;
			continue;
		}
		sub = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0 && measure(sub, depth + 1, cancel, seen, sum) < 0)
			return -1;
	}
	return 0;
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
