/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the network room: the networks in the data-root (they outlive a power cut), the sandboxes in the exec-root. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/net_i.h"

#define STATE_VERSION 1
#define BOX_VERSION 2
#define STATE_MAX (16u << 20)
#define BOX_MAX (4u << 20)

struct net_item {
	char *name, *id, *driver, *scope, *ipam_driver, *config_from;
	int64_t created;
	bool internal, attachable, ingress, config_only, enable_ipv6;
	struct opt_bool enable_ipv4;
	struct strmap options, labels, ipam_options;
	struct jlist pools; /* struct net_pool */
};
struct net_file {
	int64_t version;
	struct jlist networks;
	struct strv adopted;
};
/* Of version 1: one endpoint, in the fields that are beside eps. */
struct box_item {
	int64_t version;
	char *container, *id;
	char *endpoint, *network, *network_id, *mac, *ipv4, *ipv6, *gateway4;
	bool host;
	struct jlist eps;   /* struct ep_item */
	struct jlist ports; /* struct port_item */
	struct strv servers, search;
};
struct port_item {
	char *host_ip, *outside;
	bool maybe;
	int64_t proto, host_port, port, count;
};
struct ep_item {
	char *id, *network, *network_id, *mac, *ipv4, *ipv6, *gateway4, *gateway6, *interface;
	struct strv names, link_local;
	struct strmap links, options;
	int64_t priority;
	bool static_address, way_out, leads_nowhere;
};

JDESC(net_pool_desc, net_pool,
	JFIELD(net_pool, subnet, "Subnet", J_STR, J_REQUIRED),
	JFIELD(net_pool, range, "IPRange", J_STR, J_OMITEMPTY),
	JFIELD(net_pool, gateway, "Gateway", J_STR, 0),
	JFIELD(net_pool, aux, "AuxiliaryAddresses", J_STRMAP, 0),
	JFIELD(net_pool, id, "PoolID", J_STR, J_OMITEMPTY));

JDESC(net_item_desc, net_item,
	JFIELD(net_item, name, "Name", J_STR, J_REQUIRED),
	JFIELD(net_item, id, "Id", J_STR, J_REQUIRED),
	JFIELD(net_item, driver, "Driver", J_STR, J_REQUIRED),
	JFIELD(net_item, scope, "Scope", J_STR, 0),
	JFIELD(net_item, created, "Created", J_I64, 0),
	JFIELD(net_item, internal, "Internal", J_BOOL, 0),
	JFIELD(net_item, attachable, "Attachable", J_BOOL, 0),
	JFIELD(net_item, ingress, "Ingress", J_BOOL, J_OMITEMPTY),
	JFIELD(net_item, config_only, "ConfigOnly", J_BOOL, J_OMITEMPTY),
	JFIELD(net_item, config_from, "ConfigFrom", J_STR, J_OMITEMPTY),
	JFIELD(net_item, enable_ipv4, "EnableIPv4", J_OPT_BOOL, 0),
	JFIELD(net_item, enable_ipv6, "EnableIPv6", J_BOOL, 0),
	JFIELD(net_item, ipam_driver, "IPAMDriver", J_STR, J_OMITEMPTY),
	JFIELD(net_item, ipam_options, "IPAMOptions", J_STRMAP, J_OMITEMPTY),
	JFIELD(net_item, options, "Options", J_STRMAP, 0),
	JFIELD(net_item, labels, "Labels", J_STRMAP, 0),
	JFIELD_SUB(net_item, pools, "Pools", J_LIST, J_NONNULL, net_pool_desc));

JDESC(net_file_desc, net_file,
	JFIELD(net_file, version, "Version", J_I64, J_REQUIRED),
	JFIELD_SUB(net_file, networks, "Networks", J_LIST, J_NONNULL, net_item_desc),
	JFIELD(net_file, adopted, "Adopted", J_STRV, J_OMITEMPTY));

