/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Execs: further processes in a running container. An exec is guarded by its container's lock; the store's index by the store's.
 */
#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "container/detach.h"
#include "container/exec.h"

#define KEEP_NS (300 * NSEC_PER_SEC)
#define STARTING_NS (10 * NSEC_PER_SEC) /* how long a resize waits for the process, Docker's bound */
#define UNSTARTED_NS (NSEC_PER_SEC / 2)
#define EXECS_MAX 1024 /* of one container, running or remembered */

JDESC(exec_config_desc, exec_config,
	JFIELD(exec_config, user, "User", J_STR, 0),
	JFIELD(exec_config, privileged, "Privileged", J_BOOL, 0),
	JFIELD(exec_config, tty, "Tty", J_BOOL, 0),
	JFIELD(exec_config, console_size, "ConsoleSize", J_PAIR, J_OMITEMPTY),
	JFIELD(exec_config, attach_stdin, "AttachStdin", J_BOOL, 0),
	JFIELD(exec_config, attach_stderr, "AttachStderr", J_BOOL, 0),
	JFIELD(exec_config, attach_stdout, "AttachStdout", J_BOOL, 0),
	JFIELD(exec_config, detach_keys, "DetachKeys", J_STR, J_ANY_CASE),
	JFIELD(exec_config, env, "Env", J_STRV, 0),
	JFIELD(exec_config, working_dir, "WorkingDir", J_STR, 0),
	JFIELD(exec_config, cmd, "Cmd", J_STRV, 0));

static void exec_unref(struct exec *x)
{
	if (atomic_fetch_sub(&x->refs, 1) != 1)
		return;
	jdesc_clear(&exec_config_desc, &x->cfg);
	container_unref(x->container);
	free(x);
}
DEFINE_CLEANUP(struct exec, exec_unref)

static void index_add(struct container_store *s, struct exec *x)
{
	WITH_LOCK(&s->lock);

	s->execs = xrealloc(s->execs, (s->execs_len + 1) * sizeof(*s->execs));
	s->execs[s->execs_len++] = x;
}

static void index_drop(struct container_store *s, struct exec *x)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < s->execs_len; i++)
		if (s->execs[i] == x) {
			s->execs[i] = s->execs[--s->execs_len];
			return;
		}
}

static int no_such(const char *id, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "No such exec instance: %s", id);
}

static struct exec *exec_find(struct container_store *s, const char *id, struct err *err)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < s->execs_len; i++)
		if (streq(s->execs[i]->id, id)) {
			atomic_fetch_add(&s->execs[i]->refs, 1);
			return s->execs[i];
		}
	no_such(id, err);
	return NULL;
}

enum drop { DROP_OLD, DROP_UNSTARTED, DROP_ALL };

/*
 * Takes those out that are over for five minutes and of the older half of a full list all that do not run, or those never started, or
 * all there are: the list's reference passes to the caller's array.
 */
static size_t take_out(struct container *c, enum drop which, struct exec ***ret)
{
	WITH_LOCK(&c->lock);
	struct exec **out = xmalloc((c->execs_len + 1) * sizeof(*out));
	size_t n = 0, kept = 0, half = c->execs_len >= EXECS_MAX ? EXECS_MAX / 2 : 0;
	int64_t now = clock_mono();

	for (size_t i = 0; i < c->execs_len; i++) {
		struct exec *x = c->execs[i];

		bool old = (i < half && !x->running) || (x->ended && now - x->finished > KEEP_NS);

		x->gone = which == DROP_ALL || (which == DROP_OLD ? old : !x->started);
		if (x->gone)
			out[n++] = x;
		else
			c->execs[kept++] = x;
	}
	c->execs_len = kept;
	*ret = out;
	return n;
}

static void drop_execs(struct container *c, enum drop which)
{
	struct exec **old;
	size_t n = take_out(c, which, &old);

	for (size_t i = 0; i < n; i++) {
		index_drop(c->store, old[i]);
		exec_unref(old[i]);
	}
	free(old);
}

void exec_forget(struct container *c, const char *id)
{
	struct exec *x = NULL;

	lock_take(&c->lock);
	for (size_t i = 0; i < c->execs_len && !x; i++)
		if (streq(c->execs[i]->id, id) && c->execs[i]->ended) {
			x = c->execs[i];
			memmove(c->execs + i, c->execs + i + 1, (--c->execs_len - i) * sizeof(*c->execs));
		}
	lock_drop(&c->lock);
	if (!x)
		return;
	index_drop(c->store, x);
	exec_unref(x);
}

void execs_forget(struct container *c)
{
	drop_execs(c, DROP_ALL);
}

void execs_forget_unstarted(struct container *c)
{
	drop_execs(c, DROP_UNSTARTED);
}

int exec_not_running(const struct container *c, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
}

static int check_running(struct container *c, const char *name, struct err *err)
{
	WITH_LOCK(&c->lock);
	const struct container_state *st = &c->rec.state;

	if (!st->running)
		return exec_not_running(c, err);
	if (st->paused)
		return err_set(
			err, ERR_CONFLICT, "Container %s is paused, unpause the container before exec", name ? name : c->id);
	if (st->restarting)
		return err_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running", c->id);
	return 0;
}

