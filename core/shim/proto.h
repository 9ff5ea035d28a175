/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What daemon and dockerd-shim say to each other, on descriptor 3 of a new shim and on DIR/shim.sock. A daemon speaks with
 * every shim since the first release, so this only grows: numbers keep their meaning, a receiver ignores fields and events it
 * does not know and answers an unknown request with 501. Integers are the machine's own (both sides run on it).
 *
 * SHIM_VERSION is raised where a peer of the version before would do wrong; a daemon then goes on speaking the older ones, and a
 * message of a version that is too new is refused in words. In every version stay: the head, SHIM_ERROR with its fields, and
 * version, id, shim, shimStart, pid and pidStart of SHIM_STATE, version, code, time and oom of SHIM_EXIT: with them a daemon
 * that is too old to speak with a shim leaves it alone and still sees its container end. t/abi/shim-1 is the first shim, kept.
 *
 * A message is a head and a body of fields; a field is tag, size and bytes. Strings carry their NUL; numbers are int64_t.
 * A connection is either one request and its answer, or SUBSCRIBE and then events, or ATTACH and then a raw stream.
 */
#ifndef SHIM_PROTO_H
#define SHIM_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define SHIM_VERSION  1
#define SHIM_MAX_BODY (4u << 20)
#define SHIM_SOCKET   "shim.sock"
#define SHIM_STATE    "shim.json" /* who runs what, for a daemon that finds the shim dead */
#define SHIM_EXIT     "exit.json" /* how the container ended */
#define SHIM_CRIU_DIR "criu-work" /* where criu works and logs */

enum shim_type {
	SHIM_CONFIG = 1,  /* descriptor 3 only, once; makes the sender the subscriber */
	SHIM_RUN,         /* -> PID, pidfd */
	SHIM_SUBSCRIBE,   /* -> STATE, PID, CODE.., pidfd; the newest subscriber gets the events */
	SHIM_ATTACH,      /* EXEC?, STREAMS -> OK, then the stream */
	SHIM_RESIZE,      /* EXEC?, ROWS, COLS */
	SHIM_KILL,        /* EXEC?, SIGNAL, ALL? */
	SHIM_PAUSE,       /* PAUSE */
	SHIM_EXEC_CREATE, /* EXEC, PROCESS, FLAGS, ROWS, COLS, JOIN? */
	SHIM_EXEC_RUN,    /* EXEC -> PID, pidfd */
	SHIM_RELEASE,     /* answered when the runtime's container is deleted; the shim ends */
	SHIM_CHECKPOINT,  /* IMAGES, LEAVE_RUNNING */
	SHIM_RESTORE,     /* IMAGES -> PID, pidfd: as RUN, from a checkpoint */
	SHIM_OK = 100,
	SHIM_ERROR,       /* STATUS (an HTTP status), TEXT */
	SHIM_EXITED = 120, /* event: EXEC?, CODE, TIME, OOM, OOM_UNTOLD */
	SHIM_OOM,          /* event: OOM_UNTOLD more processes were killed for want of memory */
};

enum shim_tag {
	TAG_ID = 1, TAG_DIR, TAG_BUNDLE, TAG_RUNTIME, TAG_RUNTIME_ARG /* repeated */, TAG_RUNTIME_ROOT, TAG_FLAGS, TAG_ROWS, TAG_COLS,
	TAG_LOG_DRIVER = 20, TAG_LOG_PATH, TAG_LOG_MAX_SIZE, TAG_LOG_MAX_FILE, TAG_LOG_ATTRS,
	TAG_LOG_MAX_AGE /* ns */, TAG_LOG_BUFFER /* bytes; 0: none */,
	TAG_EXEC = 40, TAG_STREAMS, TAG_SIGNAL, TAG_ALL, TAG_PAUSE, TAG_PROCESS, TAG_IMAGES, TAG_LEAVE_RUNNING,
	TAG_JOIN, /* the same process as a plan (plan.h); absent: by the runtime */
	TAG_STATUS = 60, TAG_TEXT, TAG_PID, TAG_STATE, TAG_CODE, TAG_TIME, TAG_OOM,
	TAG_OOM_UNTOLD, /* kills that no event told of */
};

#define SHIM_F_TTY            1
#define SHIM_F_STDIN          2
#define SHIM_F_STDIN_ONCE     4
#define SHIM_F_SYSTEMD_CGROUP 8
#define SHIM_F_LOG_COMPRESS   16

enum shim_run_state { SHIM_CREATED, SHIM_STARTING, SHIM_RUNNING, SHIM_ENDED };

struct shim_head {
	uint32_t size; /* of the body */
	uint16_t type, version;
};

struct shim_msg {
	struct shim_head head;
	struct buf body; /* owned */
};

void shim_msg_init(struct shim_msg *m, enum shim_type type);
void shim_msg_done(struct shim_msg *m);
#define OWN_SHIM_MSG __attribute__((cleanup(shim_msg_done)))
void shim_msg_int(struct shim_msg *m, enum shim_tag tag, int64_t n);
void shim_msg_str(struct shim_msg *m, enum shim_tag tag, const char *s); /* NULL adds nothing */
void shim_msg_bytes(struct shim_msg *m, enum shim_tag tag, const void *data, size_t size);

/* Absent fields: fallback, NULL. The string lives as long as the message. */
int64_t shim_msg_get_int(const struct shim_msg *m, enum shim_tag tag, int64_t fallback);
const char *shim_msg_get_str(const struct shim_msg *m, enum shim_tag tag);
/* The next string of a repeated field; *pos starts at 0. NULL at the end. */
const char *shim_msg_next_str(const struct shim_msg *m, enum shim_tag tag, size_t *pos);
/* The same of a field of bytes, which may be at any address; those of another size are passed over where size is not 0. */
const void *shim_msg_next_bytes(const struct shim_msg *m, enum shim_tag tag, size_t size, size_t *pos, size_t *ret_size);

/* Sends it with a descriptor (-1: none), waiting for room unless flags has MSG_DONTWAIT. 0, or -1 with errno. */
int shim_msg_send(int fd, const struct shim_msg *m, int with_fd, int flags);
/* Takes one whole message off the front of in: 1, 0 when it is not complete yet, -1 when it is none of ours. */
int shim_msg_parse(struct buf *in, struct shim_msg *ret);

/* The address of dir/name; where that is too long, by way of dirfd, a descriptor of dir in this process. */
struct sockaddr_un;
void shim_address(const char *dir, int dirfd, const char *name, struct sockaddr_un *ret);
/* The start time of a process in clock ticks since boot, which with its pid names it for good; 0 when there is none. */
int64_t shim_pid_start(pid_t pid);
/* False where the runtime would hang, or fail, on its own record of a container: something else is in its place. */
bool shim_runtime_readable(const char *root, const char *id);

#endif
