/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's switches of networks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"

#define PATH_SIZE 128
#define VALUE_SIZE 32

/* What is there, without its newline; -1 with errno. */
static int get(const char *path, char value[VALUE_SIZE])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), sys;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, value, VALUE_SIZE - 1);
	sys = errno;
	close(fd);
	errno = sys;
	if (n < 0)
		return -1;
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

static int set(const char *path, const char *value, struct br_error *e)
{
	char now[VALUE_SIZE];
	ssize_t n;
	int fd, rc = 0;

	if (get(path, now) < 0)
		return errno == ENOENT ? 0 : br_fail(e, errno, "read %s", path);
	if (strcmp(now, value) == 0)
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : write(fd, value, strlen(value));
	if (n < 0)
		rc = br_fail(e, errno, "write %s to %s", value, path);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int set_at(int family, const char *of, const char *name, const char *key, const char *value, struct br_error *e)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv%c/%s/%s/%s", family == V4 ? '4' : '6', of, name, key);
	return set(path, value, e);
}

int sysctl_conf(int family, const char *name, const char *key, const char *value, struct br_error *e)
{
	return set_at(family, "conf", name, key, value, e);
}

int sysctl_neigh(int family, const char *name, const char *key, const char *value, struct br_error *e)
{
	return set_at(family, "neigh", name, key, value, e);
}

int sysctl_bridges_filter(void)
{
	char now[VALUE_SIZE];

	return (get("/proc/sys/net/bridge/bridge-nf-call-iptables", now) == 0 && now[0] == '1') ||
		(get("/proc/sys/net/bridge/bridge-nf-call-ip6tables", now) == 0 && now[0] == '1');
}

static const char *forward_path(int family)
{
	return family == V4 ? "/proc/sys/net/ipv4/ip_forward" : "/proc/sys/net/ipv6/conf/all/forwarding";
}

int sysctl_forwards(int family, struct br_error *e)
{
	char now[VALUE_SIZE];

	if (get(forward_path(family), now) < 0)
		return br_fail(e, errno, "read %s", forward_path(family));
	return now[0] == '1';
}

/*
 * A host that forwards takes no more routers' advertisements, and would lose the way out that it has by them, unless an interface
 * says that it takes them all the same.
 */
static void keep_routers(void)
{
	struct if_nameindex *all = if_nameindex();
	struct br_error ignored;

	for (const struct if_nameindex *i = all; i && i->if_index; i++) {
		char path[PATH_SIZE], now[VALUE_SIZE];

		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", i->if_name);
		if (get(path, now) == 0 && strcmp(now, "1") == 0)
			set(path, "2", &ignored);
	}
	if_freenameindex(all);
}

/* IPv6 has a switch for interfaces to come, beside the one for those that are there. */
int sysctl_forward(int family, struct br_error *e)
{
	struct br_error why;

	if (family == V6)
		keep_routers();
	if (family == V6 && sysctl_conf(V6, "default", "forwarding", "1", e) < 0)
		return -1;
	if (set(forward_path(family), "1", &why) < 0)
		return br_fail(e, why.sys, "turn on IP forwarding");
	return 0;
}
