/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The networks: by id, prefix or name; the two that are always there; how they look in the API. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/net_i.h"

static const struct { const char *name, *driver; } predefined[] = { { "none", "null" }, { "host", "host" } };

struct network *network_new(const char *name, const char *driver)
{
	struct network *n = xcalloc(1, sizeof(*n));

	n->refs = 1;
	id_random_hex(n->id, ID_HEX);
	n->name = xstrdup(name);
	n->driver = xstrdup(driver);
	n->scope = xstrdup("local");
	n->ipam_driver = xstrdup("default");
	n->enable_ipv4 = true;
	n->created = clock_now();
	n->options.set = n->labels.set = true;
	return n;
}

struct network *network_ref(struct network *n)
{
	__atomic_add_fetch(&n->refs, 1, __ATOMIC_RELAXED);
	return n;
}

static void net_pool_done(struct net_pool *p)
{
	free(p->subnet);
	free(p->range);
	free(p->gateway);
	strmap_done(&p->aux);
}

void network_unref(struct network *n)
{
	if (!n || __atomic_sub_fetch(&n->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(n->name);
	free(n->driver);
	free(n->scope);
	free(n->ipam_driver);
	free(n->config_from);
	strmap_done(&n->ipam_options);
	strmap_done(&n->options);
	strmap_done(&n->labels);
	for (size_t i = 0; i < n->pools_len; i++)
		net_pool_done(&n->pools[i]);
	free(n->pools);
	free(n);
}

void net_list_free(struct network **v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		network_unref(v[i]);
	free(v);
}

void net_endpoint_done(struct net_endpoint *e)
{
	free(e->network);
	free(e->mac);
	free(e->ipv4);
	free(e->ipv6);
	free(e->gateway4);
	free(e->gateway6);
	free(e->interface);
	strv_done(&e->names);
	strmap_done(&e->links);
	strv_done(&e->link_local);
	strmap_done(&e->options);
	*e = (struct net_endpoint){0};
}

void net_endpoint_copy(struct net_endpoint *dst, const struct net_endpoint *src)
{
	*dst = *src;
	dst->network = xstrdup(src->network);
	dst->mac = xstrdup(src->mac);
	dst->ipv4 = xstrdup(src->ipv4);
	dst->ipv6 = xstrdup(src->ipv6);
	dst->gateway4 = xstrdup(src->gateway4);
	dst->gateway6 = xstrdup(src->gateway6);
	dst->interface = xstrdup(src->interface);
	strv_copy(&dst->names, &src->names);
	strmap_copy(&dst->links, &src->links);
	strv_copy(&dst->link_local, &src->link_local);
	strmap_copy(&dst->options, &src->options);
}

bool net_is_predefined(const char *name)
{
	return streq(name, "none") || streq(name, "host") || streq(name, "bridge") || streq(name, "default");
}

static bool have(const struct net_controller *nc, const char *name)
{
	for (size_t i = 0; i < nc->nets_len; i++)
		if (streq(nc->nets[i]->name, name))
			return true;
	return false;
}

/* What cannot be written now lives as long as the daemon. */
static void add_predefined(struct net_controller *nc, bool changed)
{
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(predefined); i++) {
		if (have(nc, predefined[i].name))
			continue;
		nc->nets = xrealloc(nc->nets, (nc->nets_len + 1) * sizeof(*nc->nets));
		nc->nets[nc->nets_len++] = network_new(predefined[i].name, predefined[i].driver);
		changed = true;
	}
	if (changed && net_state_write(nc->data_root, nc->nets, nc->nets_len, &err) < 0)
		log_warn("%s", err_text(&err));
}

struct net_controller *net_open(const char *data_root, const char *exec_root, struct spawner *sp, struct err *err)
{
	struct net_controller *nc = xcalloc(1, sizeof(*nc));
	OWN_FREE char *dir = xasprintf("%s/network", data_root);

	nc->data_root = xstrdup(data_root);
	nc->exec_root = xstrdup(exec_root);
	nc->spawner = sp;
	nc->drivers = net_drivers_new(data_root, exec_root);
	lock_init(&nc->lock, LOCK_MAP);
	if (fs_mkdir(dir, 0750, err) < 0) {
		net_close(nc);
		return NULL;
	}
	add_predefined(nc, net_state_read(data_root, &nc->nets, &nc->nets_len));
	return nc;
}

void net_close(struct net_controller *nc)
{
	if (!nc)
		return;
	net_list_free(nc->nets, nc->nets_len);
	while (nc->boxes) {
		struct net_box *b = nc->boxes;

		nc->boxes = b->next;
		net_box_free(b);
	}
	net_spaces_close(nc);
	net_drivers_close(nc->drivers);
	lock_done(&nc->lock);
	free(nc->data_root);
	free(nc->exec_root);
	free(nc);
}

struct network *net_find(struct net_controller *nc, const char *name, struct err *err)
{
	struct network *by_name = NULL, *by_prefix = NULL;
	bool prefix = id_is_hex_prefix(name);
	size_t matches = 0;

	WITH_LOCK(&nc->lock);
	for (size_t i = 0; i < nc->nets_len; i++) {
		struct network *n = nc->nets[i];

		if (streq(n->id, name))
			return network_ref(n);
		if (streq(n->name, name))
			by_name = n;
		if (prefix && str_has_prefix(n->id, name)) {
			by_prefix = n;
			matches++;
		}
	}
	if (by_name)
		return network_ref(by_name);
	if (matches == 1)
		return network_ref(by_prefix);
	if (matches)
		err_set(err, ERR_INVALID, "network %s is ambiguous (%zu matches found based on ID prefix)", name, matches);
	else
		err_set(err, ERR_NOT_FOUND, "network %s not found", name);
	return NULL;
}

struct network *net_find_name(struct net_controller *nc, const char *name)
{
	WITH_LOCK(&nc->lock);
	for (size_t i = 0; i < nc->nets_len; i++)
		if (streq(nc->nets[i]->name, name))
			return network_ref(nc->nets[i]);
	return NULL;
}

size_t net_list(struct net_controller *nc, struct network ***ret)
{
	WITH_LOCK(&nc->lock);

	*ret = xcalloc(nc->nets_len + 1, sizeof(**ret));
	for (size_t i = 0; i < nc->nets_len; i++)
		(*ret)[i] = network_ref(nc->nets[i]);
	return nc->nets_len;
}

const char *net_default(const struct net_controller *nc)
{
	return nc->bridge ? "bridge" : "none";
}

void net_set_namer(struct net_controller *nc, net_name_fn *fn, void *ctx)
{
	WITH_LOCK(&nc->lock);
	nc->name_of = fn;
	nc->name_ctx = ctx;
}

size_t net_users(struct net_controller *nc, const struct network *n, struct strv *ret)
{
	size_t len = 0;

	WITH_LOCK(&nc->lock);
	for (const struct net_box *b = nc->boxes; b; b = b->next) {
		if (!net_box_endpoint(b, n->id))
			continue;
		if (ret)
			strv_add(ret, b->container);
		len++;
	}
	return len;
}

/* One container of Containers. */
struct attached {
	char *container, *name;
	struct net_endpoint ep;
};

static int by_container(const void *a, const void *b)
{
	return strcmp(((const struct attached *)a)->container, ((const struct attached *)b)->container);
}

/* Copies, so that the names can be asked for with no lock held. */
static size_t collect(struct net_controller *nc, const struct network *n, struct attached **ret)
{
	struct attached *v = NULL;
	net_name_fn *name_of;
	void *ctx;
	size_t len = 0;

	lock_take(&nc->lock);
	name_of = nc->name_of;
	ctx = nc->name_ctx;
	for (const struct net_box *b = nc->boxes; b; b = b->next) {
		const struct net_endpoint *ep = net_box_endpoint(b, n->id);

		if (!ep)
			continue;
		v = xrealloc(v, (len + 1) * sizeof(*v));
		v[len] = (struct attached){ .container = xstrdup(b->container) };
		net_endpoint_copy(&v[len++].ep, ep);
	}
	lock_drop(&nc->lock);
	for (size_t i = 0; i < len; i++)
		v[i].name = name_of ? name_of(ctx, v[i].container) : NULL;
	if (len)
		qsort(v, len, sizeof(*v), by_container);
	*ret = v;
	return len;
}

static void encode_containers(struct net_controller *nc, const struct network *n, struct jw *w)
{
	struct attached *v;
	size_t len = collect(nc, n, &v);

	for (size_t i = 0; i < len; i++) {
		jw_kobj(w, v[i].container);
		jw_kstr(w, "Name", v[i].name);
		jw_kstr(w, "EndpointID", v[i].ep.id);
		jw_kstr(w, "MacAddress", v[i].ep.mac);
		jw_kstr(w, "IPv4Address", v[i].ep.ipv4);
		jw_kstr(w, "IPv6Address", v[i].ep.ipv6);
		jw_obj_end(w);
		net_endpoint_done(&v[i].ep);
		free(v[i].container);
		free(v[i].name);
	}
	free(v);
}

static void encode_ipam(const struct network *n, struct jw *w)
{
	jw_kobj(w, "IPAM");
	jw_kstr(w, "Driver", "default");
	jw_knull(w, "Options");
	jw_karr(w, "Config");
	for (size_t i = 0; i < n->pools_len; i++) {
		jw_obj(w);
		jw_kstr(w, "Subnet", n->pools[i].subnet);
		if (n->pools[i].range)
			jw_kstr(w, "IPRange", n->pools[i].range);
		jw_kstr(w, "Gateway", n->pools[i].gateway);
		if (n->pools[i].aux.len)
			jw_kstrmap(w, "AuxiliaryAddresses", &n->pools[i].aux);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

void net_encode(struct net_controller *nc, const struct network *n, bool containers, int api_minor, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "Name", n->name);
	jw_kstr(w, "Id", n->id);
	jw_ktime(w, "Created", n->created);
	jw_kstr(w, "Scope", n->scope);
	jw_kstr(w, "Driver", n->driver);
	if (api_minor >= 48)
		jw_kbool(w, "EnableIPv4", true);
	jw_kbool(w, "EnableIPv6", n->enable_ipv6);
	encode_ipam(n, w);
	jw_kbool(w, "Internal", n->internal);
	jw_kbool(w, "Attachable", n->attachable);
	jw_kbool(w, "Ingress", n->ingress);
	jw_kobj(w, "ConfigFrom");
	jw_kstr(w, "Network", "");
	jw_obj_end(w);
	jw_kbool(w, "ConfigOnly", false);
	jw_kobj(w, "Containers");
	if (containers)
		encode_containers(nc, n, w);
	jw_obj_end(w);
	jw_kstrmap(w, "Options", &n->options);
	jw_kstrmap(w, "Labels", &n->labels);
	jw_obj_end(w);
}

/* Docker's own drivers. */
static bool comes_later(const char *driver)
{
	return streq(driver, "macvlan") || streq(driver, "ipvlan");
}

static bool blank(const char *s)
{
	return !s || s[strspn(s, " \t\r\n\v\f")] == '\0';
}

int net_create(struct net_controller *nc, const struct net_spec *spec, char ret_id[65], struct strv *warnings, struct err *err)
{
	const char *driver = str_empty(spec->driver) ? "bridge" : spec->driver;
	struct net_driver *d;

	(void)warnings;
	ret_id[0] = '\0';
	if (blank(spec->name))
		return err_set(err, ERR_INVALID, "invalid name: %s", spec->name ? spec->name : "");
	if (net_is_predefined(spec->name))
		return err_set(err, ERR_FORBIDDEN, "operation is not permitted on predefined %s network ", spec->name);
	if (!str_empty(spec->config_from))
		return err_set(err, ERR_NOT_FOUND, "configuration network \"%s\" does not exist", spec->config_from);
	if (spec->config_only)
		return err_set(err, ERR_NOT_IMPLEMENTED, "networks that only hold a configuration cannot be made yet");
	if (spec->ingress)
		return err_set(err, ERR_FORBIDDEN, "Ingress network can only be global scope network");
	if (spec->scope && streq(spec->scope, "swarm"))
		return err_set(err, ERR_FORBIDDEN, "cannot create a swarm scoped network when swarm is not active");
	if (streq(driver, "overlay"))
		return err_set(err, ERR_UNAVAILABLE, "This node is not a swarm manager. Use \"docker swarm init\" "
			"or \"docker swarm join\" to connect this node to swarm and try again.");
	d = net_driver_get(nc->drivers, driver, err);
	if (!d) {
		if (err && err->class == ERR_NOT_FOUND && comes_later(driver))
			err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found: there is no such network driver "
				"yet", driver);
		return -1;
	}
	if (net_driver_predefined(d))
		return err_set(err, ERR_FORBIDDEN, "only one instance of \"%s\" network is allowed", driver);
	return err_set(err, ERR_NOT_IMPLEMENTED, "networks of driver %s cannot be made yet", driver);
}

int net_remove(struct net_controller *nc, const char *name, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, name, err);

	if (!n)
		return -1;
	if (net_is_predefined(n->name))
		return err_set(err, ERR_FORBIDDEN, "%s is a pre-defined network and cannot be removed", n->name);
	return err_set(err, ERR_NOT_IMPLEMENTED, "network %s cannot be removed yet", n->name);
}

int net_prune(struct net_controller *nc, net_pass_fn *pass, void *ctx, struct strv *names, struct err *err)
{
	(void)nc;
	(void)pass;
	(void)ctx;
	(void)names;
	(void)err;
	return 0;
}
