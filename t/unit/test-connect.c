/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sandboxes on several networks of the driver "bridge": joined and left while they stand, in a network namespace of the test's own. */
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "network/net_i.h"
#include "network/netd.h"
#include "tap.h"

#define C1 "1111111111111111111111111111111111111111111111111111111111111111"
#define C2 "2222222222222222222222222222222222222222222222222222222222222222"
#define C3 "3333333333333333333333333333333333333333333333333333333333333333"

static char root[] = "/tmp/test-connect-XXXXXX";
static char *exec_root;
static struct spawner *spawner;
static struct netd *netd; /* or NULL */
static struct net_bridge_config cfg = { .mtu = 1500, .icc = true, .ip_masq = true, .ip_forward = true, .userland_proxy = true };

static struct net_controller *reopen(struct net_controller *nc)
{
	OWN_ERR struct err err = ERR_INIT;

	net_close(nc);
	nc = net_open(root, exec_root, spawner, &err);
	if (nc)
		net_set_netd(nc, netd);
	if (nc && net_setup_bridge(nc, &cfg, &err) == 0)
		return nc;
	printf("# %s\n", err_text(&err));
	net_close(nc);
	return NULL;
}

/* What a shell in the sandbox says, without the last line end. */
static char *inside(const struct sandbox *sb, const char *command)
{
	OWN_FREE char *net = xasprintf("--net=%s", sb->netns_path);
	char *const argv[] = { (char *)"/usr/bin/nsenter", net, (char *)"/bin/sh", (char *)"-c", (char *)command, NULL };
	struct buf out = { 0 };
	int status;

	if (spawner_run(spawner, argv, NULL, -1, 20000, NULL, &status, &out, NULL) < 0)
		return xstrdup("");
	while (out.size && out.data[out.size - 1] == '\n')
		out.size--;
	buf_addc(&out, '\0');
	return out.data;
}

static void says(const struct sandbox *sb, const char *command, const char *want, const char *what)
{
	OWN_FREE char *got = inside(sb, command);

	is_str(got, want, "%s", what);
}

#define ROUTE4 "ip route show default | sed 's/ *$//'"
#define ROUTE6 "ip -6 route show default | sed 's/ metric.*//'"
#define LINKS "ip -o link 2>/dev/null | awk '{print $2}' | sed 's/[@:].*//' | sort | tr '\\n' ' '"

static void make(struct net_controller *nc, const char *name, const char *subnet, const char *subnet6, bool internal)
{
	struct net_pool pools[2] = { { .subnet = (char *)subnet }, { .subnet = (char *)subnet6 } };
	struct net_spec s = { .name = name, .pools = pools, .pools_len = subnet6 ? 2 : 1, .enable_ipv4 = -1, .enable_ipv6 = subnet6 ? 1 : -1, .internal = internal };
	OWN_ERR struct err err = ERR_INIT;
	char id[65];

	is_int(net_create(nc, &s, id, NULL, &err), 0, "network %s: %s", name, err_text(&err));
}

