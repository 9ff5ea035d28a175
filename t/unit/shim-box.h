/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the shim share: containers of a real OCI runtime, and what the monitor tells of them. */
#ifndef UNIT_SHIM_BOX_H
#define UNIT_SHIM_BOX_H

#include "container/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/jw.h"
#include "shim/proto.h"

#include "tap.h"

static struct spawner *sp;
static struct shim_monitor *mon;
static char top[] = "/tmp/test-shim-XXXXXX";
static const char *runtime;
static char *shim_path;

/* What the callback was told, newest last. */
static struct told { char id[80], exec[80]; struct shim_exit ex; } told[64];
static size_t n_told;
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void on_exit_cb(void *ctx, const char *id, const char *exec_id, const struct shim_exit *ex)
{
	pthread_mutex_lock(&told_lock);
	if (n_told < ARRAY_LEN(told)) {
		snprintf(told[n_told].id, sizeof(told[0].id), "%s", id);
		snprintf(told[n_told].exec, sizeof(told[0].exec), "%s", exec_id ? exec_id : "");
		told[n_told++].ex = *ex;
	}
	pthread_mutex_unlock(&told_lock);
}

static inline bool wait_exit(const char *id, const char *exec_id, int ms, struct shim_exit *ret)
{
	for (int i = 0; i < (ms >= 1000 ? 4 : 1) * ms / 5 + 1; i++) { /* a busy machine is no failure */
		bool found = false;

		pthread_mutex_lock(&told_lock);
		for (size_t k = 0; k < n_told; k++) {
			if (streq(told[k].id, id) && streq(told[k].exec, exec_id ? exec_id : "")) {
				*ret = told[k].ex;
				found = true;
			}
		}
		pthread_mutex_unlock(&told_lock);
		if (found)
			return true;
		usleep(5000);
	}
	return false;
}

/* A container of the test. */
struct box {
	char id[ID_HEX + 1];
	char *dir, *log, *root;
	struct strv runtime_args;
	struct shim_config cfg;
	struct shim *s;
	pid_t pid;
	struct shim_exit ex;
};

static inline void put_config(const struct box *b, const char *const *args, bool tty, int64_t memory)
{
	static const char *const spaces[] = { "pid", "mount", "ipc", "uts", "network" };
	OWN_FREE char *file = xasprintf("%s/config.json", b->dir), *rootfs = xasprintf("%s/rootfs", top);
	OWN_BUF struct buf out = { 0 };
	struct jw w;

	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "ociVersion", "1.0.2");
	jw_kobj(&w, "process");
	jw_kbool(&w, "terminal", tty);
	jw_kraw(&w, "user", "{\"uid\":0,\"gid\":0}");
	jw_karr(&w, "args");
	for (; *args; args++)
		jw_str(&w, *args);
	jw_arr_end(&w);
	jw_kraw(&w, "env", "[\"PATH=/bin\",\"TERM=xterm\"]");
	jw_kstr(&w, "cwd", "/");
	jw_obj_end(&w);
	jw_kobj(&w, "root");
	jw_kstr(&w, "path", rootfs);
	jw_obj_end(&w);
	jw_kraw(&w, "mounts", "[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"mode=755\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"newinstance\",\"ptmxmode=0666\"]}]");
	jw_kobj(&w, "linux");
	jw_key(&w, "cgroupsPath");
	{
		OWN_FREE char *cg = xasprintf("/test-shim/%s", b->id);

		jw_str(&w, cg);
	}
	if (memory) {
		jw_kobj(&w, "resources");
		jw_kobj(&w, "memory");
		jw_kint(&w, "limit", memory);
		jw_obj_end(&w);
		jw_obj_end(&w);
	}
	jw_karr(&w, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
		jw_obj(&w);
		jw_kstr(&w, "type", spaces[i]);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	jw_obj_end(&w);
	fs_write_atomic(AT_FDCWD, file, out.data, out.size, 0600, FS_RENAME_ONLY, NULL);
}

static inline void box_init(struct box *b, const char *const *args, bool tty, int64_t memory)
{
	*b = (struct box){ 0 };
	id_new(b->id);
	b->dir = xasprintf("%s/%s", top, b->id);
	b->log = xasprintf("%s/%s-json.log", top, b->id);
	b->root = xasprintf("%s/runc", top);
	fs_mkdir(b->dir, 0700, NULL);
	put_config(b, args, tty, memory);
	b->cfg = (struct shim_config){ .id = b->id, .dir = b->dir, .bundle = b->dir, .runtime = runtime, .runtime_args = &b->runtime_args,
		.runtime_root = b->root, .tty = tty, .log = { .driver = "json-file", .path = b->log, .max_size = -1, .max_file = 1 } };
}

