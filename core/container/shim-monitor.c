/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listens to all shims on one thread. A shim whose connection ends before its container did is lost: a few more threads, begun
 * with the first losses, kill and remove what is left and report it, so that a slow runtime delays nobody else's exit. Of a shim
 * that cannot be subscribed to, the container's own process is watched.
 */
#include "container/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "container/shim-client.h"

#define BURY_MS 30000
#define KILL_MS 500
#define RECORD_MS 3000 /* for a shim that cannot be asked to write down how its container ended */

struct exit_file {
	int64_t version, code, time, oom_untold;
	bool oom;
};
JDESC(exit_desc, exit_file,
	JFIELD(exit_file, version, "version", J_I64, 0),
	JFIELD(exit_file, code, "code", J_I64, 0),
	JFIELD(exit_file, time, "time", J_I64, 0),
	JFIELD(exit_file, oom, "oom", J_BOOL, 0),
	JFIELD(exit_file, oom_untold, "oomUntold", J_I64, 0));

bool shim_read_exit(const char *dir, struct shim_exit *ret)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, SHIM_EXIT);
	OWN_BUF struct buf b = { 0 };
	struct exit_file f = { .oom_untold = -1 };
	bool good;

	if (fs_read(AT_FDCWD, path, 4096, &b, NULL) < 0)
		return false;
	good = jdesc_parse(&exit_desc, b.data, b.size, &f, NULL) == 0 && f.version > 0;
	*ret = (struct shim_exit){ .code = (int)f.code, .time = f.time, .oom = f.oom, .oom_untold = f.oom_untold < 0 ? f.oom : (int)f.oom_untold };
	jdesc_clear(&exit_desc, &f);
	return good;
}

/* The kernel's record of an exit (6.15 and later, once the process was reaped); false when there is none. */
static bool kernel_exit_status(int pidfd, int *ret_status)
{
	struct {
		uint64_t mask, cgroup;
		uint32_t ids[11];
		int32_t exit_code;
	} info = { .mask = 1 << 3 };

	if (ioctl(pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, sizeof(info)), &info) < 0 || !(info.mask & 1 << 3))
		return false;
	*ret_status = info.exit_code;
	return true;
}

static int read_proc(const char *path, char *text, size_t size)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fs_read_all(fd, text, size - 1);

	if (n <= 0)
		return -1;
	text[n] = '\0';
	return 0;
}

/* That of a process that nobody has reaped yet: the last field of its stat file. */
static bool zombie_status(int pidfd, int *ret_status)
{
	char path[64], text[2048], *at;
	int64_t pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (read_proc(path, text, sizeof(text)) < 0 || !(at = strstr(text, "\nPid:")) || (pid = strtoll(at + 5, NULL, 10)) <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	if (read_proc(path, text, sizeof(text)) < 0 || !(at = strrchr(text, ')')) || !str_has_prefix(at, ") Z ") || !(at = strrchr(text, ' ')))
		return false;
	*ret_status = (int)strtol(at + 1, NULL, 10);
	return true;
}

void shim_runtime_argv(const struct shim *s, struct strv *argv, const char *command)
{
	strv_add(argv, s->runtime);
	for (size_t i = 0; i < s->runtime_args.len; i++)
		strv_add(argv, s->runtime_args.v[i]);
	strv_add(argv, "--root");
	strv_add(argv, s->runtime_root);
	if (s->systemd_cgroup)
		strv_add(argv, "--systemd-cgroup");
	strv_add(argv, command);
}

static void runtime_delete(struct shim *s)
{
	OWN_FREE char *record = xasprintf("%s/%s", s->runtime_root ? s->runtime_root : "", s->id);
	OWN_STRV struct strv argv = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf out = { 0 };
	int status = 0;

	if (!s->runtime || !s->runtime_root || !shim_runtime_readable(s->runtime_root, s->id))
		return;
	if (s->traced && !fs_exists(record))
		return;
	shim_runtime_argv(s, &argv, "delete");
	strv_add(&argv, "--force");
	strv_add(&argv, s->id);
	if (spawner_run(s->monitor->spawner, argv.v, NULL, -1, BURY_MS, NULL, &status, &out, &err) < 0)
		log_error("container %.12s: the runtime cannot delete it: %s", s->id, err_text(&err));
	else if (status != 0)
		log_debug("container %.12s: the runtime's delete: %s", s->id, out.data ? out.data : "");
}

static bool await_end(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&p, 1, timeout_ms) > 0;
}

