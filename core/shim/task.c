/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/self.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/jw.h"
#include "base/rights.h"
#include "shim/cgroup.h"
#include "shim/control.h"
#include "shim/join.h"

/* A runtime command that somebody waits for. One that freezes or thaws begins behind the one before it. */
struct order {
	struct command command;
	struct strv words; /* of one that has not begun */
	bool freezes;
	struct conn *waiting;
	struct order *next;
};

/* How often a log with max-age is looked after. */
#define LOG_TICKS_PER_AGE 10
#define LOG_TICK_LEAST    (NSEC_PER_SEC / 2)
#define LOG_TICK_MOST     (3600 * NSEC_PER_SEC)

struct self self = { .dirfd = -1 };
static struct order *orders;
static struct timer log_timer;
static int64_t log_tick_every;

static void write_state(void)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "version", SHIM_VERSION);
	jw_kstr(&w, "id", self.runtime.id);
	jw_kint(&w, "shim", getpid());
	jw_kint(&w, "shimStart", shim_pid_start(getpid()));
	jw_kint(&w, "pid", self.container.pid);
	jw_kint(&w, "pidStart", self.container.pid ? shim_pid_start(self.container.pid) : 0);
	jw_kstr(&w, "runtime", self.runtime.path);
	jw_kstrv(&w, "runtimeArgs", &self.runtime.args);
	jw_kstr(&w, "runtimeRoot", self.runtime.root);
	jw_kbool(&w, "systemdCgroup", self.runtime.systemd_cgroup);
	jw_kstr(&w, "bundle", self.runtime.bundle);
	jw_obj_end(&w);
	fs_write_atomic(self.dirfd, SHIM_STATE, b.data, b.size, 0600, FS_RENAME_ONLY, NULL);
}

static void log_tick(struct timer *t)
{
	logger_tick(self.logger);
	loop_timer(t, log_tick_every, log_tick);
}

static int open_log(const struct shim_msg *m, int64_t flags, struct err *err)
{
	const char *driver = shim_msg_get_str(m, TAG_LOG_DRIVER);
	struct logger_config cfg = { .path = shim_msg_get_str(m, TAG_LOG_PATH), .local = driver && streq(driver, "local"),
		.max_size = shim_msg_get_int(m, TAG_LOG_MAX_SIZE, -1), .max_file = (int)shim_msg_get_int(m, TAG_LOG_MAX_FILE, 1),
		.max_age = shim_msg_get_int(m, TAG_LOG_MAX_AGE, 0), .compress = flags & SHIM_F_LOG_COMPRESS,
		.attrs = shim_msg_get_str(m, TAG_LOG_ATTRS), .buffer = shim_msg_get_int(m, TAG_LOG_BUFFER, 0) };

	if (!driver || streq(driver, "none"))
		return 0;
	if ((!cfg.local && !streq(driver, "json-file")) || !cfg.path)
		return err_set(err, ERR_NOT_IMPLEMENTED, "the shim does not write logs of the driver %s", driver);
	self.logger = logger_open(&cfg, err);
	if (self.logger && cfg.max_age) {
		log_tick_every = cfg.max_age / LOG_TICKS_PER_AGE;
		log_tick_every = log_tick_every < LOG_TICK_LEAST ? LOG_TICK_LEAST : log_tick_every > LOG_TICK_MOST ? LOG_TICK_MOST : log_tick_every;
		log_tick(&log_timer);
	}
	return self.logger ? 0 : -1;
}

