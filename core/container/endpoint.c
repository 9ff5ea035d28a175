/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A container's networks as its record has them: what a client asks of an endpoint, what the sandbox is asked for with it, and
 * what the sandbox gave. Networks are the record's by name; an id or a prefix that a client names becomes the name where the
 * network is there.
 */
#include <arpa/inet.h>
#include <strings.h>

#include "base/id.h"
#include "container/internal.h"
#include "network/cidr.h"

#define NAME_MOST 255 /* of an alias, as of all names of the DNS */

bool endpoint_is_default(const char *mode)
{
	return str_empty(mode) || streq(mode, "default");
}

/* A network of the user's own, by the name under which the record has it: it has names, and its containers are called by them. */
bool endpoint_has_names(const char *network)
{
	return !net_is_predefined(network) && !str_has_prefix(network, "container:");
}

static int check_ip(int family, const char *what, const char *ip, struct err *err)
{
	unsigned char raw[16];

	if (str_empty(ip) || inet_pton(family, ip, raw) == 1)
		return 0;
	return err_set(err, ERR_INVALID, "invalid %s address: %.64s", what, ip);
}

static bool is_bad_name(const char *s)
{
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return true;
	return !*s || strlen(s) > NAME_MOST;
}

/* "NAME[:ALIAS]", with or without a slash before the name. */
static int add_link(const char *link, struct strmap *ret, struct err *err)
{
	const char *colon = strchr(link, ':'), *start = link + (*link == '/');
	OWN_FREE char *name = xstrndup(start, strcspn(start, ":"));
	const char *alias = colon ? colon + 1 : name;

	if (is_bad_name(name) || is_bad_name(alias) || strchr(alias, ':'))
		return err_set(err, ERR_INVALID, "bad format for links: %.300s", link);
	if (ret)
		strmap_set(ret, alias, name);
	return 0;
}

static int check_names(const struct endpoint *ep, struct err *err)
{
	for (size_t i = 0; i < ep->aliases.len; i++)
		if (is_bad_name(ep->aliases.v[i]))
			return err_set(err, ERR_INVALID, "invalid network-scoped alias: %.64s", ep->aliases.v[i]);
	for (size_t i = 0; i < ep->links.len; i++)
		if (add_link(ep->links.v[i], NULL, err) < 0)
			return -1;
	return 0;
}

/* Whether it is of a subnet that the network has. Who has the address now is seen at the start. */
static int check_subnet(const struct network *n, bool ipv6, const char *ip, struct err *err)
{
	bool any = false;
	struct cidr c;
	struct ip a;

	if (str_empty(ip) || !ip_parse(ip, &a))
		return 0;
	for (size_t i = 0; i < n->pools_len && (ipv6 ? n->enable_ipv6 : n->enable_ipv4); i++) {
		if (!cidr_parse(n->pools[i].subnet, &c) || c.address.v6 != ipv6)
			continue;
		if (cidr_contains(&c, &a))
			return 0;
		any = true;
	}
	if (any)
		return err_set(err, ERR_INVALID, "no configured subnet or ip-range contain the IP address %s", ip);
	return err_set(err, ERR_INVALID, "user specified IP address is supported only when connecting to networks with user configured subnets");
}

/* n: NULL while there is no such network. */
static int check_addresses(const struct endpoint *ep, const struct network *n, const char *network, struct err *err)
{
	struct ipam_wish ip = { 0 };
	bool any;
	int r = 0;

	if (str_empty(ep->ipam_config))
		return 0;
	r = jdesc_parse(&ipam_wish_desc, ep->ipam_config, strlen(ep->ipam_config), &ip, err);
	any = !str_empty(ip.ipv4) || !str_empty(ip.ipv6) || ip.link_local.len;
	if (r == 0 && any && (streq(network, "none") || streq(network, "host")))
		r = err_set(err, ERR_INVALID, "user specified IP address is supported on user defined networks only");
	if (r == 0)
		r = check_ip(AF_INET, "IPv4", ip.ipv4, err) < 0 || check_ip(AF_INET6, "IPv6", ip.ipv6, err) < 0 ? -1 : 0;
	if (r == 0 && n)
		r = check_subnet(n, false, ip.ipv4, err) < 0 || check_subnet(n, true, ip.ipv6, err) < 0 ? -1 : 0;
	for (size_t i = 0; r == 0 && i < ip.link_local.len; i++)
		if (check_ip(AF_INET, "link-local IP", ip.link_local.v[i], NULL) < 0)
			r = check_ip(AF_INET6, "link-local IP", ip.link_local.v[i], err);
	jdesc_clear(&ipam_wish_desc, &ip);
	return r;
}

