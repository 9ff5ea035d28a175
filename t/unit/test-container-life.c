/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of containers in the store, with a shim, layers and images that are made up here. */
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/damage.h"
#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"
#include "tap.h"

static char dir[] = "/tmp/dkd-life-XXXXXX";
static struct container_store *store;
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
struct image *image_by_id(struct image_store *s, const char *id) { return streq(id, busybox.id) ? &busybox : NULL; }
struct layer_store *image_store_layers(struct image_store *s) { return NULL; }
struct graph *layer_store_graph(struct layer_store *s) { return NULL; }
const char *graph_name(const struct graph *g) { return "fake"; }
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
int sync_file_range(int fd, off64_t from, off64_t n, unsigned flags) { sent_out++; return 0; }
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
static bool undying; /* a kill takes its time */
int shim_kill(struct shim *s, const char *e, int signal, bool all, struct err *err)
{
	if (!undying && (signal == 9 || signal == 15))
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

static void create_fails(const char *name, const char *body_text, enum err_class class, const char *says)
{
	CLEANUP(create_body_done) struct create_body body = { 0 };
	OWN_STRV struct strv warnings = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = json_read(body_text, strlen(body_text), &err);
	char id[65];
	int before = layers_made;

	ok(create_body_decode(js, &body, &err) < 0 || container_create(store, name, NULL, &body, id, &warnings, &err) < 0,
		"refused: %s", body_text);
	ok(err.class == class && strstr(err_text(&err), says), "%s (%s)", says, err_text(&err));
	is_int(layers_made, before, "nothing stays");
}

static bool until(struct container *c, const char *word)
{
	for (int i = 0; i < 400; i++) {
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

static bool listed(const char *filters, const char *text)
{
	struct list_query q = { .filters = filters };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (container_list(store, &q, 51, &w, &err) < 0)
		return strstr(err_text(&err), text) != NULL;
	return strstr(b.data, text) != NULL;
}

static void test_create(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("one", ""), *found;
	char prefix[9] = "";
	struct stat st;

	ok(c != NULL, "created");
	memcpy(prefix, c->id, 8);
	found = container_find(store, prefix, &err);
	ok(found == c, "found by a prefix of its id");
	container_unref(found);
	found = container_find(store, "/one", &err);
	ok(found == c, "and by its name");
	container_unref(found);
	OWN_FREE char *path = xasprintf("%s/containers/%s/config.v2.json", dir, c->id);
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "its record is there, for root only");
	is_int(layers_synced, 1, "its layer was synced");
	OWN_FREE char *mark = xasprintf("%s/containers/%s/unfinished", dir, c->id);
	ok(!fs_exists(mark), "and it is marked as unfinished no more");
	create_fails("ip1", "{\"Image\":\"\",\"Cmd\":[\"x\"],\"HostConfig\":{\"NetworkMode\":\"none\"},\"NetworkingConfig\":{\"EndpointsConfig\":"
		"{\"none\":{\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.5\"}}}}}", ERR_INVALID, "user specified IP address is supported on user defined networks only");
	create_fails("one", "{\"Image\":\"busybox\",\"Cmd\":[\"x\"]}", ERR_CONFLICT,
		"Conflict. The container name \"/one\" is already in use by container \"");
	create_fails("-x", "{\"Image\":\"busybox\",\"Cmd\":[\"x\"]}", ERR_INVALID,
		"Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
	create_fails("../up", "{\"Image\":\"busybox\",\"Cmd\":[\"x\"]}", ERR_INVALID, "Invalid container name");
	create_fails(NULL, "{\"Image\":\"nope\",\"Cmd\":[\"x\"]}", ERR_NOT_FOUND, "No such image: nope:latest");
	create_fails(NULL, "{\"Image\":\"busybox\"}", ERR_INVALID, "No command specified");
	create_fails(NULL, "{\"Image\":\"busybox\",\"Cmd\":[\"x\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"foo\"}}}",
		ERR_INVALID, "error looking up logging plugin foo: plugin \"foo\" not found");
	create_fails(NULL,
		"{\"Image\":\"busybox\",\"Cmd\":[\"x\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{"
		"\"foo\":\"1\"}}}}",
		ERR_INVALID, "unknown log opt 'foo' for json-file log driver");
	create_fails(NULL, "{\"Image\":\"busybox\",\"Cmd\":[\"x\"],\"HostConfig\":{\"VolumesFrom\":[\"nosuch\"]}}", ERR_INVALID,
		"No such container: nosuch");
	create_fails("two", "{\"Image\":\"busybox\",\"Cmd\":[\"x\"],\"HostConfig\":{\"Binds\":[\"/a:/b\",\"/c:/b\"]}}",
		ERR_INVALID, "Duplicate mount point: /b");
	strcpy(layer_error, "no space");
	create_fails("two", "{\"Image\":\"busybox\",\"Cmd\":[\"x\"]}", ERR_INTERNAL, "no space");
	*layer_error = '\0';
	found = create("two", "");
	ok(found != NULL, "the name of a failed create is free again");
	ok(listed("{\"name\":[\"two\"],\"status\":[\"created\"]}", "\"Command\":\"sleep '1 2'\""), "listed with its command");
	ok(!listed("{\"name\":[\"two\"],\"status\":[\"running\"]}", "two") &&
			listed("{\"status\":[\"foo\"]}", "Invalid filter 'status=foo'"),
		"filtered");
	ok(container_remove(found, false, false, &err) == 0, "removed");
	container_unref(found);
	ok(container_find(store, "two", &err) == NULL && err.class == ERR_NOT_FOUND, "and gone");
	container_remove(c, false, false, NULL);
	container_unref(c);
}

static void test_run(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("run", ",\"OpenStdin\":true");
	struct attachment *a = container_attach(c, c->id, SHIM_STDOUT, &err);
	struct waiter *w = container_wait_begin(c, WAIT_NEXT_EXIT, &err);
	int code = -1, zero = 0;
	char *msg = NULL;

	is_int(attachment_take(a), -1, "an attachment waits for the start");
	attached_before_run = 'n';
	sent_out = 0;
	ok(container_start(c, &err) == 0, "started %s", err_text(&err));
	ok(sent_out > 0, "its mark is with the disk before it takes the old one's place");
	ok(attached_before_run == 'y' && attachment_take(a) >= 0, "it was connected by the start");
	attachment_free(a);
	ok(container_start(c, &err) < 0 && err.class == ERR_NOT_MODIFIED, "a second start changes nothing");
	ok(container_remove(c, false, false, &err) < 0 && err.class == ERR_CONFLICT &&
			strstr(err_text(&err), "You cannot remove a running container"),
		"a running container is not removed");
	ok(listed(NULL, "\"State\":\"running\""), "listed as running");
	ok(container_pause(c, true, &err) == 0 && container_pause(c, true, &err) < 0 &&
			strstr(err_text(&err), "is already paused"),
		"paused once");
	ok(container_pause(c, false, &err) == 0 && container_pause(c, false, &err) < 0 && strstr(err_text(&err), "is not paused"),
		"unpaused once");
	too_busy = 2;
	ok(container_pause(c, true, &err) == 0 && container_pause(c, false, &err) == 0, "paused, though it does not stand still at once: %s", err_text(&err));
	undying = true;
	ok(container_kill(c, "KILL", &err) == 0 && container_pause(c, true, &err) < 0 && err.class == ERR_CONFLICT && strstr(err_text(&err), "is not running"),
		"what is being killed is not paused any more: %s", err_text(&err));
	undying = false;
	ok(container_rename(c, "ran", &err) == 0, "renamed while it runs");
	ok(container_rename(c, "ran", &err) < 0 && strstr(err_text(&err), "same name"), "not to its own name");
	ok(container_rename(c, "a b", &err) < 0, "nor to what is none");
	is_str(err_text(&err), "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", "Docker's text");
	ok(container_stop(c, NULL, &zero, &err) == 0, "stopped %s", err_text(&err));
	ok(container_wait_end(w, NULL, &code, &msg, &err) == 0 && code == 143, "the waiter has the exit code");
	ok(container_stop(c, NULL, NULL, &err) < 0 && err.class == ERR_NOT_MODIFIED, "a second stop changes nothing");
	ok(container_kill(c, NULL, &err) < 0 && err.class == ERR_CONFLICT && strstr(err_text(&err), "is not running"),
		"nothing to kill");
	ok(container_kill(c, "FOO", &err) < 0 && strstr(err_text(&err), "Invalid signal: FOO"), "no such signal");
	is_int(mounts_held, 0, "no mount is held");
	is_int(shims, 0, "no shim is left");
	w = container_wait_begin(c, WAIT_REMOVED, &err);
	layer_is_busy = true;
	ok(container_remove(c, false, false, &err) < 0, "a removal fails: %s", err_text(&err));
	layer_is_busy = false;
	ok(container_wait_end(w, NULL, &code, &msg, &err) == 0 && code == 143 && msg && strstr(msg, "resource busy"),
		"and tells those who wait for it: %s", msg);
	free(STEAL(msg));
	err_done(&err);
	w = container_wait_begin(c, WAIT_REMOVED, &err);
	ok(container_remove(c, false, false, &err) == 0, "removed");
	ok(container_wait_end(w, NULL, &code, &msg, &err) == 0 && code == 143, "the removal wakes its waiter");
	container_unref(c);
}

static void test_failed_start(void)
{
	static const struct { const char *error; int code; } cases[] = {
		{ "runc run failed: unable to start container process: exec: \"nope\": executable file not found in $PATH", 127 },
		{ "runc run failed: unable to start container process: exec: \"/etc\": permission denied", 126 },
		{ "executable file `nope` not found in $PATH: No such file or directory", 127 },
		{ "something else", 128 },
	};
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct container *c = create("bad", "");

		snprintf(run_error, sizeof(run_error), "%s", cases[i].error);
		ok(container_start(c, &err) < 0 && strstr(err_text(&err), "OCI runtime create failed: "), "%s", err_text(&err));
		ok((err.class == ERR_INVALID) == (cases[i].code != 128), "its class");
		is_int(c->rec.state.exit_code, cases[i].code, "its exit code");
		is_str(state_word(&c->rec.state), "created", "it stays created");
		ok(mounts_held == 0 && shims == 0, "everything is undone");
		container_remove(c, false, false, NULL);
		container_unref(c);
	}
	struct container *gone = create("rm", ",\"HostConfig\":{\"AutoRemove\":true}");
	ok(container_start(gone, &err) < 0 && gone->removed, "with --rm it goes at once");
	container_unref(gone);
	*run_error = '\0';
}

static void test_policies(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c =
		create("again", ",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":2}}");

	exit_at_once = 3;
	ok(container_start(c, &err) == 0 && until(c, "restarting"), "restarting after a failure");
	ok(until(c, "exited"), "no more than twice (%s, %lld)", state_word(&c->rec.state), (long long)c->rec.restart_count);
	is_int(c->rec.restart_count, 2, "the count is kept");
	exit_at_once = 0;
	ok(container_start(c, &err) == 0 && until(c, "exited") && c->rec.restart_count == 0, "success ends it");
	container_remove(c, false, false, NULL);
	container_unref(c);

	c = create("always", ",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"always\"}}");
	exit_at_once = -1;
	ok(container_start(c, &err) == 0 && container_kill(c, "KILL", &err) == 0, "killed by hand");
	usleep(250000);
	is_str(state_word(&c->rec.state), "exited", "a kill by hand is final, whatever the policy");
	exit_at_once = 1;
	container_start(c, &err);
	ok(until(c, "restarting") && container_stop(c, NULL, NULL, &err) == 0, "a planned restart can be stopped");
	usleep(250000);
	is_str(state_word(&c->rec.state), "exited", "and does not happen");
	atomic_store(&store->restoring, true);
	ok(container_start(c, &err) == 0 && until(c, "restarting"), "a restart is planned");
	exit_at_once = -1;
	usleep(250000);
	is_str(state_word(&c->rec.state), "restarting", "while the daemon's start may still sweep, it waits");
	atomic_store(&store->restoring, false);
	ok(until(c, "running"), "and comes then");
	container_remove(c, true, false, NULL);
	container_unref(c);

	c = create("rm", ",\"HostConfig\":{\"AutoRemove\":true}");
	struct waiter *w = container_wait_begin(c, WAIT_REMOVED, &err);
	char *msg = NULL;
	int code = -1;
	exit_at_once = 5;
	sent_out = 0;
	ok(container_start(c, &err) == 0 && container_wait_end(w, NULL, &code, &msg, &err) == 0 && code == 5,
		"--rm: removed with its exit code");
	is_int(sent_out, 0, "without a wait for the disk");
	ok(container_find(store, "rm", NULL) == NULL, "and gone");
	container_unref(c);
	exit_at_once = -1;
}

static struct container *starting;
static struct attachment *late;

static void attach_while_starting(void)
{
	late = container_attach(starting, starting->id, SHIM_STDOUT, NULL);
}

static void test_between(void)
{
	OWN_ERR struct err err = ERR_INIT;
	int fd;

	starting = create("late", "");
	during_run = attach_while_starting;
	ok(container_start(starting, &err) == 0 && late, "attached while the runtime works");
	during_run = NULL;
	fd = attachment_take(late);
	ok(fd >= 0, "connected by the start that was under way");
	close(fd);
	attachment_free(late);
	container_remove(starting, true, false, NULL);
	container_unref(starting);

	starting = create("gone", ",\"HostConfig\":{\"AutoRemove\":true}");
	container_start(starting, &err);
	snprintf(run_error, sizeof(run_error), "no more");
	ok(container_restart(starting, NULL, NULL, &err) < 0 && !container_find(store, "gone", NULL), "--rm: a restart that fails removes it");
	*run_error = '\0';
	container_unref(starting);
}

static atomic_bool let_go, went;

static void nothing(void *ctx) { }
static void open_gate(void *ctx) { let_go = true; }
static void pass_gate(void *ctx)
{
	for (int i = 0; i < 200 && !let_go; i++)
		usleep(10000);
	went = let_go;
}

static void test_work(void)
{
	struct work *w = work_new(4);

	work_post(w, 0, nothing, NULL, NULL);
	usleep(100000); /* its thread waits for more now */
	work_post(w, 0, pass_gate, NULL, NULL);
	work_post(w, 0, open_gate, NULL, NULL);
	work_free(w);
	ok(went, "work that waits for other work does not keep it from being done");
}

static void test_execs(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("ex", "");
	struct exec_config cfg = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;
	char id[65];

	ok(exec_create(c, &cfg, id, &err) < 0 && streq(err_text(&err), "No exec command specified"), "no command");
	strv_add(&cfg.cmd, "ls");
	strv_add(&cfg.cmd, "-l");
	ok(exec_create(c, &cfg, id, &err) < 0 && err.class == ERR_CONFLICT && strstr(err_text(&err), "is not running"),
		"not running");
	container_start(c, &err);
	ok(exec_create(c, &cfg, id, &err) == 0, "created %s", err_text(&err));
	ok(exec_start(store, id, false, NULL, NULL, &err) == 0, "started %s", err_text(&err));
	ok(exec_start(store, id, false, NULL, NULL, &err) < 0 && err.class == ERR_CONFLICT &&
			strstr(err_text(&err), "is already running"),
		"once: %s", err_text(&err));
	struct shim_exit ex = { .code = 7 };
	exec_on_exit(c, id, &ex);
	ok(exec_start(store, id, false, NULL, NULL, &err) < 0 && err.class == ERR_CONFLICT && strstr(err_text(&err), "has already run"),
		"not again either: %s", err_text(&err));
	jw_init(&w, &b);
	ok(exec_inspect(store, id, &w, &err) == 0 && strstr(b.data, "\"Running\":false,\"ExitCode\":7") &&
			strstr(b.data, "\"arguments\":[\"-l\"]"),
		"%s", b.data);
	ok(exec_inspect(store, "nosuch", &w, &err) < 0 && streq(err_text(&err), "No such exec instance: nosuch"), "unknown");
	container_remove(c, true, false, &err);
	ok(exec_inspect(store, id, &w, &err) < 0, "an exec goes with its container");
	container_unref(c);
}

static struct container_deps deps;

static void reopen(void)
{
	OWN_ERR struct err err = ERR_INIT;

	if (store)
		container_store_close(store);
	shims = mounts_held = 0;
	store = container_store_open(&deps, &err);
	ok(store && container_store_restore(store, &err) == 0, "opened %s", err_text(&err));
}

static void test_adopted(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("keep", "");

	container_start(c, &err);
	container_unref(c);
	adopt_as = 1;
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && container_is_running(c) && shims == 1 && mounts_held == 1, "a running container is adopted with its mounts");
	container_unref(c);
	adopt_as = 3;
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && container_is_running(c) && !c->op && shims == 1 && mounts_held == 1, "one whose process is seen alive needs no shim's answer");
	container_unref(c);
	for (int i = 0; i < 2; i++) {
		OWN_FREE char *mark = NULL;

		c = container_find(store, "keep", &err);
		mark = xasprintf("%s/containers/%s/freezing", deps.exec_root, c->id);
		resumed = marked = 0;
		ok(container_pause(c, true, &err) == 0 && marked == 1 && access(mark, F_OK) < 0, "a pause is marked while it goes on (%s)", err_text(&err));
		if (i == 0)
			ok(container_pause(c, false, &err) == 0 && marked == 2 && access(mark, F_OK) < 0, "and its end");
		container_unref(c);
		fclose(fopen(mark, "w"));
		adopt_as = i ? 1 : 3;
		resumed = 0;
		reopen();
		ok(container_store_settle(store, -1) == 0, "settled");
		c = container_find(store, "keep", &err);
		ok(c && container_is_running(c) && !c->rec.state.paused && resumed == 1 && access(mark, F_OK) < 0,
			"one that the last daemon %s as it ended goes on", i ? "unpaused" : "paused");
		container_unref(c);
	}
	adopt_as = 2;
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && streq(state_word(&c->rec.state), "exited") && c->rec.state.exit_code == 9,
		"one that ended meanwhile has its exit code");
	is_int(mounts_held, 0, "and holds no mount");
	container_unref(c);
}

