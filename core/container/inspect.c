/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "container/internal.h"
#include "image/layer.h"

void container_encode_labels(const struct strmap *labels, struct jw *w)
{
	if (labels->set || labels->len) {
		jw_strmap(w, labels);
		return;
	}
	jw_obj(w);
	jw_obj_end(w);
}

/* Before 1.45 the short id stood among the aliases; from 1.44 on all that it is called is a list of its own. */
static void encode_aliases(const struct container *c, const char *network, const struct endpoint *ep, int api_minor, struct jw *w)
{
	OWN_STRV struct strv all = { 0 };
	OWN_FREE char *id = xstrndup(c->id, 12);

	strv_copy(&all, &ep->aliases);
	if (api_minor < 45 && endpoint_has_names(network) && !strv_contains(&all, id))
		strv_add(&all, id);
	jw_kstrv(w, "Aliases", &all);
}

static void encode_names(const struct container *c, const char *network, const struct endpoint *ep, struct jw *w)
{
	OWN_STRV struct strv names = { 0 };

	if (endpoint_has_names(network))
		endpoint_names(c, ep, &names);
	jw_kstrv(w, "DNSNames", &names);
}

/* full: as inspected; lists have no wishes and no names. */
static void encode_endpoint(const struct container *c, const char *network, const struct endpoint *ep, bool full, int api_minor, struct jw *w)
{
	static const struct strv none;
	static const struct strmap no_options;
	const struct strmap *options = full ? &ep->driver_opts : &no_options;

	jw_obj(w);
	jw_kraw(w, "IPAMConfig", ep->ipam_config ? ep->ipam_config : "null");
	jw_kstrv(w, "Links", full ? &ep->links : &none);
	if (full)
		encode_aliases(c, network, ep, api_minor, w);
	else
		jw_kstrv(w, "Aliases", &none);
	if (api_minor >= 44) {
		jw_kstr(w, "MacAddress", ep->mac_address);
		jw_kstrmap(w, "DriverOpts", options);
	}
	if (api_minor >= 48)
		jw_kint(w, "GwPriority", ep->gw_priority);
	jw_kstr(w, "NetworkID", ep->network_id);
	jw_kstr(w, "EndpointID", ep->endpoint_id);
	jw_kstr(w, "Gateway", ep->gateway);
	jw_kstr(w, "IPAddress", ep->ip_address);
	jw_kint(w, "IPPrefixLen", ep->ip_prefix_len);
	jw_kstr(w, "IPv6Gateway", ep->ipv6_gateway);
	jw_kstr(w, "GlobalIPv6Address", ep->global_ipv6);
	jw_kint(w, "GlobalIPv6PrefixLen", ep->global_ipv6_prefix_len);
	if (api_minor < 44) {
		jw_kstr(w, "MacAddress", ep->mac_address);
		jw_kstrmap(w, "DriverOpts", options);
	} else if (full) {
		encode_names(c, network, ep, w);
	} else {
		jw_knull(w, "DNSNames");
	}
	jw_obj_end(w);
}

void container_encode_networks(const struct container *c, bool full, int api_minor, struct jw *w)
{
	const struct jmap *nets = &c->rec.net.networks;

	jw_obj(w);
	for (size_t i = 0; i < nets->len; i++) {
		if (str_has_prefix(nets->keys[i], "container:"))
			continue; /* a record of old has such */
		jw_key(w, nets->keys[i]);
		encode_endpoint(c, nets->keys[i], jmap_at(nets, i, &endpoint_desc), full, api_minor, w);
	}
	jw_obj_end(w);
}

static void encode_mount(const struct mount_point *m, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "Type", m->type);
	if (!str_empty(m->name))
		jw_kstr(w, "Name", m->name);
	jw_kstr(w, "Source", m->source);
	jw_kstr(w, "Destination", m->destination);
	if (!str_empty(m->driver))
		jw_kstr(w, "Driver", m->driver);
	jw_kstr(w, "Mode", m->mode);
	jw_kbool(w, "RW", m->rw);
	jw_kstr(w, "Propagation", m->propagation);
	jw_obj_end(w);
}

void container_encode_mounts(const struct container *c, struct jw *w)
{
	jw_arr(w);
	for (size_t i = 0; i < c->rec.mounts.len; i++)
		encode_mount(jmap_at(&c->rec.mounts, i, &mount_point_desc), w);
	jw_arr_end(w);
}

static void encode_state(const struct container_state *st, struct jw *w)
{
	jw_kobj(w, "State");
	jw_kstr(w, "Status", state_word(st));
	jw_kbool(w, "Running", st->running);
	jw_kbool(w, "Paused", st->paused);
	jw_kbool(w, "Restarting", st->restarting);
	jw_kbool(w, "OOMKilled", st->oom_killed);
	jw_kbool(w, "Dead", st->dead);
	jw_kint(w, "Pid", st->pid);
	jw_kint(w, "ExitCode", st->exit_code);
	jw_kstr(w, "Error", st->error);
	jw_ktime(w, "StartedAt", st->started_at ? st->started_at : CLOCK_ZERO);
	jw_ktime(w, "FinishedAt", st->finished_at ? st->finished_at : CLOCK_ZERO);
	if (st->health)
		jw_kdesc(w, "Health", &health_state_desc, st->health);
	jw_obj_end(w);
}