/* What a client sends of an endpoint that was is nobody's wish. */
static void drop_given(struct endpoint *ep)
{
	str_set(&ep->desired_mac, ep->mac_address);
	str_set(&ep->mac_address, "");
	str_set(&ep->network_id, "");
	str_set(&ep->endpoint_id, "");
	str_set(&ep->gateway, "");
	str_set(&ep->ip_address, "");
	str_set(&ep->ipv6_gateway, "");
	str_set(&ep->global_ipv6, "");
	str_set(&ep->rest, NULL);
	ep->ip_prefix_len = ep->global_ipv6_prefix_len = 0;
}

int endpoint_take(json_t *js, const struct network *n, const char *network, struct endpoint *ret, struct strv *warnings, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;

	if (jdesc_decode(&endpoint_desc, js, ret, err) < 0)
		return err_wrap(err, "NetworkingConfig");
	drop_given(ret);
	if (check_addresses(ret, n, network, &why) < 0)
		return err_set(err, why.class, "invalid endpoint settings:\n%s", err_text(&why));
	if (check_names(ret, err) < 0)
		return -1;
	if (!str_empty(ret->desired_mac) && !id_is_mac(ret->desired_mac))
		return err_set(err, ERR_INVALID, "address %.64s: invalid MAC address", ret->desired_mac);
	if (ret->aliases.len && !endpoint_has_names(network))
		return err_set(err, ERR_INVALID, "network-scoped alias is supported only for containers in user defined networks");
	if (ret->links.len && !endpoint_has_names(network) && warnings)
		strv_addf(warnings, "Links of the endpoint have no effect on the network \"%s\"", network);
	if ((ret->driver_opts.len || ret->gw_priority) && (streq(network, "none") || streq(network, "host")) && warnings)
		strv_addf(warnings, "DriverOpts and GwPriority have no effect on the network \"%s\"", network);
	return 0;
}

static struct network *find(struct container *c, const char *word)
{
	return c->store->deps.nets ? net_find(c->store->deps.nets, word, NULL) : NULL;
}

/* Its name where there is such a network, else the client's word. */
static char *name_of(struct container *c, const char *word)
{
	OWN_NETWORK struct network *n = find(c, word);

	return xstrdup(n ? n->name : word);
}

/* The address of the main network stands with Config, where it outlives the endpoint. */
static int take_mac(struct container_config *cfg, struct endpoint *ep, struct err *err)
{
	if (str_empty(ep->desired_mac))
		return 0;
	if (!str_empty(cfg->mac_address) && strcasecmp(cfg->mac_address, ep->desired_mac) != 0)
		return err_set(err, ERR_INVALID, "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty");
	str_set(&cfg->mac_address, ep->desired_mac);
	str_set(&ep->desired_mac, NULL);
	return 0;
}

/* Networks that suffer no other beside them. */
static int check_company(const struct jmap *nets, struct err *err)
{
	for (size_t i = 0; nets->len > 1 && i < nets->len; i++) {
		if (streq(nets->keys[i], "host"))
			return err_set(err, ERR_INVALID, "container sharing network namespace with another container or host cannot be connected to any other network");
		if (streq(nets->keys[i], "none"))
			return err_set(err, ERR_INVALID, "container cannot be connected to multiple networks with one of the networks in private (none) mode");
	}
	return 0;
}

