/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/task.h"

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
#include "base/id.h"
#include "base/jw.h"
#include "shim/cgroup.h"
#include "shim/control.h"

#define MAX_EXECS    1024
#define REPORT_AFTER (2 * NSEC_PER_SEC) /* output that nobody takes does not hold back the report of an exit */
#define DELETE_TRIES 3
#define RETRY_AFTER  (NSEC_PER_SEC / 10)

/* A runtime command that somebody waits for. */
struct order {
	struct command command;
	struct conn *waiting;
	struct order *next;
};

static struct runtime rt;
static struct logger *logger;
static struct task container;
static struct task *execs;
static size_t n_execs;
static struct order *orders;
static char *oom_file;
static int dirfd_ = -1;
static bool configured, released, deleted;
static struct conn *releasing;
static struct command deletion;
static int delete_tries;
static struct timer delete_timer, end_timer, sweep_timer;

static void task_init(struct task *t)
{
	*t = (struct task){ .pidfd = -1, .console = SOURCE_INIT };
}

static void write_state(void)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "version", SHIM_VERSION);
	jw_kstr(&w, "id", rt.id);
	jw_kint(&w, "shim", getpid());
	jw_kint(&w, "pid", container.pid);
	jw_kint(&w, "pidStart", container.pid ? shim_pid_start(container.pid) : 0);
	jw_kstr(&w, "runtime", rt.path);
	jw_kstrv(&w, "runtimeArgs", &rt.args);
	jw_kstr(&w, "runtimeRoot", rt.root);
	jw_kbool(&w, "systemdCgroup", rt.systemd_cgroup);
	jw_kstr(&w, "bundle", rt.bundle);
	jw_obj_end(&w);
	fs_write_atomic(dirfd_, SHIM_STATE, b.data, b.size, 0600, FS_RENAME_ONLY, NULL);
}

static void write_exit(void)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "version", SHIM_VERSION);
	jw_kint(&w, "code", container.code);
	jw_kint(&w, "time", container.time);
	jw_kbool(&w, "oom", container.oom);
	jw_obj_end(&w);
	fs_write_atomic(dirfd_, SHIM_EXIT, b.data, b.size, 0600, FS_RENAME_ONLY, NULL);
}

static int open_log(const struct shim_msg *m, int64_t flags, struct err *err)
{
	const char *driver = shim_msg_get_str(m, TAG_LOG_DRIVER), *path = shim_msg_get_str(m, TAG_LOG_PATH);

	if (!driver || streq(driver, "none"))
		return 0;
	if (!streq(driver, "json-file") || !path)
		return err_set(err, ERR_NOT_IMPLEMENTED, "the shim does not write logs of the driver %s", driver);
	if (flags & SHIM_F_LOG_COMPRESS)
		return err_set(err, ERR_NOT_IMPLEMENTED, "log option compress is not supported yet");
	logger = logger_open(path, shim_msg_get_int(m, TAG_LOG_MAX_SIZE, -1), (int)shim_msg_get_int(m, TAG_LOG_MAX_FILE, 1),
		shim_msg_get_str(m, TAG_LOG_ATTRS), err);
	return logger ? 0 : -1;
}

static void on_drained(struct streams *s);
static void start_delete(struct timer *t);

