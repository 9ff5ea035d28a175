/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shim with a real OCI runtime: needs root, a runtime and a static busybox, and skips by name what is missing. */
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

static void on_exit_cb(void *ctx, const char *id, const char *exec_id, const struct shim_exit *ex)
{
	pthread_mutex_lock(&told_lock);
	if (n_told < ARRAY_LEN(told)) {
		snprintf(told[n_told].id, sizeof(told[0].id), "%s", id);
		snprintf(told[n_told].exec, sizeof(told[0].exec), "%s", exec_id ? exec_id : "");
		told[n_told++].ex = *ex;
	}
	pthread_mutex_unlock(&told_lock);
}

static bool wait_exit(const char *id, const char *exec_id, int ms, struct shim_exit *ret)
{
	for (int i = 0; i < ms / 5 + 1; i++) {
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

static void put_config(const struct box *b, const char *const *args, bool tty, int64_t memory)
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
		OWN_FREE char *cg = xasprintf("/test-shim/%.12s", b->id);

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

static void box_init(struct box *b, const char *const *args, bool tty, int64_t memory)
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

static bool box_start(struct box *b, const char *script, bool tty, int64_t memory)
{
	OWN_ERR struct err err = ERR_INIT;

	box_init(b, (const char *const[]){ "/bin/busybox", "sh", "-c", script, NULL }, tty, memory);
	b->s = shim_start(mon, &b->cfg, &err);
	ok(b->s != NULL, "shim starts for: %.50s (%s)", script, err_text(&err));
	return b->s;
}

static bool box_run(struct box *b)
{
	OWN_ERR struct err err = ERR_INIT;
	int r = shim_run(b->s, &b->pid, &err);

	ok(r == 0 && b->pid > 0, "the container runs (%s)", err_text(&err));
	return r == 0;
}

static void box_done(struct box *b)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *state = xasprintf("%s/%s", b->root, b->id), *cg = xasprintf("/sys/fs/cgroup/memory/test-shim/%.12s", b->id);

	if (b->s)
		is_int(shim_release(b->s, &err), 0, "released (%s)", err_text(&err));
	ok(!fs_exists(state) && !fs_exists(cg), "nothing of it is left with the runtime");
	shim_unref(b->s);
	free(b->dir);
	free(b->log);
	free(b->root);
}

/* Reads to the end; frames are undone into one buffer a stream. */
static void read_end(int fd, bool raw, struct buf *out, struct buf *errout)
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

static void test_run(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 }, log = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct stat st;
	struct box b;
	int fd = -1;

	if (!box_start(&b, "echo out; echo err >&2; printf 'no end <&> \\377\\t'; exit 3", false, 0))
		return;
	is_int(shim_attach(b.s, NULL, SHIM_STDOUT | SHIM_STDERR, &fd, &err), 0, "attaches before it runs (%s)", err_text(&err));
	if (!box_run(&b))
		return;
	read_end(fd, false, &out, &errout);
	close(fd);
	is_str(out.data, "out\nno end <&> \377\t", "all of stdout comes");
	is_str(errout.data, "err\n", "stderr apart from it");
	ok(wait_exit(b.id, NULL, 5000, &b.ex), "the exit is told");
	is_int(b.ex.code, 3, "with its code");
	ok(!b.ex.oom && !b.ex.lost && llabs(b.ex.time - clock_now()) < 60 * NSEC_PER_SEC, "and its time");
	is_int(fs_read(AT_FDCWD, b.log, 1 << 20, &log, &err), 0, "it left a log");
	ok(strstr(log.data, "{\"log\":\"out\\n\",\"stream\":\"stdout\",\"time\":\"20") == log.data ||
		strstr(log.data, "\n{\"log\":\"out\\n\",\"stream\":\"stdout\",\"time\":\"20"), "in Docker's form");
	ok(strstr(log.data, "{\"log\":\"no end \\u003c\\u0026\\u003e \\ufffd\\u0009\",\"stream\":\"stdout\""), "escaped as Docker does");
	ok(stat(b.log, &st) == 0 && (st.st_mode & 0777) == 0640, "readable by its owner and group only");
	ok(shim_kill(b.s, NULL, SIGTERM, false, &err) < 0 && err.class == ERR_NOT_FOUND, "a kill comes too late: %s", err_text(&err));
	box_done(&b);
}

