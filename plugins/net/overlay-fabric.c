/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "overlay.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef NSFS_MAGIC /* linux/magic.h of newer kernels */
#define NSFS_MAGIC 0x6e736673
#endif
#define FOLDER "overlay"
#define BRIDGE "br0"
#define VXLAN "vxlan0"
#define VXLAN_PORT 4789 /* RFC 7348 */
#define PATH_SIZE 4096
#define ID_SHORT 12

static void path_of(const struct ov_net *n, const char *exec_root, char ret[PATH_SIZE])
{
	snprintf(ret, PATH_SIZE, "%s/" FOLDER "/%.*s", exec_root, ID_SHORT, n->id);
}

/* What a thread of its own does, since it does not come back from another namespace. */
struct visit {
	const char *path;
	int make;
	struct mnl_socket *nl;
	int fd, sys;
};

static int bind_here(const char *path)
{
	char self[64];
	int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0444);

	if (fd < 0)
		return -1;
	close(fd);
	snprintf(self, sizeof(self), "/proc/self/task/%ld/ns/net", (long)syscall(SYS_gettid));
	return mount(self, path, NULL, MS_BIND, NULL);
}

static void *visit(void *arg)
{
	struct visit *v = arg;

	if (v->make && (unshare(CLONE_NEWNET) < 0 || bind_here(v->path) < 0)) {
		v->sys = errno;
		return NULL;
	}
	v->fd = open(v->path, O_RDONLY | O_CLOEXEC);
	if (v->fd < 0 || (!v->make && setns(v->fd, CLONE_NEWNET) < 0) || !(v->nl = link_socket()))
		v->sys = errno;
	return NULL;
}

static int is_netns(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

static int enter(struct ov_net *n, const char *path, int make, struct link_error *e)
{
	struct visit v = { .path = path, .make = make, .fd = -1 };
	pthread_t t;
	int failed = pthread_create(&t, NULL, visit, &v); /* not into v, which is the thread's until it is joined */

	if (failed)
		return link_fail(e, failed, "start a thread for an overlay network");
	pthread_join(t, NULL);
	if (v.sys) {
		if (v.fd >= 0)
			close(v.fd);
		return link_fail(e, v.sys, "the namespace of an overlay network, %s", path);
	}
	n->nl = v.nl;
	n->netns_fd = v.fd;
	return 0;
}

struct vxlan_wish {
	uint32_t vni;
	const struct ov_address *local;
};

static void put_vxlan(struct nlmsghdr *h, const void *ctx)
{
	const struct vxlan_wish *w = ctx;

	mnl_attr_put_u32(h, IFLA_VXLAN_ID, w->vni);
	mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(VXLAN_PORT));
	mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
	mnl_attr_put_u8(h, IFLA_VXLAN_PROXY, 1);
	mnl_attr_put(h, w->local->family == AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, ov_address_size(w->local), w->local->raw);
}

/* The VXLAN is made by a socket of the host and lies in the fabric: its packets leave through the host. */
static int furnish(struct ov_net *n, const struct ov_address *local, struct link_error *e)
{
	struct vxlan_wish w = { n->vni, local };
	struct link_make bridge = { .name = BRIDGE, .kind = "bridge", .netns_fd = -1, .mtu = n->mtu, .up = 1 };
	struct link_make vxlan = { .name = VXLAN, .kind = "vxlan", .netns_fd = n->netns_fd, .mtu = n->mtu, .fill = put_vxlan, .ctx = &w };
	struct link br, vx;

	if (link_up(n->nl, "lo", e) < 0 || link_get(n->nl, BRIDGE, &br, e) < 0 || link_get(n->nl, VXLAN, &vx, e) < 0)
		return -1;
	if ((!br.index && (link_make(n->nl, &bridge, e) < 0 || link_get(n->nl, BRIDGE, &br, e) < 0)) ||
	    (!vx.index && (link_make(NULL, &vxlan, e) < 0 || link_get(n->nl, VXLAN, &vx, e) < 0))) {
		if (e->sys == EEXIST)
			return link_fail(e, 0, "VXLAN %u of overlay network %.12s is in use on this host already", n->vni, n->id);
		return e->sys == EOPNOTSUPP ? link_fail(e, 0, "the kernel has no VXLAN interfaces, which overlay networks need") : -1;
	}
	n->vxlan = vx.index;
	return link_enslave(n->nl, VXLAN, br.index, e);
}

int fabric_open(struct ov_net *n, const char *exec_root, const struct ov_address *local, struct link_error *e)
{
	char path[PATH_SIZE], dir[PATH_SIZE];
	int there;

	if (n->nl)
		return 0;
	if (!local->family)
		return link_fail(e, 0, "overlay networks need an address of this host that the others know: see --cluster-advertise");
	snprintf(dir, sizeof(dir), "%s/" FOLDER, exec_root);
	path_of(n, exec_root, path);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return link_fail(e, errno, "make the folder %s", dir);
	there = is_netns(path);
	if (enter(n, path, !there, e) == 0 && furnish(n, local, e) == 0)
		return 0;
	if (!there)
		fabric_close(n, exec_root);
	else
		fabric_forget(n);
	return -1;
}

