/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dockerd-netd is told. It is kept here, for one that starts anew. */
#include "network/netd_i.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

static void kept_free(struct kept *k)
{
	free(k->id);
	free(k->netns_path);
	netd_msg_done(&k->msg);
	free(k);
}

static struct kept **kept_find(struct netd *n, enum netd_type type, const char *id)
{
	struct kept **at = &n->kept;

	while (*at && ((*at)->type != type || !streq((*at)->id, id)))
		at = &(*at)->next;
	return at;
}

static void kept_drop(struct netd *n, enum netd_type type, const char *id)
{
	struct kept **at = kept_find(n, type, id), *k = *at;

	if (!k)
		return;
	*at = k->next;
	kept_free(k);
}

/* Takes k. */
static void kept_put(struct netd *n, struct kept *k)
{
	kept_drop(n, k->type, k->id);
	k->next = n->kept;
	n->kept = k;
}

struct netd *netd_new(const char *exec_root, const char *program, struct spawner *sp)
{
	struct netd *n = xcalloc(1, sizeof(*n));

	n->exec_root = xstrdup(exec_root);
	n->program = xstrdup(program);
	n->spawner = sp;
	n->fd = -1;
	n->dirfd = open(exec_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lock_init(&n->lock, LOCK_LEAF);
	lock_cond_init(&n->cond);
	return n;
}

void netd_free(struct netd *n)
{
	const uint64_t one = 1;
	bool has;

	if (!n)
		return;
	{
		WITH_LOCK(&n->lock);

		n->stopping = true;
		has = n->has_thread;
	}
	(void)!write(n->wake, &one, sizeof(one));
	if (has)
		pthread_join(n->thread, NULL);
	while (n->kept) {
		struct kept *k = n->kept;

		n->kept = k->next;
		kept_free(k);
	}
	netd_disconnect(n);
	fd_close(&n->wake);
	fd_close(&n->dirfd);
	buf_done(&n->in);
	lock_done(&n->lock);
	pthread_cond_destroy(&n->cond);
	free(n->exec_root);
	free(n->program);
	free(n);
}

static int add_port(struct netd_msg *m, const struct netd_port *p, struct err *err)
{
	struct netd_wire_port w = { .proto = (uint32_t)p->proto, .host_port = p->host_port, .count = p->count ? p->count : 1, .port = p->port,
		.host_port_end = p->host_port_end ? p->host_port_end : p->host_port, .flags = p->proxy ? NETD_PORT_PROXY : 0 };

	if (p->proto < 0 || p->host_port > 65535 || w.host_port_end > 65535 || w.host_port_end < p->host_port || p->port == 0 ||
	    p->port > 65535 || w.count > 65535 || p->port + w.count > 65536 ||
	    (w.count > 1 && (p->host_port == 0 || w.host_port_end != p->host_port || p->host_port + w.count > 65536)))
		return err_set(err, ERR_INVALID, "invalid port: %u-%u:%u", p->host_port, p->host_port_end, p->port);
	memcpy(w.host_ip, p->host_ip, strnlen(p->host_ip, sizeof(p->host_ip) - 1));
	memcpy(w.target, p->target, strnlen(p->target, sizeof(p->target) - 1));
	netd_msg_bytes(m, NTAG_PORT, &w, sizeof(w));
	return 0;
}

/* What was chosen, into the caller's ports and a request that asks for the same again. */
static int take_chosen(const struct netd_msg *a, struct netd_port *ports, size_t len, struct netd_msg *again, struct err *err)
{
	struct netd_field f;
	size_t i = 0;

	for (size_t pos = 0; i < len && netd_msg_next(a, &pos, &f);) {
		struct netd_wire_port w;

		if (f.tag != NTAG_PORT || f.size < sizeof(w))
			continue;
		memcpy(&w, f.data, sizeof(w));
		ports[i].host_port = ports[i].host_port_end = w.host_port;
		if (add_port(again, &ports[i], err) < 0)
			return -1;
		i++;
	}
	return i == len ? 0 : err_set(err, ERR_INTERNAL, "dockerd-netd answered for %zu of %zu ports", i, len);
}

static struct kept *kept_new(enum netd_type type, const char *id)
{
	struct kept *k = xcalloc(1, sizeof(*k));