/* 137 unless the kernel knows better. */
static int exit_code(int pidfd)
{
	int status;

	for (int i = 0; pidfd >= 0 && i < 20; i++) { /* it may be between the two: taken by the spawner or init, and not noted yet */
		if (zombie_status(pidfd, &status) || kernel_exit_status(pidfd, &status))
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		usleep(5000);
	}
	return 137;
}

void shim_bury(struct shim *s, int pidfd, struct shim_exit *ret)
{
	struct shim_exit ex = { .code = 137, .lost = true };

	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	/* a paused one dies of the runtime's delete, which lets it go on for that */
	if (!await_end(pidfd, KILL_MS)) {
		runtime_delete(s);
		await_end(pidfd, BURY_MS);
	}
	ex.time = clock_now();
	ex.code = exit_code(pidfd);
	/* behind the look at a zombie that it did not reap; with it goes the runtime that it may be starting the container with */
	shim_kill_shim(s);
	if (!shim_read_exit(s->dir, ret))
		*ret = ex;
	runtime_delete(s);
}

bool shim_await_record(struct shim *s, struct shim_exit *ret)
{
	for (int64_t end = clock_mono() + RECORD_MS * INT64_C(1000000); clock_mono() < end; usleep(20000))
		if (shim_read_exit(s->dir, ret))
			return true;
	return false;
}

/* Its phase and execs belong to nobody else any more once lost is set. */
static void bury_lost(struct shim *s)
{
	struct shim_monitor *m = s->monitor;
	bool was_running;
	struct shim_exit ex;
	struct strv gone = { 0 };
	int pidfd;

	lock_take(&s->lock);
	was_running = s->phase == PHASE_RUNNING;
	s->phase = PHASE_ENDED;
	gone = s->execs;
	s->execs = (struct strv){ 0 };
	pidfd = STEAL_FD(s->pidfd);
	lock_drop(&s->lock);
	if (!s->unheard || !shim_await_record(s, &ex)) {
		log_warn("container %.12s: its shim has died or does not answer", s->id);
		shim_bury(s, pidfd, &ex);
	}
	fd_close(&pidfd);
	for (size_t i = 0; i < gone.len; i++)
		m->on_exit(m->ctx, s->id, gone.v[i], &(struct shim_exit){ .code = 137, .time = ex.time, .lost = true });
	strv_done(&gone);
	if (was_running)
		m->on_exit(m->ctx, s->id, NULL, &ex);
}

static void *janitor_main(void *arg)
{
	struct shim_monitor *m = arg;

	lock_take(&m->lock);
	for (;;) {
		struct shim *s = m->lost;

		if (s) {
			m->lost = s->next;
			m->n_lost--;
			lock_drop(&m->lock);
			bury_lost(s);
			shim_unref(s);
			lock_take(&m->lock);
		} else if (m->stopping) {
			break;
		} else {
			m->idle++;
			lock_wait(&m->lock, &m->cond, -1);
			m->idle--;
		}
	}
	lock_drop(&m->lock);
	return NULL;
}

/* Takes over the monitor's reference. */
static void hand_to_janitor(struct shim_monitor *m, struct shim *s)
{
	lock_take(&m->lock);
	s->next = m->lost;
	m->lost = s;
	if (++m->n_lost > m->idle && m->n_janitors < SHIM_JANITORS && !m->stopping)
		m->n_janitors += pthread_create(&m->janitors[m->n_janitors], NULL, janitor_main, m) == 0;
	pthread_cond_signal(&m->cond);
	lock_drop(&m->lock);
}

