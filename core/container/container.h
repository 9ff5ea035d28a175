/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Containers: the store, their states and every operation on them. Readers take snapshots under the object lock; long work
 * takes the object's operation (one at a time), drops the lock, works, publishes. Thread-safe. Source of the state file:
 * Docker's containers/<id>/config.v2.json and hostconfig.json.
 */
#ifndef CONTAINER_CONTAINER_H
#define CONTAINER_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/json.h"
#include "base/spawner.h"
#include "base/stream.h"
#include "container/bundle/bundle.h"
#include "container/shim.h"
#include "container/spec.h"
#include "events.h"
#include "image/image.h"
#include "network/net.h"
#include "volume/volume.h"

struct container;
struct container_store;

/* What the store works with; owned by the daemon, outlives it. */
struct container_deps {
	const char *data_root, *exec_root, *shim_path;
	const struct daemon_defaults *_Atomic defaults; /* see container_store_set_defaults() */
	struct image_store *images;
	struct volume_store *volumes;
	struct net_controller *nets;
	struct events *events;
	struct spawner *spawner;
	struct selinux *selinux;                       /* labels containers; NULL: they have none */
	bool orphans;                                  /* what still runs is in namespaces that are not the daemon's, and is ended */
};

struct container_store *container_store_open(const struct container_deps *deps, struct err *err);
void container_store_close(struct container_store *s);
/* Others, after a reload. A reader takes the pointer once for each thing it does; the old ones stay for minutes. */
void container_store_set_defaults(struct container_store *s, const struct daemon_defaults *defaults);
/* Reads every container of the data-root; adopts the running, marks the others exited, applies restart policies. */
int container_store_restore(struct container_store *s, struct err *err);
/* For dockerd --check, without a store: notes what is damaged or left over; with repair leftovers are removed. */
int container_check(const struct container_deps *deps, bool repair, struct err *err);
/* Stops all, in parallel, each within its own time-out and never longer than timeout_ms. */
void container_store_shutdown(struct container_store *s, int timeout_ms);
/* The longest stop time-out of the running containers, seconds; 0 when none runs. */
int container_store_stop_time(struct container_store *s);

/* By full id, name (with or without "/"), or unique id prefix. ERR_NOT_FOUND "No such container: X"; ambiguous: ERR_INVALID. */
struct container *container_find(struct container_store *s, const char *name, struct err *err);
void container_unref(struct container *c);
DEFINE_CLEANUP(struct container, container_unref)
const char *container_id(const struct container *c);
/* The filter "label" holds for it. */
struct filters;
bool container_has_labels(struct container *c, const struct filters *labels);
/* A copy of what it has now. */
void container_labels(struct container *c, struct strmap *ret);

/* Takes over body's contents. ret_id is set, warnings collects. ERR_NOT_FOUND "No such image: X" when it is absent. */
int container_create(struct container_store *s, const char *name, const char *platform, struct create_body *body, char ret_id[65],
	struct strv *warnings, struct err *err);
int container_start(struct container *c, struct err *err);                       /* ERR_NOT_MODIFIED when running */
int container_start_from(struct container *c, const char *checkpoint, struct err *err); /* NULL: anew */
int container_stop(struct container *c, const char *signal, const int *timeout_s,
	struct err *err); /* NULL: the container's own; ERR_NOT_MODIFIED */
int container_restart(struct container *c, const char *signal, const int *timeout_s, struct err *err);
int container_check_signal(const char *signal, struct err *err); /* is it a signal's name or number at all? NULL is */
int container_kill(struct container *c, const char *signal, struct err *err);
int container_pause(struct container *c, bool pause, struct err *err);
/*
 * Checkpoints by the runtime and criu. dir (NULL or "": the container's own folder) is where they lie; called is the client's word for
 * the container, for messages. With ends the container ends with its checkpoint, and its restart policy pauses.
 */
int checkpoint_create(struct container *c, const char *called, const char *name, const char *dir, bool ends, struct err *err);
int checkpoint_delete(struct container *c, const char *called, const char *name, const char *dir, struct err *err);
int checkpoint_list(struct container *c, const char *dir, struct strv *ret, struct err *err);
int container_rename(struct container *c, const char *name, struct err *err);
int container_resize(struct container *c, int64_t rows, int64_t cols, struct err *err);
/*
 * A network, by name or id, for a container: one that runs is on it at once, others from their next start on. endpoint: the client's
 * EndpointSettings as JSON text, or NULL.
 */
int container_connect(struct container *c, const char *network, const char *endpoint, struct err *err);
int container_disconnect(struct container *c, const char *network, struct err *err);
int container_remove(struct container *c, bool force, bool volumes, struct err *err);
/* "PARENT/ALIAS": the link goes, the containers stay. */
int container_unlink(struct container_store *s, const char *name, struct err *err);

/* GET .../top: the host's ps, filtered; .../changes; POST /containers/prune. */
int container_top(struct container *c, const char *ps_args, const struct cancel *cancel, struct jw *w, struct err *err);
/* One JSON object a second (stream), or one: with two samples unless one_shot. */
int container_stats(struct container *c, bool stream, bool one_shot, const struct cancel *cancel,
	int (*emit)(void *ctx, const void *data, size_t size), void *ctx, struct err *err);
int container_changes(struct container *c, struct jw *w, struct err *err);
/*
 * Files in and out (docker cp). An opened path keeps what it stands for: name as in an archive, link: where it leads, or NULL.
 * called is the client's word for the container, for messages.
 */
