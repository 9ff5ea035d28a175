/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published ports of bridge networks, with packets: both families, from everywhere, ranges, changes, losses and restarts. */
#include "bridge-box.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define E(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

static struct box one = { A, E("1"), "172.31.1.2", "fd00:1::2", 0 };
static struct box two = { A, E("2"), "172.31.1.3", "fd00:1::3", 0 };
static struct box far = { B, E("3"), "172.31.2.2", "fd00:2::2", 0 };
static int web4, web6, web5000, udp53, two80, far80;

static int networks(uint32_t flags)
{
	static const struct dkd_pair a[] = { { "com.docker.network.bridge.name", "bra" } },
		b[] = { { "com.docker.network.bridge.name", "brb" } };

	return make_network(A, flags, "172.31.1.0/24", "172.31.1.1", "fd00:1::/64", "fd00:1::1", a, 1) < 0 ||
		make_network(B, flags, "172.31.2.0/24", "172.31.2.1", "fd00:2::/64", "fd00:2::1", b, 1) < 0 ? -1 : 0;
}

static const struct dkd_net_port first[] = {
	PORT(DKD_NET_TCP, "0.0.0.0", 8080, 80, 1), PORT(DKD_NET_TCP, "::", 8080, 80, 1),
	PORT(DKD_NET_UDP, "0.0.0.0", 8053, 53, 1), PORT(DKD_NET_UDP, "::", 8053, 53, 1),
	PORT(DKD_NET_TCP, "0.0.0.0", 5000, 5000, 100), PORT(DKD_NET_TCP, "198.51.100.9", 7000, 4990, 20),
	PORT(DKD_NET_TCP, "127.0.0.1", 8081, 80, 1), PORT(DKD_NET_SCTP, "0.0.0.0", 9000, 90, 1),
};
#define FIRST (sizeof(first) / sizeof(first[0]))

static void test_set_up(void)
{
	char text[4096];

	system("sysctl -qw net.ipv6.conf.out.accept_ra=1 net.ipv6.conf.lo.accept_ra=0");
	is_int(networks(0), 0, "two networks of both families: %s", failed);
	is_int(box_join(&one, NULL, 0), 0, "a container: %s", failed);
	is_str(taken_gateway4, "172.31.1.1", "its gateway");
	is_str(taken_gateway6, "fd00:1::1", "of IPv6, too");
	is_int(box_join(&two, NULL, 0) | box_join(&far, NULL, 0), 0, "two more: %s", failed);
	web4 = serve(one.ns, SOCK_STREAM, "0.0.0.0", 80);
	web6 = serve(one.ns, SOCK_STREAM, "::", 80);
	web5000 = serve(one.ns, SOCK_STREAM, "0.0.0.0", 5000);
	udp53 = serve(one.ns, SOCK_DGRAM, "0.0.0.0", 53);
	two80 = serve(two.ns, SOCK_STREAM, "0.0.0.0", 80);
	far80 = serve(far.ns, SOCK_STREAM, "0.0.0.0", 80);
	says(text, sizeof(text),
		"cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/default/forwarding | tr '\\n' ' '");
	is_str(text, "1 1 1 ", "the host forwards both families");
	says(text, sizeof(text), "cat /proc/sys/net/ipv6/conf/out/accept_ra /proc/sys/net/ipv6/conf/lo/accept_ra | tr '\\n' ' '");
	is_str(text, "2 0 ", "and takes routers' advertisements where it did");
	says(text, sizeof(text), "ip -6 -o addr show dev bra scope global");
	ok(strstr(text, "fd00:1::1/64"), "the bridge has its IPv6 address");
	says(text, sizeof(text), "nft list tables | sort | tr '\\n' ' '");
	is_str(text,
		"table ip dockerd table ip dockerd-bra table ip dockerd-brb table ip6 dockerd table ip6 dockerd-bra table ip6 dockerd-brb ",
		"a table for each network and family, one for all");
}