static void unwatch(struct shim_monitor *m, struct shim *s)
{
	bool lost;

	epoll_ctl(m->epfd, EPOLL_CTL_DEL, s->fd >= 0 ? s->fd : s->pidfd, NULL);
	s->unheard = s->fd < 0;
	fd_close(&s->fd);
	lock_take(&m->lock);
	for (struct shim **p = &m->shims; *p; p = &(*p)->next) {
		if (*p != s)
			continue;
		*p = s->next;
		break;
	}
	lock_drop(&m->lock);
	lock_take(&s->lock);
	lost = s->phase == PHASE_ASKED || s->phase == PHASE_RUNNING;
	s->lost = lost;
	lock_drop(&s->lock);
	if (lost)
		hand_to_janitor(m, s);
	else
		shim_unref(s);
}

static void tell_exit(struct shim *s, const struct shim_msg *msg)
{
	struct shim_monitor *m = s->monitor;
	const char *exec_id = shim_msg_get_str(msg, TAG_EXEC);
	struct shim_exit ex = { .code = (int)shim_msg_get_int(msg, TAG_CODE, 137), .time = shim_msg_get_int(msg, TAG_TIME, 0),
		.oom = shim_msg_get_int(msg, TAG_OOM, 0) };
	bool again;

	/* a shim of the first release tells of the kills with the end */
	ex.oom_untold = (int)shim_msg_get_int(msg, TAG_OOM_UNTOLD, ex.oom);
	lock_take(&s->lock);
	again = !exec_id && s->phase == PHASE_ENDED;
	if (exec_id)
		strv_del(&s->execs, exec_id);
	else
		s->phase = PHASE_ENDED;
	lock_drop(&s->lock);
	if (!again)
		m->on_exit(m->ctx, s->id, exec_id, &ex);
}

/* The answer to SUBSCRIBE of a shim whose container's process was seen alive. */
static void take_subscription(struct shim *s, const struct shim_msg *msg)
{
	s->asked = false;
	if (shim_msg_get_int(msg, TAG_STATE, SHIM_ENDED) == SHIM_ENDED)
		tell_exit(s, msg);
}

/* False: there will be no events. */
static bool take_event(struct shim *s, const struct shim_msg *msg)
{
	struct shim_monitor *m = s->monitor;
	const char *text = shim_msg_get_str(msg, TAG_TEXT);

	switch (msg->head.type) {
	case SHIM_OK:
		if (s->asked)
			take_subscription(s, msg);
		return true;
	case SHIM_ERROR:
		log_warn("container %.12s: its shim refuses: %s", s->id, text ? text : "without a reason");
		return !s->asked;
	case SHIM_EXITED:
		tell_exit(s, msg);
		return true;
	case SHIM_OOM:
		if (m->on_oom)
			m->on_oom(m->ctx, s->id, (int)shim_msg_get_int(msg, TAG_OOM_UNTOLD, 1));
		return true;
	}
	return true;
}

static void watch_fd(struct shim_monitor *m, struct shim *s)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	if (s->fd >= 0)
		ev.events |= EPOLLRDHUP;
	BUG_ON(epoll_ctl(m->epfd, EPOLL_CTL_ADD, s->fd >= 0 ? s->fd : s->pidfd, &ev) < 0);
}

