/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shims of a daemon before: by the file that each leaves, they are listened to again, or ended with what they ran. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "container/shim-client.h"

#define ADOPT_TRIES 500   /* of 20 ms: a shim that is starting its container for a daemon that died */

struct state_file {
	int64_t version, shim, shim_start, pid, pid_start;
	char *id, *runtime, *runtime_root, *bundle;
	struct strv runtime_args;
	bool systemd_cgroup;
};
JDESC(state_desc, state_file,
	JFIELD(state_file, version, "version", J_I64, 0),
	JFIELD(state_file, id, "id", J_STR, 0),
	JFIELD(state_file, shim, "shim", J_I64, 0),
	JFIELD(state_file, shim_start, "shimStart", J_I64, 0),
	JFIELD(state_file, pid, "pid", J_I64, 0),
	JFIELD(state_file, pid_start, "pidStart", J_I64, 0),
	JFIELD(state_file, runtime, "runtime", J_STR, 0),
	JFIELD(state_file, runtime_args, "runtimeArgs", J_STRV, 0),
	JFIELD(state_file, runtime_root, "runtimeRoot", J_STR, 0),
	JFIELD(state_file, systemd_cgroup, "systemdCgroup", J_BOOL, 0),
	JFIELD(state_file, bundle, "bundle", J_STR, 0));

static void state_file_done(struct state_file *f)
{
	jdesc_clear(&state_desc, f);
}

static int read_state(const char *dir, const char *id, struct state_file *ret, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, SHIM_STATE);
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, path, 1 << 20, &b, err) < 0)
		return -1;
	if (jdesc_parse(&state_desc, b.data, b.size, ret, err) < 0)
		return err_wrap(err, "%s", path);
	if (!ret->id || !streq(ret->id, id))
		return err_set(err, ERR_INVALID, "%s is not the state of container %s", path, id);
	return 0;
}

/* A pid that the file names, if it is still that process. */
static int open_process(int64_t pid, int64_t start)
{
	int fd;

	if (pid <= 0 || pid > INT32_MAX)
		return -1;
	fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	/* read behind the opening: from here on the number is this process's own */
	if (fd >= 0 && shim_pid_start((pid_t)pid) != start)
		fd_close(&fd);
	return fd;
}

/* Asks for the events; *ret_state is what the container is at. */
static int subscribe(struct shim *s, enum shim_run_state *ret_state, pid_t *ret_pid, struct shim_exit *ret_exit, struct err *err)
{
	for (int i = 0;; i++) {
		OWN_SHIM_MSG struct shim_msg m = { 0 }, answer = { 0 };

		shim_msg_init(&m, SHIM_SUBSCRIBE);
		fd_close(&s->fd);
		if (shim_ask(s, &m, SHIM_SOON_MS, &answer, &s->pidfd, &s->fd, err) < 0)
			return -1;
		*ret_state = (enum shim_run_state)shim_msg_get_int(&answer, TAG_STATE, SHIM_ENDED);
		*ret_pid = (pid_t)shim_msg_get_int(&answer, TAG_PID, 0);
		*ret_exit = (struct shim_exit){ .code = (int)shim_msg_get_int(&answer, TAG_CODE, 0),
			.time = shim_msg_get_int(&answer, TAG_TIME, 0), .oom = shim_msg_get_int(&answer, TAG_OOM, 0),
			.oom_untold = (int)shim_msg_get_int(&answer, TAG_OOM_UNTOLD, shim_msg_get_int(&answer, TAG_OOM, 0)) };
		if (*ret_state != SHIM_STARTING || i >= ADOPT_TRIES)
			return 0;
		usleep(20000);
	}
}

/* What the files say about a container, so that it can be buried. */
static struct shim *recorded(struct shim_monitor *m, const char *id, const char *dir, const struct shim_trace *trace, int *ret_pidfd,
	pid_t *ret_pid, struct err *err)
{
	OWN_SHIM struct shim *s = shim_alloc(m, id, dir);
	CLEANUP(state_file_done) struct state_file f = { 0 };

	if (read_state(dir, id, &f, err) < 0)
		return trace && shim_take_trace(s, trace, ret_pidfd, ret_pid) ? STEAL(s) : NULL;
	s->runtime = STEAL(f.runtime);
	s->runtime_root = STEAL(f.runtime_root);
	strv_copy(&s->runtime_args, &f.runtime_args);
	s->systemd_cgroup = f.systemd_cgroup;
	s->version = f.version;
	*ret_pidfd = open_process(f.pid, f.pid_start);
	*ret_pid = (pid_t)f.pid;
	return STEAL(s);
}

/* Does not wait for the answer, which the monitor takes. False: there is no shim. */
static bool subscribe_later(struct shim *s)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	int sys;

	if (s->version > SHIM_VERSION) {
		log_warn("container %.12s: its shim speaks protocol %lld, this daemon %d: it is left alone until a newer daemon comes", s->id,
			(long long)s->version, SHIM_VERSION);
		return true;
	}
	s->fd = shim_connect(s->dir, false, &sys);
	if (s->fd < 0)
		return sys == EAGAIN; /* as many wait already as its queue holds */
	shim_msg_init(&m, SHIM_SUBSCRIBE);
	s->asked = shim_msg_send(s->fd, &m, -1, MSG_DONTWAIT) == 0;
	return s->asked;
}

