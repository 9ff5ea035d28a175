/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facade over address drivers: networks whose subnets and addresses somebody else gives. */
#include <stdio.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "driver-once.h"
#include "driver.h"
#include "dockerd/ipam.h"
#include "network/net_i.h"

#define CALL_TIME (30 * NSEC_PER_SEC)
#define TYPE_KEY "RequestAddressType"
#define TYPE_GATEWAY "com.docker.network.gateway"
#define MAC_KEY "com.docker.network.endpoint.macaddress"

struct ipam_driver {
	const struct driver *driver;
	const struct dkd_ipam_ops *ops;
	struct dkd_ipam *handle;
	struct dkd_ipam_caps caps;
	char *asked, *space;
};

static void call_begin(struct driver_call *c, const struct ipam_driver *d)
{
	driver_call_begin(c, d->driver);
	c->abi.deadline = clock_mono() + CALL_TIME;
}

static int32_t on_space(void *to, const char *key, const char *value)
{
	struct ipam_driver *d = to;

	if (streq(key, "local"))
		str_set(&d->space, value);
	return 0;
}

static int driver_open(const struct net_controller *nc, struct ipam_driver *d, struct err *err)
{
	OWN_FREE char *root = NULL;
	struct dkd_ipam_open open = { .size = sizeof(open) };
	struct driver_call c;

	d->driver = driver_load(DKD_KIND_IPAM, d->asked, err);
	if (!d->driver) {
		if (err && err->class == ERR_NOT_FOUND)
			err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", d->asked);
		return -1;
	}
	d->ops = d->driver->ops;
	root = xasprintf("%s/network/ipam/%s", nc->data_root, d->driver->desc->name);
	open.root = root;
	open.instance = d->driver->desc->provider ? d->asked : NULL;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->open(&c.abi, driver_host(d->driver), &open, &d->handle), err) < 0)
		return err_wrap(err, "open address driver %s", d->asked);
	d->caps.size = sizeof(d->caps);
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->capabilities(&c.abi, d->handle, &d->caps), err) < 0)
		return err_wrap(err, "address driver %s", d->asked);
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->address_spaces(&c.abi, d->handle, on_space, d), err) < 0)
		return err_wrap(err, "address driver %s", d->asked);
	return 0;
}

static void driver_free(void *object)
{
	struct ipam_driver *d = object;

	if (d->handle && d->ops->close)
		d->ops->close(d->handle);
	free(d->asked);
	free(d->space);
	free(d);
}

static void *open_named(void *ctx, const char *name, struct err *err)
{
	struct ipam_driver *d = xcalloc(1, sizeof(*d));

	d->asked = xstrdup(name);
	if (driver_open(ctx, d, err) == 0)
		return d;
	driver_free(d);
	return NULL;
}

struct driver_once *net_ipams_new(struct net_controller *nc)
{
	return driver_once_new(open_named, driver_free, nc);
}

void net_ipams_free(struct driver_once *ipams)
{
	driver_once_free(ipams);
}

bool net_ipam_is_external(const struct network *n)
{
	return !n->config_only && !streq(n->ipam_driver, "default") && !streq(n->ipam_driver, "null");
}

static struct ipam_driver *get(struct net_controller *nc, const struct network *n, struct err *err)
{
	return driver_once_get(nc->ipams, n->ipam_driver, err);
}

/* What request_pool emitted. */
struct pool_got {
	char *id, *subnet, *gateway;
};

static int32_t on_pool(void *to, const struct dkd_ipam_pool *p)
{
	struct pool_got *got = to;

	str_set(&got->id, p->id);
	str_set(&got->subnet, p->subnet);
	for (uint32_t i = 0; i < p->data_len; i++)
		if (streq(p->data[i].key, TYPE_GATEWAY))
			str_set(&got->gateway, p->data[i].value);
	return 0;
}

static int32_t on_address(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

static int request_address(struct ipam_driver *d, const char *pool, const char *want, const char *key, const char *value, char **ret, struct err *err)
{
	const struct dkd_pair option = { key, value };
	struct driver_call c;
	struct cidr a;

	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->request_address(&c.abi, d->handle, pool, want, key ? &option : NULL, key ? 1 : 0, on_address, ret), err) < 0)
		return -1;
	return cidr_parse(*ret, &a) ? 0 : err_set(err, ERR_INTERNAL, "address driver %s gave the address \"%.64s\"", d->asked, *ret ? *ret : "");
}

static void release_address(struct ipam_driver *d, const char *pool, const char *address)
{
	OWN_FREE char *plain = cidr_plain_dup(address);
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;

	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->release_address(&c.abi, d->handle, pool, plain), &err) < 0)
		log_warn("address driver %s: %s", d->asked, err_text(&err));
}