/* The monitor's thread: from now on the container's process is all there is to watch. */
static void watch_process(struct shim_monitor *m, struct shim *s)
{
	epoll_ctl(m->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	fd_close(&s->fd);
	s->asked = false;
	watch_fd(m, s);
}

static void shim_ready(struct shim_monitor *m, struct shim *s)
{
	bool good = true;
	ssize_t n;
	int got;

	if (s->fd < 0) {
		unwatch(m, s);
		return;
	}
	n = recv(s->fd, buf_reserve(&s->in, 4096), 4096, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		unwatch(m, s);
		return;
	}
	s->in.size += (size_t)n;
	do {
		OWN_SHIM_MSG struct shim_msg msg = { 0 };

		got = shim_msg_parse(&s->in, &msg);
		if (got > 0)
			good = take_event(s, &msg);
	} while (got > 0 && good);
	if (!good)
		watch_process(m, s);
	else if (got < 0)
		unwatch(m, s);
	else if (s->in.size == 0)
		buf_done(&s->in);
}

static void *monitor_main(void *arg)
{
	struct shim_monitor *m = arg;

	for (;;) {
		struct epoll_event ev;

		if (epoll_wait(m->epfd, &ev, 1, -1) < 1)
			continue;
		if (!ev.data.ptr)
			return NULL;
		shim_ready(m, ev.data.ptr);
	}
}

void shim_watch(struct shim *s)
{
	struct shim_monitor *m = s->monitor;

	shim_ref(s);
	lock_take(&m->lock);
	s->next = m->shims;
	m->shims = s;
	lock_drop(&m->lock);
	watch_fd(m, s);
}

void shim_watch_lost(struct shim *s)
{
	lock_take(&s->lock);
	s->lost = true;
	lock_drop(&s->lock);
	hand_to_janitor(s->monitor, shim_ref(s));
}

void shim_monitor_on_oom(struct shim_monitor *m, shim_oom_fn *fn)
{
	m->on_oom = fn;
}

struct shim_monitor *shim_monitor_new(struct spawner *sp, const char *shim_path, shim_exit_fn *on_exit, void *ctx, struct err *err)
{
	struct shim_monitor *m = xcalloc(1, sizeof(*m));
	struct epoll_event ev = { .events = EPOLLIN };

	*m = (struct shim_monitor){ .spawner = sp, .shim_path = xstrdup(shim_path), .on_exit = on_exit, .ctx = ctx };
	lock_init(&m->lock, LOCK_LEAF);
	lock_cond_init(&m->cond);
	m->epfd = epoll_create1(EPOLL_CLOEXEC);
	m->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (m->epfd < 0 || m->stop_fd < 0 || epoll_ctl(m->epfd, EPOLL_CTL_ADD, m->stop_fd, &ev) < 0 ||
	    (errno = pthread_create(&m->thread, NULL, monitor_main, m)) != 0) {
		err_errno(err, errno, "start the monitor of the shims");
		fd_close(&m->epfd);
		fd_close(&m->stop_fd);
		pthread_cond_destroy(&m->cond);
		lock_done(&m->lock);
		free(m->shim_path);
		free(m);
		return NULL;
	}
	return m;
}

void shim_monitor_stop(struct shim_monitor *m)
{
	if (!m || m->stopping)
		return;
	BUG_ON(eventfd_write(m->stop_fd, 1) < 0);
	pthread_join(m->thread, NULL);
	lock_take(&m->lock);
	m->stopping = true;
	pthread_cond_broadcast(&m->cond);
	lock_drop(&m->lock);
	for (size_t i = 0; i < m->n_janitors; i++)
		pthread_join(m->janitors[i], NULL);
}

static void let_go(struct shim **list)
{
	struct shim *s;

	while ((s = *list)) {
		*list = s->next;
		fd_close(&s->fd);
		shim_unref(s);
	}
}

void shim_monitor_free(struct shim_monitor *m)
{
	if (!m)
		return;
	shim_monitor_stop(m);
	let_go(&m->shims);
	let_go(&m->lost);
	fd_close(&m->epfd);
	fd_close(&m->stop_fd);
	pthread_cond_destroy(&m->cond);
	lock_done(&m->lock);
	free(m->shim_path);
	free(m);
}