void exec_event(struct exec *x, const char *what)
{
	OWN_FREE char *words = strv_join(&x->cfg.cmd, " ");
	OWN_FREE char *action = xasprintf("%s: %s%s", what, words, x->cfg.cmd.len == 1 ? " " : "");

	container_event(x->container, action, "execID", x->id, NULL);
}

static int check_console(const struct exec_config *cfg, struct err *err)
{
	if (cfg->console_size[0] > UINT16_MAX || cfg->console_size[1] > UINT16_MAX)
		return err_set(err, ERR_INVALID, "/ConsoleSize: out of range");
	return 0;
}

int exec_create(struct container *c, struct exec_config *cfg, char ret_id[65], struct err *err)
{
	struct exec *x;
	bool full;

	if (!cfg->cmd.len || !*cfg->cmd.v[0])
		return err_set(err, ERR_INVALID, "No exec command specified");
	if (!str_empty(cfg->working_dir) && *cfg->working_dir != '/')
		return err_set(err, ERR_INVALID, "Cwd must be an absolute path");
	if (check_running(c, c->id, err) < 0 || check_console(cfg, err) < 0)
		return -1;
	drop_execs(c, DROP_OLD);
	x = xcalloc(1, sizeof(*x));
	atomic_init(&x->refs, 1);
	id_new(x->id);
	x->container = container_ref(c);
	x->cfg = *cfg;
	memset(cfg, 0, sizeof(*cfg));
	lock_take(&c->lock);
	/* an exit and a removal forget execs once: none may come behind that */
	full = c->execs_len >= EXECS_MAX;
	if (full || !c->rec.state.running || c->rec.state.restarting) {
		lock_drop(&c->lock);
		exec_unref(x);
		if (!full)
			return exec_not_running(c, err);
		return err_set(err, ERR_CONFLICT, "Container %s has %d execs that run: wait until some have ended", c->id, EXECS_MAX);
	}
	c->execs = xrealloc(c->execs, (c->execs_len + 1) * sizeof(*c->execs));
	c->execs[c->execs_len++] = x;
	atomic_fetch_add(&x->refs, 1);
	lock_drop(&c->lock);
	index_add(c->store, x);
	memcpy(ret_id, x->id, sizeof(x->id));
	exec_event(x, "exec_create");
	exec_unref(x);
	return 0;
}

/* Under the container's lock, or the exec's end: a second start. */
static int started_already(const struct exec *x, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "Error: Exec command %s %s", x->id, x->ended ? "has already run" : "is already running");
}

int exec_start(struct container_store *s, const char *id, bool tty, const int64_t console_size[2], int *ret_fd, struct err *err)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, err);
	CLEANUP(run_putp) struct run *run = NULL;
	bool again, gone;
	int r = 0;

	(void)tty; /* the exec's own setting counts, as in Docker */
	if (!x || check_running(x->container, NULL, err) < 0)
		return -1;
	run = container_run(x->container);
	if (!run)
		return exec_not_running(x->container, err);
	lock_take(&x->container->lock);
	again = x->started;
	gone = x->gone;
	if (again)
		r = started_already(x, err);
	else
		x->started = x->running = !gone;
	if (!again && console_size && console_size[0] > 0 && console_size[1] > 0) {
		x->cfg.console_size[0] = console_size[0];
		x->cfg.console_size[1] = console_size[1];
	}
	lock_drop(&x->container->lock);
	if (gone && !again)
		return no_such(id, err);
	return again ? r : exec_run(x, run, ret_fd, err);
}

int exec_check(struct container_store *s, const char *id, bool *ret_tty, bool *ret_stdin, char **ret_detach_keys, struct err *err)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, err);
	int r;

	if (!x || check_running(x->container, NULL, err) < 0)
		return -1;
	lock_take(&x->container->lock);
	r = x->started ? started_already(x, err) : 0;
	lock_drop(&x->container->lock);
	if (r < 0)
		return r;
	*ret_tty = x->cfg.tty;
	*ret_stdin = x->cfg.attach_stdin;
	*ret_detach_keys = xstrdup(x->cfg.detach_keys);
	return 0;
}

void exec_on_exit(struct container *c, const char *exec_id, const struct shim_exit *ex)
{
	char code[16];
	bool found = false;

	/* An exit may overtake the answer of shim_exec_run: running was set before it. */
	lock_take(&c->lock);
	for (size_t i = 0; i < c->execs_len && !found; i++) {
		struct exec *x = c->execs[i];

		if (!streq(x->id, exec_id) || x->ended)
			continue;
		x->running = false;
		x->ended = x->has_code = true;
		x->code = ex->code;
		x->finished = clock_mono();
		found = true;
	}
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	if (!found)
		return;
	snprintf(code, sizeof(code), "%d", ex->code);
	container_event(c, "exec_die", "execID", exec_id, "exitCode", code, NULL);
}

