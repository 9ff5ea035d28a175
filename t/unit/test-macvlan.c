/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The drivers "macvlan" and "ipvlan" through their ABI, against a kernel, in a network namespace of the test's own. */
#include <errno.h>
#include <net/if.h>

#include "base/log.h"
#include "base/str.h"
#include "driver.h"
#include "dockerd/net.h"
#include "netns.h"
#include "tap.h"

#define NET1 "1111111111111111111111111111111111111111111111111111111111111111"
#define NET2 "2222222222222222222222222222222222222222222222222222222222222222"
#define EP1 "aaaaaaaaaaaa1111111111111111111111111111111111111111111111111111"
#define EP2 "bbbbbbbbbbbb1111111111111111111111111111111111111111111111111111"

static const struct driver *driver;
static const struct dkd_net_ops *ops;
static struct dkd_net *handle;

/* One call, and what the driver said. */
#define CALL(op, ...) ({ struct driver_call c_; driver_call_begin(&c_, driver); \
	err_done(&why); why = (struct err)ERR_INIT; driver_call_end(&c_, ops->op(&c_.abi, handle, ##__VA_ARGS__), &why); })
static struct err why = ERR_INIT;

static bool load(const char *name)
{
	struct dkd_net_open open = { .size = sizeof(open), .root = "/nonexistent", .exec_root = "/nonexistent" };
	struct driver_call c;
	OWN_ERR struct err err = ERR_INIT;

	driver = driver_load(DKD_KIND_NET, name, &err);
	if (!ok(driver != NULL, "driver %s: %s", name, err_text(&err)))
		return false;
	ops = driver->ops;
	driver_call_begin(&c, driver);
	return ok(driver_call_end(&c, ops->open(&c.abi, driver_host(driver), &open, &handle), &err) == 0, "opened");
}

static int create(const char *id, uint32_t flags, const struct dkd_pair *options, uint32_t len)
{
	struct dkd_net_pool pools[] = {
		{ .size = sizeof(pools[0]), .subnet = "10.77.0.0/24", .gateway = "10.77.0.1" },
		{ .size = sizeof(pools[0]), .subnet = "fd77::/64", .gateway = "fd77::1" },
	};
	struct dkd_net_network w = {
		.size = sizeof(w), .flags = flags | DKD_NET_IPV4 | DKD_NET_IPV6, .id = id, .name = "n", .options = options, .options_len = len,
		.pools = pools, .pools_len = 2,
	};

	return CALL(create_network, &w);
}

static int create_on(const char *id, const char *parent, const char *mode_key, const char *mode)
{
	struct dkd_pair options[] = { { "parent", parent }, { mode_key, mode } };

	return create(id, 0, options, mode ? 2 : 1);
}

struct answer {
	char mac[32], interface[32], gateway4[32], gateway6[64];
	uint32_t flags, routes, in_sandbox;
};

static int32_t on_pair(void *to, const char *key, const char *value)
{
	if (streq(key, "mac"))
		snprintf(((struct answer *)to)->mac, 32, "%s", value);
	return 0;
}
static int32_t on_joined(void *to, const struct dkd_net_joined *j)
{
	struct answer *a = to;

	snprintf(a->interface, sizeof(a->interface), "%s", j->interface_name);
	snprintf(a->gateway4, sizeof(a->gateway4), "%s", j->gateway4 ? j->gateway4 : "-");
	snprintf(a->gateway6, sizeof(a->gateway6), "%s", j->gateway6 ? j->gateway6 : "-");
	a->flags = j->flags;
	a->routes = j->routes_len;
	a->in_sandbox = j->in_sandbox;
	return 0;
}

static int endpoint(const char *ep, const char *ipv4, const char *mac, struct answer *a)
{
	struct dkd_net_endpoint e = { .size = sizeof(e), .network = NET1, .id = ep, .ipv4 = ipv4, .mac = mac };

	*a = (struct answer){ 0 };
	return CALL(create_endpoint, &e, on_pair, a);
}

static int join(const char *ep, const char *sandbox, uint32_t flags, struct answer *a)
{
	OWN_FREE char *path = xasprintf("/run/netns/%s", sandbox);
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct dkd_net_join j = { .size = sizeof(j), .flags = flags, .network = NET1, .endpoint = ep, .container = ep, .sandbox = path,
		.sandbox_fd = fd, .sandbox_userns_fd = -1 };

	return CALL(join, &j, on_joined, a);
}

static void address(const char *sandbox, const char *interface, const char *cidr)
{
	run("ip -n %s addr add %s dev %s && ip -n %s link set %s up", sandbox, cidr, interface, sandbox, interface);
}

static void test_bad(const char *name)
{
	OWN_FREE char *mode = xasprintf("%s_mode", name), *lo = xasprintf("loopback interface is not a valid %s parent link", name);
	struct dkd_pair mtu[] = { { "parent", "p0" }, { "com.docker.network.driver.mtu", "-1" } };

	ok(create_on(NET1, "lo", mode, NULL) < 0 && streq(why.msg, lo), "no loopback: %s", why.msg);
	ok(create_on(NET1, "nosuch", mode, NULL) < 0 && strstr(why.msg, "invalid subinterface vlan name nosuch"), "no parent: %s", why.msg);
	ok(create_on(NET1, "p0.4095", mode, NULL) < 0 && strstr(why.msg, "vlan id must be between 1-4094, received: 4095"), "%s", why.msg);
	ok(create_on(NET1, "gone.7", mode, NULL) < 0 && strstr(why.msg, "failed to find master interface gone"), "%s", why.msg);
	ok(create_on(NET1, "a-name-too-long-for-it", mode, NULL) < 0 && why.class == ERR_INVALID, "%s", why.msg);
	ok(create_on(NET1, "p0", mode, "best") < 0 && strstr(why.msg, "mode 'best' is not valid") && why.class == ERR_INVALID, "%s", why.msg);
	ok(create(NET1, 0, mtu, 2) < 0 && strstr(why.msg, "driver.mtu"), "%s", why.msg);
}

/* What the driver makes, it takes away; what was there stays. */
static void test_parents(const char *name, const char *dummy)
{
	OWN_FREE char *mode = xasprintf("%s_mode", name);

	if (run("ip link add kind0 type dummy 2>/dev/null && ip link del kind0") != 0) {
		ok(create(NET1, 0, NULL, 0) < 0 && strstr(why.msg, "no interfaces of kind dummy"), "no dummies here: %s", why.msg);
	} else {
		is_int(create(NET1, 0, NULL, 0), 0, "without a parent: %s", why.msg ? why.msg : "");
		ok(if_nametoindex(dummy), "a dummy %s", dummy);
		is_int(CALL(delete_network, NET1), 0, "deleted");
		ok(!if_nametoindex(dummy), "and the dummy with it");
	}
	if (run("ip link add link p0 name p0.9 type vlan id 9 2>/dev/null && ip link del p0.9") != 0) {
		ok(create_on(NET1, "p0.10", mode, NULL) < 0 && strstr(why.msg, "no interfaces of kind vlan"), "no VLANs here: %s", why.msg);
	} else {
		is_int(create_on(NET1, "p0.10", mode, NULL), 0, "on a VLAN");
		ok(if_nametoindex("p0.10"), "which is made");
		is_int(create_on(NET2, "p0.10", mode, NULL), 0, "another network on it");
		is_int(CALL(delete_network, NET1), 0, "the first is deleted");
		ok(if_nametoindex("p0.10"), "the VLAN stays for the other");
		is_int(CALL(delete_network, NET2), 0, "which goes, too");
		ok(!if_nametoindex("p0.10"), "with the VLAN");
	}
	is_int(create_on(NET1, "p0", mode, NULL), 0, "on an interface of the host's");
	is_int(CALL(delete_network, NET1), 0, "deleted");
	ok(if_nametoindex("p0"), "which stays");
	is_int(CALL(delete_network, NET1), 0, "again is fine");
}

static void test_packets(const char *name, bool has_mac)
{
	OWN_FREE char *mode = xasprintf("%s_mode", name);
	struct answer a, b;

	is_int(create_on(NET1, "p0", mode, NULL), 0, "a network");
	is_int(endpoint(EP1, "10.77.0.2/24", NULL, &a), 0, "an endpoint");
	is_str(a.mac, has_mac ? "02:42:0a:4d:00:02" : "", "its MAC");
	ok(endpoint(EP1, "10.77.0.2/24", "01:00:00:00:00:01", &b) < 0, "a bad MAC: %s", why.msg);
	if (!ok(join(EP1, "dkd-mv-a", 0, &a) == 0, "joined: %s", why.msg ? why.msg : ""))
		return;
	is_str(a.interface, "vethaaaaaaaaaaa", "interface");
	is_str(a.gateway4, "10.77.0.1", "gateway");
	is_str(a.gateway6, "fd77::1", "of IPv6");
	is_int(a.in_sandbox, 1, "in the sandbox");
	ok(endpoint(EP2, "10.77.0.3/24", NULL, &b) == 0 && join(EP2, "dkd-mv-b", 0, &b) == 0, "another: %s", why.msg ? why.msg : "");
	address("dkd-mv-a", a.interface, "10.77.0.2/24");
	address("dkd-mv-b", b.interface, "10.77.0.3/24");
	address("dkd-mv-p", "p1", "10.77.0.9/24");
	ok(packet("dkd-mv-a", "dkd-mv-b", "10.77.0.3"), "a packet between two");
	ok(packet("dkd-mv-a", "dkd-mv-p", "10.77.0.9"), "and to the parent's network");
	ok(packet("dkd-mv-p", "dkd-mv-b", "10.77.0.3"), "and from there");
	is_int(create_on(NET1, "p0", mode, NULL), 0, "told again after a restart");
	is_int(join(EP1, "dkd-mv-a", DKD_NET_RESTORED, &a), 0, "taken over");
	ok(packet("dkd-mv-a", "dkd-mv-b", "10.77.0.3"), "still");
	run("ip -n dkd-mv-a link del %s; ip -n dkd-mv-b link del %s; ip -n dkd-mv-p addr flush dev p1", "vethaaaaaaaaaaa", "vethbbbbbbbbbbb");
	is_int(CALL(delete_network, NET1), 0, "deleted");
	ok(join(EP1, "dkd-mv-a", 0, &a) < 0 && why.class == ERR_NOT_FOUND, "no network: %s", why.msg);
}

static void test_internal(const char *name)
{
	struct dkd_pair options[] = { { "parent", "p0" } };
	struct answer a;

	is_int(create(NET1, DKD_NET_INTERNAL, options, 1), 0, "an internal network of %s", name);
	ok(endpoint(EP1, "10.77.0.2/24", NULL, &a) == 0 && join(EP1, "dkd-mv-a", 0, &a) == 0, "joined");
	ok(streq(a.gateway4, "-") && streq(a.gateway6, "-") && a.routes == 0, "has no way out");
	run("ip -n dkd-mv-a link del %s", a.interface);
	is_int(CALL(delete_network, NET1), 0, "deleted");
}

static void test_modes(void)
{
	struct answer a, b;

	is_int(create_on(NET1, "p0", "macvlan_mode", "private"), 0, "private");
	ok(endpoint(EP1, "10.77.0.2/24", NULL, &a) == 0 && join(EP1, "dkd-mv-a", 0, &a) == 0 &&
	   endpoint(EP2, "10.77.0.3/24", NULL, &b) == 0 && join(EP2, "dkd-mv-b", 0, &b) == 0, "two on it");
	address("dkd-mv-a", a.interface, "10.77.0.2/24");
	address("dkd-mv-b", b.interface, "10.77.0.3/24");
	ok(no_packet("dkd-mv-a", "dkd-mv-b", "10.77.0.3"), "do not meet");
	ok(create_on(NET2, "p0", "macvlan_mode", "passthru") < 0 && strstr(why.msg, "cannot use mode passthru") && why.class == ERR_FORBIDDEN, "%s", why.msg);
	run("ip -n dkd-mv-a link del %s; ip -n dkd-mv-b link del %s", a.interface, b.interface);
	CALL(delete_network, NET1);
	is_int(create_on(NET1, "p0", "macvlan_mode", "passthru"), 0, "passthru alone");
	ok(create_on(NET2, "p0", "macvlan_mode", "bridge") < 0 && strstr(why.msg, "in mode passthru"), "%s", why.msg);
	CALL(delete_network, NET1);
}

static void test_l3(void)
{
	struct answer a;

	is_int(create_on(NET1, "p0", "ipvlan_mode", "l3"), 0, "l3");
	ok(endpoint(EP1, "10.77.0.2/24", NULL, &a) == 0 && join(EP1, "dkd-mv-a", 0, &a) == 0, "joined");
	ok(a.flags == DKD_NET_NO_GATEWAY && a.routes == 2 && streq(a.gateway4, "-"), "the link itself is the way out, for both families");
	ok(endpoint(EP2, NULL, "02:42:00:00:00:09", &a) < 0 && strstr(why.msg, "do not support custom mac"), "%s", why.msg);
	run("ip -n dkd-mv-a link del vethaaaaaaaaaaa");
	CALL(delete_network, NET1);
}

int main(void)
{
	OWN_FREE char *dir = xasprintf("%s/plugins/net/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	log_set_level(LOG_FATAL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || run("mount --make-rprivate / && mount -t tmpfs none /run && mkdir /run/netns && "
	    "ip netns add dkd-mv-a && ip netns add dkd-mv-b && ip netns add dkd-mv-p && ip link add p0 type veth peer p1 netns dkd-mv-p && "
	    "ip link set p0 up && ip -n dkd-mv-p link set p1 up && ip -n dkd-mv-a link set lo up && ip -n dkd-mv-b link set lo up") != 0) {
		printf("1..0 # SKIP needs root, network namespaces and ip\n");
		return 0;
	}
	strv_take(&dirs, realpath(dir, NULL));
	is_int(driver_init_only(&dirs, NULL, &err), 0, "drivers of the build tree: %s", err_text(&err));
	if (load("macvlan")) {
		test_bad("macvlan");
		test_parents("macvlan", "dm-111111111111");
		test_packets("macvlan", true);
		test_internal("macvlan");
		test_modes();
		ops->close(handle);
	}
	if (load("ipvlan")) {
		test_bad("ipvlan");
		test_parents("ipvlan", "di-111111111111");
		if (run("ip link add i0 link p0 type ipvlan mode l2 2>/dev/null && ip link del i0") != 0) {
			struct answer a;

			create_on(NET1, "p0", "ipvlan_mode", NULL);
			ok(join(EP1, "dkd-mv-a", 0, &a) < 0 && strstr(why.msg, "the kernel has no ipvlan interfaces"), "refused in words: %s", why.msg);
			CALL(delete_network, NET1);
			skip("packets by ipvlan", "the kernel has no ipvlan");
		} else {
			test_packets("ipvlan", false);
			test_internal("ipvlan");
			test_l3();
		}
		ops->close(handle);
	}
	err_done(&why);
	return tap_done();
}