/* A start or a restart that the daemon's end cut off, and what runs of a container that was to go. */
static void test_cut_off(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("half", "");
	struct stat st;

	OWN_FREE char *run = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	container_unref(c);
	reopen();
	c = container_find(store, "half", &err);
	ok(c && streq(state_word(&c->rec.state), "created"), "a container that never ran is still created");
	container_unref(c);
	mkdir(run, 0700);
	adopt_as = 0;
	reopen();
	c = container_find(store, "half", &err);
	ok(c && streq(state_word(&c->rec.state), "created") && stat(run, &st) < 0,
		"so is one whose start was cut off before its shim");
	container_unref(c);
	mkdir(run, 0700);
	adopt_as = 1;
	reopen();
	c = container_find(store, "half", &err);
	ok(c && container_is_running(c) && shims == 1, "one whose shim went on is adopted");
	container_remove(c, true, false, &err);
	container_unref(c);
	c = create("half", ",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"always\"}}");
	OWN_FREE char *run2 = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	exit_at_once = 1;
	container_start(c, &err);
	until(c, "restarting");
	container_unref(c);
	container_store_close(store);
	store = NULL;
	mkdir(run2, 0700);
	reopen();
	exit_at_once = -1;
	c = container_find(store, "half", &err);
	ok(c && container_is_running(c) && !c->rec.state.restarting && shims == 1, "a restart that went on without a daemon is adopted, not repeated");
	lock_take(&c->lock);
	c->rec.state.removal = true;
	lock_drop(&c->lock);
	container_save_state(c);
	container_unref(c);
	reopen();
	for (int i = 0; i < 200 && (c = container_find(store, "half", NULL)); i++) {
		container_unref(c);
		usleep(5000);
	}
	ok(!c && discarded == 1 && stat(run2, &st) < 0, "what runs of a container that was to be removed is ended");
}