static void test_connect(struct net_controller **nc)
{
	const struct net_wish on_b = { .network = "net-b" }, first = { .network = "net-a", .priority = 5 }, inner = { .network = "inner" }, none = { .network = "none" };
	OWN_ERR struct err err = ERR_INIT;
	const struct net_endpoint *ep;
	struct sandbox sb;

	is_int(sandbox_create(*nc, C1, -1, &on_b, 1, NULL, &sb, &err), 0, "a sandbox: %s", err_text(&err));
	ok(sb.resolver, "with a resolver, as its network is a user's");
	says(&sb, ROUTE4, "default via 10.2.0.1 dev eth0", "its way out");
	is_int(sandbox_connect(*nc, C1, &inner, &sb, &err), 0, "on an internal network: %s", err_text(&err));
	says(&sb, LINKS, "eth0 eth1 lo ", "another interface");
	says(&sb, ROUTE4, "default via 10.2.0.1 dev eth0", "leads nowhere");
	is_int(sandbox_connect(*nc, C1, &first, &sb, &err), 0, "on a third with priority: %s", err_text(&err));
	says(&sb, ROUTE4, "default via 10.1.0.1 dev eth2", "which leads from then on");
	says(&sb, ROUTE6, "default via fd01::1 dev eth2", "in IPv6, too");
	says(&sb, "ip -6 -o addr show dev eth2 scope global | awk '{print $4}'", "fd01::2/64", "its address");
	says(&sb, "ip -6 -o addr show dev eth0", "", "no IPv6 where the network has none");
	ep = sandbox_gateway(&sb, false);
	ok(ep && streq(ep->network, "net-a") && streq(ep->interface, "eth2") && sb.eps_len == 3, "as the caller sees it");
	ok(sandbox_connect(*nc, C1, &first, &sb, &err) < 0 && err.class == ERR_FORBIDDEN, "not twice: %s", err_text(&err));
	ok(sandbox_connect(*nc, C1, &none, &sb, &err) < 0 && err.class == ERR_INVALID, "nor on none: %s", err_text(&err));
	ok(net_remove(*nc, "inner", &err) < 0 && err.class == ERR_FORBIDDEN, "a network in use stays");

	*nc = reopen(*nc);
	sandbox_done(&sb);
	is_int(sandbox_adopt(*nc, C1, "net-b", &sb, &err), 0, "adopted with all: %s", err_text(&err));
	ok(sb.eps_len == 3 && sandbox_gateway(&sb, true) && streq(sandbox_gateway(&sb, true)->gateway6, "fd01::1"), "of them");
	is_int(sandbox_disconnect(*nc, C1, "net-a", &sb, &err), 0, "off the third: %s", err_text(&err));
	says(&sb, LINKS, "eth0 eth1 lo ", "its interface is gone");
	says(&sb, ROUTE4, "default via 10.2.0.1 dev eth0", "the way out is the old one");
	says(&sb, ROUTE6, "", "IPv6 has none");
	ok(sandbox_disconnect(*nc, C1, "net-a", &sb, &err) < 0 && err.class == ERR_INTERNAL, "not twice");
	is_int(sandbox_disconnect(*nc, C1, "net-b", &sb, &err), 0, "off the first");
	is_int(sandbox_connect(*nc, C1, &first, &sb, &err), 0, "and on another: %s", err_text(&err));
	says(&sb, LINKS, "eth0 eth1 lo ", "the first free name");
	says(&sb, ROUTE4, "default via 10.1.0.1 dev eth0", "its way out");
	is_int(sandbox_disconnect(*nc, C1, "net-a", &sb, &err), 0, "off that");
	is_int(sandbox_disconnect(*nc, C1, "inner", &sb, &err), 0, "off the last");
	says(&sb, LINKS, "lo ", "nothing is left");
	ok(sb.eps_len == 0 && !sb.resolver, "as the caller sees it");
	is_int(net_remove(*nc, "inner", &err), 0, "networks that nobody uses go: %s", err_text(&err));
	is_int(sandbox_remove(*nc, C1, NULL, &err), 0, "removed");
	sandbox_done(&sb);
}

