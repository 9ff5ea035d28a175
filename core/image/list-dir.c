/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/list-dir.h"

#include <errno.h>
#include <fcntl.h>

int list_dir(int dirfd, struct strv *ret)
{
	OWN_FD int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir)
		return -1;
	STEAL_FD(fd);
	errno = 0;
	while ((e = readdir(dir)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
			strv_add(ret, e->d_name);
	if (errno)
		return -1;
	strv_sort(ret);
	return 0;
}
