/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What task.c, exec.c and end.c share: the one container of this shim. */
#ifndef SHIM_SELF_H
#define SHIM_SELF_H

#include "shim/task.h"

#define SHIM_RETRY (NSEC_PER_SEC / 10)

struct self {
	bool configured;
	int dirfd;              /* of runtime.dir */
	struct runtime runtime;
	char *images;           /* the checkpoint that the container starts from, or NULL */
	struct logger *logger;  /* NULL: no log */
	struct task container;
	struct task *execs;
	char *oom_file;         /* cgroup.h; NULL when unknown */
	int64_t oom_kills, oom_told;
};
extern struct self self;

/* exec.c */
void exec_unlink_files(const struct task *t);
void exec_free(struct task *t);
/* Frees those whose end was told and whose output was taken. */
void exec_sweep(void);
/* Those that were made and not run. */
void exec_drop_unrun(void);
/* Has that done later: for callers inside an exec's own streams. */
void exec_sweep_later(void);

/* oom.c */
void oom_watch(void);
/* The last look, at the container's end. */
void oom_end(void);
/* To whom it may concern: told again until a daemon has taken it. */
void oom_tell(void);

/* end.c */
void end_on_drained(struct streams *s);
/* conn is no more. */
void end_forget(struct conn *conn);

#endif