struct shim *shim_adopt_running(struct shim_monitor *m, const char *id, const char *dir, pid_t *ret_pid, struct err *err)
{
	OWN_SHIM struct shim *s = NULL;
	OWN_FD int pidfd = -1;

	s = recorded(m, id, dir, NULL, &pidfd, ret_pid, err);
	if (!s || shim_is_over(pidfd))
		return NULL;
	s->pidfd = STEAL_FD(pidfd);
	s->phase = PHASE_RUNNING;
	if (subscribe_later(s))
		shim_watch(s);
	else
		shim_watch_lost(s);
	return STEAL(s);
}

/* Its file was not what told of it. */
static void tell_traced(const struct shim *s, const struct err *why, bool lived, bool goes_on)
{
	/* no file and nothing that lived: a start that did not come so far */
	if (s->traced && (lived || why->class != ERR_NOT_FOUND))
		damage_note("container", s->id, DAMAGE_REPAIRED, "container %.12s: what is kept of its run is damaged (%s): %s", s->id, err_text(why),
			goes_on ? "it goes on by its shim's word" : "what was left of the run is ended");
}

struct shim *shim_adopt(struct shim_monitor *m, const char *id, const char *dir, const struct shim_trace *trace, pid_t *ret_pid,
	bool *ret_exited, struct shim_exit *ret_exit, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;
	OWN_SHIM struct shim *s = NULL;
	enum shim_run_state state;
	OWN_FD int pidfd = -1;

	*ret_exited = false;
	s = recorded(m, id, dir, trace, &pidfd, ret_pid, &why);
	if (!s) {
		err_move(err, &why);
		return NULL;
	}
	if (subscribe(s, &state, ret_pid, ret_exit, NULL) < 0) {
		*ret_exited = true;
		if (s->version > SHIM_VERSION && shim_await_record(s, ret_exit))
			return NULL;
		shim_bury(s, pidfd, ret_exit);
		tell_traced(s, &why, pidfd >= 0, false);
		return NULL;
	}
	tell_traced(s, &why, true, state == SHIM_RUNNING);
	if (state == SHIM_RUNNING) {
		s->phase = PHASE_RUNNING;
		shim_watch(s);
		return STEAL(s);
	}
	shim_release(s, NULL);
	*ret_exited = true;
	if (state != SHIM_ENDED)
		*ret_exit = (struct shim_exit){ .code = 137, .time = clock_now(), .lost = true };
	return NULL;
}

int shim_discard(struct shim_monitor *m, const char *id, const char *dir, const struct shim_trace *trace, struct err *err)
{
	OWN_FREE char *file = xasprintf("%s/%s", dir, SHIM_STATE);
	OWN_ERR struct err why = ERR_INIT;
	OWN_SHIM struct shim *s = NULL;
	OWN_FD int pidfd = -1;
	struct shim_exit ignored;
	pid_t pid;

	if (!trace && !fs_exists(file))
		return 0;
	s = recorded(m, id, dir, trace, &pidfd, &pid, &why);
	if (!s)
		return why.class == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	err_done(&why);
	shim_kill_shim(s);
	fd_close(&pidfd);
	shim_unref(STEAL(s));
	/* written anew if it had just started */
	s = recorded(m, id, dir, trace, &pidfd, &pid, err);
	if (!s)
		return -1;
	shim_bury(s, pidfd, &ignored);
	return 0;
}

void shim_kill_orphan(struct shim_monitor *m, const char *id, const char *dir)
{
	OWN_SHIM_MSG struct shim_msg kill = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_SHIM struct shim *s = NULL;
	OWN_FD int pidfd = -1;
	pid_t pid;

	s = recorded(m, id, dir, NULL, &pidfd, &pid, NULL);
	if (!s || shim_is_over(pidfd))
		return;
	shim_msg_init(&kill, SHIM_KILL);
	shim_msg_int(&kill, TAG_SIGNAL, SIGKILL);
	if (shim_ask(s, &kill, SHIM_SOON_MS, NULL, NULL, NULL, &err) < 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		log_warn("container %.12s: process %lld, of other namespaces, cannot be ended: %s", id, (long long)pid, err_text(&err));
	else
		cancel_wait(NULL, pidfd, POLLIN, SHIM_SOON_MS);
}

/* The pidfd of the shim, by what it wrote down or, of the first release's, by its socket. */
static int open_shim(struct shim *s)
{
	CLEANUP(state_file_done) struct state_file f = { 0 };
	OWN_FD int conn = -1;
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	int sys;

	if (read_state(s->dir, s->id, &f, NULL) == 0 && f.shim_start)
		return open_process(f.shim, f.shim_start);
	conn = shim_connect(s->dir, false, &sys);
	if (conn < 0 || getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

void shim_kill_shim(struct shim *s)
{
	OWN_FD int fd = open_shim(s);

	if (fd < 0 && s->traced)
		shim_kill_named(s->id);
	if (fd >= 0 && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
		cancel_wait(NULL, fd, POLLIN, SHIM_SOON_MS);
}