void execs_end(struct container *c)
{
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < c->execs_len; i++) {
		struct exec *x = c->execs[i];

		if (x->started && !x->ended) {
			x->running = false;
			x->ended = x->has_code = true;
			x->code = 137;
			x->finished = clock_mono();
		}
	}
}

bool exec_await_end(struct container_store *s, const char *id, int timeout_ms)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, NULL);
	int64_t end = clock_mono() + timeout_ms * INT64_C(1000000), left;

	if (!x)
		return false;
	WITH_LOCK(&x->container->lock);
	while (!x->ended && (left = end - clock_mono()) > 0)
		lock_wait(&x->container->lock, &x->container->changed, left);
	return true;
}

bool exec_exit_code(struct container_store *s, const char *id, int *ret_code)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, NULL);

	if (!x)
		return false;
	WITH_LOCK(&x->container->lock);
	*ret_code = x->code;
	return x->ended && x->has_code;
}

void exec_kill(struct container_store *s, const char *id)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, NULL);
	CLEANUP(run_putp) struct run *run = x ? container_run(x->container) : NULL;

	if (run)
		shim_kill(run->shim, id, SIGKILL, false, NULL);
}

void exec_detached(struct container_store *s, const char *id)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, NULL);

	if (x)
		container_event(x->container, "exec_detach", "execID", x->id, NULL);
}

/* Docker's form: the bytes, not the words; nothing where the client named none. */
static char *keys_text(const struct exec *x)
{
	struct detach_keys keys;

	if (str_empty(x->cfg.detach_keys) || detach_keys_parse(x->cfg.detach_keys, &keys, NULL) < 0)
		return xstrdup("");
	return detach_keys_base64(&keys);
}

struct container *exec_container(struct container_store *s, const char *id, struct err *err)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, err);

	return x ? container_ref(x->container) : NULL;
}

int exec_inspect(struct container_store *s, const char *id, struct jw *w, struct err *err)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, err);
	OWN_FREE char *keys = NULL;

	if (!x)
		return -1;
	keys = keys_text(x);
	WITH_LOCK(&x->container->lock);
	jw_obj(w);
	jw_kstr(w, "ID", x->id);
	jw_kbool(w, "Running", x->running);
	jw_key(w, "ExitCode");
	if (x->has_code)
		jw_int(w, x->code);
	else
		jw_null(w);
	jw_kobj(w, "ProcessConfig");
	jw_kbool(w, "tty", x->cfg.tty);
	jw_kstr(w, "entrypoint", x->cfg.cmd.v[0]);
	jw_karr(w, "arguments");
	for (size_t i = 1; i < x->cfg.cmd.len; i++)
		jw_str(w, x->cfg.cmd.v[i]);
	jw_arr_end(w);
	jw_kbool(w, "privileged", x->cfg.privileged);
	if (!str_empty(x->cfg.user))
		jw_kstr(w, "user", x->cfg.user);
	jw_obj_end(w);
	jw_kbool(w, "OpenStdin", x->cfg.attach_stdin);
	jw_kbool(w, "OpenStderr", x->cfg.attach_stderr);
	jw_kbool(w, "OpenStdout", x->cfg.attach_stdout);
	jw_kbool(w, "CanRemove", false);
	jw_kstr(w, "ContainerID", x->container->id);
	jw_kstr(w, "DetachKeys", keys);
	jw_kint(w, "Pid", x->pid);
	jw_obj_end(w);
	return 0;
}

/* Clients resize as soon as the head of start's answer is there, which is before the process is; under the container's lock. */
static void await_process(const struct exec *x)
{
	int64_t since = clock_mono(), left;

	while (!x->pid && !x->ended && (left = since + (x->started ? STARTING_NS : UNSTARTED_NS) - clock_mono()) > 0)
		lock_wait(&x->container->lock, &x->container->changed, left);
}

int exec_resize(struct container_store *s, const char *id, int64_t rows, int64_t cols, struct err *err)
{
	CLEANUP(exec_unrefp) struct exec *x = exec_find(s, id, err);
	CLEANUP(run_putp) struct run *run = NULL;
	bool running;

	if (!x)
		return -1;
	if (rows < 0 || rows > UINT16_MAX || cols < 0 || cols > UINT16_MAX)
		return err_set(err, ERR_INVALID, "a terminal of %lld rows and %lld columns is not possible", (long long)rows,
			(long long)cols);
	run = container_run(x->container);
	lock_take(&x->container->lock);
	await_process(x);
	running = x->running && x->pid;
	lock_drop(&x->container->lock);
	if (!run || !running)
		return err_set(err, ERR_CONFLICT, "cannot resize exec %s: it is not running", id);
	return x->cfg.tty ? shim_resize(run->shim, id, (uint16_t)rows, (uint16_t)cols, err) : 0;
}

/* Ids of execs that are not over, for inspect; under the container's lock. */
void execs_list(const struct container *c, struct strv *ret)
{
	for (size_t i = 0; i < c->execs_len; i++)
		if (!c->execs[i]->ended)
			strv_add(ret, c->execs[i]->id);
}
