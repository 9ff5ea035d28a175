/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests to a shim. Each is a connection of its own, so that none waits for another and none needs a dispatcher. */
#include "container/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sanitized.h"
#include "container/shim-client.h"

#define ANSWER_MS   30000 /* of a request that has nothing to wait for */
#define SOON_MS     5000  /* of one that a stuck shim must not delay */
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

struct shim *shim_alloc(struct shim_monitor *m, const char *id, const char *dir)
{
	struct shim *s = xcalloc(1, sizeof(*s));

	s->refs = 1;
	s->monitor = m;
	s->id = xstrdup(id);
	s->dir = xstrdup(dir);
	s->fd = s->pidfd = -1;
	s->version = SHIM_VERSION;
	lock_init(&s->lock, LOCK_LEAF);
	return s;
}

struct shim *shim_ref(struct shim *s)
{
	s->refs++;
	return s;
}

void shim_unref(struct shim *s)
{
	if (!s || --s->refs > 0)
		return;
	fd_close(&s->fd);
	fd_close(&s->pidfd);
	free(s->id);
	free(s->dir);
	free(s->runtime);
	free(s->runtime_root);
	strv_done(&s->runtime_args);
	strv_done(&s->execs);
	buf_done(&s->in);
	lock_done(&s->lock);
	free(s);
}
DEFINE_CLEANUP(struct shim, shim_unref)
#define OWN_SHIM CLEANUP(shim_unrefp)

/* Waits where a shim does not accept what is queued for it, unless told not to: EAGAIN then. */
static int connect_shim(const char *dir, bool wait, int *ret_sys)
{
	OWN_FD int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct timeval limit = { .tv_sec = SOON_MS / 1000 };
	struct sockaddr_un a;

	*ret_sys = ENOENT;
	if (dirfd < 0)
		return -1;
	shim_address(dir, dirfd, SHIM_SOCKET, &a);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		*ret_sys = errno;
		return -1;
	}
	return STEAL_FD(fd);
}

/* Exactly size bytes, with the descriptor that comes along. timeout_ms -1: as long as the shim lives. */
static int receive(int fd, void *data, size_t size, int timeout_ms, int *ret_fd)
{
	size_t done = 0;

	while (done < size) {
		union {
			struct cmsghdr align;
			char space[CMSG_SPACE(sizeof(int))];
		} control = { 0 };
		struct iovec iov = { (char *)data + done, size - done };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space) };
		struct cmsghdr *c;
		ssize_t n;

		if (cancel_wait(NULL, fd, POLLIN, timeout_ms) <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : ECONNRESET;
			return -1;
		}
		c = CMSG_FIRSTHDR(&msg);
		if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
			fd_close(ret_fd);
			memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
		}
		done += (size_t)n;
	}
	return 0;
}

static enum err_class class_of(int64_t status)
{
	for (int c = 0; c < ERR_CLASSES; c++)
		if (err_status((enum err_class)c) == status)
			return (enum err_class)c;
	return ERR_INTERNAL;
}

static int too_new(int64_t version, struct err *err)
{
	return err_set(err, ERR_NOT_IMPLEMENTED, "the container was started by a newer version: its shim speaks protocol %lld, this daemon "
		"%d; it runs on untouched", (long long)version, SHIM_VERSION);
}

/* The answer to what was asked on fd; an error of the shim's is the caller's. ret_fd (may be NULL) is set or -1. */
static int take_answer(int fd, int timeout_ms, struct shim_msg *ret, int *ret_fd, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	OWN_FD int with = -1;

	if (receive(fd, &m.head, sizeof(m.head), timeout_ms, &with) < 0)
		return err_errno(err, errno, "the container's shim does not answer");
	if (m.head.size > SHIM_MAX_BODY || m.head.version == 0)
		return err_set(err, ERR_INTERNAL, "the container's shim answers nonsense");
	if (m.head.version > SHIM_VERSION && m.head.type != SHIM_ERROR)
		return too_new(m.head.version, err);
	buf_reserve(&m.body, m.head.size);
	m.body.size = m.head.size;
	if (receive(fd, m.body.data, m.head.size, ANSWER_MS, &with) < 0)
		return err_errno(err, errno, "the container's shim does not answer");
	if (m.head.type == SHIM_ERROR) {
		const char *text = shim_msg_get_str(&m, TAG_TEXT);

		return err_set(err, class_of(shim_msg_get_int(&m, TAG_STATUS, 500)), "%s", text ? text : "the container's shim refused");
	}
	if (ret_fd)
		*ret_fd = STEAL_FD(with);
	if (ret) {
		*ret = m;
		m = (struct shim_msg){ 0 };
	}
	return 0;
}

