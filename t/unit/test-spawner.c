/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"

#include "tap.h"

static struct spawner *sp;

/* -Wwrite-strings and execve() do not agree on what an argv is */
#define V(v) ((char *const *)(v))

static int sh(const char *script, const char *const env[], int in, int timeout_ms, int *ret_status, struct buf *out, struct err *err)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	return spawner_run(sp, V(argv), V(env), in, timeout_ms, NULL, ret_status, out, err);
}

static void test_run(void)
{
	OWN_BUF struct buf out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	const char *const env[] = { "A=b", NULL }, *const none[] = { "/nonexistent/program", NULL };
	int status = 0, p[2];

	is_int(sh("echo out; echo err >&2; echo $A$HOME; exit 7", env, -1, -1, &status, &out, &err), 0, "runs a command");
	is_int(WEXITSTATUS(status), 7, "tells its exit status");
	is_str(out.data, "out\nerr\nb\n", "keeps stdout and stderr, with the given environment only");
	ok(spawner_run(sp, V(none), NULL, -1, -1, NULL, &status, NULL, &err) < 0, "a missing program is an error");
	is_str(err_text(&err), "run /nonexistent/program: No such file or directory", "which says so");
	buf_reset(&out);
	sh("ls /proc/self/fd | wc -l; kill -9 $$", NULL, -1, -1, &status, &out, &err);
	is_str(out.data, "4\n", "nothing but 0-2 (and the listing's own) is open in it");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "tells a signal");
	ok(pipe2(p, O_CLOEXEC) == 0 && write(p[1], "fed\n", 4) == 4, "a pipe for stdin");
	close(p[1]);
	buf_reset(&out);
	sh("cat", NULL, p[0], -1, &status, &out, &err);
	close(p[0]);
	is_str(out.data, "fed\n", "stdin is handed over");
	buf_reset(&out);
	sh("exec grep SigIgn /proc/self/status", NULL, -1, -1, &status, &out, &err);
	is_str(out.data, "SigIgn:\t0000000000000000\n", "what the daemon was told to ignore its children hear, each signal");
	buf_reset(&out);
	sh("dd if=/dev/zero bs=1k count=200 2>/dev/null", NULL, -1, -1, &status, &out, &err);
	ok(out.size == 200 * 1024 && status == 0, "more output than a packet takes (%zu)", out.size);
	buf_reset(&out);
	sh("dd if=/dev/zero bs=1M count=9 2>/dev/null", NULL, -1, -1, &status, &out, &err);
	ok(out.size == 8 << 20 && status == 0, "output is cut at 8 MiB without stopping the command (%zu)", out.size);
}

static void test_large(void)
{
	OWN_BUF struct buf out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *big = xmalloc(100001);
	const char *argv[30] = { "/bin/sh", "-c", "echo $#", "x" };
	int status = -1;

	memset(big, 'y', 100000);
	big[100000] = '\0';
	for (int i = 4; i < 14; i++)
		argv[i] = big;
	is_int(spawner_run(sp, V(argv), NULL, -1, -1, NULL, &status, &out, &err), 0, "a megabyte of arguments goes through (%s)", err_text(&err));
	is_str(out.data, "10\n", "whole");
}

static void test_stop(void)
{
	OWN_BUF struct buf out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	const char *const argv[] = { "/bin/sh", "-c", "sleep 60 & wait", NULL };
	int status, p[2];
	int64_t t = clock_mono();
	struct cancel c = CANCEL_NEVER;

	ok(sh("sleep 60 & wait", NULL, -1, 100, &status, &out, &err) < 0, "a time-out ends the command");
	ok(strstr(err_text(&err), "did not end within 100 ms") != NULL, "and says so: %s", err_text(&err));
	if (pipe2(p, O_CLOEXEC) < 0 || write(p[1], "x", 1) != 1)
		return;
	c.stop_fd = p[0];
	ok(spawner_run(sp, V(argv), NULL, -1, -1, &c, &status, NULL, &err) < 0 && err.class == ERR_CANCELLED, "a fired token too");
	ok(clock_mono() - t < 5 * NSEC_PER_SEC, "at once");
	close(p[0]);
	close(p[1]);
	t = clock_mono();
	sh("sleep 5 & echo left", NULL, -1, -1, &status, &out, &err);
	ok(clock_mono() - t < 3 * NSEC_PER_SEC, "a grandchild that keeps the output open is not waited for");
}

