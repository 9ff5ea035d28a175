/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What options make of bridge networks, with packets: gateway modes, internal networks, links, addresses towards the world,
 * rates.
 */
#include "bridge-box.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define E(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define BR "com.docker.network.bridge."
#define MAX 8

static struct box one = { A, E("1"), "172.31.1.2", "fd00:1::2", 0 };
static struct box two = { A, E("2"), "172.31.1.3", "fd00:1::3", 0 };
static struct box three = { A, E("3"), "172.31.1.4", "fd00:1::4", 0 };
static int web4, web6, closed4, two80, two81, two6;
static const struct dkd_net_port ports[] = {
	PORT(DKD_NET_TCP, "0.0.0.0", 8080, 80, 1), PORT(DKD_NET_TCP, "::", 8080, 80, 1),
};
static const struct dkd_net_port overlapping[] = {
	PORT(DKD_NET_TCP, "0.0.0.0", 0, 81, 10), PORT(DKD_NET_TCP, "0.0.0.0", 0, 79, 4), PORT(DKD_NET_TCP, "0.0.0.0",
		8080, 81, 1),
};
static const struct dkd_net_port open_ports[] = { PORT(DKD_NET_TCP, "0.0.0.0", 0, 80, 1), PORT(DKD_NET_TCP, "::", 0, 80, 1) };

/* A network of these options, with the three of this file on it. */
static int make(uint32_t flags, const struct dkd_pair *options)
{
	struct dkd_pair all[MAX + 1] = { { BR "name", "bra" } };
	struct box *boxes[] = { &one, &two, &three };
	uint32_t len = 1;
	int rc;

	*failed = *logged = '\0';
	for (; options && options->key; options++)
		all[len++] = *options;
	rc = make_network(A, flags, "172.31.1.0/24", "172.31.1.1", "fd00:1::/64", "fd00:1::1", all, len);
	for (size_t i = 0; rc == 0 && i < 3; i++) {
		boxes[i]->ns = 0;
		rc = box_join(boxes[i], NULL, 0);
	}
	if (rc < 0)
		return rc;
	web4 = serve(one.ns, SOCK_STREAM, "0.0.0.0", 80);
	web6 = serve(one.ns, SOCK_STREAM, "::", 80);
	closed4 = serve(one.ns, SOCK_STREAM, "0.0.0.0", 81);
	two80 = serve(two.ns, SOCK_STREAM, "0.0.0.0", 80);
	two81 = serve(two.ns, SOCK_STREAM, "0.0.0.0", 81);
	two6 = serve(two.ns, SOCK_STREAM, "::", 80);
	return 0;
}

static void drop(void)
{
	const int fds[] = { web4, web6, closed4, two80, two81, two6, one.ns, two.ns, three.ns };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	is_int(ops->delete_network(&call, net, A), 0, "it goes: %s", failed);
	system("for i in 1 2 3 4 5 8 9; do ip link del veth$i$i$i$i$i$i$i$i$i$i$i 2>/dev/null; done");
}
#define OPTIONS(...) ((const struct dkd_pair[]){ __VA_ARGS__, { NULL, NULL } })

static void test_routed(void)
{
	if (!ok(make(0, OPTIONS({ BR "gateway_mode_ipv4", "routed" }, { BR "gateway_mode_ipv6", "routed" })) == 0,
		"routed: %s", failed))
		return;
	int world4 = serve(world_ns, SOCK_STREAM, "198.51.100.2", 80);

	is_int(publish(&one, 0, open_ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, one.ip4, 80, web4), "a container's port at its own address");
	ok(talks(world_ns, one.ip6, 80, web6), "of both families");
	ok(is_deaf(world_ns, one.ip4, 81, closed4), "no other port");
	ok(is_deaf(world_ns, two.ip4, 80, two80), "no other container");
	ok(in(world_ns, "busybox ping -c 1 -W 2 %s >/dev/null", two.ip4) == 0, "but echoes are answered");
	ok(talks(one.ns, "198.51.100.2", 80, world4), "the world is reached");
	is_str(peer, one.ip4, "with the container's address");
	is_int(publish(&one, 0, overlapping, 3), 0, "ports more than once: %s", failed);
	ok(talks(world_ns, one.ip4, 80, web4) && talks(world_ns, one.ip4, 81, closed4), "are open");
	is_int(publish(&one, 0, ports, 2), 0, "ports of the host: %s", failed);
	ok(is_deaf(world_ns, one.ip4, 81, closed4), "in place of those");
	ok(is_deaf(world_ns, "198.51.100.1", 8080, web4), "are not there");
	ok(talks(world_ns, one.ip4, 80, web4), "but the container's");
	close(world4);
	drop();
	ok(make(0, OPTIONS({ BR "gateway_mode_ipv6", "routed" })) == 0, "one family routed: %s", failed);
	is_int(publish(&one, 0, ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4) && is_deaf(world_ns, one.ip4, 80, web4), "the other is translated");
	ok(is_deaf(world_ns, "2001:db8::1", 8080, web6) && talks(world_ns, one.ip6, 80, web6), "this one is not");
	drop();
}

