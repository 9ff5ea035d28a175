/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of shim.c (starts, requests), shim-wire.c (asking), shim-adopt.c (those of a daemon before) and shim-monitor.c (events, lost shims). */
#ifndef CONTAINER_SHIM_CLIENT_H
#define CONTAINER_SHIM_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/lock.h"
#include "container/shim.h"
#include "shim/proto.h"

#define SHIM_JANITORS 4
#define SHIM_ANSWER_MS 30000 /* of a request that has nothing to wait for */
#define SHIM_SOON_MS   5000  /* of one that a stuck shim must not delay */

enum shim_phase { PHASE_NEW, PHASE_ASKED /* to run */, PHASE_RUNNING, PHASE_ENDED };

struct shim {
	atomic_int refs;
	struct shim_monitor *monitor; /* valid until shim_monitor_free() */
	char *id, *dir;
	char *runtime, *runtime_root;
	struct strv runtime_args;
	bool systemd_cgroup;
	int64_t version;              /* of the protocol it speaks */
	bool traced;                  /* its own file is damaged: what is known comes from a struct shim_trace */

	struct lock lock;             /* LEAF: what follows */
	enum shim_phase phase;
	bool lost;                    /* its connection ended before its time */
	bool unheard;                 /* lost, but nobody listened to it: it may live */
	int pidfd;                    /* of the container's init; -1 before it runs */
	struct strv execs;            /* running ones */

	int fd;                       /* events; the monitor thread's own once it watches. -1: it watches pidfd */
	bool asked;                   /* the answer to SUBSCRIBE is still to come; the monitor thread's */
	struct buf in;                /* the monitor thread's */
	struct shim *next;            /* in the monitor's list, under its lock */
};

struct shim_monitor {
	struct spawner *spawner;
	char *shim_path;
	shim_exit_fn *on_exit;
	shim_oom_fn *on_oom;
	void *ctx;
	int epfd, stop_fd;
	pthread_t thread;

	struct lock lock;             /* LEAF: what follows */
	pthread_cond_t cond;
	struct shim *shims;           /* watched, each with a reference */
	struct shim *lost;            /* to be cleaned up, each with a reference */
	bool stopping;
	int n_lost, idle;             /* length of lost; janitors without work */
	size_t n_janitors;
	pthread_t janitors[SHIM_JANITORS];
};

struct shim *shim_alloc(struct shim_monitor *m, const char *id, const char *dir);
struct shim *shim_ref(struct shim *s);
DEFINE_CLEANUP(struct shim, shim_unref)
#define OWN_SHIM CLEANUP(shim_unrefp)

/* shim-wire.c. Waits where a shim does not accept what is queued for it, unless told not to: EAGAIN then. */
int shim_connect(const char *dir, bool wait, int *ret_sys);
/* The answer to what was asked on fd; an error of the shim's is the caller's. ret_fd (may be NULL) is set or -1. timeout_ms -1: as long as it lives. */
int shim_answer(int fd, int timeout_ms, struct shim_msg *ret, int *ret_fd, struct err *err);
/* One request and its answer. Keeps the connection in *ret_conn if asked to. */
int shim_ask(struct shim *s, const struct shim_msg *m, int timeout_ms, struct shim_msg *ret, int *ret_fd, int *ret_conn, struct err *err);
/* The process is over, or there is none. */
bool shim_is_over(int pidfd);

/* Begins to listen to s->fd, or where there is none to s->pidfd. */
void shim_watch(struct shim *s);
/* It was found dead before anybody listened to it: the end of its container will be reported. */
void shim_watch_lost(struct shim *s);
/* Kills the shim, if it lives. */
void shim_kill_shim(struct shim *s);

/* How it ended, as the shim wrote it down. False when it did not. */
bool shim_read_exit(const char *dir, struct shim_exit *ret);
/* A container of a shim that cannot be asked has ended: whether the shim came to write down how. Waits a little. */
bool shim_await_record(struct shim *s, struct shim_exit *ret);
/* Kills what is left of a container without a shim and removes it from the runtime; tells how it ended. pidfd may be -1. */
void shim_bury(struct shim *s, int pidfd, struct shim_exit *ret);

/* The runtime's own words up to the command, of a container that has a runtime. */
void shim_runtime_argv(const struct shim *s, struct strv *argv, const char *command);

/* shim-trace.c: s is to know what the trace knows; the container's process, if it lives. False when there is nothing to end. */
bool shim_take_trace(struct shim *s, const struct shim_trace *t, int *ret_pidfd, pid_t *ret_pid);
/* Kills the shim of a container whose files tell nothing of it. */
void shim_kill_named(const char *id);

#endif
