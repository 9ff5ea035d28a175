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

/* Docker's local default-address-pools: 172.17.0.0/16 first. */
static const struct { const char *base; unsigned bits; } default_pools[] = {
	{ "172.17.0.0/16", 16 }, { "172.18.0.0/16", 16 }, { "172.19.0.0/16", 16 }, { "172.20.0.0/14", 16 },
	{ "172.24.0.0/14", 16 }, { "172.28.0.0/14", 16 }, { "192.168.0.0/16", 20 },
};

struct choice {
	const struct net_bridge_config *cfg;
	const char *name;
	struct cidr4 address; /* of the bridge; its network is the subnet */
	struct cidr4 range;
	bool has_range;
};

static bool is_free(const struct cidr4 *c, const struct cidr4 *taken, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (cidr4_overlap(c, &taken[i]))
			return false;
	return true;
}

/* The first free network of so many bits within base. */
static bool pick(const struct cidr4 *base, unsigned bits, const struct cidr4 *taken, size_t len, struct cidr4 *ret)
{
	uint64_t step = UINT64_C(1) << (32 - bits), at = base->address & cidr4_mask(base->bits);
	uint64_t end = at + (UINT64_C(1) << (32 - base->bits));
	size_t tries = 0;

	for (; bits >= base->bits && bits <= 30 && at + step <= end && tries < 65536; at += step, tries++) {
		struct cidr4 c = { (uint32_t)at, bits };

		if (!is_free(&c, taken, len))
			continue;
		*ret = (struct cidr4){ (uint32_t)at + 1, bits };
		return true;
	}
	return false;
}

static bool pick_any(const struct net_bridge_config *cfg, const struct cidr4 *taken, size_t len, struct cidr4 *ret)
{
	struct cidr4 base;
	char text[CIDR4_TEXT + 32];
	int bits;

	for (size_t i = 0; cfg->pools && i < cfg->pools->len; i++) {
		/* "base=CIDR,size=N" */
		if (sscanf(cfg->pools->v[i], "base=%40[^,],size=%6d", text, &bits) == 2 && cidr4_parse(text, &base) && bits > 0 &&
		    pick(&base, (unsigned)bits, taken, len, ret))
			return true;
	}
	for (size_t i = 0; !(cfg->pools && cfg->pools->len) && i < ARRAY_LEN(default_pools); i++)
		if (cidr4_parse(default_pools[i].base, &base) && pick(&base, default_pools[i].bits, taken, len, ret))
			return true;
	return false;
}

/* What it had before, when that is still free, else the first pool that is. */
static int choose_subnet(const struct choice *c, const struct network *before, struct cidr4 *ret, struct err *err)
{
	OWN_FREE struct cidr4 *taken = NULL;
	struct cidr4 old;
	size_t len = 0;

	if (rtnl_taken(c->name, &taken, &len, err) < 0)
		return -1;
	if (before && before->pools_len && cidr4_parse(before->pools[0].subnet, &old) && is_free(&old, taken, len) &&
	    ip4_parse(before->pools[0].gateway, &ret->address)) {
		ret->bits = old.bits;
		return 0;
	}
	if (!pick_any(c->cfg, taken, len, ret))
		return err_set(err, ERR_UNAVAILABLE, "could not find an available, non-overlapping IPv4 address pool among the "
			"defaults to assign to the network");
	return 0;
}

