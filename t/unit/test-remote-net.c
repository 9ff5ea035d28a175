/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The drivers "remote": a network and address plugin in Docker's protocol, a process of its own (t/clients/network-plugin.py). */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "dockerd/ipam.h"
#include "dockerd/net.h"
#include "netns.h"
#include "tap.h"

#define NET1 "1111111111111111111111111111111111111111111111111111111111111111"
#define EP1 "aaaaaaaaaaaa1111111111111111111111111111111111111111111111111111"

static const struct driver *driver;
static const struct dkd_net_ops *ops;
static struct dkd_net *handle;
static struct err why = ERR_INIT;
static int64_t within;   /* ns: how long a call may take; 0: no limit */
static int cancel_fd = -1;

/* One call, and what the driver said. */
#define CALL_OF(ops_, handle_, op, ...) ({ struct driver_call c_; driver_call_begin(&c_, driver); c_.abi.cancel_fd = cancel_fd; \
	c_.abi.deadline = within ? clock_mono() + within : 0; \
	err_done(&why); why = (struct err)ERR_INIT; driver_call_end(&c_, (ops_)->op(&c_.abi, handle_, ##__VA_ARGS__), &why); })
#define CALL(op, ...) CALL_OF(ops, handle, op, ##__VA_ARGS__)

static char root[] = "/tmp/dkd-plugin-XXXXXX";
static pid_t plugin;

static void plugin_start(void)
{
	OWN_FREE char *sock = xasprintf("%s/sockets/wires.sock", root), *log = xasprintf("%s/log", root);
	OWN_FREE char *py = xasprintf("%s/t/clients/network-plugin.py", getenv("top_srcdir") ? getenv("top_srcdir") : ".");

	plugin = fork();
	if (plugin == 0) {
		execlp("python3", "python3", py, sock, log, (char *)NULL);
		_exit(127);
	}
}

static void plugin_stop(void)
{
	kill(plugin, SIGKILL);
	waitpid(plugin, NULL, 0);
}

/* The last request of a method, as the plugin wrote it down; "" for none. */
static char *heard(const char *method)
{
	OWN_FREE char *log = xasprintf("%s/log", root), *word = xasprintf("\"method\": \"%s\"", method);
	OWN_BUF struct buf b = { 0 };
	OWN_STRV struct strv lines = { 0 };

	if (fs_read(AT_FDCWD, log, 1 << 20, &b, NULL) < 0 || !b.size)
		return xstrdup("");
	strv_split(&lines, b.data, "\n");
	for (size_t i = lines.len; i > 0; i--)
		if (strstr(lines.v[i - 1], word))
			return xstrdup(lines.v[i - 1]);
	return xstrdup("");
}

static void hears(const char *method, const char *part, const char *what)
{
	OWN_FREE char *line = heard(method);

	if (!ok(strstr(line, part), "%s: %s hears %s", what, method, part))
		printf("# %s\n", line);
}

static int open_as(const char *name)
{
	struct dkd_net_open open = { .size = sizeof(open), .root = "/nonexistent", .exec_root = "/nonexistent", .instance = name };
	struct driver_call c;

	err_done(&why);
	why = (struct err)ERR_INIT;
	driver_call_begin(&c, driver);
	c.abi.deadline = within ? clock_mono() + within : 0;
	return driver_call_end(&c, ops->open(&c.abi, driver_host(driver), &open, &handle), &why);
}

static int create(const char *fail)
{
	struct dkd_pair options[] = { { "colour", "blue" }, { "dockerd.firewall", "true" }, { "fail", fail } };
	struct dkd_pair aux = { "router", "10.79.0.250" };
	struct dkd_net_pool pools[] = {
		{ .size = sizeof(pools[0]), .subnet = "10.79.0.0/24", .gateway = "10.79.0.1", .aux = &aux, .aux_len = 1 },
		{ .size = sizeof(pools[0]), .subnet = "fd79::/64", .gateway = "fd79::1" },
	};
	struct dkd_net_network w = { .size = sizeof(w), .flags = DKD_NET_IPV4 | DKD_NET_IPV6, .id = NET1, .name = "n", .options = options,
		.options_len = fail ? 3 : 2, .pools = pools, .pools_len = 2 };

	return CALL(create_network, &w);
}

static char pairs[512], interface[32], prefix[32], gateway[64], routes[128];
static int32_t on_pair(void *to, const char *key, const char *value)
{
	size_t n = strlen(pairs);

	(void)to;
	snprintf(pairs + n, sizeof(pairs) - n, "%s=%s;", key, value);
	return 0;
}
static int32_t on_joined(void *to, const struct dkd_net_joined *j)
{
	(void)to;
	snprintf(interface, sizeof(interface), "%s", j->interface_name);
	snprintf(prefix, sizeof(prefix), "%s", j->interface_prefix);
	snprintf(gateway, sizeof(gateway), "%s %s", j->gateway4, j->gateway6);
	snprintf(routes, sizeof(routes), "%u %s %s", j->routes_len, j->routes_len ? j->routes[0].destination : "", j->routes_len && j->routes[0].via ? "via" : "link");
	return 0;
}

static int endpoint(const char *mac)
{
	struct dkd_pair option = { "speed", "fast" };
	struct dkd_net_endpoint e = { .size = sizeof(e), .network = NET1, .id = EP1, .ipv4 = "10.79.0.2/24", .ipv6 = "fd79::2/64", .mac = mac,
		.options = &option, .options_len = 1 };

	*pairs = '\0';
	return CALL(create_endpoint, &e, on_pair, NULL);
}

static int join(void)
{
	struct dkd_net_join j = { .size = sizeof(j), .network = NET1, .endpoint = EP1, .container = EP1, .sandbox = "/run/netns/dkd-rp", .sandbox_fd = -1,
		.sandbox_userns_fd = -1 };

	return CALL(join, &j, on_joined, NULL);
}

static void test_finding(void)
{
	OWN_FREE char *spec = xasprintf("%s/specs/far.spec", root), *json = xasprintf("%s/specs/odd.json", root), *bad = xasprintf("%s/specs/bad.json", root);
	OWN_ERR struct err err = ERR_INIT;

	driver = driver_load(DKD_KIND_NET, "nosuch", &err);
	ok(!driver && err.class == ERR_NOT_FOUND, "no plugin of that name: %s", err_text(&err));
	err_done(&err);
	err = (struct err)ERR_INIT;
	ok(!driver_present(DKD_KIND_NET, "nosuch") && driver_present(DKD_KIND_NET, "wires"), "which is no news");
	ok(!driver_load(DKD_KIND_NET, "../sockets/wires", NULL) && !driver_load(DKD_KIND_NET, ".wires", NULL), "names are no paths");
	ok(!driver_load(DKD_KIND_NET, "remote", NULL), "the provider's own name is no driver's");
	driver = driver_load(DKD_KIND_NET, "wires", &err);
	if (!ok(driver != NULL, "a socket makes a driver: %s", err_text(&err)))
		return;
	run("echo unix://%s/sockets/wires.sock > %s; echo '{\"Name\":\"odd\",\"Addr\":\"unix://%s/sockets/wires.sock\"}' > %s; echo '{}' > %s", root, spec, root, json, bad);
	ok(driver_load(DKD_KIND_NET, "far", NULL) == driver && driver_load(DKD_KIND_NET, "odd", NULL) == driver, "so do files that name one");
	ops = driver->ops;
	ok(open_as("far") == 0, "opened by a spec: %s", err_text(&why));
	ops->close(handle);
	ok(open_as("odd") == 0, "and by JSON: %s", err_text(&why));
	ops->close(handle);
	ok(open_as("bad") < 0 && strstr(why.msg, "names no address"), "%s", why.msg);
	*pairs = '\0';
}

static int32_t on_name(void *to, const char *text)
{
	return on_pair(to, text, "");
}

static void test_each(void)
{
	struct driver_call c;

	*pairs = '\0';
	driver_call_begin(&c, driver);
	driver->desc->provider->each(&c.abi, driver_host(driver), on_name, NULL);
	driver_call_end(&c, 0, NULL);
	ok(strstr(pairs, "wires=") && strstr(pairs, "far=") && strstr(pairs, "odd="), "all there are: %s", pairs);
}

static void test_network(void)
{
	struct dkd_net_caps caps = { .size = sizeof(caps) };
	struct dkd_net_port ports[] = {
		{ .size = sizeof(ports[0]), .proto = DKD_NET_TCP, .host_ip = "0.0.0.0", .host_port = 8080, .port = 80, .count = 2 },
		{ .size = sizeof(ports[0]), .proto = DKD_NET_UDP, .host_ip = "::", .host_port = 53, .port = 53, .count = 1 },
	};
	struct dkd_net_publish publish = { .size = sizeof(publish), .network = NET1, .endpoint = EP1, .ipv4 = "10.79.0.2/24", .ports = ports, .ports_len = 2 };

	ok(CALL(capabilities, &caps) == 0 && caps.scope == DKD_NET_SCOPE_LOCAL, "capabilities");
	hears("NetworkDriver.GetCapabilities", "\"accept\": \"application/vnd.docker.plugins.v1.2+json\"", "the protocol's type");
	is_int(create(NULL), 0, "a network: %s", why.msg ? why.msg : "");
	hears("NetworkDriver.CreateNetwork", "\"com.docker.network.generic\": {\"colour\": \"blue\"}", "the users' options and no others");
	hears("NetworkDriver.CreateNetwork", "\"Pool\": \"10.79.0.0/24\", \"Gateway\": \"10.79.0.1/24\", \"AuxAddresses\": {\"router\": \"10.79.0.250\"}", "IPv4");
	hears("NetworkDriver.CreateNetwork", "\"Pool\": \"fd79::/64\", \"Gateway\": \"fd79::1/64\"", "IPv6");
	is_int(endpoint(NULL), 0, "an endpoint: %s", why.msg ? why.msg : "");
	is_str(pairs, "mac=02:99:aa:aa:aa:aa;", "its MAC is the plugin's choice");
	hears("NetworkDriver.CreateEndpoint", "\"Options\": {\"speed\": \"fast\"}, \"Interface\": {\"Address\": \"10.79.0.2/24\", \"AddressIPv6\": \"fd79::2/64\", \"MacAddress\": \"\"}",
		"addresses and options");
	is_int(join(), 0, "joined: %s", why.msg ? why.msg : "");
	hears("NetworkDriver.Join", "\"SandboxKey\": \"/run/netns/dkd-rp\"", "where");
	is_str(interface, "nfaaaaaaaaaa", "its interface");
	is_str(prefix, "plug", "and what it shall be called");
	is_str(gateway, "10.79.0.1 fd79::1", "gateways");
	is_str(routes, "1 10.200.0.0/16 link", "and a route");
	*pairs = '\0';
	ok(CALL(oper_info, NET1, EP1, on_pair, NULL) == 0, "facts");
	is_str(pairs, "wire=veth;number=7;", "of both kinds");
	is_int(CALL(program_ports, &publish), 0, "ports");
	hears("NetworkDriver.ProgramExternalConnectivity", "{\"Proto\": 6, \"IP\": \"\", \"Port\": 81, \"HostIP\": \"0.0.0.0\", \"HostPort\": 8081, \"HostPortEnd\": 8081}", "each");
	is_int(CALL(revoke_ports, NET1, EP1), 0, "a method that the plugin does not know");
	ok(CALL(leave, NET1, EP1) == 0 && CALL(delete_endpoint, NET1, EP1) == 0 && CALL(delete_network, NET1) == 0, "back");
	ok(!if_nametoindex("np111111111111"), "nothing is left");
}

static void test_failures(void)
{
	int64_t began;
	uint64_t one = 1;

	ok(create("CreateNetwork") < 0 && streq(why.msg, "remote: the plugin is told to fail"), "its sentence: %s", why.msg);
	is_int(create("Join"), 0, "a network");
	ok(join() < 0 && streq(why.msg, "remote: the plugin is told to fail"), "%s", why.msg);
	CALL(delete_network, NET1);
	is_int(create("junk:Join"), 0, "one that answers no JSON");
	ok(join() < 0 && strstr(why.msg, "its answer is no JSON object"), "%s", why.msg);
	CALL(delete_network, NET1);
	ok(CALL(leave, NET1, "x") == 0 && join() < 0 && strstr(why.msg, "CalledProcessError"), "one that stumbles: %s", why.msg);
	is_int(create("hang:Join"), 0, "one that never answers");
	within = NSEC_PER_SEC;
	began = clock_mono();
	ok(join() < 0 && why.class == ERR_UNAVAILABLE, "%s", why.msg);
	ok(clock_mono() - began < 30 * NSEC_PER_SEC, "as soon as the call may take");
	within = 0;
	cancel_fd = eventfd(0, EFD_CLOEXEC);
	if (write(cancel_fd, &one, sizeof(one)) == sizeof(one))
		ok(join() < 0 && strstr(why.msg, "the caller is gone"), "%s", why.msg);
	fd_close(&cancel_fd);
	CALL(delete_network, NET1);
}

/* A plugin that is started anew is found again; one that is down is waited for. */
static void test_restart(void)
{
	int rc = -1;

	plugin_stop();
	within = NSEC_PER_SEC / 2;
	ok(create(NULL) < 0 && why.class == ERR_UNAVAILABLE, "it died: %s", why.msg);
	within = 0;
	plugin_start();
	/* a call is given a second as the last one was in vain: however slow the machine, one of them hears it start */
	for (int i = 0; i < 60 && rc < 0; i++)
		rc = create(NULL);
	is_int(rc, 0, "it is waited for: %s", why.msg ? why.msg : "");
	CALL(delete_network, NET1);
}

static struct { char id[64], subnet[64], address[64]; } got;
static int32_t on_pool(void *to, const struct dkd_ipam_pool *p)
{
	(void)to;
	snprintf(got.id, sizeof(got.id), "%s", p->id);
	snprintf(got.subnet, sizeof(got.subnet), "%s", p->subnet);
	return 0;
}
static int32_t on_address(void *to, const char *text)
{
	(void)to;
	snprintf(got.address, sizeof(got.address), "%s", text);
	return 0;
}

static void test_ipam(void)
{
	struct dkd_ipam_open open = { .size = sizeof(open), .root = "/nonexistent", .instance = "wires" };
	struct dkd_pair mac = { "com.docker.network.endpoint.macaddress", "02:99:00:00:00:01" };
	struct dkd_ipam_caps caps = { .size = sizeof(caps) };
	struct dkd_ipam_pool_wish wish = { .size = sizeof(wish), .space = "here" };
	const struct dkd_ipam_ops *i;
	struct dkd_ipam *h;
	struct driver_call c;

	driver = driver_load(DKD_KIND_IPAM, "wires", &why);
	if (!ok(driver != NULL, "the same plugin gives addresses: %s", err_text(&why)))
		return;
	i = driver->ops;
	driver_call_begin(&c, driver);
	is_int(driver_call_end(&c, i->open(&c.abi, driver_host(driver), &open, &h), &why), 0, "opened");
	ok(CALL_OF(i, h, capabilities, &caps) == 0 && caps.flags == (DKD_IPAM_NEEDS_MAC | DKD_IPAM_REPLAY), "it wants MACs, and to hear again what it forgot");
	*pairs = '\0';
	is_int(CALL_OF(i, h, address_spaces, on_pair, NULL), 0, "spaces");
	is_str(pairs, "local=here;global=everywhere;", "two");
	is_int(CALL_OF(i, h, request_pool, &wish, on_pool, NULL), 0, "a pool: %s", why.msg ? why.msg : "");
	is_str(got.subnet, "10.66.1.0/24", "of its choice");
	is_int(CALL_OF(i, h, request_address, got.id, NULL, &mac, 1, on_address, NULL), 0, "an address");
	is_str(got.address, "10.66.1.1/24", "the first");
	hears("IpamDriver.RequestAddress", "\"com.docker.network.endpoint.macaddress\": \"02:99:00:00:00:01\"", "whose");
	ok(CALL_OF(i, h, request_address, got.id, "10.66.1.1", NULL, 0, on_address, NULL) < 0 && strstr(why.msg, "no address is left"), "%s", why.msg);
	ok(CALL_OF(i, h, release_address, got.id, "10.66.1.1") == 0 && CALL_OF(i, h, release_pool, got.id) == 0, "back");
	i->close(h);
}

int main(void)
{
	OWN_FREE char *net = xasprintf("%s/plugins/net/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_FREE char *ipam = xasprintf("%s/plugins/ipam/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = { 0 };
	OWN_STRMAP struct strmap options = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *sockets = NULL, *specs = NULL, *sock = NULL;

	log_set_level(LOG_FATAL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || run("command -v ip >/dev/null && command -v python3 >/dev/null && mount --make-rprivate /") != 0) {
		printf("1..0 # SKIP needs root, network namespaces, ip and python3\n");
		return 0;
	}
	if (!mkdtemp(root))
		return 99;
	sockets = xasprintf("%s/sockets", root);
	specs = xasprintf("%s/nowhere:%s/specs", root, root);
	sock = xasprintf("%s/sockets/wires.sock", root);
	run("mkdir %s/sockets %s/specs; ip link set lo up", root, root);
	strv_take(&dirs, realpath(net, NULL));
	strv_take(&dirs, realpath(ipam, NULL));
	strmap_set(&options, "net.remote.sockets", sockets);
	strmap_set(&options, "net.remote.specs", specs);
	strmap_set(&options, "ipam.remote.sockets", sockets);
	strmap_set(&options, "ipam.remote.specs", specs);
	is_int(driver_init_only(&dirs, &options, &err), 0, "drivers of the build tree: %s", err_text(&err));
	plugin_start();
	for (int i = 0; i < 600 && access(sock, F_OK) < 0; i++)
		usleep(50000);
	test_finding();
	if (driver && ok(open_as("wires") == 0, "opened: %s", err_text(&why))) {
		test_each();
		test_network();
		test_failures();
		test_restart();
		ops->close(handle);
		test_ipam();
	}
	plugin_stop();
	err_done(&why);
	fs_remove_tree(AT_FDCWD, root, NULL);
	return tap_done();
}
