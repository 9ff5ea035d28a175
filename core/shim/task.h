/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the shim looks after: the container's process and its execs, from creation to the report of their end. There is one
 * container in a shim, so this module holds it as its own state.
 */
#ifndef SHIM_TASK_H
#define SHIM_TASK_H

#include "base/err.h"
#include "shim/proto.h"
#include "shim/runtime.h"
#include "shim/streams.h"

struct conn; /* control.c */

struct task {
	char *id;               /* an exec's id; NULL: the container */
	enum shim_run_state state;
	struct streams streams;
	struct command command; /* the runtime starting it, or the process that joins */
	char *process;          /* an exec's OCI object, until it runs */
	struct buf plan;        /* and its plan (plan.h); empty: the runtime starts it */
	int result;             /* of the process that joins, or -1 */
	char *declined;         /* why the plan was not carried out */
	struct conn *waiting;   /* whoever asked for the start */
	struct source console;  /* where the runtime sends the terminal */
	pid_t pid;              /* 0 before it runs and after it was reaped */
	int pidfd;
	int code;
	int64_t time;
	bool oom, reported;
	struct timer report_timer;
	struct task *next;
};

int task_config(const struct shim_msg *m, struct err *err);
bool task_configured(void);
const char *task_id(void);
const char *task_dir(void);
int task_dirfd(void);
/* The container (id NULL) or an exec; NULL with err. */
struct task *task_find(const char *id, struct err *err);
int task_exec_create(const struct shim_msg *m, struct err *err);
/* Answers conn when the runtime has. */
int task_run(struct task *t, struct conn *conn, struct err *err);
int task_kill(struct task *t, int signal, struct err *err);
/* A runtime command on the whole container (kill --all, pause, resume); answers conn. Those that freeze or thaw come in turn. */
int task_command(const struct strv *words, bool freezes, struct conn *conn, struct err *err);
/* A checkpoint into the folder images, which exists; without leave_running the container ends with it. Answers conn. */
int task_checkpoint(const char *images, bool leave_running, struct conn *conn, struct err *err);
/* Answers conn when the runtime's container is gone; the shim ends then. */
int task_release(struct conn *conn, struct err *err);
/* conn is no more. */
void task_forget(struct conn *conn);
/* Kills for want of memory that no daemon was told of. */
int64_t oom_untold(void);
/*
 * A new subscriber: tells it of the ends that nobody heard of; who was attached to execs of the last daemon never comes back,
 * nor who made one and did not run it.
 */
void task_replay(void);
/* Ends the shim if nothing is left to do. */
void task_check_end(void);
/* SIGCHLD. */
void task_reap(void);

#endif