JDESC(net_ep_desc, ep_item,
	JFIELD(ep_item, id, "EndpointID", J_STR, J_REQUIRED),
	JFIELD(ep_item, network, "Network", J_STR, 0),
	JFIELD(ep_item, network_id, "NetworkID", J_STR, J_REQUIRED),
	JFIELD(ep_item, interface, "Interface", J_STR, J_OMITEMPTY),
	JFIELD(ep_item, mac, "MacAddress", J_STR, J_OMITEMPTY),
	JFIELD(ep_item, ipv4, "IPv4Address", J_STR, J_OMITEMPTY),
	JFIELD(ep_item, ipv6, "IPv6Address", J_STR, J_OMITEMPTY),
	JFIELD(ep_item, gateway4, "Gateway", J_STR, J_OMITEMPTY),
	JFIELD(ep_item, gateway6, "IPv6Gateway", J_STR, J_OMITEMPTY),
	JFIELD(ep_item, names, "DNSNames", J_STRV, J_OMITEMPTY),
	JFIELD(ep_item, links, "Links", J_STRMAP, J_OMITEMPTY),
	JFIELD(ep_item, link_local, "LinkLocalIPs", J_STRV, J_OMITEMPTY),
	JFIELD(ep_item, options, "DriverOpts", J_STRMAP, J_OMITEMPTY),
	JFIELD(ep_item, priority, "GwPriority", J_I64, J_OMITEMPTY),
	JFIELD(ep_item, static_address, "Static", J_BOOL, J_OMITEMPTY),
	JFIELD(ep_item, way_out, "WayOut", J_BOOL, J_OMITEMPTY),
	JFIELD(ep_item, leads_nowhere, "LeadsNowhere", J_BOOL, J_OMITEMPTY));

JDESC(net_port_desc, port_item,
	JFIELD(port_item, proto, "Proto", J_I64, J_REQUIRED),
	JFIELD(port_item, host_ip, "HostIp", J_STR, J_REQUIRED),
	JFIELD(port_item, outside, "Outside", J_STR, J_OMITEMPTY),
	JFIELD(port_item, maybe, "Maybe", J_BOOL, J_OMITEMPTY),
	JFIELD(port_item, host_port, "HostPort", J_I64, 0),
	JFIELD(port_item, port, "Port", J_I64, J_REQUIRED),
	JFIELD(port_item, count, "Count", J_I64, J_REQUIRED));

JDESC(net_box_desc, box_item,
	JFIELD(box_item, version, "Version", J_I64, J_REQUIRED),
	JFIELD(box_item, container, "Container", J_STR, J_REQUIRED),
	JFIELD(box_item, id, "SandboxID", J_STR, J_REQUIRED),
	JFIELD(box_item, host, "Host", J_BOOL, 0),
	JFIELD_SUB(box_item, eps, "Endpoints", J_LIST, J_NONNULL, net_ep_desc),
	JFIELD_SUB(box_item, ports, "Ports", J_LIST, J_OMITEMPTY, net_port_desc),
	JFIELD(box_item, servers, "DNS", J_STRV, J_OMITEMPTY),
	JFIELD(box_item, search, "DNSSearch", J_STRV, J_OMITEMPTY),
	JFIELD(box_item, endpoint, "EndpointID", J_STR, J_NOPRINT),
	JFIELD(box_item, network, "Network", J_STR, J_NOPRINT),
	JFIELD(box_item, network_id, "NetworkID", J_STR, J_NOPRINT),
	JFIELD(box_item, mac, "MacAddress", J_STR, J_NOPRINT),
	JFIELD(box_item, ipv4, "IPv4Address", J_STR, J_NOPRINT),
	JFIELD(box_item, ipv6, "IPv6Address", J_STR, J_NOPRINT),
	JFIELD(box_item, gateway4, "Gateway", J_STR, J_NOPRINT));

static char *net_path(const char *data_root)
{
	return xasprintf("%s/network/dockerd.json", data_root);
}

static struct network *from_item(const struct net_item *it)
{
	struct network *n;

