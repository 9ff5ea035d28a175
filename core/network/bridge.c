/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The default network "bridge": which subnet it has, what it looks like, its driver. */
#include <errno.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "network/net_i.h"
#include "network/rtnl.h"

#define BRIDGE_DEFAULT "docker0"
#define OPTION_NAME "com.docker.network.bridge.name"

struct choice {
	const struct net_bridge_config *cfg;
	const char *name;
	struct cidr address; /* of the bridge; its network is the subnet */
	struct cidr range;
	bool has_range;
};

/* Under nc->lock: in the first base whole, as it is Docker's, else where there is room. */
static int choose_free(struct net_controller *nc, const struct net_host *host, const char *but, struct cidr *ret, struct err *err)
{
	static const struct cidr docker = { { 0xac110000, false }, 16 };
	bool custom = nc->bases_len && nc->bases[0].base.address.n != docker.address.n;

	if (!custom && net_pool_free(host, &docker) && !net_pool_overlaps(nc, but, &docker)) {
		*ret = docker;
		return 0;
	}
	return net_pool_choose(nc, host, false, ret, err);
}

/* What it had before, when that is still free, else the first pool that is. */
static int choose_subnet(struct net_controller *nc, const struct choice *c, const struct network *before, struct cidr *ret, struct err *err)
{
	const char *but = before ? before->id : NULL;
	struct net_host host;
	struct cidr old;
	int rc;

	net_host_read(c->name, &host);
	lock_take(&nc->lock);
	if (before && before->pools_len && cidr_parse(before->pools[0].subnet, &old) && !old.address.v6 && net_pool_free(&host, &old) &&
	    !net_pool_overlaps(nc, but, &old) && ip_parse(before->pools[0].gateway, &ret->address)) {
		ret->bits = old.bits;
		rc = 0;
	} else {
		rc = choose_free(nc, &host, but, ret, err);
		ret->address.n++;
	}
	lock_drop(&nc->lock);
	net_host_done(&host);
	return rc;
}

static int choose(struct net_controller *nc, struct choice *c, const struct network *before, struct err *err)
{
	const struct net_bridge_config *cfg = c->cfg;
	OWN_ERR struct err none = ERR_INIT;

	if (!str_empty(cfg->fixed_cidr) && !(c->has_range = cidr_parse(cfg->fixed_cidr, &c->range) && !c->range.address.v6))
		return err_set(err, ERR_INVALID, "invalid --fixed-cidr: %s", cfg->fixed_cidr);
	if (!str_empty(cfg->bip)) {
		if (!cidr_parse(cfg->bip, &c->address) || c->address.address.v6 || c->address.bits > 30)
			return err_set(err, ERR_INVALID, "invalid --bip: %s", cfg->bip);
	} else if (rtnl_address(c->name, false, &c->address, &none) < 0) {
		if (none.class != ERR_NOT_FOUND)
			return err_move(err, &none);
		if (c->has_range) {
			c->address = cidr_network(&c->range);
			c->address.address.n++;
		} else if (choose_subnet(nc, c, before, &c->address, err) < 0) {
			return -1;
		}
	}
	if (c->has_range && (c->range.bits < c->address.bits || !cidr_contains(&c->address, &c->range.address)))
		return err_set(err, ERR_INVALID, "--fixed-cidr %s is not within the bridge's network", cfg->fixed_cidr);
	return 0;
}

static void set_bool(struct network *n, const char *key, bool value)
{
	strmap_set(&n->options, key, value ? "true" : "false");
}

static int add_ula(struct net_controller *nc, const struct network *before, struct cidr *ret, struct err *err)
{
	const char *but = before ? before->id : NULL;
	struct net_host host = { 0 };
	WITH_LOCK(&nc->lock);

	for (size_t i = 0; before && i < before->pools_len; i++)
		if (cidr_parse(before->pools[i].subnet, ret) && ret->address.v6 && !net_pool_overlaps(nc, but, ret))
			return 0;
	return net_pool_choose(nc, &host, true, ret, err);
}

/* The bridge's own address is the first one, or that of --bip6. */
static int choose6(struct net_controller *nc, const struct network *before, const struct net_bridge_config *cfg, const struct cidr *range,
	struct cidr *ret, struct err *err)
{
	if (!str_empty(cfg->bip6)) {
		if (!cidr_parse(cfg->bip6, ret) || !ret->address.v6 || ret->bits > 126)
			return err_set(err, ERR_INVALID, "invalid --bip6: %s", cfg->bip6);
		return 0;
	}
	if (range)
		*ret = *range;
	else if (add_ula(nc, before, ret, err) < 0)
		return -1;
	ret->address = cidr_first(ret);
	ret->address.n++;
	return 0;
}