static void test_wishes(struct net_controller *nc)
{
	OWN_STRMAP struct strmap options = { 0 };
	OWN_STRV struct strv local = { 0 };
	struct net_wish wishes[] = {
		{ .network = "net-b", .ipv4 = "10.2.0.77", .link_local = &local, .mac = "02:00:00:00:00:07", .options = &options },
		{ .network = "net-a", .ipv6 = "fd01::77" },
		{ .network = "bridge", .ipv4 = "172.17.0.9" },
	};
	struct net_wish same[] = { { .network = "net-a" }, { .network = "net-a" } }, mixed[] = { { .network = "net-a" }, { .network = "host" } };
	const struct net_wish taken = { .network = "net-b", .ipv4 = "10.2.0.77" }, outside = { .network = "net-b", .ipv4 = "10.9.0.1" };
	OWN_ERR struct err err = ERR_INIT;
	OWN_NETWORK struct network *b = NULL;
	struct sandbox sb, other;

	strv_add(&local, "169.254.7.7");
	strmap_set(&options, "com.docker.network.endpoint.ifname", "front");
	strmap_set(&options, "com.docker.network.endpoint.sysctls", "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.ifname.accept_local=1");
	is_int(sandbox_create(nc, C1, -1, wishes, ARRAY_LEN(wishes), NULL, &sb, &err), 0, "three at once: %s", err_text(&err));
	says(&sb, LINKS, "eth0 eth1 front lo ", "names, one of them wanted");
	says(&sb, "ip -4 -o addr show dev front | awk '{print $4}' | sort | tr '\\n' ' '", "10.2.0.77/24 169.254.7.7/32 ", "addresses that were asked for");
	says(&sb, "ip -o link show dev front 2>/dev/null | sed 's/.*ether //; s/ .*//'", "02:00:00:00:00:07", "a MAC address");
	says(&sb, "cat /proc/sys/net/ipv4/conf/front/log_martians", "1", "a sysctl");
	says(&sb, "cat /proc/sys/net/ipv4/conf/front/accept_local", "1", "one as the docker CLI writes it");
	says(&sb, "ip -6 -o addr show dev eth0 scope global | awk '{print $4}'", "fd01::77/64", "an IPv6 address");
	says(&sb, "ip -4 -o addr show dev eth1 | awk '{print $4}'", "172.17.0.9/16", "one on the default bridge");
	says(&sb, ROUTE4, "default via 172.17.0.1 dev eth1", "without priorities the first by name leads");
	ok(sandbox_endpoint(&sb, "net-b")->static_address && sandbox_endpoint(&sb, "net-a")->static_address, "known as asked for");
	ok(sandbox_create(nc, C2, -1, &taken, 1, NULL, &other, &err) < 0 && err.class == ERR_FORBIDDEN && strstr(err.msg, "Address already in use"),
		"an address that is taken: %s", err_text(&err));
	ok(sandbox_create(nc, C2, -1, &outside, 1, NULL, &other, &err) < 0 && err.class == ERR_INVALID &&
		strstr(err.msg, "no configured subnet or ip-range contain the IP address 10.9.0.1"), "one of nobody's: %s", err_text(&err));
	ok(sandbox_create(nc, C2, -1, same, 2, NULL, &other, &err) < 0 && err.class == ERR_INVALID, "one network twice: %s", err_text(&err));
	ok(sandbox_create(nc, C2, -1, mixed, 2, NULL, &other, &err) < 0 && err.class == ERR_INVALID, "the host's beside another: %s", err_text(&err));
	strmap_set(&options, "com.docker.network.endpoint.sysctls", "kernel.IFNAME.x=1");
	wishes[0].ipv4 = NULL;
	ok(sandbox_create(nc, C2, -1, wishes, 1, NULL, &other, &err) < 0 && err.class == ERR_INVALID, "a sysctl of elsewhere: %s", err_text(&err));
	strmap_set(&options, "com.docker.network.endpoint.sysctls", "net.ipv4.conf.IFNAME.nosuch=1");
	ok(sandbox_create(nc, C2, -1, wishes, 1, NULL, &other, &err) < 0 && strstr(err.msg, "nosuch"), "one that there is not: %s", err_text(&err));
	strmap_del(&options, "com.docker.network.endpoint.sysctls");
	strmap_set(&options, "com.docker.network.endpoint.ifname", "a/b");
	ok(sandbox_create(nc, C2, -1, wishes, 1, NULL, &other, &err) < 0 && err.class == ERR_INVALID, "a name that is none: %s", err_text(&err));
	b = net_find(nc, "net-b", NULL);
	is_int(net_users(nc, b, NULL), 1, "nothing is left of all that");
	/* the very address again, at once */
	is_int(sandbox_remove(nc, C1, NULL, NULL), 0, "removed");
	is_int(sandbox_create(nc, C2, -1, &taken, 1, NULL, &other, &err), 0, "its address is free as soon as its interface is gone: %s", err_text(&err));
	sandbox_remove(nc, C2, NULL, NULL);
	sandbox_done(&sb);
	sandbox_done(&other);
}

