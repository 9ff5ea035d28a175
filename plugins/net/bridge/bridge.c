/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network driver "bridge": a bridge of the kernel's, a veth pair for each container, masquerading and a closed door by
 * nftables.
 *
 * Options of a network: com.docker.network.bridge.{name,enable_icc,enable_ip_masquerade,host_binding_ipv4,default_bridge,
 * inhibit_ipv4}, com.docker.network.driver.mtu; from the daemon: dockerd.firewall=false (no rules), dockerd.ip_forward=false
 * (leave the kernel's switch), dockerd.forward_drop=false (who turns that switch on need not close the other ways through the
 * host), dockerd.existing=true (the bridge is somebody else's: not made, its other addresses stay).
 * A bridge and its rules outlive the daemon: running containers go on with them. delete_network removes both.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "bridge.h"

#define IP_FORWARD "/proc/sys/net/ipv4/ip_forward"
#define PORT_PREFIX "veth"
#define PORT_DIGITS 11 /* with the prefix all that a name can hold */
#define MTU_MIN 68u
#define MTU_MAX 65535u

struct dkd_net {
	const struct dkd_host *host;
	pthread_mutex_t rules; /* changes of networks and of their rules: taken before lock */
	pthread_mutex_t lock;  /* nets */
	struct br_net *nets;
	struct watch *watch;   /* under rules, as what follows */
	int closed;            /* the table for all is needed */
};

static int32_t bridge_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open,
	struct dkd_net **ret)
{
	struct dkd_net *n = calloc(1, sizeof(*n));

	(void)open;
	if (!n)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	n->host = host;
	pthread_mutex_init(&n->rules, NULL);
	pthread_mutex_init(&n->lock, NULL);
	*ret = n;
	return 0;
}

static void bridge_close(struct dkd_net *d)
{
	watch_stop(d->watch);
	for (struct br_net *n = d->nets, *next; n; n = next) {
		next = n->next;
		free(n);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->rules);
	free(d);
}

static int32_t bridge_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret)
{
	(void)call;
	(void)d;
	ret->scope = DKD_NET_SCOPE_LOCAL;
	ret->connectivity = DKD_NET_SCOPE_LOCAL;
	ret->flags = 0;
	return 0;
}

static int32_t say(const struct dkd_net *d, const struct dkd_call *call, const struct br_error *e)
{
	uint32_t class = e->sys ? DKD_ERR_INTERNAL : DKD_ERR_INVALID;

	return dkd_failf(d->host, call, class, e->sys, "%s%s%s", e->what, e->sys ? ": " : "", e->sys ? strerror(e->sys) : "");
}

static const char *option(const struct dkd_net_network *w, const char *key)
{
	for (uint32_t i = 0; i < w->options_len; i++)
		if (strcmp(w->options[i].key, key) == 0)
			return w->options[i].value;
	return NULL;
}

/* Go's strconv.ParseBool, which Docker reads these with. */
static int flag_option(const struct dkd_net_network *w, const char *key, int unset, int *ret, struct br_error *e)
{
	static const char *const words[] = { "0", "f", "F", "FALSE", "false", "False", "1", "t", "T", "TRUE", "true", "True" };
	const char *v = option(w, key);

	*ret = unset;
	if (!v)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(v, words[i]) == 0) {
			*ret = i >= 6;
			return 0;
		}
	return br_fail(e, 0, "invalid value for option %s: \"%.64s\" is neither true nor false", key, v);
}

static int read_mtu(const struct dkd_net_network *w, struct br_net *n, struct br_error *e)
{
	const char *v = option(w, "com.docker.network.driver.mtu");
	char *end = NULL;
	unsigned long mtu = v && *v ? strtoul(v, &end, 10) : 0;

	n->mtu = mtu ? (uint32_t)mtu : MTU_DEFAULT;
	if ((end && *end) || (v && *v == '-') || (mtu && (mtu < MTU_MIN || mtu > MTU_MAX)))
		return br_fail(e, 0, "invalid value for option com.docker.network.driver.mtu: \"%.64s\"", v);
	return 0;
}

