/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is checked of network drivers, in a network namespace that has nothing but a loopback interface and an idle one, "check0" with 192.0.2.10, and a
 * bridge, "check2", that a driver may use. --option: those of the networks.
 */
#include "dockerd/net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kit.h"
#include "network/rtnl.h"

#define NET "55555555555500000000000000000000000000000000000000000000000000aa"
#define NET2 "44444444444400000000000000000000000000000000000000000000000000bb"
#define ENDPOINT "11111111111100000000000000000000000000000000000000000000000000e1"
#define ENDPOINT2 "22222222222200000000000000000000000000000000000000000000000000e2"
#define CONTAINER "33333333333300000000000000000000000000000000000000000000000000c1"

static const struct dkd_net_ops *ops;
static struct dkd_net *net;
static struct dkd_net_caps caps;

/* Ours; what belongs to the case's children, too. */
static bool own_network(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		check_skip("networks", "no namespace of its own: %s", strerror(errno));
		return false;
	}
	mount("sysfs", "/sys", "sysfs", 0, NULL); /* of this namespace */
	if (system("ip link add check2 type bridge 2>/dev/null"))
		check_note("there is no bridge check2: ip(8) could not make it");
	if (system("ip link add check0 type veth peer name check1 2>/dev/null && ip addr add 192.0.2.10/24 dev check0 && ip link set check0 up && ip link set check1 up"))
		check_note("there is no interface check0: ip(8) could not make it");
	return true;
}

static bool begin(struct check *c)
{
	static const struct dkd_pair here[] = { { "address", "192.0.2.10" }, { "self", "true" } };
	OWN_FREE char *root = xasprintf("%s/network/drivers/%s", c->root, c->driver->desc->name), *exec_root = xasprintf("%s/exec", c->root);
	struct dkd_net_open open = { .size = sizeof(open), .root = root, .exec_root = exec_root, .instance = c->instance };

	kit_begin(c);
	ops = c->driver->ops;
	caps = (struct dkd_net_caps){ .size = sizeof(caps) };
	mkdir(exec_root, 0711);
	if (!works(call_driver(ops->open, driver_host(c->driver), &open, &net) == 0, "open"))
		return false;
	if (ops->discover_new)
		works(call_driver(ops->discover_new, net, "node", here, ARRAY_LEN(here)) == 0, "it learns this host's address");
	return works(call_driver(ops->capabilities, net, &caps) == 0 && caps.scope <= DKD_NET_SCOPE_GLOBAL && caps.connectivity <= DKD_NET_SCOPE_GLOBAL, "capabilities");
}

static void shut(void)
{
	if (ops->close)
		ops->close(net);
	err_done(&why);
}

/* The names of all interfaces here, as one text. */
static char *interfaces(void)
{
	struct if_nameindex *v = if_nameindex();
	OWN_STRV struct strv names = { 0 };

	for (const struct if_nameindex *i = v; i && i->if_index; i++)
		strv_add(&names, i->if_name);
	if_freenameindex(v);
	strv_sort(&names);
	return strv_join(&names, " ");
}

/* A container without processes: a network namespace, and whoever keeps it. */
struct sandbox { pid_t pid; int fd; char path[64]; };

static bool sandbox_open(struct sandbox *s)
{
	int ready[2];
	char c;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return false;
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		c = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	snprintf(s->path, sizeof(s->path), "/proc/%d/ns/net", (int)s->pid);
	s->fd = read(ready[0], &c, 1) == 1 && c == 'y' ? open(s->path, O_RDONLY | O_CLOEXEC) : -1;
	close(ready[0]);
	return s->fd >= 0;
}

static bool sandbox_has(const struct sandbox *s, const char *name)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(setns(s->fd, CLONE_NEWNET) < 0 || !if_nametoindex(name));
	return check_wait(pid) == 0;
}

static void sandbox_close(struct sandbox *s)
{
	fd_close(&s->fd);
	kill(s->pid, SIGKILL);
	check_wait(s->pid);
}

/* The kernel takes interfaces down some time behind a namespace's end. */
static void as_before(const char *before)
{
	OWN_FREE char *now = interfaces();

	for (int i = 0; i < 200 && !streq(before, now); i++) {
		usleep(50000);
		free(now);
		now = interfaces();
	}
	if (!check_ok(streq(before, now), "no interface stays behind"))
		check_note("before: %s; now: %s", before, now);
}

/* Calls. An operation that a driver does not have has nothing to do. */

