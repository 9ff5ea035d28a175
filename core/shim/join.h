/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An exec without the runtime. The shim starts a copy of its own program out of a sealed memfd (what a container finds behind
 * /proc/PID/exe is no file of the host), and that process, which has one thread and nothing of the shim's memory:
 *
 *   joins the container's control groups, then its namespaces by the pidfd of its first process (joined.c);
 *   forks a child of the shim's, in the container's pid namespace, that takes the rights of the plan (plan.h) and becomes the
 *   program (become.c), and waits for that.
 *
 * Whatever fails on the way, for whatever reason, has changed nothing: the shim then has the runtime do the exec, whose words are the
 * client's. So this only has to be right where it succeeds.
 */
#ifndef SHIM_JOIN_H
#define SHIM_JOIN_H

#include "shim/plan.h"
#include "shim/runtime.h"

#define JOIN_WORD "join" /* argv[1] of the process */

/* Its descriptors. */
enum { JOIN_PLAN_FD = 3, JOIN_RESULT_FD, JOIN_INIT_FD, JOIN_FDS };

/*
 * The shim's side. Starts the process for an exec in the container whose first process is init; *ret_result is for join_result(),
 * once on_end has come. -1 with errno.
 */
int join_start(struct command *c, const struct buf *plan, pid_t init, int init_pidfd, const int stdio[3], int *ret_result,
	void (*on_end)(struct command *c, int status));
/* The pid of the new process, a child of the shim's, and its terminal's master or -1; 0: it was declined, *ret_why says why (owned). */
pid_t join_result(int result, int *ret_master, char **ret_why);

/* The other side: all of the program in that process. */
int join_main(char **argv);

struct join_plan {
	struct shim_msg msg; /* what the others point into */
	char **argv, **env;
	const char *cwd, *keyring, *apparmor;
	int proc;            /* the host's /proc, or -1 */
	gid_t *groups;
	size_t n_groups;
	struct plan_rlimit *rlimits;
	size_t n_rlimits;
	uid_t uid;
	gid_t gid;
	uint64_t caps[PLAN_CAP_SETS];
	bool no_new_privs, tty;
	uint16_t rows, cols;
	const void *filter;  /* a copy, aligned */
	size_t filter_len;   /* instructions */
	unsigned filter_flags;
};

/* Sends the terminal's master to the shim. 0 or -1. */
int join_send_master(int fd);
/* In the container's pid namespace: becomes the program, or writes why not to report. */
_Noreturn void join_become(const struct join_plan *p, int report);

#endif