static int request_pool(struct ipam_driver *d, const struct network *n, struct net_pool *p, bool ipv6, struct pool_got *got, struct err *err)
{
	OWN_FREE struct dkd_pair *options = xcalloc(n->ipam_options.len + 1, sizeof(*options));
	struct dkd_ipam_pool_wish w = {
		.size = sizeof(w), .flags = ipv6 ? DKD_IPAM_IPV6 : 0, .space = d->space, .pool = str_empty(p->subnet) ? NULL : p->subnet,
		.range = str_empty(p->range) ? NULL : p->range, .options = options, .options_len = (uint32_t)n->ipam_options.len,
	};
	struct driver_call c;
	struct cidr subnet;

	for (size_t i = 0; i < n->ipam_options.len; i++)
		options[i] = (struct dkd_pair){ n->ipam_options.v[i].key, n->ipam_options.v[i].value };
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->request_pool(&c.abi, d->handle, &w, on_pool, got), err) < 0)
		return -1;
	if (!got->id || !cidr_parse(got->subnet, &subnet) || subnet.address.v6 != ipv6)
		return err_set(err, ERR_INTERNAL, "address driver %s gave the subnet \"%.64s\"", d->asked, got->subnet ? got->subnet : "");
	return 0;
}

static void release_pool(struct ipam_driver *d, const char *id)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;

	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->release_pool(&c.abi, d->handle, id), &err) < 0)
		log_warn("address driver %s: %s", d->asked, err_text(&err));
}

/* Gateway and auxiliary addresses. */
static int fill_pool(struct ipam_driver *d, struct net_pool *p, const char *gateway, bool gateways, struct err *err)
{
	OWN_FREE char *got = NULL;

	if (gateways && str_empty(p->gateway) && !str_empty(gateway)) {
		p->gateway = cidr_plain_dup(gateway);
	} else if (gateways) {
		if (request_address(d, p->id, str_empty(p->gateway) ? NULL : p->gateway, TYPE_KEY, TYPE_GATEWAY, &got, err) < 0)
			return err_wrap(err, "failed to allocate gateway (%s)", p->gateway ? p->gateway : "");
		free(p->gateway);
		p->gateway = cidr_plain_dup(got);
	}
	for (size_t i = 0; i < p->aux.len; i++) {
		OWN_FREE char *aux = NULL;

		if (request_address(d, p->id, p->aux.v[i].value, NULL, NULL, &aux, err) < 0)
			return err_wrap(err, "failed to allocate secondary ip address (%s:%s)", p->aux.v[i].key, p->aux.v[i].value);
	}
	return 0;
}

static bool is_ipv6(const char *subnet)
{
	return subnet && strchr(subnet, ':');
}

static int take_pool(struct ipam_driver *d, const struct network *n, struct net_pool *p, bool ipv6, bool gateways, struct err *err)
{
	struct pool_got got = { 0 };
	int rc = request_pool(d, n, p, ipv6, &got, err);

	if (rc == 0) {
		p->id = STEAL(got.id);
		str_set(&p->subnet, got.subnet);
		rc = fill_pool(d, p, got.gateway, gateways, err);
	}
	free(got.id);
	free(got.subnet);
	free(got.gateway);
	return rc;
}

int net_ipam_request(struct net_controller *nc, struct network *n, bool gateways, struct err *err)
{
	const bool wanted[] = { n->enable_ipv4, n->enable_ipv6 };
	struct ipam_driver *d = get(nc, n, err);
	bool have[2] = { false, false };

	if (!d)
		return -1;
	for (size_t i = 0; i < n->pools_len; i++)
		have[is_ipv6(n->pools[i].subnet)] = true;
	n->pools = xrealloc(n->pools, (n->pools_len + 2) * sizeof(*n->pools));
	for (int v6 = 0; v6 <= 1; v6++)
		if (wanted[v6] && !have[v6])
			n->pools[n->pools_len++] = (struct net_pool){ .subnet = xstrdup(v6 ? ":" : "") }; /* which family; the driver says the rest */
	for (size_t i = 0; i < n->pools_len; i++) {
		bool ipv6 = is_ipv6(n->pools[i].subnet);

		if (!wanted[ipv6])
			continue;
		if (streq(n->pools[i].subnet, ":"))
			str_set(&n->pools[i].subnet, "");
		if (take_pool(d, n, &n->pools[i], ipv6, gateways, err) < 0) {
			net_ipam_release(nc, n);
			return -1;
		}
	}
	return 0;
}

void net_ipam_release(struct net_controller *nc, const struct network *n)
{
	struct ipam_driver *d = get(nc, n, NULL);

	for (size_t i = 0; d && i < n->pools_len; i++) {
		const struct net_pool *p = &n->pools[i];

		if (!p->id)
			continue;
		if (!str_empty(p->gateway))
			release_address(d, p->id, p->gateway);
		for (size_t j = 0; j < p->aux.len; j++)
			release_address(d, p->id, p->aux.v[j].value);
		release_pool(d, p->id);
	}
}

static const struct net_pool *pool_for(const struct network *n, bool ipv6, const char *want)
{
	struct cidr c;
	struct ip a;

	for (size_t i = 0; i < n->pools_len; i++)
		if (n->pools[i].id && cidr_parse(n->pools[i].subnet, &c) && c.address.v6 == ipv6 &&
		    (str_empty(want) || (ip_parse(want, &a) && cidr_contains(&c, &a))))
			return &n->pools[i];
	return NULL;
}

