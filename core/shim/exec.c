/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/self.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"

#define MAX_EXECS 1024

static size_t n_execs;
static struct timer sweep_timer;

void exec_unlink_files(const struct task *t)
{
	static const char *const suffix[] = { "json", "pid", "log", "sock" };

	for (size_t i = 0; i < ARRAY_LEN(suffix); i++) {
		OWN_FREE char *name = xasprintf("exec-%s.%s", t->id, suffix[i]);

		unlinkat(self.dirfd, name, 0);
	}
}

void exec_free(struct task *t)
{
	for (struct task **p = &self.execs; *p; p = &(*p)->next) {
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
	fd_close(&t->result);
	free(t->process);
	buf_done(&t->plan);
	free(t->declined);
	free(t->id);
	free(t);
}

/* An exec whose end was told and whose output was taken is forgotten. */
static void exec_check(struct task *t)
{
	if (t->state == SHIM_ENDED && t->reported && t->streams.drained && !streams_attached(&t->streams))
		exec_free(t);
}

void exec_sweep(void)
{
	struct task *next;

	for (struct task *t = self.execs; t; t = next) {
		next = t->next;
		exec_check(t);
	}
}

/* Room for more: ends that no daemon came to hear of, and execs that were never run. */
static void reclaim_execs(void)
{
	struct task *next;

	for (struct task *t = self.execs; t; t = next) {
		next = t->next;
		if ((t->state == SHIM_ENDED || t->state == SHIM_CREATED) && !streams_attached(&t->streams))
			exec_free(t);
	}
}

void exec_drop_unrun(void)
{
	struct task *next;

	for (struct task *t = self.execs; t; t = next) {
		next = t->next;
		if (t->state == SHIM_CREATED)
			exec_free(t);
	}
}

/* Comes again while an end that was told waits for somebody to take the output. */
static void sweep(struct timer *timer)
{
	exec_sweep();
	for (struct task *t = self.execs; t; t = t->next)
		if (t->state == SHIM_ENDED && t->reported)
			loop_timer(timer, SHIM_RETRY, sweep);
}

void exec_sweep_later(void)
{
	loop_timer(&sweep_timer, SHIM_RETRY, sweep);
}

int task_exec_create(const struct shim_msg *m, struct err *err)
{
	const char *id = shim_msg_get_str(m, TAG_EXEC), *process = shim_msg_get_str(m, TAG_PROCESS);
	int64_t flags = shim_msg_get_int(m, TAG_FLAGS, 0);
	size_t pos = 0, size;
	const void *plan = shim_msg_next_bytes(m, TAG_JOIN, 0, &pos, &size);
	struct task *t;

	if (!id || !id_is_name(id, 1) || strlen(id) > ID_HEX || !process)
		return err_set(err, ERR_INVALID, "an exec needs an id and a process");
	if (self.container.state != SHIM_RUNNING)
		return err_set(err, ERR_CONFLICT, "the container is not running");
	if (task_find(id, NULL))
		return err_set(err, ERR_CONFLICT, "exec %s exists already", id);
	if (n_execs >= MAX_EXECS)
		reclaim_execs();
	if (n_execs >= MAX_EXECS)
		return err_set(err, ERR_CONFLICT, "too many execs in this container: %d", MAX_EXECS);
	t = xcalloc(1, sizeof(*t));
	*t = (struct task){ .pidfd = -1, .result = -1, .console = SOURCE_INIT, .process = xstrdup(process) };
	if (plan)
		buf_add(&t->plan, plan, size);
	t->id = xstrdup(id);
	t->next = self.execs;
	self.execs = t;
	n_execs++;
	/* the end of any attachment's stdin is the end of an exec's */
	if (streams_init(&t->streams, flags & SHIM_F_TTY, flags & SHIM_F_STDIN, true, NULL, err) < 0) {
		exec_free(t);
		return -1;
	}
	t->streams.on_drained = end_on_drained;
	t->streams.rows = (uint16_t)shim_msg_get_int(m, TAG_ROWS, 0);
	t->streams.cols = (uint16_t)shim_msg_get_int(m, TAG_COLS, 0);
	return 0;
}