/* EndpointsConfig; main: the name of the mode's network. */
static int take_all(struct container *c, const char *networking, const char *main, struct strv *warnings, struct err *err)
{
	OWN_JSON json_t *js = json_read(networking, strlen(networking), err);
	struct jmap *nets = &c->rec.net.networks;
	const char *key;
	json_t *item;

	if (!js)
		return err_wrap(err, "NetworkingConfig");
	json_object_foreach(json_object_get(js, "EndpointsConfig"), key, item) {
		OWN_FREE char *name = endpoint_is_default(key) ? xstrdup(main) : name_of(c, key);
		OWN_NETWORK struct network *n = find(c, name);
		struct endpoint *ep;

		if (json_is_null(item))
			return err_set(err, ERR_INVALID, "no EndpointSettings for %s", key);
		if (jmap_get(nets, name, &endpoint_desc))
			return err_set(err, ERR_INVALID, "the network %s is named twice in NetworkingConfig", name);
		ep = jmap_add(nets, name, &endpoint_desc);
		if (endpoint_take(item, n, name, ep, warnings, err) < 0)
			return err_wrap(err, "invalid config for network %s", key);
		if (streq(name, main) && take_mac(&c->rec.config, ep, err) < 0)
			return -1;
	}
	return check_company(nets, err);
}

/* Links of the host configuration are those of the main network where that has names. */
static int take_links(struct container *c, const char *main, struct err *err)
{
	struct endpoint *ep = jmap_get(&c->rec.net.networks, main, &endpoint_desc);

	if (!ep || !endpoint_has_names(main) || ep->links.len || !c->host.links.len)
		return 0;
	strv_copy(&ep->links, &c->host.links);
	return check_names(ep, err);
}

int endpoints_settle(struct container *c, const char *networking, struct strv *warnings, struct err *err)
{
	const char *mode = c->host.network_mode;
	OWN_FREE char *main = NULL;

	if (mode && str_has_prefix(mode, "container:"))
		return 0; /* that of the other container */
	main = !endpoint_is_default(mode) ? name_of(c, mode) : xstrdup(c->store->deps.nets ? net_default(c->store->deps.nets) : "none");
	if (endpoint_is_default(mode) && streq(main, "none") && !c->rec.config.network_disabled)
		strv_add(warnings, "This daemon has no bridge network: the container gets the network \"none\"");
	if (!streq(main, "none") && !streq(main, "host") && !c->rec.config.network_disabled && !net_forwarding())
		strv_add(warnings, "IPv4 forwarding is disabled. Networking will not work.");
	if (!str_empty(networking) && !streq(networking, "null") && take_all(c, networking, main, warnings, err) < 0)
		return -1;
	if (!c->rec.net.networks.len)
		jmap_add(&c->rec.net.networks, main, &endpoint_desc);
	/* Whoever judges requests knows it by this name and by no id. */
	if (!streq(mode ? mode : "", "host") && jmap_get(&c->rec.net.networks, "host", &endpoint_desc))
		return err_set(err, ERR_INVALID, "the host's network is asked for by its name: host");
	return take_links(c, main, err);
}

static void add_name(struct strv *v, const char *name)
{
	if (!str_empty(name) && !strv_contains(v, name))
		strv_add(v, name);
}

void endpoint_names(const struct container *c, const struct endpoint *ep, struct strv *ret)
{
	OWN_FREE char *id = xstrndup(c->id, 12);

	add_name(ret, c->rec.name ? c->rec.name + (*c->rec.name == '/') : NULL);
	for (size_t i = 0; i < ep->aliases.len; i++)
		add_name(ret, ep->aliases.v[i]);
	add_name(ret, id);
	add_name(ret, c->rec.config.hostname);
}

/* What a wish borrows from. */
struct wish_own {
	char *network, *mac;
	struct ipam_wish ip;
	struct strv names;
	struct strmap links, options;
};

void wishes_done(struct wishes *w)
{
	for (size_t i = 0; i < w->len; i++) {
		struct wish_own *o = &w->own[i];

		free(o->network);
		free(o->mac);
		jdesc_clear(&ipam_wish_desc, &o->ip);
		strv_done(&o->names);
		strmap_done(&o->links);
		strmap_done(&o->options);
	}
	free(w->own);
	free(w->v);
	*w = (struct wishes){ 0 };
}

