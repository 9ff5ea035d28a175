/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver "bridge" and its sandboxes against a kernel, in a network namespace of the test's own. */
#include <dirent.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "network/net_i.h"
#include "network/rtnl.h"
#include "tap.h"

#define C1 "1111111111111111111111111111111111111111111111111111111111111111"
#define C2 "2222222222222222222222222222222222222222222222222222222222222222"
#define C3 "3333333333333333333333333333333333333333333333333333333333333333"

static char root[] = "/tmp/dkd-bridge-XXXXXX";
static char *exec_root;
static struct spawner *spawner;
static int create_on(struct net_controller *nc, const char *container, const char *network, struct sandbox *ret, struct err *err)
{
	const struct net_wish wish = { .network = network };

	return sandbox_create(nc, container, -1, &wish, 1, NULL, ret, err);
}

static struct net_bridge_config cfg = { .mtu = 1500, .icc = true, .ip_masq = true, .ip_forward = true };

/* Instead of libc's: lists of the kernel that changed while they were read, so many of them. */
static int changing, lists;

static ssize_t mark_changed(int fd, char *answer, ssize_t n)
{
	struct nlmsghdr *h = (void *)answer;
	int domain = 0;
	socklen_t size = sizeof(domain);

	if (n < (ssize_t)sizeof(*h) || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_NETLINK ||
	    !(h->nlmsg_flags & NLM_F_MULTI) || h->nlmsg_type == NLMSG_DONE)
		return n;
	lists++;
	if (changing > 0) {
		changing--;
		h->nlmsg_flags |= NLM_F_DUMP_INTR;
	}
	return n;
}
ssize_t recv(int fd, void *buf, size_t size, int flags)
{
	return mark_changed(fd, buf, syscall(SYS_recvfrom, fd, buf, size, flags, NULL, NULL));
}
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	return m->msg_iovlen ? mark_changed(fd, m->msg_iov[0].iov_base, n) : n;
}

static struct net_controller *reopen(struct net_controller *nc, struct err *err)
{
	net_close(nc);
	nc = net_open(root, exec_root, spawner, err);
	if (nc && net_setup_bridge(nc, &cfg, err) < 0) {
		net_close(nc);
		return NULL;
	}
	return nc;
}

static char *port_of(const struct sandbox *sb)
{
	return xasprintf("veth%.11s", sb->eps[0].id);
}

static bool goes(const char *port)
{
	for (int i = 0; i < 3000 && if_nametoindex(port); i++)
		usleep(10000);
	return !if_nametoindex(port);
}

/* Answers that a shell in the sandbox gives. */
static char *inside(const struct sandbox *sb, const char *command)
{
	OWN_FREE char *net = xasprintf("--net=%s", sb->netns_path);
	char *const argv[] = { (char *)"/usr/bin/nsenter", net, (char *)"/bin/sh", (char *)"-c", (char *)command, NULL };
	struct buf out = { 0 };
	int status;

	if (spawner_run(spawner, argv, NULL, -1, 5000, NULL, &status, &out, NULL) < 0)
		return xstrdup("");
	buf_addc(&out, '\0');
	return out.data;
}

static void test_setup(struct net_controller **nc)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_NETWORK struct network *n = NULL, *again = NULL;
	struct cidr a = { 0 };
	struct rtnl_net *taken = NULL;
	size_t taken_len = 0;
	int docker0 = 0;

	*nc = reopen(NULL, &err);
	if (!ok(*nc != NULL, "a bridge network: %s", err_text(&err)))
		return;
	is_str(net_default(*nc), "bridge", "is the default");
	n = net_find(*nc, "bridge", NULL);
	ok(if_nametoindex("docker0") && rtnl_address("docker0", false, &a, &err) == 0, "docker0 has an address: %s", err_text(&err));
	ok(a.address.n == 0xac110001 && a.bits == 16, "the first of Docker's first pool");
	*nc = reopen(*nc, &err);
	again = *nc ? net_find(*nc, "bridge", NULL) : NULL;
	changing = 3;
	lists = 0;
	*nc = reopen(*nc, &err);
	ok(*nc && changing == 0 && lists > 3, "lists that change while they are read are read again (%d): %s", lists, err_text(&err));
	changing = 1;
	is_int(rtnl_taken(NULL, &taken, &taken_len, &err), 0, "those of addresses and routes, too: %s", err_text(&err));
	for (size_t i = 0; i < taken_len; i++)
		docker0 += taken[i].net.address.n == 0xac110001 && taken[i].net.bits == 16;
	ok(changing == 0 && docker0 == 1, "and each entry counts once");
	free(taken);
	ok(again && streq(n->id, again->id) && n->created == again->created, "the same network after a restart");
}