/* What the kernel takes as the name of an interface, and "nft list" prints without surprises. */
static int name_is_good(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

static int read_cidr(const char *text, uint32_t *ret_address, uint32_t *ret_prefix)
{
	char address[INET_ADDRSTRLEN];
	const char *slash = text ? strchr(text, '/') : NULL;
	struct in_addr a;
	char *end = NULL;
	unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : 32;

	if (!slash || *end || end == slash + 1 || bits > 32 || (size_t)(slash - text) >= sizeof(address))
		return -1;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (inet_pton(AF_INET, address, &a) != 1)
		return -1;
	*ret_address = ntohl(a.s_addr);
	*ret_prefix = (uint32_t)bits;
	return 0;
}

static int read_pool(const struct dkd_net_network *w, struct br_net *n, struct br_error *e)
{
	const struct dkd_net_pool *p = w->pools_len ? w->pools : NULL;
	struct in_addr gateway = { 0 };

	if (!p || read_cidr(p->subnet, &n->subnet, &n->prefix) < 0)
		return br_fail(e, 0, "a bridge network needs an IPv4 subnet");
	n->mask = n->prefix ? UINT32_MAX << (32 - n->prefix) : 0;
	n->subnet &= n->mask;
	if (p->gateway && inet_pton(AF_INET, p->gateway, &gateway) != 1)
		return br_fail(e, 0, "invalid gateway %.64s", p->gateway);
	n->gateway = n->router = ntohl(gateway.s_addr);
	for (uint32_t i = 0; i < p->aux_len; i++)
		if (strcmp(p->aux[i].key, "DefaultGatewayIPv4") == 0 && inet_pton(AF_INET, p->aux[i].value, &gateway) == 1)
			n->router = ntohl(gateway.s_addr);
	return 0;
}

static int read_network(const struct dkd_net_network *w, struct br_net *n, struct br_error *e)
{
	const char *name = option(w, "com.docker.network.bridge.name");
	int inhibit;

	snprintf(n->id, sizeof(n->id), "%s", w->id);
	if (name && *name && !name_is_good(name))
		return br_fail(e, 0, "invalid name of a bridge: %.64s", name);
	if (name && *name)
		snprintf(n->bridge, sizeof(n->bridge), "%s", name);
	else
		snprintf(n->bridge, sizeof(n->bridge), "br-%.12s", w->id);
	n->internal = (w->flags & DKD_NET_INTERNAL) != 0;
	if (read_mtu(w, n, e) < 0 || read_pool(w, n, e) < 0 ||
	    flag_option(w, "com.docker.network.bridge.enable_icc", 1, &n->icc, e) < 0 ||
	    flag_option(w, "com.docker.network.bridge.enable_ip_masquerade", 1, &n->masquerade, e) < 0 ||
	    flag_option(w, "com.docker.network.bridge.inhibit_ipv4", 0, &inhibit, e) < 0 ||
	    flag_option(w, "dockerd.firewall", 1, &n->firewall, e) < 0 ||
	    flag_option(w, "dockerd.ip_forward", 1, &n->forward, e) < 0 ||
	    flag_option(w, "dockerd.forward_drop", 1, &n->close, e) < 0 ||
	    flag_option(w, "dockerd.existing", 0, &n->existing, e) < 0)
		return -1;
	if (inhibit)
		n->gateway = 0;
	return 0;
}

/* 1, 0, or -1 */
static int forwarding_is_on(struct br_error *e)
{
	int fd = open(IP_FORWARD, O_RDONLY | O_CLOEXEC);
	char now = 0;
	ssize_t n;

	if (fd < 0)
		return br_fail(e, errno, "open " IP_FORWARD);
	n = read(fd, &now, 1);
	close(fd);
	return n == 1 && now == '1';
}

static int turn_on_forwarding(struct br_error *e)
{
	int fd = open(IP_FORWARD, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return br_fail(e, errno, "open " IP_FORWARD);
	if (write(fd, "1\n", 2) != 2)
		rc = br_fail(e, errno, "turn on IP forwarding");
	close(fd);
	return rc;
}

/*
 * A host that forwarded nothing would, from the moment on that a network needs it, be a router between all that it is
 * connected to: the table "dockerd" is there first. It stays until the host starts anew, and tells later daemons that it is
 * needed.
 */
static int set_forwarding(struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	int close_rest = n->firewall && n->close, on = 1;
	struct br_error ignored;

	if (n->forward && !n->internal && (on = forwarding_is_on(e)) < 0)
		return -1;
	if (!close_rest) {
		nft_policy_delete(&ignored);
	} else if (!on || nft_policy_stands()) {
		if (nft_policy_write(n->bridge, e) < 0)
			return -1;
		d->closed = 1;
	}
	return on ? 0 : turn_on_forwarding(e);
}

/* What the watch calls. */
static void put_back(void *ctx)
{
	struct dkd_net *d = ctx;
	struct br_error e;
	int policy_lost;

	pthread_mutex_lock(&d->rules);
	policy_lost = d->closed && !nft_policy_stands();
	for (const struct br_net *n = d->nets; n; n = n->next) {
		int lost = n->firewall && !nft_stands(n);

		if (lost)
			dkd_logf(d->host, DKD_LOG_WARN, "somebody took the nftables rules of bridge %s away: they are put back", n->bridge);
		if ((lost && nft_write(n, &e) < 0) || (policy_lost && n->firewall && n->close && nft_policy_write(n->bridge, &e) < 0))
			dkd_logf(d->host, DKD_LOG_ERROR, "%s: %s", e.what, strerror(e.sys));
	}
	pthread_mutex_unlock(&d->rules);
}

/* Rules that an earlier daemon wrote go, too, when this one shall write none. Under d->rules. */
static int setup(struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	struct br_error ignored;

	if (link_bridge(n, e) < 0 || set_forwarding(d, n, e) < 0)
		return -1;
	if (!n->firewall) {
		nft_delete(n->bridge, &ignored);
		return 0;
	}
	if (nft_write(n, e) < 0)
		return -1;
	if (!d->watch && !(d->watch = watch_start(put_back, d)))
		dkd_logf(d->host, DKD_LOG_WARN, "nftables rules that somebody deletes are not put back: cannot watch them");
	return 0;
}

static struct br_net **find(struct dkd_net *d, const char *id)
{
	struct br_net **p = &d->nets;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

static int32_t bridge_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	struct br_net *n = calloc(1, sizeof(*n)), **p;
	struct br_error e = { 0, "out of memory" };
	int rc = n ? read_network(w, n, &e) : -1;

	pthread_mutex_lock(&d->rules);
	if (rc == 0)
		rc = setup(d, n, &e);
	if (rc == 0) {
		pthread_mutex_lock(&d->lock);
		p = find(d, n->id);
		if (*p) {
			n->next = (*p)->next;
			free(*p);
		}
		*p = n;
		pthread_mutex_unlock(&d->lock);
	}
	pthread_mutex_unlock(&d->rules);
	if (rc < 0)
		free(n);
	return rc < 0 ? say(d, call, &e) : 0;
}

/* A copy, since the network may go at any time. */
static int get(struct dkd_net *d, const char *id, struct br_net *ret)
{
	struct br_net *n;

	pthread_mutex_lock(&d->lock);
	n = *find(d, id);
	if (n)
		*ret = *n;
	pthread_mutex_unlock(&d->lock);
	return n ? 0 : -1;
}

static int32_t bridge_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network)
{
	struct br_error e = { 0 };
	struct br_net *n, **p;
	int rc;

	pthread_mutex_lock(&d->rules);
	pthread_mutex_lock(&d->lock);
	p = find(d, network);
	n = *p;
	if (n)
		*p = n->next;
	pthread_mutex_unlock(&d->lock);
	rc = n && n->firewall ? nft_delete(n->bridge, &e) : 0;
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return 0;
	if (!n->existing && link_bridge_delete(n->bridge, &e) < 0)
		rc = -1;
	free(n);
	return rc < 0 ? say(d, call, &e) : 0;
}

/* 02:42 and the address: an address that is used again has the same MAC, whatever neighbours remember. */
static void mac_of(const char *ipv4, unsigned char mac[6])
{
	uint32_t address = 0, prefix;

	mac[0] = 0x02;
	mac[1] = 0x42;
	if (!ipv4 || read_cidr(ipv4, &address, &prefix) < 0)
		if (getrandom(&address, sizeof(address), 0) != sizeof(address))
			address = 0;
	for (int i = 0; i < 4; i++)
		mac[2 + i] = (unsigned char)(address >> (24 - 8 * i));
}

static int parse_mac(const char *text, unsigned char mac[6])
{
	unsigned v[6];
	int end = -1;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || end < 0 || text[end])
		return -1;
	for (int i = 0; i < 6; i++)
		mac[i] = (unsigned char)v[i];
	return mac[0] & 1 ? -1 : 0; /* a group's address is nobody's own */
}

