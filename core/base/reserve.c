/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

#define FILE_NAME    ".dockerd.reserve"
#define RESERVE_MIN  (INT64_C(1) << 20)
#define RESERVE_MAX  (INT64_C(64) << 20)
#define RESERVE_PART 16

static char *folder, *path;   /* set while one thread runs */
static atomic_bool held, taking;
static _Thread_local int allowed;

static int64_t free_bytes(void)
{
	struct statvfs st;

	return statvfs(folder, &st) < 0 ? -1 : (int64_t)st.f_bavail * (int64_t)st.f_frsize;
}

/* In memory it would be memory. */
static int64_t wanted(void)
{
	int64_t size = free_bytes() / RESERVE_PART, max = RESERVE_MAX;
	struct statfs st;

	if (statfs(folder, &st) == 0 && (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC))
		max = RESERVE_MIN;
	return size < RESERVE_MIN ? 0 : size > max ? max : size;
}

static void take(void)
{
	int64_t size = wanted();
	OWN_FD int fd = -1;

	/* what is there is too small, or no file */
	if (!size || fs_remove_tree(AT_FDCWD, path, NULL) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	/* Real blocks or nothing: no emulation by writing. */
	if (fallocate(fd, 0, 0, size) == 0) {
		atomic_store(&held, true);
		return;
	}
	log_debug("no reserve in %s: %s", folder, strerror(errno));
	unlink(path);
}

void reserve_open(const char *dir)
{
	struct stat st;

	reserve_close();
	fs_set_relief(reserve_give);
	folder = xstrdup(dir);
	path = xasprintf("%s/" FILE_NAME, dir);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_blocks * 512 >= RESERVE_MIN)
		atomic_store(&held, true);
	else
		take();
}

void reserve_close(void)
{
	fs_set_relief(NULL);
	atomic_store(&held, false);
	free(STEAL(folder));
	free(STEAL(path));
}

void reserve_allow(bool on)
{
	allowed += on ? 1 : -1;
}

bool reserve_give(void)
{
	if (!allowed || !atomic_exchange(&held, false))
		return false;
	log_warn("%s is full: the reserve is given up for what frees space", folder);
	return unlink(path) == 0;
}

void reserve_retake(void)
{
	if (!folder || atomic_load(&held) || atomic_exchange(&taking, true))
		return;
	if (!atomic_load(&held))
		take();
	atomic_store(&taking, false);
}

void reserve_explain(struct err *err)
{
	OWN_FREE char *text = NULL;
	int64_t left;

	if (!folder || !err || !err->msg || err->class != ERR_NO_SPACE || (left = free_bytes()) < 0)
		return;
	text = xasprintf("%s (%lld bytes are free in %s)", err->msg, (long long)left, folder);
	free(err->msg);
	err->msg = STEAL(text);
}