static void test_unprotected(void)
{
	ok(make(0, OPTIONS({ BR "gateway_mode_ipv4", "nat-unprotected" })) == 0, "nat-unprotected: %s", failed);
	is_int(publish(&one, 0, ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "published");
	ok(talks(world_ns, one.ip4, 81, closed4), "and every port by the container's address");
	ok(is_deaf(world_ns, one.ip6, 80, web6), "not so in the other family");
	drop();
	ok(make(0, OPTIONS({ BR "trusted_host_interfaces", "nosuch:out" })) == 0, "a trusted interface: %s", failed);
	is_int(publish(&one, 0, ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, one.ip4, 80, web4) && talks(world_ns, one.ip6, 80, web6),
		"reaches published ports at the container's address");
	ok(is_deaf(world_ns, one.ip4, 81, closed4), "and no others");
	drop();
	ok(make(0, OPTIONS({ "dockerd.allow_direct_routing", "true" })) == 0, "direct routing: %s", failed);
	is_int(publish(&one, 0, ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, one.ip4, 80, web4) && is_deaf(world_ns, one.ip4, 81, closed4), "is the same for all interfaces");
	drop();
	ok(make(0, OPTIONS({ "dockerd.accept_fwmark", "0x10/0xf0" })) == 0, "a mark: %s", failed);
	ok(is_deaf(world_ns, one.ip4, 81, closed4), "what has none does not pass");
	system("nft 'add table ip mine; add chain ip mine pre { type filter hook prerouting priority -150; }; add rule ip mine pre tcp dport 81 meta mark set 0x12'");
	ok(talks(world_ns, one.ip4, 81, closed4), "what has it does");
	system("nft delete table ip mine");
	drop();
}

static void test_internal(void)
{
	int world4 = serve(world_ns, SOCK_STREAM, "198.51.100.2", 80), host;

	ok(make(DKD_NET_INTERNAL, NULL) == 0, "internal: %s", failed);
	ok(!*taken_gateway4 && !*taken_gateway6 && taken_flags & DKD_NET_NO_GATEWAY, "no way out");
	ok(talks(one.ns, two.ip4, 80, two80) && talks(one.ns, two.ip6, 80, two6), "containers talk");
	in(one.ns, "ip route add default via 172.31.1.1");
	ok(is_deaf(one.ns, "198.51.100.2", 80, world4), "not even one that makes itself a way out gets there");
	ok(is_deaf(world_ns, one.ip4, 80, web4), "nor in");
	host = serve(host_ns, SOCK_STREAM, "172.31.1.1", 999);
	ok(talks(one.ns, "172.31.1.1", 999, host), "the bridge is there");
	close(host);
	drop();
	ok(make(DKD_NET_INTERNAL, OPTIONS({ BR "gateway_mode_ipv4", "isolated" }, { BR "gateway_mode_ipv6",
		"isolated" })) == 0, "isolated: %s", failed);
	ok(talks(one.ns, two.ip4, 80, two80), "containers talk");
	ok(system("ip -o addr show dev bra scope global | grep -q .") != 0, "the bridge has no address");
	drop();
	close(world4);
}

static void test_links(void)
{
	static const struct dkd_net_port to_two[] = { PORT(DKD_NET_TCP, NULL, 0, 80, 1) };
	const struct dkd_net_link links[] = {
		{ .size = sizeof(links[0]), .from = one.ip4, .to = two.ip4, .ports = to_two, .ports_len = 1 },
		{ .size = sizeof(links[0]), .from = one.ip6, .to = two.ip6, .ports = to_two, .ports_len = 1 },
	};

	struct box four = { A, E("4"), "172.31.1.5", NULL, 0 };
	int proxy;

	ok(make(0, OPTIONS({ BR "enable_icc", "false" })) == 0, "icc=false: %s", failed);
	ok(is_deaf(one.ns, two.ip4, 80, two80) && is_deaf(one.ns, two.ip6, 80, two6), "containers do not talk");
	is_int(publish(&two, 0, ports, 2), 0, "ports: %s", failed);
	proxy = serve(host_ns, SOCK_STREAM, "0.0.0.0", 8080);
	ok(talks(one.ns, "198.51.100.1", 8080, proxy), "published ports are the proxy's for them");
	ok(talks(world_ns, "198.51.100.1", 8080, two80), "not for others");
	close(proxy);
	in(one.ns, "ip neigh flush dev eth0");
	is_int(ops->program_links(&call, net, A, one.id, links, 2), 0, "a link: %s", failed);
	in(one.ns, "ip neigh flush dev eth0; ip -6 neigh flush dev eth0");
	ok(talks(one.ns, two.ip4, 80, two80), "is a way");
	is_str(peer, one.ip4, "that shows who comes");
	ok(talks(one.ns, two.ip6, 80, two6), "by IPv6, too");
	ok(is_deaf(one.ns, two.ip4, 81, two81), "to its ports only");
	ok(is_deaf(three.ns, two.ip4, 80, two80), "for that container only");
	ok(is_deaf(two.ns, one.ip4, 80, web4), "in that direction only");
	system("ip link del bra");
	is_int(box_join(&four, NULL, 0), 0, "a bridge that is made anew: %s", failed);
	in(one.ns, "ip neigh flush dev eth0");
	ok(talks(one.ns, two.ip4, 80, two80) && is_deaf(three.ns, two.ip4, 80, two80), "and its links with it");
	close(four.ns);
	is_int(ops->program_links(&call, net, A, one.id, NULL, 0), 0, "taken back");
	ok(is_deaf(one.ns, two.ip4, 80, two80), "no way any more");
	ops->program_links(&call, net, A, one.id, links, 2);
	is_int(ops->leave(&call, net, A, one.id), 0, "it leaves");
	ok(is_deaf(one.ns, two.ip4, 80, two80), "and its links with it");
	drop();
	ok(make(0, OPTIONS({ BR "enable_icc", "false" }, { "dockerd.userland_proxy", "false" })) == 0,
		"icc=false without a proxy: %s", failed);
	is_int(publish(&two, DKD_NET_LOCALHOST, ports, 2), 0, "ports: %s", failed);
	ok(is_deaf(one.ns, two.ip4, 80, two80) && is_deaf(one.ns, two.ip6, 80, two6), "containers do not talk");
	ok(talks(one.ns, "198.51.100.1", 8080, two80) && talks(two.ns, "198.51.100.1", 8080, two80), "but by published ports");
	ok(talks(host_ns, "127.0.0.1", 8080, two80), "and the host does by its loopback");
	drop();
}

static void test_sources(void)
{
	static const struct dkd_pair own[] = { { "com.docker.network.host_ipv4", "198.51.100.1" } };
	static const struct dkd_pair bad[] = { { "com.docker.network.host_ipv4", "fd00::1" } };
	struct box four = { A, E("4"), "172.31.1.5", NULL, 0 }, five = { A, E("5"), "172.31.1.6", NULL, 0 };
	int world4 = serve(world_ns, SOCK_STREAM, "198.51.100.2", 80);

	ok(make(0, OPTIONS({ "com.docker.network.host_ipv4", "198.51.100.9" })) == 0, "an address towards the world: %s", failed);
	ok(talks(one.ns, "198.51.100.2", 80, world4), "the world");
	is_str(peer, "198.51.100.9", "sees it");
	is_int(box_join(&four, own, 1), 0, "a container with one of its own: %s", failed);
	ok(talks(four.ns, "198.51.100.2", 80, world4), "the world");
	is_str(peer, "198.51.100.1", "sees that");
	is_int(box_join(&five, bad, 1), -1, "one of the other family");
	ok(failed_class == DKD_ERR_INVALID && strstr(failed,
		"failed to parse com.docker.network.host_ipv4 value: fd00::1"), "is refused: %s", failed);
	is_int(ops->delete_endpoint(&call, net, A, four.id), 0, "without it");
	ok(talks(four.ns, "198.51.100.2", 80, world4), "the world");
	is_str(peer, "198.51.100.9", "sees the network's");
	close(four.ns);
	drop();
	ok(make(0, OPTIONS({ BR "enable_ip_masquerade", "false" })) == 0, "no masquerading: %s", failed);
	ok(talks(one.ns, "198.51.100.2", 80, world4), "the world");
	is_str(peer, one.ip4, "sees the container");
	drop();
	close(world4);
}

/* What the host's own rules say of its ports is said of published ones, too: they are a proxy's. */
static void test_host_policy(void)
{
	int proxy;

	ok(make(0, OPTIONS({ "dockerd.publish_policy", "host" }, { "dockerd.accept_fwmark", "0x10" })) == 0,
		"behind the host's own rules: %s", failed);
	is_int(publish(&one, 0, ports, 2), 0, "ports: %s", failed);
	proxy = serve(host_ns, SOCK_STREAM, "0.0.0.0", 8080);
	ok(talks(world_ns, "198.51.100.1", 8080, proxy), "are the proxy's");
	system("nft 'add table ip mine; add chain ip mine in { type filter hook input priority 0; }; add rule ip mine in iifname out tcp dport 8080 drop'");
	ok(is_deaf(world_ns, "198.51.100.1", 8080, proxy) && is_deaf(world_ns, "198.51.100.1", 8080, web4),
		"and a host that takes in nothing there shuts them");
	system("nft 'add chain ip mine pre { type filter hook prerouting priority -150; }; add rule ip mine pre ip saddr 198.51.100.2 meta mark set 0x10'");
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "what carries the mark goes to the container");
	is_str(peer, "198.51.100.2", "which sees who comes");
	system("nft delete table ip mine");
	close(proxy);
	drop();
}

