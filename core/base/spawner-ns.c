/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network and user namespaces, made and entered by the spawner. */
#include "base/spawner-ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/sanitized.h"

/* New interfaces of this namespace have no IPv6, which a network that has it turns on. A kernel without it is fine. */
static void no_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, "1", 1);
		close(fd);
	}
}

/* It is bound to no protocol: it hears nothing. */
static int packet_socket(uint32_t wanted)
{
	return wanted ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : -1;
}

/*
 * A helper's helper: goes into namespaces, or makes them, and waits with them until it is killed. Its pid, or -1 with errno. From a
 * process that has nothing but its own memory to lose: it ends with _exit(0) in any case.
 */
static pid_t stand_in(int (*go)(int arg), int arg)
{
	int ready[2], sys = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = SANITIZED_FORK();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sys = go(arg) < 0 ? errno : 0;
		(void)!write(ready[1], &sys, sizeof(sys));
		while (!sys)
			pause();
		_exit(0);
	}
	close(ready[1]);
	n = pid < 0 ? 0 : read(ready[0], &sys, sizeof(sys));
	close(ready[0]);
	if (pid > 0 && (n != sizeof(sys) || sys)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		errno = n == sizeof(sys) ? sys : EIO;
		return -1;
	}
	return pid;
}

static void stand_down(pid_t pid)
{
	int sys = errno;

	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = sys;
}

static int open_ns(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, what);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int go_owned(int userns)
{
	return setns(userns, CLONE_NEWUSER) < 0 ? -1 : unshare(CLONE_NEWNET);
}

/* Into a new network namespace that belongs to userns. The rights of the host's root stay: they are what the rest takes. */
static int enter_owned_net(int userns)
{
	pid_t pid = stand_in(go_owned, userns);
	int fd, rc;

	if (pid < 0)
		return -1;
	fd = open_ns(pid, "net");
	rc = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);
	stand_down(pid);
	return rc;
}

static int go_userns(int arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER);
}

static int write_map(pid_t pid, const char *what, const char *text)
{
	size_t size = strlen(text);
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s_map", (int)pid, what);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* the kernel takes a map in one piece, or not at all */
	n = write(fd, text, size);
	close(fd);
	return n == (ssize_t)size ? 0 : -1;
}

int spawner_make_userns(const char *strings, int requester)
{
	pid_t pid = stand_in(go_userns, 0);
	int fd = -1;

	if (pid < 0)
		return errno;
	if (write_map(pid, "uid", strings) == 0 && write_map(pid, "gid", strings + strlen(strings) + 1) == 0)
		fd = open_ns(pid, "user");
	stand_down(pid);
	if (fd < 0)
		return errno;
	spawner_reply(requester, 0, 0, getpid(), fd, NULL);
	return 0;
}

/*
 * In a child of its own: a new network namespace with lo up, kept alive by a bind mount. The answer, with a socket made
 * inside, goes out from here; that of the parent, after the child's end, finds nobody who listens.
 */
int spawner_make_netns(const char *path, int userns, uint32_t packet, int requester)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444), rtnl, sys;

	if (fd < 0)
		return errno;
	close(fd);
	if ((userns < 0 ? unshare(CLONE_NEWNET) : enter_owned_net(userns)) < 0)
		goto fail;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		goto fail;
	ifr.ifr_flags |= IFF_UP;
	no_ipv6();
	rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (rtnl < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 || mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		goto fail;
	spawner_reply_two(requester, 0, 0, getpid(), rtnl, packet_socket(packet), NULL);
	return 0;
fail:
	sys = errno;
	unlink(path);
	return sys;
}

/* "net/...=value", below /proc/sys; the namespace is this process's. */
static int set_sysctl(char *entry)
{
	char path[256], *value = strchr(entry, '=');
	size_t size;
	ssize_t n;
	int fd;

	if (!value || strncmp(entry, "net/", 4) != 0 || strstr(entry, "..") ||
	    snprintf(path, sizeof(path), "/proc/sys/%.*s", (int)(value - entry), entry) >= (int)sizeof(path))
		return EINVAL;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno;
	size = strlen(++value);
	n = write(fd, value, size);
	close(fd);
	return n == (ssize_t)size ? 0 : n < 0 ? errno : EIO;
}

int spawner_enter_netns(char *strings, uint32_t sysctls, uint32_t packet, int requester)
{
	int fd = open(strings, O_RDONLY | O_CLOEXEC), sys;
	char *at = strings;

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return errno;
	for (uint32_t i = 0; i < sysctls; i++) {
		at += strlen(at) + 1;
		if ((sys = set_sysctl(at))) {
			spawner_reply(requester, sys, (int)i + 1, getpid(), -1, NULL);
			return 0;
		}
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return errno;
	spawner_reply_two(requester, 0, 0, getpid(), fd, packet_socket(packet), NULL);
	return 0;
}

/* Without sysctls, which may have to wait, there is nothing in it that takes longer than a child's birth: no child. */
void spawner_visit_netns(const char *path, uint32_t packet, int requester)
{
	OWN_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = open(path, O_RDONLY | O_CLOEXEC);
	OWN_FD int rtnl = -1, heard = -1;
	int sys;

	if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
		spawner_reply(requester, errno, 0, 0, -1, NULL);
		return;
	}
	rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	sys = rtnl < 0 ? errno : 0;
	heard = sys ? -1 : packet_socket(packet);
	BUG_ON(setns(home, CLONE_NEWNET) < 0);
	spawner_reply_two(requester, sys, 0, getpid(), rtnl, heard, NULL);
}

int spawner_drop_netns(const char *path)
{
	/* EINVAL: no mount point (the machine was restarted), the file alone is left */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return errno;
	return unlink(path) < 0 && errno != ENOENT ? errno : 0;
}
