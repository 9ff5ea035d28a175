/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a network is: the users' options with Docker's keys and, where it has any, Docker's words for bad values; the daemon's
 * own, "dockerd."; pools of addresses.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

#define MTU_MIN 68ul
#define MTU_MAX 65535ul
#define BRIDGE_OPTION "com.docker.network.bridge."

struct reader {
	const struct dkd_net_network *w;
	struct br_net *n;
	struct br_error *e;
};

static const char *option(const struct reader *r, const char *key)
{
	return dkd_pair_get(r->w->options, r->w->options_len, key);
}

static int bad(const struct reader *r, const char *key, const char *why)
{
	return br_refuse(r->e, DKD_ERR_INVALID, "failed to parse %s value: %.64s (%s)", key, option(r, key), why);
}

static int bad_syntax(const struct reader *r, const char *key, const char *go)
{
	char why[128];

	snprintf(why, sizeof(why), "%s: parsing \"%.64s\": invalid syntax", go, option(r, key));
	return bad(r, key, why);
}

/* Go's strconv.ParseBool, which Docker reads these with. */
static int read_flag(const struct reader *r, const char *key, int unset, int *ret)
{
	static const char *const words[] = { "0", "f", "F", "FALSE", "false", "False", "1", "t", "T", "TRUE", "true", "True" };
	const char *v = option(r, key);

	*ret = unset;
	if (!v)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(v, words[i]) == 0) {
			*ret = i >= 6;
			return 0;
		}
	return bad_syntax(r, key, "strconv.ParseBool");
}

static int read_mtu(const struct reader *r)
{
	const char *key = "com.docker.network.driver.mtu", *v = option(r, key);
	char *end = NULL;
	long mtu;

	r->n->mtu = MTU_DEFAULT;
	if (!v || !*v)
		return 0;
	mtu = strtol(v, &end, 10);
	if (*end || end == v)
		return bad_syntax(r, key, "strconv.Atoi");
	if (mtu < 0)
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid MTU number: %ld", mtu);
	if (mtu && ((unsigned long)mtu < MTU_MIN || (unsigned long)mtu > MTU_MAX))
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid value for option %s: \"%.64s\"", key, v);
	r->n->mtu = mtu ? (uint32_t)mtu : MTU_DEFAULT;
	return 0;
}

/* What the kernel takes as the name of an interface, and "nft list" prints without surprises. */
static int name_is_good(const char *name, size_t len)
{
	if (!len || len >= IFNAMSIZ || strncmp(name, ".", len) == 0 || strncmp(name, "..", len) == 0)
		return 0;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") >= len;
}

static int read_names(const struct reader *r)
{
	const char *name = option(r, BRIDGE_OPTION "name"), *prefix = option(r, "com.docker.network.container_iface_prefix");
	struct br_net *n = r->n;

	if (name && *name && !name_is_good(name, strlen(name)))
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid name of a bridge: %.64s", name);
	if (name && *name)
		snprintf(n->bridge, sizeof(n->bridge), "%s", name);
	else
		snprintf(n->bridge, sizeof(n->bridge), "br-%.12s", r->w->id);
	/* three digits are left to it */
	if (prefix && *prefix && (!name_is_good(prefix, strlen(prefix)) || strlen(prefix) + 3 >= IFNAMSIZ))
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid prefix of interfaces' names: %.64s", prefix);
	snprintf(n->prefix, sizeof(n->prefix), "%s", prefix && *prefix ? prefix : "eth");
	return 0;
}

static int read_trusted(const struct reader *r)
{
	const char *key = BRIDGE_OPTION "trusted_host_interfaces", *v = option(r, key);
	struct br_net *n = r->n;

	while (v && *v) {
		size_t len = strcspn(v, ":");

		if (!name_is_good(v, len))
			return bad(r, key, "names of interfaces with colons between them are wanted");
		if (n->trusted_len == TRUSTED_MAX)
			return bad(r, key, "too many interfaces");
		memcpy(n->trusted[n->trusted_len++], v, len);
		v += len + (v[len] == ':');
	}
	return 0;
}

static const struct { const char *name; enum mode mode; } modes[] = {
	{ "nat", MODE_NAT }, { "nat-unprotected", MODE_NAT_UNPROTECTED }, { "routed", MODE_ROUTED },
	{ "isolated", MODE_ISOLATED },
};

static int read_mode(const struct reader *r, const char *key, enum mode *ret)
{
	const char *v = option(r, key);
	char why[96];

	*ret = MODE_NAT;
	if (!v || !*v)
		return 0;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, v) == 0) {
			*ret = modes[i].mode;
			if (*ret == MODE_ISOLATED && !r->n->internal)
				return bad(r, key, "only internal networks can be isolated");
			return 0;
		}
	snprintf(why, sizeof(why), "unknown gateway mode %.64s", v);
	return bad(r, key, why);
}

