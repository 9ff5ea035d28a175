/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interfaces inside a sandbox: name, addresses, routes. What a driver made is moved there and set up through a netlink socket of the
 * sandbox; what has no netlink (IPv6 on or off, a user's sysctls) is written by the spawner.
 */
#include <fcntl.h>
#include <net/if.h>

#include "base/log.h"
#include "network/net_i.h"

#define REMOVAL_MS 10000
#define REMOVAL_STACK (128 << 10)
#define OPTION_IFNAME "com.docker.network.endpoint.ifname"
#define OPTION_SYSCTLS "com.docker.network.endpoint.sysctls"
#define OPTION_PREFIX "com.docker.network.container_iface_prefix"

static bool name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len && len < IFNAMSIZ && !streq(name, ".") && !streq(name, "..") && !streq(name, "lo") && !strpbrk(name, "/: \t\n%");
}

static bool in_use(const struct net_box *b, const char *interface)
{
	for (size_t i = 0; i < b->eps_len; i++)
		if (!str_empty(b->eps[i].interface) && streq(b->eps[i].interface, interface))
			return true;
	return false;
}

/* The first of its kind that is free, unless a certain one is wanted. */
static char *interface_name(const struct net_joined *j, const struct net_box *b, const struct net_endpoint *ep, const char *prefix)
{
	const char *wanted = strmap_get(&ep->options, OPTION_IFNAME);
	char *name = NULL;

	if (str_empty(wanted))
		wanted = j->wanted;
	if (!str_empty(wanted))
		return xstrdup(wanted);
	if (str_empty(prefix))
		prefix = str_empty(j->prefix) ? "eth" : j->prefix;
	for (unsigned i = 0; !name; i++) {
		name = xasprintf("%s%u", prefix, i);
		if (in_use(b, name))
			str_set(&name, NULL);
	}
	return name;
}

/* One of OPTION_SYSCTLS as a path below /proc/sys, "net.ipv4.conf.IFNAME.log_martians=1"; NULL for one that does not fit. Of what stands
 * behind driver-opt= the docker CLI makes small letters. */
static char *sysctl_path(const char *entry, const char *interface)
{
	OWN_STRV struct strv words = { 0 };
	OWN_FREE char *key = xstrndup(entry, strcspn(entry, "="));
	bool named = false;
	char *path;

	if (!strchr(entry, '=') || strchr(key, '/') || strlen(entry) > 200)
		return NULL;
	strv_split(&words, key, ".");
	if (words.len < 5 || !streq(words.v[0], "net") || (!streq(words.v[1], "ipv4") && !streq(words.v[1], "ipv6") && !streq(words.v[1], "mpls")))
		return NULL;
	for (size_t i = 0; i < words.len; i++) {
		if (!*words.v[i])
			return NULL;
		if (!streq(words.v[i], "IFNAME") && !streq(words.v[i], "ifname"))
			continue;
		str_set(&words.v[i], interface);
		named = true;
	}
	if (!named)
		return NULL;
	free(key);
	key = strv_join(&words, "/");
	path = xasprintf("%s%s", key, strchr(entry, '='));
	return path;
}

static int user_sysctls(const struct strmap *options, const char *interface, struct strv *ret, struct err *err)
{
	const char *all = strmap_get(options, OPTION_SYSCTLS);
	OWN_STRV struct strv v = { 0 };

	if (str_empty(all))
		return 0;
	strv_split(&v, all, ",");
	for (size_t i = 0; i < v.len; i++) {
		char *path = sysctl_path(v.v[i], interface);

		if (!path)
			return err_set(err, ERR_INVALID, "invalid value in option " OPTION_SYSCTLS ": \"%s\" is not of the form "
				"net.X.Y.IFNAME.Z=VALUE", v.v[i]);
		strv_take(ret, path);
	}
	return 0;
}

int net_endpoint_check(const struct strmap *options, struct err *err)
{
	const char *name = options ? strmap_get(options, OPTION_IFNAME) : NULL;
	OWN_STRV struct strv sysctls = { 0 };

	if (!options)
		return 0;
	if (!str_empty(name) && !name_is_good(name))
		return err_set(err, ERR_INVALID, "invalid value of option " OPTION_IFNAME ": \"%.64s\"", name);
	return user_sysctls(options, "eth0", &sysctls, err);
}

/* Namespaces begin without IPv6 on new interfaces. */
static int set_sysctls(struct net_controller *nc, const struct net_box *b, const struct net_endpoint *ep, const char *name, struct err *err)
{
	OWN_FREE char *path = net_box_path(nc->exec_root, b);
	OWN_STRV struct strv v = { 0 };

	if (ep->ipv6) {
		strv_addf(&v, "net/ipv6/conf/%s/accept_dad=0", name);
		strv_addf(&v, "net/ipv6/conf/%s/disable_ipv6=0", name);
	}
	if (user_sysctls(&ep->options, name, &v, err) < 0)
		return -1;
	return v.len ? spawner_netns_enter(nc->spawner, path, &v, NULL, err) : 0;
}