/* Files of the version before, with one endpoint. */
static void test_old(struct net_controller **nc)
{
	OWN_FREE char *path = xasprintf("%s/sandboxes/" C3 ".json", exec_root), *text = NULL;
	OWN_NETWORK struct network *n = net_find(*nc, "bridge", NULL);
	const struct net_wish wish = { .network = "bridge" };
	OWN_ERR struct err err = ERR_INIT;
	struct sandbox sb, again;

	is_int(sandbox_create(*nc, C3, -1, &wish, 1, NULL, &sb, &err), 0, "a sandbox: %s", err_text(&err));
	text = xasprintf("{\"Version\":1,\"Container\":\"" C3 "\",\"SandboxID\":\"%s\",\"Host\":false,\"EndpointID\":\"%s\",\"Network\":\"bridge\","
		"\"NetworkID\":\"%s\",\"MacAddress\":\"%s\",\"IPv4Address\":\"%s\",\"IPv6Address\":\"\",\"Gateway\":\"172.17.0.1\"}",
		sb.id, sb.eps[0].id, n->id, sb.eps[0].mac, sb.eps[0].ipv4);
	fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FS_RENAME_ONLY, NULL);
	*nc = reopen(*nc);
	is_int(sandbox_adopt(*nc, C3, "bridge", &again, &err), 0, "adopted by an old file: %s", err_text(&err));
	ok(again.eps_len == 1 && streq(again.eps[0].ipv4, sb.eps[0].ipv4) && streq(again.eps[0].interface, "eth0") && !again.resolver, "with its endpoint");
	is_int(sandbox_connect(*nc, C3, &(struct net_wish){ .network = "net-a" }, &again, &err), 0, "and connected: %s", err_text(&err));
	says(&again, LINKS, "eth0 eth1 lo ", "beside what it had");
	is_int(sandbox_remove(*nc, C3, NULL, NULL), 0, "removed");
	sandbox_done(&sb);
	sandbox_done(&again);
}

static void test_ports_refused(struct net_controller *nc)
{
	const struct net_port p = { .proto = 6, .host_ip = (char *)"", .host_port = 80, .port = 80 };
	const struct net_wish wish = { .network = "net-a" };
	OWN_ERR struct err err = ERR_INIT;
	struct net_port *got;
	struct sandbox sb;
	size_t len;

	sandbox_create(nc, C1, -1, &wish, 1, NULL, &sb, &err);
	ok(sandbox_publish(nc, C1, &p, 1, &got, &len, &err) < 0 && err.class == ERR_NOT_IMPLEMENTED && !len, "no ports without who holds them: %s", err_text(&err));
	ok(sandbox_publish(nc, C2, &p, 1, &got, &len, &err) < 0 && err.class == ERR_NOT_FOUND, "nor of nobody");
	is_int(sandbox_publish(nc, C1, NULL, 0, &got, &len, &err), 0, "none at all is fine");
	net_ports_free(got, len);
	sandbox_remove(nc, C1, NULL, NULL);
	sandbox_done(&sb);
}

static struct netd_status status(void)
{
	struct netd_status s = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (netd_status(netd, &s, &err) < 0)
		printf("# %s\n", err_text(&err));
	return s;
}

static unsigned port_at(const struct net_port *v, size_t len, const char *ip, unsigned port)
{
	for (size_t i = 0; i < len; i++)
		if (streq(v[i].host_ip, ip) && v[i].port == port)
			return v[i].host_port;
	return 0;
}