/* One request and its answer. Keeps the connection in *ret_conn if asked to. */
static int ask(struct shim *s, const struct shim_msg *m, int timeout_ms, struct shim_msg *ret, int *ret_fd, int *ret_conn,
	struct err *err)
{
	OWN_FD int fd = -1;
	int sys;

	lock_none_held();
	if (s->version > SHIM_VERSION)
		return too_new(s->version, err);
	fd = connect_shim(s->dir, true, &sys);
	if (fd < 0) {
		err_errno(err, sys, "reach the container's shim");
		if (err && sys != EAGAIN)
			err->class = ERR_NOT_FOUND;
		return -1;
	}
	if (shim_msg_send(fd, m, -1, 0) < 0)
		return err_errno(err, errno, "ask the container's shim");
	if (take_answer(fd, timeout_ms, ret, ret_fd, err) < 0)
		return -1;
	if (ret_conn)
		*ret_conn = STEAL_FD(fd);
	return 0;
}

static void config_message(struct shim_msg *m, const struct shim_config *cfg)
{
	int64_t flags = (cfg->tty ? SHIM_F_TTY : 0) | (cfg->open_stdin ? SHIM_F_STDIN : 0) | (cfg->stdin_once ? SHIM_F_STDIN_ONCE : 0) |
		(cfg->systemd_cgroup ? SHIM_F_SYSTEMD_CGROUP : 0) | (cfg->log.compress ? SHIM_F_LOG_COMPRESS : 0);

	shim_msg_init(m, SHIM_CONFIG);
	shim_msg_str(m, TAG_ID, cfg->id);
	shim_msg_str(m, TAG_DIR, cfg->dir);
	shim_msg_str(m, TAG_BUNDLE, cfg->bundle);
	shim_msg_str(m, TAG_RUNTIME, cfg->runtime);
	for (size_t i = 0; cfg->runtime_args && i < cfg->runtime_args->len; i++)
		shim_msg_str(m, TAG_RUNTIME_ARG, cfg->runtime_args->v[i]);
	shim_msg_str(m, TAG_RUNTIME_ROOT, cfg->runtime_root);
	shim_msg_int(m, TAG_FLAGS, flags);
	shim_msg_int(m, TAG_ROWS, cfg->rows);
	shim_msg_int(m, TAG_COLS, cfg->cols);
	shim_msg_str(m, TAG_LOG_DRIVER, cfg->log.driver);
	shim_msg_str(m, TAG_LOG_PATH, cfg->log.path);
	shim_msg_int(m, TAG_LOG_MAX_SIZE, cfg->log.max_size);
	shim_msg_int(m, TAG_LOG_MAX_FILE, cfg->log.max_file);
	shim_msg_str(m, TAG_LOG_ATTRS, cfg->log.attrs);
	shim_msg_int(m, TAG_LOG_MAX_AGE, cfg->log.max_age);
	shim_msg_int(m, TAG_LOG_BUFFER, cfg->log.buffer);
}

/* Nothing of the daemon's environment but what finds programs and steers sanitizers. */
static void shim_environment(struct strv *env)
{
	strv_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	sanitized_environment(env);
}

struct shim *shim_start(struct shim_monitor *m, const struct shim_config *cfg, struct err *err)
{
	OWN_SHIM struct shim *s = shim_alloc(m, cfg->id, cfg->dir);
	char *const argv[] = { m->shim_path, (char *)cfg->id, NULL };
	OWN_STRV struct strv env = { 0 };
	OWN_SHIM_MSG struct shim_msg msg = { 0 };
	OWN_FD int theirs = -1;
	int sv[2];
	pid_t pid;

