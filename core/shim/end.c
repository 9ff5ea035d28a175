/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How things end: reaping, the record and the report of an exit, the runtime's delete, release, and the shim's own end. */
#include "shim/self.h"

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/jw.h"
#include "shim/control.h"
#include "shim/undo.h"

#define REPORT_AFTER (2 * NSEC_PER_SEC) /* output that nobody takes does not hold back the report of an exit */
#define DELETE_TRIES 3
#define UNDO_TRIES   5 /* 1, 2, 4... ms apart: the kernel empties a control group a little after its last process was reaped */

static bool released, deleted;
static struct conn *releasing;
static struct command deletion;
static int delete_tries, undo_tries;
static struct timer delete_timer, end_timer;

static void start_delete(struct timer *t);

static void write_exit(void)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "version", SHIM_VERSION);
	jw_kint(&w, "code", self.container.code);
	jw_kint(&w, "time", self.container.time);
	jw_kbool(&w, "oom", self.container.oom);
	jw_kint(&w, "oomUntold", oom_untold());
	jw_obj_end(&w);
	fs_write_atomic(self.dirfd, SHIM_EXIT, b.data, b.size, 0600, FS_RENAME_ONLY, NULL);
}

static void on_deleted(struct command *c, int status)
{
	OWN_FREE char *state = xasprintf("%s/%s", self.runtime.root, self.runtime.id);

	if (fs_exists(state) && delete_tries < DELETE_TRIES) {
		loop_timer(&delete_timer, SHIM_RETRY, start_delete);
		return;
	}
	deleted = true;
	task_check_end();
}

/* runc's delete without runc, which takes longer to start than all it does here. False: it, or another runtime, has to. */
static bool undo(void)
{
	enum undone undone = runtime_is_runc(&self.runtime) ? undo_runc(self.runtime.root, self.runtime.id, UNDO_GROUPS) : UNDO_NOT;

	if (undone == UNDO_BUSY && undo_tries < UNDO_TRIES)
		loop_timer(&delete_timer, NSEC_PER_MSEC << undo_tries++, start_delete);
	else if (undone != UNDO_DONE)
		return false;
	deleted = undone == UNDO_DONE;
	return true;
}

static void start_delete(struct timer *t)
{
	OWN_FREE char *state = xasprintf("%s/%s", self.runtime.root, self.runtime.id);
	OWN_STRV struct strv words = { 0 };

	if (deleted || deletion.pid || delete_timer.at)
		return;
	if (undo()) {
		if (deleted)
			task_check_end();
		return;
	}
	delete_tries++;
	strv_add(&words, "delete");
	strv_add(&words, "--force");
	strv_add(&words, self.runtime.id);
	if (!fs_exists(state) || runtime_command(&deletion, &self.runtime, "delete.log", &words, (int[]){ -1, -1, -1 }, on_deleted) < 0) {
		deleted = true;
		task_check_end();
	}
}

static void report(struct task *t)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	bool first = !t->reported;

	/* whoever hears of the end may read the log at once */
	if (first && !t->id && self.logger)
		logger_settle(self.logger);
	shim_msg_init(&m, SHIM_EXITED);
	shim_msg_str(&m, TAG_EXEC, t->id);
	shim_msg_int(&m, TAG_CODE, t->code);
	shim_msg_int(&m, TAG_TIME, t->time);
	shim_msg_int(&m, TAG_OOM, t->oom);
	shim_msg_int(&m, TAG_OOM_UNTOLD, t->id ? 0 : oom_untold());
	loop_timer_off(&t->report_timer);
	if (!t->reported)
		t->reported = control_event(&m);
	if (!t->id) {
		if (t->reported)
			self.oom_told = self.oom_kills;
		if (first || !deleted)
			start_delete(NULL);
		task_check_end();
	}
	/* this may run inside the exec's own streams: it is freed later */
	if (t->id)
		exec_sweep_later();
}

