/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The spawner: a small single-threaded process, started before any thread, that forks everything for the daemon (shims,
 * runtimes, namespaces). It is the subreaper of what it starts, reaps it and answers with the exit status. If the daemon
 * dies it ends too, and leaves the shims alone. Client functions are thread-safe; each call waits for its own answer only.
 */
#ifndef BASE_SPAWNER_H
#define BASE_SPAWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/idmap.h"
#include "base/str.h"

struct spawner;

/* Forks it. Call before threads exist. */
struct spawner *spawner_start(struct err *err);
/* Ends it (its children live on). */
void spawner_stop(struct spawner *s);

#define SPAWNER_OUTPUT (8u << 20) /* of a command's output that is kept */
/*
 * Runs argv (argv[0] an absolute path) to its end: exit status as of waitpid() in *ret_status, output (stdout and stderr,
 * SPAWNER_OUTPUT bytes at most, the rest is lost) in out when not NULL. env NULL: the daemon's. A fired token or timeout_ms (-1 none) kills it.
 */
int spawner_run(struct spawner *s, char *const argv[], char *const env[], int stdin_fd, int timeout_ms, const struct cancel *c,
	int *ret_status, struct buf *out, struct err *err);
/*
 * Starts argv detached in a session of its own with fds[i] at descriptor 3+i, /dev/null as 0-2, nothing else open.
 * Returns its pid and a pidfd. The spawner reaps it.
 */
int spawner_spawn(struct spawner *s, char *const argv[], char *const env[], const int *fds, size_t nfds, pid_t *ret_pid, int *ret_pidfd, struct err *err);
/*
 * Starts the program behind the descriptor program (argv[0] is only its name) for a piece of work, with fds[i] at descriptor
 * 3+i as spawner_spawn() does. *ret_task becomes readable when it has ended; spawner_task_end() waits for that, closes
 * *task and tells how. Closing the descriptor instead kills it, without waiting.
 */
int spawner_task(struct spawner *s, int program, char *const argv[], char *const env[], const int *fds, size_t nfds, int *ret_task, struct err *err);
int spawner_task_end(int *task, bool kill, int *ret_status, struct err *err);
/*
 * Sockets made inside a network namespace, with which any thread sets it up and speaks there without entering it. packet sends whole
 * frames and hears nothing; it is made when it is wanted, -1 where the kernel has none. To close it takes the kernel some 10 ms.
 */
struct spawner_inside { bool packet_wanted; int rtnl, packet; };
/*
 * Makes a network namespace (lo up, no IPv6 on other interfaces) bound at path (a file the spawner creates). userns: the user
 * namespace that owns it, -1: the host's. io may be NULL.
 */
int spawner_netns(struct spawner *s, const char *path, int userns, struct spawner_inside *io, struct err *err);
/* A user namespace with these maps, which lives as long as it is open or used. */
int spawner_userns(struct spawner *s, const struct idmaps *maps, struct err *err);
/* The same of one that is bound at path. sysctls are set there before: "net/ipv4/conf/eth0/rp_filter=1", below /proc/sys. */
int spawner_netns_enter(struct spawner *s, const char *path, const struct strv *sysctls, struct spawner_inside *io, struct err *err);
/* Unbinds and removes the file; missing is fine. */
int spawner_netns_drop(struct spawner *s, const char *path, struct err *err);

#endif
