/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between spawner.c (the daemon) and spawner-main.c (the forked process). Both come from one binary: no versions here. */
#ifndef BASE_SPAWNER_WIRE_H
#define BASE_SPAWNER_WIRE_H

#include <stdint.h>
#include <sys/types.h>

#define SPAWNER_FDS    32          /* descriptors of one request, the answer socket and the memfd among them */
#define SPAWNER_PACKET (64 * 1024) /* of a command's output that follows the answer; more is in a memfd */

enum spawner_op { SPAWNER_RUN, SPAWNER_SPAWN, SPAWNER_TASK, SPAWNER_NETNS, SPAWNER_NETNS_DROP, SPAWNER_NETNS_ENTER, SPAWNER_USERNS };

/* The memfd holds argc + envc strings, each with its NUL. */
struct spawner_head {
	uint32_t op, argc, envc, with_stdin, with_packet;
};

/* A pidfd, a memfd of output, a namespace's sockets (rtnl, packet), or a user namespace may ride along; output follows. */
struct spawner_answer {
	int32_t sys;    /* errno when it could not be started */
	int32_t status; /* as of waitpid() */
	pid_t pid;
};

/* The forked process: serves fd until its end, never returns. */
_Noreturn void spawner_main(int fd);

#endif
