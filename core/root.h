/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The places that belong to the daemon: data-root, exec-root, pid file, and the locks that keep a second daemon out. */
#ifndef CORE_ROOT_H
#define CORE_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Docker's text unless the effective user is root. */
int root_check_user(struct err *err);
/* The devices controller is there: in a hierarchy of mountinfo, or as BPF where unified_dir is the unified one. */
int root_check_cgroups(const char *mountinfo, const char *unified_dir, struct err *err);

/* Makes it (0710, owner uid:gid), resolves links; the path is owned by the caller. */
char *root_make_data(const char *path, uid_t uid, gid_t gid, struct err *err);
/* Makes it 0700. */
char *root_make_exec(const char *path, struct err *err);
/* Takes the lock of a data-root: an fd that holds it, or -1 naming the holder. Ends with the process or close(). */
int root_lock(const char *data_root, struct err *err);
/*
 * Docker's own lock, where it ever ran in this data-root: *ret_fd keeps it out, or is -1. ERR_CONFLICT: it runs.
 */
int root_lock_docker(const char *data_root, int *ret_fd, struct err *err);
/* What this daemon cannot read and must not bury: other stores' data found in the root. */
int root_check_stores(const char *data_root, struct err *err);

/*
 * Pid file: the pid alone, locked as long as the daemon lives. One that another living daemon holds is refused with
 * Docker's text; a stale one is taken over.
 */
struct pidfile { int fd; char *path; };
int pidfile_take(struct pidfile *p, const char *path, struct err *err);
void pidfile_drop(struct pidfile *p);  /* removes the file */

/* engine-id of the data-root: made once, a UUID; the kid of a key.json that lies in the root is kept. Owned by the caller. */
char *root_engine_id(const char *data_root, struct err *err);
/* TMPDIR of the daemon and what it starts: DOCKER_TMPDIR or data_root/tmp, emptied when it is ours. */
int root_tmpdir(const char *data_root, struct err *err);
/* Logs a data-root that is read-only or full. */
void root_look(const char *data_root);
/* kernel.keys.root_maxkeys and maxbytes as high as many containers need, where they may be written. */
void root_raise_keys(void);

#endif