static void report_timer_fired(struct timer *timer)
{
	report(CONTAINER_OF(timer, struct task, report_timer));
}

void end_on_drained(struct streams *s)
{
	struct task *t = CONTAINER_OF(s, struct task, streams);

	if (t->state == SHIM_ENDED)
		report(t);
}

static struct task *find_pid(pid_t pid)
{
	if (self.container.pid == pid)
		return &self.container;
	for (struct task *t = self.execs; t; t = t->next)
		if (t->pid == pid)
			return t;
	return NULL;
}

static bool known(size_t i, pid_t *ret)
{
	struct task *t = self.execs;

	if (i == 0) {
		*ret = self.container.pid;
		return true;
	}
	while (t && --i)
		t = t->next;
	*ret = t ? t->pid : 0;
	return t;
}

static void on_exit_of(pid_t pid, int status)
{
	struct task *t = find_pid(pid);
	bool drained;

	if (!t)
		return;
	t->pid = 0;
	t->time = clock_now();
	t->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	t->state = SHIM_ENDED;
	if (!t->id) {
		oom_end();
		t->oom = self.oom_kills > 0;
		write_exit();
	}
	loop_timer(&t->report_timer, REPORT_AFTER, report_timer_fired);
	drained = t->streams.drained;
	streams_exited(&t->streams);
	if (drained)
		report(t);
}

void task_reap(void)
{
	runtime_reap(on_exit_of, known);
	exec_sweep();
}

int task_release(struct conn *conn, struct err *err)
{
	if (self.container.state == SHIM_STARTING || self.container.state == SHIM_RUNNING)
		return err_set(err, ERR_CONFLICT, "the container is running");
	self.container.state = SHIM_ENDED;
	self.container.streams.drained = self.container.streams.drained || !self.container.streams.reading;
	released = true;
	control_answer(releasing, NULL, -1);
	releasing = conn;
	start_delete(NULL);
	task_check_end();
	return 0;
}

void task_replay(void)
{
	exec_drop_unrun();
	for (struct task *t = self.execs; t; t = t->next)
		if (t->state == SHIM_RUNNING)
			streams_orphaned(&t->streams);
	if (self.container.state == SHIM_RUNNING)
		oom_tell();
	for (struct task *t = self.execs; t; t = t->next)
		if (t->state == SHIM_ENDED && !t->reported && !t->report_timer.at)
			report(t);
	if (self.container.state == SHIM_ENDED && !self.container.reported && !self.container.report_timer.at)
		report(&self.container);
}

static void end_timer_fired(struct timer *t)
{
	task_check_end();
}

static bool anybody_attached(void)
{
	if (streams_attached(&self.container.streams))
		return true;
	for (struct task *t = self.execs; t; t = t->next)
		if (streams_attached(&t->streams))
			return true;
	return false;
}

void task_check_end(void)
{
	if (self.container.state == SHIM_CREATED && self.configured && !control_has_daemon()) {
		self.container.state = SHIM_ENDED; /* nobody will ever run it */
		self.container.streams.drained = true;
		released = deleted = true;
		streams_done(&self.container.streams);
	}
	if (!self.configured && !control_has_daemon())
		loop_end();
	if (self.container.state != SHIM_ENDED)
		return;
	if (!deleted) {
		if (!control_has_daemon() && !self.container.report_timer.at)
			start_delete(NULL);
		return;
	}
	if (!released && control_has_daemon())
		return;
	control_stop();
	if (anybody_attached() || !self.container.streams.drained) {
		loop_timer(&end_timer, SHIM_RETRY, end_timer_fired);
	} else {
		/* whoever asked may unmount what was open here */
		logger_close(self.logger);
		self.logger = self.container.streams.log = NULL;
		fd_close(&self.dirfd);
		loop_end();
	}
	control_ok(STEAL(releasing));
}

void end_forget(struct conn *conn)
{
	if (releasing == conn)
		releasing = NULL;
}
