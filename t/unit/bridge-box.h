/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver "bridge" by its ABI, in a network namespace of the test's own that plays the host, with a world outside and
 * containers. All sockets are this process's: each belongs to the namespace in which it was made.
 */
#ifndef T_BRIDGE_BOX_H
#define T_BRIDGE_BOX_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dockerd/net.h"
#include "tap.h"

#define WAIT_MS 20000  /* for what must come; a busy machine is no failure */
#define NEVER_MS 150   /* for what must not */

static struct dkd_net *net;
static const struct dkd_net_ops *ops;
static int host_ns, world_ns;
static char failed[1024], logged[4096];
static uint32_t failed_class;
static const struct dkd_call call = { .size = sizeof(call), .cancel_fd = -1 };

static void box_log(const struct dkd_host *host, uint32_t level, const char *text)
{
	size_t at = strlen(logged);

	(void)host;
	(void)level;
	snprintf(logged + at, sizeof(logged) - at, "%s\n", text);
}

static int32_t box_fail(const struct dkd_host *host, const struct dkd_call *c, uint32_t class, int32_t sys, const char *text)
{
	(void)host;
	(void)c;
	(void)sys;
	failed_class = class;
	snprintf(failed, sizeof(failed), "%s", text);
	return -1;
}
static const struct dkd_host box_host = { .size = sizeof(box_host), .log = box_log, .fail = box_fail };

/* A command in a namespace; 0 when it succeeds. */
__attribute__((format(printf, 2, 3))) static int in(int ns, const char *fmt, ...)
{
	char command[2048];
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (setns(ns, CLONE_NEWNET) < 0)
		return -1;
	rc = system(command);
	setns(host_ns, CLONE_NEWNET);
	return rc;
}

/* What it says. */
__attribute__((format(printf, 3, 4), unused)) static char *says(char *ret, size_t size, const char *fmt, ...)
{
	char command[2048];
	va_list ap;
	size_t n = 0;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	f = popen(command, "r");
	if (f) {
		n = fread(ret, 1, size - 1, f);
		pclose(f);
	}
	ret[n] = '\0';
	return ret;
}

static int make_ns(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (host_ns)
		setns(host_ns, CLONE_NEWNET);
	return fd;
}

static void box_load(void)
{
	const char *dir = getenv("top_builddir");
	const struct dkd_driver *(*entry)(void);
	struct dkd_net_open open = { .size = sizeof(open), .root = "/nowhere", .exec_root = "/nowhere" };
	char path[512];
	void *so;

	snprintf(path, sizeof(path), "%s/plugins/net/.libs/bridge.so", dir ? dir : ".");
	so = dlopen(path, RTLD_NOW);
	*(void **)&entry = so ? dlsym(so, "dkd_driver_entry") : NULL;
	if (!ok(entry != NULL, "%s: %s", path, so ? "loaded" : dlerror()))
		exit(tap_done());
	ops = entry()->ops;
	is_int(ops->open(&call, &box_host, &open, &net), 0, "opened");
}

/* As a daemon that dies and comes back. */
__attribute__((unused)) static void box_reopen(void)
{
	struct dkd_net_open open = { .size = sizeof(open), .root = "/nowhere", .exec_root = "/nowhere" };

	ops->close(net);
	ops->open(&call, &box_host, &open, &net);
}

/* The host has 198.51.100.1, .9 and 2001:db8::1, the world .2 and ::2 and a way to containers by the host. */
static void box_start(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
		system("ip link set lo up && nft list tables >/dev/null 2>&1 && sysctl -qw net.ipv4.ip_forward=0 "
		"net.ipv6.conf.all.forwarding=0 net.ipv6.conf.default.forwarding=0") != 0) {
		printf("1..0 # SKIP needs root, network namespaces, ip and nft\n");
		exit(0);
	}
	host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	world_ns = make_ns();
	in(host_ns, "ip link add out type veth peer name world netns /proc/%d/fd/%d && ip addr add 198.51.100.1/24 dev out && "
		"ip addr add 198.51.100.9/24 dev out && ip link set out up && ip addr add 2001:db8::1/64 dev out nodad",
		getpid(), world_ns);
	in(world_ns, "ip link set lo up && ip addr add 198.51.100.2/24 dev world && ip link set world up && "
		"ip addr add 2001:db8::2/64 dev world nodad && ip route add 172.31.0.0/16 via 198.51.100.1 && "
		"ip route add fd00::/8 via 2001:db8::1");
	box_load();
}

struct box {
	const char *network, *id;
	const char *ip4, *ip6; /* without prefix length */
	int ns;
};

static char taken_gateway4[64], taken_gateway6[64], taken_prefix[16];
static uint32_t taken_flags;