void endpoint_asked(struct container *c, const struct network *n, struct strv *ret)
{
	const struct jmap *nets = &c->rec.net.networks;
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < nets->len; i++) {
		const struct endpoint *ep = jmap_at(nets, i, &endpoint_desc);
		struct ipam_wish ip = { 0 };

		if (str_empty(ep->ipam_config) || streq(ep->ipam_config, "null") || !(streq(nets->keys[i], n->name) || streq(nets->keys[i], n->id) ||
		    (ep->network_id && streq(ep->network_id, n->id))))
			continue;
		if (jdesc_parse(&ipam_wish_desc, ep->ipam_config, strlen(ep->ipam_config), &ip, NULL) == 0) {
			if (!str_empty(ip.ipv4))
				strv_add(ret, ip.ipv4);
			if (!str_empty(ip.ipv6))
				strv_add(ret, ip.ipv6);
		}
		jdesc_clear(&ipam_wish_desc, &ip);
	}
}

void wishes_add(struct wishes *w, const struct container *c, const char *network, const char *mac, const struct endpoint *ep)
{
	struct wish_own *o;

	w->own = xrealloc(w->own, (w->len + 1) * sizeof(*w->own));
	w->v = xrealloc(w->v, (w->len + 1) * sizeof(*w->v));
	o = &w->own[w->len];
	*o = (struct wish_own){ .network = xstrdup(network), .mac = xstrdup(mac) };
	/* checked when it was taken: a record of old has what it has */
	if (!str_empty(ep->ipam_config) && jdesc_parse(&ipam_wish_desc, ep->ipam_config, strlen(ep->ipam_config), &o->ip, NULL) < 0)
		jdesc_clear(&ipam_wish_desc, &o->ip);
	for (size_t i = 0; i < ep->links.len; i++)
		add_link(ep->links.v[i], &o->links, NULL);
	strmap_copy(&o->options, &ep->driver_opts);
	if (endpoint_has_names(network))
		endpoint_names(c, ep, &o->names);
	w->v[w->len++] = (struct net_wish){ .priority = ep->gw_priority };
	for (size_t i = 0; i < w->len; i++) { /* the owned may have moved */
		const struct wish_own *own = &w->own[i];

		w->v[i].network = own->network;
		w->v[i].mac = own->mac;
		w->v[i].ipv4 = own->ip.ipv4;
		w->v[i].ipv6 = own->ip.ipv6;
		w->v[i].link_local = &own->ip.link_local;
		w->v[i].names = &own->names;
		w->v[i].links = &own->links;
		w->v[i].options = &own->options;
	}
}

static const char *mac_of(const struct container *c, const char *network, const char *main, const struct endpoint *ep)
{
	if (!str_empty(ep->desired_mac) && id_is_mac(ep->desired_mac))
		return ep->desired_mac;
	return streq(network, main) && !str_empty(c->rec.config.mac_address) ? c->rec.config.mac_address : NULL;
}

const char *endpoint_main(const struct container *c, const char *mode)
{
	const struct jmap *nets = &c->rec.net.networks;

	return jmap_get(nets, mode, &endpoint_desc) || !nets->len ? mode : nets->keys[0];
}

void wishes_make(struct container *c, const char *mode, struct wishes *ret)
{
	static const struct endpoint nothing;
	const struct jmap *nets = &c->rec.net.networks;
	WITH_LOCK(&c->lock);
	const char *main = endpoint_main(c, mode);

	*ret = (struct wishes){ 0 };
	if (c->rec.config.network_disabled) {
		wishes_add(ret, c, "none", NULL, &nothing);
		return;
	}
	/* the interfaces are numbered in this order: the default bridge, the one of --network, the others */
	for (int pass = 0; pass < 3; pass++)
		for (size_t i = 0; i < nets->len; i++) {
			const struct endpoint *ep = jmap_at(nets, i, &endpoint_desc);
			const char *key = nets->keys[i];

			if ((streq(key, "bridge") ? 0 : streq(key, main) ? 1 : 2) == pass && !str_has_prefix(key, "container:"))
				wishes_add(ret, c, key, mac_of(c, key, main, ep), ep);
		}
}

void wishes_find(struct container *c, struct wishes *w)
{
	for (size_t i = 0; c->store->deps.nets && i < w->len; i++) {
		OWN_FREE char *id = NULL;
		const struct endpoint *ep;
		OWN_NETWORK struct network *n = NULL;

		lock_take(&c->lock);
		ep = jmap_get(&c->rec.net.networks, w->v[i].network, &endpoint_desc);
		id = ep && !str_empty(ep->network_id) ? xstrdup(ep->network_id) : NULL;
		lock_drop(&c->lock);
		n = id ? net_find(c->store->deps.nets, id, NULL) : NULL;
		if (!n)
			continue; /* another of that name may do */
		str_set(&w->own[i].network, n->id);
		w->v[i].network = w->own[i].network;
	}
}