/* Lines that reads and the limit of 16 KiB cut. */
static void test_lines(void)
{
	OWN_BUF struct buf log = { 0 };
	const char *at;
	struct box b;

	if (!box_start(&b, "printf 'caf\\303'; sleep 0.2; printf '\\251\\n'; head -c 16384 /dev/zero | tr '\\0' a; echo; "
		"head -c 16383 /dev/zero | tr '\\0' b; printf '\\303\\251c\\n'", false, 0) || !box_run(&b))
		return;
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 0, "writes odd lines");
	fs_read(AT_FDCWD, b.log, 1 << 20, &log, NULL);
	ok(strstr(log.data, "{\"log\":\"caf\303\251\\n\","), "a character in two reads stays one");
	at = strstr(log.data, "\n{\"log\":\"aaaa");
	ok(at && strspn(at + 9, "a") == 16384 && str_has_prefix(at + 9 + 16384, "\",\"stream\":\"stdout\",\"time\":"), "16 KiB without an end are a part");
	ok(strstr(log.data, "\n{\"log\":\"\\n\",") != NULL, "whose end comes by itself");
	at = strstr(log.data, "\n{\"log\":\"bbbb");
	ok(at && strspn(at + 9, "b") == 16383 && strstr(at, "\n{\"log\":\"\303\251c\\n\","), "a part ends before a character, not inside it");
	box_done(&b);
}

static void test_error(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct box b;
	int fd = -1;

	box_init(&b, (const char *const[]){ "/no/such/program", NULL }, false, 0);
	b.s = shim_start(mon, &b.cfg, &err);
	ok(b.s != NULL, "shim starts (%s)", err_text(&err));
	if (!b.s)
		return;
	shim_attach(b.s, NULL, SHIM_STDOUT | SHIM_STDERR, &fd, NULL);
	ok(shim_run(b.s, &b.pid, &err) < 0, "a missing program does not run");
	ok(strstr(err_text(&err), "exec: \"/no/such/program\": stat /no/such/program: no such file or directory") != NULL,
		"in the runtime's own words: %s", err_text(&err));
	read_end(fd, false, &out, &errout);
	ok(out.size + errout.size == 0, "which the attached do not see twice");
	close(fd);
	box_done(&b);
}

static void test_stdin(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 };
	OWN_FREE char *big = xmalloc(300000);
	OWN_ERR struct err err = ERR_INIT;
	struct box b;
	int fd = -1, other = -1;
	pid_t pid;

	memset(big, 'x', 300000);
	box_init(&b, (const char *const[]){ "/bin/busybox", "sh", "-c", "cat; echo end", NULL }, false, 0);
	b.cfg.open_stdin = b.cfg.stdin_once = true;
	b.s = shim_start(mon, &b.cfg, &err);
	if (!b.s)
		return;
	shim_attach(b.s, NULL, SHIM_STDIN | SHIM_STDOUT | SHIM_STDERR, &fd, NULL);
	shim_attach(b.s, NULL, SHIM_STDOUT, &other, NULL);
	box_run(&b);
	/* more than pipes and sockets hold: written beside the reading */
	pid = fork();
	if (pid == 0) {
		fs_write_all(fd, big, 300000);
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	{
		struct pollfd p = { .fd = other, .events = POLLIN };

		ok(poll(&p, 1, 5000) == 1, "a second attachment gets output too");
		close(other);
	}
	read_end(fd, false, &out, &errout);
	waitpid(pid, NULL, 0);
	ok(out.size == 300004 && memcmp(out.data, big, 300000) == 0 && streq(out.data + 300000, "end\n"),
		"stdin arrives whole and ends by half-close (%zu)", out.size);
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 0, "the container ends with it");
	close(fd);
	box_done(&b);
}