static int32_t box_joined(void *to, const struct dkd_net_joined *j)
{
	snprintf(to, IFNAMSIZ, "%s", j->interface_name);
	snprintf(taken_gateway4, sizeof(taken_gateway4), "%s", j->gateway4 ? j->gateway4 : "");
	snprintf(taken_gateway6, sizeof(taken_gateway6), "%s", j->gateway6 ? j->gateway6 : "");
	snprintf(taken_prefix, sizeof(taken_prefix), "%s", j->interface_prefix);
	taken_flags = j->flags;
	return 0;
}

static int32_t box_pair(void *to, const char *key, const char *value)
{
	(void)to;
	(void)key;
	(void)value;
	return 0;
}

/* The daemon's part, too: names, addresses, routes. */
static int box_join(struct box *b, const struct dkd_pair *options, uint32_t options_len)
{
	char cidr4[64], cidr6[64], name[IFNAMSIZ] = "";
	struct dkd_net_endpoint ep = { .size = sizeof(ep), .network = b->network, .id = b->id, .options = options,
		.options_len = options_len };
	struct dkd_net_join j = { .size = sizeof(j), .network = b->network, .endpoint = b->id, .container = b->id,
		.sandbox_userns_fd = -1,
		.options = options, .options_len = options_len };

	if (!b->ns)
		b->ns = make_ns();
	snprintf(cidr4, sizeof(cidr4), "%s/24", b->ip4 ? b->ip4 : "");
	snprintf(cidr6, sizeof(cidr6), "%s/64", b->ip6 ? b->ip6 : "");
	ep.ipv4 = b->ip4 ? cidr4 : NULL;
	ep.ipv6 = b->ip6 ? cidr6 : NULL;
	j.sandbox_fd = b->ns;
	if (ops->create_endpoint(&call, net, &ep, box_pair, NULL) < 0 || ops->join(&call, net, &j, box_joined, name) < 0)
		return -1;
	in(b->ns, "ip link set lo up; ip link set %s name eth0; ip link set eth0 up", name);
	if (b->ip4)
		in(b->ns, "ip addr add %s dev eth0", cidr4);
	if (b->ip6)
		in(b->ns, "ip addr add %s dev eth0 nodad", cidr6);
	if (*taken_gateway4)
		in(b->ns, "ip route add default via %s", taken_gateway4);
	if (*taken_gateway6)
		in(b->ns, "ip route add default via %s", taken_gateway6);
	return 0;
}

static int make_network(const char *id, uint32_t flags, const char *subnet4, const char *gateway4, const char *subnet6,
	const char *gateway6,
	const struct dkd_pair *options, uint32_t options_len)
{
	struct dkd_net_pool pools[2] = { { .size = sizeof(pools[0]) }, { .size = sizeof(pools[0]) } };
	struct dkd_net_network w = { .size = sizeof(w), .id = id, .name = "n", .pools = pools, .options = options,
		.options_len = options_len };

	w.flags = flags | (subnet4 ? DKD_NET_IPV4 : 0) | (subnet6 ? DKD_NET_IPV6 : 0);
	if (subnet4)
		pools[w.pools_len++] = (struct dkd_net_pool){ .size = sizeof(pools[0]), .subnet = subnet4, .gateway = gateway4 };
	if (subnet6)
		pools[w.pools_len++] = (struct dkd_net_pool){ .size = sizeof(pools[0]), .subnet = subnet6, .gateway = gateway6 };
	return ops->create_network(&call, net, &w);
}

static int publish(const struct box *b, uint32_t flags, const struct dkd_net_port *ports, uint32_t len)
{
	struct dkd_net_publish p = { .size = sizeof(p), .flags = flags, .network = b->network, .endpoint = b->id,
		.ports = ports, .ports_len = len };
	char cidr4[64], cidr6[64];

	snprintf(cidr4, sizeof(cidr4), "%s/24", b->ip4 ? b->ip4 : "");
	snprintf(cidr6, sizeof(cidr6), "%s/64", b->ip6 ? b->ip6 : "");
	p.ipv4 = b->ip4 ? cidr4 : NULL;
	p.ipv6 = b->ip6 ? cidr6 : NULL;
	return ops->program_ports(&call, net, &p);
}
#define PORT(p, ip, from, to, n) \
	{ .size = sizeof(struct dkd_net_port), .proto = (p), .host_ip = (ip), .host_port = (from), .port = (to), .count = (n) }

static socklen_t address_of(const char *text, int port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (void *)ret;
	struct sockaddr_in6 *a6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &a4->sin_addr) == 1) {
		a4->sin_family = AF_INET;
		a4->sin_port = htons((uint16_t)port);
		return sizeof(*a4);
	}
	inet_pton(AF_INET6, text, &a6->sin6_addr);
	a6->sin6_family = AF_INET6;
	a6->sin6_port = htons((uint16_t)port);
	return sizeof(*a6);
}

