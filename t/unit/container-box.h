/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store of containers with a shim, layers and images that are made up here. Between box_open() and box_close(). */
#ifndef T_CONTAINER_BOX_H
#define T_CONTAINER_BOX_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"
#include "tap.h"

static char dir[] = "/tmp/dkd-life-XXXXXX";
static struct container_store *store;
static struct container_deps deps;
static struct daemon_defaults defaults;

/* --- images and layers --- */
static struct image busybox = { .refs = 1 << 20,
	.id = "sha256:1306f1a639f458029ebaf41ce4da553aac646a6a9035360c24150076edc4334e" };
static char layer_error[64];
static atomic_int layers_made, mounts_held;

struct image *image_get(struct image_store *s, const char *name, struct err *err)
{
	if (streq(name, "busybox"))
		return &busybox;
	err_set(err, ERR_NOT_FOUND, "No such image: %s:latest", name);
	return NULL;
}
void image_used(struct image_store *s, const char *id) { (void)s; (void)id; }
struct image *image_by_id(struct image_store *s, const char *id) { return streq(id, busybox.id) ? &busybox : NULL; }
struct layer_store *image_store_layers(struct image_store *s) { return NULL; }
struct graph *layer_store_graph(struct layer_store *s) { return NULL; }
const char *graph_name(const struct graph *g) { return "fake"; }
bool graph_maps_ids(struct graph *g) { return true; }
int rwlayer_create(
	struct layer_store *s, const char *id, const char *chain, const char *label, const struct strmap *o, struct err *err)
{
	if (*layer_error)
		return err_set(err, ERR_INTERNAL, "%s", layer_error);
	layers_made++;
	return 0;
}
int rwlayer_create_view(struct layer_store *s, const char *id, const char *chain, const char *label, struct err *err)
{
	return rwlayer_create(s, id, chain, label, NULL, err);
}
int rwlayer_create_brief(
	struct layer_store *s, const char *id, const char *chain, const char *label, const struct strmap *o, struct err *err)
{
	return rwlayer_create(s, id, chain, label, o, err);
}
static bool layer_is_busy;
int rwlayer_remove(struct layer_store *s, const char *id, struct err *err)
{
	if (layer_is_busy)
		return err_set(err, ERR_INTERNAL, "device or resource busy");
	layers_made--;
	return 0;
}
/* Instead of libc's. */
static atomic_int sent_out;
static void (*_Atomic during_save)(void);
int sync_file_range(int fd, off64_t from, off64_t n, unsigned flags)
{
	void (*save)(void) = during_save;

	sent_out++;
	if (save)
		save();
	return 0;
}
static int layers_synced;
int rwlayer_sync(struct layer_store *s, const char *id, struct err *err) { layers_synced++; return 0; }
bool rwlayer_exists(struct layer_store *s, const char *id) { return true; }
char *rwlayer_damage(struct layer_store *s, const char *id) { return NULL; }
static char layer_told[65];
void rwlayer_tell(struct layer_store *s, const char *id) { snprintf(layer_told, sizeof(layer_told), "%s", id); }
void rwlayer_list(struct layer_store *s, struct strv *ret) { }
char *rwlayer_mount(struct layer_store *s, const char *id, const char *label, struct err *err)
{
	mounts_held++;
	return xasprintf("%s/rootfs", dir);
}
char *rwlayer_mount_mapped(struct layer_store *s, const char *id, const char *label, const struct graph_ids *ids, struct err *err)
{
	return rwlayer_mount(s, id, label, err);
}
int rwlayer_shifted(struct layer_store *s, const char *id, const struct idmaps *maps, struct err *err) { return 0; }
int rwlayer_shift(struct layer_store *s, const char *id, const struct idmaps *maps, struct err *err) { return 0; }
int rwlayer_hold(struct layer_store *s, const char *id, struct err *err) { mounts_held++; return 0; }
void rwlayer_release(struct layer_store *s, const char *id) { mounts_held--; }
int rwlayer_unmount(struct layer_store *s, const char *id, struct err *err) { mounts_held--; return 0; }
void rwlayer_metadata(struct layer_store *s, const char *id, struct jw *w) { jw_null(w); }
int64_t rwlayer_size(struct layer_store *s, const char *id, const struct cancel *c, struct err *err) { return 42; }
int rwlayer_changes(struct layer_store *s, const char *id, void (*emit)(void *, const char *, int), void *ctx, struct err *err)
{
	emit(ctx, "/x", 1);
	return 0;
}

