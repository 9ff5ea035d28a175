/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of the overlay driver: the mount itself, and what the kernel and the file system can do. */
#ifndef GRAPH_OVERLAY_H
#define GRAPH_OVERLAY_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One overlay to mount. Paths are relative to root. */
struct overlay_mount {
	const char *root;
	const char *const *lower; /* topmost first */
	size_t lower_len;
	const char *upper, *work; /* NULL: read only */
	const char *target;
	const char *label;        /* SELinux, or NULL */
	bool index_off, userxattr;
	bool unsynced;            /* "volatile": unmounting does not sync the file system below; kernels before 5.10: EINVAL */
};
/* 0 or -1 with errno. How: the first way that takes that many layers (see OVERLAY_BY_*). */
int overlay_mount(const struct overlay_mount *m);

/* The ways, for tests to insist on one: options of mount(2) with whole paths; the new mount API; mount(2) from root. */
#define OVERLAY_BY_OPTIONS  1
#define OVERLAY_BY_FSCONFIG 2
#define OVERLAY_BY_CHDIR    4
int overlay_mount_by(const struct overlay_mount *m, unsigned ways);

struct overlay_facts {
	bool d_type;      /* directory entries carry their type */
	bool native_diff; /* an upper directory alone tells what changed: no redirects, no metadata-only copies */
	bool metacopy;
	bool guessed;     /* not tried out: nothing can be written */
	bool index_off;   /* the kernel knows index=off, and gets it */
	bool userxattr;   /* inside a user namespace: user.overlay.* instead of trusted.overlay.* */
};
/* Tries it all out in a temporary folder below dir. -1 with errno and what failed when nothing can be mounted here. */
int overlay_check(const char *dir, struct overlay_facts *ret, const char **ret_what);
/* Removes such folders that a crash left. */
void overlay_check_sweep(const char *dir);

/* overlay-quota.c: sizes of layers, by project quotas. */
#define OVERLAY_QUOTA_DEVICE "backingFsBlockDev" /* in the driver's root */
struct overlay_quota {
	char device[PATH_MAX];     /* of the file system; empty: there are no such quotas */
	atomic_uint next;          /* the next project */
};
/* -1 with errno where the file system enforces none. */
int overlay_quota_open(int rootfd, const char *root, struct overlay_quota *q);
/* The folder layer of root, before anything is in it. */
int overlay_quota_set(struct overlay_quota *q, int rootfd, const char *layer, uint64_t bytes);
/* "10G", "1.5 gib", "4096": false when it is none. */
bool overlay_quota_parse(const char *text, uint64_t *ret);

#endif
