/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands, above all of the OCI runtime, run beside the event loop; and the reaping of everything that ends under the shim. */
#ifndef SHIM_RUNTIME_H
#define SHIM_RUNTIME_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/str.h"

struct command {
	pid_t pid;           /* 0: not running */
	void (*on_end)(struct command *c, int status);
	struct command *next;
};

struct runtime {
	char *path, *root, *id, *dir, *bundle;
	struct strv args;
	bool systemd_cgroup;
};

/* runc under its own name, with control groups that it makes itself. */
bool runtime_is_runc(const struct runtime *r);

#define LAUNCH_MORE 3
struct launch {
	int program;         /* a descriptor of what to run, or -1: argv[0] */
	char *const *argv;
	const int *stdio;    /* three descriptors, -1 for /dev/null */
	int more[LAUNCH_MORE]; /* become 3, 4, ... */
	size_t n_more;
};
/* Starts a program with these descriptors only. on_end comes from the loop with the status of waitpid(). -1 with errno. */
int command_launch(struct command *c, const struct launch *l, void (*on_end)(struct command *c, int status));
/*
 * Starts `runtime [args] --root R --log dir/LOG ... words... ID`. stdio: three descriptors, -1 for /dev/null. on_end comes from
 * the loop with the status of waitpid(). -1 with errno when it cannot fork.
 */
int runtime_command(struct command *c, const struct runtime *r, const char *log, const struct strv *words, const int stdio[3],
	void (*on_end)(struct command *c, int status));
/* The runtime's own message out of dir/LOG, or fallback; owned by the caller. */
char *runtime_message(const struct runtime *r, const char *log, const char *fallback);
/* Reads dir/FILE as a pid; 0 when there is none. */
pid_t runtime_pid(const struct runtime *r, const char *file);

/*
 * Called at SIGCHLD. While a command runs, only commands and processes that on_exit knows are reaped: a process of a
 * container that ends before its runtime has told its pid stays a zombie until then.
 */
void runtime_reap(void (*on_exit)(pid_t pid, int status), bool (*known)(size_t i, pid_t *ret));

#endif