static void test_removed(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *stray = xasprintf("%s/containers/%064d", deps.exec_root, 8);
	struct container *c;
	struct stat st;

	c = create("half", ",\"HostConfig\":{\"AutoRemove\":true}");
	container_unref(c);
	reopen();
	for (int i = 0; i < 200 && (c = container_find(store, "half", NULL)); i++) {
		container_unref(c);
		usleep(5000);
	}
	ok(!c, "--rm: one that was never started goes, too");
	c = create("half", ",\"HostConfig\":{\"AutoRemove\":true}");
	OWN_FREE char *run3 = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	container_unref(c);
	container_store_close(store);
	store = NULL;
	mkdir(run3, 0700);
	adopt_as = 0;
	reopen();
	for (int i = 0; i < 200 && (c = container_find(store, "half", NULL)); i++) {
		container_unref(c);
		usleep(5000);
	}
	ok(!c, "also when its start or its exit was cut off");
	c = create("half", "");
	OWN_FREE char *run4 = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	OWN_FREE char *home = container_dir(c), *moved = xasprintf("%s.away", home);
	container_start(c, &err);
	rename(home, moved);
	container_kill(c, "KILL", &err);
	ok(until(c, "exited") && stat(run4, &st) == 0, "an exit that cannot be written keeps the shim's record of it");
	rename(moved, home);
	container_remove(c, false, false, &err);
	ok(stat(run4, &st) < 0, "until the container goes");
	container_unref(c);
	mkdir(stray, 0700);
	reopen();
	ok(discarded == 2 && stat(stray, &st) < 0, "what runs without a container is ended");
}