static void test_ipv6_only(void)
{
	static const struct dkd_pair name[] = { { BR "name", "br6" }, { "com.docker.network.container_iface_prefix", "lan" } };
	struct box six = { B, E("6"), NULL, "fd00:6::2", 0 };
	int web, world6 = serve(world_ns, SOCK_STREAM, "2001:db8::2", 80);

	is_int(make_network(B, 0, NULL, NULL, "fd00:6::/64", "fd00:6::1", name, 2), 0, "IPv6 alone: %s", failed);
	is_int(box_join(&six, NULL, 0), 0, "a container: %s", failed);
	is_str(taken_prefix, "lan", "its interface's name by the network's option");
	ok(system("nft list tables | grep -q 'ip dockerd-br6'") != 0, "no table of IPv4");
	ok(talks(six.ns, "2001:db8::2", 80, world6), "the world is reached");
	web = serve(six.ns, SOCK_STREAM, "::", 80);
	is_int(publish(&six, 0, ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, "2001:db8::1", 8080, web), "and reaches them");
	close(web);
	close(world6);
	close(six.ns);
	is_int(ops->delete_network(&call, net, B), 0, "it goes");
}

static void refused(const struct dkd_pair *options, uint32_t flags, uint32_t class, const char *text)
{
	uint32_t len = 0;

	while (options[len].key)
		len++;
	*failed = '\0';
	is_int(make_network(A, flags, "172.31.1.0/24", "172.31.1.1", NULL, NULL, options, len), -1, "refused: %s", text);
	is_str(failed, text, "in these words");
	is_int(failed_class, class, "as what it is");
}