static int take_family(struct ipam_driver *d, const struct network *n, struct net_endpoint *ep, bool ipv6, const char *want, struct err *err)
{
	const struct net_pool *p = pool_for(n, ipv6, want);
	const char *key = d->caps.flags & DKD_IPAM_NEEDS_MAC ? MAC_KEY : NULL;

	if (!p)
		return str_empty(want) ? 0 : err_set(err, ERR_INVALID, "no configured subnet or ip-range contain the IP address %s", want);
	return request_address(d, p->id, str_empty(want) ? NULL : want, key, ep->mac, ipv6 ? &ep->ipv6 : &ep->ipv4, err);
}

int net_ipam_take(struct net_controller *nc, const struct network *n, struct net_endpoint *ep, const char *want4, const char *want6, struct err *err)
{
	struct ipam_driver *d = get(nc, n, err);
	char hex[9];

	if (!d)
		return -1;
	if (d->caps.flags & DKD_IPAM_NEEDS_MAC && !ep->mac) {
		id_random_hex(hex, 8);
		ep->mac = xasprintf("02:42:%.2s:%.2s:%.2s:%.2s", hex, hex + 2, hex + 4, hex + 6);
	}
	if (take_family(d, n, ep, false, want4, err) == 0 && take_family(d, n, ep, true, want6, err) == 0)
		return 0;
	net_ipam_give(nc, n, ep);
	str_set(&ep->ipv4, NULL);
	str_set(&ep->ipv6, NULL);
	return -1;
}

static void give_one(struct ipam_driver *d, const struct network *n, const char *address)
{
	OWN_FREE char *plain = cidr_plain_dup(address);
	const struct net_pool *p = plain ? pool_for(n, strchr(plain, ':') != NULL, plain) : NULL;

	if (p)
		release_address(d, p->id, plain);
}

void net_ipam_give(struct net_controller *nc, const struct network *n, const struct net_endpoint *ep)
{
	struct ipam_driver *d = get(nc, n, NULL);

	if (!d)
		return;
	give_one(d, n, ep->ipv4);
	give_one(d, n, ep->ipv6);
}

/* Said again to a driver that forgets over a restart. */
static void replay(struct ipam_driver *d, const struct network *n, const char *address, const char *key, const char *value)
{
	OWN_FREE char *plain = str_empty(address) ? NULL : cidr_plain_dup(address), *got = NULL;
	const struct net_pool *p = plain ? pool_for(n, strchr(plain, ':') != NULL, plain) : NULL;
	OWN_ERR struct err err = ERR_INIT;

	if (p && request_address(d, p->id, plain, key, value, &got, &err) < 0)
		log_warn("network %s: address %s: %s", n->name, plain, err_text(&err));
}

static void add_held(const struct net_box *b, const struct network *n, struct strv *ret)
{
	const struct net_endpoint *ep = net_box_endpoint(b, n->id);
	const char *const addresses[] = { ep ? ep->ipv4 : NULL, ep ? ep->ipv6 : NULL };

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		if (str_empty(addresses[i]))
			continue;
		strv_add(ret, addresses[i]);
		strv_add(ret, ep->mac ? ep->mac : "");
	}
}

/* Each with its MAC, in turn: of the sandboxes that were found at start, or of those that there are now. */
static void held_addresses(struct net_controller *nc, const struct network *n, bool starting, struct strv *ret)
{
	for (const struct net_box *b = starting ? nc->found : NULL; b; b = b->next)
		add_held(b, n, ret);
	if (starting)
		return;
	WITH_LOCK(&nc->lock);
	for (const struct net_box *b = nc->boxes; b; b = b->next)
		add_held(b, n, ret);
}

int net_ipam_restore(struct net_controller *nc, const struct network *n, bool starting, struct err *err)
{
	struct ipam_driver *d = get(nc, n, err);
	OWN_STRV struct strv held = { 0 };

	if (!d)
		return -1;
	if (!(d->caps.flags & DKD_IPAM_REPLAY))
		return 0;
	for (size_t i = 0; i < n->pools_len; i++) {
		struct pool_got got = { 0 };
		int rc = n->pools[i].id ? request_pool(d, n, &n->pools[i], is_ipv6(n->pools[i].subnet), &got, err) : 0;

		free(got.id);
		free(got.subnet);
		free(got.gateway);
		if (rc < 0)
			return -1;
		if (!n->pools[i].id)
			continue;
		replay(d, n, n->pools[i].gateway, TYPE_KEY, TYPE_GATEWAY);
		for (size_t j = 0; j < n->pools[i].aux.len; j++)
			replay(d, n, n->pools[i].aux.v[j].value, NULL, NULL);
	}
	held_addresses(nc, n, starting, &held);
	for (size_t i = 0; i + 1 < held.len; i += 2)
		replay(d, n, held.v[i], MAC_KEY, held.v[i + 1]);
	return 0;
}
