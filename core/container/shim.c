/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shims that this daemon starts, and what it asks of any. */
#include "container/shim.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/rootless.h"
#include "base/sanitized.h"
#include "container/shim-client.h"

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

/* Nothing of the daemon's environment but what finds programs and the user's systemd, and steers sanitizers. */
static void shim_environment(struct strv *env, bool systemd)
{
	static const char *const bus[] = { "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR" };
	uid_t uid;

	strv_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (systemd && rootless_user(&uid))
		for (size_t i = 0; i < ARRAY_LEN(bus); i++)
			if (!str_empty(getenv(bus[i])))
				strv_addf(env, "%s=%s", bus[i], getenv(bus[i]));
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
	shim_environment(&env, cfg->systemd_cgroup);
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
	if (shim_answer(s->fd, SHIM_ANSWER_MS, NULL, NULL, err) < 0)
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
	failed = shim_ask(s, m, -1, &answer, &pidfd, NULL, err) < 0;
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
	return shim_ask(s, &m, -1, NULL, NULL, NULL, err);
}

bool shim_is_over(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&p, 1, 0) != 0;
}

bool shim_end_stuck(struct shim *s)
{
	bool over;

	lock_take(&s->lock);
	over = s->lost || shim_is_over(s->pidfd);
	lock_drop(&s->lock);
	if (over)
		shim_kill_shim(s);
	return over;
}

bool shim_has_ended(struct shim *s)
{
	WITH_LOCK(&s->lock);

	/* the process may be over before the shim tells */
	return s->lost || s->phase == PHASE_ENDED || (s->pidfd >= 0 && shim_is_over(s->pidfd));
}

int shim_attach(struct shim *s, const char *exec_id, unsigned streams, int *ret_fd, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_ATTACH);
	shim_msg_str(&m, TAG_EXEC, exec_id);
	shim_msg_int(&m, TAG_STREAMS, streams);
	return shim_ask(s, &m, SHIM_ANSWER_MS, NULL, NULL, ret_fd, err);
}

int shim_resize(struct shim *s, const char *exec_id, uint16_t rows, uint16_t cols, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_RESIZE);
	shim_msg_str(&m, TAG_EXEC, exec_id);
	shim_msg_int(&m, TAG_ROWS, rows);
	shim_msg_int(&m, TAG_COLS, cols);
	return shim_ask(s, &m, SHIM_ANSWER_MS, NULL, NULL, NULL, err);
}

/* Without the shim, which may be busy or stuck. 1: not possible here. */
static int signal_process(struct shim *s, int signal, struct err *err)
{
	WITH_LOCK(&s->lock);

	if (s->phase == PHASE_ENDED)
		return err_set(err, ERR_NOT_FOUND, "the process is not running");
	if (s->pidfd < 0)
		return 1;
	if (shim_is_over(s->pidfd))
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
	return shim_ask(s, &m, SHIM_ANSWER_MS, NULL, NULL, NULL, err);
}

int shim_pause(struct shim *s, bool pause, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	shim_msg_init(&m, SHIM_PAUSE);
	shim_msg_int(&m, TAG_PAUSE, pause);
	return shim_ask(s, &m, SHIM_ANSWER_MS, NULL, NULL, NULL, err);
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
	return shim_ask(s, &m, SHIM_ANSWER_MS, NULL, NULL, NULL, err);
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
	if (shim_ask(s, &m, -1, &answer, NULL, NULL, err) < 0) {
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
	if (shim_ask(s, &m, SHIM_ANSWER_MS, NULL, NULL, NULL, &why) < 0 && why.class != ERR_NOT_FOUND)
		return err_move(err, &why);
	lock_take(&s->lock);
	s->phase = PHASE_ENDED;
	lock_drop(&s->lock);
	return 0;
}
