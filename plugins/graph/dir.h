/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What graph drivers do with directory trees. Everything returns 0 or -1 with errno, unless it says something else. */
#ifndef GRAPH_DIR_H
#define GRAPH_DIR_H

#include <dockerd/driver.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* mkdir -p with one mode; what exists is left alone. */
int dir_make_all(const char *path, mode_t mode);
/* mkdir with this very mode and owner; one that exists gets both. */
int dir_make(int at, const char *name, mode_t mode, uid_t uid, gid_t gid);
/* rm -rf of one name, never following links; missing is fine. */
int dir_remove(int at, const char *name);
/*
 * Copies the tree src into dst, an empty directory: content (shared where the file system can), holes, hard links, modes,
 * owners, extended attributes, devices, times. Gives up with ECANCELED when the call's deadline or cancel fd says so.
 */
int dir_copy(const struct dkd_call *call, int src, int dst);
/* The same with folders of its own only: all else is another name of what is in src, which must never be written again. */
int dir_link(const struct dkd_call *call, int src, int dst);
/* The whole of a small file below a directory, without white space at its end: its length, or -1. */
ssize_t dir_read_file(int at, const char *name, char *ret, size_t size);
int dir_write_file(int at, const char *name, const char *text, mode_t mode);
/* NAME becomes NAME.damaged; missing is fine. Whatever its type, it is not opened. */
int dir_set_aside(int at, const char *name);
/* No folder, or nothing in it whose name does not begin with a dot. */
bool dir_is_empty(const char *path);
/* host->fail() as an internal error, with errno and a format. */
__attribute__((format(printf, 3, 4)))
int32_t dir_failf(const struct dkd_host *host, const struct dkd_call *call, const char *fmt, ...);
/* Docker's name of the file system that path lies on. */
const char *dir_fs_name(const char *path);

#endif