/* --- the shim --- */
struct shim_monitor { shim_exit_fn *on_exit; void *ctx; };
struct shim { char id[65]; struct shim_monitor *m; };
static char run_error[128];
static atomic_int shims, discarded;
static int exit_at_once = -1, adopt_as; /* 0: gone, 1: runs, 2: has ended, 3: its process is seen alive */
static char attached_before_run;
static void (*during_run)(void);

struct shim_monitor *shim_monitor_new(struct spawner *sp, const char *path, shim_exit_fn *on_exit, void *ctx, struct err *err)
{
	struct shim_monitor *m = xcalloc(1, sizeof(*m));

	m->on_exit = on_exit;
	m->ctx = ctx;
	return m;
}
void shim_monitor_on_oom(struct shim_monitor *m, shim_oom_fn *fn) {}
void shim_monitor_stop(struct shim_monitor *m) { }
void shim_monitor_free(struct shim_monitor *m) { free(m); }
static struct shim *make(struct shim_monitor *m, const char *id)
{
	struct shim *s = xcalloc(1, sizeof(*s));

	snprintf(s->id, sizeof(s->id), "%s", id);
	s->m = m;
	shims++;
	return s;
}
struct shim *shim_start(struct shim_monitor *m, const struct shim_config *cfg, struct err *err) { return make(m, cfg->id); }
static void end(struct shim *s, int code)
{
	struct shim_exit ex = { .code = code, .time = clock_now() };

	s->m->on_exit(s->m->ctx, s->id, NULL, &ex);
}
int shim_run(struct shim *s, pid_t *ret_pid, struct err *err)
{
	if (during_run)
		during_run();
	if (*run_error)
		return err_set(err, ERR_INTERNAL, "%s", run_error);
	*ret_pid = getpid();
	if (exit_at_once >= 0)
		end(s, exit_at_once);
	return 0;
}
static atomic_int adopted, adopted_late;
struct shim *shim_adopt(struct shim_monitor *m, const char *id, const char *d, const struct shim_trace *trace, pid_t *ret_pid,
	bool *ret_exited, struct shim_exit *ex, struct err *err)
{
	adopted++;
	adopted_late += !atomic_load(&store->restoring);
	*ret_exited = adopt_as != 1;
	*ret_pid = getpid();
	*ex = (struct shim_exit){ .code = adopt_as == 2 ? 9 : 137, .lost = adopt_as == 0 };
	return adopt_as == 1 ? make(m, id) : NULL;
}
struct shim *shim_adopt_running(struct shim_monitor *m, const char *id, const char *d, pid_t *ret_pid, struct err *err)
{
	*ret_pid = getpid();
	return adopt_as == 3 ? make(m, id) : NULL;
}
void shim_kill_orphan(struct shim_monitor *m, const char *id, const char *d) {}
int shim_sweep_runtime(const char *root, const char *id, struct err *err) { return 0; }
bool shim_end_stuck(struct shim *s) { return false; }
int shim_discard(struct shim_monitor *m, const char *id, const char *d, const struct shim_trace *trace, struct err *err)
{
	discarded++;
	return 0;
}
bool shim_has_runtime(const struct shim *s, const char *path) { return false; }
bool shim_has_ended(struct shim *s) { return false; }
void shim_unref(struct shim *s) { shims--; free(s); }
int shim_attach(struct shim *s, const char *exec, unsigned streams, int *ret_fd, struct err *err)
{
	attached_before_run = 'y';
	*ret_fd = dup(0);
	return 0;
}
int shim_resize(struct shim *s, const char *e, uint16_t r, uint16_t c, struct err *err) { return 0; }
static atomic_bool undying; /* a kill takes its time */
static struct shim *_Atomic survived;
int shim_kill(struct shim *s, const char *e, int signal, bool all, struct err *err)
{
	if (undying)
		survived = s;
	else if (signal == 9 || signal == 15)
		end(s, 128 + signal);
	return 0;
}
static int resumed, marked, too_busy;
int shim_pause(struct shim *s, bool pause, struct err *err)
{
	OWN_FREE char *mark = xasprintf("%s/exec/containers/%s/freezing", dir, s->id);

	if (pause && too_busy && too_busy--)
		return err_set(err, ERR_INTERNAL, "unable to freeze");
	resumed += !pause;
	marked += access(mark, F_OK) == 0;
	return 0;
}
int shim_restore(struct shim *s, const char *images, pid_t *ret_pid, struct err *err) { return shim_run(s, ret_pid, err); }
int shim_checkpoint(struct shim *s, const char *images, bool leave_running, struct err *err) { return 0; }
int shim_exec_create(struct shim *s, const struct shim_exec *ex, struct err *err) { return 0; }
int shim_exec_run(struct shim *s, const char *id, pid_t *ret_pid, struct err *err) { *ret_pid = 77; return 0; }
int shim_release(struct shim *s, struct err *err) { return 0; }