static int choose(struct choice *c, const struct network *before, struct err *err)
{
	const struct net_bridge_config *cfg = c->cfg;
	OWN_ERR struct err none = ERR_INIT;

	if (!str_empty(cfg->fixed_cidr) && !(c->has_range = cidr4_parse(cfg->fixed_cidr, &c->range)))
		return err_set(err, ERR_INVALID, "invalid --fixed-cidr: %s", cfg->fixed_cidr);
	if (!str_empty(cfg->bip)) {
		if (!cidr4_parse(cfg->bip, &c->address) || c->address.bits > 30)
			return err_set(err, ERR_INVALID, "invalid --bip: %s", cfg->bip);
	} else if (rtnl_address(c->name, &c->address, &none) < 0) {
		if (none.class != ERR_NOT_FOUND)
			return err_move(err, &none);
		if (c->has_range)
			c->address = (struct cidr4){ (c->range.address & cidr4_mask(c->range.bits)) + 1, c->range.bits };
		else if (choose_subnet(c, before, &c->address, err) < 0)
			return -1;
	}
	if (c->has_range && (c->range.bits < c->address.bits || !cidr4_contains(&c->address, c->range.address)))
		return err_set(err, ERR_INVALID, "--fixed-cidr %s is not within the bridge's network", cfg->fixed_cidr);
	return 0;
}

static void set_bool(struct network *n, const char *key, bool value)
{
	strmap_set(&n->options, key, value ? "true" : "false");
}

static int fill(struct network *n, const struct choice *c, struct err *err)
{
	const struct net_bridge_config *cfg = c->cfg;
	struct net_pool *p = n->pools = xcalloc(1, sizeof(*n->pools));
	char text[CIDR4_TEXT];
	uint32_t router;

	n->pools_len = 1;
	cidr4_text(c->address.address & cidr4_mask(c->address.bits), c->address.bits, text);
	p->subnet = xstrdup(text);
	cidr4_text(c->address.address, 33, text);
	p->gateway = xstrdup(text);
	if (c->has_range)
		p->range = xstrdup(cfg->fixed_cidr);
	if (!str_empty(cfg->default_gateway)) {
		if (!ip4_parse(cfg->default_gateway, &router) || !cidr4_contains(&c->address, router))
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
	return 0;
}

bool net_forwarding(void)
{
	OWN_BUF struct buf text = { 0 };

	return fs_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &text, NULL) == 0 && text.size && text.data[0] == '1';
}

/* Puts n in the place of the one of its name, or of none; n NULL takes that away. */
static void replace(struct net_controller *nc, const char *name, struct network *n)
{
	size_t i = 0;
	WITH_LOCK(&nc->lock);

	while (i < nc->nets_len && !streq(nc->nets[i]->name, name))
		i++;
	if (i < nc->nets_len) {
		network_unref(nc->nets[i]);
		nc->nets[i] = nc->nets[nc->nets_len - 1];
		nc->nets_len--;
	}
	if (!n)
		return;
	nc->nets = xrealloc(nc->nets, (nc->nets_len + 1) * sizeof(*nc->nets));
	nc->nets[nc->nets_len++] = n;
}

/* Start-up, one thread: nobody changes the list meanwhile. */
static int save(struct net_controller *nc, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;

	if (net_state_write(nc->data_root, nc->nets, nc->nets_len, &why) == 0)
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

static bool is_same(const struct network *a, const struct network *b)
{
	const struct net_pool *p = a->pools, *q = b->pools;

	return a->pools_len == 1 && b->pools_len == 1 && same_text(p->subnet, q->subnet) && same_text(p->range, q->range) &&
		same_text(p->gateway, q->gateway) && same_map(&p->aux, &q->aux) && same_map(&a->options, &b->options);
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

	strmap_set(&extra, "dockerd.firewall", cfg->iptables ? "true" : "false");
	strmap_set(&extra, "dockerd.ip_forward", cfg->ip_forward ? "true" : "false");
	strmap_set(&extra, "dockerd.forward_drop", cfg->forward_drop ? "true" : "false");
	strmap_set(&extra, "dockerd.existing", ours ? "false" : "true");
	if (net_driver_create(d, n, &extra, restored, err) < 0)
		return -1;
	nc->bridge = true;
	net_space_open(nc, n);
	return 0;
}

int net_setup_bridge(struct net_controller *nc, const struct net_bridge_config *cfg, struct err *err)
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
	if (!d || choose(&c, before, err) < 0 || fill(n, &c, err) < 0)
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