static inline bool box_start(struct box *b, const char *script, bool tty, int64_t memory)
{
	OWN_ERR struct err err = ERR_INIT;

	box_init(b, (const char *const[]){ "/bin/busybox", "sh", "-c", script, NULL }, tty, memory);
	b->s = shim_start(mon, &b->cfg, &err);
	ok(b->s != NULL, "shim starts for: %.50s (%s)", script, err_text(&err));
	return b->s;
}

static inline bool box_run(struct box *b)
{
	OWN_ERR struct err err = ERR_INIT;
	int r = shim_run(b->s, &b->pid, &err);

	ok(r == 0 && b->pid > 0, "the container runs (%s)", err_text(&err));
	return r == 0;
}

static inline void box_done(struct box *b)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *state = xasprintf("%s/%s", b->root, b->id), *cg = xasprintf("/sys/fs/cgroup/memory/test-shim/%s", b->id),
		*unified = xasprintf("/sys/fs/cgroup/test-shim/%s", b->id);

	if (b->s)
		is_int(shim_release(b->s, &err), 0, "released (%s)", err_text(&err));
	ok(!fs_exists(state) && !fs_exists(cg) && !fs_exists(unified), "nothing of it is left with the runtime");
	shim_unref(b->s);
	free(b->dir);
	free(b->log);
	free(b->root);
}

/* Reads to the end; frames are undone into one buffer a stream. */
static inline void read_end(int fd, bool raw, struct buf *out, struct buf *errout)
{
	OWN_BUF struct buf in = { 0 };
	ssize_t n;

	while ((n = read(fd, buf_reserve(&in, 65536), 65536)) > 0) {
		in.size += (size_t)n;
		while (!raw && in.size >= 8) {
			const unsigned char *h = (const unsigned char *)in.data;
			size_t size = (size_t)h[4] << 24 | (size_t)h[5] << 16 | (size_t)h[6] << 8 | h[7];

			if (in.size < 8 + size)
				break;
			buf_add(h[0] == 2 ? errout : out, in.data + 8, size);
			buf_shift(&in, 8 + size);
		}
		if (raw) {
			buf_add(out, in.data, in.size);
			buf_reset(&in);
		}
	}
	buf_adds(out, "");
	buf_adds(errout, "");
	if (!raw)
		is_int(in.size, 0, "no torn frame");
}

static inline bool prepare(void)
{
	OWN_FREE char *rootfs = xasprintf("%s/rootfs", top), *bin = xasprintf("%s/bin", rootfs), *cmd = NULL, *root = xasprintf("%s/runc", top);
	int status = -1;
	const char *dirs[] = { "proc", "dev", "sys", "tmp" };

	fs_mkdirs(bin, 0755, NULL);
	fs_mkdir(root, 0700, NULL);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		OWN_FREE char *d = xasprintf("%s/%s", rootfs, dirs[i]);

		fs_mkdir(d, 0755, NULL);
	}
	cmd = xasprintf("cp /bin/busybox %s/ && %s/busybox --install %s", bin, bin, bin);
	spawner_run(sp, (char *const[]){ (char *)"/bin/sh", (char *)"-c", cmd, NULL }, NULL, -1, 20000, NULL, &status, NULL, NULL);
	return status == 0;
}

/* False when something is missing, which is said. */
static inline bool shim_test_begin(void)
{
	OWN_ERR struct err err = ERR_INIT;
	const char *build = getenv("top_builddir");

	if (geteuid() != 0 || !fs_exists("/bin/busybox")) {
		skip("the shim", "needs root and a static busybox");
		return false;
	}
	runtime = getenv("TEST_RUNTIME") ? getenv("TEST_RUNTIME") : fs_exists("/usr/sbin/runc") ? "/usr/sbin/runc" : "/usr/bin/runc";
	if (!fs_exists(runtime) || !mkdtemp(top)) {
		skip("the shim", "needs runc");
		return false;
	}
	shim_path = xasprintf("%s/dockerd-shim", build ? build : ".");
	sp = spawner_start(&err);
	mon = shim_monitor_new(sp, shim_path, on_exit_cb, NULL, &err);
	return ok(mon && prepare(), "monitor and rootfs (%s)", err_text(&err));
}

static inline int shim_test_end(void)
{
	shim_monitor_free(mon);
	spawner_stop(sp);
	fs_remove_tree(AT_FDCWD, top, NULL);
	if (system("rmdir /sys/fs/cgroup/test-shim /sys/fs/cgroup/*/test-shim 2>/dev/null") < 0)
		return 1;
	free(shim_path);
	return tap_done();
}

#endif
