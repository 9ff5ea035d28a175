/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/box.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netd/enter.h"
#include "netd/forward.h"
#include "netd/log.h"

#define QUERY_SIZE  4096
#define BACKLOG     128
#define LED         256
#define MAX_NETS    1024
#define DNS_PORT    53

static struct list boxes = LIST_INIT(boxes);
static size_t count;

struct list *boxes_all(void)
{
	return &boxes;
}

size_t box_count(void)
{
	return count;
}

void box_reply(const struct asker *who, const uint8_t *m, size_t size)
{
	if (who->conn)
		conn_reply(who->conn, m, size);
	else
		(void)!sendto(who->box->udp.fd, m, size, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&who->from, sizeof(who->from));
}

static void udp_ready(struct source *src, uint32_t events)
{
	struct asker who = { .box = CONTAINER_OF(src, struct box, udp) };
	socklen_t size = sizeof(who.from);
	static uint8_t query[QUERY_SIZE];
	ssize_t n = recvfrom(src->fd, query, sizeof(query), MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&who.from, &size);

	if (n > 0 && (size_t)n <= sizeof(query) && size == sizeof(who.from))
		box_query(&who, query, (size_t)n);
}

static void tcp_ready(struct source *src, uint32_t events)
{
	conn_accept(CONTAINER_OF(src, struct box, tcp));
}

static struct box *box_find(const char *id)
{
	LIST_EACH(at, after, &boxes) {
		struct box *b = CONTAINER_OF(at, struct box, all);

		if (streq(b->id, id))
			return b;
	}
	return NULL;
}

/* What is told anew; sockets and namespace stay. */
static void forget(struct box *b)
{
	names_drop(&b->own);
	for (size_t i = 0; i < b->nets_len; i++)
		names_put(b->nets[i].net);
	for (size_t i = 0; i < b->aliases_len; i++) {
		free(b->aliases[i].name);
		free(b->aliases[i].of);
	}
	free(b->nets);
	free(b->aliases);
	b->nets = NULL;
	b->aliases = NULL;
	b->nets_len = b->aliases_len = b->servers_len = 0;
	strv_done(&b->search);
	netd_msg_done(&b->told);
}

static void box_free(struct box *b)
{
	forwards_end(b);
	conns_end(b);
	forget(b);
	list_del(&b->all);
	list_del(&b->resting);
	loop_close(&b->udp);
	loop_close(&b->tcp);
	fd_close(&b->netns);
	free(b->id);
	free(b);
	count--;
}

void box_drop(const char *id)
{
	struct box *b = box_find(id);

	if (b)
		box_free(b);
}

void boxes_keep(bool (*keep)(const char *id, void *ctx), void *ctx)
{
	LIST_EACH(at, after, &boxes) {
		struct box *b = CONTAINER_OF(at, struct box, all);

		if (!keep(b->id, ctx))
			box_free(b);
	}
}

static struct box *box_new(const char *id, int netns)
{
	struct box *b = xcalloc(1, sizeof(*b));

	b->id = xstrdup(id);
	b->netns = netns;
	b->udp = (struct source){ .fd = -1, .fn = udp_ready };
	b->tcp = (struct source){ .fd = -1, .fn = tcp_ready };
	list_init(&b->all);
	list_init(&b->conns);
	list_init(&b->queries);
	list_init(&b->ups);
	list_init(&b->resting);
	list_add(&boxes, &b->all);
	count++;
	return b;
}

static char *lowered(const char *text)
{
	char *s = xstrdup(text);

	for (char *at = s; *at; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at + 32);
	return s;
}

/* "1.2.3.4", "1.2.3.4:53", "::1", "[::1]:53", each with "host:" before it or not. */
static bool parse_server(const char *text, struct server *ret)
{
	const char *colon;
	char host[64];
	uint64_t port = DNS_PORT;
	size_t size;

	ret->host = str_has_prefix(text, "host:");
	text += ret->host ? 5 : 0;
	if (address_parse(text, DNS_PORT, &ret->address))
		return true;
	colon = strrchr(text, ':');
	if (!colon || !str_to_u64(colon + 1, &port) || port == 0 || port > 65535)
		return false;
	size = (size_t)(colon - text);
	if (size > 2 && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
	}
	if (size >= sizeof(host))
		return false;
	memcpy(host, text, size);
	host[size] = '\0';
	return address_parse(host, (uint16_t)port, &ret->address);
}