/* An attachment that vanishes without an end of stdin: the end of stdin only while there is a daemon. */
static void test_vanish(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct shim_exit ex;
	bool exited = false;
	struct box b, kept;
	int fd = -1;
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		struct box *x = i ? &kept : &b;

		box_init(x, (const char *const[]){ "/bin/busybox", "sh", "-c", "cat >/dev/null; exit 4", NULL }, false, 0);
		x->cfg.open_stdin = x->cfg.stdin_once = true;
		x->s = shim_start(mon, &x->cfg, &err);
		if (!x->s)
			return;
		shim_attach(x->s, NULL, SHIM_STDIN, &fd, NULL);
		box_run(x);
		if (i == 0) {
			close(fd);
			ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 4, "a client that vanishes ends stdin");
			box_done(&b);
		}
	}
	shim_monitor_free(mon);
	shim_unref(kept.s);
	close(fd);
	usleep(800000);
	mon = shim_monitor_new(sp, shim_path, on_exit_cb, NULL, &err);
	kept.s = shim_adopt(mon, kept.id, kept.dir, &pid, &exited, &ex, &err);
	ok(kept.s && !exited, "a daemon that vanishes does not");
	if (!kept.s)
		return;
	is_int(shim_kill(kept.s, NULL, SIGKILL, true, &err), 0, "kills all there is in it (%s)", err_text(&err));
	ok(wait_exit(kept.id, NULL, 5000, &kept.ex) && kept.ex.code == 137, "by the runtime");
	box_done(&kept);
}

/* The log's disk is full for a while. */
static void test_full(void)
{
	OWN_FREE char *disk = xasprintf("%s/disk", top), *mnt = xasprintf("mkdir -p %s && mount -t tmpfs -o size=64k none %s", disk, disk);
	OWN_FREE char *um = xasprintf("umount %s", disk), *path = xasprintf("%s/x.log", disk);
	OWN_BUF struct buf log = { 0 }, out = { 0 }, errout = { 0 };
	struct box b;
	int fd = -1;

	if (system(mnt) != 0) {
		skip("a full disk", "cannot mount a tmpfs");
		return;
	}
	box_init(&b, (const char *const[]){ "/bin/busybox", "sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line-$i-0123456789012345678901234567890123456789;"
		" i=$((i+1)); done; read x; echo after", NULL }, false, 0);
	b.cfg.log.path = path;
	b.cfg.open_stdin = b.cfg.stdin_once = true;
	b.s = shim_start(mon, &b.cfg, NULL);
	ok(b.s != NULL, "a log on a small disk");
	if (b.s) {
		const char *last;
		bool whole = true;

		shim_attach(b.s, NULL, SHIM_STDIN | SHIM_STDOUT, &fd, NULL);
		box_run(&b);
		usleep(300000);
		fs_read(AT_FDCWD, path, 1 << 20, &log, NULL);
		ok(log.size > 30000 && log.data[log.size - 1] == '\n', "holds whole lines when it is full (%zu)", log.size);
		for (const char *at = log.data; whole && (last = strchr(at, '\n')); at = last + 1)
			whole = str_has_prefix(at, "{\"log\":\"line-") && str_has_suffix((char[]){ last[-2], last[-1], 0 }, "\"}");
		ok(whole, "and nothing but whole lines");
		ok(truncate(path, 0) == 0 && write(fd, "\n", 1) == 1, "room again");
		shutdown(fd, SHUT_WR);
		read_end(fd, false, &out, &errout);
		ok(str_has_suffix(out.data, "-0123456789012345678901234567890123456789\nafter\n"), "the container went on");
		buf_reset(&log);
		fs_read(AT_FDCWD, path, 1 << 20, &log, NULL);
		ok(strstr(log.data, "{\"log\":\"after\\n\""), "and its log too");
		close(fd);
		wait_exit(b.id, NULL, 5000, &b.ex);
		box_done(&b);
	}
	is_int(system(um), 0, "unmounts");
}

static void test_tty(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct box b;
	int fd = -1;

	box_init(&b, (const char *const[]){ "/bin/busybox", "sh", "-c", "tty; stty size; read x; stty size; echo got $x", NULL }, true, 0);
	b.cfg.open_stdin = true;
	b.cfg.rows = 33;
	b.cfg.cols = 77;
	b.s = shim_start(mon, &b.cfg, &err);
	if (!b.s)
		return;
	shim_attach(b.s, NULL, SHIM_STDIN | SHIM_STDOUT | SHIM_STDERR, &fd, NULL);
	if (!box_run(&b))
		return;
	is_int(shim_resize(b.s, NULL, 44, 88, &err), 0, "resizes (%s)", err_text(&err));
	ok(write(fd, "line\n", 5) == 5, "types");
	read_end(fd, true, &out, &errout);
	ok(strstr(out.data, "/dev/pts/0\r\n") && strstr(out.data, "44 88\r\n") && strstr(out.data, "got line\r\n"), "a terminal answers");
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 0, "and ends");
	close(fd);
	box_done(&b);
}

