/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the room: what the files of execs share. Callers of the room see container.h. */
#ifndef CONTAINER_EXEC_H
#define CONTAINER_EXEC_H

#include "container/internal.h"

struct exec {
	atomic_int refs;
	char id[65];
	struct container *container;
	struct exec_config cfg;     /* fixed */
	bool started, running, ended, has_code, gone;
	int code;
	pid_t pid;
	int64_t finished;           /* clock_mono() */
};

/* Starts it, as already noted in its fields: by our own joining, or by the runtime. ret_fd (NULL: nobody attaches): the stream. An end otherwise is noted, too. */
int exec_run(struct exec *x, struct run *run, int *ret_fd, struct err *err);

int exec_not_running(const struct container *c, struct err *err); /* sets err; -1 */
void exec_event(struct exec *x, const char *what);

#endif