static void test_refusals(void)
{
	static const struct dkd_pair rate_bad[] = { { "com.docker.network.endpoint.rate", "fast" } };
	struct dkd_net_pool two_pools[2] = { { .size = sizeof(two_pools[0]), .subnet = "10.1.0.0/24" },
		{ .size = sizeof(two_pools[0]), .subnet = "10.2.0.0/24" } };
	struct dkd_net_network w = { .size = sizeof(w), .id = B, .name = "n", .flags = DKD_NET_IPV4, .pools = two_pools,
		.pools_len = 2 };

	refused(OPTIONS({ BR "enable_icc", "foo" }), 0, DKD_ERR_INVALID,
		"failed to parse com.docker.network.bridge.enable_icc value: foo (strconv.ParseBool: parsing \"foo\": invalid syntax)");
	refused(OPTIONS({ "com.docker.network.driver.mtu", "foo" }), 0, DKD_ERR_INVALID,
		"failed to parse com.docker.network.driver.mtu value: foo (strconv.Atoi: parsing \"foo\": invalid syntax)");
	refused(OPTIONS({ "com.docker.network.driver.mtu", "-5" }), 0, DKD_ERR_INVALID, "invalid MTU number: -5");
	refused(OPTIONS({ BR "host_binding_ipv4", "foo" }), 0, DKD_ERR_INVALID,
		"failed to parse com.docker.network.bridge.host_binding_ipv4 value: foo (nil ip)");
	refused(OPTIONS({ BR "gateway_mode_ipv4", "foo" }), 0, DKD_ERR_INVALID,
		"failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: foo (unknown gateway mode foo)");
	refused(OPTIONS({ BR "gateway_mode_ipv4", "isolated" }), 0, DKD_ERR_INVALID,
		"failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: isolated (only internal networks can be isolated)");
	refused(OPTIONS({ BR "name", "a/b" }), 0, DKD_ERR_INVALID, "invalid name of a bridge: a/b");
	refused(OPTIONS({ BR "trusted_host_interfaces", "a::b c" }), 0, DKD_ERR_INVALID,
		"failed to parse com.docker.network.bridge.trusted_host_interfaces value: a::b c (names of interfaces with colons between them are wanted)");
	refused(OPTIONS({ "dockerd.accept_fwmark", "1/0" }), 0, DKD_ERR_INVALID, "invalid firewall mark: 1/0");
	refused(OPTIONS({ "dockerd.publish_policy", "ajar" }), 0, DKD_ERR_INVALID,
		"unknown policy of published ports: ajar (open and host are known)");
	refused(OPTIONS({ "dockerd.publish_policy", "host" }, { "dockerd.userland_proxy", "false" }), 0, DKD_ERR_INVALID,
		"published ports behind the host's own rules need the userland proxy");
	refused(OPTIONS({ BR "name", "lo" }), 0, DKD_ERR_INVALID, "existing interface lo is not a bridge");
	is_int(make_network(B, 0, "172.30.0.0/24", "172.30.0.1", "ff02::/64", "ff02::1", OPTIONS({ BR "name", "half" }),
		1), -1, "an address that the bridge cannot have");
	ok(!if_nametoindex("half") && system("nft list tables | grep -q dockerd-half") != 0, "leaves nothing behind: %s", failed);
	is_int(ops->create_network(&call, net, &w), -1, "two subnets of a family");
	is_str(failed, "bridge driver doesn't support multiple subnets", "are refused");
	is_int(failed_class, DKD_ERR_FORBIDDEN, "with 403");
	ok(make(0, NULL) == 0, "a network: %s", failed);
	is_int(make_network(B, 0, "172.30.0.0/24", "172.30.0.1", NULL, NULL, OPTIONS({ BR "name", "bra" }), 1), -1,
		"another of its bridge");
	ok(failed_class == DKD_ERR_FORBIDDEN && strstr(failed,
		"cannot create network " B " (bra): conflicts with network " A " (bra): networks have same bridge name"),
		"is refused: %s", failed);
	is_int(make_network(B, 0, "172.31.0.0/16", "172.31.0.1", NULL, NULL, NULL, 0), -1, "another that overlaps");
	ok(failed_class == DKD_ERR_FORBIDDEN && strstr(failed, "networks have overlapping IPv4"), "is refused: %s", failed);
	is_int(box_join(&(struct box){ A, E("7"), "172.31.1.9", NULL, 0 }, rate_bad, 1), -1, "a rate that is none");
	is_str(failed, "failed to parse com.docker.network.endpoint.rate value: fast (a rate like 10mbit is wanted)",
		"is refused");
	drop();
	system("ip link add mine type bridge && ip addr add 10.5.5.5/24 dev mine");
	is_int(make_network(B, 0, "172.30.0.0/24", "172.30.0.1", NULL, NULL, OPTIONS({ BR "name", "mine" }), 1), 0,
		"a bridge that is there: %s", failed);
	ok(system("ip -o addr show dev mine | grep -q 10.5.5.5/24 && ip -o addr show dev mine | grep -q 172.30.0.1/24") == 0, "keeps its address beside the network's");
	is_int(ops->delete_network(&call, net, B), 0, "the network goes");
	ok(if_nametoindex("mine"), "the bridge stays");
	system("ip link del mine");
}