/* Networks of several hosts: what the first of them agreed on goes with their options. */
static int make(const char *id, uint32_t flags)
{
	bool first = streq(id, NET);
	struct dkd_net_pool pool = { .size = sizeof(pool), .subnet = first ? "10.213.7.0/24" : "10.213.8.0/24", .gateway = first ? "10.213.7.1" : "10.213.8.1" };
	struct dkd_net_network w = {
		.size = sizeof(w), .flags = DKD_NET_IPV4 | flags, .id = id, .name = "check", .pools = &pool, .pools_len = caps.flags & DKD_NET_NO_IPAM ? 0 : 1,
	};
	OWN_FREE struct dkd_pair *options = kit_options("dockerd.number", first ? "1" : "2", &w.options_len), *all = NULL;
	OWN_STRMAP struct strmap agreed = { 0 };

	w.options = options;
	if (caps.scope == DKD_NET_SCOPE_GLOBAL && ops->allocate_network && call_driver(ops->allocate_network, net, &w, kit_pair, &agreed) < 0)
		return -1;
	all = xcalloc(w.options_len + agreed.len + 1, sizeof(*all));
	memcpy(all, options, w.options_len * sizeof(*all));
	for (size_t i = 0; i < agreed.len; i++)
		all[w.options_len++] = (struct dkd_pair){ agreed.v[i].key, agreed.v[i].value };
	w.options = all;
	return ops->create_network ? call_driver(ops->create_network, net, &w) : 0;
}

static int drop(const char *id)
{
	return ops->delete_network ? call_driver(ops->delete_network, net, id) : 0;
}

static int add_endpoint(const char *endpoint, const char *ipv4, uint32_t flags, struct strmap *chosen)
{
	struct dkd_net_endpoint e = { .size = sizeof(e), .flags = flags, .network = NET, .id = endpoint, .ipv4 = caps.flags & DKD_NET_NO_IPAM ? NULL : ipv4 };

	return ops->create_endpoint ? call_driver(ops->create_endpoint, net, &e, kit_pair, chosen) : 0;
}

static int del_endpoint(const char *endpoint)
{
	return ops->delete_endpoint ? call_driver(ops->delete_endpoint, net, NET, endpoint) : 0;
}

struct joined { unsigned count; bool in_sandbox; char *name, *prefix, *wanted; };

static int32_t on_joined(void *to, const struct dkd_net_joined *j)
{
	struct joined *ret = to;

	ret->count++;
	ret->in_sandbox = j->in_sandbox;
	str_set(&ret->name, j->interface_name);
	str_set(&ret->prefix, j->interface_prefix);
	str_set(&ret->wanted, j->interface_wanted);
	return 0;
}

static void joined_done(struct joined *j)
{
	free(j->name);
	free(j->prefix);
	free(j->wanted);
}

static int join(const char *endpoint, const struct sandbox *s, uint32_t flags, struct joined *ret)
{
	struct dkd_net_join j = {
		.size = sizeof(j), .flags = flags, .network = NET, .endpoint = endpoint, .container = CONTAINER, .sandbox = s->path, .sandbox_fd = s->fd, .sandbox_userns_fd = -1,
	};

	return ops->join ? call_driver(ops->join, net, &j, on_joined, ret) : 0;
}

static int leave(const char *endpoint)
{
	return ops->leave ? call_driver(ops->leave, net, NET, endpoint) : 0;
}

/* Moves what join() named, as the daemon does. */
static bool take_in(const struct joined *j, const struct sandbox *s)
{
	if (caps.flags & (DKD_NET_NO_ENDPOINT | DKD_NET_HOST_SANDBOX) || !ops->join)
		return true;
	if (j->count != 1 || (j->name && !j->prefix && !j->wanted))
		return false;
	if (!j->name || j->in_sandbox)
		return !j->name || sandbox_has(s, j->name);
	return if_nametoindex(j->name) && rtnl_move(j->name, s->fd, &why) == 0 && !if_nametoindex(j->name);
}

static int publish(const char *endpoint, uint32_t port)
{
	struct dkd_net_port p = { .size = sizeof(p), .proto = DKD_NET_TCP, .host_ip = "0.0.0.0", .host_port = port, .port = 80, .count = 1 };
	struct dkd_net_publish all = { .size = sizeof(all), .network = NET, .endpoint = endpoint, .ipv4 = "10.213.7.2/24", .ports = &p, .ports_len = 1 };

	return ops->program_ports ? call_driver(ops->program_ports, net, &all) : 0;
}

static int unpublish(const char *endpoint)
{
	return ops->revoke_ports ? call_driver(ops->revoke_ports, net, NET, endpoint) : 0;
}

/* Cases */