static int32_t bridge_create_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_endpoint *ep,
	dkd_emit_pair *emit, void *to)
{
	unsigned char mac[6];
	struct br_net n;
	char text[18];

	if (get(d, ep->network, &n) < 0)
		return dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", ep->network);
	if (ep->mac && parse_mac(ep->mac, mac) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "invalid MAC address: %.32s", ep->mac);
	if (ep->mac)
		return 0;
	mac_of(ep->ipv4, mac);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	emit(to, "mac", text);
	return 0;
}

static void port_name(const char *endpoint, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, PORT_PREFIX "%.*s", PORT_DIGITS, endpoint);
}

/* A bridge that somebody deleted comes back with the next container, as far as it is the driver's to make. */
static int find_bridge(struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	int rc;

	if (if_nametoindex(n->bridge))
		return 0;
	pthread_mutex_lock(&d->rules);
	rc = setup(d, n, e) < 0 || link_attach_all(n, e) < 0 ? -1 : 0;
	pthread_mutex_unlock(&d->rules);
	if (rc == 0)
		dkd_logf(d->host, DKD_LOG_WARN, "bridge %s was gone: it is made anew", n->bridge);
	return rc;
}

/* The pair's far end keeps the port's name: the daemon renames it and gives it addresses, MAC and routes. */
static int32_t bridge_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j,
	dkd_emit_joined *emit, void *to)
{
	struct dkd_net_joined done = { .size = sizeof(done), .interface_prefix = "eth", .in_sandbox = 1 };
	char name[IFNAMSIZ], gateway[INET_ADDRSTRLEN];
	struct in_addr router;
	struct br_error e;
	struct br_net n;

	if (get(d, j->network, &n) < 0)
		return dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", j->network);
	port_name(j->endpoint, name);
	if (j->flags & DKD_NET_RESTORED) /* its wire stands as long as its namespace */
		return link_attach(&n, name, &e) < 0 ? say(d, call, &e) : 0;
	if (j->sandbox_fd < 0)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "a bridge network needs a network namespace");
	if (find_bridge(d, &n, &e) < 0 || link_veth(&n, name, j->sandbox_fd, &e) < 0)
		return say(d, call, &e);
	done.interface_name = name;
	if (n.router && !n.internal) {
		router.s_addr = htonl(n.router);
		done.gateway4 = inet_ntop(AF_INET, &router, gateway, sizeof(gateway));
	}
	emit(to, &done);
	return 0;
}