/* Those of the network "bridge" once more, from the time when there was no other. */
static void encode_default_endpoint(const struct net_settings *n, struct jw *w)
{
	static const struct endpoint none;
	const struct endpoint *ep = jmap_get(&n->networks, "bridge", &endpoint_desc);

	ep = ep ? ep : &none;
	jw_kstr(w, "EndpointID", ep->endpoint_id);
	jw_kstr(w, "Gateway", ep->gateway);
	jw_kstr(w, "GlobalIPv6Address", ep->global_ipv6);
	jw_kint(w, "GlobalIPv6PrefixLen", ep->global_ipv6_prefix_len);
	jw_kstr(w, "IPAddress", ep->ip_address);
	jw_kint(w, "IPPrefixLen", ep->ip_prefix_len);
	jw_kstr(w, "IPv6Gateway", ep->ipv6_gateway);
	jw_kstr(w, "MacAddress", ep->mac_address);
}

static void encode_network_settings(const struct container *c, int api_minor, struct jw *w)
{
	const struct net_settings *n = &c->rec.net;
	const bool legacy = api_minor < 52;

	jw_kobj(w, "NetworkSettings");
	if (legacy)
		jw_kstr(w, "Bridge", n->bridge);
	jw_kstr(w, "SandboxID", n->sandbox_id);
	jw_kstr(w, "SandboxKey", n->sandbox_key);
	jw_key(w, "Ports");
	ports_encode_map(c, w);
	if (legacy) {
		jw_kbool(w, "HairpinMode", false);
		jw_kstr(w, "LinkLocalIPv6Address", "");
		jw_kint(w, "LinkLocalIPv6PrefixLen", 0);
		jw_knull(w, "SecondaryIPAddresses");
		jw_knull(w, "SecondaryIPv6Addresses");
		encode_default_endpoint(n, w);
	}
	jw_key(w, "Networks");
	container_encode_networks(c, true, api_minor, w);
	jw_obj_end(w);
}

static void encode_paths(const struct container *c, struct jw *w)
{
	jw_kstr(w, "Image", c->rec.image);
	jw_kstr(w, "ResolvConfPath", c->rec.resolv_path);
	jw_kstr(w, "HostnamePath", c->rec.hostname_path);
	jw_kstr(w, "HostsPath", c->rec.hosts_path);
	jw_kstr(w, "LogPath", c->rec.log_path);
	jw_kstr(w, "Name", c->rec.name);
	jw_kint(w, "RestartCount", c->rec.restart_count);
	jw_kstr(w, "Driver", c->rec.driver);
	jw_kstr(w, "Platform", c->rec.os);
	jw_kstr(w, "MountLabel", c->rec.mount_label);
	jw_kstr(w, "ProcessLabel", c->rec.process_label);
	jw_kstr(w, "AppArmorProfile", c->rec.apparmor_profile);
}

static void encode_execs(const struct container *c, struct jw *w)
{
	OWN_STRV struct strv ids = { 0 };

	execs_list(c, &ids);
	jw_key(w, "ExecIDs");
	if (!ids.len) {
		jw_null(w);
		return;
	}
	jw_arr(w);
	for (size_t i = 0; i < ids.len; i++)
		jw_str(w, ids.v[i]);
	jw_arr_end(w);
}

int container_inspect(struct container *c, bool size, int api_minor, struct jw *w, struct err *err)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	OWN_BUF struct buf graph = { 0 };
	OWN_STRV struct strv links = { 0 };
	struct host_config shown;
	int64_t rw = 0, root = 0;
	struct jw gw;

	(void)err;
	jw_init(&gw, &graph);
	rwlayer_metadata(layers, c->id, &gw);
	if (size)
		container_sizes(c, NULL, &rw, &root);
	links_shown(c, &links);
	WITH_LOCK(&c->lock);
	jw_obj(w);
	jw_kstr(w, "Id", c->id);
	jw_ktime(w, "Created", c->rec.created);
	jw_kstr(w, "Path", c->rec.path);
	jw_key(w, "Args");
	jw_arr(w);
	for (size_t i = 0; i < c->rec.args.len; i++)
		jw_str(w, c->rec.args.v[i]);
	jw_arr_end(w);
	encode_state(&c->rec.state, w);
	encode_paths(c, w);
	encode_execs(c, w);
	shown = c->host;
	if (links.len)
		shown.links = links;
	if (c->rec.next_log)
		shown.log = *c->rec.next_log;
	jw_kdesc(w, "HostConfig", &host_config_desc, &shown);
	jw_kobj(w, "GraphDriver");
	jw_kraw(w, "Data", graph.size ? graph.data : "null");
	jw_kstr(w, "Name", c->rec.driver);
	jw_obj_end(w);
	if (size) {
		jw_kint(w, "SizeRw", rw);
		jw_kint(w, "SizeRootFs", root);
	}
	jw_key(w, "Mounts");
	container_encode_mounts(c, w);
	jw_kdesc(w, "Config", &container_config_desc, &c->rec.config);
	encode_network_settings(c, api_minor, w);
	jw_obj_end(w);
	return 0;
}