/* --- helpers --- */
/* --- helpers --- */
static struct container *create(const char *name, const char *extra)
{
	OWN_FREE char *text = xasprintf("{\"Image\":\"busybox\",\"Cmd\":[\"sleep\",\"1 2\"]%s}", extra);
	CLEANUP(create_body_done) struct create_body body = { 0 };
	OWN_STRV struct strv warnings = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = json_read(text, strlen(text), &err);
	char id[65];

	if (!js || create_body_decode(js, &body, &err) < 0 ||
		container_create(store, name, NULL, &body, id, &warnings, &err) < 0) {
		printf("# %s\n", err_text(&err));
		return NULL;
	}
	return container_find(store, id, &err);
}

__attribute__((unused)) static bool until(struct container *c, const char *word)
{
	for (int i = 0; i < 4000; i++) {
		struct container_state st;

		lock_take(&c->lock);
		st = c->rec.state;
		lock_drop(&c->lock);
		if (streq(state_word(&st), word))
			return true;
		usleep(5000);
	}
	return false;
}

static void reopen(void)
{
	OWN_ERR struct err err = ERR_INIT;

	if (store)
		container_store_close(store);
	shims = mounts_held = 0;
	store = container_store_open(&deps, &err);
	ok(store && container_store_restore(store, &err) == 0, "opened %s", err_text(&err));
}

static void box_open(void)
{
	OWN_FREE char *rootfs = NULL;

	if (!mkdtemp(dir))
		abort();
	rootfs = xasprintf("%s/rootfs", dir);
	mkdir(rootfs, 0755);
	defaults.default_runtime = "runc";
	defaults.log_driver = "json-file";
	defaults.ipc_mode = defaults.cgroupns_mode = "private";
	defaults.seccomp_profile = "unconfined";
	defaults.shm_size = 64 << 20;
	strmap_set(&defaults.runtimes, "runc", "/usr/sbin/runc");
	deps = (struct container_deps){ .data_root = dir, .shim_path = "/nosuch", .defaults = &defaults };
	deps.exec_root = xasprintf("%s/exec", dir);
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	reopen();
}

static void box_close(void)
{
	OWN_ERR struct err err = ERR_INIT;

	container_store_close(store);
	strmap_done(&defaults.runtimes);
	fs_remove_tree(AT_FDCWD, dir, &err);
	free((char *)deps.exec_root);
}

#endif