	if (!id_is_hex64(it->id) || str_empty(it->name) || str_empty(it->driver))
		return NULL;
	n = network_new(it->name, it->driver);
	memcpy(n->id, it->id, sizeof(n->id));
	if (!str_empty(it->scope))
		str_set(&n->scope, it->scope);
	n->created = it->created;
	n->internal = it->internal;
	n->attachable = it->attachable;
	n->ingress = it->ingress;
	n->config_only = it->config_only;
	n->enable_ipv4 = !it->enable_ipv4.set || it->enable_ipv4.v;
	n->enable_ipv6 = it->enable_ipv6;
	if (!str_empty(it->config_from))
		str_set(&n->config_from, it->config_from);
	if (!str_empty(it->ipam_driver))
		str_set(&n->ipam_driver, it->ipam_driver);
	strmap_copy(&n->ipam_options, &it->ipam_options);
	strmap_done(&n->options);
	strmap_copy(&n->options, &it->options);
	strmap_done(&n->labels);
	strmap_copy(&n->labels, &it->labels);
	n->options.set = n->labels.set = true;
	net_pools_copy(n, it->pools.v, it->pools.len);
	return n;
}

static int read_file(const char *path, struct net_file *ret, struct err *err)
{
	OWN_BUF struct buf text = {0};

	*ret = (struct net_file){0};
	if (fs_read(AT_FDCWD, path, STATE_MAX, &text, err) < 0)
		return -1;
	if (jdesc_parse(&net_file_desc, text.data, text.size, ret, err) == 0) {
		if (ret->version == STATE_VERSION)
			return 0;
		err_set(err, ERR_INVALID, "its version is %lld, this daemon knows %d", (long long)ret->version, STATE_VERSION);
	}
	jdesc_clear(&net_file_desc, ret);
	return -1;
}

bool net_state_read(const char *data_root, struct network ***ret, size_t *ret_len, struct strv *ret_adopted)
{
	OWN_FREE char *path = net_path(data_root), *copy = xasprintf("%s.copy", path), *dir = xasprintf("%s/network", data_root);
	OWN_ERR struct err err = ERR_INIT, aside = ERR_INIT;
	struct net_file file;
	struct network *n;
	bool again = false;

	fs_sweep_temporary(dir);
	*ret = NULL;
	*ret_len = 0;
	if (read_file(path, &file, &err) < 0) {
		bool found = read_file(copy, &file, NULL) == 0;

		if (!found && err.class == ERR_NOT_FOUND)
			return false;
		again = true;
		damage_note("network", "list", found ? DAMAGE_REPAIRED : DAMAGE_LOST, "the list of networks was damaged (%s)%s",
			err_text(&err), found ? " and comes from its copy" : ": networks other than the predefined ones are lost");
		if (fs_set_aside(AT_FDCWD, path, &aside) < 0)
			log_warn("%s", err_text(&aside));
	}
	*ret = xcalloc(file.networks.len + 1, sizeof(**ret));
	for (size_t i = 0; i < file.networks.len; i++)
		if ((n = from_item(jlist_at(&file.networks, i, &net_item_desc))))
			(*ret)[(*ret_len)++] = n;
	strv_copy(ret_adopted, &file.adopted);
	jdesc_clear(&net_file_desc, &file);
	return again;
}

/* Borrowed, never to be cleared. */
static struct net_item to_item(const struct network *n)
{
	return (struct net_item){
		.name = n->name, .id = (char *)n->id, .driver = n->driver, .scope = n->scope,
		.created = n->created, .internal = n->internal, .attachable = n->attachable,
		.ingress = n->ingress, .config_only = n->config_only, .config_from = n->config_from,
		.enable_ipv4 = { true, n->enable_ipv4 }, .enable_ipv6 = n->enable_ipv6,
		.ipam_driver = n->ipam_driver, .ipam_options = n->ipam_options, .options = n->options, .labels = n->labels,
		.pools = { n->pools, n->pools_len, true },
	};
}

char *network_to_text(const struct network *n)
{
	struct net_item it = to_item(n);
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jdesc_encode(&net_item_desc, &it, &w);
	return buf_steal(&b);
}

struct network *network_from_text(const char *text, struct err *err)
{
	struct net_item it = { 0 };
	struct network *n = NULL;

	if (jdesc_parse(&net_item_desc, text, strlen(text), &it, err) == 0 && !(n = from_item(&it)))
		err_set(err, ERR_INVALID, "it is no network");
	jdesc_clear(&net_item_desc, &it);
	return n;
}

