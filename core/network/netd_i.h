/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the daemon's side of dockerd-netd: the process and the connection to it (netd-link.c), what it is told (netd.c). */
#ifndef NETWORK_NETD_I_H
#define NETWORK_NETD_I_H

#include <pthread.h>

#include "base/buf.h"
#include "base/lock.h"
#include "network/netd-wire.h"
#include "network/netd.h"

/* What dockerd-netd was told and has to be told again when it starts anew. */
struct kept {
	enum netd_type type; /* NETD_PUBLISH or NETD_BOX */
	char *id, *netns_path;
	struct netd_msg msg;
	struct kept *next;
};

struct netd {
	char *exec_root, *program;
	struct spawner *spawner;
	struct lock lock;        /* LOCK_LEAF: busy, stopping, has_thread */
	pthread_cond_t cond;
	bool busy, stopping, has_thread;
	pthread_t thread;
	int wake;                /* eventfd: look at the connection anew */
	/* the operation's */
	int dirfd, fd;           /* exec-root; the connection, -1 for none */
	struct buf in;
	struct kept *kept;
	int64_t started;         /* clock_mono() of the last start */
	int quick;               /* so many in a row ended soon after their start */
	int pause_ms;            /* before the next one */
	int64_t not_before;
	bool told;               /* that it cannot be started */
};

/*
 * Requests go one at a time, each within the operation (busy), so that whoever has it owns the connection and reads its answer
 * itself. Has it to the end of the scope:
 */
#define WITH_OP(n) netd_op_begin(n); __attribute__((cleanup(netd_op_end), unused)) struct netd *op_held = (n)
void netd_op_begin(struct netd *n);
void netd_op_end(struct netd **n);

/* netd-link.c. All within the operation. */
void netd_disconnect(struct netd *n);
/* Connected, by whatever it takes, and dockerd-netd knows all that is kept. Without may_start fd may be -1 afterwards. */
int netd_ensure(struct netd *n, bool may_start, struct err *err);
/* One request and its answer on the connection. -1 with err; *ret_lost: it is not its answer, the connection is gone. */
int netd_transact(struct netd *n, struct netd_msg *m, const int *fds, size_t nfds, struct netd_msg *ret, bool *ret_lost, struct err *err);
/* Connects, asks, and once more when the connection turns out to be dead. */
int netd_ask(struct netd *n, struct kept *k, struct netd_msg *ret, struct err *err);
/* From the first connection on: a thread logs what dockerd-netd has to say, and starts it anew when it ended. */
void netd_watched(struct netd *n);

#endif
