/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Driver "local": the removal of trees that containers made. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "local.h"

/*
 * Empties and removes the directory name in root, of any depth: each directory below is moved up first, so that there
 * are never more than two levels. Follows no link, crosses no mount.
 */
static int empty_into(int top, int dir, unsigned *count)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	char name[32];
	int ret = 0;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return -1;
	}
	while (ret == 0 && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(dir, e->d_name, 0) == 0)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			ret = -1;
			break;
		}
		if (unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0)
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST) {
			ret = -1;
			break;
		}
		do {
			snprintf(name, sizeof(name), ".%u", (*count)++);
			ret = renameat(dir, e->d_name, top, name);
		} while (ret < 0 && (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR));
	}
	closedir(d);
	return ret;
}

int local_remove_tree(int root, const char *name)
{
	int top = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), ret = -1, sub;
	unsigned count = 0;
	struct dirent *e;
	DIR *d;

	if (top < 0)
		return errno == ENOENT ? 0 : -1;
	d = fdopendir(top);
	if (!d) {
		close(top);
		return -1;
	}
	for (;;) {
		bool any = false;

		rewinddir(d);
		while ((e = readdir(d))) {
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			any = true;
			if (unlinkat(top, e->d_name, 0) == 0)
				continue;
			sub = openat(top, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (sub < 0)
				goto out;
			ret = empty_into(top, sub, &count);
			close(sub);
			if (ret < 0 || (ret = unlinkat(top, e->d_name, AT_REMOVEDIR)) < 0)
				goto out;
		}
		if (!any)
			break;
	}
	ret = unlinkat(root, name, AT_REMOVEDIR);
out:
	sub = errno;
	closedir(d);
	errno = sub;
	return ret;
}
