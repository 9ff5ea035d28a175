/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of dockerd-shim: one per container. The shim holds pty and pipes, writes the log, runs the OCI runtime,
 * reaps, and records exits; it outlives the daemon. Protocol: core/shim/proto.h. Thread-safe; callbacks come on the
 * monitor's thread and must not block.
 */
#ifndef CONTAINER_SHIM_H
#define CONTAINER_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/spawner.h"
#include "base/str.h"

struct shim_monitor; /* one thread that listens to every shim */
struct shim;

struct shim_exit {
	int code;          /* 0..255; 128+signal when killed */
	bool oom;          /* the cgroup's counter said so */
	int oom_untold;    /* processes killed for want of memory that no shim_oom_fn told of */
	int64_t time;      /* ns */
	bool lost;         /* the shim died; code is what could be found out (137 otherwise) */
};
/*
 * exec_id NULL: the container's own process. It may come before shim_run(), shim_exec_run() or shim_adopt() has returned:
 * a short life is over by then.
 */
typedef void shim_exit_fn(void *ctx, const char *container_id, const char *exec_id, const struct shim_exit *ex);

/* So many processes of the container were killed for want of memory; it goes on. */
typedef void shim_oom_fn(void *ctx, const char *container_id, int kills);

struct shim_log {
	const char *driver;      /* "json-file", "local" or "none"; another is ERR_NOT_IMPLEMENTED at shim_start() */
	const char *path;
	int64_t max_size;        /* bytes; -1 unlimited */
	int max_file;
	bool compress;
	int64_t max_age;         /* ns; 0: no limit */
	int64_t buffer;          /* mode=non-blocking: bytes; 0: blocking */
	const char *attrs;       /* JSON object text for "attrs" of each line of json-file, or NULL */
};

struct shim_config {
	const char *id;
	const char *dir;         /* exec-root/containers/<id>: socket, pid file, exit record, exec files; made by the caller, 0700 */
	const char *bundle;      /* OCI bundle (may be dir) */
	const char *runtime;     /* absolute path of runc or crun */
	const struct strv *runtime_args;
	const char *runtime_root; /* --root of the runtime */
	bool systemd_cgroup;
	bool tty, open_stdin, stdin_once;
	uint16_t rows, cols;     /* 0: unset */
	struct shim_log log;
};

struct shim_monitor *shim_monitor_new(struct spawner *sp, const char *shim_path, shim_exit_fn *on_exit, void *ctx, struct err *err);
/* Before the first shim. */
void shim_monitor_on_oom(struct shim_monitor *m, shim_oom_fn *fn);
/* No exit is told any more. What still speaks to a shim may go on until the monitor is freed. */
void shim_monitor_stop(struct shim_monitor *m);
void shim_monitor_free(struct shim_monitor *m);

/* Starts the shim process; streams exist, the container does not run yet, attachments are possible. */
struct shim *shim_start(struct shim_monitor *m, const struct shim_config *cfg, struct err *err);
/*
 * Runs the container, once. *ret_pid is its init. The error is the runtime's own message, for Docker's 126/127 rules;
 * attachments are closed then, and shim_release() ends the shim.
 */
int shim_run(struct shim *s, pid_t *ret_pid, struct err *err);
/* As shim_run(), from a checkpoint: images is an absolute path. */
int shim_restore(struct shim *s, const char *images, pid_t *ret_pid, struct err *err);
/*
 * A checkpoint into the folder images (absolute, it exists); without leave_running the container ends with it, and on_exit comes.
 * Takes what it takes. criu works in SHIM_CRIU_DIR of the shim's folder, and leaves its log there.
 */
int shim_checkpoint(struct shim *s, const char *images, bool leave_running, struct err *err);
/* What the daemon itself knows of a run: for where the shim's own file of it is damaged or gone. */
struct shim_trace {
	const char *runtime, *runtime_root; /* as in shim_config */
	const struct strv *runtime_args;
	bool systemd_cgroup;
	pid_t pid;               /* of the container's init, 0 when not known; counts if it is in a control group of that id */
	bool foreign;            /* that process is not of this data-root, but of one that this is a copy of */
};
/*
 * After a restart of the daemon: connects to a living shim, or tells how it ended (*ret_exited, *ret_exit set, NULL returned
 * without err; nothing is left with the runtime then). ERR_NOT_FOUND: dir knows of no shim, nor does the trace (may be NULL).
 */
