/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's start, as its containers see it: what is there, what still runs, what is over. boot.c starts the others. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"

#define SETTLE_NS (NSEC_PER_SEC * 4 / 10) /* a start waits no longer for what runs, or ran, under the last daemon */

/* A folder without a whole record: a create or a removal that did not come to its end. */
static void drop_leftover(struct container_store *s, const char *id)
{
	OWN_FREE char *dir = xasprintf("%s/%s", s->dir, id);

	log_info("container %s: removing what an interrupted create or removal left", id);
	rwlayer_remove(image_store_layers(s->deps.images), id, NULL);
	unfinished_drop_volumes(s, id);
	damage_forget("container", id);
	fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void take_stored_name(struct container_store *s, struct container *c)
{
	char holder[65];

	while (!store_name_take(s, c->rec.name, c->id, holder)) {
		OWN_FREE char *other = xasprintf("%.200s_%.12s", c->rec.name, c->id);

		log_warn("container %s: its name %s belongs to %s, too; it is now %s", c->id, c->rec.name, holder, other);
		if (streq(other, c->rec.name))
			return;
		str_set(&c->rec.name, other);
	}
}

/* Leftovers are dropped behind the last: by then it is known which volumes are used. */
static void load_one(struct container_store *s, const char *id, struct strv *leftovers)
{
	OWN_FREE char *dir = xasprintf("%s/%s", s->dir, id);
	struct container *c;

	if (!container_has_record(s, id)) {
		strv_add(leftovers, id);
		return;
	}
	fs_sweep_temporary(dir);
	c = container_load(s, id);
	if (c->damaged && unfinished_is(s, id)) {
		strv_add(leftovers, id);
		container_unref(c);
		return;
	}
	container_tell_damage(c);
	labels_reserve(c);
	if (!c->host.auto_remove)
		unfinished_end(s, id);
	take_stored_name(s, c);
	for (size_t i = 0; s->deps.volumes && i < c->rec.mounts.len; i++) {
		const struct mount_point *m = jmap_at(&c->rec.mounts, i, &mount_point_desc);

		if (!str_empty(m->name) && !mount_is_image(m))
			volume_use(s->deps.volumes, m->name, c->id);
	}
	store_add(s, c);
	container_unref(c);
}

/* An endpoint as the record has it, for a sandbox whose file is damaged. Of those not joined, false. */
static bool known_endpoint(const char *network, const struct endpoint *ep, struct net_endpoint *ret)
{
	*ret = (struct net_endpoint){ 0 };
	if (str_empty(ep->endpoint_id) || str_empty(ep->network_id))
		return false;
	ret->network = xstrdup(network);
	ret->mac = str_empty(ep->mac_address) ? NULL : xstrdup(ep->mac_address);
	ret->ipv4 = str_empty(ep->ip_address) ? NULL : xasprintf("%s/%lld", ep->ip_address, (long long)ep->ip_prefix_len);
	ret->ipv6 = str_empty(ep->global_ipv6) ? NULL : xasprintf("%s/%lld", ep->global_ipv6, (long long)ep->global_ipv6_prefix_len);
	ret->gateway4 = str_empty(ep->gateway) ? NULL : xstrdup(ep->gateway);
	ret->gateway6 = str_empty(ep->ipv6_gateway) ? NULL : xstrdup(ep->ipv6_gateway);
	strmap_copy(&ret->options, &ep->driver_opts);
	ret->priority = ep->gw_priority;
	snprintf(ret->id, sizeof(ret->id), "%s", ep->endpoint_id);
	snprintf(ret->network_id, sizeof(ret->network_id), "%s", ep->network_id);
	return true;
}

static bool mend_sandbox(struct container *c)
{
	const struct jmap *nets = &c->rec.net.networks;
	struct sandbox known = { .eps = xcalloc(nets->len + 1, sizeof(*known.eps)) };
	bool mended;

	for (size_t i = 0; i < nets->len; i++) {
		const struct endpoint *ep = jmap_at(nets, i, &endpoint_desc);
		struct net_endpoint *to = &known.eps[known.eps_len];

		if (!known_endpoint(nets->keys[i], ep, to))
			continue;
		if (endpoint_has_names(nets->keys[i])) {
			endpoint_names(c, ep, &to->names);
			known.resolver = true;
		}
		known.eps_len++;
	}
	known.key = xstrdup(c->rec.net.sandbox_key);
	snprintf(known.id, sizeof(known.id), "%s", c->rec.net.sandbox_id ? c->rec.net.sandbox_id : "");
	mended = sandbox_mend(c->store->deps.nets, c->id, &known);
	sandbox_done(&known);
	return mended;
}

static bool adopt_sandbox(struct container *c)
{
	struct net_controller *nets = c->store->deps.nets;
	const char *mode = endpoint_main(c, container_mode(c));
	OWN_ERR struct err err = ERR_INIT;

	if (sandbox_adopt(nets, c->id, mode, &c->sandbox, &err) == 0 ||
	    (mend_sandbox(c) && sandbox_adopt(nets, c->id, mode, &c->sandbox, NULL) == 0))
		return true;
	log_warn("container %s goes on without its networks: %s", c->id, err_text(&err));
	return false;
}

/* Those of before, which are still bound where nothing went wrong: known again, and put back where something did. */
static void adopt_ports(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT, why = ERR_INIT;

	publish_read(c);
	if (c->n_published && publish_do(c, &c->host, &err) < 0)
		log_warn("container %s: its ports are not published any more: %s", c->id, err_text(&err));
	if (links_allow(c, &why) < 0)
		log_warn("container %s: its links: %s", c->id, err_text(&why));
}

/* Takes up the counts of mounts that the last daemon made, so that the exit undoes them. */
static void adopt_mounts(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT;

	c->rootfs = container_mount(c, c->id, &err);
	if (!c->rootfs)
		log_warn("container %s: %s", c->id, err_text(&err));
	for (size_t i = 0; c->store->deps.volumes && i < c->rec.mounts.len; i++) {
		const struct mount_point *m = jmap_at(&c->rec.mounts, i, &mount_point_desc);
		OWN_ERR struct err why = ERR_INIT;
		OWN_FREE char *path = mount_is_image(m) ? mount_view_get(c, m, &why) : NULL;

		if (mount_is_image(m) ? !path : !str_empty(m->name) && volume_adopt(c->store->deps.volumes, m->name, c->id, &why) < 0)
			log_warn("container %s: %s %s: %s", c->id, m->type, m->name, err_text(&why));
		c->volumes_mounted = i + 1;
	}
	c->shm_mounted = !str_empty(c->rec.shm_path);
	if (c->store->deps.nets && !c->store->deps.orphans && !str_has_prefix(container_mode(c), "container:") && adopt_sandbox(c)) {
		endpoints_adopt(c);
		container_note_network(c);
		adopt_ports(c);
	}
}

static void goes_on(struct container *c, struct shim *shim, pid_t pid)
{
	lock_take(&c->lock);
	c->run = xcalloc(1, sizeof(*c->run));
	atomic_init(&c->run->refs, 1);
	c->run->shim = shim;
	if (pid)
		c->rec.state.pid = pid;
	log_info("container %s goes on (pid %lld)", c->id, (long long)c->rec.state.pid);
	lock_drop(&c->lock);
	health_begin(c, false);
	ship_begin(c);
}

/* A container whose process lives, whatever its shim is at: does not wait. False: it needs a closer look. */
static bool adopt_running(struct container *c)
{
	OWN_FREE char *dir = container_run_dir(c);
	struct shim *shim;
	pid_t pid = 0;

	shim = shim_adopt_running(c->store->monitor, c->id, dir, &pid, NULL);
	if (!shim)
		return false;
	adopt_mounts(c);
	goes_on(c, shim, pid);
	return true;
}

/*
 * What runs on a data-root has files of it for its mounts. A copy of the root, on which somebody tries this daemon beside another one, tells of
 * processes that are the other's. Of who shares another's network the files are those of that one.
 */
static bool is_foreign(const struct container *c)
{
	const char *const files[] = { c->rec.hosts_path, c->rec.hostname_path, c->rec.resolv_path };
	OWN_FREE char *root = xasprintf("/proc/%lld/root", (long long)c->rec.state.pid);
	OWN_FD int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(files); i++) {
		OWN_STRV struct strv parts = { 0 };
		OWN_FREE char *own = NULL, *inside = NULL;
		OWN_FD int theirs = -1;
		struct stat a, b;

		strv_split(&parts, files[i] ? files[i] : "", "/");
		if (parts.len < 2 || !id_is_hex64(parts.v[parts.len - 2]))
			continue;
		own = xasprintf("%s/%s/%s", c->store->dir, parts.v[parts.len - 2], parts.v[parts.len - 1]);
		inside = xasprintf("etc/%s", parts.v[parts.len - 1]);
		theirs = fs_beneath(fd, inside, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
		if (theirs >= 0 && fstat(theirs, &a) == 0 && stat(own, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return false;
	}
	return true;
}

static void trace_run(struct container *c, struct shim_trace *ret, struct strv *args)
{
	container_trace(c, ret, args);
	ret->foreign = ret->pid > 0 && is_foreign(c);
}

static void adopt(struct container *c)
{
	OWN_FREE char *dir = container_run_dir(c);
	OWN_STRV struct strv args = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct shim_exit ex = { .code = 137, .lost = true };
	struct shim_trace trace;
	struct shim *shim;
	bool exited = true;
	pid_t pid = 0;

	adopt_mounts(c);
	trace_run(c, &trace, &args);
	shim = shim_adopt(c->store->monitor, c->id, dir, &trace, &pid, &exited, &ex, &err);
	if (shim) {
		goes_on(c, shim, pid);
		if (freeze_is_open(c))
			freeze_undo(c);
		return;
	}
	if (err.msg && container_has_run_dir(c)) /* without one the machine was started anew */
		log_warn("container %s: %s", c->id, err_text(&err));
	container_exited_op(c, &ex);
}

/*
 * The record says that it does not run, yet there is a run folder: the last daemon died within a start (the shim may have
 * gone on with it) or just behind an exit. False: nothing of it counts, the record says all.
 */
static bool adopt_unsaved(struct container *c)
{
	OWN_FREE char *dir = container_run_dir(c);
	OWN_STRV struct strv args = { 0 };
	struct shim_exit ex = { .code = 137, .lost = true };
	struct shim_trace trace;
	bool exited = true;
	struct shim *shim;
	pid_t pid = 0;

	adopt_mounts(c);
	trace_run(c, &trace, &args);
	shim = shim_adopt(c->store->monitor, c->id, dir, &trace, &pid, &exited, &ex, NULL);
	if (!shim && (ex.lost || (ex.time && ex.time == c->rec.state.finished_at))) {
		container_unwind(c);
		container_tell_unwound(c);
		container_drop_run_dir(c);
		return false;
	}
	lock_take(&c->lock);
	if (shim) {
		c->run = xcalloc(1, sizeof(*c->run));
		atomic_init(&c->run->refs, 1);
		c->run->shim = shim;
	}
	c->rec.state.running = true;
	c->rec.state.pid = pid;
	c->rec.state.started_at = ex.lost || !ex.time ? clock_now() : ex.time;
	c->rec.started_before = true;
	lock_drop(&c->lock);
	container_save_state(c);
	log_info("container %s was started by the last daemon as it ended", c->id);
	if (exited)
		container_exited_op(c, &ex);
	else
		health_begin(c, true);
	if (!exited && freeze_is_open(c))
		freeze_undo(c);
	return true;
}

void container_end_run(struct container *c)
{
	OWN_FREE char *dir = container_run_dir(c);
	OWN_STRV struct strv args = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct shim_trace trace;

	adopt_mounts(c);
	trace_run(c, &trace, &args);
	if (shim_discard(c->store->monitor, c->id, dir, &trace, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
	container_unwind(c);
	container_tell_unwound(c);
	container_drop_run_dir(c);
}

bool container_has_run_dir(struct container *c)
{
	OWN_FREE char *dir = container_run_dir(c);

	return fs_exists(dir);
}

static void unref_ctx(void *ctx)
{
	container_unref(ctx);
}

static void remove_later(void *ctx)
{
	struct container *c = ctx;
	OWN_ERR struct err err = ERR_INIT;

	op_begin_any(c);
	if (!c->removed && container_remove_op(c, c->host.auto_remove, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
	op_end(c);
	container_unref(c);
}

/* Under the operation: what there is of a run. False: nothing, and the record says that it does not run. */
static bool take_up(struct container *c)
{
	struct container_state *st = &c->rec.state;

	if (st->running && st->restarting && !container_has_run_dir(c)) {
		container_plan_restart(c, 0);
		return true;
	}
	if (st->running) {
		st->restarting = false; /* a restart that the last daemon began and did not save */
		adopt(c);
		return true;
	}
	return container_has_run_dir(c) && adopt_unsaved(c);
}

static void end_orphan(struct container_store *s, const char *id)
{
	OWN_FREE char *dir = xasprintf("%s/%s", s->run_dir, id);

	if (s->deps.orphans && fs_exists(dir))
		shim_kill_orphan(s->monitor, id, dir);
}

/* Under the operation, which it ends. */
static void settle(struct container *c)
{
	struct container_store *s = c->store;
	struct container_state *st = &c->rec.state;
	bool done;

	end_orphan(s, c->id);
	if (st->removal || st->dead) {
		st->running = st->restarting = false;
		if (container_has_run_dir(c))
			container_end_run(c);
		work_post(s->work, 0, remove_later, unref_ctx, container_ref(c));
		done = true;
	} else {
		done = take_up(c);
		if (!c->removed && c->rec.started_before)
			ship_begin(c); /* of what ended the last daemon, or nobody, may not have handed all on */
	}
	op_end(c);
	if (done)
		return;
	if (c->host.auto_remove)
		work_post(s->work, 0, remove_later, unref_ctx, container_ref(c));
	else
		boot_plan(c);
}

static void settled(void *ctx)
{
	struct container *c = ctx;
	struct container_store *s = c->store;

	container_unref(c);
	lock_take(&s->settle_lock);
	s->settling--;
	pthread_cond_signal(&s->settled);
	lock_drop(&s->settle_lock);
}

static void settle_never(void *ctx)
{
	op_end(ctx);
	settled(ctx);
}

static void settle_now(void *ctx)
{
	struct container *c = ctx;

	if (atomic_load(&c->store->stopping)) {
		settle_never(c);
		return;
	}
	settle(c);
	settled(c);
}

static void thaw_now(void *ctx)
{
	struct container *c = ctx;

	freeze_undo(c);
	op_end(c);
	settled(c);
}

/* The work takes the operation over. */
static void settle_later(struct container *c, void (*work)(void *ctx))
{
	struct container_store *s = c->store;

	lock_take(&s->settle_lock);
	s->settling++;
	lock_drop(&s->settle_lock);
	work_post(s->work, 0, work, settle_never, container_ref(c));
}

/*
 * What needs no more than a look is decided here. The rest has its operation taken and goes to the workers: requests for such
 * a container wait for it, lists and all others do not.
 */
static void restore_one(struct container_store *s, struct container *c)
{
	const struct container_state *st = &c->rec.state;

	if (c->damaged)
		return; /* what it may run goes on until it is removed */
	op_begin_any(c);
	if (!s->deps.orphans && !st->removal && !st->dead && st->running && !st->restarting && adopt_running(c)) {
		if (freeze_is_open(c))
			settle_later(c, thaw_now);
		else
			op_end(c);
		return;
	}
	if (!st->running && !container_has_run_dir(c)) {
		settle(c);
		return;
	}
	settle_later(c, settle_now);
}

size_t container_store_settle(struct container_store *s, int64_t timeout_ns)
{
	int64_t end = clock_mono() + timeout_ns, left = -1;
	WITH_LOCK(&s->settle_lock);

	while (s->settling && (timeout_ns < 0 || (left = end - clock_mono()) > 0))
		lock_wait(&s->settle_lock, &s->settled, left);
	return s->settling;
}

/* It has, or may turn out to have, a sandbox. */
static bool may_run(struct container *c)
{
	WITH_LOCK(&c->lock);

	return c->op || c->damaged || (c->rec.state.running && !c->rec.state.restarting);
}

/* Run folders that belong to no container; those of a container that was set aside stay as they are, too. */
static void sweep_run_dirs(struct container_store *s)
{
	struct layer_store *layers = image_store_layers(s->deps.images);
	OWN_DIR DIR *d = opendir(s->run_dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *home = xasprintf("%s/%s", s->dir, e->d_name), *run = xasprintf("%s/%s", s->run_dir, e->d_name);
		OWN_ERR struct err err = ERR_INIT;

		if (!id_is_hex64(e->d_name) || fs_exists(home))
			continue;
		end_orphan(s, e->d_name);
		if (shim_discard(s->monitor, e->d_name, run, NULL, &err) < 0)
			log_warn("container %s: %s", e->d_name, err_text(&err));
		/* mounted and unmounted: so that the count of mounts, which is new, is right */
		free(rwlayer_mount(layers, e->d_name, NULL, NULL));
		rwlayer_unmount(layers, e->d_name, NULL);
		rwlayer_remove(layers, e->d_name, NULL);
		mounts_unpin(run);
		fs_remove_tree(dirfd(d), e->d_name, NULL);
	}
}

int container_store_restore(struct container_store *s, struct err *err)
{
	OWN_DIR DIR *d = opendir(s->dir);
	OWN_STRV struct strv keep = { 0 }, leftovers = { 0 };
	struct container **v;
	struct dirent *e;
	size_t n, left;

	if (!d)
		return err_errno(err, errno, "cannot read %s", s->dir);
	atomic_store(&s->restoring, true);
	while ((e = readdir(d)))
		if (id_is_hex64(e->d_name))
			load_one(s, e->d_name, &leftovers);
	for (size_t i = 0; i < leftovers.len; i++)
		drop_leftover(s, leftovers.v[i]);
	n = store_all(s, &v);
	for (size_t i = 0; i < n; i++)
		restore_one(s, v[i]);
	left = container_store_settle(s, SETTLE_NS);
	if (left)
		log_warn("%zu containers are still being looked at", left);
	for (size_t i = 0; i < n; i++)
		if (may_run(v[i]))
			strv_add(&keep, v[i]->id);
	sweep_run_dirs(s);
	views_sweep(s);
	userns_sweep(s);
	if (s->deps.nets)
		net_sweep(s->deps.nets, &keep);
	/* behind the sweeps, which would take what a start makes for a leftover */
	atomic_store(&s->restoring, false);
	boot_begin(s, v, n);
	for (size_t i = 0; i < n; i++)
		container_unref(v[i]);
	free(v);
	log_info("%zu containers, %zu of them run", n, keep.len);
	return 0;
}

static void add_views(struct container *c, struct strv *layers)
{
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		const struct mount_point *m = jmap_at(&c->rec.mounts, i, &mount_point_desc);
		char view[65];

		mount_view_id(c->id, m, view);
		if (mount_is_image(m))
			strv_add(layers, view);
	}
}

/* layers: gets those of the images it mounts. */
static void check_one(struct container_store *s, const char *id, bool repair, struct strv *layers)
{
	struct container *c = container_has_record(s, id) ? container_load(s, id) : NULL;
	bool whole = c && !(c->damaged && unfinished_is(s, id));

	if (whole) {
		container_tell_damage(c);
		add_views(c, layers);
	}
	if (c)
		container_unref(c);
	if (whole)
		return;
	if (repair)
		drop_leftover(s, id);
	damage_note("container", id, repair ? DAMAGE_SWEPT : DAMAGE_ORPHAN, "the folder of container %.12s has no record: %s", id,
		repair ? "it is removed" : "what an interrupted create or removal left");
}

int container_check(const struct container_deps *deps, bool repair, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/containers", deps->data_root), *run = xasprintf("%s/containers", deps->exec_root);
	struct container_store s = { .deps = *deps, .dir = path, .run_dir = run };
	OWN_STRV struct strv ids = { 0 }, layers = { 0 }, views = { 0 };
	OWN_DIR DIR *d = opendir(path);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : err_errno(err, errno, "cannot read %s", path);
	while ((e = readdir(d)))
		if (id_is_hex64(e->d_name))
			strv_add(&ids, e->d_name);
	for (size_t i = 0; i < ids.len; i++)
		check_one(&s, ids.v[i], repair, &views);
	rwlayer_list(image_store_layers(deps->images), &layers);
	for (size_t i = 0; i < layers.len; i++) {
		if (strv_contains(&ids, layers.v[i]) || strv_contains(&views, layers.v[i]))
			continue;
		if (repair)
			rwlayer_remove(image_store_layers(deps->images), layers.v[i], NULL);
		damage_note("container", layers.v[i], repair ? DAMAGE_SWEPT : DAMAGE_ORPHAN, "the layer of container %.12s belongs to none%s",
			layers.v[i], repair ? " and is removed" : "");
	}
	return 0;
}