static void test_exec(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 }, tty = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct shim_exec ex = { .id = "e1", .open_stdin = true, .process = "{\"terminal\":false,\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\","
		"\"env\":[\"PATH=/bin\"],\"args\":[\"/bin/busybox\",\"sh\",\"-c\",\"cat; echo e >&2; exit 9\"]}" };
	struct shim_exit x;
	struct box b;
	int fd = -1;
	pid_t pid = 0;

	if (!box_start(&b, "sleep 60", false, 0))
		return;
	ok(shim_exec_create(b.s, &ex, &err) < 0 && err.class == ERR_CONFLICT, "no exec before it runs: %s", err_text(&err));
	if (!box_run(&b))
		return;
	is_int(shim_exec_create(b.s, &ex, &err), 0, "creates an exec (%s)", err_text(&err));
	ok(shim_exec_create(b.s, &ex, &err) < 0 && err.class == ERR_CONFLICT, "once");
	is_int(shim_attach(b.s, "e1", SHIM_STDIN | SHIM_STDOUT | SHIM_STDERR, &fd, &err), 0, "attaches to it (%s)", err_text(&err));
	is_int(shim_exec_run(b.s, "e1", &pid, &err), 0, "runs it (%s)", err_text(&err));
	ok(write(fd, "in\n", 3) == 3 && shutdown(fd, SHUT_WR) == 0, "feeds it");
	read_end(fd, false, &out, &errout);
	close(fd);
	is_str(out.data, "in\n", "its stdout");
	is_str(errout.data, "e\n", "its stderr");
	ok(wait_exit(b.id, "e1", 5000, &x) && x.code == 9, "its exit code");
	ex = (struct shim_exec){ .id = "e2", .tty = true, .rows = 11, .cols = 22, .process = "{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\","
		"\"env\":[\"PATH=/bin\"],\"args\":[\"/bin/busybox\",\"sh\",\"-c\",\"sleep 0.2; stty size; kill -9 $$\"]}" };
	is_int(shim_exec_create(b.s, &ex, &err), 0, "an exec with a terminal (%s)", err_text(&err));
	shim_attach(b.s, "e2", SHIM_STDOUT, &fd, NULL);
	is_int(shim_exec_run(b.s, "e2", &pid, &err), 0, "runs (%s)", err_text(&err));
	read_end(fd, true, &tty, &errout);
	close(fd);
	is_str(tty.data, "11 22\r\n", "of the size asked for");
	ok(wait_exit(b.id, "e2", 5000, &x) && x.code == 137, "a killed exec tells 137 (%d)", x.code);
	ex = (struct shim_exec){ .id = "e3", .process = "{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\",\"args\":[\"nosuch\"],\"env\":[\"PATH=/bin\"]}" };
	shim_exec_create(b.s, &ex, NULL);
	ok(shim_exec_run(b.s, "e3", &pid, &err) < 0 && strstr(err_text(&err), "exec: \"nosuch\": executable file not found in $PATH"),
		"a missing program is told in the runtime's words: %s", err_text(&err));
	ok(shim_attach(b.s, "e3", SHIM_STDOUT, &fd, &err) < 0 && err.class == ERR_NOT_FOUND, "and forgotten");
	is_int(shim_pause(b.s, true, &err), 0, "pauses (%s)", err_text(&err));
	is_int(shim_pause(b.s, false, &err), 0, "and resumes (%s)", err_text(&err));
	ok(shim_release(b.s, &err) < 0 && err.class == ERR_CONFLICT, "a running container is not released: %s", err_text(&err));
	is_int(shim_kill(b.s, NULL, SIGKILL, false, &err), 0, "killed (%s)", err_text(&err));
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 137, "tells 137 (%d)", b.ex.code);
	box_done(&b);
}

static void test_oom(void)
{
	struct box b;

	if (!fs_exists("/sys/fs/cgroup/memory/memory.oom_control") && !fs_exists("/sys/fs/cgroup/memory.max")) {
		skip("out of memory", "no memory cgroup");
		return;
	}
	if (!box_start(&b, "x=a; while :; do x=$x$x; done", false, 16 << 20) || !box_run(&b))
		return;
	ok(wait_exit(b.id, NULL, 30000, &b.ex), "eats up its memory");
	ok(b.ex.oom, "and is told apart from other ends (code %d)", b.ex.code);
	box_done(&b);
}

