/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-shim: one per container, started by the daemon's spawner with a socket to the daemon at descriptor 3. It outlives
 * the daemon: it holds the container's streams, writes its log, serves attachments and records how it ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/loop.h"
#include "shim/control.h"
#include "shim/join.h"
#include "shim/task.h"

#define DAEMON_FD 3

static void signal_ready(struct source *src, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)!read(src->fd, &si, sizeof(si));
	task_reap();
}

/* The shim must be the last to go when memory is short: with it would go the container's streams. */
static void protect(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "-999", 4);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct source signals = SOURCE_INIT;
	sigset_t all, chld;
	int type;
	socklen_t size = sizeof(type);

	if (argc == 3 && strcmp(argv[1], JOIN_WORD) == 0)
		return join_main(argv + 2);
	if (getsockopt(DAEMON_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
		fprintf(stderr, "dockerd-shim is started by dockerd, not by hand\n");
		return 1;
	}
	/* what a thread that compresses or writes needed goes back to the kernel when it is freed */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 65536);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	signals = (struct source){ .fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK), .fn = signal_ready };
	fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC);
	if (signals.fd < 0 || loop_init() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || chdir("/") < 0) {
		fprintf(stderr, "dockerd-shim: %s\n", strerror(errno));
		return 1;
	}
	prctl(PR_SET_NAME, "dockerd-shim");
	umask(022);
	setsid();
	protect();
	loop_must_watch(&signals, EPOLLIN);
	control_start(DAEMON_FD);
	loop_run();
	return 0;
}
