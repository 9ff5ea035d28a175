/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A container joins a network and leaves it: one that runs at once, all others with their next start. By the operation of the
 * container; the record is written when all stands.
 */
#include "base/log.h"
#include "container/internal.h"

static int cannot(struct err *err, const char *text)
{
	return err_set(err, ERR_INVALID, "%s", text);
}

#define HOST_ALONE "container cannot be disconnected from host network or connected to host network"
#define SHARED_ALONE "container sharing network namespace with another container or host cannot be connected to any other network"
#define NONE_ALONE "container cannot be connected to multiple networks with one of the networks in private (none) mode"

/* Under the lock. */
static bool is_live(const struct container *c)
{
	return c->rec.state.running && !c->rec.state.restarting && c->sandbox.key;
}

/* Names of networks that the container is on. */
static const char *key_of(const struct container *c, const struct network *n)
{
	const struct jmap *nets = &c->rec.net.networks;

	for (size_t i = 0; i < nets->len; i++) {
		const struct endpoint *ep = jmap_at(nets, i, &endpoint_desc);

		if (streq(nets->keys[i], n->name) || streq(nets->keys[i], n->id) || (ep->network_id && streq(ep->network_id, n->id)))
			return nets->keys[i];
	}
	return NULL;
}

static int check_removal(const struct container *c, struct err *err)
{
	if (c->damaged)
		return container_check_whole(c, err);
	if (c->rec.state.removal || c->rec.state.dead)
		return err_set(err, ERR_CONFLICT, "container %s is marked for removal and cannot be connected or disconnected to the network", c->id);
	return 0;
}

/* Docker's rules of who may be where. Under the lock. */
static int check_connect(const struct container *c, const struct network *n, struct err *err)
{
	const struct jmap *nets = &c->rec.net.networks;
	const char *mode = c->host.network_mode ? c->host.network_mode : "";

	if (check_removal(c, err) < 0)
		return -1;
	if (n->config_only)
		return err_set(err, ERR_FORBIDDEN, "cannot connect to the network %s: it only holds a configuration", n->name);
	if (key_of(c, n) && is_live(c))
		return err_set(err, ERR_FORBIDDEN, "endpoint with name %s already exists in network %s", c->rec.name + 1, n->name);
	if (streq(n->name, "host"))
		return cannot(err, HOST_ALONE);
	if (streq(mode, "host") || str_has_prefix(mode, "container:"))
		return cannot(err, SHARED_ALONE);
	if (nets->len && !key_of(c, n) && streq(n->name, "none"))
		return cannot(err, NONE_ALONE);
	return jmap_get(nets, "none", &endpoint_desc) && !streq(n->name, "none") ? cannot(err, NONE_ALONE) : 0;
}

/* The entry is the last one of the map. */
static void drop_entry(struct container *c, const char *key)
{
	struct jmap *nets = &c->rec.net.networks, rest = { .set = true };

	for (size_t i = 0; i < nets->len; i++)
		if (!streq(nets->keys[i], key)) {
			struct endpoint *to = jmap_add(&rest, nets->keys[i], &endpoint_desc);

			jdesc_copy(&endpoint_desc, to, jmap_at(nets, i, &endpoint_desc));
		}
	for (size_t i = 0; i < nets->len; i++) {
		free(nets->keys[i]);
		jdesc_clear(&endpoint_desc, jmap_at(nets, i, &endpoint_desc));
	}
	free(nets->keys);
	free(nets->v);
	*nets = rest;
}

/* The record's entry, which a container that does not run may have already. Under the lock. */
static struct endpoint *put_entry(struct container *c, const struct network *n, const struct endpoint *ep)
{
	const char *key = key_of(c, n);
	struct endpoint *to = key ? jmap_get(&c->rec.net.networks, key, &endpoint_desc) : jmap_add(&c->rec.net.networks, n->name, &endpoint_desc);

	if (key)
		jdesc_clear(&endpoint_desc, to);
	jdesc_copy(&endpoint_desc, to, ep);
	str_set(&to->network_id, n->id);
	return to;
}