int task_config(const struct shim_msg *m, struct err *err)
{
	int64_t flags = shim_msg_get_int(m, TAG_FLAGS, 0);
	const char *arg;
	size_t pos = 0;

	if (self.configured)
		return err_set(err, ERR_CONFLICT, "the shim is configured already");
	str_set(&self.runtime.id, shim_msg_get_str(m, TAG_ID));
	str_set(&self.runtime.dir, shim_msg_get_str(m, TAG_DIR));
	str_set(&self.runtime.bundle, shim_msg_get_str(m, TAG_BUNDLE));
	str_set(&self.runtime.path, shim_msg_get_str(m, TAG_RUNTIME));
	str_set(&self.runtime.root, shim_msg_get_str(m, TAG_RUNTIME_ROOT));
	while ((arg = shim_msg_next_str(m, TAG_RUNTIME_ARG, &pos)))
		strv_add(&self.runtime.args, arg);
	self.runtime.args.set = true;
	self.runtime.systemd_cgroup = flags & SHIM_F_SYSTEMD_CGROUP;
	if (!self.runtime.id || !self.runtime.dir || !self.runtime.bundle || !self.runtime.path || !self.runtime.root)
		return err_set(err, ERR_INVALID, "the shim's configuration is incomplete");
	self.dirfd = open(self.runtime.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (self.dirfd < 0)
		return err_errno(err, errno, "open %s", self.runtime.dir);
	/* left by an earlier run */
	unlinkat(self.dirfd, SHIM_EXIT, 0);
	unlinkat(self.dirfd, SHIM_SOCKET, 0);
	unlinkat(self.dirfd, "init.pid", 0);
	unlinkat(self.dirfd, "runtime.log", 0);
	if (open_log(m, flags, err) < 0)
		return -1;
	self.container = (struct task){ .pidfd = -1, .result = -1, .console = SOURCE_INIT };
	if (streams_init(&self.container.streams, flags & SHIM_F_TTY, flags & SHIM_F_STDIN, flags & SHIM_F_STDIN_ONCE, self.logger, err) < 0)
		return -1;
	self.container.streams.on_drained = end_on_drained;
	self.container.streams.rows = (uint16_t)shim_msg_get_int(m, TAG_ROWS, 0);
	self.container.streams.cols = (uint16_t)shim_msg_get_int(m, TAG_COLS, 0);
	self.configured = true;
	write_state();
	return 0;
}

bool task_configured(void) { return self.configured; }
const char *task_id(void) { return self.runtime.id; }
const char *task_dir(void) { return self.runtime.dir; }
int task_dirfd(void) { return self.dirfd; }

struct task *task_find(const char *id, struct err *err)
{
	if (!id)
		return &self.container;
	for (struct task *t = self.execs; t; t = t->next)
		if (streq(t->id, id))
			return t;
	err_set(err, ERR_NOT_FOUND, "no such exec: %s", id);
	return NULL;
}

/* The runtime sends the terminal's master over a connection, as one descriptor. */
static void console_ready(struct source *src, uint32_t events)
{
	struct task *t = CONTAINER_OF(src, struct task, console);
	char name[4096];
	struct iovec iov = { name, sizeof(name) };
	OWN_FD int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);
	struct timeval limit = { .tv_sec = 5 };
	size_t nfds = 1;
	int master;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (rights_recv(fd, &iov, 1, &master, &nfds, 0) < 0 || !nfds)
		return;
	streams_terminal(&t->streams, master);
	loop_close(src);
}

static int console_listen(struct task *t, struct sockaddr_un *a, struct err *err)
{
	OWN_FREE char *name = t->id ? xasprintf("exec-%s.sock", t->id) : xstrdup("console.sock");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	shim_address(self.runtime.dir, self.dirfd, name, a);
	unlinkat(self.dirfd, name, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)a, sizeof(*a)) < 0 || listen(fd, 1) < 0) {
		err_errno(err, errno, "make the console socket %s", a->sun_path);
		fd_close(&fd);
		return -1;
	}
	t->console = (struct source){ .fd = fd, .fn = console_ready };
	loop_must_watch(&t->console, EPOLLIN);
	return 0;
}

static void on_started(struct command *c, int status);
static void on_joined(struct command *c, int status);
static bool is_freezing(void);

static int run_by_runtime(struct task *t, struct err *err)
{
	OWN_FREE char *log = t->id ? xasprintf("exec-%s.log", t->id) : xstrdup("runtime.log");
	OWN_FREE char *process = t->id ? xasprintf("exec-%s.json", t->id) : NULL;
	OWN_STRV struct strv words = { 0 };
	struct sockaddr_un console;

	if (process && fs_write_atomic(self.dirfd, process, t->process, strlen(t->process), 0600, FS_RENAME_ONLY, err) < 0)
		return -1;
	if (t->streams.tty && console_listen(t, &console, err) < 0)
		return -1;
	strv_add(&words, t->id ? "exec" : self.images ? "restore" : "run");
	strv_add(&words, "--detach");
	if (!t->id && self.images) {
		strv_addf(&words, "--image-path=%s", self.images);
		strv_addf(&words, "--work-path=%s/" SHIM_CRIU_DIR, self.runtime.dir);
	}
	if (t->id)
		strv_addf(&words, "--process=%s/%s", self.runtime.dir, process);
	else
		strv_addf(&words, "--bundle=%s", self.runtime.bundle);
	if (t->id)
		strv_addf(&words, "--pid-file=%s/exec-%s.pid", self.runtime.dir, t->id);
	else
		strv_addf(&words, "--pid-file=%s/init.pid", self.runtime.dir);
	if (t->streams.tty)
		strv_addf(&words, "--console-socket=%s", console.sun_path);
	strv_add(&words, self.runtime.id);
	if (runtime_command(&t->command, &self.runtime, log, &words, t->streams.tty ? (int[]){ -1, -1, -1 } : t->streams.child, on_started) < 0)
		return err_errno(err, errno, "start the runtime");
	return 0;
}