/* "interface" while the endpoint's port stands: the kernel takes it down some time after its namespace. */
static int32_t bridge_oper_info(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint,
	dkd_emit_pair *emit, void *to)
{
	char name[IFNAMSIZ];

	(void)call;
	(void)d;
	(void)network;
	port_name(endpoint, name);
	if (if_nametoindex(name))
		emit(to, "interface", name);
	return 0;
}

struct owners {
	const char *const *endpoints;
	uint32_t len;
};

static int is_nobodys(void *ctx, const char *name)
{
	const struct owners *o = ctx;
	char owned[IFNAMSIZ];

	if (strncmp(name, PORT_PREFIX, strlen(PORT_PREFIX)) != 0 || strlen(name) != strlen(PORT_PREFIX) + PORT_DIGITS ||
	    strspn(name + strlen(PORT_PREFIX), "0123456789abcdef") != PORT_DIGITS)
		return 0;
	for (uint32_t i = 0; i < o->len; i++) {
		port_name(o->endpoints[i], owned);
		if (strcmp(name, owned) == 0)
			return 0;
	}
	return 1;
}

static int32_t bridge_sweep(const struct dkd_call *call, struct dkd_net *d, const char *const *endpoints, uint32_t endpoints_len)
{
	struct owners owners = { endpoints, endpoints_len };
	struct br_error e = { 0 };
	int rc = 0;

	pthread_mutex_lock(&d->rules);
	for (const struct br_net *n = d->nets; n; n = n->next)
		if (link_sweep(n, is_nobodys, &owners, &e) < 0)
			rc = -1;
	pthread_mutex_unlock(&d->rules);
	return rc < 0 ? say(d, call, &e) : 0;
}

static const struct dkd_net_ops ops = {
	.open = bridge_open,
	.close = bridge_close,
	.capabilities = bridge_capabilities,
	.create_network = bridge_create_network,
	.delete_network = bridge_delete_network,
	.create_endpoint = bridge_create_endpoint,
	.oper_info = bridge_oper_info,
	.join = bridge_join,
	.sweep = bridge_sweep,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "bridge",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