static void test_life(struct net_controller **nc)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *port = NULL, *text = NULL, *port2 = NULL;
	OWN_STRV struct strv keep = { 0 };
	struct sandbox a, b, c;

	if (!ok(create_on(*nc, C1, "default", &a, &err) == 0, "a sandbox: %s", err_text(&err)))
		return;
	is_str(a.eps[0].ipv4, "172.17.0.2/16", "its address");
	is_str(a.eps[0].mac, "02:42:ac:11:00:02", "its MAC");
	is_str(a.eps[0].gateway4, "172.17.0.1", "its gateway");
	port = port_of(&a);
	ok(if_nametoindex(port), "its port %s", port);
	text = inside(&a, "cat /sys/class/net/eth0/address /proc/net/route /proc/sys/net/ipv6/conf/eth0/disable_ipv6");
	ok(strstr(text, "eth0\t00000000\t010011AC\t0003"), "the way out in the sandbox");
	is_int(create_on(*nc, C2, "bridge", &b, &err), 0, "another");
	is_str(b.eps[0].ipv4, "172.17.0.3/16", "has the next address");
	/* the daemon dies here */
	*nc = reopen(*nc, &err);
	is_int(create_on(*nc, C3, "bridge", &c, &err), 0, "a third after a restart");
	is_str(c.eps[0].ipv4, "172.17.0.4/16", "gets no address that is in use");
	is_int(sandbox_remove(*nc, C3, NULL, &err), 0, "removed");
	sandbox_done(&c);
	sandbox_done(&a);
	is_int(sandbox_adopt(*nc, C1, "bridge", &a, &err), 0, "adopted");
	ok(streq(a.eps[0].ipv4, "172.17.0.2/16") && streq(a.eps[0].gateway4, "172.17.0.1") && if_nametoindex(port), "with all that it had");
	/* the second container has gone meanwhile */
	port2 = port_of(&b);
	strv_add(&keep, C1);
	net_sweep(*nc, &keep);
	ok(goes(port2) && if_nametoindex(port), "the sweep takes what is nobody's, and nothing else");
	is_int(sandbox_remove(*nc, C1, NULL, &err), 0, "removed");
	ok(goes(port), "the port goes with the namespace");
	is_int(create_on(*nc, C3, "bridge", &c, &err), 0, "made anew");
	is_str(c.eps[0].ipv4, "172.17.0.2/16", "the first address is free again");
	is_int(sandbox_remove(*nc, C3, NULL, &err), 0, "removed");
	sandbox_done(&a);
	sandbox_done(&b);
	sandbox_done(&c);
}

/* While the port stands its address is nobody else's: here a third party keeps the namespace. */
static void test_linger(struct net_controller *nc)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *port = NULL;
	struct sandbox a, b;
	int fd;

	is_int(create_on(nc, C1, "bridge", &a, &err), 0, "a sandbox");
	port = port_of(&a);
	fd = open(a.netns_path, O_RDONLY | O_CLOEXEC);
	is_int(sandbox_remove(nc, C1, NULL, &err), 0, "removed, but its namespace is held");
	is_int(create_on(nc, C2, "bridge", &b, &err), 0, "another");
	ok(if_nametoindex(port) && !streq(a.eps[0].ipv4, b.eps[0].ipv4), "has not the address of one that stands");
	close(fd);
	goes(port);
	is_int(sandbox_remove(nc, C2, NULL, &err), 0, "removed");
	sandbox_done(&a);
	sandbox_done(&b);
}