/* Bytes per second that a stream brings from one to the other, in bits. */
static double speed(int from, int to, const char *address)
{
	static char block[65536];
	int server = serve(to, SOCK_STREAM, address, 4000), fd, got;
	struct sockaddr_storage a;
	socklen_t size = address_of(address, 4000, &a);
	double start, end, bytes = 0;

	setns(from, CLONE_NEWNET);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setns(host_ns, CLONE_NEWNET);
	if (connect(fd, (void *)&a, size) < 0)
		return -1;
	got = accept(server, NULL, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(got, F_SETFL, O_NONBLOCK);
	for (start = end = now_ms(); end - start < 1500; end = now_ms()) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLOUT }, { .fd = got, .events = POLLIN } };
		ssize_t n = 0;

		poll(p, 2, 100);
		if (p[0].revents & POLLOUT)
			send(fd, block, sizeof(block), MSG_NOSIGNAL);
		if (p[1].revents & POLLIN)
			n = recv(got, block, sizeof(block), 0);
		bytes += n > 0 ? (double)n : 0;
	}
	cut(fd);
	cut(got);
	close(server);
	return bytes * 8 / (end - start) * 1e3;
}

static void test_rates(void)
{
	static const struct dkd_pair both[] = { { "com.docker.network.endpoint.rate", "20mbit" } };
	static const struct dkd_pair out[] = { { "com.docker.network.endpoint.rate_out", "1mbps" } };
	struct box slow = { A, E("8"), "172.31.1.8", NULL, 0 }, half = { A, E("9"), "172.31.1.9", NULL, 0 };
	double v;

	ok(make(0, NULL) == 0, "a network: %s", failed);
	if (box_join(&slow, both, 1) < 0) {
		ok(failed_class == DKD_ERR_NOT_IMPLEMENTED, "a kernel that cannot do it: %s", failed);
		drop();
		return;
	}
	v = speed(one.ns, slow.ns, slow.ip4);
	ok(v > 2e6 && v < 30e6, "to a container of 20 mbit/s: %.1f", v / 1e6);
	v = speed(slow.ns, one.ns, one.ip4);
	ok(v > 2e6 && v < 30e6, "and from it: %.1f", v / 1e6);
	is_int(box_join(&half, out, 1), 0, "one that is slow in one direction: %s", failed);
	v = speed(half.ns, one.ns, one.ip4);
	ok(v > 1e6 && v < 14e6, "8 mbit/s: %.1f", v / 1e6);
	v = speed(one.ns, half.ns, half.ip4);
	ok(v > 60e6, "and not in the other: %.1f", v / 1e6);
	is_int(ops->leave(&call, net, A, slow.id), 0, "it leaves");
	ok(!if_nametoindex("dkdi88888888888") && if_nametoindex("dkdi99999999999"), "what shaped it goes");
	close(half.ns);
	is_int(ops->sweep(&call, net, NULL, 0), 0, "swept");
	ok(!if_nametoindex("dkdi99999999999"), "also that of one that is gone");
	close(slow.ns);
	drop();
}

int main(void)
{
	box_start();
	test_routed();
	test_unprotected();
	test_internal();
	test_links();
	test_sources();
	test_host_policy();
	test_ipv6_only();
	test_refusals();
	test_rates();
	ops->close(net);
	return tap_done();
}