int net_state_write(const char *data_root, struct network *const *nets, size_t len, const struct strv *adopted, struct err *err)
{
	OWN_FREE char *path = net_path(data_root);
	OWN_FREE struct net_item *items = xcalloc(len + 1, sizeof(*items));
	struct net_file file = { STATE_VERSION, { items, len, true }, *adopted };
	OWN_BUF struct buf text = {0};
	struct jw w;

	for (size_t i = 0; i < len; i++)
		items[i] = to_item(nets[i]);
	jw_init(&w, &text);
	jdesc_encode(&net_file_desc, &file, &w);
	buf_addc(&text, '\n');
	if (fs_write_copied(AT_FDCWD, path, text.data, text.size, 0600, FS_SYNC, err) < 0)
		return err_wrap(err, "write the list of networks");
	return 0;
}

char *net_box_path(const char *exec_root, const struct net_box *b)
{
	return xasprintf("%s/netns/%.12s", exec_root, b->id);
}

static char *box_file(const char *exec_root, const char *container_id)
{
	return xasprintf("%s/sandboxes/%s.json", exec_root, container_id);
}

int net_box_write(const char *exec_root, const struct net_box *b, struct err *err)
{
	OWN_FREE char *path = box_file(exec_root, b->container), *dir = xasprintf("%s/sandboxes", exec_root);
	OWN_FREE struct ep_item *eps = xcalloc(b->eps_len + 1, sizeof(*eps));
	OWN_FREE struct port_item *ports = xcalloc(b->runs_len + 1, sizeof(*ports));
	struct box_item it = {
		.version = BOX_VERSION, .container = b->container, .id = b->id, .host = b->host, .eps = { eps, b->eps_len, true },
		.ports = { ports, b->runs_len, b->runs_len > 0 }, .servers = b->servers, .search = b->search,
	};
	OWN_BUF struct buf text = {0};
	struct jw w;

	if (fs_mkdirs(dir, 0700, err) < 0)
		return -1;
	for (size_t i = 0; i < b->eps_len; i++) {
		const struct net_endpoint *e = &b->eps[i];

		eps[i] = (struct ep_item){ /* borrowed, never cleared */
			.id = (char *)e->id, .network = e->network, .network_id = (char *)e->network_id, .mac = e->mac, .ipv4 = e->ipv4,
			.ipv6 = e->ipv6, .gateway4 = e->gateway4, .gateway6 = e->gateway6, .interface = e->interface, .names = e->names,
			.link_local = e->link_local, .links = e->links, .options = e->options, .priority = e->priority,
			.static_address = e->static_address, .way_out = e->way_out, .leads_nowhere = e->leads_nowhere,
		};
	}
	for (size_t i = 0; i < b->runs_len; i++) {
		const struct net_run *r = &b->runs[i];

		ports[i] = (struct port_item){
			.proto = r->proto, .host_ip = (char *)r->host_ip, .outside = (char *)r->outside, .maybe = r->maybe, .host_port = r->host_port,
			.port = r->port, .count = r->count,
		};
	}
	jw_init(&w, &text);
	jdesc_encode(&net_box_desc, &it, &w);
	return fs_write_atomic(AT_FDCWD, path, text.data, text.size, 0600, FS_RENAME_ONLY, err);
}

static void take_endpoint(struct net_box *b, const struct ep_item *it)
{
	struct net_endpoint *e = &b->eps[b->eps_len];

	if (!it->id || !id_is_hex64(it->id) || !it->network_id || !id_is_hex64(it->network_id))
		return;
	*e = (struct net_endpoint){
		.network = xstrdup(it->network), .mac = xstrdup(it->mac), .ipv4 = xstrdup(it->ipv4), .ipv6 = xstrdup(it->ipv6),
		.gateway4 = xstrdup(it->gateway4), .gateway6 = xstrdup(it->gateway6), .interface = xstrdup(it->interface),
		.priority = it->priority, .static_address = it->static_address, .way_out = it->way_out, .leads_nowhere = it->leads_nowhere,
	};
	memcpy(e->id, it->id, sizeof(e->id));
	memcpy(e->network_id, it->network_id, sizeof(e->network_id));
	strv_copy(&e->names, &it->names);
	strv_copy(&e->link_local, &it->link_local);
	strmap_copy(&e->links, &it->links);
	strmap_copy(&e->options, &it->options);
	b->eps_len++;
}

