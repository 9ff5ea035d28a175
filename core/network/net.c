/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facade over network drivers: opens each once, puts a container on a network of theirs and takes it off again. */

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "driver.h"
#include "driver-once.h"
#include "dockerd/net.h"
#include "network/net_i.h"

#define CALL_TIME (60 * NSEC_PER_SEC)

struct net_driver {
	const struct driver *driver;
	const struct dkd_net_ops *ops;
	struct dkd_net *handle;
	struct dkd_net_caps caps;
	char *asked;
};

struct net_drivers {
	char *data_root, *exec_root;
	struct driver_once *opened;
};

static void call_begin(struct driver_call *c, const struct net_driver *d)
{
	driver_call_begin(c, d->driver);
	c->abi.deadline = clock_mono() + CALL_TIME;
}

/* Loads and opens; no lock is held. */
static int driver_open(const struct net_drivers *ds, struct net_driver *d, struct err *err)
{
	OWN_FREE char *root = NULL;
	struct dkd_net_open open = { .size = sizeof(open), .exec_root = ds->exec_root };
	struct driver_call c;

	d->driver = driver_load(DKD_KIND_NET, streq(d->asked, "null") ? "none" : d->asked, err);
	if (!d->driver) {
		if (err && err->class == ERR_NOT_FOUND)
			err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", d->asked);
		return -1;
	}
	d->ops = d->driver->ops;
	root = xasprintf("%s/network/drivers/%s", ds->data_root, d->driver->desc->name);
	open.root = root;
	open.instance = d->driver->desc->provider ? d->asked : NULL;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->open(&c.abi, driver_host(d->driver), &open, &d->handle), err) < 0)
		return err_wrap(err, "open network driver %s", d->asked);
	d->caps.size = sizeof(d->caps);
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->capabilities(&c.abi, d->handle, &d->caps), err) < 0)
		return err_wrap(err, "network driver %s", d->asked);
	return 0;
}

static void driver_free(void *object)
{
	struct net_driver *d = object;

	if (d->handle && d->ops->close)
		d->ops->close(d->handle);
	free(d->asked);
	free(d);
}

static void *open_named(void *ctx, const char *name, struct err *err)
{
	struct net_driver *d = xcalloc(1, sizeof(*d));

	d->asked = xstrdup(name);
	if (driver_open(ctx, d, err) == 0)
		return d;
	driver_free(d);
	return NULL;
}

struct net_drivers *net_drivers_new(const char *data_root, const char *exec_root)
{
	struct net_drivers *ds = xcalloc(1, sizeof(*ds));

	ds->data_root = xstrdup(data_root);
	ds->exec_root = xstrdup(exec_root);
	ds->opened = driver_once_new(open_named, driver_free, ds);
	return ds;
}

void net_drivers_close(struct net_drivers *ds)
{
	driver_once_free(ds->opened);
	free(ds->data_root);
	free(ds->exec_root);
	free(ds);
}

struct net_driver *net_driver_get(struct net_drivers *ds, const char *name, struct err *err)
{
	return driver_once_get(ds->opened, name, err);
}

bool net_driver_host_sandbox(const struct net_driver *d)
{
	return d->caps.flags & DKD_NET_HOST_SANDBOX;
}

bool net_driver_no_ipam(const struct net_driver *d)
{
	return d->caps.flags & DKD_NET_NO_IPAM;
}

bool net_driver_predefined(const struct net_driver *d)
{
	return d->caps.flags & DKD_NET_PREDEFINED;
}

/* Borrows the strings; the array is the caller's to free. */
static struct dkd_pair *pairs(const struct strmap *a, const struct strmap *b, uint32_t *ret_len)
{
	struct dkd_pair *v = xcalloc(a->len + (b ? b->len : 0) + 1, sizeof(*v));

	*ret_len = 0;
	for (size_t i = 0; i < a->len; i++)
		v[(*ret_len)++] = (struct dkd_pair){ a->v[i].key, a->v[i].value };
	for (size_t i = 0; b && i < b->len; i++)
		v[(*ret_len)++] = (struct dkd_pair){ b->v[i].key, b->v[i].value };
	return v;
}

static int32_t emit_address(void *to, const char *key, const char *value)
{
	struct net_endpoint *ep = to;

	if (streq(key, "mac"))
		str_set(&ep->mac, value);
	else if (streq(key, "ipv4"))
		str_set(&ep->ipv4, value);
	else if (streq(key, "ipv6"))
		str_set(&ep->ipv6, value);
	return 0;
}