static void set_number(char **text, int64_t *ret_bits, const char *cidr)
{
	const char *slash = cidr ? strchr(cidr, '/') : NULL;
	OWN_FREE char *address = slash ? xstrndup(cidr, (size_t)(slash - cidr)) : xstrdup("");

	str_set(text, address);
	*ret_bits = slash ? strtol(slash + 1, NULL, 10) : 0;
}

static void set_endpoint(struct endpoint *to, const struct net_endpoint *from)
{
	str_set(&to->endpoint_id, from->id);
	str_set(&to->gateway, from->gateway4 ? from->gateway4 : "");
	str_set(&to->ipv6_gateway, from->gateway6 ? from->gateway6 : "");
	str_set(&to->mac_address, from->mac ? from->mac : "");
	set_number(&to->ip_address, &to->ip_prefix_len, from->ipv4);
	set_number(&to->global_ipv6, &to->global_ipv6_prefix_len, from->ipv6);
}

void endpoints_forget(struct container *c)
{
	static const struct net_endpoint none;
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < c->rec.net.networks.len; i++)
		set_endpoint(jmap_at(&c->rec.net.networks, i, &endpoint_desc), &none);
}

/* The endpoint of the sandbox that is the record's key; users name networks by id, too. */
static const struct net_endpoint *find_ep(const struct sandbox *sb, const char *key, const char *id)
{
	for (size_t i = 0; i < sb->eps_len; i++) {
		const struct net_endpoint *e = &sb->eps[i];

		if ((e->network && streq(key, e->network)) || (id && streq(e->network_id, id)) ||
		    (id_is_hex_prefix(key) && str_has_prefix(e->network_id, key)))
			return e;
	}
	return NULL;
}

void container_note_network(struct container *c)
{
	static const struct net_endpoint none;
	struct jmap *nets = &c->rec.net.networks;
	WITH_LOCK(&c->lock);

	str_set(&c->rec.net.sandbox_id, c->sandbox.id);
	str_set(&c->rec.net.sandbox_key, c->sandbox.key ? c->sandbox.key : "");
	for (size_t i = 0; i < nets->len; i++) {
		struct endpoint *ep = jmap_at(nets, i, &endpoint_desc);
		const struct net_endpoint *e = find_ep(&c->sandbox, nets->keys[i], ep->network_id);

		set_endpoint(ep, e ? e : &none);
		if (!e)
			continue;
		str_set(&ep->network_id, e->network_id);
		if (!streq(nets->keys[i], e->network) && !jmap_get(nets, e->network, &endpoint_desc))
			str_set(&nets->keys[i], e->network);
	}
}

/* As a wish, of what it got. */
static void from_joined(const struct container *c, const struct net_endpoint *e, struct endpoint *to)
{
	OWN_STRV struct strv own = { 0 };

	endpoint_names(c, to, &own);
	for (size_t i = 0; i < e->names.len; i++)
		if (!strv_contains(&own, e->names.v[i]))
			strv_add(&to->aliases, e->names.v[i]);
	for (size_t i = 0; i < e->links.len; i++)
		strv_addf(&to->links, "%s:%s", e->links.v[i].value, e->links.v[i].key);
	strmap_copy(&to->driver_opts, &e->options);
	to->gw_priority = e->priority;
	str_set(&to->network_id, e->network_id);
}

void endpoints_adopt(struct container *c)
{
	struct jmap *nets = &c->rec.net.networks;
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < c->sandbox.eps_len && !c->rec.config.network_disabled; i++) {
		const struct net_endpoint *e = &c->sandbox.eps[i];
		bool known = false;

		for (size_t k = 0; k < nets->len && !known; k++)
			known = find_ep(&c->sandbox, nets->keys[k], ((struct endpoint *)jmap_at(nets, k, &endpoint_desc))->network_id) == e;
		if (!known && e->network)
			from_joined(c, e, jmap_add(nets, e->network, &endpoint_desc));
	}
}