static void take_endpoints(struct net_box *b, const struct box_item *it)
{
	const struct ep_item old = { /* borrowed, never cleared */
		.id = it->endpoint, .network = it->network, .network_id = it->network_id, .mac = it->mac, .ipv4 = it->ipv4, .ipv6 = it->ipv6,
		.gateway4 = it->gateway4, .interface = (char *)(str_empty(it->mac) ? NULL : "eth0"),
	};

	b->eps = xcalloc(it->eps.len + 1, sizeof(*b->eps));
	if (it->version < BOX_VERSION)
		take_endpoint(b, &old);
	for (size_t i = 0; i < it->eps.len && it->version >= BOX_VERSION; i++)
		take_endpoint(b, jlist_at(&it->eps, i, &net_ep_desc));
}

static bool is_port(int64_t first, int64_t count)
{
	return first > 0 && count > 0 && first + count <= 65536;
}

static void take_ports(struct net_box *b, const struct box_item *it)
{
	struct ip a;

	b->runs = xcalloc(it->ports.len + 1, sizeof(*b->runs));
	for (size_t i = 0; i < it->ports.len; i++) {
		const struct port_item *p = jlist_at(&it->ports, i, &net_port_desc);
		struct net_run *r = &b->runs[b->runs_len];

		if (!is_port(p->port, p->count) || (p->host_port && !is_port(p->host_port, p->count)) || p->proto < 0 || p->proto > 255 ||
		    !ip_parse(p->host_ip, &a) || (!str_empty(p->outside) && !ip_parse(p->outside, &a)))
			continue;
		*r = (struct net_run){ .proto = (int)p->proto, .host_port = (unsigned)p->host_port, .port = (unsigned)p->port, .count = (unsigned)p->count };
		snprintf(r->host_ip, sizeof(r->host_ip), "%s", p->host_ip);
		snprintf(r->outside, sizeof(r->outside), "%s", p->outside ? p->outside : "");
		r->maybe = p->maybe;
		b->runs_len++;
	}
}

struct net_box *net_box_read(const char *exec_root, const char *container_id, struct err *err)
{
	OWN_FREE char *path = NULL;
	OWN_BUF struct buf text = {0};
	struct box_item it = {0};
	struct net_box *b = NULL;

	if (!id_is_hex64(container_id)) {
		err_set(err, ERR_INVALID, "not the id of a container: %s", container_id);
		return NULL;
	}
	path = box_file(exec_root, container_id);
	if (fs_read(AT_FDCWD, path, BOX_MAX, &text, err) < 0)
		return NULL;
	if (jdesc_parse(&net_box_desc, text.data, text.size, &it, err) < 0) {
		err_wrap(err, "%s", path);
	} else if (it.version < 1 || it.version > BOX_VERSION || !streq(it.container, container_id) || !id_is_hex64(it.id)) {
		err_set(err, ERR_INVALID, "%s is not of this container and version", path);
	} else {
		b = xcalloc(1, sizeof(*b));
		b->container = STEAL(it.container);
		b->id = STEAL(it.id);
		b->host = it.host;
		take_endpoints(b, &it);
		take_ports(b, &it);
		strv_copy(&b->servers, &it.servers);
		strv_copy(&b->search, &it.search);
	}
	jdesc_clear(&net_box_desc, &it);
	return b;
}

void net_box_unlink(const char *exec_root, const char *container_id)
{
	OWN_FREE char *path = box_file(exec_root, container_id);
	OWN_ERR struct err err = ERR_INIT;

	/* damaged, it may be a folder */
	if (unlink(path) < 0 && errno != ENOENT && (errno != EISDIR || fs_remove_tree(AT_FDCWD, path, &err) < 0))
		log_warn("cannot remove %s: %s", path, err.msg ? err_text(&err) : strerror(errno));
}

struct net_box *net_boxes_read(const char *exec_root)
{
	OWN_FREE char *dir = xasprintf("%s/sandboxes", exec_root);
	OWN_DIR DIR *d = opendir(dir);
	struct net_box *all = NULL, *b;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *id = xstrndup(e->d_name, ID_HEX);

		if (!id_is_hex64(id) || !streq(e->d_name + ID_HEX, ".json") || !(b = net_box_read(exec_root, id, NULL)))
			continue;
		b->next = all;
		all = b;
	}
	return all;
}