	config_message(&msg, cfg);
	shim_environment(&env);
	s->runtime = xstrdup(cfg->runtime);
	s->runtime_root = xstrdup(cfg->runtime_root);
	if (cfg->runtime_args)
		strv_copy(&s->runtime_args, cfg->runtime_args);
	s->systemd_cgroup = cfg->systemd_cgroup;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0) {
		err_errno(err, errno, "make a socket");
		return NULL;
	}
	s->fd = sv[0];
	theirs = sv[1];
	if (spawner_spawn(m->spawner, argv, env.v, &theirs, 1, &pid, NULL, err) < 0)
		return NULL;
	fd_close(&theirs);
	if (shim_msg_send(s->fd, &msg, -1, 0) < 0) {
		err_errno(err, errno, "configure the container's shim");
		return NULL;
	}
	if (take_answer(s->fd, ANSWER_MS, NULL, NULL, err) < 0)
		return NULL;
	shim_watch(s);
	return STEAL(s);
}

static int run(struct shim *s, const struct shim_msg *m, pid_t *ret_pid, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg answer = { 0 };
	OWN_FD int pidfd = -1;
	bool lost, failed;

	lock_take(&s->lock);
	s->phase = PHASE_ASKED;
	lock_drop(&s->lock);
	/* no time-out: the runtime takes what it takes, and a dead shim closes the connection */
	failed = ask(s, m, -1, &answer, &pidfd, NULL, err) < 0;
	lock_take(&s->lock);
	lost = s->lost;
	if (failed && !lost) {
		s->phase = PHASE_NEW;
	} else if (!failed && !lost) {
		/* the end may have been told before this answer was read */
		if (s->phase == PHASE_ASKED)
			s->phase = PHASE_RUNNING;
		s->pidfd = STEAL_FD(pidfd);
	}
	lock_drop(&s->lock);
	if (failed)
		return -1;
	if (lost)
		return err_set(err, ERR_INTERNAL, "the container's shim died");
	*ret_pid = (pid_t)shim_msg_get_int(&answer, TAG_PID, 0);
	return 0;
}

int shim_run(struct shim *s, pid_t *ret_pid, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_RUN);
	return run(s, &m, ret_pid, err);
}

int shim_restore(struct shim *s, const char *images, pid_t *ret_pid, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_RESTORE);
	shim_msg_str(&m, TAG_IMAGES, images);
	return run(s, &m, ret_pid, err);
}

int shim_checkpoint(struct shim *s, const char *images, bool leave_running, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_CHECKPOINT);
	shim_msg_str(&m, TAG_IMAGES, images);
	shim_msg_int(&m, TAG_LEAVE_RUNNING, leave_running);
	return ask(s, &m, -1, NULL, NULL, NULL, err);
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
		if (ask(s, &m, SOON_MS, &answer, &s->pidfd, &s->fd, err) < 0)
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

static bool is_over(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&p, 1, 0) != 0;
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
	s->fd = connect_shim(s->dir, false, &sys);
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
	if (!s || is_over(pidfd))
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
	conn = connect_shim(s->dir, false, &sys);
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
		cancel_wait(NULL, fd, POLLIN, SOON_MS);
}

bool shim_end_stuck(struct shim *s)
{
	bool over;

	lock_take(&s->lock);
	over = s->lost || is_over(s->pidfd);
	lock_drop(&s->lock);
	if (over)
		shim_kill_shim(s);
	return over;
}

bool shim_has_ended(struct shim *s)
{
	WITH_LOCK(&s->lock);

	/* the process may be over before the shim tells */
	return s->lost || s->phase == PHASE_ENDED || (s->pidfd >= 0 && is_over(s->pidfd));
}

int shim_attach(struct shim *s, const char *exec_id, unsigned streams, int *ret_fd, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_ATTACH);
	shim_msg_str(&m, TAG_EXEC, exec_id);
	shim_msg_int(&m, TAG_STREAMS, streams);
	return ask(s, &m, ANSWER_MS, NULL, NULL, ret_fd, err);
}

int shim_resize(struct shim *s, const char *exec_id, uint16_t rows, uint16_t cols, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_RESIZE);
	shim_msg_str(&m, TAG_EXEC, exec_id);
	shim_msg_int(&m, TAG_ROWS, rows);
	shim_msg_int(&m, TAG_COLS, cols);
	return ask(s, &m, ANSWER_MS, NULL, NULL, NULL, err);
}

