/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bridge networks whose rules stand in the tables of iptables, with packets; what iptables makes of them. */
#include "bridge-box.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define E(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define IPT { "dockerd.firewall_backend", "iptables" }
#define NAME(n) { "com.docker.network.bridge.name", n }

static struct box one = { A, E("1"), "172.31.1.2", "fd00:1::2", 0 };
static struct box two = { A, E("2"), "172.31.1.3", "fd00:1::3", 0 };
static struct box far = { B, E("3"), "172.31.2.2", "fd00:2::2", 0 };
static struct box apart = { C, E("4"), "172.31.3.2", "fd00:3::2", 0 }, third = { C, E("5"), "172.31.3.3", "fd00:3::3", 0 };
static int web4, web6, web5000, udp53, two80, far80, apart80, third80;
static const struct dkd_net_port ports[] = {
	PORT(DKD_NET_TCP, "0.0.0.0", 8080, 80, 1), PORT(DKD_NET_TCP, "::", 8080, 80, 1), PORT(DKD_NET_UDP, "198.51.100.1",
		8053, 53, 1),
	PORT(DKD_NET_TCP, "0.0.0.0", 5000, 5000, 100), PORT(DKD_NET_TCP, "198.51.100.9", 7000, 4990, 20),
	PORT(DKD_NET_SCTP, "0.0.0.0", 9000, 90, 1),
};
#define PORTS (sizeof(ports) / sizeof(ports[0]))

static int networks(uint32_t flags)
{
	static const struct dkd_pair a[] = { NAME("bra"), IPT, { "com.docker.network.host_ipv4", "198.51.100.9" } };
	static const struct dkd_pair b[] = { NAME("brb"), IPT, { "com.docker.network.bridge.gateway_mode_ipv6", "routed" } };
	static const struct dkd_pair c[] = { NAME("brc"), IPT, { "com.docker.network.bridge.enable_icc", "false" },
		{ "dockerd.userland_proxy", "false" } };

	return make_network(A, flags, "172.31.1.0/24", "172.31.1.1", "fd00:1::/64", "fd00:1::1", a, 3) < 0 ||
		make_network(B, flags, "172.31.2.0/24", "172.31.2.1", "fd00:2::/64", "fd00:2::1", b, 3) < 0 ||
		make_network(C, flags, "172.31.3.0/24", "172.31.3.1", "fd00:3::/64", "fd00:3::1", c, 4) < 0 ? -1 : 0;
}

static void test_set_up(void)
{
	system("iptables -N DOCKER-USER; iptables -A DOCKER-USER -p tcp --dport 4242 -j DROP; iptables -A FORWARD -p tcp --dport 4243 -j DROP");
	is_int(networks(0), 0, "networks: %s", failed);
	is_int(box_join(&one, NULL, 0) | box_join(&two, NULL, 0) | box_join(&far, NULL, 0) | box_join(&apart, NULL,
		0) | box_join(&third, NULL, 0),
		0, "containers: %s", failed);
	web4 = serve(one.ns, SOCK_STREAM, "0.0.0.0", 80);
	web6 = serve(one.ns, SOCK_STREAM, "::", 80);
	web5000 = serve(one.ns, SOCK_STREAM, "0.0.0.0", 5000);
	udp53 = serve(one.ns, SOCK_DGRAM, "0.0.0.0", 53);
	two80 = serve(two.ns, SOCK_STREAM, "0.0.0.0", 80);
	far80 = serve(far.ns, SOCK_STREAM, "::", 80);
	apart80 = serve(apart.ns, SOCK_STREAM, "0.0.0.0", 80);
	third80 = serve(third.ns, SOCK_STREAM, "0.0.0.0", 80);
	is_int(system("nft list tables | grep -q dockerd"), 256, "no tables of our own");
}