/* An address of the family; ret may be NULL. */
static int read_address(const struct reader *r, const char *key, int family, struct ip *ret)
{
	const char *v = option(r, key);
	struct ip ip;

	if (!v || !*v)
		return 0;
	if (!ip_parse(v, &ip))
		return bad(r, key, "nil ip");
	if (ip.len != (family == V4 ? 4 : 16))
		return bad(r, key, family == V4 ? "not an IPv4 address" : "not an IPv6 address");
	if (ret)
		*ret = ip;
	return 0;
}

static int read_family(const struct reader *r, int family)
{
	static const struct { const char *mode, *source, *binding, *firewall; } keys[FAMILIES] = {
		{ BRIDGE_OPTION "gateway_mode_ipv4", "com.docker.network.host_ipv4", BRIDGE_OPTION "host_binding_ipv4",
			"dockerd.firewall" },
		{ BRIDGE_OPTION "gateway_mode_ipv6", "com.docker.network.host_ipv6", BRIDGE_OPTION "host_binding_ipv6",
			"dockerd.firewall6" },
	};
	struct br_family *f = &r->n->f[family];

	if (read_mode(r, keys[family].mode, &f->mode) < 0 || read_address(r, keys[family].source, family, &f->source) < 0 ||
	    read_address(r, keys[family].binding, family, NULL) < 0)
		return -1;
	return read_flag(r, keys[family].firewall, 1, &f->firewall);
}

static int read_pool(const struct reader *r, const struct dkd_net_pool *p)
{
	static const char *const router[FAMILIES] = { "DefaultGatewayIPv4", "DefaultGatewayIPv6" };
	struct cidr subnet, gateway = { 0 };
	struct br_family *f;
	int family;

	if (!cidr_parse(p->subnet, &subnet))
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid subnet %.64s", p->subnet ? p->subnet : "");
	family = subnet.ip.len == 4 ? V4 : V6;
	f = &r->n->f[family];
	if (f->on)
		return br_refuse(r->e, DKD_ERR_FORBIDDEN, "bridge driver doesn't support multiple subnets");
	f->on = 1;
	f->subnet = cidr_network(&subnet);
	if (p->gateway && *p->gateway && (!cidr_parse(p->gateway, &gateway) || gateway.ip.len != subnet.ip.len))
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid gateway %.64s", p->gateway);
	f->gateway = f->router = gateway.ip;
	for (uint32_t i = 0; i < p->aux_len; i++)
		if (strcmp(p->aux[i].key, router[family]) == 0 && ip_parse(p->aux[i].value, &gateway.ip) &&
		    gateway.ip.len == subnet.ip.len)
			f->router = gateway.ip;
	return 0;
}

/* Pools of a family that the network has not are nobody's. */
static int read_pools(const struct reader *r)
{
	static const struct { uint32_t flag; const char *name; } families[FAMILIES] = { { DKD_NET_IPV4, "IPv4" },
		{ DKD_NET_IPV6, "IPv6" } };
	const struct dkd_net_network *w = r->w;
	uint32_t size = w->pools_len ? w->pools->size : 0, wanted = w->flags & (DKD_NET_IPV4 | DKD_NET_IPV6);

	for (uint32_t i = 0; i < w->pools_len; i++) {
		struct dkd_net_pool p = { 0 };

		memcpy(&p, (const char *)w->pools + (size_t)i * size, size < sizeof(p) ? size : sizeof(p));
		if (read_pool(r, &p) < 0)
			return -1;
	}
	for (int f = 0; f < FAMILIES; f++) {
		if (wanted & families[f].flag && !r->n->f[f].on)
			return br_refuse(r->e, DKD_ERR_INVALID, "a bridge network needs an %s subnet", families[f].name);
		if (wanted && !(wanted & families[f].flag))
			r->n->f[f].on = 0;
	}
	if (!r->n->f[V4].on && !r->n->f[V6].on)
		return br_refuse(r->e, DKD_ERR_INVALID, "a bridge network needs an IPv4 subnet or an IPv6 subnet");
	return 0;
}

/* "MARK" or "MARK/MASK", each decimal or hexadecimal. */
static int read_mark(const struct reader *r)
{
	const char *key = "dockerd.accept_fwmark", *v = option(r, key);
	unsigned long long mark, mask = UINT32_MAX;
	char *end;

	if (!v || !*v)
		return 0;
	mark = strtoull(v, &end, 0);
	if (end != v && *end == '/' && end[1]) {
		v = end + 1;
		mask = strtoull(v, &end, 0);
	}
	if (end == v || *end || mark > UINT32_MAX || mask > UINT32_MAX || !mask)
		return br_refuse(r->e, DKD_ERR_INVALID, "invalid firewall mark: %.64s", option(r, key));
	r->n->mark = (uint32_t)(mark & mask);
	r->n->mark_mask = (uint32_t)mask;
	return 0;
}