static pid_t shim_pid_of(const struct box *b)
{
	OWN_FREE char *file = xasprintf("%s/shim.json", b->dir);
	OWN_BUF struct buf text = { 0 };
	const char *at;

	if (fs_read(AT_FDCWD, file, 65536, &text, NULL) < 0 || !(at = strstr(text.data, "\"shim\":")))
		return 0;
	return (pid_t)strtol(at + 7, NULL, 10);
}

static void test_lost(void)
{
	int64_t t;
	struct box b;

	if (!box_start(&b, "sleep 60", false, 0) || !box_run(&b))
		return;
	t = clock_mono();
	kill(shim_pid_of(&b), SIGKILL);
	ok(wait_exit(b.id, NULL, 5000, &b.ex), "a killed shim is noticed");
	ok(b.ex.lost && b.ex.code == 137, "its container counts as killed (%d)", b.ex.code);
	ok(clock_mono() - t < 2 * NSEC_PER_SEC, "within two seconds");
	ok(kill(b.pid, 0) < 0 && errno == ESRCH, "and is gone");
	box_done(&b);
}

/* The daemon goes and comes again, as after kill -9. */
static void test_adopt(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 }, log = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct shim_exit ex = { 0 };
	bool exited = true;
	struct box b, gone, dead;
	pid_t pid = 0;
	int fd = -1;

	if (!box_start(&b, "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two; exit 5", false, 0) || !box_run(&b))
		return;
	if (!box_start(&gone, "sleep 0.3; exit 6", false, 0) || !box_run(&gone))
		return;
	if (!box_start(&dead, "sleep 60", false, 0) || !box_run(&dead))
		return;
	shim_monitor_free(mon);
	shim_unref(b.s);
	shim_unref(gone.s);
	shim_unref(dead.s);
	kill(shim_pid_of(&dead), SIGKILL);
	usleep(600000);
	mon = shim_monitor_new(sp, shim_path, on_exit_cb, NULL, &err);
	gone.s = shim_adopt(mon, gone.id, gone.dir, &pid, &exited, &ex, &err);
	ok(!gone.s && exited && ex.code == 6 && !ex.lost, "an end that nobody saw is on record (%d, %s)", ex.code, err_text(&err));
	dead.s = shim_adopt(mon, dead.id, dead.dir, &pid, &exited, &ex, &err);
	ok(!dead.s && exited && ex.lost && ex.code == 137, "a dead shim's container is buried (%d, %s)", ex.code, err_text(&err));
	ok(kill(dead.pid, 0) < 0 && errno == ESRCH, "and is gone");
	b.s = shim_adopt(mon, b.id, b.dir, &pid, &exited, &ex, &err);
	ok(b.s && !exited && pid == b.pid, "a running one is adopted (%s)", err_text(&err));
	if (!b.s)
		return;
	is_int(shim_attach(b.s, NULL, SHIM_STDOUT, &fd, &err), 0, "attaches again (%s)", err_text(&err));
	{
		OWN_FREE char *go = xasprintf("%s/rootfs/go", top);

		fs_write_atomic(AT_FDCWD, go, "", 0, 0644, FS_RENAME_ONLY, NULL);
		read_end(fd, false, &out, &errout);
		unlink(go);
	}
	is_str(out.data, "two\n", "output goes on");
	close(fd);
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 5, "and the exit is told to the new daemon");
	fs_read(AT_FDCWD, b.log, 65536, &log, NULL);
	ok(log.data && strstr(log.data, "one\\n") && strstr(log.data, "two\\n"), "the log is whole");
	ok(shim_adopt(mon, b.id, top, &pid, &exited, &ex, &err) == NULL && !exited, "no state, no adoption: %s", err_text(&err));
	box_done(&b);
	box_done(&gone);
	box_done(&dead);
}