/* An interface in an address is one of the namespace that the server is asked from. */
static bool find_server(const struct box *b, const char *text, struct server *ret)
{
	bool inside = b->netns >= 0 && strchr(text, '%') && !str_has_prefix(text, "host:"), good;

	if (inside && enter(b->netns) < 0)
		return false;
	good = parse_server(text, ret);
	if (inside)
		leave();
	return good;
}

/* One NET group of a message. */
struct group {
	const char *id, *title;
	bool has_v4, has_v6;
	struct in_addr v4;
	struct in6_addr v6;
	bool internal;
	size_t first_name; /* where its names begin in the message */
};

/* Its names come behind its addresses in the message: they are read when the group is complete. */
static void end_group(struct box *b, const struct netd_msg *m, const struct group *g)
{
	struct netd_field f;
	struct box_net *n;
	bool first = true;

	if (!g->id || b->nets_len >= MAX_NETS)
		return;
	if ((b->nets_len & (b->nets_len + 1)) == 0)
		b->nets = xrealloc(b->nets, (b->nets_len + 1) * 2 * sizeof(*b->nets));
	n = &b->nets[b->nets_len++];
	n->net = names_get(g->id, g->title ? g->title : "");
	n->internal = g->internal;
	for (size_t pos = g->first_name; netd_msg_next(m, &pos, &f) && f.tag != NTAG_NET;) {
		const char *text = f.tag == NTAG_NAME ? netd_field_str(&f) : NULL;

		if (!text || (!g->has_v4 && !g->has_v6))
			continue;
		names_add(n->net, &b->own, text, first, g->has_v4 ? &g->v4 : NULL, g->has_v6 ? &g->v6 : NULL);
		first = false;
	}
}

static void add_alias(struct box *b, const char *name, const char *of)
{
	if ((b->aliases_len & (b->aliases_len + 1)) == 0)
		b->aliases = xrealloc(b->aliases, (b->aliases_len + 1) * 2 * sizeof(*b->aliases));
	b->aliases[b->aliases_len++] = (struct alias){ lowered(name), lowered(of) };
}

static void read_group(struct box *b, const struct netd_msg *m, size_t pos, const struct netd_field *f, struct group *g)
{
	const char *text = netd_field_str(f);
	int64_t n = 0;

	if (f->tag == NTAG_NET) {
		end_group(b, m, g);
		*g = (struct group){ .id = text, .first_name = pos };
	} else if (f->tag == NTAG_NET_NAME && text)
		g->title = text;
	else if (f->tag == NTAG_IPV4 && text && inet_pton(AF_INET, text, &g->v4) == 1)
		g->has_v4 = true;
	else if (f->tag == NTAG_IPV6 && text && inet_pton(AF_INET6, text, &g->v6) == 1)
		g->has_v6 = true;
	else if (f->tag == NTAG_INTERNAL && netd_field_int(f, &n))
		g->internal = n;
}

/* Takes the body of m. */
static void learn(struct box *b, struct netd_msg *m)
{
	struct group g = { .id = NULL };
	const char *alias = NULL;
	struct netd_field f;

	forget(b);
	for (size_t pos = 0; netd_msg_next(m, &pos, &f);) {
		const char *text = netd_field_str(&f);

		read_group(b, m, pos, &f, &g);
		if (f.tag == NTAG_ALIAS)
			alias = text;
		else if (f.tag == NTAG_ALIAS_OF && alias && text)
			add_alias(b, alias, text);
		else if (f.tag == NTAG_SEARCH && text && *text && !streq(text, "."))
			strv_take(&b->search, lowered(text));
		else if (f.tag == NTAG_SERVER && text && b->servers_len < BOX_SERVERS) {
			if (find_server(b, text, &b->servers[b->servers_len]))
				b->servers_len++;
			else
				netd_log(LOG_WARN, "no name server of %.12s: %.64s", b->id, text);
		}
	}
	end_group(b, m, &g);
	b->told = *m;
	*m = (struct netd_msg){ 0 };
}