/* A socket of a namespace, bound when text is not NULL, listening when it is a stream's. */
static int serve(int ns, int type, const char *text, int port)
{
	struct sockaddr_storage a;
	socklen_t size = address_of(text, port, &a);
	int fd, one = 1;

	setns(ns, CLONE_NEWNET);
	fd = socket(a.ss_family, type | SOCK_CLOEXEC, 0);
	setns(host_ns, CLONE_NEWNET);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (void *)&a, size) < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0)) {
		printf("# serve %s %d: %s\n", text, port, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static int wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1 && p.revents & events;
}

static char peer[64]; /* who the server saw */

static void see_peer(const struct sockaddr_storage *a)
{
	const void *b = a->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr :
		&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;

	inet_ntop(a->ss_family, b, peer, sizeof(peer));
}

/* With a reset: no namespace shall outlive its test for a connection that was cut off. */
static void cut(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Whether a connection from the namespace comes out at the server, and bytes go both ways. */
static int talks_ms(int ns, const char *to, int port, int server, int ms)
{
	struct sockaddr_storage a, from;
	socklen_t size = address_of(to, port, &a), from_size = sizeof(from);
	int fd, got = -1, good = 0;
	char c = 0;

	*peer = '\0';
	setns(ns, CLONE_NEWNET);
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setns(host_ns, CLONE_NEWNET);
	if ((connect(fd, (void *)&a, size) == 0 || errno == EINPROGRESS) && wait_for(fd, POLLOUT, ms) &&
	    send(fd, "x", 1, MSG_NOSIGNAL) == 1 && wait_for(server, POLLIN, ms))
		got = accept4(server, (void *)&from, &from_size, SOCK_CLOEXEC);
	if (got >= 0) {
		see_peer(&from);
		good = wait_for(got, POLLIN, ms) && recv(got, &c, 1, 0) == 1 && c == 'x' && send(got, "y", 1,
			MSG_NOSIGNAL) == 1 &&
			wait_for(fd, POLLIN, ms) && recv(fd, &c, 1, 0) == 1 && c == 'y';
		cut(got);
	}
	cut(fd);
	return good;
}
static int talks(int ns, const char *to, int port, int server)
{
	return talks_ms(ns, to, port, server, WAIT_MS);
}
static int is_deaf(int ns, const char *to, int port, int server)
{
	return !talks_ms(ns, to, port, server, NEVER_MS);
}

/* The same by datagrams. */
__attribute__((unused)) static int talks_udp(int ns, const char *to, int port, int server, int ms)
{
	struct sockaddr_storage a, from;
	socklen_t size = address_of(to, port, &a), from_size = sizeof(from);
	char c = 0;
	int fd, good;

	*peer = '\0';
	setns(ns, CLONE_NEWNET);
	fd = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setns(host_ns, CLONE_NEWNET);
	good = connect(fd, (void *)&a, size) == 0 && send(fd, "x", 1, 0) == 1 && wait_for(server, POLLIN, ms) &&
		recvfrom(server, &c, 1, 0, (void *)&from, &from_size) == 1;
	if (good) {
		see_peer(&from);
		good = sendto(server, "y", 1, 0, (void *)&from, from_size) == 1 && wait_for(fd, POLLIN, ms) && recv(fd,
			&c, 1, 0) == 1 && c == 'y';
	}
	close(fd);
	return good;
}

static uint32_t crc32c(const uint8_t *data, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return ~crc;
}

/*
 * Sends the beginning of an SCTP association; the port that it comes to in the other namespace, 0 for none. Kernels need no
 * SCTP for that.
 */
__attribute__((unused)) static int sctp_arrives(int from, const char *to, int port, int ns, int ms)
{
	uint8_t init[12 + 20] = { 0x30, 0x39, (uint8_t)(port >> 8), (uint8_t)port, [12] = 1, [15] = 20, [19] = 1,
		[20] = 0, 0, 0xff, 0xff, 0, 1, 0, 1, [31] = 1 };
	struct sockaddr_storage a;
	socklen_t size = address_of(to, 0, &a);
	uint8_t got[256];
	uint32_t crc;
	int out, in, came = 0;

	crc = crc32c(init, sizeof(init));
	for (int i = 0; i < 4; i++)
		init[8 + i] = (uint8_t)(crc >> (8 * i));
	setns(ns, CLONE_NEWNET);
	in = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP);
	setns(from, CLONE_NEWNET);
	out = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP);
	setns(host_ns, CLONE_NEWNET);
	if (sendto(out, init, sizeof(init), 0, (void *)&a, size) == (ssize_t)sizeof(init) && wait_for(in, POLLIN, ms) &&
	    recv(in, got, sizeof(got), 0) >= 20 + 12)
		came = got[20 + 2] << 8 | got[20 + 3];
	close(in);
	close(out);
	return came;
}

__attribute__((unused)) static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

#endif