/* A start that no daemon came to hear of. */
static void test_discard(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct shim_exit ex;
	struct box b;
	pid_t shim;

	if (!box_start(&b, "sleep 60", false, 0) || !box_run(&b))
		return;
	shim_monitor_free(mon);
	shim_unref(STEAL(b.s));
	shim = shim_pid_of(&b);
	mon = shim_monitor_new(sp, shim_path, on_exit_cb, NULL, &err);
	ok(shim > 0 && kill(shim, 0) == 0 && kill(b.pid, 0) == 0, "shim and container live");
	is_int(shim_discard(mon, b.id, b.dir, &err), 0, "are discarded (%s)", err_text(&err));
	ok(kill(b.pid, 0) < 0 && errno == ESRCH && kill(shim, 0) < 0 && errno == ESRCH, "and gone");
	ok(!wait_exit(b.id, NULL, 50, &ex), "without a report");
	is_int(shim_discard(mon, b.id, top, &err), 0, "where there is nothing that is fine (%s)", err_text(&err));
	box_done(&b);
}

/* More than everything in between holds, with a reader that sleeps first. */
static void test_flood(void)
{
	OWN_BUF struct buf out = { 0 }, errout = { 0 };
	struct box b;
	int fd = -1;

	box_init(&b, (const char *const[]){ "/bin/busybox", "sh", "-c", "yes | head -c 3000000", NULL }, false, 0);
	b.cfg.log.max_size = 1 << 20;
	b.cfg.log.max_file = 3;
	b.s = shim_start(mon, &b.cfg, NULL);
	if (!b.s)
		return;
	shim_attach(b.s, NULL, SHIM_STDOUT, &fd, NULL);
	box_run(&b);
	usleep(300000);
	ok(!wait_exit(b.id, NULL, 0, &b.ex), "a container waits for a reader that is attached");
	read_end(fd, false, &out, &errout);
	is_int(out.size, 3000000, "which gets everything");
	close(fd);
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 0, "then it ends");
	for (int i = 0; i < 4; i++) {
		OWN_FREE char *name = i ? xasprintf("%s.%d", b.log, i) : xstrdup(b.log);
		struct stat st;

		if (i == 3)
			ok(stat(name, &st) < 0, "no more than three log files are kept");
		else
			ok(stat(name, &st) == 0 && st.st_size < (1 << 20) + 200 && (i == 0 || st.st_size >= 1 << 20), "log file %d is rotated by size", i);
	}
	box_done(&b);
}

/* The container has gone, its last output has not been read yet. */
static void test_stuck(void)
{
	OWN_BUF struct buf out = { 0 };
	OWN_FREE char *head = xmalloc(20000);
	size_t got = 0, times = 0;
	struct box b;
	int fd = -1;

	if (!box_start(&b, "yes | head -c 3000000; exit 2", false, 0))
		return;
	shim_attach(b.s, NULL, SHIM_STDOUT, &fd, NULL);
	box_run(&b);
	while (kill(b.pid, 0) == 0) {
		ssize_t n = read(fd, head, 20000);

		if (n <= 0)
			break;
		buf_add(&out, head, (size_t)n);
		got += (size_t)n;
		usleep(1000);
	}
	ok(wait_exit(b.id, NULL, 4000, &b.ex) && b.ex.code == 2, "the end is told although a reader is slow (%zu read)", got);
	usleep(500000);
	is_int(shim_release(b.s, NULL), 0, "and released");
	while (true) {
		ssize_t n = read(fd, head, 20000);

		if (n <= 0)
			break;
		buf_add(&out, head, (size_t)n);
	}
	close(fd);
	/* take the frames' heads off */
	got = 0;
	for (size_t at = 0; at + 8 <= out.size;) {
		const unsigned char *h = (const unsigned char *)out.data + at;
		size_t size = (size_t)h[4] << 24 | (size_t)h[5] << 16 | (size_t)h[6] << 8 | h[7];

		got += size;
		at += 8 + size;
	}
	is_int(got, 3000000, "the reader gets all of it in the end");
	for (size_t i = 0; i < n_told; i++)
		times += streq(told[i].id, b.id);
	is_int(times, 1, "the end was told once");
	box_done(&b);
}