/* 127.0.0.11 in the namespace that we are in; port 0: any. -1 with errno. */
static int bind_here(struct box *b, uint16_t udp, uint16_t tcp)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F00000B), .sin_port = htons(udp) };
	const int on = 1;

	loop_close(&b->udp);
	loop_close(&b->tcp);
	b->udp.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	b->tcp.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (b->udp.fd < 0 || b->tcp.fd < 0)
		return -1;
	setsockopt(b->tcp.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(b->udp.fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -1;
	a.sin_port = htons(tcp);
	return bind(b->tcp.fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -1 : listen(b->tcp.fd, BACKLOG);
}

static uint16_t port_of(int fd)
{
	struct address a = { 0 };
	socklen_t size = sizeof(a);

	getsockname(fd, &a.sa, &size);
	return address_port(&a);
}

/*
 * Where the rules of a namespace lead, also after its resolver went: a container that comes back to a network has the same ports
 * again, and nothing is to be written.
 */
static struct led { dev_t dev; ino_t ino; uint16_t udp, tcp; } led[LED];

static struct led *led_find(const struct stat *st)
{
	for (size_t i = 0; i < LED; i++)
		if (led[i].udp && led[i].ino == st->st_ino && led[i].dev == st->st_dev)
			return &led[i];
	return NULL;
}

static void led_set(const struct stat *st, uint16_t udp, uint16_t tcp)
{
	static size_t next;
	struct led *l = led_find(st);

	if (!l)
		l = &led[next++ % LED];
	*l = (struct led){ st->st_dev, st->st_ino, udp, tcp };
}

/* In the namespace of b. -1 with errno. */
static int serve_here(struct box *b)
{
	struct stat st = { 0 };
	struct led *l = fstat(b->netns, &st) < 0 ? NULL : led_find(&st);

	if (l && bind_here(b, l->udp, l->tcp) == 0 && redirect_stands())
		return 0;
	if (bind_here(b, 0, 0) < 0)
		return -1;
	if (redirect_write(port_of(b->udp.fd), port_of(b->tcp.fd)) == 0) {
		led_set(&st, port_of(b->udp.fd), port_of(b->tcp.fd));
		return 0;
	}
	netd_log(LOG_WARN, "nftables do not work in the sandbox of %.12s (%s): its resolver takes port 53 of 127.0.0.11", b->id, strerror(errno));
	return bind_here(b, DNS_PORT, DNS_PORT);
}

static int serve(struct box *b, struct err *err)
{
	int rc, sys;

	if (enter(b->netns) < 0)
		return err_errno(err, errno, "cannot enter the network namespace of %.12s", b->id);
	rc = serve_here(b);
	sys = errno;
	leave();
	if (rc < 0)
		return err_errno(err, sys, "cannot make the resolver of %.12s", b->id);
	if (loop_watch(&b->udp, EPOLLIN) < 0 || loop_watch(&b->tcp, EPOLLIN) < 0)
		return err_errno(err, errno, "cannot serve the resolver of %.12s", b->id);
	return 0;
}

/* A resolver stays as long as its namespace does. */
static void change_netns(struct box *b, int netns)
{
	struct stat old, fresh;

	if (b->netns < 0 || netns < 0 || fstat(b->netns, &old) < 0 || fstat(netns, &fresh) < 0 || old.st_ino != fresh.st_ino) {
		forwards_end(b);
		conns_end(b);
		loop_close(&b->udp);
		loop_close(&b->tcp);
	}
	fd_close(&b->netns);
	b->netns = netns;
}

int box_put(struct netd_msg *m, int netns, struct err *err)
{
	const char *id = netd_msg_get_str(m, NTAG_BOX);
	struct box *b = id ? box_find(id) : NULL;
	bool fresh = !b;

	if (!id) {
		fd_close(&netns);
		return err_set(err, ERR_INVALID, "a sandbox without an id");
	}
	if (fresh)
		b = box_new(id, netns);
	else
		change_netns(b, netns);
	if (b->netns >= 0 && b->udp.fd < 0 && serve(b, err) < 0) {
		if (fresh)
			box_free(b);
		return -1;
	}
	learn(b, m);
	return 0;
}

int box_adopt(struct netd_msg *m, const int fds[3], struct err *err)
{
	const char *id = netd_msg_get_str(m, NTAG_BOX);
	struct box *b;

	if (!id)
		return err_set(err, ERR_INVALID, "a sandbox without an id");
	b = box_new(id, fds[0]);
	b->udp.fd = fds[1];
	b->tcp.fd = fds[2];
	learn(b, m);
	return 0;
}

void boxes_pause(void)
{
	LIST_EACH(at, after, &boxes) {
		struct box *b = CONTAINER_OF(at, struct box, all);

		loop_unwatch(&b->udp);
		loop_unwatch(&b->tcp);
	}
}

void boxes_resume(void)
{
	LIST_EACH(at, after, &boxes) {
		struct box *b = CONTAINER_OF(at, struct box, all);

		loop_watch(&b->udp, EPOLLIN);
		loop_watch(&b->tcp, EPOLLIN);
	}
}
