/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shim with a real OCI runtime: needs root, a runtime and a static busybox, and skips by name what is missing. */
#include "shim-box.h"

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

/* By either version; the root of the second has no limits itself. */
static bool limits_memory(void)
{
	OWN_BUF struct buf controllers = { 0 };

	fs_read(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", 4096, &controllers, NULL);
	buf_addc(&controllers, '\0');
	return fs_exists("/sys/fs/cgroup/memory/memory.oom_control") || strstr(controllers.data, "memory");
}

static void test_oom(void)
{
	struct box b;

	if (!limits_memory()) {
		skip("out of memory", "no memory cgroup");
		return;
	}
	if (!box_start(&b, "x=a; while :; do x=$x$x; done", false, 16 << 20) || !box_run(&b))
		return;
	ok(wait_exit(b.id, NULL, 30000, &b.ex), "eats up its memory");
	ok(b.ex.oom, "and is told apart from other ends (code %d)", b.ex.code);
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

int main(void)
{
	if (!shim_test_begin())
		return tap_done();
	test_run();
	test_lines();
	test_error();
	test_stdin();
	test_tty();
	test_exec();
	test_oom();
	test_crun();
	return shim_test_end();
}