/* Of the container that test_adopted() leaves. */
static void test_damaged(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = container_find(store, "keep", &err);
	OWN_FREE char *file = xasprintf("%s/containers/%s/config.v2.json", dir, c->id), *half = xasprintf("%s/containers/%064d", dir, 7);
	OWN_FREE char *aside = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	struct stat st;

	container_unref(c);
	mkdir(aside, 0700);
	adopt_as = 2;
	mkdir(half, 0700);
	ok(truncate(file, 100) == 0, "a damaged file");
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && !c->damaged && damage_count(DAMAGE_REPAIRED) == 1, "comes from its copy");
	container_unref(c);
	mkdir(aside, 0700);
	OWN_FREE char *copy = xasprintf("%s.copy", file);
	ok(truncate(file, 100) == 0 && truncate(copy, 0) == 0, "with its copy");
	reopen();
	c = container_find(store, "damaged_", NULL);
	ok(!c && (c = container_find(store, strrchr(aside, '/') + 1, &err)) && c->damaged && streq(state_word(&c->rec.state), "dead") &&
		str_has_prefix(c->rec.name, "/damaged_") && str_has_prefix(c->rec.state.error, "damaged: "),
		"a container whose record is lost is listed as dead, with the reason");
	ok(container_start(c, &err) < 0 && strstr(err_text(&err), "is damaged"), "and does not start: %s", err_text(&err));
	ok(container_rename(c, "other", &err) < 0, "nor get another name");
	ok(stat(file, &st) == 0 && st.st_size == 100 && stat(aside, &st) == 0, "its files and its run are left alone");
	ok(container_remove(c, true, false, &err) == 0 && stat(file, &st) < 0 && stat(aside, &st) < 0, "it can be removed: %s", err_text(&err));
	is_int(damage_count(DAMAGE_LOST), 0, "and is damaged no more");
	container_unref(c);
	ok(stat(half, &st) < 0, "a folder without a record is swept");
	ok(adopted && !adopted_late && !atomic_load(&store->restoring), "what is adopted is so before restarts may come, and they may then");
}

