/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Links of the default bridge: HostConfig.Links holds "ID:ALIAS" of containers that exist. At the start each becomes a line of
 * /etc/hosts and variables of the environment, as Docker names them; a linked container that comes back with another address
 * has its line rewritten in place, in the running containers that look at it.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/log.h"
#include "container/internal.h"

#define LINK_NAME_MOST 512

struct port { int number; const char *proto; char text[24]; };

static int split(const char *link, char **ret_name, char **ret_alias, struct err *err)
{
	const char *colon = strchr(link, ':');

	if (!*link)
		return err_set(err, ERR_INVALID, "empty string specified for links");
	if ((colon && strchr(colon + 1, ':')) || colon == link || (colon && (!colon[1] || strpbrk(colon + 1, " \t\n/="))))
		return err_set(err, ERR_INVALID, "bad format for links: %.300s", link);
	*ret_name = xstrndup(link, strcspn(link, ":"));
	*ret_alias = xstrdup(colon ? colon + 1 : *link == '/' ? link + 1 : link);
	return 0;
}

/* The container behind a link: of those that live in another's network, that one. */
static struct container *resolve(struct container_store *s, const char *name, struct err *err)
{
	struct container *c = container_find(s, name, err);

	for (int hops = 0; c && hops < 16; hops++) {
		OWN_FREE char *mode = NULL;

		lock_take(&c->lock);
		mode = xstrdup(c->host.network_mode);
		lock_drop(&c->lock);
		if (str_has_prefix(mode ? mode : "", "container:")) {
			container_unref(c);
			c = container_find(s, mode + strlen("container:"), err);
			continue;
		}
		if (streq(mode ? mode : "", "host")) {
			container_unref(c);
			err_set(err, ERR_INVALID, "conflicting options: host type networking can't be used with links. This would result in undefined behavior");
			return NULL;
		}
		return c;
	}
	if (!c && err->class == ERR_NOT_FOUND) {
		err->class = ERR_INVALID;
		err_wrap(err, "could not get container for %s", name);
	} else if (c) {
		container_unref(c);
		err_set(err, ERR_INVALID, "could not get container for %s", name);
	}
	return NULL;
}

int links_resolve(struct container *c, struct err *err)
{
	struct strv *links = &c->host.links;

	for (size_t i = 0; i < links->len; i++) {
		OWN_FREE char *name = NULL, *alias = NULL;
		CLEANUP(container_unrefp) struct container *other = NULL;

		if (split(links->v[i], &name, &alias, err) < 0)
			return -1;
		other = resolve(c->store, name, err);
		if (!other)
			return -1;
		free(links->v[i]);
		links->v[i] = xasprintf("%s:%s", other->id, alias);
	}
	return 0;
}

void links_shown(struct container *c, struct strv *ret)
{
	OWN_STRV struct strv links = { 0 };
	OWN_FREE char *own = NULL;

	lock_take(&c->lock);
	strv_copy(&links, &c->host.links);
	own = xstrdup(c->rec.name);
	lock_drop(&c->lock);
	for (size_t i = 0; i < links.len; i++) {
		OWN_FREE char *name = NULL, *alias = NULL;
		CLEANUP(container_unrefp) struct container *other = NULL;
		OWN_ERR struct err ignored = ERR_INIT;

		if (split(links.v[i], &name, &alias, &ignored) < 0 || !(other = container_find(c->store, name, &ignored)))
			continue; /* removed meanwhile */
		WITH_LOCK(&other->lock);
		strv_addf(ret, "%s:%s/%s", other->rec.name, own, alias);
	}
}

/* By number, of one number tcp first. */
static int port_cmp(const void *a, const void *b)
{
	const struct port *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return streq(x->proto, y->proto) ? 0 : streq(x->proto, "tcp") ? -1 : 1;
}