int task_config(const struct shim_msg *m, struct err *err)
{
	int64_t flags = shim_msg_get_int(m, TAG_FLAGS, 0);
	const char *arg;
	size_t pos = 0;

	if (configured)
		return err_set(err, ERR_CONFLICT, "the shim is configured already");
	str_set(&rt.id, shim_msg_get_str(m, TAG_ID));
	str_set(&rt.dir, shim_msg_get_str(m, TAG_DIR));
	str_set(&rt.bundle, shim_msg_get_str(m, TAG_BUNDLE));
	str_set(&rt.path, shim_msg_get_str(m, TAG_RUNTIME));
	str_set(&rt.root, shim_msg_get_str(m, TAG_RUNTIME_ROOT));
	while ((arg = shim_msg_next_str(m, TAG_RUNTIME_ARG, &pos)))
		strv_add(&rt.args, arg);
	rt.args.set = true;
	rt.systemd_cgroup = flags & SHIM_F_SYSTEMD_CGROUP;
	if (!rt.id || !rt.dir || !rt.bundle || !rt.path || !rt.root)
		return err_set(err, ERR_INVALID, "the shim's configuration is incomplete");
	dirfd_ = open(rt.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd_ < 0)
		return err_errno(err, errno, "open %s", rt.dir);
	/* left by an earlier run */
	unlinkat(dirfd_, SHIM_EXIT, 0);
	unlinkat(dirfd_, SHIM_SOCKET, 0);
	unlinkat(dirfd_, "init.pid", 0);
	unlinkat(dirfd_, "runtime.log", 0);
	if (open_log(m, flags, err) < 0)
		return -1;
	task_init(&container);
	if (streams_init(&container.streams, flags & SHIM_F_TTY, flags & SHIM_F_STDIN, flags & SHIM_F_STDIN_ONCE, logger, err) < 0)
		return -1;
	container.streams.on_drained = on_drained;
	container.streams.rows = (uint16_t)shim_msg_get_int(m, TAG_ROWS, 0);
	container.streams.cols = (uint16_t)shim_msg_get_int(m, TAG_COLS, 0);
	configured = true;
	write_state();
	return 0;
}

bool task_configured(void) { return configured; }
const char *task_id(void) { return rt.id; }
const char *task_dir(void) { return rt.dir; }
int task_dirfd(void) { return dirfd_; }

struct task *task_find(const char *id, struct err *err)
{
	if (!id)
		return &container;
	for (struct task *t = execs; t; t = t->next)
		if (streq(t->id, id))
			return t;
	err_set(err, ERR_NOT_FOUND, "no such exec: %s", id);
	return NULL;
}

static void exec_unlink_files(const struct task *t)
{
	static const char *const suffix[] = { "json", "pid", "log", "sock" };

	for (size_t i = 0; i < ARRAY_LEN(suffix); i++) {
		OWN_FREE char *name = xasprintf("exec-%s.%s", t->id, suffix[i]);

		unlinkat(dirfd_, name, 0);
	}
}

static void exec_free(struct task *t)
{
	for (struct task **p = &execs; *p; p = &(*p)->next) {
		if (*p != t)
			continue;
		*p = t->next;
		n_execs--;
		break;
	}
	exec_unlink_files(t);
	streams_done(&t->streams);
	loop_timer_off(&t->report_timer);
	loop_close(&t->console);
	fd_close(&t->pidfd);
	free(t->id);
	free(t);
}

/* An exec whose end was told and whose output was taken is forgotten. */
static void exec_check(struct task *t)
{
	if (t->state == SHIM_ENDED && t->reported && t->streams.drained && !streams_attached(&t->streams))
		exec_free(t);
}

static void check_execs(void)
{
	struct task *next;

	for (struct task *t = execs; t; t = next) {
		next = t->next;
		exec_check(t);
	}
}

/* Room for more: ends that no daemon came to hear of, and execs that were never run. */
static void reclaim_execs(void)
{
	struct task *next;

	for (struct task *t = execs; t; t = next) {
		next = t->next;
		if ((t->state == SHIM_ENDED || t->state == SHIM_CREATED) && !streams_attached(&t->streams))
			exec_free(t);
	}
}

/* Comes again while an end that was told waits for somebody to take the output. */
static void sweep(struct timer *timer)
{
	check_execs();
	for (struct task *t = execs; t; t = t->next)
		if (t->state == SHIM_ENDED && t->reported)
			loop_timer(timer, RETRY_AFTER, sweep);
}