static void test_spawn(void)
{
	OWN_ERR struct err err = ERR_INIT;
	const char *const argv[] = { "/bin/sh", "-c", "echo hello >&4; read x <&3; echo $x $(readlink /proc/$$/fd/0) >&4; exec sleep 60", NULL };
	const char *const bad[] = { "/etc/passwd", NULL };
	char text[100] = "";
	struct pollfd pf;
	int sv[2], pidfd = -1;
	pid_t pid = 0;
	size_t n = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return;
	is_int(spawner_spawn(sp, V(argv), NULL, (int[]){ sv[1], sv[1] }, 2, &pid, &pidfd, &err), 0, "spawns (%s)", err_text(&err));
	close(sv[1]);
	ok(pid > 0 && pidfd >= 0, "tells pid and pidfd");
	ok(getsid(pid) == pid, "in a session of its own");
	ok(write(sv[0], "back\n", 5) == 5, "feeds descriptor 3");
	while (n < sizeof(text) - 1 && !strstr(text, "null"))
		if (read(sv[0], text + n++, 1) != 1)
			break;
	is_str(text, "hello\nback /dev/null", "descriptors arrive at 3 and 4");
	pf = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	is_int(poll(&pf, 1, 0), 0, "it lives");
	kill(pid, SIGKILL);
	is_int(poll(&pf, 1, 5000), 1, "its end shows on the pidfd");
	for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
		usleep(10000);
	ok(kill(pid, 0) < 0 && errno == ESRCH, "and the spawner reaps it");
	close(sv[0]);
	close(pidfd);
	ok(spawner_spawn(sp, V(bad), NULL, NULL, 0, &pid, &pidfd, &err) < 0, "what cannot be executed is an error");
	is_str(err_text(&err), "run /etc/passwd: Permission denied", "which says so");
}

static void *run_some(void *arg)
{
	long bad = 0;

	for (int i = 0; i < 10; i++) {
		OWN_BUF struct buf out = { 0 };
		OWN_FREE char *script = xasprintf("echo %ld-%d; exit %d", (long)arg, i, i);
		OWN_FREE char *want = xasprintf("%ld-%d\n", (long)arg, i);
		int status = -1;

		if (sh(script, NULL, -1, -1, &status, &out, NULL) < 0 || WEXITSTATUS(status) != i || strcmp(out.data, want))
			bad++;
	}
	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t t[6];
	long bad = 0;

	for (long i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, run_some, (void *)i);
	for (int i = 0; i < 6; i++) {
		void *r;

		pthread_join(t[i], &r);
		bad += (long)r;
	}
	is_int(bad, 0, "six threads at once each get their own answers");
}

static void test_netns(const char *dir)
{
	OWN_FREE char *path = xasprintf("%s/netns", dir), *script = xasprintf("nsenter --net=%s cat /sys/class/net/lo/flags /proc/net/dev", path);
	OWN_BUF struct buf out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct statfs fs;
	int status;

	if (geteuid() != 0) {
		skip("network namespaces", "needs root");
		return;
	}
	is_int(spawner_netns(sp, path, -1, NULL, &err), 0, "makes a network namespace (%s)", err_text(&err));
	ok(statfs(path, &fs) == 0 && fs.f_type == 0x6e736673, "bound at its file");
	sh(script, NULL, -1, -1, &status, &out, &err);
	ok(strstr(out.data, "lo:") && !strstr(out.data, "eth"), "with lo alone");
	script[0] = '\0';
	buf_reset(&out);
	free(STEAL(script));
	script = xasprintf("nsenter --net=%s ip -o link show lo", path);
	sh(script, NULL, -1, -1, &status, &out, &err);
	ok(strstr(out.data, ",UP") != NULL, "which is up: %s", out.data);
	ok(spawner_netns(sp, path, -1, NULL, &err) < 0 && strstr(err_text(&err), "File exists"), "a name is taken once: %s", err_text(&err));
	is_int(spawner_netns_drop(sp, path, &err), 0, "drops it (%s)", err_text(&err));
	ok(!fs_exists(path), "and its file");
	is_int(spawner_netns_drop(sp, path, &err), 0, "dropping a missing one is fine");
}

/* Its daemon dies: what was spawned lives on. */
static void test_orphans(void)
{
	const char *const argv[] = { "/bin/sleep", "60", NULL };
	int pidfd = -1;
	struct pollfd pf;
	pid_t pid = 0;

	is_int(spawner_spawn(sp, V(argv), NULL, NULL, 0, &pid, &pidfd, NULL), 0, "spawns once more");
	spawner_stop(sp);
	pf = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	is_int(poll(&pf, 1, 200), 0, "the spawner's end leaves its children alone");
	kill(pid, SIGKILL);
	close(pidfd);
}

int main(void)
{
	char dir[] = "/tmp/test-spawner-XXXXXX";
	OWN_ERR struct err err = ERR_INIT;

	for (int sig = 1; sig < 65; sig++)
		syscall(SYS_rt_sigaction, sig, (long[16]){ (long)SIG_IGN }, NULL, 8);
	signal(SIGCHLD, SIG_DFL);
	sp = spawner_start(&err);
	ok(sp != NULL, "starts (%s)", err_text(&err));
	if (!sp || !mkdtemp(dir))
		return tap_done();
	test_run();
	test_large();
	test_stop();
	test_spawn();
	test_threads();
	test_netns(dir);
	test_orphans();
	rmdir(dir);
	return tap_done();
}