/* Without the shim, which may be busy or stuck. 1: not possible here. */
static int signal_process(struct shim *s, int signal, struct err *err)
{
	WITH_LOCK(&s->lock);

	if (s->phase == PHASE_ENDED)
		return err_set(err, ERR_NOT_FOUND, "the process is not running");
	if (s->pidfd < 0)
		return 1;
	if (is_over(s->pidfd))
		return err_set(err, ERR_NOT_FOUND, "the process is not running");
	if (syscall(SYS_pidfd_send_signal, s->pidfd, signal, NULL, 0) < 0)
		return errno == ESRCH ? err_set(err, ERR_NOT_FOUND, "the process is not running") : err_errno(err, errno, "signal %d", signal);
	return 0;
}

int shim_kill(struct shim *s, const char *exec_id, int signal, bool all, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	int r;

	if (!exec_id && !all && (r = signal_process(s, signal, err)) <= 0)
		return r;
	shim_msg_init(&m, SHIM_KILL);
	shim_msg_str(&m, TAG_EXEC, exec_id);
	shim_msg_int(&m, TAG_SIGNAL, signal);
	shim_msg_int(&m, TAG_ALL, all);
	return ask(s, &m, ANSWER_MS, NULL, NULL, NULL, err);
}

int shim_pause(struct shim *s, bool pause, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_PAUSE);
	shim_msg_int(&m, TAG_PAUSE, pause);
	return ask(s, &m, ANSWER_MS, NULL, NULL, NULL, err);
}

bool shim_has_runtime(const struct shim *s, const char *path)
{
	return path && s->runtime && streq(s->runtime, path) && !s->runtime_args.len;
}

int shim_exec_create(struct shim *s, const struct shim_exec *ex, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	if (strlen(ex->process) > SHIM_MAX_BODY / 2)
		return err_set(err, ERR_TOO_LARGE, "the exec's process is larger than %u bytes", SHIM_MAX_BODY / 2);
	shim_msg_init(&m, SHIM_EXEC_CREATE);
	shim_msg_str(&m, TAG_EXEC, ex->id);
	shim_msg_str(&m, TAG_PROCESS, ex->process);
	shim_msg_int(&m, TAG_FLAGS, (ex->tty ? SHIM_F_TTY : 0) | (ex->open_stdin ? SHIM_F_STDIN : 0));
	shim_msg_int(&m, TAG_ROWS, ex->rows);
	shim_msg_int(&m, TAG_COLS, ex->cols);
	/* a shim of before does not know it, and asks the runtime */
	if (ex->plan && ex->plan->size && m.body.size + ex->plan->size < SHIM_MAX_BODY - 1024)
		shim_msg_bytes(&m, TAG_JOIN, ex->plan->data, ex->plan->size);
	return ask(s, &m, ANSWER_MS, NULL, NULL, NULL, err);
}

int shim_exec_run(struct shim *s, const char *exec_id, pid_t *ret_pid, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 }, answer = { 0 };

	shim_msg_init(&m, SHIM_EXEC_RUN);
	shim_msg_str(&m, TAG_EXEC, exec_id);
	/* known before it runs: its end may be told before this answer is read */
	lock_take(&s->lock);
	strv_add(&s->execs, exec_id);
	lock_drop(&s->lock);
	if (ask(s, &m, -1, &answer, NULL, NULL, err) < 0) {
		lock_take(&s->lock);
		strv_del(&s->execs, exec_id);
		lock_drop(&s->lock);
		return -1;
	}
	*ret_pid = (pid_t)shim_msg_get_int(&answer, TAG_PID, 0);
	/* the shim declined its plan; it is no failure */
	if (shim_msg_get_str(&answer, TAG_TEXT))
		log_debug("exec %.12s: by the runtime: %s", exec_id, shim_msg_get_str(&answer, TAG_TEXT));
	return 0;
}

int shim_release(struct shim *s, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	bool lost;

	lock_take(&s->lock);
	lost = s->lost;
	lock_drop(&s->lock);
	if (lost) /* buried already */
		return 0;
	shim_msg_init(&m, SHIM_RELEASE);
	if (ask(s, &m, ANSWER_MS, NULL, NULL, NULL, &why) < 0 && why.class != ERR_NOT_FOUND)
		return err_move(err, &why);
	lock_take(&s->lock);
	s->phase = PHASE_ENDED;
	lock_drop(&s->lock);
	return 0;
}