static void test_ways(void)
{
	int world4 = serve(world_ns, SOCK_STREAM, "198.51.100.2", 80), world6 = serve(world_ns, SOCK_STREAM, "2001:db8::2", 80);
	int web6two = serve(two.ns, SOCK_STREAM, "::", 81);

	ok(talks(one.ns, "198.51.100.2", 80, world4), "a container reaches the world");
	is_str(peer, "198.51.100.1", "as the host");
	ok(talks(one.ns, "2001:db8::2", 80, world6), "by IPv6, too");
	is_str(peer, "2001:db8::1", "as the host");
	ok(talks(one.ns, two.ip4, 80, two80) && talks(one.ns, two.ip6, 81, web6two), "its sibling in both families");
	ok(is_deaf(one.ns, far.ip4, 80, far80), "not a container of another network");
	ok(is_deaf(world_ns, one.ip4, 80, web4), "the world does not reach a container");
	ok(is_deaf(world_ns, one.ip6, 80, web6), "nor by IPv6");
	close(world4);
	close(world6);
	close(web6two);
}

static void test_publish(void)
{
	is_int(publish(&one, 0, first, FIRST), 0, "ports: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "from the world");
	is_str(peer, "198.51.100.2", "which the container sees as it is");
	ok(talks(world_ns, "2001:db8::1", 8080, web6), "by IPv6");
	is_str(peer, "2001:db8::2", "with its address");
	ok(talks_udp(world_ns, "198.51.100.1", 8053, udp53, WAIT_MS), "UDP");
	is_str(peer, "198.51.100.2", "with its address");
	is_int(sctp_arrives(world_ns, "198.51.100.1", 9000, one.ns, WAIT_MS), 90, "SCTP");
	is_int(sctp_arrives(world_ns, "198.51.100.1", 9001, one.ns, NEVER_MS), 0, "at its port only");
	ok(talks(host_ns, "198.51.100.1", 8080, web4), "from the host itself");
	ok(talks(host_ns, "172.31.1.1", 8080, web4), "by the bridge's address, too");
	ok(talks(host_ns, "2001:db8::1", 8080, web6), "by IPv6");
	ok(talks(one.ns, "198.51.100.1", 8080, web4), "from the container itself by the host");
	ok(talks(two.ns, "198.51.100.1", 8080, web4) && talks(two.ns, "2001:db8::1", 8080, web6), "from its sibling by the host");
	ok(talks(far.ns, "198.51.100.1", 8080, web4), "from another network by the host");
	ok(is_deaf(far.ns, one.ip4, 80, web4), "and still not by the container's own address");
	ok(is_deaf(world_ns, one.ip4, 80, web4), "nor has the world that way");
	ok(is_deaf(world_ns, "198.51.100.1", 80, web4), "the container's port is not the host's");
	ok(talks(world_ns, "198.51.100.1", 5000, web5000), "a range that keeps its numbers");
	ok(talks(world_ns, "198.51.100.9", 7010, web5000), "a range that does not, at one address");
	ok(is_deaf(world_ns, "198.51.100.1", 7010, web5000), "and at no other");
}

/* Neighbours may send what they want to whatever address. */
static void test_loopback(void)
{
	int local = serve(host_ns, SOCK_STREAM, "127.0.0.1", 8081), proxy = serve(host_ns, SOCK_STREAM, "127.0.0.1", 8080);

	ok(talks(host_ns, "127.0.0.1", 8080, proxy), "the host's loopback is the proxy's");
	in(world_ns,
		"ip route add 203.0.113.7 via 198.51.100.1; nft 'add table ip w; add chain ip w post { type filter hook postrouting priority 0; }; add chain ip w pre { type filter hook "
		"prerouting priority -400; }; add rule ip w post tcp dport 8081 ip daddr set 127.0.0.1; add rule ip w pre tcp sport 8081 ip saddr set 203.0.113.7'");
	ok(is_deaf(world_ns, "203.0.113.7", 8081, web4), "nobody else reaches what is published there");
	is_int(publish(&one, DKD_NET_LOCALHOST, first, FIRST), 0, "without a proxy: %s", failed);
	ok(talks(host_ns, "127.0.0.1", 8080, web4), "the kernel leads from the loopback");
	is_str(peer, "172.31.1.1", "as the bridge");
	ok(talks(host_ns, "127.0.0.1", 8081, web4), "also to what is published there alone");
	ok(is_deaf(host_ns, "198.51.100.1", 8081, web4), "which is so nowhere else");
	ok(is_deaf(world_ns, "203.0.113.7", 8081, web4), "nor do neighbours reach it now");
	in(world_ns, "nft delete table ip w");
	in(two.ns, "ip link set lo down; ip route replace 127.0.0.2/32 via 172.31.1.1 table local; "
		"sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1");
	close(local);
	local = serve(host_ns, SOCK_STREAM, "127.0.0.2", 9999);
	ok(is_deaf(two.ns, "127.0.0.2", 9999, local), "no container reaches the host's own services there");
	in(two.ns, "ip route del 127.0.0.2/32 table local; ip link set lo up");
	close(local);
	close(proxy);
}

static void test_changes(void)
{
	static const struct dkd_net_port other[] = { PORT(DKD_NET_TCP, "0.0.0.0", 8090, 80, 1) };
	static const struct dkd_net_port less[] = { PORT(DKD_NET_TCP, "0.0.0.0", 8080, 5000, 1) };
	static const struct dkd_net_port wrong[] = { PORT(DKD_NET_TCP, "0.0.0.0", 8090, 81, 1) };
	static const struct dkd_net_port bad[] = { PORT(99, "0.0.0.0", 8090, 81, 1) }, far_end[] = { PORT(DKD_NET_TCP,
		"0.0.0.0", 65530, 80, 10) };
	char text[65536];

	system("nft add element ip dockerd-bra any '{ tcp . 1 : 10.1.2.3 . 4 }'");
	is_int(publish(&two, 0, other, 1), 0, "another container's ports: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8090, two80), "are there");
	says(text, sizeof(text), "nft list map ip dockerd-bra any");
	ok(strstr(text, "tcp . 1 : 10.1.2.3 . 4"), "and nothing was written anew for them");
	system("nft delete element ip dockerd-bra any '{ tcp . 1 : 10.1.2.3 . 4 }'");
	is_int(publish(&one, 0, less, 1), 0, "other ports of the first: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web5000), "take the place of the old ones");
	ok(is_deaf(world_ns, "198.51.100.1", 5001, web5000), "of which none is left");
	is_int(publish(&one, 0, wrong, 1), -1, "a port that is another's");
	is_str(failed, "port is already allocated", "is refused");
	ok(failed_class == DKD_ERR_CONFLICT && talks(world_ns, "198.51.100.1", 8080, web5000) && talks(world_ns,
		"198.51.100.1", 8090, two80),
		"and all is as before");
	is_int(publish(&one, 0, bad, 1), -1, "an unknown protocol: %s", failed);
	is_int(publish(&one, 0, far_end, 1), -1, "a range beyond the last port: %s", failed);
	is_int(ops->revoke_ports(&call, net, A, two.id), 0, "taken back");
	ok(is_deaf(world_ns, "198.51.100.1", 8090, two80), "not reached any more");
	is_int(ops->revoke_ports(&call, net, A, two.id), 0, "once more is fine");
}

static int comes_back(const char *to, int port, int server)
{
	for (int i = 0; i < 200; i++) {
		if (talks_ms(world_ns, to, port, server, NEVER_MS))
			return 1;
		usleep(100000);
	}
	return 0;
}

static void test_losses(void)
{
	publish(&one, 0, first, FIRST);
	*logged = '\0';
	system("nft flush ruleset");
	ok(comes_back("198.51.100.1", 8080, web4), "after nft flush ruleset ports come back");
	ok(comes_back("2001:db8::1", 8080, web6), "of both families");
	ok(strstr(logged, "somebody took the nftables rules of bridge bra away: they are put back"), "the log tells");
	system("nft delete element ip dockerd-bra any '{ tcp . 8080 }'");
	ok(comes_back("198.51.100.1", 8080, web4), "a single port comes back, too");
	usleep(1200000); /* nothing is looked at more than once a second */
	*logged = '\0';
	publish(&two, 0, first + 1, 1);
	ops->revoke_ports(&call, net, A, two.id);
	usleep(200000);
	is_str(logged, "", "what the driver itself takes away is no loss");
}

static void test_restart(void)
{
	const char *const alive[] = { one.id, two.id, far.id };
	struct dkd_net_join j = { .size = sizeof(j), .flags = DKD_NET_RESTORED, .network = A, .endpoint = one.id,
		.container = one.id, .sandbox_fd = -1, .sandbox_userns_fd = -1 };
	static const struct dkd_net_port two_ports[] = { PORT(DKD_NET_TCP, "0.0.0.0", 8090, 80, 1) };

	publish(&two, 0, two_ports, 1);
	box_reopen();
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "without a daemon ports are there");
	is_int(networks(DKD_NET_RESTORED), 0, "it comes back: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "they stay while it learns of its endpoints");
	j.network = A;
	is_int(ops->join(&call, net, &j, box_joined, NULL), 0, "an endpoint of before");
	is_int(publish(&one, DKD_NET_RESTORED, first, FIRST), 0, "and its ports: %s", failed);
	is_int(ops->sweep(&call, net, alive, 3), 0, "the rest is swept: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "those that were told of stay");
	ok(is_deaf(world_ns, "198.51.100.1", 8090, two80), "those that were not go");
	is_int(ops->delete_network(&call, net, B), 0, "a network goes");
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "the other stays");
}

/* A talk that goes on while what answers it changes. */
static void test_datagrams(void)
{
	static const struct dkd_net_port there[] = { PORT(DKD_NET_UDP, "0.0.0.0", 8053, 53, 1) };
	int two53 = serve(two.ns, SOCK_DGRAM, "0.0.0.0", 53), host = serve(host_ns, SOCK_DGRAM, "198.51.100.1", 8053);
	int client = serve(world_ns, SOCK_DGRAM, "198.51.100.2", 9999);
	struct sockaddr_storage a;
	socklen_t size = address_of("198.51.100.1", 8053, &a);
	char c;

	ops->revoke_ports(&call, net, A, one.id);
	connect(client, (void *)&a, size);
	ok(send(client, "x", 1, 0) == 1 && wait_for(host, POLLIN, WAIT_MS) && recv(host, &c, 1, 0) == 1, "datagrams to the host");
	is_int(publish(&one, 0, there, 1), 0, "a port in their way: %s", failed);
	ok(send(client, "x", 1, 0) == 1 && wait_for(udp53, POLLIN, WAIT_MS) && recv(udp53, &c, 1, 0) == 1,
		"they come to the container");
	is_int(ops->revoke_ports(&call, net, A, one.id) | publish(&two, 0, there, 1), 0, "another's: %s", failed);
	ok(send(client, "x", 1, 0) == 1 && wait_for(two53, POLLIN, WAIT_MS) && recv(two53, &c, 1, 0) == 1,
		"they come to that one");
	is_int(ops->revoke_ports(&call, net, A, two.id), 0, "nobody's");
	ok(send(client, "x", 1, 0) == 1 && wait_for(host, POLLIN, WAIT_MS) && recv(host, &c, 1, 0) == 1,
		"they come to the host again");
	close(two53);
	close(host);
	close(client);
}

static void test_many(void)
{
	static const struct dkd_net_port beside[] = { PORT(DKD_NET_TCP, "0.0.0.0", 62000, 80, 1) };
	static struct dkd_net_port many[3000];
	double t;

	for (uint32_t i = 0; i < 3000; i++)
		many[i] = (struct dkd_net_port)PORT(i % 2 ? DKD_NET_TCP : DKD_NET_UDP, "0.0.0.0", 10000 + i, 80, 1);
	t = now_ms();
	is_int(publish(&one, 0, many, 1000), 0, "1000 single ports: %s", failed);
	printf("# in %.2f ms\n", now_ms() - t);
	ok(talks(world_ns, "198.51.100.1", 10999, web4), "the last of them");
	many[0] = (struct dkd_net_port)PORT(DKD_NET_TCP, "0.0.0.0", 1024, 1024, 60000);
	t = now_ms();
	is_int(publish(&one, 0, many, 1), 0, "a range of 60000 in their place: %s", failed);
	printf("# in %.2f ms\n", now_ms() - t);
	ok(talks(world_ns, "198.51.100.1", 5000, web5000), "one of it");
	many[0] = (struct dkd_net_port)PORT(DKD_NET_TCP, "0.0.0.0", 1024, 80, 1);
	many[1] = (struct dkd_net_port)PORT(DKD_NET_TCP, "0.0.0.0", 1025, 1026, 60000);
	t = now_ms();
	is_int(publish(&one, 0, many, 2), 0, "60000 that change their numbers: %s", failed);
	printf("# in %.2f ms\n", now_ms() - t);
	ok(talks(world_ns, "198.51.100.1", 1024, web4) && talks(world_ns, "198.51.100.1", 4999, web5000),
		"of which one is another's no more");
	t = now_ms();
	is_int(publish(&two, 0, beside, 1), 0, "one port beside them: %s", failed);
	printf("# in %.2f ms\n", now_ms() - t);
	t = now_ms();
	is_int(ops->revoke_ports(&call, net, A, one.id), 0, "taken back");
	printf("# in %.2f ms\n", now_ms() - t);
	ok(is_deaf(world_ns, "198.51.100.1", 1024, web4), "all of them");
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ENDPOINTS (20): containers that come and publish. What each takes does not grow with those that are there. */
static void test_crowd(void)
{
	const char *wanted = getenv("ENDPOINTS");
	int len = wanted ? atoi(wanted) : 20;
	double joins[2] = { 0, 0 }, ports[2] = { 0, 0 };

	for (int i = 0; i < len; i++) {
		char id[65], ip[32], name[IFNAMSIZ];
		struct box b = { A, id, ip, NULL, make_ns() };
		struct dkd_net_port p = PORT(DKD_NET_TCP, "0.0.0.0", 20000 + (uint32_t)i, 80, 1);
		struct dkd_net_join j = { .size = sizeof(j), .network = A, .endpoint = id, .container = id,
			.sandbox_fd = b.ns, .sandbox_userns_fd = -1 };
		double t = cpu_ms();

		snprintf(id, sizeof(id), "%011dffffffffffffffffffffffffffffffffffffffffffffffffffff", i);
		snprintf(ip, sizeof(ip), "172.31.1.%d", 10 + i % 240);
		if (ops->join(&call, net, &j, box_joined, name) < 0)
			break;
		joins[i * 2 / len] += cpu_ms() - t;
		t = cpu_ms();
		if (publish(&b, 0, &p, 1) < 0)
			break;
		ports[i * 2 / len] += cpu_ms() - t;
		close(b.ns);
		if (i == len - 1)
			ok(1, "%d containers come and publish", len);
	}
	printf("# processor time: a join %.2f ms, %.2f ms in the second half; a port %.2f ms, %.2f ms\n",
		joins[0] * 2 / len, joins[1] * 2 / len, ports[0] * 2 / len,
		ports[1] * 2 / len);
	for (int i = 0; i < len; i++) {
		char id[65];

		snprintf(id, sizeof(id), "%011dffffffffffffffffffffffffffffffffffffffffffffffffffff", i);
		ops->leave(&call, net, A, id);
	}
	is_int(system("nft list map ip dockerd-bra any | grep -q 'tcp . 2'"), 256, "and leave");
}

static void test_end(void)
{
	char text[1024];

	is_int(ops->leave(&call, net, A, two.id) | ops->delete_endpoint(&call, net, A, two.id), 0, "a container leaves");
	ok(is_deaf(world_ns, "198.51.100.1", 62000, two80), "and its ports with it");
	is_int(ops->delete_network(&call, net, A), 0, "the network goes: %s", failed);
	says(text, sizeof(text), "nft list tables | grep -c dockerd-; ip link show bra 2>&1");
	ok(strncmp(text, "0\n", 2) == 0 && strstr(text, "does not exist"), "with its tables and its bridge: %s", text);
	is_int(publish(&one, 0, first, 1), -1, "ports of a network that is gone");
	is_int(failed_class, DKD_ERR_NOT_FOUND, "are refused: %s", failed);
}

int main(void)
{
	box_start();
	test_set_up();
	test_ways();
	test_publish();
	test_loopback();
	test_changes();
	test_losses();
	test_restart();
	test_datagrams();
	test_many();
	test_crowd();
	test_end();
	ops->close(net);
	return tap_done();
}