/* False: the runtime is to do it. What is about to be frozen would keep the process that joins, too. */
static bool run_by_joining(struct task *t)
{
	if (!t->plan.size || self.container.state != SHIM_RUNNING || self.container.pidfd < 0 || is_freezing())
		return false;
	return join_start(&t->command, &t->plan, self.container.pid, self.container.pidfd,
		t->streams.tty ? (int[]){ -1, -1, -1 } : t->streams.child, &t->result, on_joined) == 0;
}

int task_run(struct task *t, struct conn *conn, struct err *err)
{
	if (t->state != SHIM_CREATED || self.container.state == SHIM_ENDED)
		return err_set(err, ERR_CONFLICT, "%s was started already", t->id ? t->id : self.runtime.id);
	if (!run_by_joining(t) && run_by_runtime(t, err) < 0)
		return -1;
	t->state = SHIM_STARTING;
	t->waiting = conn;
	return 0;
}

/* Takes over err. */
static void give_up(struct task *t, struct err *err)
{
	struct conn *conn = STEAL(t->waiting);

	t->state = SHIM_ENDED;
	t->reported = true;
	t->streams.drained = true;
	control_error(conn, err);
	if (t->id)
		exec_free(t);
	else
		task_check_end();
}

static void start_failed(struct task *t, int status)
{
	OWN_FREE char *log = t->id ? xasprintf("exec-%s.log", t->id) : xstrdup("runtime.log");
	OWN_FREE char *msg = NULL, *how = NULL;
	OWN_ERR struct err err = ERR_INIT;
	char text[4096];

	streams_abort(&t->streams, text, sizeof(text));
	if (WIFSIGNALED(status))
		how = xasprintf("%s was killed by signal %d", self.runtime.path, WTERMSIG(status));
	else
		how = xasprintf("%s ended with status %d and without its process's id", self.runtime.path, WEXITSTATUS(status));
	msg = runtime_message(&self.runtime, log, *text ? text : how);
	err_set(&err, ERR_INTERNAL, "%s", msg);
	give_up(t, &err);
}

static void started(struct task *t, pid_t pid)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	t->pid = pid;
	t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	t->state = SHIM_RUNNING;
	shim_msg_init(&m, SHIM_OK);
	shim_msg_int(&m, TAG_PID, t->pid);
	shim_msg_str(&m, TAG_TEXT, t->declined);
	control_answer(STEAL(t->waiting), &m, t->pidfd);
	streams_start(&t->streams);
	free(STEAL(t->process));
	buf_done(&t->plan);
	t->plan = (struct buf){ 0 };
}

