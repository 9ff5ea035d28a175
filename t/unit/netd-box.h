/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-netd under test: the program of the build, in a network namespace of the test's own, with sandboxes beside it. Sockets
 * inside a sandbox are made by stepping into it for a moment.
 */
#ifndef T_NETD_BOX_H
#define T_NETD_BOX_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "network/netd.h"
#include "tap.h"

#define PATIENCE_MS 20000

static char nb_root[] = "/tmp/dkd-netd-XXXXXX";
static char *nb_program;
static struct spawner *nb_spawner;
static int nb_home = -1;

static void nb_lo_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	OWN_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ioctl(fd, SIOCSIFFLAGS, &r);
}

/* False: not as root; the reason is told. */
static bool nb_begin(void)
{
	OWN_ERR struct err err = ERR_INIT;
	const char *build = getenv("top_builddir");

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root and network namespaces\n");
		return false;
	}
	nb_lo_up();
	nb_home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	nb_program = xasprintf("%s/dockerd-netd", build ? build : ".");
	nb_spawner = spawner_start(&err);
	if (!mkdtemp(nb_root) || !nb_spawner) {
		printf("Bail out! %s\n", err_text(&err));
		return false;
	}
	return true;
}

static void nb_end(void)
{
	OWN_ERR struct err err = ERR_INIT;

	spawner_stop(nb_spawner);
	fs_remove_tree(AT_FDCWD, nb_root, &err);
	free(nb_program);
	fd_close(&nb_home);
}

__attribute__((unused)) static char *nb_netns(const char *name)
{
	OWN_ERR struct err err = ERR_INIT;
	char *path = xasprintf("%s/ns-%s", nb_root, name);

	if (spawner_netns(nb_spawner, path, -1, NULL, &err) < 0)
		printf("Bail out! %s\n", err_text(&err));
	return path;
}

__attribute__((unused)) static void nb_netns_drop(char *path)
{
	spawner_netns_drop(nb_spawner, path, NULL);
	free(path);
}

/* A socket in a namespace; path NULL: at home. */
__attribute__((unused)) static int nb_socket(const char *path, int domain, int type)
{
	const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	OWN_FD int ns = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	int fd;

	if (path && (ns < 0 || setns(ns, CLONE_NEWNET) < 0))
		return -1;
	fd = socket(domain, type | SOCK_CLOEXEC, 0);
	if (path)
		setns(nb_home, CLONE_NEWNET);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

struct nb_address {
	union { struct sockaddr sa; struct sockaddr_in in; struct sockaddr_in6 in6; };
	socklen_t size;
};

__attribute__((unused)) static struct nb_address nb_address(const char *ip, unsigned port)
{
	struct nb_address a = { .size = sizeof(a.in) };

	a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	if (inet_pton(AF_INET, ip, &a.in.sin_addr) == 1)
		return a;
	a.size = sizeof(a.in6);
	a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	inet_pton(AF_INET6, ip, &a.in6.sin6_addr);
	return a;
}

__attribute__((unused)) static int nb_connect(const char *path, const char *ip, unsigned port, int type)
{
	struct nb_address a = nb_address(ip, port);
	int fd = nb_socket(path, a.sa.sa_family, type);

	if (connect(fd, &a.sa, a.size) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Bound, and listening for a stream. */
__attribute__((unused)) static int nb_bind(const char *path, const char *ip, unsigned port, int type)
{
	struct nb_address a = nb_address(ip, port);
	int fd = nb_socket(path, a.sa.sa_family, type), on = 1, sys;

	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &a.sa, a.size) == 0 && (type != SOCK_STREAM || listen(fd, 64) == 0))
		return fd;
	sys = errno;
	close(fd);
	errno = sys;
	return -1;
}

__attribute__((unused)) static unsigned nb_port(int fd)
{
	struct sockaddr_in6 a;
	socklen_t size = sizeof(a);

	getsockname(fd, (struct sockaddr *)&a, &size);
	return ntohs(a.sin6_port);
}

/* Waits until the condition of a process is there, or patience is at its end. */
#define NB_WAIT(cond) ({ \
	int64_t until_ = clock_mono() + PATIENCE_MS * (NSEC_PER_SEC / 1000); \
	while (!(cond) && clock_mono() < until_) \
		usleep(5000); \
	(cond); })

__attribute__((unused)) static bool nb_gone(pid_t pid)
{
	OWN_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char stat[512];
	ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);

	if (n <= 0)
		return true;
	stat[n] = '\0';
	return strrchr(stat, ')') && strrchr(stat, ')')[2] == 'Z';
}

#endif