static int heard_of[2];
static void hear(void *ctx, const struct damage *d)
{
	heard_of[0] += d->id[0] == '1';
	heard_of[1] += d->id[0] == '2';
}

/* A folder with the mark of an unfinished create and no whole record goes; without the mark it is a damaged container. */
static void test_leftovers(void)
{
	static const char *const ids[] = { "1111111111111111111111111111111111111111111111111111111111111111",
		"2222222222222222222222222222222222222222222222222222222222222222" };
	OWN_FREE char *gone = xasprintf("%s/containers/%s", dir, ids[0]), *kept = xasprintf("%s/containers/%s", dir, ids[1]);
	OWN_FREE char *cmd = xasprintf("mkdir -p %s/unfinished %s; : > %s/config.v2.json; : > %s/config.v2.json", gone, kept, gone, kept);
	CLEANUP(container_unrefp) struct container *c = NULL;

	ok(system(cmd) == 0, "two folders with empty records");
	memset(heard_of, 0, sizeof(heard_of));
	*layer_told = '\0';
	damage_listen(hear, NULL);
	reopen();
	damage_listen(NULL, NULL);
	ok(heard_of[0] == 0 && heard_of[1] == 1, "no damage is told of the unfinished one: %d, %d", heard_of[0], heard_of[1]);
	is_str(layer_told, ids[1], "nor of its layer");
	c = store_by_id(store, ids[0]);
	ok(!c && !fs_exists(gone), "the unfinished one goes");
	c = store_by_id(store, ids[1]);
	ok(c && c->damaged && fs_exists(kept), "the other is listed");
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *rootfs = NULL;

	mkdtemp(dir);
	rootfs = xasprintf("%s/rootfs", dir);
	mkdir(rootfs, 0755);
	defaults.default_runtime = "runc";
	defaults.log_driver = "json-file";
	defaults.ipc_mode = defaults.cgroupns_mode = "private";
	defaults.seccomp_profile = "unconfined";
	defaults.shm_size = 64 << 20;
	strmap_set(&defaults.runtimes, "runc", "/usr/sbin/runc");
	deps = (struct container_deps){ .data_root = dir, .exec_root = dir, .shim_path = "/nosuch", .defaults = &defaults };
	OWN_FREE char *exec_root = xasprintf("%s/exec", dir);
	deps.exec_root = exec_root;
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	reopen();
	test_create();
	test_run();
	test_failed_start();
	test_policies();
	test_execs();
	test_between();
	test_work();
	is_int(layers_made, 0, "no layer is left");
	test_adopted();
	test_cut_off();
	test_removed();
	test_damaged();
	test_leftovers();
	container_store_close(store);
	strmap_done(&defaults.runtimes);
	fs_remove_tree(AT_FDCWD, dir, &err);
	return tap_done();
}
