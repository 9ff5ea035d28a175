/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of the aufs driver: mounts of aufs, and the system calls behind them, which tests put others in the place of. */
#ifndef GRAPH_AUFS_H
#define GRAPH_AUFS_H

#include <stdbool.h>
#include <stddef.h>

#define AUFS_BRANCHES 127 /* the most that aufs takes: the writable one and 126 below it */

struct aufs_calls {
	int (*mount)(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
	int (*umount)(const char *target, int flags);
	bool (*is_mounted)(const char *target);
	bool (*kernel_has)(void); /* aufs among its file systems */
};
extern const struct aufs_calls *aufs_calls;

/* One mount: the writable branch, and the others below it, the nearest first. All are whole paths. */
struct aufs_mount {
	const char *rw;
	const char *const *ro;
	size_t ro_len;
	const char *target;
	const char *label; /* SELinux, or NULL */
	bool dirperm1;
};
/*
 * As Docker mounts: what fits into a page of options at once, the rest by remounts that append. 0 or -1 with errno; nothing stays
 * mounted then.
 */
int aufs_mount(const struct aufs_mount *m);
/* Does this aufs know dirperm1? Tried out in the folder dir. */
bool aufs_has_dirperm1(const char *dir);

#endif