/* A driver with one network that users make none of is given it by the daemon alone. */
static void case_networks(struct check *c)
{
	OWN_FREE char *before = NULL;

	if (!own_network() || !begin(c))
		return;
	before = interfaces();
	works(make(NET, 0) == 0, "a network is made");
	if (!(caps.flags & DKD_NET_PREDEFINED))
		works(make(NET2, 0) == 0 && drop(NET2) == 0, "another is made, and deleted");
	works(drop(NET) == 0, "it is deleted");
	as_before(before);
	works(drop(NET) == 0 && drop(NET2) == 0, "what is not there is deleted, too");
	shut();
}

static void use_endpoint(struct sandbox *s)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	struct joined j = { 0 };

	works(add_endpoint(ENDPOINT, "10.213.7.2/24", 0, &chosen) == 0, "an endpoint");
	works(join(ENDPOINT, s, 0, &j) == 0, "a container joins");
	works(take_in(&j, s), "with an interface that the daemon can move, or that is moved");
	works(publish(ENDPOINT, 8080) == 0 || why.class == ERR_NOT_IMPLEMENTED || why.class == ERR_INVALID, "a port is published, or it says why not");
	works(unpublish(ENDPOINT) == 0 && unpublish(ENDPOINT) == 0, "and taken back, also twice");
	works(leave(ENDPOINT) == 0 && leave(ENDPOINT) == 0, "the container leaves, also twice");
	works(del_endpoint(ENDPOINT) == 0 && del_endpoint(ENDPOINT) == 0, "the endpoint is deleted, also twice");
	joined_done(&j);
}

/* The daemon did not come to move the interface. */
static void join_in_vain(const struct sandbox *s)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	struct joined j = { 0 };

	works(add_endpoint(ENDPOINT2, "10.213.7.3/24", 0, &chosen) == 0 && join(ENDPOINT2, s, 0, &j) == 0, "another joins");
	works(leave(ENDPOINT2) == 0 && del_endpoint(ENDPOINT2) == 0, "and leaves before its interface was moved");
	joined_done(&j);
}

static void case_endpoints(struct check *c)
{
	OWN_FREE char *before = NULL;
	struct sandbox s;

	if (!own_network() || !begin(c))
		return;
	works(make(NET, 0) == 0, "a network");
	before = interfaces();
	if (!check_ok(sandbox_open(&s), "a sandbox"))
		return;
	use_endpoint(&s);
	join_in_vain(&s);
	sandbox_close(&s);
	as_before(before);
	works(drop(NET) == 0, "the network is deleted");
	shut();
}

static void case_sandbox_gone(struct check *c)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	OWN_FREE char *before = NULL;
	struct joined j = { 0 };
	struct sandbox s;

	if (!own_network() || !begin(c))
		return;
	works(make(NET, 0) == 0, "a network");
	before = interfaces();
	check_ok(sandbox_open(&s), "a sandbox");
	works(add_endpoint(ENDPOINT, "10.213.7.2/24", 0, &chosen) == 0 && join(ENDPOINT, &s, 0, &j) == 0 && take_in(&j, &s), "a container joins");
	sandbox_close(&s);
	joined_done(&j);
	works(leave(ENDPOINT) == 0 && del_endpoint(ENDPOINT) == 0, "its sandbox goes before it leaves");
	as_before(before);
	works(drop(NET) == 0, "the network is deleted");
	shut();
}

static void case_options(struct check *c)
{
	OWN_STRMAP struct strmap known = { 0 };

	if (!own_network() || !begin(c))
		return;
	if (ops->known_options) {
		works(call_driver(ops->known_options, net, kit_pair, &known) == 0, "the options that it knows");
		check_ok(!strmap_get(&known, "no-such.option_"), "are not all there are");
	} else {
		check_skip("options", "it does not tell");
	}
	if (ops->skip_gateway) {
		struct dkd_net_network w = { .size = sizeof(w), .flags = DKD_NET_IPV4, .id = NET, .name = "check" };
		int rc = call_driver(ops->skip_gateway, net, &w);

		works(rc == 0 || rc == 1, "whether it needs a gateway's address");
	}
	shut();
}

/* Crashes: killed between any two calls, in memory that the processes share. */
static struct progress { unsigned calls, stop; } *progress;
static struct sandbox life;

static void done(void)
{
	if (++progress->calls == progress->stop)
		raise(SIGKILL);
}