/* With dockerd-netd: ports of both families, kept over a change of the way out and a restart; names come and go. */
static void test_published(struct net_controller **nc)
{
	struct net_port ports[] = {
		{ .proto = IPPROTO_TCP, .host_ip = (char *)"", .port = 70 }, { .proto = IPPROTO_TCP, .host_ip = (char *)"", .host_port = 8081, .port = 81 },
		{ .proto = IPPROTO_TCP, .host_ip = (char *)"", .host_port = 8080, .port = 80 },
		{ .proto = IPPROTO_UDP, .host_ip = (char *)"172.17.0.1", .host_port = 8080, .host_port_end = 8090, .port = 80 },
	};
	const struct net_wish wish = { .network = "net-b" }, front = { .network = "net-a", .priority = 1 }, plain = { .network = "bridge" };
	OWN_FREE char *want = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct net_port *v = NULL, *w = NULL;
	struct sandbox sb, other;
	size_t len = 0, w_len = 0;
	unsigned any;

	sandbox_create(*nc, C1, -1, &wish, 1, NULL, &sb, &err);
	is_int(status().sandboxes, 1, "the resolver knows it");
	is_int(sandbox_publish(*nc, C1, ports, ARRAY_LEN(ports), &v, &len, &err), 0, "published: %s", err_text(&err));
	is_int(len, 7, "three of both families, one of one");
	any = port_at(v, len, "0.0.0.0", 70);
	ok(any && port_at(v, len, "::", 70) == any, "a free one, the same for both families");
	ok(port_at(v, len, "0.0.0.0", 80) == 8080 && port_at(v, len, "::", 81) == 8081 && port_at(v, len, "172.17.0.1", 80) == 8080, "those that were asked for");
	is_int(sandbox_create(*nc, C2, -1, &plain, 1, NULL, &other, &err), 0, "another container");
	ok(!other.resolver && status().sandboxes == 1, "on the default bridge, which has no names");
	ok(sandbox_publish(*nc, C2, &ports[2], 1, &w, &w_len, &err) < 0, "wants a port that is taken");
	want = xasprintf("driver failed programming external connectivity on endpoint  (%s): Bind for 0.0.0.0:8080 failed: port is already allocated", other.eps[0].id);
	is_str(err.msg, want, "in Docker's words");
	err_done(&err);
	*nc = reopen(*nc);
	sandbox_done(&sb);
	is_int(sandbox_adopt(*nc, C1, "net-b", &sb, &err), 0, "adopted: %s", err_text(&err));
	is_int(status().endpoints, 1, "with its ports");
	is_int(sandbox_connect(*nc, C1, &front, &sb, &err), 0, "another way out: %s", err_text(&err));
	is_int(sandbox_publish(*nc, C1, ports, ARRAY_LEN(ports), &w, &w_len, &err), 0, "published again: %s", err_text(&err));
	ok(w_len == 7 && port_at(w, w_len, "0.0.0.0", 70) == any, "keeps its numbers");
	is_int(sandbox_disconnect(*nc, C1, "net-a", &sb, &err), 0, "and back");
	is_int(status().endpoints, 1, "still published");
	net_ports_free(w, w_len);
	is_int(sandbox_publish(*nc, C1, NULL, 0, &w, &w_len, &err), 0, "none any more");
	ok(w_len == 0 && status().ports == 0, "none");
	net_ports_free(w, w_len);
	is_int(sandbox_connect(*nc, C1, &plain, &sb, &err), 0, "on the default bridge");
	is_int(sandbox_disconnect(*nc, C1, "net-b", &sb, &err), 0, "and there only");
	ok(!sb.resolver && status().sandboxes == 0, "it has no names any more");
	sandbox_remove(*nc, C1, NULL, NULL);
	sandbox_remove(*nc, C2, NULL, NULL);
	sandbox_done(&sb);
	sandbox_done(&other);
	net_ports_free(v, len);
}

int main(void)
{
	OWN_FREE char *dir = xasprintf("%s/plugins/net/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_FREE char *build = realpath(getenv("top_builddir") ? getenv("top_builddir") : ".", NULL), *program = xasprintf("%s/dockerd-netd", build ? build : ".");
	OWN_STRV struct strv dirs = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct net_controller *nc;

	log_set_level(LOG_FATAL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || access("/usr/bin/nsenter", X_OK) < 0) {
		printf("1..0 # SKIP needs root, network namespaces and nsenter\n");
		return 0;
	}
	spawner = spawner_start(&err);
	ok(spawner && mkdtemp(root), "a spawner and a data-root: %s", err_text(&err));
	exec_root = xasprintf("%s/exec", root);
	mkdir(exec_root, 0700);
	strv_take(&dirs, realpath(dir, NULL));
	is_int(driver_init_only(&dirs, NULL, &err), 0, "drivers of the build tree: %s", err_text(&err));
	nc = reopen(NULL);
	if (ok(nc != NULL, "opens")) {
		make(nc, "net-a", "10.1.0.0/24", "fd01::/64", false);
		make(nc, "net-b", "10.2.0.0/24", NULL, false);
		make(nc, "inner", "10.3.0.0/24", NULL, true);
		test_connect(&nc);
		test_wishes(nc);
		test_old(&nc);
		test_ports_refused(nc);
		if (access(program, X_OK) == 0) {
			netd = netd_new(exec_root, program, spawner);
			net_set_netd(nc, netd);
			test_published(&nc);
		} else {
			skip("published ports", "no dockerd-netd");
		}
		is_int(net_remove(nc, "net-a", NULL), 0, "its bridge goes");
	}
	net_close(nc);
	if (netd)
		netd_free(netd);
	spawner_stop(spawner);
	fs_remove_tree(AT_FDCWD, root, NULL);
	free(exec_root);
	return tap_done();
}