int task_exec_create(const struct shim_msg *m, struct err *err)
{
	const char *id = shim_msg_get_str(m, TAG_EXEC), *process = shim_msg_get_str(m, TAG_PROCESS);
	int64_t flags = shim_msg_get_int(m, TAG_FLAGS, 0);
	OWN_FREE char *name = NULL;
	struct task *t;

	if (!id || !id_is_name(id, 1) || strlen(id) > ID_HEX || !process)
		return err_set(err, ERR_INVALID, "an exec needs an id and a process");
	if (container.state != SHIM_RUNNING)
		return err_set(err, ERR_CONFLICT, "the container is not running");
	if (task_find(id, NULL))
		return err_set(err, ERR_CONFLICT, "exec %s exists already", id);
	if (n_execs >= MAX_EXECS)
		reclaim_execs();
	if (n_execs >= MAX_EXECS)
		return err_set(err, ERR_CONFLICT, "too many execs in this container: %d", MAX_EXECS);
	name = xasprintf("exec-%s.json", id);
	if (fs_write_atomic(dirfd_, name, process, strlen(process), 0600, FS_RENAME_ONLY, err) < 0)
		return -1;
	t = xcalloc(1, sizeof(*t));
	task_init(t);
	t->id = xstrdup(id);
	t->next = execs;
	execs = t;
	n_execs++;
	/* the end of any attachment's stdin is the end of an exec's */
	if (streams_init(&t->streams, flags & SHIM_F_TTY, flags & SHIM_F_STDIN, true, NULL, err) < 0) {
		exec_free(t);
		return -1;
	}
	t->streams.on_drained = on_drained;
	t->streams.rows = (uint16_t)shim_msg_get_int(m, TAG_ROWS, 0);
	t->streams.cols = (uint16_t)shim_msg_get_int(m, TAG_COLS, 0);
	return 0;
}

/* The runtime sends the terminal's master over a connection, as one descriptor. */
static void console_ready(struct source *src, uint32_t events)
{
	struct task *t = CONTAINER_OF(src, struct task, console);
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char name[4096];
	struct iovec iov = { name, sizeof(name) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space) };
	OWN_FD int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);
	struct timeval limit = { .tv_sec = 5 };
	struct cmsghdr *c;
	int master;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return;
	memcpy(&master, CMSG_DATA(c), sizeof(master));
	streams_terminal(&t->streams, master);
	loop_close(src);
}

static int console_listen(struct task *t, struct sockaddr_un *a, struct err *err)
{
	OWN_FREE char *name = t->id ? xasprintf("exec-%s.sock", t->id) : xstrdup("console.sock");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	shim_address(rt.dir, dirfd_, name, a);
	unlinkat(dirfd_, name, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)a, sizeof(*a)) < 0 || listen(fd, 1) < 0) {
		err_errno(err, errno, "make the console socket %s", a->sun_path);
		fd_close(&fd);
		return -1;
	}
	t->console = (struct source){ .fd = fd, .fn = console_ready };
	loop_watch(&t->console, EPOLLIN);
	return 0;
}

static void on_started(struct command *c, int status);

int task_run(struct task *t, struct conn *conn, struct err *err)
{
	OWN_FREE char *log = t->id ? xasprintf("exec-%s.log", t->id) : xstrdup("runtime.log");
	OWN_STRV struct strv words = { 0 };
	struct sockaddr_un console;

	if (t->state != SHIM_CREATED || container.state == SHIM_ENDED)
		return err_set(err, ERR_CONFLICT, "%s was started already", t->id ? t->id : rt.id);
	if (t->streams.tty && console_listen(t, &console, err) < 0)
		return -1;
	strv_add(&words, t->id ? "exec" : "run");
	strv_add(&words, "--detach");
	if (t->id)
		strv_addf(&words, "--process=%s/exec-%s.json", rt.dir, t->id);
	else
		strv_addf(&words, "--bundle=%s", rt.bundle);
	if (t->id)
		strv_addf(&words, "--pid-file=%s/exec-%s.pid", rt.dir, t->id);
	else
		strv_addf(&words, "--pid-file=%s/init.pid", rt.dir);
	if (t->streams.tty)
		strv_addf(&words, "--console-socket=%s", console.sun_path);
	strv_add(&words, rt.id);
	if (runtime_command(&t->command, &rt, log, &words, t->streams.tty ? (int[]){ -1, -1, -1 } : t->streams.child, on_started) < 0)
		return err_errno(err, errno, "start the runtime");
	t->state = SHIM_STARTING;
	t->waiting = conn;
	return 0;
}

