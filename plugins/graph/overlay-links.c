/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "overlay-links.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"

static bool is_link_name(const char *s, size_t n)
{
	return n == LINK_LEN && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") >= n;
}

/* "l/NAME:l/NAME" cut into pieces, in place. */
static int split_lowers(struct lowers *l)
{
	char *p = l->text;

	for (l->len = 0; *p; ) {
		size_t n = strcspn(p, ":");

		if (l->len > MAX_LOWER || strncmp(p, "l/", 2) != 0 || !is_link_name(p + 2, n - 2))
			return errno = EUCLEAN, -1;
		l->v[l->len++] = p;
		p += n;
		if (*p)
			*p++ = '\0';
	}
	return 0;
}

int overlay_lowers(struct dkd_graph *g, const char *id, struct lowers *l)
{
	char path[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/lower", id);
	n = dir_read_file(g->fd, path, l->text, sizeof(l->text));
	if (n < 0 && errno == ENOENT) {
		l->text[0] = '\0';
		l->len = 0;
		/* Only a layer with a parent has a work folder: then the file was there and is lost. */
		snprintf(path, sizeof(path), "%s/work", id);
		return faccessat(g->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? (errno = EUCLEAN, -1) : 0;
	}
	if (n == 0) /* left empty by a power cut */
		return errno = EUCLEAN, -1;
	return n < 0 ? -1 : split_lowers(l);
}

/* The id that l/NAME leads to. */
int overlay_link_target(struct dkd_graph *g, const char *link, char *ret, size_t size)
{
	char target[NAME_MAX + 32];
	ssize_t n = readlinkat(g->fd, link, target, sizeof(target) - 1);
	char *end;

	if (n < 0)
		return -1;
	target[n] = '\0';
	end = n > 8 ? target + n - 5 : NULL;
	if (!end || strncmp(target, "../", 3) != 0 || strcmp(end, "/diff") != 0)
		return errno = EUCLEAN, -1;
	*end = '\0';
	if (strchr(target + 3, '/') || strlen(target + 3) >= size)
		return errno = EUCLEAN, -1;
	strcpy(ret, target + 3);
	return 0;
}

int overlay_make_link(struct dkd_graph *g, const char *id, char ret[LINK_LEN + 1])
{
	char target[PATH_MAX], path[PATH_MAX];
	unsigned char random[LINK_LEN];

	snprintf(target, sizeof(target), "../%s/diff", id);
	do {
		if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -1;
		for (int i = 0; i < LINK_LEN; i++)
			ret[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[random[i] & 31];
		ret[LINK_LEN] = '\0';
		snprintf(path, sizeof(path), "l/%s", ret);
	} while (symlinkat(target, g->fd, path) < 0 && errno == EEXIST);
	if (faccessat(g->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/link", id);
	return dir_write_file(g->fd, path, ret, 0644);
}

/* The short name of a layer as its file has it; a crash may have come before the file, a power cut before its content. */
bool overlay_link_file(struct dkd_graph *g, const char *id, char *ret, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/link", id);
	n = dir_read_file(g->fd, path, ret, size);
	return n > 0 && is_link_name(ret, (size_t)n);
}

/* The same by the names that lead to it. */
bool overlay_link_by_target(struct dkd_graph *g, const char *id, char ret[LINK_LEN + 1])
{
	int fd = openat(g->fd, "l", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char path[PATH_MAX], target[NAME_MAX + 1];
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir))) {
		if (!is_link_name(e->d_name, strlen(e->d_name)))
			continue;
		snprintf(path, sizeof(path), "l/%s", e->d_name);
		found = overlay_link_target(g, path, target, sizeof(target)) == 0 && strcmp(target, id) == 0;
		if (found)
			strcpy(ret, e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

int overlay_read_link(struct dkd_graph *g, const char *id, char ret[LINK_LEN + 1])
{
	char path[PATH_MAX], text[64];

	if (overlay_link_file(g, id, text, sizeof(text))) {
		strcpy(ret, text);
		return 0;
	}
	snprintf(path, sizeof(path), "%s/diff", id);
	if (faccessat(g->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/link", id);
	if (dir_set_aside(g->fd, path) < 0)
		return -1;
	return overlay_link_by_target(g, id, ret) ? dir_write_file(g->fd, path, ret, 0644) : overlay_make_link(g, id, ret);
}

/*
 * Damage: what a power cut, a bad disk or a hand did to the small files. A layer without its diff is lost; everything else
 * follows from the other layers once the parent is known.
 */

/* Below a layer is its parent and what is below that: a file that was cut between two names still looks whole. */
static int check_chain(struct dkd_graph *g, const struct lowers *l)
{
	char parent[NAME_MAX + 1];
	struct lowers below;

	/* The parent's own damage is not the child's. */
	if (overlay_link_target(g, l->v[0], parent, sizeof(parent)) < 0 || overlay_lowers(g, parent, &below) < 0)
		return 0;
	if (below.len + 1 != l->len)
		return errno = EUCLEAN, -1;
	for (size_t i = 0; i < below.len; i++)
		if (strcmp(below.v[i], l->v[i + 1]) != 0)
			return errno = EUCLEAN, -1;
	return 0;
}

/* Is the layer whole? -1 and what is wrong with it. */
int overlay_check_layer(struct dkd_graph *g, const char *id, const char **ret_what)
{
	char path[PATH_MAX], text[64], below[NAME_MAX + 1];
	struct stat st;
	struct lowers l;
	ssize_t n;

	*ret_what = "diff";
	snprintf(path, sizeof(path), "%s/diff", id);
	if (fstatat(g->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		return errno = ENOTDIR, -1;
	*ret_what = "link";
	snprintf(path, sizeof(path), "%s/link", id);
	n = dir_read_file(g->fd, path, text, sizeof(text));
	if (n < 0)
		return -1;
	if (!is_link_name(text, (size_t)n))
		return errno = EUCLEAN, -1;
	snprintf(path, sizeof(path), "l/%s", text);
	if (overlay_link_target(g, path, below, sizeof(below)) < 0)
		return -1;
	if (strcmp(below, id) != 0)
		return errno = EUCLEAN, -1;
	*ret_what = "lower";
	if (overlay_lowers(g, id, &l) < 0)
		return -1;
	for (size_t i = 0; i < l.len; i++)
		if (overlay_link_target(g, l.v[i], below, sizeof(below)) < 0)
			return -1;
	return l.len ? check_chain(g, &l) : 0;
}

/* The symbolic link of a layer whose link file is whole. */
static int put_back_link(struct dkd_graph *g, const char *id)
{
	char link[LINK_LEN + 1], path[PATH_MAX], target[PATH_MAX], there[NAME_MAX + 1];

	if (overlay_read_link(g, id, link) < 0)
		return -1;
	snprintf(path, sizeof(path), "l/%s", link);
	if (overlay_link_target(g, path, there, sizeof(there)) == 0 && strcmp(there, id) == 0)
		return 0;
	snprintf(target, sizeof(target), "../%s/diff", id);
	return dir_set_aside(g->fd, path) < 0 ? -1 : symlinkat(target, g->fd, path);
}

/* The lower file of a child: its parent, then what lies below that. 0, 1 when there would be too many, -1. */
int overlay_write_lower(struct dkd_graph *g, const char *id, const char *parent)
{
	struct lowers below;
	char link[LINK_LEN + 1], path[PATH_MAX], text[sizeof(below.text) + LINK_LEN + 4];
	size_t n;

	if (overlay_read_link(g, parent, link) < 0 || overlay_lowers(g, parent, &below) < 0)
		return -1;
	if (below.len + 1 > MAX_LOWER)
		return 1;
	n = (size_t)snprintf(text, sizeof(text), "l/%s", link);
	for (size_t i = 0; i < below.len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ":%s", below.v[i]);
	snprintf(path, sizeof(path), "%s/lower", id);
	return dir_write_file(g->fd, path, text, 0644);
}

/* Puts right what overlay_check_layer() finds, as far as the layer's own diff is there; parents first, by the caller. */
int overlay_repair_layer(struct dkd_graph *g, const char *id, const char *parent)
{
	char path[PATH_MAX];
	const char *what;
	struct stat st;

	if (overlay_check_layer(g, id, &what) == 0)
		return 0;
	snprintf(path, sizeof(path), "%s/diff", id);
	if (fstatat(g->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) || put_back_link(g, id) < 0)
		return -1;
	if (overlay_check_layer(g, id, &what) == 0)
		return 0;
	if (!parent)
		return -1;
	snprintf(path, sizeof(path), "%s/lower", id);
	if (dir_set_aside(g->fd, path) < 0 || overlay_write_lower(g, id, parent) != 0)
		return -1;
	dkd_logf(g->host, DKD_LOG_INFO, "wrote %s/%s/lower anew", g->root, id);
	return overlay_check_layer(g, id, &what);
}