static void test_listing(void)
{
	char text[16384];

	says(text, sizeof(text), "iptables -S 2>&1; iptables -t nat -S 2>&1; iptables -t raw -S 2>&1");
	ok(!strstr(text, "incompatible"), "iptables reads it all");
	ok(strstr(text, "-P FORWARD DROP\n"), "the host forwards for its networks only");
	ok(strstr(text,
		"-A FORWARD -m comment --comment dockerd -j DOCKER-USER\n-A FORWARD -m comment --comment dockerd -j DOCKER-FORWARD\n"
		"-A FORWARD -p tcp -m tcp --dport 4243 -j DROP\n"), "before what was there");
	ok(strstr(text, "-A DOCKER-USER -p tcp -m tcp --dport 4242 -j DROP\n"), "the user's rules are there");
	ok(strstr(text,
		"-A DOCKER-CT -o bra -m comment --comment \"dockerd:bra\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n") ||
		strstr(text,
		"-A DOCKER-CT -o bra -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment \"dockerd:bra\" -j ACCEPT\n"),
		"the answers");
	ok(strstr(text, "-j DNAT --to-destination 172.31.1.2:80\n"), "a port");
	ok(strstr(text, "--dport 5000:5099") && strstr(text, "-j DNAT --to-destination 172.31.1.2\n"), "a range in one rule");
	ok(strstr(text, "-j DNAT --to-destination 172.31.1.2:4990-5009/7000\n"), "also one that changes its numbers");
	ok(strstr(text, "-p sctp") && strstr(text, "--to-destination 172.31.1.2:90\n"), "SCTP");
	ok(strstr(text, "-j SNAT --to-source 198.51.100.9\n"), "an address towards the world");
	ok(strstr(text, "-A PREROUTING -d 127.0.0.0/8 -i brc") && strstr(text,
		"-A POSTROUTING -s 172.31.2.0/24 ! -o brb"), "and the rest");
	if (tap_failed)
		printf("# %s\n", text);
	says(text, sizeof(text), "ip6tables -S 2>&1; ip6tables -t nat -S 2>&1");
	ok(!strstr(text, "incompatible") && strstr(text, "--to-destination [fd00:1::2]:80\n") && strstr(text,
		"-j DOCKER-USER"), "ip6tables, too");
	ok(strstr(text, "-A OUTPUT -o brc -p ipv6-icmp"), "no shorter ways where there are none");
}

static void test_packets(void)
{
	int world4 = serve(world_ns, SOCK_STREAM, "198.51.100.2", 80), host;

	ok(talks(world_ns, "198.51.100.1", 8080, web4), "from the world");
	is_str(peer, "198.51.100.2", "with its address");
	ok(talks(world_ns, "2001:db8::1", 8080, web6), "by IPv6");
	ok(talks_udp(world_ns, "198.51.100.1", 8053, udp53, WAIT_MS), "UDP at one address");
	ok(talks(world_ns, "198.51.100.1", 5000, web5000) && talks(world_ns, "198.51.100.9", 7010, web5000), "ranges");
	ok(is_deaf(world_ns, "198.51.100.1", 7010, web5000), "at their address");
	ok(talks(host_ns, "198.51.100.1", 8080, web4), "from the host");
	ok(talks(one.ns, "198.51.100.1", 8080, web4) && talks(two.ns, "198.51.100.1", 8080, web4),
		"from the network itself by the host");
	ok(talks(far.ns, "198.51.100.1", 8080, web4), "from another by the host");
	ok(talks(one.ns, two.ip4, 80, two80), "siblings talk");
	ok(is_deaf(far.ns, one.ip4, 80, web4) && is_deaf(world_ns, one.ip4, 80, web4), "others do not");
	ok(talks(one.ns, "198.51.100.2", 80, world4), "the world is reached");
	is_str(peer, "198.51.100.9", "with the network's address");
	ok(talks(world_ns, far.ip6, 80, far80), "a routed family is reached at the container's address");
	ok(is_deaf(apart.ns, third.ip4, 80, third80), "icc=false keeps containers apart");
	ok(talks(third.ns, "198.51.100.1", 8081, apart80) && talks(apart.ns, "198.51.100.1", 8081, apart80),
		"but for published ports");
	ok(talks(host_ns, "127.0.0.1", 8081, apart80), "that the host's loopback leads to");
	host = serve(host_ns, SOCK_STREAM, "127.0.0.1", 8080);
	ok(talks(host_ns, "127.0.0.1", 8080, host), "unless there is a proxy");
	close(host);
	close(world4);
}