void fabric_forget(struct ov_net *n)
{
	if (!n->nl)
		return;
	mnl_socket_close(n->nl);
	close(n->netns_fd);
	n->nl = NULL;
}

void fabric_close(struct ov_net *n, const char *exec_root)
{
	char path[PATH_SIZE];
	struct link_error ignored;

	path_of(n, exec_root, path);
	if (!n->nl && is_netns(path))
		enter(n, path, 0, &ignored); /* one that an earlier daemon left */
	if (n->nl) /* now, and not when the kernel comes to it: the number may be wanted again at once */
		link_delete(n->nl, VXLAN, &ignored);
	fabric_forget(n);
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	unlink(path);
}

struct pair_wish {
	const char *name;
	int sandbox_fd;
	uint32_t mtu;
};

static void put_pair(struct nlmsghdr *h, const void *ctx)
{
	const struct pair_wish *w = ctx;
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, w->name);
	mnl_attr_put_u32(h, IFLA_MTU, w->mtu);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)w->sandbox_fd);
	mnl_attr_nest_end(h, peer);
}

int fabric_wire(const struct ov_net *n, const char *name, int sandbox_fd, struct link_error *e)
{
	struct pair_wish w = { name, sandbox_fd, n->mtu };
	struct link_make m = { .name = name, .kind = "veth", .netns_fd = -1, .mtu = n->mtu, .fill = put_pair, .ctx = &w };
	struct link br;

	if (link_get(n->nl, BRIDGE, &br, e) < 0)
		return -1;
	m.master = br.index;
	if (link_make(n->nl, &m, e) < 0)
		return -1;
	if (link_enslave(n->nl, name, br.index, e) == 0)
		return 0;
	link_delete(n->nl, name, &(struct link_error){ 0 });
	return -1;
}

/* An entry of the VXLAN's table of neighbours (family AF_INET, AF_INET6) or of its forwarding table (AF_BRIDGE). */
static int entry(const struct ov_net *n, int family, const struct ov_address *to, const unsigned char mac[6], uint16_t how, int add,
	struct link_error *e)
{
	char msg[LINK_MSG];
	struct nlmsghdr *h = link_begin(msg, add ? RTM_NEWNEIGH : RTM_DELNEIGH, add ? (uint16_t)(NLM_F_CREATE | how) : 0);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ndm_family = (uint8_t)family;
	m->ndm_ifindex = n->vxlan;
	m->ndm_state = family == AF_BRIDGE ? NUD_PERMANENT | NUD_NOARP : NUD_PERMANENT;
	m->ndm_flags = family == AF_BRIDGE ? NTF_SELF : 0;
	mnl_attr_put(h, NDA_DST, ov_address_size(to), to->raw);
	if (family == AF_BRIDGE || add)
		mnl_attr_put(h, NDA_LLADDR, 6, mac);
	if (link_talk(n->nl, h, NULL, NULL) == 0 || (add ? errno == EEXIST : errno == ENOENT || errno == ESRCH))
		return 0;
	return link_fail(e, errno, "change the neighbours of overlay network %.12s", n->id);
}

int fabric_peer(const struct ov_net *n, const struct ov_peer *p, int add, struct link_error *e)
{
	int rc = entry(n, AF_BRIDGE, &p->host, p->mac, NLM_F_REPLACE, add, e);

	if (p->ipv4.family && entry(n, AF_INET, &p->ipv4, p->mac, NLM_F_REPLACE, add, e) < 0)
		rc = -1;
	if (p->ipv6.family && entry(n, AF_INET6, &p->ipv6, p->mac, NLM_F_REPLACE, add, e) < 0)
		rc = -1;
	return rc;
}

int fabric_flood(const struct ov_net *n, const struct ov_address *host, int add, struct link_error *e)
{
	static const unsigned char all[6];

	return entry(n, AF_BRIDGE, host, all, NLM_F_APPEND, add, e);
}

void fabric_sweep(const char *exec_root, int (*keep)(void *ctx, const char *id12), void *ctx)
{
	char path[PATH_SIZE];
	struct dirent *de;
	DIR *d;

	snprintf(path, sizeof(path), "%s/" FOLDER, exec_root);
	d = opendir(path);
	while (d && (de = readdir(d))) {
		struct ov_net n = { 0 };

		if (strlen(de->d_name) != ID_SHORT || strspn(de->d_name, "0123456789abcdef") != ID_SHORT || keep(ctx, de->d_name))
			continue;
		snprintf(n.id, sizeof(n.id), "%s", de->d_name);
		fabric_close(&n, exec_root);
	}
	if (d)
		closedir(d);
}
