/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-netd: holds the ports that containers publish, splices what the kernel does not route, and answers DNS in the sandboxes of
 * user networks. One for a daemon's exec-root; it outlives the daemon, and ends when it has nothing to do.
 *   dockerd-netd listen IDENTITY EXEC-ROOT     descriptor 3 is a listening socket
 *   dockerd-netd take-over IDENTITY EXEC-ROOT  descriptor 3 is a connection to the one whose place it takes
 * The exec-root is there for who looks at the list of processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/loop.h"
#include "netd/box.h"
#include "netd/confine.h"
#include "netd/control.h"
#include "netd/enter.h"
#include "netd/flow.h"
#include "netd/forward.h"
#include "netd/list.h"
#include "netd/log.h"
#include "netd/ports.h"
#include "netd/stream.h"

#define START_FD     3
#define MAX_STREAMS  65536
#define MAX_FLOWS    16384
#define MAX_QUERIES  8192

static unsigned long number_in(const char *path)
{
	unsigned long n = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* As many descriptors as the kernel lets us have, and each kind of traffic its share, so that ports and resolvers have theirs. */
static void set_limits(void)
{
	struct rlimit r = { 1024, 1024 };
	unsigned long most = number_in("/proc/sys/fs/nr_open");
	size_t all;

	getrlimit(RLIMIT_NOFILE, &r);
	if (most > r.rlim_max) {
		const struct rlimit higher = { most, most };

		if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
			r = higher;
	}
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	getrlimit(RLIMIT_NOFILE, &r);
	all = r.rlim_cur;
	stream_set_limit(all / 4 < MAX_STREAMS ? all / 4 : MAX_STREAMS);
	flow_set_limit(all / 8 < MAX_FLOWS ? all / 8 : MAX_FLOWS);
	forward_set_limit(all / 8 < MAX_QUERIES ? all / 8 : MAX_QUERIES);
}

/* With it would go every published port. */
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
	int type = 0, listening = START_FD;
	bool taken = false;
	socklen_t size = sizeof(type);

	if (argc != 4 || (strcmp(argv[1], "listen") != 0 && strcmp(argv[1], "take-over") != 0) ||
	    getsockopt(START_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
		fprintf(stderr, "dockerd-netd is started by dockerd, not by hand\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	fcntl(START_FD, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "dockerd-netd");
	umask(077);
	set_limits();
	protect();
	if (loop_init() < 0 || enter_init() < 0 || chdir("/") < 0 || confine() < 0) {
		fprintf(stderr, "dockerd-netd: %s\n", strerror(errno));
		return 1;
	}
	if (strcmp(argv[1], "take-over") == 0) {
		listening = take_over_take(START_FD);
		if (listening < 0)
			return 1;
		close(START_FD);
		taken = true;
	}
	if (control_start(listening, argv[2]) < 0)
		return 1;
	if (taken)
		netd_log(LOG_INFO, "took over %zu ports with %zu connections, and %zu resolvers", ports_count(), stream_count(), box_count());
	loop_run();
	return 0;
}
