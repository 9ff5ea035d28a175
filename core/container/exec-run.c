/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The start of an exec: its process as the bundle's rules make it, and who joins the namespaces. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/bundle/apparmor.h"
#include "container/exec.h"
#include "container/join.h"

/* The default profile may have been taken away since the container started. Under its operation. */
static int confine(const struct container *c, struct err *err)
{
	const char *profile = c->rec.apparmor_profile;

	return profile && streq(profile, APPARMOR_DEFAULT) && apparmor_on() ? apparmor_load(c->store->deps.spawner, false, err) : 1;
}

static char *process_json(struct exec *x, struct err *err)
{
	struct container *c = x->container;
	struct process_in in = { .cmd = &x->cfg.cmd,
		.env = &x->cfg.env,
		.user = str_empty(x->cfg.user) ? NULL : x->cfg.user,
		.working_dir = str_empty(x->cfg.working_dir) ? NULL : x->cfg.working_dir,
		.tty = x->cfg.tty,
		.privileged = x->cfg.privileged || c->host.privileged, /* that of the container is inherited */
		.rows = (uint16_t)x->cfg.console_size[0],
		.cols = (uint16_t)x->cfg.console_size[1] };
	OWN_FREE char *rootfs = NULL;
	OWN_STRV struct strv link_env = { 0 };
	struct bundle_in bi;
	char *text;

	/* The rootfs path is the operation's: a copy taken under it. */
	op_begin_any(c);
	links_collect(c, true, NULL, &link_env, NULL);
	rootfs = xstrdup(c->rootfs);
	container_describe(c, &bi);
	bi.rootfs = rootfs;
	bi.link_env = &link_env;
	bi.tty = x->cfg.tty;
	in.container = &bi;
	text = rootfs && confine(c, err) >= 0 ? bundle_process(&in, err) : NULL;
	op_end(c);
	if (!rootfs)
		exec_not_running(c, err);
	return text;
}

static bool says(const char *text, const char *what)
{
	return strcasestr(text, what) != NULL;
}

static void exec_failed(struct exec *x, int code)
{
	WITH_LOCK(&x->container->lock);

	x->running = false;
	x->ended = x->has_code = true;
	x->code = code;
	x->finished = clock_mono();
	pthread_cond_broadcast(&x->container->changed);
}

/* Docker's words for the runtime's refusal; the exit code that goes with them. */
static int explain(struct err *err)
{
	OWN_FREE char *msg = xstrdup(err_text(err));

	err_set(err, ERR_INVALID, "OCI runtime exec failed: %s%s: unknown",
		str_has_prefix(msg, "exec failed: ") ? "" : "exec failed: ", msg);
	return (says(msg, "executable file") && says(msg, "not found")) || says(msg, "no such file or directory") ? 127 : 126;
}

static struct join_base *make_base(const struct container *c)
{
	OWN_FREE char *state = xasprintf("%s/%s/state.json", c->store->runtime_root, c->id);
	OWN_FREE char *run_dir = container_run_dir(c), *config = xasprintf("%s/config.json", run_dir);
	OWN_FREE char *filters = xasprintf("%s/seccomp", c->store->deps.exec_root);
	const char *shim = c->store->deps.shim_path, *end = strrchr(shim, '/');
	OWN_FREE char *program = xasprintf("%.*s/dockerd-seccomp", end ? (int)(end - shim) : 0, shim);

	lock_none_held();
	return join_base_new(&(struct join_source){ .id = c->id, .state = state, .config = config, .spawner = c->store->deps.spawner,
		.program = program, .filters = filters, .no_cgroup = c->store->deps.defaults->no_cgroup });
}

/* Made at the first exec of a run; of two that come at once one is kept. */
static const struct join_base *base_of(struct container *c, struct run *run)
{
	struct join_base *own, *kept;

	lock_take(&c->lock);
	kept = run->join;
	lock_drop(&c->lock);
	if (kept)
		return kept;
	own = make_base(c);
	lock_take(&c->lock);
	if (!run->join)
		run->join = STEAL(own);
	kept = run->join;
	lock_drop(&c->lock);
	join_base_free(own);
	return kept;
}

/* Leaves plan empty where the runtime is to do it. */
static void plan_exec(struct exec *x, struct run *run, const char *process, struct buf *plan)
{
	struct container *c = x->container;
	const struct daemon_defaults *d = c->store->deps.defaults;
	OWN_ERR struct err err = ERR_INIT;

	if (d->native_exec && shim_has_runtime(run->shim, strmap_get(&d->runtimes, "runc")) &&
		join_plan(base_of(c, run), c->id, process, plan, &err) < 0)
		log_debug("exec %.12s: by the runtime: %s", x->id, err_text(&err));
}

int exec_run(struct exec *x, struct run *run, int *ret_fd, struct err *err)
{
	unsigned streams = (x->cfg.attach_stdin ? SHIM_STDIN : 0) | (x->cfg.attach_stdout ? SHIM_STDOUT : 0) |
			   (x->cfg.attach_stderr ? SHIM_STDERR : 0);
	OWN_FREE char *process = process_json(x, err);
	OWN_BUF struct buf plan = { 0 };
	struct shim_exec se = { .id = x->id, .process = process, .plan = &plan, .tty = x->cfg.tty, .open_stdin = x->cfg.attach_stdin && ret_fd,
		.rows = (uint16_t)x->cfg.console_size[0], .cols = (uint16_t)x->cfg.console_size[1] };
	OWN_FD int fd = -1;
	pid_t pid = 0;

	if (!process) {
		exec_failed(x, 126);
		return -1;
	}
	lock_none_held();
	plan_exec(x, run, process, &plan);
	if (shim_exec_create(run->shim, &se, err) < 0 || (ret_fd && shim_attach(run->shim, x->id, streams, &fd, err) < 0)) {
		exec_failed(x, 126);
		return container_ended(x->container) ? exec_not_running(x->container, err) : -1;
	}
	exec_event(x, "exec_start");
	if (shim_exec_run(run->shim, x->id, &pid, err) < 0) {
		exec_failed(x, explain(err));
		return container_ended(x->container) ? exec_not_running(x->container, err) : -1;
	}
	lock_take(&x->container->lock);
	x->pid = pid;
	pthread_cond_broadcast(&x->container->changed);
	lock_drop(&x->container->lock);
	if (ret_fd)
		*ret_fd = STEAL_FD(fd);
	return 0;
}