static void start_failed(struct task *t, int status)
{
	OWN_FREE char *log = t->id ? xasprintf("exec-%s.log", t->id) : xstrdup("runtime.log");
	OWN_FREE char *msg = NULL, *how = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct conn *conn = STEAL(t->waiting);
	char text[4096];

	streams_abort(&t->streams, text, sizeof(text));
	if (WIFSIGNALED(status))
		how = xasprintf("%s was killed by signal %d", rt.path, WTERMSIG(status));
	else
		how = xasprintf("%s ended with status %d and without its process's id", rt.path, WEXITSTATUS(status));
	msg = runtime_message(&rt, log, *text ? text : how);
	err_set(&err, ERR_INTERNAL, "%s", msg);
	t->state = SHIM_ENDED;
	t->reported = true;
	t->streams.drained = true;
	control_error(conn, &err);
	if (t->id)
		exec_free(t);
	else
		task_check_end();
}

static void on_started(struct command *c, int status)
{
	struct task *t = CONTAINER_OF(c, struct task, command);
	OWN_FREE char *file = t->id ? xasprintf("exec-%s.pid", t->id) : xstrdup("init.pid");
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	if (t->console.fd >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		console_ready(&t->console, EPOLLIN);
	loop_close(&t->console);
	if (!t->id)
		unlinkat(dirfd_, "console.sock", 0);
	t->pid = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? runtime_pid(&rt, file) : 0;
	if (t->pid <= 0) {
		start_failed(t, status);
		return;
	}
	t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	t->state = SHIM_RUNNING;
	shim_msg_init(&m, SHIM_OK);
	shim_msg_int(&m, TAG_PID, t->pid);
	control_answer(STEAL(t->waiting), &m, t->pidfd);
	shim_msg_done(&m);
	streams_start(&t->streams);
	if (t->id) {
		exec_unlink_files(t);
	} else {
		OWN_FREE char *state = xasprintf("%s/%s/state.json", rt.root, rt.id);

		oom_file = cgroup_oom_file(t->pid, state);
		write_state();
	}
}

static struct task *find_pid(pid_t pid)
{
	if (container.pid == pid)
		return &container;
	for (struct task *t = execs; t; t = t->next)
		if (t->pid == pid)
			return t;
	return NULL;
}

static bool known(size_t i, pid_t *ret)
{
	struct task *t = execs;

	if (i == 0) {
		*ret = container.pid;
		return true;
	}
	while (t && --i)
		t = t->next;
	*ret = t ? t->pid : 0;
	return t;
}

static void on_deleted(struct command *c, int status)
{
	OWN_FREE char *state = xasprintf("%s/%s", rt.root, rt.id);

	if (fs_exists(state) && delete_tries < DELETE_TRIES) {
		loop_timer(&delete_timer, RETRY_AFTER, start_delete);
		return;
	}
	deleted = true;
	task_check_end();
}

static void start_delete(struct timer *t)
{
	OWN_FREE char *state = xasprintf("%s/%s", rt.root, rt.id);
	OWN_STRV struct strv words = { 0 };

	if (deleted || deletion.pid || delete_timer.at)
		return;
	delete_tries++;
	strv_add(&words, "delete");
	strv_add(&words, "--force");
	strv_add(&words, rt.id);
	if (!fs_exists(state) || runtime_command(&deletion, &rt, "delete.log", &words, (int[]){ -1, -1, -1 }, on_deleted) < 0) {
		deleted = true;
		task_check_end();
	}
}

static void report(struct task *t)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	bool first = !t->reported;

	shim_msg_init(&m, SHIM_EXITED);
	shim_msg_str(&m, TAG_EXEC, t->id);
	shim_msg_int(&m, TAG_CODE, t->code);
	shim_msg_int(&m, TAG_TIME, t->time);
	shim_msg_int(&m, TAG_OOM, t->oom);
	loop_timer_off(&t->report_timer);
	t->reported = control_event(&m) || t->reported;
	if (!t->id) {
		if (first || !deleted)
			start_delete(NULL);
		task_check_end();
	}
	/* this may run inside the exec's own streams: it is freed later */
	if (t->id)
		loop_timer(&sweep_timer, RETRY_AFTER, sweep);
}

static void report_timer_fired(struct timer *timer)
{
	report(CONTAINER_OF(timer, struct task, report_timer));
}

static void on_drained(struct streams *s)
{
	struct task *t = CONTAINER_OF(s, struct task, streams);

	if (t->state == SHIM_ENDED)
		report(t);
}