static size_t list_ports(const struct strv *exposed, struct port **ret)
{
	struct port *v = xcalloc(exposed->len + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < exposed->len; i++) {
		const char *slash = strchr(exposed->v[i], '/');
		int number = atoi(exposed->v[i]);

		if (number <= 0 || number > 65535)
			continue;
		v[n] = (struct port){ .number = number, .proto = slash && !strcasecmp(slash + 1, "udp") ? "udp" :
			slash && !strcasecmp(slash + 1, "sctp") ? "sctp" : "tcp" };
		snprintf(v[n].text, sizeof(v[n].text), "%d_%s", number, v[n].proto);
		for (char *p = v[n].text; *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		n++;
	}
	qsort(v, n, sizeof(*v), port_cmp);
	*ret = v;
	return n;
}

static void add_ranges(const char *prefix, const char *ip, const struct port *v, size_t n, struct strv *env)
{
	for (size_t i = 0; i < n;) {
		size_t j = i;
		char upper[8] = "";

		while (j + 1 < n && v[j + 1].number <= v[j].number + 1)
			j++;
		if (j <= i + 1) { /* two are no range yet */
			i++;
			continue;
		}
		snprintf(upper, sizeof(upper), "%s", strchr(v[j].text, '_') + 1);
		strv_addf(env, "%s_PORT_%s_START=%s://%s:%d", prefix, v[i].text, v[i].proto, ip, v[i].number);
		strv_addf(env, "%s_PORT_%s_ADDR=%s", prefix, v[i].text, ip);
		strv_addf(env, "%s_PORT_%s_PROTO=%s", prefix, v[i].text, v[i].proto);
		strv_addf(env, "%s_PORT_%s_PORT_START=%d", prefix, v[i].text, v[i].number);
		strv_addf(env, "%s_PORT_%d_%s_END=%s://%s:%d", prefix, v[i].number, upper, v[j].proto, ip, v[j].number);
		strv_addf(env, "%s_PORT_%d_%s_PORT_END=%d", prefix, v[i].number, upper, v[j].number);
		i = j + 1;
	}
}

static void add_env(const char *full_alias, const char *ip, const struct container_config *cfg, struct strv *env)
{
	OWN_FREE char *prefix = xstrdup(strrchr(full_alias, '/') + 1);
	OWN_FREE struct port *ports = NULL;
	size_t n = list_ports(&cfg->exposed_ports, &ports);

	for (char *p = prefix; *p; p++)
		*p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	if (n)
		strv_addf(env, "%s_PORT=%s://%s:%d", prefix, ports[0].proto, ip, ports[0].number);
	add_ranges(prefix, ip, ports, n, env);
	for (size_t i = 0; i < n; i++) {
		strv_addf(env, "%s_PORT_%s=%s://%s:%d", prefix, ports[i].text, ports[i].proto, ip, ports[i].number);
		strv_addf(env, "%s_PORT_%s_ADDR=%s", prefix, ports[i].text, ip);
		strv_addf(env, "%s_PORT_%s_PORT=%d", prefix, ports[i].text, ports[i].number);
		strv_addf(env, "%s_PORT_%s_PROTO=%s", prefix, ports[i].text, ports[i].proto);
	}
	strv_addf(env, "%s_NAME=%s", prefix, full_alias);
	for (size_t i = 0; i < cfg->env.len; i++)
		if (strchr(cfg->env.v[i], '=') && !str_has_prefix(cfg->env.v[i], "HOME=") && !str_has_prefix(cfg->env.v[i], "PATH="))
			strv_addf(env, "%s_ENV_%s", prefix, cfg->env.v[i]);
}

/* The names by which a linked container is known. Under its lock. */
static char *host_names(const struct container *other, const char *alias)
{
	const char *name = other->rec.name + (*other->rec.name == '/'), *hostname = other->rec.config.hostname;

	return xasprintf("%s %s%s%s", alias, hostname ? hostname : "", streq(name, alias) ? "" : " ", streq(name, alias) ? "" : name);
}

static int collect_one(struct container *other, const char *own, const char *alias, struct strv *hosts, struct strv *env, struct err *err)
{
	OWN_FREE char *full = xasprintf("%s/%s", own, alias);
	const struct endpoint *ep;
	WITH_LOCK(&other->lock);

	if (!other->rec.state.running)
		return err_set(err, ERR_CONFLICT, "Cannot link to a non running container: %s AS %s", other->rec.name, full);
	ep = jmap_get(&other->rec.net.networks, "bridge", &endpoint_desc);
	if (!ep || str_empty(ep->ip_address))
		return err_set(err, ERR_INVALID, "container %s not attached to default bridge network", other->id);
	if (hosts) {
		OWN_FREE char *names = host_names(other, alias);

		strv_addf(hosts, "%s\t%s", ep->ip_address, names);
	}
	if (env)
		add_env(full, ep->ip_address, &other->rec.config, env);
	return 0;
}

int links_collect(struct container *c, bool lenient, struct strv *hosts, struct strv *env, struct err *err)
{
	OWN_STRV struct strv links = { 0 };
	OWN_FREE char *own = NULL;

	lock_take(&c->lock);
	if (jmap_get(&c->rec.net.networks, "bridge", &endpoint_desc))
		strv_copy(&links, &c->host.links);
	own = xstrdup(c->rec.name);
	lock_drop(&c->lock);
	for (size_t i = 0; i < links.len; i++) {
		OWN_FREE char *name = NULL, *alias = NULL;
		CLEANUP(container_unrefp) struct container *other = NULL;
		OWN_ERR struct err local = ERR_INIT;

		if (split(links.v[i], &name, &alias, &local) == 0 && (other = container_find(c->store, name, &local)) &&
		    collect_one(other, own, alias, hosts, env, &local) == 0)
			continue;
		if (!lenient)
			return err_move(err, &local);
	}
	return 0;
}

/* Whether containers of the default bridge talk to those only that they are linked to. */
static bool bridge_keeps_apart(struct container_store *s)
{
	OWN_NETWORK struct network *n = s->deps.nets ? net_find(s->deps.nets, "bridge", NULL) : NULL;
	const char *icc = n ? strmap_get(&n->options, "com.docker.network.bridge.enable_icc") : NULL;

	return icc && streq(icc, "false");
}

/* Address and ports of one that is linked to; false when it is not there now. */
static bool add_linked(struct container *other, struct strv *ips, struct strv *ports)
{
	const struct endpoint *ep;
	WITH_LOCK(&other->lock);

	ep = jmap_get(&other->rec.net.networks, "bridge", &endpoint_desc);
	if (!other->rec.state.running || !ep || str_empty(ep->ip_address))
		return false;
	strv_add(ips, ep->ip_address);
	strv_copy(ports, &other->rec.config.exposed_ports);
	return true;
}

/* Also where the last link went. */
static int allow(struct container *c, struct err *err)
{
	OWN_STRV struct strv links = { 0 }, ips = { 0 };
	OWN_FREE struct net_linked *v = NULL;
	OWN_FREE struct strv *ports = NULL;
	size_t n = 0;
	bool on;
	int r;

	lock_take(&c->lock);
	on = jmap_get(&c->rec.net.networks, "bridge", &endpoint_desc);
	strv_copy(&links, &c->host.links);
	lock_drop(&c->lock);
	if (!on || !bridge_keeps_apart(c->store))
		return 0;
	v = xcalloc(links.len + 1, sizeof(*v));
	ports = xcalloc(links.len + 1, sizeof(*ports));
	for (size_t i = 0; i < links.len; i++) {
		OWN_FREE char *name = xstrndup(links.v[i], strcspn(links.v[i], ":"));
		CLEANUP(container_unrefp) struct container *other = container_find(c->store, name, NULL);

		if (other && add_linked(other, &ips, &ports[n]))
			n++;
	}
	for (size_t i = 0; i < n; i++)
		v[i] = (struct net_linked){ ips.v[i], &ports[i] };
	lock_none_held();
	r = sandbox_links(c->store->deps.nets, c->id, v, n, err);
	for (size_t i = 0; i < n; i++)
		strv_done(&ports[i]);
	return r;
}

int links_allow(struct container *c, struct err *err)
{
	bool any;

	lock_take(&c->lock);
	any = c->host.links.len > 0;
	lock_drop(&c->lock);
	return any ? allow(c, err) : 0;
}

/* Behind the start or the end of one that it is linked to, in a thread of its own: that one's operation is not this one's. */
static void allow_again(void *ctx)
{
	struct container *c = ctx;
	OWN_ERR struct err err = ERR_INIT;
	bool running;

	op_begin_any(c);
	lock_take(&c->lock);
	running = c->rec.state.running && !c->rec.state.restarting;
	lock_drop(&c->lock);
	if (running && allow(c, &err) < 0)
		log_warn("container %s: its links: %s", c->id, err_text(&err));
	op_end(c);
	container_unref(c);
}

static void never(void *ctx)
{
	container_unref(ctx);
}

/* The lines of these names get another address; with no ip, those that begin with them go. In place: the file is mounted in the container. */
static void rewrite(const char *path, const char *names, const char *ip)
{
	OWN_BUF struct buf old = { 0 };
	OWN_BUF struct buf text = { 0 };
	OWN_FD int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	OWN_STRV struct strv lines = { 0 };

	if (fd < 0 || fs_read(AT_FDCWD, path, 1u << 20, &old, NULL) < 0)
		return;
	strv_split(&lines, old.data, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *tab = strchr(lines.v[i], '\t');

		if (!ip && tab && str_has_prefix(tab + 1, names))
			continue;
		if (ip && tab && streq(tab + 1, names))
			buf_addf(&text, "%s\t%s\n", ip, names);
		else if (i + 1 < lines.len || *lines.v[i])
			buf_addf(&text, "%s\n", lines.v[i]);
	}
	if (pwrite(fd, text.data, text.size, 0) != (ssize_t)text.size || ftruncate(fd, (off_t)text.size) < 0)
		log_warn("cannot rewrite %s", path);
}

/* ip: its address now, NULL when it has none any more. */
static void tell(struct container *c, struct container *parent, const char *ip)
{
	OWN_STRV struct strv links = { 0 };
	OWN_FREE char *hosts = NULL;

	lock_take(&parent->lock);
	if (parent->rec.state.running) {
		strv_copy(&links, &parent->host.links);
		hosts = xstrdup(parent->rec.hosts_path);
	}
	lock_drop(&parent->lock);
	for (size_t i = 0; hosts && i < links.len; i++) {
		OWN_FREE char *names = NULL;

		if (strncmp(links.v[i], c->id, 64) != 0 || links.v[i][64] != ':')
			continue;
		lock_take(&c->lock);
		names = host_names(c, links.v[i] + 65);
		lock_drop(&c->lock);
		if (ip)
			rewrite(hosts, names, ip);
		if (bridge_keeps_apart(c->store))
			work_post(c->store->work, 0, allow_again, never, container_ref(parent));
	}
}

void links_tell(struct container *c)
{
	struct container **all = NULL;
	OWN_FREE char *ip = NULL;
	const struct endpoint *ep;
	size_t n;

	if (!atomic_load(&c->store->any_links))
		return;
	lock_take(&c->lock);
	ep = jmap_get(&c->rec.net.networks, "bridge", &endpoint_desc);
	ip = ep && !str_empty(ep->ip_address) ? xstrdup(ep->ip_address) : NULL;
	lock_drop(&c->lock);
	n = store_all(c->store, &all);
	for (size_t i = 0; i < n; i++) {
		if (all[i] != c)
			tell(c, all[i], ip);
		container_unref(all[i]);
	}
	free(all);
}

/* "[/]PARENT/ALIAS": the container that has the link, and its alias; NULL when it is none. */
static struct container *parent_of(struct container_store *s, const char *name, const char **ret_alias)
{
	const char *slash = strrchr(name, '/');
	OWN_FREE char *parent = NULL;

	if (!slash || slash == name || !slash[1] || strlen(name) > LINK_NAME_MOST)
		return NULL;
	parent = xstrndup(name, (size_t)(slash - name));
	if (strchr(parent + 1, '/'))
		return NULL;
	*ret_alias = slash + 1;
	return container_find(s, parent, NULL);
}

/* The place of the alias among the parent's links, under its lock; -1: there is none. */
static int find_alias(const struct container *parent, const char *alias)
{
	const struct strv *links = &parent->host.links;

	for (size_t i = 0; i < links->len; i++) {
		const char *colon = strchr(links->v[i], ':');

		if (colon && streq(colon + 1, alias))
			return (int)i;
	}
	return -1;
}

struct container *links_find(struct container_store *s, const char *name)
{
	const char *alias;
	CLEANUP(container_unrefp) struct container *parent = parent_of(s, name, &alias);
	OWN_FREE char *id = NULL;
	int at;

	if (!parent)
		return NULL;
	lock_take(&parent->lock);
	at = find_alias(parent, alias);
	if (at >= 0)
		id = xstrndup(parent->host.links.v[at], strcspn(parent->host.links.v[at], ":"));
	lock_drop(&parent->lock);
	return id ? container_find(s, id, NULL) : NULL;
}

static int unlink_op(struct container *parent, const char *name, const char *alias, struct err *err)
{
	OWN_FREE char *start = xasprintf("%s ", alias), *hosts = NULL, *link = NULL;
	int at;

	lock_take(&parent->lock);
	at = find_alias(parent, alias);
	if (at >= 0) {
		link = xstrdup(parent->host.links.v[at]);
		strv_del(&parent->host.links, link);
	}
	if (parent->rec.state.running)
		hosts = xstrdup(parent->rec.hosts_path);
	lock_drop(&parent->lock);
	if (!link)
		return err_set(err, ERR_NOT_FOUND, "No such container: %.256s", name);
	if (container_save(parent, true, FS_SYNC, err) < 0)
		return -1;
	if (!hosts)
		return 0;
	rewrite(hosts, start, NULL);
	return allow(parent, err);
}

int container_unlink(struct container_store *s, const char *name, struct err *err)
{
	CLEANUP(container_unrefp) struct container *child = container_find(s, name, err);
	CLEANUP(container_unrefp) struct container *parent = NULL;
	const char *alias;
	int r;

	if (!child)
		return -1;
	parent = parent_of(s, name, &alias);
	if (!parent)
		return err_set(err, ERR_CONFLICT, "Conflict, cannot remove the default link name of the container");
	if (op_begin(parent, err) < 0)
		return -1;
	r = unlink_op(parent, name, alias, err);
	op_end(parent);
	return r;
}