static void test_changes(void)
{
	static const struct dkd_net_port eighty[] = { PORT(DKD_NET_TCP, NULL, 0, 80, 1) };
	const struct dkd_net_link link = { .size = sizeof(link), .from = apart.ip4, .to = third.ip4, .ports = eighty,
		.ports_len = 1 };

	is_int(ops->program_links(&call, net, C, apart.id, &link, 1), 0, "a link: %s", failed);
	ok(talks(apart.ns, third.ip4, 80, third80) && is_deaf(third.ns, apart.ip4, 80, apart80), "is one way");
	is_int(publish(&two, 0, &(struct dkd_net_port)PORT(DKD_NET_TCP, "0.0.0.0", 8090, 80, 1), 1), 0,
		"another's port: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8090, two80) && talks(world_ns, "198.51.100.1", 8080, web4), "beside the first's");
	system("iptables -I DOCKER-USER -s 198.51.100.2 -d 172.31.1.3 -p tcp --dport 80 -j DROP");
	ok(is_deaf(world_ns, "198.51.100.1", 8090, two80), "a rule in DOCKER-USER shuts it");
	system("iptables -D DOCKER-USER 1");
	is_int(ops->revoke_ports(&call, net, A, two.id), 0, "taken back: %s", failed);
	ok(is_deaf(world_ns, "198.51.100.1", 8090, two80) && talks(world_ns, "198.51.100.1", 8080, web4), "it alone");
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
	const char *const alive[] = { one.id, two.id, far.id, apart.id, third.id };

	*logged = '\0';
	system("iptables -F; iptables -t nat -F");
	ok(comes_back("198.51.100.1", 8080, web4), "after iptables -F it comes back");
	ok(strstr(logged, "somebody took the iptables rules of bridge bra away: they are put back"), "the log tells");
	usleep(1100000);
	system("nft flush ruleset");
	ok(comes_back("198.51.100.1", 8080, web4) && comes_back("2001:db8::1", 8080, web6), "also after nft flush ruleset");
	box_reopen();
	ok(networks(DKD_NET_RESTORED) == 0 && talks(world_ns, "198.51.100.1", 8080, web4), "ports outlive the daemon: %s",
		failed);
	is_int(publish(&one, DKD_NET_RESTORED, ports, PORTS), 0, "told of again: %s", failed);
	is_int(ops->sweep(&call, net, alive, 5), 0, "swept: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "they are there");
	ok(is_deaf(world_ns, "198.51.100.1", 8081, apart80), "others are not");
}

/* A daemon that writes its rules the other way takes away what there was. */
static void test_other(void)
{
	static const struct dkd_pair a[] = { NAME("bra") };

	is_int(ops->delete_network(&call, net, B) | ops->delete_network(&call, net, C), 0, "networks go: %s", failed);
	ok(system("iptables-save | grep -q 'brb\\|brc'") != 0, "with their rules");
	ok(system("iptables -S DOCKER-USER >/dev/null && iptables-save | grep -q bra") == 0, "the chains and the others' stay");
	box_reopen();
	is_int(make_network(A, DKD_NET_RESTORED, "172.31.1.0/24", "172.31.1.1", "fd00:1::/64", "fd00:1::1", a, 1), 0,
		"by nftables: %s", failed);
	is_int(publish(&one, DKD_NET_RESTORED, ports, 2), 0, "ports: %s", failed);
	ok(system("iptables-save | grep -q bra") != 0, "the rules of before are gone");
	system("iptables -P FORWARD ACCEPT");
	ok(talks(world_ns, "198.51.100.1", 8080, web4), "the port is there");
	box_reopen();
	is_int(make_network(A, DKD_NET_RESTORED, "172.31.1.0/24", "172.31.1.1", "fd00:1::/64", "fd00:1::1",
		(const struct dkd_pair[]){ NAME("bra"), IPT }, 2), 0, "and back: %s", failed);
	is_int(publish(&one, DKD_NET_RESTORED, ports, 2), 0, "ports: %s", failed);
	ok(talks(world_ns, "198.51.100.1", 8080, web4) && system("nft list tables | grep -q dockerd-bra") != 0,
		"the port is there");
	is_int(ops->delete_network(&call, net, A), 0, "it goes");
}

int main(void)
{
	box_start();
	if (system("iptables -V | grep -q nf_tables && ip6tables -V | grep -q nf_tables") != 0) {
		printf("1..0 # SKIP needs iptables by nf_tables\n");
		return 0;
	}
	test_set_up();
	is_int(publish(&one, 0, ports, PORTS), 0, "ports: %s", failed);
	is_int(publish(&far, 0, ports + 1, 1), 0, "of a routed network, too: %s", failed);
	is_int(publish(&apart, DKD_NET_LOCALHOST, &(struct dkd_net_port)PORT(DKD_NET_TCP, "0.0.0.0", 8081, 80, 1), 1), 0,
		"without a proxy: %s", failed);
	test_listing();
	test_packets();
	test_changes();
	test_losses();
	test_other();
	ops->close(net);
	return tap_done();
}