static int add_addresses(int rtnl, int index, const struct net_endpoint *ep, struct err *err)
{
	if ((ep->ipv4 && rtnl_add_address(rtnl, index, ep->ipv4, err) < 0) || (ep->ipv6 && rtnl_add_address(rtnl, index, ep->ipv6, err) < 0))
		return -1;
	for (size_t i = 0; i < ep->link_local.len; i++)
		if (rtnl_add_address(rtnl, index, ep->link_local.v[i], err) < 0)
			return -1;
	return 0;
}

static bool has_default_route(const struct net_joined *j)
{
	return strmap_get(&j->routes, "0.0.0.0/0") || strmap_get(&j->routes, "::/0");
}

int net_wire(struct net_controller *nc, struct net_box *b, struct net_endpoint *ep, const struct net_joined *j, int netns_fd, int rtnl, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);
	OWN_FREE char *name = interface_name(j, b, ep, n ? strmap_get(&n->options, OPTION_PREFIX) : NULL);
	int index;

	if (!j->interface)
		return 0;
	if (!name_is_good(name))
		return err_set(err, ERR_INVALID, "invalid name of an interface: %.64s", name);
	if (in_use(b, name))
		return err_set(err, ERR_FORBIDDEN, "the container has an interface %s already", name);
	if ((!j->in_sandbox && rtnl_move(j->interface, netns_fd, err) < 0) || rtnl_index(rtnl, j->interface, &index, err) < 0 ||
	    rtnl_link(rtnl, index, name, ep->mac, err) < 0)
		return -1;
	str_set(&ep->interface, name);
	if (set_sysctls(nc, b, ep, name, err) < 0 || add_addresses(rtnl, index, ep, err) < 0)
		return -1;
	for (size_t i = 0; i < j->routes.len; i++)
		if (rtnl_add_route(rtnl, index, j->routes.v[i].key, *j->routes.v[i].value ? j->routes.v[i].value : NULL, err) < 0)
			return -1;
	str_set(&ep->gateway4, j->gateway4);
	str_set(&ep->gateway6, j->gateway6);
	ep->leads_nowhere = n && !n->internal && !j->closed && str_empty(j->gateway4) && str_empty(j->gateway6) && !has_default_route(j);
	return 0;
}

static int set_gateway(const struct net_box *b, bool ipv6, int rtnl, struct err *err)
{
	const struct net_endpoint *ep = net_gateway(b->eps, b->eps_len, ipv6);
	int index;

	if (!ep)
		return rtnl_del_default(rtnl, ipv6, err);
	if (rtnl_index(rtnl, ep->interface, &index, err) < 0)
		return -1;
	return rtnl_set_default(rtnl, index, ipv6 ? ep->gateway6 : ep->gateway4, err);
}

int net_wire_gateways(const struct net_box *b, int rtnl, struct err *err)
{
	return set_gateway(b, false, rtnl, err) < 0 || set_gateway(b, true, rtnl, err) < 0 ? -1 : 0;
}

void net_unwire(const struct net_endpoint *ep, int rtnl)
{
	OWN_FD int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	OWN_ERR struct err err = ERR_INIT;

	if (!str_empty(ep->interface) && rtnl_del_link(rtnl, ep->interface, host, &err) < 0)
		log_warn("%s", err_text(&err));
}

/* The kernel's half of a removal, that takes longest: nobody waits for it but net_close(). */
struct removal {
	struct net_controller *nc;
	int rtnl, index;
};

static void *removal_main(void *arg)
{
	struct removal *r = arg;
	struct net_controller *nc = r->nc;

	rtnl_start_del_link(r->rtnl, r->index);
	fd_close(&r->rtnl);
	free(r);
	WITH_LOCK(&nc->lock);
	nc->removals--;
	pthread_cond_broadcast(&nc->changed);
	return NULL;
}

static bool removal_start(struct net_controller *nc, int rtnl, int index)
{
	struct removal *r = xcalloc(1, sizeof(*r));
	pthread_attr_t attr;
	pthread_t thread;
	bool started;

	*r = (struct removal){ .nc = nc, .rtnl = fcntl(rtnl, F_DUPFD_CLOEXEC, 0), .index = index };
	lock_take(&nc->lock);
	nc->removals++;
	lock_drop(&nc->lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, REMOVAL_STACK);
	started = r->rtnl >= 0 && pthread_create(&thread, &attr, removal_main, r) == 0;
	pthread_attr_destroy(&attr);
	if (started)
		return true;
	fd_close(&r->rtnl);
	free(r);
	lock_take(&nc->lock);
	nc->removals--;
	lock_drop(&nc->lock);
	return false;
}

void net_removals_wait(struct net_controller *nc)
{
	WITH_LOCK(&nc->lock);

	while (nc->removals)
		lock_wait(&nc->lock, &nc->changed, -1);
}

void net_unwire_soon(struct net_controller *nc, const struct net_endpoint *ep, int rtnl)
{
	bool gone = false;
	int index;

	if (str_empty(ep->interface) || rtnl_index(rtnl, ep->interface, &index, NULL) < 0)
		return;
	if (rtnl_hear_links(rtnl, true) == 0 && removal_start(nc, rtnl, index))
		gone = rtnl_await_gone(rtnl, index, REMOVAL_MS) == 0;
	rtnl_hear_links(rtnl, false);
	if (!gone)
		net_unwire(ep, rtnl);
}
