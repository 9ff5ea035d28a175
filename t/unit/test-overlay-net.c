/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network driver "overlay" on two hosts: two processes, each in a network namespace of its own, connected by a wire. */
#include <errno.h>
#include <net/if.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "dockerd/net.h"
#include "netns.h"
#include "tap.h"

#define NET1 "1111111111111111111111111111111111111111111111111111111111111111"
#define EP_A "aaaaaaaaaaaa1111111111111111111111111111111111111111111111111111"
#define EP_B "bbbbbbbbbbbb1111111111111111111111111111111111111111111111111111"
#define EP_C "cccccccccccc1111111111111111111111111111111111111111111111111111"
#define VNI "com.docker.network.driver.overlay.vxlanid_list"

static const struct driver *driver;
static const struct dkd_net_ops *ops;
static struct dkd_net *handle;
static struct err why = ERR_INIT;

/* One call, and what the driver said. */
#define CALL(op, ...) ({ struct driver_call c_; driver_call_begin(&c_, driver); \
	err_done(&why); why = (struct err)ERR_INIT; driver_call_end(&c_, ops->op(&c_.abi, handle, ##__VA_ARGS__), &why); })

static int load(const char *exec_root)
{
	OWN_FREE char *dir = xasprintf("%s/plugins/net/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	struct dkd_net_open open = { .size = sizeof(open), .root = "/nonexistent", .exec_root = exec_root };
	OWN_STRV struct strv dirs = { 0 };
	struct driver_call c;

	strv_take(&dirs, realpath(dir, NULL));
	if (mkdir(exec_root, 0700) < 0 || driver_init_only(&dirs, NULL, &why) < 0 || !(driver = driver_load(DKD_KIND_NET, "overlay", &why)))
		return -1;
	ops = driver->ops;
	driver_call_begin(&c, driver);
	return driver_call_end(&c, ops->open(&c.abi, driver_host(driver), &open, &handle), &why);
}

/* The same handle as after a start of the daemon: nothing is known. */
static int reopen(const char *exec_root)
{
	struct dkd_net_open open = { .size = sizeof(open), .root = "/nonexistent", .exec_root = exec_root };
	struct driver_call c;

	ops->close(handle);
	driver_call_begin(&c, driver);
	return driver_call_end(&c, ops->open(&c.abi, driver_host(driver), &open, &handle), &why);
}

static int create(const char *key, const char *value, const char *key2, const char *value2)
{
	struct dkd_pair options[] = { { key, value }, { key2, value2 } };
	struct dkd_net_pool pool = { .size = sizeof(pool), .subnet = "10.78.0.0/24", .gateway = "10.78.0.1" };
	struct dkd_net_network w = { .size = sizeof(w), .flags = DKD_NET_IPV4, .id = NET1, .name = "n", .options = options,
		.options_len = key2 ? 2 : key ? 1 : 0, .pools = &pool, .pools_len = 1 };

	return CALL(create_network, &w);
}

static int node(const char *address, const char *self)
{
	struct dkd_pair data[] = { { "address", address }, { "self", self } };

	return CALL(discover_new, "node", data, 2);
}

static int tell(const char *endpoint, const char *host, const char *mac, const char *ipv4, const char *ipv6)
{
	struct dkd_pair data[] = { { "network", NET1 }, { "endpoint", endpoint }, { "host", host }, { "mac", mac }, { "ipv4", ipv4 }, { "ipv6", ipv6 } };

	return CALL(discover_new, "endpoint", data, 6);
}

static int forget(const char *endpoint)
{
	struct dkd_pair data[] = { { "network", NET1 }, { "endpoint", endpoint } };

	return CALL(discover_delete, "endpoint", data, 2);
}

static char last[64], interface[32];
static uint32_t joined_flags;
static int32_t on_pair(void *to, const char *key, const char *value)
{
	(void)to;
	(void)key;
	snprintf(last, sizeof(last), "%s", value);
	return 0;
}
static int32_t on_joined(void *to, const struct dkd_net_joined *j)
{
	(void)to;
	snprintf(interface, sizeof(interface), "%s", j->interface_name);
	joined_flags = j->flags;
	return 0;
}

static int endpoint(const char *ep, const char *ipv4, const char *mac)
{
	struct dkd_net_endpoint e = { .size = sizeof(e), .network = NET1, .id = ep, .ipv4 = ipv4, .mac = mac };

	*last = '\0';
	return CALL(create_endpoint, &e, on_pair, NULL);
}

static int join(const char *ep, const char *sandbox, uint32_t flags)
{
	OWN_FREE char *path = xasprintf("/run/netns/%s", sandbox);
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct dkd_net_join j = { .size = sizeof(j), .flags = flags, .network = NET1, .endpoint = ep, .container = ep, .sandbox = path,
		.sandbox_fd = fd, .sandbox_userns_fd = -1 };

	*interface = '\0';
	return CALL(join, &j, on_joined, NULL);
}

/* What the daemon does with an interface that join() named. */
static void wire(const char *sandbox, const char *mac, const char *ipv4, const char *ipv6)
{
	run("ip -n %s link set %s address %s && ip -n %s addr add %s dev %s && ip -n %s addr add %s dev %s nodad && ip -n %s link set %s up",
		sandbox, interface, mac, sandbox, ipv4, interface, sandbox, ipv6, interface, sandbox, interface);
}

/* The other host: it joins, and leaves when told. */
static void other_host(int go, int say)
{
	char c;

	if (unshare(CLONE_NEWNET) < 0 || write(say, "n", 1) != 1 || read(go, &c, 1) != 1)
		_exit(1);
	run("ip link set lo up && ip addr add 10.1.0.2/24 dev w1 && ip link set w1 up");
	if (load("/run/exec-b") < 0 || node("10.1.0.2", "true") < 0 || create(VNI, "5000", NULL, NULL) < 0 ||
	    tell(EP_A, "10.1.0.1", "02:42:0a:4e:00:02", "10.78.0.2/24", "fd78::2") < 0 || endpoint(EP_B, "10.78.0.3/24", NULL) < 0 || join(EP_B, "dkd-ov-b", 0) < 0) {
		printf("# the other host: %s\n", err_text(&why));
		_exit(2);
	}
	wire("dkd-ov-b", last, "10.78.0.3/24", "fd78::3/64");
	if (write(say, "j", 1) != 1 || read(go, &c, 1) != 1)
		_exit(3);
	CALL(leave, NET1, EP_B);
	CALL(delete_network, NET1);
	_exit(access("/run/exec-b/overlay/111111111111", F_OK) == 0 ? 4 : 0);
}

static void test_refused(void)
{
	ok(create(NULL, NULL, NULL, NULL) < 0 && strstr(why.msg, "has no VXLAN number") && why.class == ERR_INVALID, "no number: %s", why.msg);
	ok(create(VNI, "0", NULL, NULL) < 0 && create(VNI, "16777216", NULL, NULL) < 0 && create(VNI, "x", NULL, NULL) < 0, "bad numbers: %s", why.msg);
	ok(create(VNI, "5000", "encrypted", "") < 0 && strstr(why.msg, "not encrypted"), "%s", why.msg);
	ok(create(VNI, "5000", "com.docker.network.driver.mtu", "12") < 0 && strstr(why.msg, "driver.mtu"), "%s", why.msg);
	ok(join(EP_A, "dkd-ov-a", 0) < 0 && why.class == ERR_NOT_FOUND, "no network: %s", why.msg);
	is_int(create(VNI, "5000,5001", NULL, NULL), 0, "a network: %s", why.msg ? why.msg : "");
	ok(join(EP_A, "dkd-ov-a", 0) < 0 && why.class == ERR_UNAVAILABLE && strstr(why.msg, "--cluster-advertise"), "no address: %s", why.msg);
	ok(node("nonsense", "true") < 0, "%s", why.msg);
	is_int(node("10.1.0.9", "false"), 0, "another node is no matter");
	ok(join(EP_A, "dkd-ov-a", 0) < 0, "and not this one's address");
	is_int(node("10.1.0.1", "true"), 0, "this host");
}

static void test_allocate(void)
{
	struct dkd_pair number = { "dockerd.number", "3" };
	struct dkd_net_network w = { .size = sizeof(w), .id = NET1, .name = "n", .options = &number };

	*last = '\0';
	ok(CALL(allocate_network, &w, on_pair, NULL) < 0 && strstr(why.msg, "--cluster-store"), "%s", why.msg);
	w.options_len = 1;
	is_int(CALL(allocate_network, &w, on_pair, NULL), 0, "a number of the cluster");
	is_str(last, "4100", "becomes one of VXLAN");
	number.value = "16777215";
	ok(CALL(allocate_network, &w, on_pair, NULL) < 0 && why.class == ERR_NO_SPACE, "there is an end to them: %s", why.msg);
}

static void test_bad_peers(void)
{
	ok(tell(EP_B, "10.1.0.2", "01:42:0a:4e:00:03", "10.78.0.3", NULL) < 0 && why.class == ERR_INVALID, "a group's MAC: %s", why.msg);
	ok(tell(EP_B, "nowhere", "02:42:0a:4e:00:03", "10.78.0.3", NULL) < 0, "no host");
	ok(tell(EP_B, "", "02:42:0a:4e:00:03", "10.78.0.3", NULL) < 0, "none at all");
	ok(tell(EP_B, "10.1.0.2", "02:42:0a:4e:00:03", "10.78", NULL) < 0, "half an address");
	is_int(forget(EP_C), 0, "forgetting whom nobody knows");
}

static void test_two_hosts(int go, int say)
{
	char c;

	is_int(tell(EP_B, "10.1.0.2", "02:42:0a:4e:00:03", "10.78.0.3/24", "fd78::3"), 0, "a container there is known before the wires are");
	is_int(endpoint(EP_A, "10.78.0.2/24", NULL), 0, "an endpoint");
	is_str(last, "02:42:0a:4e:00:02", "its MAC");
	if (!ok(join(EP_A, "dkd-ov-a", 0) == 0, "joined: %s", why.msg ? why.msg : ""))
		return;
	ok(joined_flags == 0, "it is the daemon that leads out");
	ok(!if_nametoindex("vxlan0") && !if_nametoindex("br0"), "the host has none of its interfaces");
	wire("dkd-ov-a", "02:42:0a:4e:00:02", "10.78.0.2/24", "fd78::2/64");
	ok(write(go, "g", 1) == 1 && read(say, &c, 1) == 1 && c == 'j', "the other host joins, too");
	ok(packet("dkd-ov-a", "dkd-ov-b", "10.78.0.3"), "a packet to the other host");
	ok(packet("dkd-ov-b", "dkd-ov-a", "10.78.0.2"), "and back");
	ok(packet("dkd-ov-a", "dkd-ov-b", "fd78::3"), "IPv6, too");
	is_int(forget(EP_B), 0, "the store says that it is gone");
	ok(run("ip -n dkd-ov-a neigh flush all") == 0 && no_packet("dkd-ov-a", "dkd-ov-b", "10.78.0.3"), "no packet finds it");
	is_int(tell(EP_B, "10.1.0.2", "02:42:0a:4e:00:03", "10.78.0.3/24", "fd78::3"), 0, "it is there again");
	is_int(tell(EP_B, "10.1.0.2", "02:42:0a:4e:00:03", "10.78.0.3/24", "fd78::3"), 0, "told twice");
	ok(run("ip -n dkd-ov-a neigh flush all") == 0 && packet("dkd-ov-a", "dkd-ov-b", "10.78.0.3"), "and found");
	ok(endpoint(EP_C, "10.78.0.4/24", NULL) == 0 && join(EP_C, "dkd-ov-c", 0) == 0, "a second one here");
	wire("dkd-ov-c", last, "10.78.0.4/24", "fd78::4/64");
	ok(packet("dkd-ov-a", "dkd-ov-c", "10.78.0.4"), "they meet");
}

static void test_restart(void)
{
	is_int(reopen("/run/exec-a"), 0, "the daemon starts again");
	ok(packet("dkd-ov-a", "dkd-ov-b", "10.78.0.3"), "packets flow meanwhile");
	ok(node("10.1.0.1", "true") == 0 && create(VNI, "5000", NULL, NULL) == 0, "it hears of the network");
	is_int(join(EP_A, "dkd-ov-a", DKD_NET_RESTORED), 0, "and takes its container over");
	is_int(tell(EP_B, "10.1.0.2", "02:42:0a:4e:00:03", "10.78.0.3/24", "fd78::3"), 0, "and the other's place");
	is_int(CALL(sweep, NULL, 0), 0, "the sweep");
	ok(packet("dkd-ov-a", "dkd-ov-b", "10.78.0.3"), "leaves it alone");
	is_int(forget(EP_B), 0, "what an earlier daemon told the kernel");
	ok(run("ip -n dkd-ov-a neigh flush all") == 0 && no_packet("dkd-ov-a", "dkd-ov-b", "10.78.0.3"), "is undone by this one");
}

static void test_end(int go, pid_t other)
{
	int status;

	ok(write(go, "e", 1) == 1 && waitpid(other, &status, 0) == other && status == 0, "the other host leaves nothing");
	CALL(leave, NET1, EP_A);
	ok(access("/run/exec-a/overlay/111111111111", F_OK) < 0, "the wires go with the last one");
	ok(join(EP_A, "dkd-ov-a", 0) == 0, "and come again");
	is_int(reopen("/run/exec-a"), 0, "a daemon that knows of nobody");
	is_int(CALL(sweep, NULL, 0), 0, "sweeps");
	ok(access("/run/exec-a/overlay/111111111111", F_OK) < 0, "the wires away");
}

int main(void)
{
	int to[2], from[2];
	pid_t other;
	char c;

	log_set_level(LOG_FATAL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || run("mount --make-rprivate / && mount -t tmpfs none /run && mkdir /run/netns && "
	    "for i in a b c; do ip netns add dkd-ov-$i && ip -n dkd-ov-$i link set lo up || exit 1; done") != 0) {
		printf("1..0 # SKIP needs root, network namespaces and ip\n");
		return 0;
	}
	if (run("ip link add v0 type vxlan id 1 dstport 4789 2>/dev/null && ip link del v0") != 0) {
		printf("1..0 # SKIP the kernel has no VXLAN\n");
		return 0;
	}
	if (pipe(to) < 0 || pipe(from) < 0)
		return 99;
	other = fork();
	if (other == 0)
		other_host(to[0], from[1]);
	ok(read(from[0], &c, 1) == 1 && run("ip link add w0 type veth peer name w1 netns %d && ip addr add 10.1.0.1/24 dev w0 && ip link set w0 up && ip link set lo up",
		(int)other) == 0, "two hosts");
	if (ok(load("/run/exec-a") == 0, "driver overlay: %s", err_text(&why))) {
		test_refused();
		test_allocate();
		test_bad_peers();
		test_two_hosts(to[1], from[0]);
		test_restart();
		test_end(to[1], other);
		ops->close(handle);
	}
	err_done(&why);
	return tap_done();
}
