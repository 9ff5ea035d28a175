/* SPDX-License-Identifier: MIT */
/*
 * A network driver of one's own: containers on a bridge that the host has already, with the host's own LAN behind it, say.
 *
 *	cc -shared -fPIC -Wl,-z,defs $(pkg-config --cflags dockerd-driver) -o cable.so cable.c
 *	docker network create -d cable -o bridge=br7 --subnet 192.168.7.0/24 --gateway 192.168.7.1 lan
 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <dockerd/net.h>

struct network {
	char id[65], bridge[IFNAMSIZ], gateway[64];
	struct network *next;
};
struct dkd_net {
	const struct dkd_host *host;
	struct network *networks;
};

static int32_t cable_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open, struct dkd_net **ret)
{
	(void)open;
	if (!(*ret = calloc(1, sizeof(**ret))))
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	(*ret)->host = host;
	return 0;
}

static void cable_close(struct dkd_net *d)
{
	while (d->networks) {
		struct network *n = d->networks;

		d->networks = n->next;
		free(n);
	}
	free(d);
}

static int32_t cable_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret)
{
	(void)call, (void)d, (void)ret; /* local scope, with addresses: nothing to say */
	return 0;
}

/* Where the network's pointer lies, or would. */
static struct network **find(struct dkd_net *d, const char *id)
{
	struct network **p = &d->networks;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

/* Also after a restart of the daemon, for each network that there is. */
static int32_t cable_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	struct network **p = find(d, w->id), *n = *p ? *p : calloc(1, sizeof(*n));

	if (!n)
		return dkd_failf(d->host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	*p = n;
	snprintf(n->id, sizeof(n->id), "%s", w->id);
	for (uint32_t i = 0; i < w->options_len; i++)
		if (strcmp(w->options[i].key, "bridge") == 0)
			snprintf(n->bridge, sizeof(n->bridge), "%s", w->options[i].value);
	if (w->pools_len && w->pools->gateway && !(w->flags & DKD_NET_INTERNAL))
		snprintf(n->gateway, sizeof(n->gateway), "%s", w->pools->gateway);
	if (if_nametoindex(n->bridge))
		return 0;
	dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "there is no bridge \"%s\": name one with the option bridge", n->bridge);
	*p = n->next;
	free(n);
	return -1;
}

static int32_t cable_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *id)
{
	struct network **p = find(d, id), *n = *p;

	(void)call;
	if (n)
		*p = n->next;
	free(n);
	return 0;
}

static struct rtattr *put(struct nlmsghdr *h, unsigned short type, const void *data, size_t size)
{
	struct rtattr *a = (void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));

	*a = (struct rtattr){ .rta_type = type, .rta_len = (unsigned short)RTA_LENGTH(size) };
	if (size)
		memcpy(RTA_DATA(a), data, size);
	h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static void end(struct nlmsghdr *h, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)h + h->nlmsg_len - (char *)a);
}

/* A pair of interfaces: near is up and a port of the bridge, far waits to be moved into the container. */
static int make_pair(const char *near, const char *far, int bridge)
{
	union { struct nlmsghdr h; char bytes[512]; } buf = { .bytes = "" };
	struct nlmsghdr *h = &buf.h;
	struct ifinfomsg *i = NLMSG_DATA(h);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), sys;
	struct rtattr *info, *data, *peer;

	*h = (struct nlmsghdr){ NLMSG_LENGTH(sizeof(*i)), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, 1, 0 };
	i->ifi_flags = i->ifi_change = IFF_UP;
	put(h, IFLA_IFNAME, near, strlen(near) + 1);
	put(h, IFLA_MASTER, &bridge, sizeof(bridge));
	info = put(h, IFLA_LINKINFO, NULL, 0);
	put(h, IFLA_INFO_KIND, "veth", 5);
	data = put(h, IFLA_INFO_DATA, NULL, 0);
	peer = put(h, VETH_INFO_PEER, NULL, 0);
	h->nlmsg_len += (unsigned)sizeof(*i); /* that of the peer; nothing to say */
	put(h, IFLA_IFNAME, far, strlen(far) + 1);
	end(h, peer);
	end(h, data);
	end(h, info);
	sys = fd < 0 || send(fd, &buf, h->nlmsg_len, 0) < 0 || recv(fd, &buf, sizeof(buf), 0) < 0 ? errno : -((struct nlmsgerr *)NLMSG_DATA(h))->error;
	if (fd >= 0)
		close(fd);
	errno = sys;
	return sys ? -1 : 0;
}

static int32_t cable_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j, dkd_emit_joined *emit, void *to)
{
	struct dkd_net_joined done = { .size = sizeof(done), .interface_prefix = "eth" };
	const struct network *n = *find(d, j->network);
	char near[IFNAMSIZ], far[IFNAMSIZ];

	if (j->flags & DKD_NET_RESTORED) /* it stands as long as the container's namespace */
		return 0;
	if (!n)
		return dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", j->network);
	snprintf(near, sizeof(near), "cn%.12s", j->endpoint);
	snprintf(far, sizeof(far), "cf%.12s", j->endpoint);
	if (make_pair(near, far, (int)if_nametoindex(n->bridge)) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INTERNAL, errno, "connect to bridge %s: %s", n->bridge, strerror(errno));
	done.interface_name = far;
	done.gateway4 = *n->gateway ? n->gateway : NULL;
	emit(to, &done); /* the daemon moves and names it, and gives it its address and the route */
	return 0;
}

/* What the container's end was moved into takes both with it; one that never was goes here. */
static int32_t cable_leave(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct { struct nlmsghdr h; struct ifinfomsg i; } m = {
		{ sizeof(m), RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0 }, { 0 },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	char near[IFNAMSIZ], answer[512];

	(void)call, (void)d, (void)network;
	snprintf(near, sizeof(near), "cn%.12s", endpoint);
	m.i.ifi_index = (int)if_nametoindex(near);
	if (m.i.ifi_index && fd >= 0 && send(fd, &m, sizeof(m), 0) == (ssize_t)sizeof(m))
		recv(fd, answer, sizeof(answer), 0); /* it is gone then */
	if (fd >= 0)
		close(fd);
	return 0;
}

static const struct dkd_net_ops ops = {
	.open = cable_open,
	.close = cable_close,
	.capabilities = cable_capabilities,
	.create_network = cable_create_network,
	.delete_network = cable_delete_network,
	.join = cable_join,
	.leave = cable_leave,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_NET, .abi_major = DKD_NET_MAJOR, .abi_minor = DKD_NET_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_SERIAL, .name = "cable", .version = "1.0", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