/* Their numbers, of this namespace: the driver's are all there is. */
static size_t netfilter_sockets(struct buf *ret)
{
	OWN_BUF struct buf text = { 0 };
	OWN_STRV struct strv lines = { 0 };
	size_t len = 0;

	buf_reset(ret);
	if (fs_read(AT_FDCWD, "/proc/thread-self/net/netlink", 1 << 20, &text, NULL) < 0)
		return 0;
	strv_split(&lines, text.data, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		unsigned protocol, port, inode;

		if (sscanf(lines.v[i], "%*s %u %u %*s %*s %*s %*s %*s %*s %u", &protocol, &port, &inode) != 3 || protocol != NETLINK_NETFILTER || !port)
			continue;
		buf_addf(ret, "%u ", inode);
		len++;
	}
	return len;
}

/* To close one behind a change of rules takes the kernel longer than the change. */
static void test_sockets(struct net_controller *nc)
{
	const struct net_spec spec = { .name = "kept", .enable_ipv4 = -1, .enable_ipv6 = -1 };
	OWN_BUF struct buf before = { 0 }, after = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	char id[65];
	size_t len = netfilter_sockets(&before);

	is_int(len, 2, "netfilter has a socket for changes and one for questions: %s", before.data);
	is_int(net_create(nc, &spec, id, NULL, &err), 0, "a network: %s", err_text(&err));
	is_int(net_remove(nc, "kept", &err), 0, "goes: %s", err_text(&err));
	is_int(netfilter_sockets(&after), len, "no other was made for that");
	is_str(after.data, before.data, "and none of them closed");
}

static void test_options(struct net_controller **nc)
{
	static const struct { struct net_bridge_config cfg; const char *says; } bad[] = {
		{ { .bip = "nonsense" }, "invalid --bip: nonsense" },
		{ { .bip = "10.9.0.1/24", .fixed_cidr = "10.8.0.0/25" }, "--fixed-cidr 10.8.0.0/25 is not within the bridge's network" },
		{ { .bip = "10.9.0.1/24", .default_gateway = "10.8.0.1" }, "--default-gateway 10.8.0.1 is not within the bridge's network" },
		{ { .bridge = "br-none" }, "bridge device with non default name br-none must be created manually" },
		{ { .bridge = "lo" }, "existing interface lo is not a bridge" },
		{ { .bip = "10.9.0.1/24", .mtu = 67 }, "invalid value for option com.docker.network.driver.mtu: \"67\"" },
	};
	OWN_STRV struct strv pools = { 0 };
	OWN_NETWORK struct network *n = NULL;
	struct net_bridge_config good = cfg;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_ERR struct err err = ERR_INIT;

		cfg = bad[i].cfg;
		*nc = reopen(*nc, &err);
		ok(!*nc && strstr(err_text(&err), bad[i].says), "refused: %s", err_text(&err));
	}
	cfg = good;
	strv_add(&pools, "base=172.17.0.0/16,size=24");
	cfg.pools = &pools;
	cfg.bip = "172.17.5.1/24";
	*nc = reopen(*nc, NULL);
	n = *nc ? net_find(*nc, "bridge", NULL) : NULL;
	ok(n && streq(n->pools[0].subnet, "172.17.5.0/24"), "another subnet by --bip");
	cfg = good;
	cfg.bridge = "none";
	*nc = reopen(*nc, NULL);
	is_str(*nc ? net_default(*nc) : "", "none", "none for no bridge");
	ok(*nc && !net_find(*nc, "bridge", NULL), "and no network of that name");
}

int main(void)
{
	OWN_FREE char *dir = xasprintf("%s/plugins/net/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct net_controller *nc = NULL;

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
	test_setup(&nc);
	if (nc) {
		test_life(&nc);
		test_linger(nc);
		test_sockets(nc);
		test_options(&nc);
	}
	net_close(nc);
	spawner_stop(spawner);
	fs_remove_tree(AT_FDCWD, root, NULL);
	free(exec_root);
	return tap_done();
}