static int read_choices(const struct reader *r)
{
	const char *backend = option(r, "dockerd.firewall_backend"), *policy = option(r, "dockerd.publish_policy");
	int proxy;

	if (backend && strcmp(backend, "iptables") == 0)
		r->n->backend = BACKEND_IPTABLES;
	else if (backend && *backend && strcmp(backend, "nftables") != 0)
		return br_refuse(r->e, DKD_ERR_INVALID, "unknown firewall backend: %.64s", backend);
	if (read_flag(r, "dockerd.userland_proxy", 1, &proxy) < 0)
		return -1;
	r->n->localhost = !proxy;
	if (policy && strcmp(policy, "host") == 0)
		r->n->host_policy = 1;
	else if (policy && *policy && strcmp(policy, "open") != 0)
		return br_refuse(r->e, DKD_ERR_INVALID,
		"unknown policy of published ports: %.64s (open and host are known)", policy);
	if (r->n->host_policy && !proxy)
		return br_refuse(r->e, DKD_ERR_INVALID, "published ports behind the host's own rules need the userland proxy");
	return 0;
}

int options_read(const struct dkd_net_network *w, struct br_net *ret, struct br_error *e)
{
	struct reader r = { w, ret, e };
	int inhibit;

	snprintf(ret->id, sizeof(ret->id), "%s", w->id);
	ret->internal = (w->flags & DKD_NET_INTERNAL) != 0;
	if (read_names(&r) < 0 || read_mtu(&r) < 0 || read_pools(&r) < 0 || read_family(&r, V4) < 0 || read_family(&r, V6) < 0 ||
	    read_trusted(&r) < 0 || read_mark(&r) < 0 || read_choices(&r) < 0 ||
	    read_flag(&r, BRIDGE_OPTION "enable_icc", 1, &ret->icc) < 0 ||
	    read_flag(&r, BRIDGE_OPTION "enable_ip_masquerade", 1, &ret->masquerade) < 0 ||
	    read_flag(&r, BRIDGE_OPTION "default_bridge", 0, &ret->default_bridge) < 0 ||
	    read_flag(&r, BRIDGE_OPTION "inhibit_ipv4", 0, &inhibit) < 0 ||
	    read_flag(&r, "dockerd.ip_forward", 1, &ret->forward) < 0 ||
	    read_flag(&r, "dockerd.forward_drop", 1, &ret->close) < 0 ||
	    read_flag(&r, "dockerd.allow_direct_routing", 0, &ret->direct) < 0 ||
	    read_flag(&r, "dockerd.existing", 0, &ret->existing) < 0)
		return -1;
	if (inhibit)
		ret->f[V4].gateway.len = 0;
	for (int f = 0; f < FAMILIES; f++)
		if (ret->f[f].mode == MODE_ISOLATED)
			ret->f[f].gateway.len = ret->f[f].router.len = 0;
	return 0;
}

int32_t bridge_known_options(const struct dkd_call *call, struct dkd_net *d, dkd_emit_pair *emit, void *to)
{
	static const char *const keys[] = { BRIDGE_OPTION "name", BRIDGE_OPTION "enable_icc", BRIDGE_OPTION "enable_ip_masquerade",
		BRIDGE_OPTION "host_binding_ipv4", BRIDGE_OPTION "host_binding_ipv6", BRIDGE_OPTION "default_bridge", BRIDGE_OPTION "inhibit_ipv4",
		BRIDGE_OPTION "gateway_mode_ipv4", BRIDGE_OPTION "gateway_mode_ipv6", BRIDGE_OPTION "trusted_host_interfaces",
		"com.docker.network.driver.mtu", "com.docker.network.host_ipv4", "com.docker.network.host_ipv6" };

	(void)call;
	(void)d;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		emit(to, keys[i], "");
	return 0;
}

int options_isolated(const struct dkd_net_network *w)
{
	const char *mode4 = dkd_pair_get(w->options, w->options_len, BRIDGE_OPTION "gateway_mode_ipv4");
	const char *mode6 = dkd_pair_get(w->options, w->options_len, BRIDGE_OPTION "gateway_mode_ipv6");
	int isolated4 = mode4 && strcmp(mode4, "isolated") == 0, isolated6 = mode6 && strcmp(mode6, "isolated") == 0;

	return (isolated4 || !(w->flags & DKD_NET_IPV4)) && (isolated6 || !(w->flags & DKD_NET_IPV6));
}

int br_has_rules(const struct br_net *n)
{
	return (n->f[V4].on && n->f[V4].firewall) || (n->f[V6].on && n->f[V6].firewall);
}
