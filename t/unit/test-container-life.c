/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of containers in the store: create, start, kill, stop, policies, execs. */
#include "container-box.h"

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

static void *kill_thread(void *c)
{
	OWN_ERR struct err err = ERR_INIT;

	return container_kill(c, "KILL", &err) == 0 ? c : NULL;
}

/* Within a kill that waits for the end. */
static void test_kill(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("dying", "");
	pthread_t killer;
	void *killed = NULL;

	undying = true;
	container_start(c, &err);
	pthread_create(&killer, NULL, kill_thread, c);
	for (int i = 0; i < 2000 && !survived; i++)
		usleep(5000);
	ok(survived && container_pause(c, true, &err) < 0 && err.class == ERR_CONFLICT && strstr(err_text(&err), "is not running"),
		"what is being killed is not paused any more: %s", err_text(&err));
	undying = false;
	end(survived, 137);
	pthread_join(killer, &killed);
	ok(killed && until(c, "exited"), "the kill waits for its end");
	container_remove(c, false, false, NULL);
	container_unref(c);
}

static atomic_bool in_save, told;

static void save_slowly(void)
{
	in_save = true;
	usleep(100000);
	told = true;
}

/* A stop is told behind the exit, also by who comes between the two. */
static void test_exit_first(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("leaves", "");
	struct shim *s;

	container_start(c, &err);
	s = c->run->shim;
	during_save = save_slowly;
	end(s, 3);
	for (int i = 0; i < 2000 && !in_save; i++)
		usleep(1000);
	ok(in_save && !container_is_running(c), "a container that has ended, and nobody knows");
	ok(container_wait_stopped(c, -1) && told, "is waited for until all do");
	during_save = NULL;
	container_remove(c, false, false, NULL);
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
	until(c, "exited");
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
static int64_t works_at;

static void attach_while_starting(void)
{
	late = container_attach(starting, starting->id, SHIM_STDOUT, NULL);
	works_at = clock_now();
}

static void test_between(void)
{
	OWN_ERR struct err err = ERR_INIT;
	int fd;

	starting = create("late", "");
	during_run = attach_while_starting;
	ok(container_start(starting, &err) == 0 && late, "attached while the runtime works");
	during_run = NULL;
	ok(works_at && starting->rec.state.started_at <= works_at, "what it writes is not older than its start");
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
	for (int i = 0; i < 2000 && !let_go; i++)
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

int main(void)
{
	box_open();
	test_create();
	test_run();
	test_kill();
	test_exit_first();
	test_failed_start();
	test_policies();
	test_execs();
	test_between();
	test_work();
	is_int(layers_made, 0, "no layer is left");
	box_close();
	return tap_done();
}