static int create_endpoint(struct net_driver *d, struct net_endpoint *ep, uint32_t flags, struct err *err)
{
	struct dkd_net_endpoint e = {
		.size = sizeof(e), .flags = flags, .network = ep->network_id, .id = ep->id, .mac = ep->mac,
		.ipv4 = ep->ipv4, .ipv6 = ep->ipv6,
	};
	OWN_FREE struct dkd_pair *options = pairs(&ep->options, NULL, &e.options_len);
	struct net_endpoint chosen = {0};
	struct driver_call c;
	int ret;

	if (!d->ops->create_endpoint)
		return 0;
	e.options = options;
	call_begin(&c, d);
	ret = driver_call_end(&c, d->ops->create_endpoint(&c.abi, d->handle, &e, emit_address, &chosen), err);
	if (ret == 0 && chosen.mac)
		str_set(&ep->mac, chosen.mac);
	if (ret == 0 && chosen.ipv4)
		str_set(&ep->ipv4, chosen.ipv4);
	if (ret == 0 && chosen.ipv6)
		str_set(&ep->ipv6, chosen.ipv6);
	net_endpoint_done(&chosen);
	return ret;
}

static int delete_endpoint(struct net_driver *d, const struct net_endpoint *ep, struct err *err)
{
	struct driver_call c;

	if (!d->ops->delete_endpoint)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->delete_endpoint(&c.abi, d->handle, ep->network_id, ep->id), err);
}

static int leave(struct net_driver *d, const struct net_endpoint *ep, struct err *err)
{
	struct driver_call c;

	if (!d->ops->leave)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->leave(&c.abi, d->handle, ep->network_id, ep->id), err);
}

void net_joined_done(struct net_joined *j)
{
	free(j->interface);
	free(j->prefix);
	free(j->wanted);
	free(j->gateway4);
	free(j->gateway6);
	strmap_done(&j->routes);
	*j = (struct net_joined){ 0 };
}

static int32_t emit_joined(void *to, const struct dkd_net_joined *j)
{
	struct net_joined *mine = to;
	bool way_out = !(j->flags & DKD_NET_NO_GATEWAY);

	mine->closed = !way_out;
	str_set(&mine->interface, j->interface_name);
	str_set(&mine->prefix, j->interface_prefix);
	str_set(&mine->wanted, j->interface_wanted);
	str_set(&mine->gateway4, way_out ? j->gateway4 : NULL);
	str_set(&mine->gateway6, way_out ? j->gateway6 : NULL);
	for (uint32_t i = 0; i < j->routes_len; i++)
		strmap_set(&mine->routes, j->routes[i].destination, j->routes[i].via ? j->routes[i].via : "");
	mine->in_sandbox = j->in_sandbox;
	return 0;
}

/* The user namespace that a network namespace belongs to; -1: the host's. */
static int owner_of(int netns)
{
	OWN_FD int fd = netns < 0 ? -1 : ioctl(netns, NS_GET_USERNS);
	struct stat its, ours;

	if (fd < 0 || fstat(fd, &its) < 0 || stat("/proc/self/ns/user", &ours) < 0 || (its.st_ino == ours.st_ino && its.st_dev == ours.st_dev))
		return -1;
	return STEAL_FD(fd);
}

static int join(struct net_driver *d, struct net_endpoint *ep, const char *container_id, const char *netns_path, int netns_fd, uint32_t flags,
	struct net_joined *ret, struct err *err)
{
	OWN_FD int userns = owner_of(netns_fd);
	struct dkd_net_join j = {
		.size = sizeof(j), .flags = flags, .network = ep->network_id, .endpoint = ep->id, .container = container_id,
		.sandbox = netns_path, .sandbox_fd = netns_fd, .sandbox_userns_fd = userns,
	};
	OWN_FREE struct dkd_pair *options = pairs(&ep->options, NULL, &j.options_len);
	struct driver_call c;

	if (!d->ops->join)
		return 0;
	j.options = options;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->join(&c.abi, d->handle, &j, emit_joined, ret), err) < 0)
		return -1;
	if (!ret->interface || netns_path || flags & DKD_NET_RESTORED)
		return 0;
	leave(d, ep, NULL);
	return err_set(err, ERR_NOT_IMPLEMENTED, "network driver %s has an interface for a sandbox that is the host's", d->asked);
}

int net_driver_join(struct net_driver *d, struct net_endpoint *ep, const char *container_id, const char *netns_path, int netns_fd, bool restored,
	struct net_joined *ret, struct err *err)
{
	uint32_t flags = restored ? DKD_NET_RESTORED : 0;