/* The second pool, with --ipv6. */
static int fill6(struct net_controller *nc, const struct network *before, struct network *n, const struct net_bridge_config *cfg, struct err *err)
{
	bool ranged = !str_empty(cfg->fixed_cidr_v6);
	struct net_pool *p = &n->pools[1];
	struct cidr net, own, range;
	char text[CIDR_TEXT];
	struct ip router;

	if (ranged && (!cidr_parse(cfg->fixed_cidr_v6, &range) || !range.address.v6 || range.bits > 126))
		return err_set(err, ERR_INVALID, "invalid --fixed-cidr-v6: %s", cfg->fixed_cidr_v6);
	if (choose6(nc, before, cfg, ranged ? &range : NULL, &own, err) < 0)
		return -1;
	net = cidr_network(&own);
	if (ranged && (range.bits < net.bits || !cidr_contains(&net, &range.address)))
		return err_set(err, ERR_INVALID, "--fixed-cidr-v6 %s is not within the bridge's network", cfg->fixed_cidr_v6);
	n->pools_len = 2;
	n->enable_ipv6 = true;
	cidr_text(&net, text);
	p->subnet = xstrdup(text);
	ip_text(&own.address, text);
	p->gateway = xstrdup(text);
	if (ranged)
		p->range = xstrdup(cfg->fixed_cidr_v6);
	if (str_empty(cfg->default_gateway_v6))
		return 0;
	if (!ip_parse(cfg->default_gateway_v6, &router) || !cidr_contains(&net, &router))
		return err_set(err, ERR_INVALID, "--default-gateway-v6 %s is not within the bridge's network", cfg->default_gateway_v6);
	strmap_set(&p->aux, "DefaultGatewayIPv6", cfg->default_gateway_v6);
	return 0;
}

static int fill(struct net_controller *nc, const struct network *before, struct network *n, const struct choice *c, struct err *err)
{
	const struct net_bridge_config *cfg = c->cfg;
	struct net_pool *p = n->pools = xcalloc(2, sizeof(*n->pools));
	struct cidr net = cidr_network(&c->address);
	char text[CIDR_TEXT];
	struct ip router;

	n->pools_len = 1;
	cidr_text(&net, text);
	p->subnet = xstrdup(text);
	ip_text(&c->address.address, text);
	p->gateway = xstrdup(text);
	if (c->has_range)
		p->range = xstrdup(cfg->fixed_cidr);
	if (!str_empty(cfg->default_gateway)) {
		if (!ip_parse(cfg->default_gateway, &router) || !cidr_contains(&c->address, &router))
			return err_set(err, ERR_INVALID, "--default-gateway %s is not within the bridge's network", cfg->default_gateway);
		strmap_set(&p->aux, "DefaultGatewayIPv4", cfg->default_gateway);
	}
	set_bool(n, "com.docker.network.bridge.default_bridge", true);
	set_bool(n, "com.docker.network.bridge.enable_icc", cfg->icc);
	set_bool(n, "com.docker.network.bridge.enable_ip_masquerade", cfg->ip_masq);
	strmap_set(&n->options, "com.docker.network.bridge.host_binding_ipv4", str_empty(cfg->host_ip) ? "0.0.0.0" : cfg->host_ip);
	strmap_set(&n->options, OPTION_NAME, c->name);
	snprintf(text, sizeof(text), "%d", cfg->mtu > 0 ? cfg->mtu : 1500);
	strmap_set(&n->options, "com.docker.network.driver.mtu", text);
	strmap_sort(&n->options);
	return cfg->ipv6 ? fill6(nc, before, n, cfg, err) : 0;
}

bool net_forwarding(void)
{
	OWN_BUF struct buf text = { 0 };

	return fs_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &text, NULL) == 0 && text.size && text.data[0] == '1';
}

/* Puts n in the place of the one of its name, or of none; n NULL takes that away. */
static void replace(struct net_controller *nc, const char *name, struct network *n)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	e = net_entry_named(nc, name);
	if (e && !n) {
		net_entry_drop(nc, e->n->id);
	} else if (e) {
		network_unref(e->n);
		e->n = n;
	} else if (n) {
		net_entry_add(nc, n);
	}
}

/* Start-up, one thread: nobody changes the list meanwhile. */
static int save(struct net_controller *nc, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;

	if (net_save(nc, &why) == 0)
		return 0;
	/* A full or read-only disk must not keep the daemon from starting: the network is chosen again at the next. */
	if (why.class != ERR_NO_SPACE && why.sys != EROFS)
		return err_move(err, &why);
	log_warn("%s", err_text(&why));
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return streq(a ? a : "", b ? b : "");
}

static bool same_map(const struct strmap *a, const struct strmap *b)
{
	for (size_t i = 0; i < a->len; i++)
		if (!same_text(strmap_get(b, a->v[i].key), a->v[i].value))
			return false;
	return a->len == b->len;
}

