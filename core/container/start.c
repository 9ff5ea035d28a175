/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting: layer, sandbox, files, mounts, bundle, shim; then the runtime runs. All by the holder of the operation. */
#include <errno.h>
#include <sys/mount.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/log.h"
#include "base/metrics.h"
#include "container/bundle/apparmor.h"
#include "container/bundle/cdi.h"
#include "container/bundle/cgroup.h"
#include "container/internal.h"
#include "image/layer.h"

/* Docker's exit codes of a container that did not start. */
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_INVOKED 126
#define EXIT_UNKNOWN 128

static struct layer_store *layers_of(struct container *c)
{
	return image_store_layers(c->store->deps.images);
}

const char *container_mode(struct container *c)
{
	const char *mode = c->host.network_mode;

	if (c->rec.config.network_disabled)
		return "none";
	if (!str_empty(mode) && !streq(mode, "default"))
		return mode;
	return c->store->deps.nets ? net_default(c->store->deps.nets) : "none";
}

static int setup_shm(struct container *c, char **ret_path, struct err *err)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_FREE char *mounts = xasprintf("%s/mounts", dir), *path = xasprintf("%s/shm", mounts);
	OWN_FREE char *opts = xasprintf("mode=1777,size=%lld,uid=%u,gid=%u", (long long)c->host.shm_size, (unsigned)container_root_owner(c).uid,
		(unsigned)container_root_owner(c).gid);

	if (!c->host.ipc_mode || !streq(c->host.ipc_mode, "shareable"))
		return 0;
	if (fs_mkdir_anew(mounts, 0700, err) < 0 || fs_mkdir_anew(path, 0700, err) < 0)
		return -1;
	lock_none_held();
	if (!str_empty(container_mount_label(c))) {
		OWN_FREE char *plain = STEAL(opts);

		opts = xasprintf("%s,context=\"%s\"", plain, container_mount_label(c));
	}
	if (mount("shm", path, "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, opts) < 0)
		return err_errno(err, errno, "mounting shm tmpfs");
	c->shm_mounted = true;
	container_set_text(c, &c->rec.shm_path, path);
	*ret_path = STEAL(path);
	return 0;
}

static void drop_shm(struct container *c)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_FREE char *path = xasprintf("%s/mounts/shm", dir);

	if (c->shm_mounted && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		log_warn("container %s: cannot unmount %s: %s", c->id, path, strerror(errno));
	c->shm_mounted = false;
}

void container_network_event(struct container *c, const char *action, const struct net_endpoint *ep)
{
	OWN_NETWORK struct network *n = c->store->deps.events ? net_find(c->store->deps.nets, ep->network_id, NULL) : NULL;
	OWN_STRMAP struct strmap own = { 0 };

	if (!n)
		return;
	/* Everybody's networks have no labels: what a container does with one is told by its own. */
	if (net_is_predefined(n->name))
		container_labels(c, &own);
	events_log_of(c->store->deps.events, own.len ? &own : &n->labels, "network", action, n->id, "container", c->id, "name", n->name,
		"type", n->driver, NULL);
}

/* Nothing for a sandbox that is another container's. */
static void network_events(struct container *c, const char *action)
{
	for (size_t i = 0; i < c->sandbox.eps_len; i++)
		container_network_event(c, action, &c->sandbox.eps[i]);
}

void container_drop_groups(const struct container *c, bool kill)
{
	const struct daemon_defaults *d = c->store->deps.defaults;
	OWN_FREE char *parent = NULL, *path = NULL;

	/* systemd removes its own */
	if (d->systemd_cgroup)
		return;
	parent = bundle_cgroup_parent(&c->host, d);
	path = xasprintf("%s/%s", streq(parent, "/") ? "" : parent, c->id);
	cgroup_sweep(path, kill);
}

void container_unwind(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT;
	int64_t began;

	lock_none_held();
	mounts_teardown(c);
	drop_shm(c);
	began = clock_mono();
	if (c->store->deps.nets && sandbox_remove(c->store->deps.nets, c->id, &c->sandbox, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
	metrics_time(METRIC_NETWORK_ACTIONS, "release", clock_mono() - began);
	endpoints_forget(c);
	publish_forget(c);
	links_tell(c);
	err_done(&err);
	if (c->rootfs && rwlayer_unmount(layers_of(c), c->id, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
	str_set(&c->rootfs, NULL);
}

void container_tell_unwound(struct container *c)
{
	network_events(c, "disconnect");
	mounts_tell(c);
	sandbox_done(&c->sandbox);
	memset(&c->sandbox, 0, sizeof(c->sandbox));
}

/* The runtime cannot read its own record, or the shim could not ask it: the next start would find the id taken. */
static void drop_runtime_record(struct container *c)
{
	OWN_FREE char *record = xasprintf("%s/%s", c->store->runtime_root, c->id);
	OWN_ERR struct err err = ERR_INIT;

	if (!fs_exists(record))
		return;
	if (shim_sweep_runtime(c->store->runtime_root, c->id, &err) < 0)
		log_warn("container %s: what its runtime left stays: %s", c->id, err_text(&err));
	else
		damage_note("container", c->id, DAMAGE_REPAIRED,
			"container %.12s: its runtime could not delete it, its record is damaged: it is removed", c->id);
}

void container_drop_run_dir(struct container *c)
{
	OWN_FREE char *run_dir = container_run_dir(c);

	drop_runtime_record(c);
	mounts_unpin(run_dir);
	userns_hide(c, true);
	fs_remove_tree(AT_FDCWD, run_dir, NULL);
}

/* "container:X" of the ipc and pid modes: the namespace file of a running container. */
static int joined_ns(struct container *c, const char *mode, const char *ns, char **ret, char **ret_shm, struct err *err)
{
	CLEANUP(container_unrefp) struct container *other = NULL;
	int64_t pid;

	if (!mode || !str_has_prefix(mode, "container:"))
		return 0;
	other = container_find(c->store, mode + strlen("container:"), err);
	if (!other)
		return -1;
	lock_take(&other->lock);
	pid = other->rec.state.running && !other->rec.state.restarting ? other->rec.state.pid : 0;
	if (pid && ret_shm && !str_empty(other->rec.shm_path))
		*ret_shm = xstrdup(other->rec.shm_path);
	lock_drop(&other->lock);
	if (!pid)
		return err_set(err, ERR_CONFLICT, "%s%s%scontainer %s is not running", streq(ns, "ipc") ? "can't join IPC of container " : "",
			streq(ns, "ipc") ? other->id : "", streq(ns, "ipc") ? ": " : "", other->id);
	if (ret_shm && !*ret_shm)
		return err_set(err, ERR_INVALID,
			"can't join IPC of container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
			other->id);
	*ret = xasprintf("/proc/%lld/ns/%s", (long long)pid, ns);
	return 0;
}

static void add_net_files(struct container *c, struct mount_list *l)
{
	const struct { const char *path, *at;
	} files[] = {
		{ c->rec.resolv_path, "/etc/resolv.conf" },
		{ c->rec.hostname_path, "/etc/hostname" },
		{ c->rec.hosts_path, "/etc/hosts" },
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (jmap_get(&c->rec.mounts, files[i].at, &mount_point_desc))
			continue; /* the user's own */
		labels_file(c, files[i].path);
		mount_list_add(l, "bind", files[i].path, files[i].at);
		strv_add(&mount_list_last(l)->options, "rbind");
		strv_add(&mount_list_last(l)->options, c->host.readonly_rootfs ? "ro" : "rw");
		strv_add(&mount_list_last(l)->options, "rprivate");
	}
}

static int allow_realtime(struct container *c, struct err *err)
{
	const struct daemon_defaults *d = c->store->deps.defaults;
	OWN_FREE char *parent = NULL;

	if ((!d->cpu_rt_period && !d->cpu_rt_runtime) || d->systemd_cgroup)
		return 0;
	parent = bundle_cgroup_parent(&c->host, d);
	return cgroup_allow_realtime(parent, d->cpu_rt_period, d->cpu_rt_runtime, err);
}

/* What an inspect shows from here on, and execs run with. */
static int confine(struct container *c, struct err *err)
{
	const char *profile = apparmor_on() ? apparmor_profile(&c->host) : "";
	int r = streq(profile, APPARMOR_DEFAULT) ? apparmor_load(c->store->deps.spawner, false, err) : 1;

	if (r < 0)
		return -1;
	if (r == 0)
		profile = "";
	container_set_text(c, &c->rec.apparmor_profile, profile);
	return 0;
}

void container_describe(const struct container *c, struct bundle_in *ret)
{
	*ret = (struct bundle_in){ .id = c->id,
		.hostname = c->rec.config.hostname,
		.domainname = c->rec.config.domainname,
		.config = &c->rec.config,
		.host = &c->host,
		.defaults = c->store->deps.defaults,
		.sandbox = &c->sandbox,
		.path = c->rec.path,
		.args = &c->rec.args,
		.apparmor = c->rec.apparmor_profile,
		.process_label = container_process_label(c) };
}

static int write_bundle(struct container *c, const char *run_dir, struct mount_list *mounts, struct err *err)
{
	OWN_FREE char *shm = NULL, *ipc = NULL, *pid = NULL, *root = NULL;
	OWN_STRV struct strv link_env = { 0 };
	CLEANUP(device_edits_done) struct device_edits edits = { 0 };
	struct bundle_in in;

	if (allow_realtime(c, err) < 0 || confine(c, err) < 0)
		return -1;
	if (device_requests_resolve(&c->host.device_requests, c->store->deps.defaults, &edits, err) < 0)
		return -1;
	if (links_collect(c, false, NULL, &link_env, err) < 0)
		return -1;
	if (setup_shm(c, &shm, err) < 0 || joined_ns(c, c->host.ipc_mode, "ipc", &ipc, &shm, err) < 0 ||
	    joined_ns(c, c->host.pid_mode, "pid", &pid, NULL, err) < 0)
		return -1;
	if (mounts_setup(c, mounts, err) < 0)
		return -1;
	add_net_files(c, mounts);
	mount_list_sort(mounts);
	root = userns_expose(c, c->rootfs, err);
	if (!root)
		return -1;
	container_describe(c, &in);
	in.rootfs = root;
	in.mounts = mounts->v;
	in.n_mounts = mounts->len;
	in.propagation = mounts->propagation;
	in.ipc_path = ipc;
	in.pid_path = pid;
	in.shm_path = shm;
	in.edits = &edits;
	in.link_env = &link_env;
	in.ids = container_userns(c);
	in.file_ids = container_ids(c);
	in.mount_label = container_mount_label(c);
	in.tty = c->rec.config.tty;
	return bundle_write(&in, run_dir, err);
}

/* Adds the runtime's extra arguments to args. */
static const char *runtime_path(struct container *c, struct strv *args, struct err *err)
{
	const struct daemon_defaults *d = c->store->deps.defaults;
	const char *name = !str_empty(c->host.runtime) ? c->host.runtime : d->default_runtime;
	const char *path = bundle_runtime(d, name), *extra = strmap_get(&d->runtime_args, name);

	if (extra)
		strv_split(args, extra, "\n");
	if (!path)
		err_set(err, ERR_INVALID, "unknown or invalid runtime name: %s", name);
	return path;
}

void container_trace(struct container *c, struct shim_trace *ret, struct strv *args)
{
	*ret = (struct shim_trace){ .runtime_root = c->store->runtime_root, .runtime_args = args, .pid = (pid_t)c->rec.state.pid,
		.systemd_cgroup = c->store->deps.defaults->systemd_cgroup };
	ret->runtime = runtime_path(c, args, NULL);
}

static struct run *start_shim(struct container *c, const char *run_dir, struct err *err)
{
	OWN_FREE char *log_path = log_file_path(c, &c->host.log);
	OWN_FREE char *attrs = NULL;
	OWN_STRV struct strv args = { 0 };
	struct shim_config cfg = { .id = c->id, .dir = run_dir, .bundle = run_dir, .runtime_root = c->store->runtime_root, .tty = c->rec.config.tty,
		.open_stdin = c->rec.config.open_stdin, .stdin_once = c->rec.config.stdin_once,
		.systemd_cgroup = c->store->deps.defaults->systemd_cgroup };
	struct shim *shim;
	struct run *run;

	if (c->host.console_size[0] > 0 && c->host.console_size[0] <= UINT16_MAX && c->host.console_size[1] > 0 &&
		c->host.console_size[1] <= UINT16_MAX) {
		cfg.rows = (uint16_t)c->host.console_size[0];
		cfg.cols = (uint16_t)c->host.console_size[1];
	}
	cfg.runtime = runtime_path(c, &args, err);
	cfg.runtime_args = &args;
	if (!cfg.runtime || log_config_fill(c, log_path, &cfg.log, &attrs, err) < 0 || log_file_prepare(c, err) < 0)
		return NULL;
	lock_none_held();
	shim = shim_start(c->store->monitor, &cfg, err);
	if (!shim)
		return NULL;
	/* Docker's daemon names the file of json-file only */
	container_set_text(c, &c->rec.log_path, streq(cfg.log.driver, "json-file") ? log_path : "");
	run = xcalloc(1, sizeof(*run));
	atomic_init(&run->refs, 1);
	run->shim = shim;
	return run;
}

static bool says(const char *text, const char *what)
{
	return strcasestr(text, what) != NULL;
}

/* The runtime's message in Docker's words; returns the exit code that goes with it. */
static int explain(struct err *err, bool restoring)
{
	OWN_FREE char *msg = xstrdup(err_text(err));
	const char *text = msg;
	const char *run_failed = "runc run failed: ", *create_failed = "runc create failed: ", *restore_failed = "runc restore failed: ";
	const char *mixed = says(text, "not a directory") && says(text, "mount") ?
		": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the "
		"expected type" : "";
	int code = EXIT_UNKNOWN;

	if (str_has_prefix(text, run_failed))
		text += strlen(run_failed);
	else if (str_has_prefix(text, create_failed))
		text += strlen(create_failed);
	else if (str_has_prefix(text, restore_failed))
		text += strlen(restore_failed);
	if (restoring)
		err_set(err, ERR_INTERNAL, "OCI runtime restore failed: %s: unknown", text);
	else
		err_set(err, ERR_INTERNAL,
		"failed to create task for container: failed to create shim task: OCI runtime create failed: %s%s: unknown%s",
		text != msg ? create_failed : "", text, mixed);
	if (says(text, "executable file not found") || says(text, "executable file `") || says(text, "no such file or directory"))
		code = EXIT_NOT_FOUND;
	else if (says(text, "permission denied") || says(text, "is a directory") || says(text, "not a directory"))
		code = EXIT_NOT_INVOKED;
	if (code != EXIT_UNKNOWN)
		err->class = ERR_INVALID;
	return code;
}

/* The sandbox, with all of its networks. */
static int allocate(struct container *c, const char *mode, int userns, struct err *err)
{
	CLEANUP(wishes_done) struct wishes w = { 0 };
	OWN_STRV struct strv servers = { 0 }, search = { 0 };
	struct net_resolv resolv = { &servers, &search };
	int64_t began = clock_mono();

	if (!c->store->deps.nets)
		return 0;
	wishes_make(c, mode, &w);
	wishes_find(c, &w);
	netfiles_servers(c, &servers, &search);
	lock_none_held();
	if (sandbox_create(c->store->deps.nets, c->id, userns, w.v, w.len, &resolv, &c->sandbox, err) < 0)
		return -1;
	metrics_time(METRIC_NETWORK_ACTIONS, "allocate", clock_mono() - began);
	network_events(c, "connect");
	return links_allow(c, err) < 0 || publish_do(c, &c->host, err) < 0 ? -1 : 0;
}

/* A sandbox of its own, or another container's with its files. */
static int enter_network(struct container *c, const char *mode, int userns, struct err *err)
{
	CLEANUP(container_unrefp) struct container *other = NULL;

	if (!str_has_prefix(mode, "container:"))
		return allocate(c, mode, userns, err) < 0 ? -1 : netfiles_write(c, mode, err);
	other = container_find(c->store, mode + strlen("container:"), err);
	if (!other || (c->store->deps.nets && sandbox_share(c->store->deps.nets, other->id, &c->sandbox, err) < 0))
		return -1;
	return netfiles_share(c, other, err);
}

/* The user namespace first: the sandbox is inside it. */
static int enter_sandbox(struct container *c, const char *run_dir, const char *mode, struct err *err)
{
	OWN_FREE char *path = NULL;
	OWN_FD int userns = userns_open(c, err);

	if (userns == -1)
		return -1;
	if (userns >= 0 && !(path = userns_pin(userns, run_dir, err)))
		return -1;
	if (enter_network(c, mode, userns, err) < 0)
		return -1;
	c->sandbox.userns_path = STEAL(path);
	return 0;
}

/* Everything up to the shim that holds the streams. */
static struct run *prepare(struct container *c, struct err *err)
{
	OWN_FREE char *run_dir = container_run_dir(c);
	CLEANUP(mount_list_done) struct mount_list mounts = { 0 };
	const char *mode = container_mode(c);
	uint32_t ids;

	lock_none_held();
	/* before anything is mounted: what a crash leaves is found by this folder */
	mounts_unpin(run_dir);
	fs_remove_tree(AT_FDCWD, run_dir, NULL);
	if (fs_mkdirs(run_dir, 0700, err) < 0)
		return NULL;
	/* one whose range could not be used any more */
	if (!c->own.uids.len && userns_auto(&c->host, &ids) && ids_take(c, ids, err) < 0)
		return NULL;
	c->rootfs = container_mount(c, c->id, err);
	if (!c->rootfs || labels_root(c, c->rootfs, err) < 0)
		return NULL;
	if (enter_sandbox(c, run_dir, mode, err) < 0)
		return NULL;
	return write_bundle(c, run_dir, &mounts, err) < 0 ? NULL : start_shim(c, run_dir, err);
}

static void failed(struct container *c, int code, const struct err *err)
{
	bool autoremove;

	container_unwind(c);
	container_tell_unwound(c);
	lock_take(&c->lock);
	c->rec.state.exit_code = code;
	str_set(&c->rec.state.error, err_text(err));
	autoremove = c->host.auto_remove && !c->keep && !c->rec.state.removal;
	lock_drop(&c->lock);
	attachments_drop(c);
	container_save_state(c);
	container_drop_run_dir(c);
	log_error("container %s did not start: %s", c->id, err_text(err));
	if (autoremove) {
		OWN_ERR struct err ignored = ERR_INIT;

		container_remove_op(c, true, &ignored);
	}
}

static int check_startable(struct container *c, struct err *err)
{
	WITH_LOCK(&c->lock);
	const struct container_state *st = &c->rec.state;

	if (atomic_load(&c->store->stopping))
		return err_set(err, ERR_UNAVAILABLE, "the daemon is shutting down");
	if (st->paused)
		return err_set(err, ERR_CONFLICT, "cannot start a paused container, try unpause instead");
	if (st->running && !st->restarting)
		return err_set(err, ERR_NOT_MODIFIED, "Container already started");
	if (container_check_whole(c, err) < 0)
		return -1;
	if (st->removal || st->dead)
		return err_set(err, ERR_CONFLICT, "container is marked for removal and cannot be started");
	return 0;
}

static void set_starting(struct container *c, struct run *run)
{
	WITH_LOCK(&c->lock);

	c->starting = run;
}

static void publish(struct container *c, struct run *run, pid_t pid, int64_t started_at)
{
	WITH_LOCK(&c->lock);
	struct container_state *st = &c->rec.state;

	c->run = run;
	c->starting = NULL;
	atomic_fetch_add(&run->refs, 1);
	c->restart_epoch++;
	c->no_restart = false;
	c->rec.started_before = true;
	c->rec.manually_stopped = false;
	st->running = true;
	st->restarting = st->paused = st->oom_killed = st->dead = false;
	st->pid = pid;
	st->exit_code = 0;
	st->started_at = started_at;
	c->started_mono = clock_mono();
	str_set(&st->error, "");
	pthread_cond_broadcast(&c->changed);
}

/* The runtime has what it was to mount, or will not mount it. */
static void unpin(const struct container *c)
{
	OWN_FREE char *run_dir = container_run_dir(c);

	mounts_unpin(run_dir);
	userns_hide(c, false);
}

int container_start_op(struct container *c, struct err *err)
{
	OWN_ERR struct err local = ERR_INIT;
	CLEANUP(run_putp) struct run *run = NULL;
	int64_t began = clock_mono(), started_at;
	int code = EXIT_UNKNOWN;
	bool started;
	pid_t pid = 0;

	if (check_startable(c, err) < 0)
		return -1;
	run = log_config_renew(c, &local) < 0 ? NULL : prepare(c, &local);
	if (run) {
		/* whoever attaches from here on goes to the shim, and misses nothing either */
		set_starting(c, run);
		attachments_connect(c, run);
		/* clients ask for what the log has since then: nothing that it writes may be older */
		started_at = clock_now();
		started = (c->restore_from ? shim_restore(run->shim, c->restore_from, &pid, &local) : shim_run(run->shim, &pid, &local)) == 0;
		unpin(c);
		if (!started)
			set_starting(c, NULL);
		if (started) {
			container_note_network(c);
			publish(c, run, pid, started_at);
			links_tell(c);
			health_begin(c, true);
			ship_begin(c);
			container_save_state(c);
			container_event(c, "start", NULL);
			if (!str_empty(c->rec.image))
				image_used(c->store->deps.images, c->rec.image);
			metrics_time(METRIC_CONTAINER_ACTIONS, "start", clock_mono() - began);
			return 0;
		}
		if (c->restore_from)
			checkpoint_explain(c, "restore.log", &local);
		code = explain(&local, c->restore_from);
		shim_release(run->shim, NULL);
	}
	failed(c, code, &local);
	return err_move(err, &local);
}

int container_start(struct container *c, struct err *err)
{
	return container_start_from(c, NULL, err);
}

int container_start_from(struct container *c, const char *checkpoint, struct err *err)
{
	int r;

	if (op_begin(c, err) < 0)
		return -1;
	lock_take(&c->lock);
	c->restart_delay = 0;
	if (!c->rec.state.running)
		c->rec.restart_count = 0;
	lock_drop(&c->lock);
	if (check_startable(c, err) < 0 || (checkpoint && checkpoint_find(c, checkpoint, &c->restore_from, err) < 0))
		r = -1;
	else
		r = container_start_op(c, err);
	str_set(&c->restore_from, NULL);
	op_end(c);
	return r;
}