	*ret = (struct net_joined){ 0 };
	if (create_endpoint(d, ep, flags, err) < 0)
		return -1;
	if (join(d, ep, container_id, netns_path, netns_fd, flags, ret, err) < 0) {
		delete_endpoint(d, ep, NULL);
		net_joined_done(ret);
		return -1;
	}
	return 0;
}

int net_driver_leave(struct net_driver *d, const struct net_endpoint *ep, struct err *err)
{
	int ret = leave(d, ep, err);

	return delete_endpoint(d, ep, ret < 0 ? NULL : err) < 0 ? -1 : ret;
}

/* A network in the ABI's shape; borrows from n. */
struct shape {
	struct dkd_net_network w;
	struct dkd_pair *options, *labels;
	struct dkd_net_pool *pools;
};

static void shape_init(struct shape *s, const struct network *n, const struct strmap *extra)
{
	*s = (struct shape){ .w = { .size = sizeof(s->w), .id = n->id, .name = n->name } };
	s->w.options = s->options = pairs(&n->options, extra, &s->w.options_len);
	s->w.labels = s->labels = pairs(&n->labels, NULL, &s->w.labels_len);
	s->w.pools = s->pools = xcalloc(n->pools_len + 1, sizeof(*s->pools));
	s->w.flags = (n->internal ? DKD_NET_INTERNAL : 0) | (n->enable_ipv4 ? DKD_NET_IPV4 : 0) | (n->enable_ipv6 ? DKD_NET_IPV6 : 0) |
		(n->ingress ? DKD_NET_INGRESS : 0);
	for (size_t i = 0; i < n->pools_len; i++) {
		const struct net_pool *p = &n->pools[i];
		struct dkd_net_pool *to = &s->pools[s->w.pools_len];

		if (!net_pool_used(n, p))
			continue;
		*to = (struct dkd_net_pool){ .size = sizeof(*to), .subnet = p->subnet, .range = p->range, .gateway = p->gateway };
		to->aux = pairs(&p->aux, NULL, &to->aux_len);
		s->w.pools_len++;
	}
}

static void shape_done(struct shape *s)
{
	for (uint32_t i = 0; i < s->w.pools_len; i++)
		free((void *)s->pools[i].aux);
	free(s->pools);
	free(s->options);
	free(s->labels);
}

int net_driver_create(struct net_driver *d, const struct network *n, const struct strmap *extra, bool restored, struct err *err)
{
	CLEANUP(shape_done) struct shape s;
	struct driver_call c;

	shape_init(&s, n, extra);
	if (!d->ops->create_network)
		return 0;
	s.w.flags |= restored ? DKD_NET_RESTORED : 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->create_network(&c.abi, d->handle, &s.w), err);
}

int net_driver_delete(struct net_driver *d, const char *network_id, struct err *err)
{
	struct driver_call c;

	if (!d->ops->delete_network)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->delete_network(&c.abi, d->handle, network_id), err);
}

bool net_driver_is_global(const struct net_driver *d)
{
	return d->caps.scope == DKD_NET_SCOPE_GLOBAL;
}

static int32_t emit_option(void *to, const char *key, const char *value)
{
	struct network *n = to;

	strmap_set(&n->options, key, value);
	strmap_sort(&n->options);
	return 0;
}

int net_driver_allocate(struct net_driver *d, struct network *n, const char *number, struct err *err)
{
	OWN_STRMAP struct strmap extra = { 0 };
	CLEANUP(shape_done) struct shape s;
	struct driver_call c;

	if (!d->ops->allocate_network)
		return 0;
	strmap_set(&extra, "dockerd.number", number);
	shape_init(&s, n, &extra);
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->allocate_network(&c.abi, d->handle, &s.w, emit_option, n), err);
}

void net_driver_free(struct net_driver *d, const struct network *n)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;

	if (!d->ops->free_network)
		return;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->free_network(&c.abi, d->handle, n->id), &err) < 0)
		log_warn("network %s is gone, and its driver %s keeps what it allocated: %s", n->name, n->driver, err_text(&err));
}

int net_driver_discover(struct net_driver *d, bool came, const char *type, const char *const *data, struct err *err)
{
	struct dkd_pair v[16];
	struct driver_call c;
	uint32_t len = 0;

	if (came ? !d->ops->discover_new : !d->ops->discover_delete)
		return 0;
	for (; data[0] && len < ARRAY_LEN(v); data += 2)
		v[len++] = (struct dkd_pair){ data[0], data[1] };
	call_begin(&c, d);
	return driver_call_end(&c, came ? d->ops->discover_new(&c.abi, d->handle, type, v, len) : d->ops->discover_delete(&c.abi, d->handle, type, v, len), err);
}

