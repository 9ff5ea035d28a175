/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shim when something goes wrong: readers that vanish or sleep, full disks, killed daemons and shims, hostile messages. */
#include "shim-box.h"

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
	kept.s = shim_adopt(mon, kept.id, kept.dir, NULL, &pid, &exited, &ex, &err);
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
		for (size_t before = 0, i = 0; i < 60 && (log.size < 30000 || log.size != before); i++) {
			before = log.size;
			usleep(300000);
			buf_reset(&log);
			fs_read(AT_FDCWD, path, 1 << 20, &log, NULL);
		}
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
	ok(clock_mono() - t < 10 * NSEC_PER_SEC, "soon");
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
	struct shim_exec made = { .id = "made", .process = "{}" };
	OWN_FREE char *file = NULL;
	struct box b, gone, dead;
	pid_t pid = 0;
	int fd = -1;

	if (!box_start(&b, "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two; exit 5", false, 0) || !box_run(&b))
		return;
	file = xasprintf("%s/exec-made.json", b.dir);
	if (!box_start(&gone, "sleep 0.3; exit 6", false, 0) || !box_run(&gone))
		return;
	if (!box_start(&dead, "sleep 60", false, 0) || !box_run(&dead))
		return;
	is_int(shim_exec_create(b.s, &made, &err), 0, "an exec is made (%s)", err_text(&err));
	ok(access(file, F_OK) < 0, "nothing is written before it runs");
	shim_monitor_free(mon);
	shim_unref(b.s);
	shim_unref(gone.s);
	shim_unref(dead.s);
	kill(shim_pid_of(&dead), SIGKILL);
	for (int i = 0; i < 2000 && kill(gone.pid, 0) == 0; i++)
		usleep(10000);
	usleep(600000);
	mon = shim_monitor_new(sp, shim_path, on_exit_cb, NULL, &err);
	gone.s = shim_adopt(mon, gone.id, gone.dir, NULL, &pid, &exited, &ex, &err);
	ok(!gone.s && exited && ex.code == 6 && !ex.lost, "an end that nobody saw is on record (%d, %s)", ex.code, err_text(&err));
	dead.s = shim_adopt(mon, dead.id, dead.dir, NULL, &pid, &exited, &ex, &err);
	ok(!dead.s && exited && ex.lost && ex.code == 137, "a dead shim's container is buried (%d, %s)", ex.code, err_text(&err));
	ok(kill(dead.pid, 0) < 0 && errno == ESRCH, "and is gone");
	b.s = shim_adopt(mon, b.id, b.dir, NULL, &pid, &exited, &ex, &err);
	ok(b.s && !exited && pid == b.pid, "a running one is adopted (%s)", err_text(&err));
	if (!b.s)
		return;
	ok(shim_attach(b.s, "made", SHIM_STDOUT, &fd, &err) < 0 && err.class == ERR_NOT_FOUND,
		"an exec that the last daemon made and did not run is forgotten");
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
	ok(shim_adopt(mon, b.id, top, NULL, &pid, &exited, &ex, &err) == NULL && !exited, "no state, no adoption: %s", err_text(&err));
	box_done(&b);
	box_done(&gone);
	box_done(&dead);
}

static void *pause_slowly(void *arg)
{
	struct box *b = arg;

	return shim_pause(b->s, true, NULL) == 0 ? b : NULL;
}

/* The runtime of a daemon that is gone may still be at a pause when the next one wants the container to go on. */
static void test_freeze_order(void)
{
	OWN_FREE char *slow = xasprintf("%s/slow-runtime", top), *begun = xasprintf("%s/begun", top), *text = NULL;
	OWN_ERR struct err err = ERR_INIT;
	pthread_t thread;
	void *paused = NULL;
	struct box b;

	text = xasprintf("#!/bin/busybox sh\ncase \"$*\" in *' pause '*) : > %s; sleep 0.5;; esac\nexec %s \"$@\"\n", begun, runtime);
	fs_write_atomic(AT_FDCWD, slow, text, strlen(text), 0755, FS_RENAME_ONLY, NULL);
	box_init(&b, (const char *const[]){ "/bin/busybox", "sleep", "60", NULL }, false, 0);
	b.cfg.runtime = slow;
	b.s = shim_start(mon, &b.cfg, &err);
	ok(b.s != NULL, "a slow runtime (%s)", err_text(&err));
	if (!b.s || !box_run(&b))
		return;
	pthread_create(&thread, NULL, pause_slowly, &b);
	for (int i = 0; i < 2000 && access(begun, F_OK) < 0; i++)
		usleep(5000);
	is_int(shim_pause(b.s, false, &err), 0, "a resume comes behind the pause that was asked for before (%s)", err_text(&err));
	pthread_join(thread, &paused);
	ok(paused == &b, "which came to its end");
	ok(shim_pause(b.s, false, &err) < 0, "nothing stands still behind it");
	is_int(shim_kill(b.s, NULL, SIGKILL, false, &err), 0, "killed (%s)", err_text(&err));
	ok(wait_exit(b.id, NULL, 5000, &b.ex) && b.ex.code == 137, "and it dies");
	box_done(&b);
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
	is_int(shim_discard(mon, b.id, b.dir, NULL, &err), 0, "are discarded (%s)", err_text(&err));
	ok(kill(b.pid, 0) < 0 && errno == ESRCH && kill(shim, 0) < 0 && errno == ESRCH, "and gone");
	ok(!wait_exit(b.id, NULL, 50, &ex), "without a report");
	is_int(shim_discard(mon, b.id, top, NULL, &err), 0, "where there is nothing that is fine (%s)", err_text(&err));
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

int main(void)
{
	if (!shim_test_begin())
		return tap_done();
	test_vanish();
	test_full();
	test_flood();
	test_stuck();
	test_protocol();
	test_refuse();
	test_lost();
	test_adopt();
	test_freeze_order();
	test_discard();
	return shim_test_end();
}