struct shim *shim_adopt(struct shim_monitor *m, const char *id, const char *dir, const struct shim_trace *trace, pid_t *ret_pid,
	bool *ret_exited, struct shim_exit *ret_exit, struct err *err);
/*
 * The same where the container's process lives, without waiting for the shim: a container goes on under a shim that is slow, stuck,
 * dead (its end is reported then), or newer than this daemon (which then refuses every request but signals, in words, and still
 * reports the end). NULL without err: the process is over or was not there yet, shim_adopt() will tell.
 */
struct shim *shim_adopt_running(struct shim_monitor *m, const char *id, const char *dir, pid_t *ret_pid, struct err *err);
/*
 * Ends whatever a shim of that dir still runs, the shim with it: a start that was never acknowledged because the daemon died
 * in between. Nothing is reported. Fine when there is none.
 */
int shim_discard(struct shim_monitor *m, const char *id, const char *dir, const struct shim_trace *trace, struct err *err);
/*
 * What a runtime has left of a container because its record is damaged: the processes in its control groups, the groups, the
 * record. -1 when some of it stays.
 */
int shim_sweep_runtime(const char *root, const char *id, struct err *err);
/*
 * Has the shim of that dir kill its container's init, and waits until it is over: where the shim has rights over it that the daemon, in another
 * user namespace, has not. Then the others above tell how it ended. Fine when there is none.
 */
void shim_kill_orphan(struct shim_monitor *m, const char *id, const char *dir);
void shim_unref(struct shim *s);
/* The container's process is over, as far as the monitor was told; on_exit comes or has come. Takes a LEAF lock. */
bool shim_has_ended(struct shim *s);
/* Ends a shim that does not tell of its process's end; the monitor then reports that. False when the process is not over. */
bool shim_end_stuck(struct shim *s);

#define SHIM_STDIN  1u
#define SHIM_STDOUT 2u
#define SHIM_STDERR 4u
/*
 * A stream socket of the container's (exec_id NULL) or an exec's streams. Written to it: raw stdin, if SHIM_STDIN;
 * shutdown(SHUT_WR) is the end of stdin (with stdin_once the container's, too; closing the socket is the same). Read from it:
 * with a tty raw output, else frames with Docker's 8-byte header. Closes after the last output.
 */
int shim_attach(struct shim *s, const char *exec_id, unsigned streams, int *ret_fd, struct err *err);
int shim_resize(struct shim *s, const char *exec_id, uint16_t rows, uint16_t cols, struct err *err);
int shim_kill(struct shim *s, const char *exec_id, int signal, bool all, struct err *err); /* ERR_NOT_FOUND when it has ended */
/* pause and resume through the cgroup freezer (the runtime's own commands). */
int shim_pause(struct shim *s, bool pause, struct err *err);

/* New limits of the control groups: resources is the OCI runtime's JSON. */
int shim_update(struct shim *s, const struct buf *resources, struct err *err);

/* It was started with this runtime, by that path alone. */
bool shim_has_runtime(const struct shim *s, const char *path);

struct shim_exec {
	const char *id;
	const char *process;   /* OCI process JSON text */
	const struct buf *plan; /* the same as the shim can do it itself (shim/plan.h), or NULL */
	bool tty, open_stdin;
	uint16_t rows, cols;
};
/* Prepares the streams (attach now), then runs it. An exec that could not be run is forgotten with its attachments. */
int shim_exec_create(struct shim *s, const struct shim_exec *ex, struct err *err);
int shim_exec_run(struct shim *s, const char *exec_id, pid_t *ret_pid, struct err *err);
/*
 * The daemon has taken note of the exit (or of a failed start): the shim ends. The runtime's container is deleted when this
 * returns; the shim began with that at the exit, so that little is left to wait for. Needed before the last shim_unref().
 */
int shim_release(struct shim *s, struct err *err);

#endif