bool net_driver_skip_gateway(struct net_driver *d, const struct network *n)
{
	CLEANUP(shape_done) struct shape s;
	struct driver_call c;

	shape_init(&s, n, NULL);
	if (!d->ops->skip_gateway)
		return false;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->skip_gateway(&c.abi, d->handle, &s.w), NULL) > 0;
}

static void port_of(const struct net_run *r, struct dkd_net_port *ret)
{
	*ret = (struct dkd_net_port){
		.size = sizeof(*ret), .proto = (uint32_t)r->proto, .host_ip = r->host_ip, .host_port = r->host_port, .port = r->port, .count = r->count,
	};
}

int net_driver_publish(struct net_driver *d, const struct net_endpoint *ep, const struct net_run *runs, size_t len, bool restored, bool localhost,
	bool *ret_done, struct err *err)
{
	OWN_FREE struct dkd_net_port *ports = xcalloc(len + 1, sizeof(*ports));
	struct dkd_net_publish p = {
		.size = sizeof(p), .flags = (restored ? DKD_NET_RESTORED : 0) | (localhost ? DKD_NET_LOCALHOST : 0), .network = ep->network_id,
		.endpoint = ep->id, .ipv4 = ep->ipv4, .ipv6 = ep->ipv6, .ports = ports,
		.ports_len = (uint32_t)len,
	};
	struct driver_call c;

	*ret_done = d->ops->program_ports != NULL;
	if (!*ret_done)
		return 0;
	for (size_t i = 0; i < len; i++)
		port_of(&runs[i], &ports[i]);
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->program_ports(&c.abi, d->handle, &p), err);
}

int net_driver_revoke(struct net_driver *d, const struct net_endpoint *ep, struct err *err)
{
	struct driver_call c;

	if (!d->ops->revoke_ports)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->revoke_ports(&c.abi, d->handle, ep->network_id, ep->id), err);
}

int net_driver_links(struct net_driver *d, const struct net_endpoint *ep, const struct net_link *links, size_t len, struct err *err)
{
	OWN_FREE struct dkd_net_link *v = xcalloc(len + 1, sizeof(*v));
	OWN_FREE struct dkd_net_port *ports = NULL;
	OWN_FREE char *from = cidr_plain_dup(ep->ipv4);
	struct driver_call c;
	size_t n = 0;

	if (!d->ops->program_links || !from)
		return len ? err_set(err, ERR_NOT_IMPLEMENTED, "network driver %s has no links", d->asked) : 0;
	for (size_t i = 0; i < len; i++)
		n += links[i].ports_len;
	ports = xcalloc(n + 1, sizeof(*ports));
	n = 0;
	for (size_t i = 0; i < len; i++) {
		v[i] = (struct dkd_net_link){ .size = sizeof(*v), .from = from, .to = links[i].to, .ports = ports + n, .ports_len = (uint32_t)links[i].ports_len };
		for (size_t j = 0; j < links[i].ports_len; j++)
			port_of(&links[i].ports[j], &ports[n++]);
	}
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->program_links(&c.abi, d->handle, ep->network_id, ep->id, v, (uint32_t)len), err);
}

static int32_t emit_known(void *to, const char *key, const char *value)
{
	(void)value;
	strv_add(to, key);
	return 0;
}

bool net_driver_known_options(struct net_driver *d, struct strv *ret)
{
	struct driver_call c;

	if (!d->ops->known_options)
		return false;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->known_options(&c.abi, d->handle, emit_known, ret), NULL) == 0;
}

static int32_t emit_info(void *to, const char *key, const char *value)
{
	(void)value;
	if (streq(key, "interface"))
		*(bool *)to = true;
	return 0;
}

bool net_driver_stands(struct net_driver *d, const char *network_id, const char *endpoint_id)
{
	bool stands = false;
	struct driver_call c;

	if (!d->ops->oper_info)
		return false;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->oper_info(&c.abi, d->handle, network_id, endpoint_id, emit_info, &stands), NULL) < 0)
		return false;
	return stands;
}

int net_driver_sweep(struct net_driver *d, const struct strv *endpoints, struct err *err)
{
	struct driver_call c;

	if (!d->ops->sweep)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->sweep(&c.abi, d->handle, (const char *const *)endpoints->v, (uint32_t)endpoints->len), err);
}