/* Whoever may speak to a shim does not get it to fall over. */
static void test_protocol(void)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 }, answer = { 0 };
	OWN_BUF struct buf in = { 0 };
	struct sockaddr_un a;
	struct shim_head bad[] = { { .size = 0xffffffff, .type = SHIM_RUN, .version = 1 }, { .size = 8, .type = SHIM_RUN, .version = 0 } };
	struct box b;
	int fd;

	if (!box_start(&b, "exit 0", false, 0))
		return;
	shim_address(b.dir, -1, SHIM_SOCKET, &a);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char c;

		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ok(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && write(fd, &bad[i], sizeof(bad[i])) == sizeof(bad[i]), "sends a bad head");
		is_int(read(fd, &c, 1), 0, "which ends the connection");
		close(fd);
	}
	shim_msg_init(&m, (enum shim_type)77);
	buf_adds(&m.body, "no fields at all");
	m.head.size = (uint32_t)m.body.size;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && shim_msg_send(fd, &m, -1, 0) == 0, "asks for what is not known");
	while (shim_msg_parse(&in, &answer) == 0) {
		ssize_t n = read(fd, buf_reserve(&in, 4096), 4096);

		if (n <= 0)
			break;
		in.size += (size_t)n;
	}
	close(fd);
	ok(answer.head.type == SHIM_ERROR && shim_msg_get_int(&answer, TAG_STATUS, 0) == 501, "and is told so: %s", shim_msg_get_str(&answer, TAG_TEXT));
	box_run(&b);
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 0, "the shim does its work all the same");
	box_done(&b);
}

static void test_refuse(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct box b;

	box_init(&b, (const char *const[]){ "x", NULL }, false, 0);
	b.cfg.log.driver = "journald";
	b.s = shim_start(mon, &b.cfg, &err);
	ok(!b.s && err.class == ERR_NOT_IMPLEMENTED, "a log driver that is not there is refused: %s", err_text(&err));
	b.cfg.log.driver = "none";
	b.s = shim_start(mon, &b.cfg, &err);
	ok(b.s != NULL, "none is none");
	box_done(&b);
}

static void test_crun(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct box b;

	if (!fs_exists("/usr/bin/crun")) {
		skip("crun", "not installed");
		return;
	}
	box_init(&b, (const char *const[]){ "/bin/busybox", "sh", "-c", "exit 8", NULL }, false, 0);
	b.cfg.runtime = "/usr/bin/crun";
	b.s = shim_start(mon, &b.cfg, &err);
	ok(b.s != NULL, "shim starts for crun (%s)", err_text(&err));
	if (!b.s)
		return;
	if (shim_run(b.s, &b.pid, &err) < 0 && strstr(err_text(&err), "hybrid"))
		skip("crun", err_text(&err));
	else
		ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 8, "crun runs it (%s)", err_text(&err));
	box_done(&b);
}

static bool prepare(void)
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
	cmd = xasprintf("cp /bin/busybox %s/ && %s/busybox --install -s %s && for f in %s/*; do [ -L $f ] && ln -sf busybox $f; done; true", bin, bin, bin, bin);
	spawner_run(sp, (char *const[]){ (char *)"/bin/sh", (char *)"-c", cmd, NULL }, NULL, -1, 20000, NULL, &status, NULL, NULL);
	return status == 0;
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;
	const char *build = getenv("top_builddir");

	if (geteuid() != 0 || !fs_exists("/bin/busybox")) {
		skip("the shim", "needs root and a static busybox");
		return tap_done();
	}
	runtime = getenv("TEST_RUNTIME") ? getenv("TEST_RUNTIME") : fs_exists("/usr/sbin/runc") ? "/usr/sbin/runc" : "/usr/bin/runc";
	if (!fs_exists(runtime) || !mkdtemp(top)) {
		skip("the shim", "needs runc");
		return tap_done();
	}
	shim_path = xasprintf("%s/dockerd-shim", build ? build : ".");
	sp = spawner_start(&err);
	mon = shim_monitor_new(sp, shim_path, on_exit_cb, NULL, &err);
	ok(mon && prepare(), "monitor and rootfs (%s)", err_text(&err));
	if (mon) {
		test_run();
		test_lines();
		test_error();
		test_stdin();
		test_vanish();
		test_full();
		test_tty();
		test_exec();
		test_oom();
		test_flood();
		test_stuck();
		test_protocol();
		test_refuse();
		test_lost();
		test_adopt();
		test_discard();
		test_crun();
	}
	shim_monitor_free(mon);
	spawner_stop(sp);
	fs_remove_tree(AT_FDCWD, top, NULL);
	if (system("rmdir /sys/fs/cgroup/test-shim /sys/fs/cgroup/*/test-shim 2>/dev/null") < 0)
		return 1;
	free(shim_path);
	return tap_done();
}