struct container_path { struct view *view; int fd; struct stat st; char *name, *link; };
int container_path_open(struct container *c, const char *called, const char *path, struct container_path *ret, struct err *err);
int container_path_pack(const struct container_path *p, struct writer *out, const struct cancel *cancel, struct err *err);
void container_path_close(struct container_path *p); /* also after a failure */
struct put_options { bool keep_types; /* folders stay folders */ bool own; /* by the container's user */ };
/* A tar, plain or compressed, into a folder. */
int container_path_put(struct container *c, const char *called, const char *path, const struct put_options *o, struct reader *in,
	struct err *err);
/* The whole tree. */
int container_export(struct container *c, struct writer *out, const struct cancel *cancel, struct err *err);
struct commit_options { const char *repo, *tag, *comment, *author; struct strv changes; bool pause; };
/* given (may be NULL) is taken over: what it sets goes before the container's own configuration. */
int container_commit(struct container *c, const struct commit_options *o, struct container_config *given,
	const struct cancel *cancel, char ret_id[72], struct err *err);
int containers_prune(struct container_store *s, const char *filters, const struct cancel *cancel, struct strv *removed,
	uint64_t *ret_space, struct err *err);

/*
 * Containers without a restart policy that ended (or were made, when they never started) before this moment and whose labels fit.
 */
struct filters;
void containers_collect(struct container_store *s, const struct filters *labels, int64_t before, const struct cancel *cancel,
	struct strv *removed, uint64_t *ret_space);

enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };
/* A waiter registered now: nothing that happens later is missed. */
struct waiter;
struct waiter *container_wait_begin(struct container *c, enum wait_condition cond, struct err *err);
/* 0 with *ret_code (and *ret_error, owned, or NULL), -1 when cancelled. */
int container_wait_end(struct waiter *w, const struct cancel *cancel, int *ret_code, char **ret_error, struct err *err);

/*
 * A stream of the container's (SHIM_STDIN...), called by the client's name for it, possible before it runs: the start connects it before the first byte. The
 * event fd becomes readable once that is decided; then attachment_take() gives the stream (same form as shim_attach()) or
 * -1 when the start failed.
 */
struct attachment;
struct attachment *container_attach(struct container *c, const char *called, unsigned streams, struct err *err);
int attachment_event(const struct attachment *a);
int attachment_take(struct attachment *a); /* the caller's from then on */
void attachment_free(struct attachment *a);
void container_detached(struct container *c); /* the client typed the keys: the event */
bool container_open_stdin(const struct container *c);
bool container_stdin_once(const struct container *c);
bool container_is_tty(const struct container *c);
/* Resolved once the container has ended its run (for attach: output may still be in the socket). */
bool container_is_running(struct container *c);

struct log_query { bool follow, stdout_on, stderr_on, timestamps, details; int64_t since, until; int64_t tail; /* -1 all */ };
/* Whether the driver's logs can be read at all. */
int container_logs_check(struct container *c, struct err *err);
/* Emits Docker's 8-byte frames (raw with a tty) until the end, or for ever with follow. */
int container_logs(struct container *c, const struct log_query *q, const struct cancel *cancel,
	int (*emit)(void *ctx, const void *data, size_t size), void *ctx, struct err *err);

struct list_query {
	bool all, size;
	int64_t limit;
	const char *filters;         /* JSON text or NULL */
	const struct cancel *cancel; /* for the sizes; NULL: never */
	int64_t *ret_rw, *ret_idle;  /* if set: bytes of all, and of those that do not run */
};
int container_list(struct container_store *s, const struct list_query *q, int api_minor, struct jw *w, struct err *err);
int container_inspect(struct container *c, bool size, int api_minor, struct jw *w, struct err *err);
size_t container_count(struct container_store *s, size_t *running, size_t *paused, size_t *stopped);
/* "busybox in use by": ids of containers that use the image, running ones first. */
void container_users_of_image(struct container_store *s, const char *image_id, struct strv *running, struct strv *stopped);

/* What containers that run log to. */
void container_log_drivers(struct container_store *s, struct strv *ret);

/* Execs. */
struct exec_config {
	bool attach_stdin, attach_stdout, attach_stderr, tty, privileged;
	char *detach_keys, *user, *working_dir;
	struct strv env, cmd;
	int64_t console_size[2];   /* rows, columns */
};
extern const struct jdesc exec_config_desc;
int exec_create(struct container *c, struct exec_config *cfg, char ret_id[65], struct err *err); /* takes over cfg's contents */
/* Starts it; fd as of shim_attach(), or -1 when detached (ret_fd NULL). */
int exec_start(struct container_store *s, const char *id, bool tty, const int64_t console_size[2], int *ret_fd, struct err *err);
/* Before a connection is taken over: whether exec_start() would be refused at once, and how its streams look. */
int exec_check(struct container_store *s, const char *id, bool *ret_tty, bool *ret_stdin, char **ret_detach_keys, struct err *err);
/* Its output is over: waits a while for its exit, for the client that asks next. False: there is no such exec. */
bool exec_await_end(struct container_store *s, const char *id, int timeout_ms);
void exec_detached(struct container_store *s, const char *id);
/* The container that an exec is in, or was; released with container_unref. */
struct container *exec_container(struct container_store *s, const char *id, struct err *err);
int exec_inspect(struct container_store *s, const char *id, struct jw *w, struct err *err);
int exec_resize(struct container_store *s, const char *id, int64_t rows, int64_t cols, struct err *err);

#endif