static void on_exit_of(pid_t pid, int status)
{
	struct task *t = find_pid(pid);

	if (!t)
		return;
	t->pid = 0;
	t->time = clock_now();
	t->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	t->state = SHIM_ENDED;
	if (!t->id) {
		t->oom = cgroup_oom_killed(oom_file);
		write_exit();
	}
	loop_timer(&t->report_timer, REPORT_AFTER, report_timer_fired);
	if (t->streams.drained)
		report(t);
	else
		streams_exited(&t->streams);
}

void task_reap(void)
{
	runtime_reap(on_exit_of, known);
	check_execs();
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

static void on_ordered(struct command *c, int status)
{
	struct order *o = CONTAINER_OF(c, struct order, command);

	for (struct order **p = &orders; *p; p = &(*p)->next) {
		if (*p != o)
			continue;
		*p = o->next;
		break;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		control_ok(o->waiting);
	} else {
		OWN_FREE char *msg = runtime_message(&rt, "command.log", "the runtime gave no reason");
		OWN_ERR struct err err = ERR_INIT;

		err_set(&err, ERR_INTERNAL, "%s", msg);
		control_error(o->waiting, &err);
	}
	free(o);
}

int task_command(const struct strv *words, struct conn *conn, struct err *err)
{
	OWN_FREE struct order *o = xcalloc(1, sizeof(*o));

	if (container.state != SHIM_RUNNING)
		return err_set(err, ERR_NOT_FOUND, "the container is not running");
	if (!orders)
		unlinkat(dirfd_, "command.log", 0);
	if (runtime_command(&o->command, &rt, "command.log", words, (int[]){ -1, -1, -1 }, on_ordered) < 0)
		return err_errno(err, errno, "start the runtime");
	o->waiting = conn;
	o->next = orders;
	orders = STEAL(o);
	return 0;
}

int task_release(struct conn *conn, struct err *err)
{
	if (container.state == SHIM_STARTING || container.state == SHIM_RUNNING)
		return err_set(err, ERR_CONFLICT, "the container is running");
	container.state = SHIM_ENDED;
	container.streams.drained = container.streams.drained || !container.streams.reading;
	released = true;
	control_answer(releasing, NULL, -1);
	releasing = conn;
	start_delete(NULL);
	task_check_end();
	return 0;
}

void task_forget(struct conn *conn)
{
	if (container.waiting == conn)
		container.waiting = NULL;
	if (releasing == conn)
		releasing = NULL;
	for (struct task *t = execs; t; t = t->next)
		if (t->waiting == conn)
			t->waiting = NULL;
	for (struct order *o = orders; o; o = o->next)
		if (o->waiting == conn)
			o->waiting = NULL;
}

void task_replay(void)
{
	for (struct task *t = execs; t; t = t->next)
		if (t->state == SHIM_ENDED && !t->reported && !t->report_timer.at)
			report(t);
	if (container.state == SHIM_ENDED && !container.reported && !container.report_timer.at)
		report(&container);
}

static void end_timer_fired(struct timer *t)
{
	task_check_end();
}

static bool anybody_attached(void)
{
	if (streams_attached(&container.streams))
		return true;
	for (struct task *t = execs; t; t = t->next)
		if (streams_attached(&t->streams))
			return true;
	return false;
}

void task_check_end(void)
{
	if (container.state == SHIM_CREATED && configured && !control_has_daemon()) {
		container.state = SHIM_ENDED; /* nobody will ever run it */
		container.streams.drained = true;
		released = deleted = true;
		streams_done(&container.streams);
	}
	if (!configured && !control_has_daemon())
		loop_end();
	if (container.state != SHIM_ENDED)
		return;
	if (!deleted) {
		if (!control_has_daemon() && !container.report_timer.at)
			start_delete(NULL);
		return;
	}
	if (!released && control_has_daemon())
		return;
	control_stop();
	if (anybody_attached() || !container.streams.drained) {
		loop_timer(&end_timer, RETRY_AFTER, end_timer_fired);
	} else {
		/* whoever asked may unmount what was open here */
		logger_close(logger);
		logger = container.streams.log = NULL;
		fd_close(&dirfd_);
		loop_end();
	}
	control_ok(STEAL(releasing));
}
