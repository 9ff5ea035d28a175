/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of the overlay driver: the mount itself, and what the kernel and the file system can do. */
#ifndef GRAPH_OVERLAY_H
#define GRAPH_OVERLAY_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * With other ids than on disk: through a mount of root with those of the user namespace userns, made at the path at for the time being. uid,
 * gid: who is root there, as the host sees it.
 */
struct overlay_mapped { const char *at; int userns; uint32_t uid, gid; };

/* One overlay to mount. Paths are relative to root. */
struct overlay_mount {
	const char *root;
	const char *const *lower; /* topmost first */
	size_t lower_len;
	const char *upper, *work; /* NULL: read only */
	const char *target;
	const char *place;        /* where to mount, as a whole path; NULL: target below root */
	const struct overlay_mapped *mapped; /* or NULL */
	const char *label;        /* SELinux, or NULL */
	bool index_off, userxattr;
	bool unsynced;            /* "volatile": unmounting does not sync the file system below; kernels before 5.10: EINVAL */
};
/* 0 or -1 with errno. How: the first way that takes that many layers (see OVERLAY_BY_*). */
int overlay_mount(const struct overlay_mount *m);
/* Of one with mapped and place, which overlay_mount() calls. */
int overlay_mount_mapped(const struct overlay_mount *m);

/* The ways, for tests to insist on one: options of mount(2) with whole paths; the new mount API; mount(2) from root. */
#define OVERLAY_BY_OPTIONS  1
#define OVERLAY_BY_FSCONFIG 2
#define OVERLAY_BY_CHDIR    4
int overlay_mount_by(const struct overlay_mount *m, unsigned ways);

struct overlay_facts {
	bool d_type;      /* directory entries carry their type */
	bool native_diff; /* an upper directory alone tells what changed: no redirects, no metadata-only copies, its marks may be read and written */
	bool metacopy;
	bool guessed;     /* not tried out: nothing can be written */
	bool index_off;   /* the kernel knows index=off, and gets it */
	bool userxattr;   /* inside a user namespace: user.overlay.* instead of trusted.overlay.* */
};
/* Tries it all out in a temporary folder below dir. -1 with errno and what failed when nothing can be mounted here. */
int overlay_check(const char *dir, struct overlay_facts *ret, const char **ret_what);
/* Removes such folders that a crash left. */
void overlay_check_sweep(const char *dir);

#endif