static void on_started(struct command *c, int status)
{
	struct task *t = CONTAINER_OF(c, struct task, command);
	OWN_FREE char *file = t->id ? xasprintf("exec-%s.pid", t->id) : xstrdup("init.pid");
	pid_t pid;

	if (t->console.fd >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		console_ready(&t->console, EPOLLIN);
	loop_close(&t->console);
	if (!t->id)
		unlinkat(self.dirfd, "console.sock", 0);
	pid = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? runtime_pid(&self.runtime, file) : 0;
	if (pid <= 0) {
		start_failed(t, status);
		return;
	}
	started(t, pid);
	if (t->id) {
		exec_unlink_files(t);
	} else {
		OWN_FREE char *state = xasprintf("%s/%s/state.json", self.runtime.root, self.runtime.id);

		self.oom_file = cgroup_oom_file(t->pid, state);
		oom_watch();
		write_state();
	}
}

static void on_joined(struct command *c, int status)
{
	struct task *t = CONTAINER_OF(c, struct task, command);
	OWN_ERR struct err err = ERR_INIT;
	int master = -1;
	pid_t pid = join_result(t->result, &master, &t->declined);
	char text[64];

	fd_close(&t->result);
	if (pid > 0 && t->streams.tty && master < 0) {
		/* it runs, and nobody sees what it says */
		kill(pid, SIGKILL);
		pid = 0;
	}
	if (pid > 0) {
		if (t->streams.tty)
			streams_terminal(&t->streams, STEAL_FD(master));
		started(t, pid);
		return;
	}
	fd_close(&master);
	if (run_by_runtime(t, &err) < 0) {
		streams_abort(&t->streams, text, sizeof(text));
		give_up(t, &err);
	}
}

int task_kill(struct task *t, int signal, struct err *err)
{
	if (t->state != SHIM_RUNNING)
		return err_set(err, ERR_NOT_FOUND, "the process is not running");
	if (syscall(SYS_pidfd_send_signal, t->pidfd, signal, NULL, 0) < 0) {
		int sys = errno;

		err_errno(err, sys, "signal %d", signal);
		if (sys == ESRCH)
			err->class = ERR_NOT_FOUND;
		if (sys == EINVAL)
			err->class = ERR_INVALID;
		return -1;
	}
	return 0;
}

static void order_drop(struct order *o)
{
	for (struct order **p = &orders; *p; p = &(*p)->next) {
		if (*p != o)
			continue;
		*p = o->next;
		break;
	}
	strv_done(&o->words);
	free(o);
}

static void on_ordered(struct command *c, int status);

static int order_begin(struct order *o, const struct strv *words, struct err *err)
{
	if (runtime_command(&o->command, &self.runtime, "command.log", words, (int[]){ -1, -1, -1 }, on_ordered) < 0)
		return err_errno(err, errno, "start the runtime");
	return 0;
}

/* The oldest that waits: the list is newest first. */
static void next_freeze(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct order *oldest = NULL;

	for (struct order *o = orders; o; o = o->next)
		if (o->words.len)
			oldest = o;
	if (!oldest)
		return;
	if (order_begin(oldest, &oldest->words, &err) == 0) {
		strv_done(&oldest->words);
		return;
	}
	control_error(STEAL(oldest->waiting), &err);
	order_drop(oldest);
	next_freeze();
}

static void on_ordered(struct command *c, int status)
{
	struct order *o = CONTAINER_OF(c, struct order, command);
	struct conn *waiting = STEAL(o->waiting);
	bool froze = o->freezes;

	order_drop(o);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		control_ok(waiting);
	} else {
		OWN_FREE char *msg = runtime_message(&self.runtime, "command.log", "the runtime gave no reason");
		OWN_ERR struct err err = ERR_INIT;

		err_set(&err, ERR_INTERNAL, "%s", msg);
		control_error(waiting, &err);
	}
	if (froze)
		next_freeze();
}

static bool is_freezing(void)
{
	for (struct order *o = orders; o; o = o->next)
		if (o->freezes)
			return true;
	return false;
}

int task_command(const struct strv *words, bool freezes, struct conn *conn, struct err *err)
{
	OWN_FREE struct order *o = xcalloc(1, sizeof(*o));

	if (self.container.state != SHIM_RUNNING)
		return err_set(err, ERR_NOT_FOUND, "the container is not running");
	if (!orders)
		unlinkat(self.dirfd, "command.log", 0);
	if (freezes && is_freezing())
		strv_copy(&o->words, words);
	else if (order_begin(o, words, err) < 0)
		return -1;
	o->freezes = freezes;
	o->waiting = conn;
	o->next = orders;
	orders = STEAL(o);
	return 0;
}

int task_checkpoint(const char *images, bool leave_running, struct conn *conn, struct err *err)
{
	OWN_STRV struct strv words = { 0 };

	if (!images)
		return err_set(err, ERR_INVALID, "no folder for the checkpoint was named");
	strv_add(&words, "checkpoint");
	strv_addf(&words, "--image-path=%s", images);
	strv_addf(&words, "--work-path=%s/" SHIM_CRIU_DIR, self.runtime.dir);
	if (leave_running)
		strv_add(&words, "--leave-running");
	strv_add(&words, self.runtime.id);
	return task_command(&words, true, conn, err);
}

void task_forget(struct conn *conn)
{
	if (self.container.waiting == conn)
		self.container.waiting = NULL;
	end_forget(conn);
	for (struct task *t = self.execs; t; t = t->next)
		if (t->waiting == conn)
			t->waiting = NULL;
	for (struct order *o = orders; o; o = o->next)
		if (o->waiting == conn)
			o->waiting = NULL;
}