static int live(struct check *c, void *arg)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	struct joined j = { 0 };

	(void)arg;
	if (!begin(c))
		return 2;
	make(NET, 0);
	done();
	add_endpoint(ENDPOINT, "10.213.7.2/24", 0, &chosen);
	done();
	join(ENDPOINT, &life, 0, &j);
	done();
	take_in(&j, &life);
	done();
	publish(ENDPOINT, 8080);
	done();
	unpublish(ENDPOINT);
	done();
	leave(ENDPOINT);
	done();
	del_endpoint(ENDPOINT);
	done();
	drop(NET);
	done();
	joined_done(&j);
	return 0;
}

/* The next daemon knows the network, and no container. */
static int mend(struct check *c, void *arg)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	struct joined j = { 0 };

	(void)arg;
	if (!begin(c))
		return 2;
	works(make(NET, DKD_NET_RESTORED) == 0, "after a crash behind call %u the network is taken over", progress->stop);
	if (ops->sweep)
		works(call_driver(ops->sweep, net, NULL, 0) == 0, "what is nobody's is swept");
	leave(ENDPOINT);
	del_endpoint(ENDPOINT);
	works(add_endpoint(ENDPOINT2, "10.213.7.3/24", 0, &chosen) == 0 && join(ENDPOINT2, &life, 0, &j) == 0 && take_in(&j, &life), "another container joins");
	works(leave(ENDPOINT2) == 0 && del_endpoint(ENDPOINT2) == 0 && drop(NET) == 0, "and leaves, and the network is deleted");
	joined_done(&j);
	shut();
	return 0;
}

static void case_crash(struct check *c)
{
	OWN_FREE char *before = NULL;

	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!own_network())
		return;
	before = interfaces();
	for (unsigned stop = 1; ; stop++) {
		int status;

		if (!check_ok(sandbox_open(&life), "a sandbox"))
			return;
		*progress = (struct progress){ .stop = stop };
		status = check_apart(c, live, NULL);
		if (!WIFSIGNALED(status)) {
			check_ok(WIFEXITED(status) && WEXITSTATUS(status) == 0 && progress->calls > 8, "then it lives to its end");
			break;
		}
		check_apart(c, mend, NULL);
		sandbox_close(&life);
		as_before(before);
	}
	sandbox_close(&life);
}

/* A daemon ends, and a container goes on. */
static int connect_one(struct check *c, void *arg)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	struct joined j = { 0 };
	bool joined;

	(void)arg;
	joined = begin(c) && make(NET, 0) == 0 && add_endpoint(ENDPOINT, "10.213.7.2/24", 0, &chosen) == 0 && join(ENDPOINT, &life, 0, &j) == 0 && take_in(&j, &life);
	joined_done(&j);
	return joined ? 0 : 1;
}

static int take_over(struct check *c, void *arg)
{
	OWN_STRMAP struct strmap chosen = { 0 };
	OWN_FREE char *now = NULL;
	struct joined j = { 0 };
	const char *const endpoints[] = { ENDPOINT };

	if (!begin(c))
		return 1;
	works(make(NET, DKD_NET_RESTORED) == 0, "the network is taken over");
	works(add_endpoint(ENDPOINT, "10.213.7.2/24", DKD_NET_RESTORED, &chosen) == 0 && join(ENDPOINT, &life, DKD_NET_RESTORED, &j) == 0, "and its endpoint");
	if (ops->sweep)
		works(call_driver(ops->sweep, net, endpoints, ARRAY_LEN(endpoints)) == 0, "a sweep leaves it");
	now = interfaces();
	check_ok(streq(arg, now), "every interface is where it was");
	works(leave(ENDPOINT) == 0 && del_endpoint(ENDPOINT) == 0 && drop(NET) == 0, "then it goes");
	joined_done(&j);
	shut();
	return 0;
}

static void case_restart(struct check *c)
{
	OWN_FREE char *between = NULL;

	if (!own_network() || !check_ok(sandbox_open(&life), "a sandbox"))
		return;
	if (check_ok(check_apart(c, connect_one, NULL) == 0, "a container is connected, and the process gone")) {
		between = interfaces();
		check_ok(check_apart(c, take_over, between) == 0, "the next one goes on");
	}
	sandbox_close(&life);
}

static int probe(struct check *c, char *reason, size_t size)
{
	return kit_probe(c, ((const struct dkd_net_ops *)c->driver->ops)->probe, c->root, reason, size);
}

static const struct check_case cases[] = {
	{ "networks", case_networks, false },
	{ "endpoints", case_endpoints, false },
	{ "a sandbox that is gone", case_sandbox_gone, false },
	{ "options", case_options, false },
	{ "crash", case_crash, true },
	{ "restart", case_restart, true },
	{ 0 },
};

const struct check_suite check_net = { DKD_KIND_NET, cases, probe };