static bool is_same_pool(const struct net_pool *p, const struct net_pool *q)
{
	return same_text(p->subnet, q->subnet) && same_text(p->range, q->range) && same_text(p->gateway, q->gateway) && same_map(&p->aux, &q->aux);
}

static bool is_same(const struct network *a, const struct network *b)
{
	if (a->pools_len != b->pools_len || a->enable_ipv6 != b->enable_ipv6)
		return false;
	for (size_t i = 0; i < a->pools_len; i++)
		if (!is_same_pool(&a->pools[i], &b->pools[i]))
			return false;
	return same_map(&a->options, &b->options);
}

/*
 * Containers that run have addresses and a gateway of the network as it was, and would be cut off by another one: what is
 * new about it waits until the daemon starts without them.
 */
static bool must_stay(struct net_controller *nc, const struct network *before, const struct network *n)
{
	const char *name = before ? strmap_get(&before->options, OPTION_NAME) : NULL;

	if (!name || !before->pools_len || (n && is_same(before, n)) || !net_in_use(nc, before))
		return false;
	log_warn("containers run on the network bridge: it stays as it was, %s on %s, until the daemon starts without them",
		before->pools[0].subnet, name);
	return true;
}

static int set_up(struct net_controller *nc, struct net_driver *d, struct network *n, const struct net_bridge_config *cfg,
	bool restored, struct err *err)
{
	OWN_STRMAP struct strmap extra = { 0 };
	bool ours = streq(strmap_get(&n->options, OPTION_NAME), BRIDGE_DEFAULT);

	strmap_copy(&extra, &nc->extra);
	strmap_set(&extra, "dockerd.existing", ours ? "false" : "true");
	if (net_driver_create(d, n, &extra, restored, err) < 0)
		return -1;
	nc->bridge = true;
	return net_space_open(nc, n, err);
}

/* What all drivers get to know of the daemon's options. */
static void set_extra(struct net_controller *nc, const struct net_bridge_config *cfg)
{
	static const char *const words[] = { "false", "true" };

	strmap_set(&nc->extra, "dockerd.firewall", words[cfg->iptables]);
	strmap_set(&nc->extra, "dockerd.firewall6", words[cfg->ip6tables]);
	strmap_set(&nc->extra, "dockerd.userland_proxy", words[cfg->userland_proxy]);
	if (!str_empty(cfg->firewall_backend))
		strmap_set(&nc->extra, "dockerd.firewall_backend", cfg->firewall_backend);
	if (!str_empty(cfg->accept_fwmark))
		strmap_set(&nc->extra, "dockerd.accept_fwmark", cfg->accept_fwmark);
	if (!str_empty(cfg->publish_policy))
		strmap_set(&nc->extra, "dockerd.publish_policy", cfg->publish_policy);
	strmap_set(&nc->extra, "dockerd.allow_direct_routing", words[cfg->direct_routing]);
	strmap_set(&nc->extra, "dockerd.ip_forward", words[cfg->ip_forward]);
	strmap_set(&nc->extra, "dockerd.forward_drop", words[cfg->forward_drop]);
}

static int set_up_bridge(struct net_controller *nc, const struct net_bridge_config *cfg, struct err *err)
{
	OWN_NETWORK struct network *before = net_find_name(nc, "bridge"), *n = NULL;
	struct choice c = { .cfg = cfg, .name = str_empty(cfg->bridge) ? BRIDGE_DEFAULT : cfg->bridge };
	struct net_driver *d;

	if (streq(c.name, "none") && !must_stay(nc, before, NULL)) {
		replace(nc, "bridge", NULL);
		return before ? save(nc, err) : 0;
	}
	d = net_driver_get(nc->drivers, "bridge", err);
	if (d && streq(c.name, "none"))
		return set_up(nc, d, before, cfg, true, err);
	n = network_new("bridge", "bridge");
	if (before) {
		memcpy(n->id, before->id, sizeof(n->id));
		n->created = before->created;
	}
	if (!d || choose(nc, &c, before, err) < 0 || fill(nc, before, n, &c, err) < 0)
		return err_wrap(err, "default network bridge");
	if (must_stay(nc, before, n)) {
		network_unref(n);
		n = network_ref(before);
	}
	if (set_up(nc, d, n, cfg, before != NULL, err) < 0)
		return err_wrap(err, "default network bridge");
	replace(nc, "bridge", STEAL(n));
	return save(nc, err);
}

int net_setup_bridge(struct net_controller *nc, const struct net_bridge_config *cfg, struct err *err)
{
	if (net_pools_set(nc, cfg->pools, err) < 0)
		return -1;
	nc->userland_proxy = cfg->userland_proxy;
	if (cfg->default_options)
		strmap_copy(&nc->default_options, cfg->default_options);
	set_extra(nc, cfg);
	if (set_up_bridge(nc, cfg, err) < 0)
		return -1;
	net_restore(nc);
	return 0;
}
