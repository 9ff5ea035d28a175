/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files. Two families:
 *  - the daemon's own state (data-root, exec-root), by path or dirfd: atomic writes, whole-file reads with a cap;
 *  - paths that come from images, clients or containers: only through fs_beneath*(), which resolve with openat2 on a
 *    pinned directory fd (RESOLVE_IN_ROOT, no magic links). A plain open of such a path is banned by a test.
 * All descriptors are close-on-exec.
 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Durability of a write: what only a crash of the daemon must not take, or what must outlive a power cut. FS_SYNC_DATA syncs
 * the file but not the folder: for one of several, where the last is written with FS_SYNC. FS_ORDERED waits until the content is
 * with the disk, for no journal: a power cut leaves the old version or the new one (with a rename alone ext4 may have the new
 * name and size, but zeros behind them).
 */
enum fs_sync { FS_RENAME_ONLY, FS_ORDERED, FS_SYNC_DATA, FS_SYNC };

/* mkdir -p; existing directories are left alone. */
int fs_mkdirs(const char *path, mode_t mode, struct err *err);
/* mkdir, fine when it exists as a directory. */
int fs_mkdir(const char *path, mode_t mode, struct err *err);
/* The same for a folder that keeps nothing: whatever else is in its place, or a link to nowhere, is set aside. */
int fs_mkdir_anew(const char *path, mode_t mode, struct err *err);
/* Reads a regular file of at most max bytes (ERR_TOO_LARGE beyond; ERR_NOT_FOUND when absent). dirfd may be AT_FDCWD. */
int fs_read(int dirfd, const char *path, size_t max, struct buf *ret, struct err *err);
/* Writes path anew: temp file beside it, then rename; FS_SYNC also syncs file and folder. */
int fs_write_atomic(int dirfd, const char *path, const void *data, size_t size, mode_t mode, enum fs_sync sync, struct err *err);
/*
 * The same, and a second copy beside it, PATH.copy, that is not synced: what is read when the first one is damaged. A copy
 * that cannot be written is removed, as an old one would lie; on a full disk its room is used for the first.
 */
int fs_write_copied(int dirfd, const char *path, const void *data, size_t size, mode_t mode, enum fs_sync sync, struct err *err);
/* Asked when a write finds the disk full: true when it made room, and trying again makes sense. NULL: nobody. */
void fs_set_relief(bool (*give)(void));
/* PATH becomes PATH.damaged, whatever it is; missing is fine. */
int fs_set_aside(int dirfd, const char *path, struct err *err);
int fs_sync_dir(const char *path, struct err *err);
/* Removes what fs_write_atomic() left in a folder when the daemon was killed within; before others write there. */
void fs_sweep_temporary(const char *dir);
/* rm -rf of one name below dirfd, never following links; missing is fine. */
int fs_remove_tree(int dirfd, const char *name, struct err *err);
/* The same in a tree that others may have mounts in: EBUSY where one is, while the kernel would take it away from them. */
int fs_remove_unmounted(int dirfd, const char *name, struct err *err);
bool fs_exists(const char *path);
/* Writes all bytes to fd, whatever write(2) returns in between. 0 or -1 with errno. */
int fs_write_all(int fd, const void *data, size_t size);
/* Reads until size bytes or the end of file; the count, or -1 with errno. */
ssize_t fs_read_all(int fd, void *data, size_t size);

/* Opens path inside the root directory rootfd as a process chrooted there would; magic links are refused. fd or -1 (errno). */
int fs_beneath(int rootfd, const char *path, int flags, mode_t mode);
/* The same, but a path or a link that leads out of the directory, also an absolute one, is refused (EXDEV). */
int fs_within(int rootfd, const char *path, int flags);
/* Reads a regular file inside a root: symlinks resolve inside, FIFOs and devices are refused without blocking. */
int fs_beneath_read(int rootfd, const char *path, size_t max, struct buf *ret, struct err *err);
/* chmod of one name in a folder, which is not followed when it is a link (ELOOP), and not opened. 0 or -1 with errno. */
int fs_chmod_entry(int dirfd, const char *name, mode_t mode);
struct fs_owner { uid_t uid; gid_t gid; };
/* mkdir -p; what it makes is owner's. */
int fs_mkdirs_owned(const char *path, mode_t mode, struct fs_owner owner, struct err *err);
/* mkdir -p inside a root, through links that stay inside; what it makes is owner's. Returns an O_PATH fd of the last directory. -1 with errno. */
int fs_beneath_mkdirs(int rootfd, const char *path, mode_t mode, struct fs_owner owner);

#endif