	k->type = type;
	k->id = xstrdup(id);
	netd_msg_init(&k->msg, type);
	netd_msg_str(&k->msg, type == NETD_BOX ? NTAG_BOX : NTAG_ENDPOINT, id);
	return k;
}

int netd_publish(struct netd *n, const char *endpoint, struct netd_port *ports, size_t len, struct err *err)
{
	struct kept *k, *again;
	OWN_NETD_MSG struct netd_msg a = { 0 };
	int rc = 0;

	if (!len)
		return netd_revoke(n, endpoint, err);
	k = kept_new(NETD_PUBLISH, endpoint);
	again = kept_new(NETD_PUBLISH, endpoint);
	for (size_t i = 0; rc == 0 && i < len; i++)
		rc = add_port(&k->msg, &ports[i], err);
	if (rc == 0) {
		WITH_OP(n);

		rc = netd_ask(n, k, &a, err);
		if (rc == 0)
			rc = take_chosen(&a, ports, len, &again->msg, err);
		if (rc == 0)
			kept_put(n, STEAL(again));
	}
	kept_free(k);
	if (again)
		kept_free(again);
	return rc;
}

/* What is taken back is forgotten, whatever dockerd-netd says; without one there is nothing to say. */
static int take_back(struct netd *n, enum netd_type type, enum netd_type kept, const char *id, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m;
	bool lost;

	netd_msg_init(&m, type);
	netd_msg_str(&m, kept == NETD_BOX ? NTAG_BOX : NTAG_ENDPOINT, id);
	WITH_OP(n);

	kept_drop(n, kept, id);
	if (netd_ensure(n, n->kept, NULL) < 0 || n->fd < 0)
		return 0;
	return netd_transact(n, &m, NULL, 0, NULL, &lost, err) < 0 && !lost ? -1 : 0;
}

int netd_revoke(struct netd *n, const char *endpoint, struct err *err)
{
	return take_back(n, NETD_REVOKE, NETD_PUBLISH, endpoint, err);
}

int netd_sandbox_drop(struct netd *n, const char *id, struct err *err)
{
	return take_back(n, NETD_BOX_DROP, NETD_BOX, id, err);
}

static void add_strv(struct netd_msg *m, enum netd_tag tag, const struct strv *sv)
{
	for (size_t i = 0; sv && i < sv->len; i++)
		netd_msg_str(m, tag, sv->v[i]);
}

int netd_sandbox(struct netd *n, const struct netd_sandbox *sb, struct err *err)
{
	struct kept *k = kept_new(NETD_BOX, sb->id);

	str_set(&k->netns_path, sb->netns_path);
	for (size_t i = 0; i < sb->nets_len; i++) {
		netd_msg_str(&k->msg, NTAG_NET, sb->nets[i].id);
		netd_msg_str(&k->msg, NTAG_NET_NAME, sb->nets[i].name);
		netd_msg_str(&k->msg, NTAG_IPV4, sb->nets[i].ipv4);
		netd_msg_str(&k->msg, NTAG_IPV6, sb->nets[i].ipv6);
		add_strv(&k->msg, NTAG_NAME, sb->nets[i].names);
		netd_msg_int(&k->msg, NTAG_INTERNAL, sb->nets[i].internal);
	}
	for (size_t i = 0; sb->links && i < sb->links->len; i++) {
		netd_msg_str(&k->msg, NTAG_ALIAS, sb->links->v[i].key);
		netd_msg_str(&k->msg, NTAG_ALIAS_OF, sb->links->v[i].value);
	}
	add_strv(&k->msg, NTAG_SERVER, sb->servers);
	add_strv(&k->msg, NTAG_SEARCH, sb->search);
	WITH_OP(n);

	if (netd_ask(n, k, NULL, err) < 0) {
		kept_free(k);
		return -1;
	}
	kept_put(n, k);
	return 0;
}

int netd_keep(struct netd *n, const struct strv *sandboxes, const struct strv *endpoints, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m;
	bool lost;

	netd_msg_init(&m, NETD_KEEP);
	add_strv(&m, NTAG_BOX, sandboxes);
	add_strv(&m, NTAG_ENDPOINT, endpoints);
	WITH_OP(n);

	for (struct kept **at = &n->kept; *at;) {
		struct kept *k = *at;
		const struct strv *list = k->type == NETD_BOX ? sandboxes : endpoints;

		if (list && strv_contains(list, k->id)) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		kept_free(k);
	}
	if (netd_ensure(n, n->kept, err) < 0)
		return -1;
	if (n->fd < 0)
		return 0;
	netd_watched(n);
	return netd_transact(n, &m, NULL, 0, NULL, &lost, err);
}

void netd_leave(struct netd *n)
{
	OWN_ERR struct err err = ERR_INIT;

	if (netd_keep(n, NULL, NULL, &err) < 0)
		log_warn("dockerd-netd of another network namespace: %s", err_text(&err));
	WITH_OP(n);

	netd_disconnect(n);
	unlinkat(n->dirfd, NETD_SOCKET, 0);
}

int netd_status(struct netd *n, struct netd_status *ret, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m, a = { 0 };
	bool lost;

	*ret = (struct netd_status){ 0 };
	netd_msg_init(&m, NETD_STATUS);
	WITH_OP(n);

	if (netd_ensure(n, n->kept, err) < 0)
		return -1;
	if (n->fd < 0)
		return err_set(err, ERR_NOT_FOUND, "dockerd-netd does not run");
	if (netd_transact(n, &m, NULL, 0, &a, &lost, err) < 0)
		return -1;
	*ret = (struct netd_status){ .pid = (int)netd_msg_get_int(&a, NTAG_PID, 0),
		.endpoints = (size_t)netd_msg_get_int(&a, NTAG_COUNT_ENDPOINTS, 0), .ports = (size_t)netd_msg_get_int(&a, NTAG_COUNT_PORTS, 0),
		.sandboxes = (size_t)netd_msg_get_int(&a, NTAG_COUNT_BOXES, 0), .streams = (size_t)netd_msg_get_int(&a, NTAG_COUNT_STREAMS, 0),
		.flows = (size_t)netd_msg_get_int(&a, NTAG_COUNT_FLOWS, 0), .queries = (size_t)netd_msg_get_int(&a, NTAG_COUNT_QUERIES, 0),
		.fds = (size_t)netd_msg_get_int(&a, NTAG_COUNT_FDS, 0) };
	return 0;
}