/* A failure behind the join: back to where it was. */
static void undo_join(struct container *c, const struct network *n)
{
	OWN_ERR struct err err = ERR_INIT;

	if (sandbox_disconnect(c->store->deps.nets, c->id, n->id, &c->sandbox, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
}

static int join_live(struct container *c, const struct network *n, const struct endpoint *ep, struct err *err)
{
	CLEANUP(wishes_done) struct wishes w = { 0 };
	const struct net_endpoint *joined;
	bool resolver = c->sandbox.resolver;

	lock_take(&c->lock);
	wishes_add(&w, c, n->name, ep->desired_mac, ep);
	lock_drop(&c->lock);
	w.v[0].network = n->id;
	lock_none_held();
	if (sandbox_connect(c->store->deps.nets, c->id, &w.v[0], &c->sandbox, err) < 0)
		return -1;
	if (publish_do(c, &c->host, err) < 0) { /* they are bound where the way out is */
		undo_join(c, n);
		return -1;
	}
	joined = sandbox_endpoint(&c->sandbox, n->id);
	if (joined) {
		netfiles_joined(c, joined);
		netfiles_resolver(c, resolver);
		container_network_event(c, "connect", joined);
	}
	return 0;
}

/* It has come to the default bridge, or has left it: its own links, and those that others have to it. */
static void moved(struct container *c, const struct network *n)
{
	OWN_ERR struct err err = ERR_INIT;

	if (!streq(n->name, "bridge"))
		return;
	if (links_allow(c, &err) < 0)
		log_warn("container %s: its links: %s", c->id, err_text(&err));
	links_tell(c);
}

static int connect_op(struct container *c, const struct network *n, const struct endpoint *ep, struct err *err)
{
	bool live;
	int r;

	lock_take(&c->lock);
	r = check_connect(c, n, err);
	live = is_live(c);
	lock_drop(&c->lock);
	if (r < 0 || (live && join_live(c, n, ep, err) < 0))
		return -1;
	lock_take(&c->lock);
	put_entry(c, n, ep);
	lock_drop(&c->lock);
	if (live) {
		container_note_network(c);
		moved(c, n);
	}
	return container_save(c, false, FS_SYNC, err);
}

int container_connect(struct container *c, const char *network, const char *endpoint, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(c->store->deps.nets, network, err);
	OWN_JSON json_t *js = NULL;
	struct endpoint ep = { 0 };
	int r = 0;

	if (!n)
		return -1;
	if (!str_empty(endpoint) && !streq(endpoint, "null")) {
		js = json_read(endpoint, strlen(endpoint), err);
		r = js ? endpoint_take(js, n, n->name, &ep, NULL, err) : -1;
	}
	if (r == 0)
		r = op_begin(c, err);
	if (r == 0) {
		r = connect_op(c, n, &ep, err);
		op_end(c);
	}
	jdesc_clear(&endpoint_desc, &ep);
	return r;
}

static int leave_live(struct container *c, const struct network *n, struct err *err)
{
	const struct net_endpoint *ep = sandbox_endpoint(&c->sandbox, n->id);
	struct net_endpoint left = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	bool resolver = c->sandbox.resolver;
	int r;

	if (ep)
		net_endpoint_copy(&left, ep);
	lock_none_held();
	r = sandbox_disconnect(c->store->deps.nets, c->id, n->id, &c->sandbox, err);
	if (r == 0) {
		netfiles_leaving(c, &left);
		netfiles_resolver(c, resolver);
		if (publish_do(c, &c->host, &why) < 0)
			log_warn("container %s: its ports are not published any more: %s", c->id, err_text(&why));
	}
	net_endpoint_done(&left);
	return r;
}

static int check_disconnect(const struct container *c, const struct network *n, struct err *err)
{
	if (check_removal(c, err) < 0)
		return -1;
	if (streq(n->name, "host") && (key_of(c, n) || streq(c->host.network_mode ? c->host.network_mode : "", "host")))
		return cannot(err, HOST_ALONE);
	if (!key_of(c, n))
		return err_set(err, ERR_INTERNAL, "container %s is not connected to %s%s", c->id, is_live(c) ? "network " : "the network ", n->name);
	return 0;
}

static int disconnect_op(struct container *c, const struct network *n, struct err *err)
{
	struct net_endpoint gone = { .network = n->name };
	bool live;
	int r;

	lock_take(&c->lock);
	r = check_disconnect(c, n, err);
	live = is_live(c);
	lock_drop(&c->lock);
	if (r < 0 || (live && leave_live(c, n, err) < 0))
		return -1;
	lock_take(&c->lock);
	drop_entry(c, key_of(c, n));
	lock_drop(&c->lock);
	if (live) {
		container_note_network(c);
		moved(c, n);
	}
	memcpy(gone.network_id, n->id, sizeof(gone.network_id));
	container_network_event(c, "disconnect", &gone);
	return container_save(c, false, FS_SYNC, err);
}

int container_disconnect(struct container *c, const char *network, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(c->store->deps.nets, network, err);
	int r;

	if (!n || op_begin(c, err) < 0)
		return -1;
	r = disconnect_op(c, n, err);
	op_end(c);
	return r;
}
