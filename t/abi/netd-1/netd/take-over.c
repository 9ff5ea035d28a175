/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From an old dockerd-netd to its successor: every socket, with what the successor has to know about it. The old one stops
 * serving before it begins, and ends at the successor's OK; without that it goes on as if nothing had been. Until then a
 * socket is in both, and what arrives waits in it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "netd/box.h"
#include "netd/control.h"
#include "netd/flow.h"
#include "netd/log.h"
#include "netd/ports.h"
#include "netd/stream.h"

#define AT_ONCE      100
#define PATIENCE_S   8
#define RECORD_ONLY  2 /* beside NETD_PORT_PROXY: no socket */

static void host_text(const struct address *a, char *ret, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(a->sa.sa_family, a->sa.sa_family == AF_INET6 ? (const void *)&a->in6.sin6_addr : (const void *)&a->in.sin_addr, text, sizeof(text));
	if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id)
		snprintf(ret, size, "%s%%%u", text, a->in6.sin6_scope_id);
	else if (a->sa.sa_family)
		snprintf(ret, size, "%s", text);
}

static int send_ports(int to, struct netd_msg *m, const char *id, const int *fds, size_t nfds)
{
	int rc = netd_msg_send(to, m, fds, nfds);

	netd_msg_done(m);
	netd_msg_init(m, NETD_TAKE_ENDPOINT);
	netd_msg_str(m, NTAG_ENDPOINT, id);
	return rc;
}

static int give_ports(int to, struct endpoint *e)
{
	OWN_NETD_MSG struct netd_msg m;
	int fds[AT_ONCE];
	size_t nfds = 0, n = 0;

	netd_msg_init(&m, NETD_TAKE_ENDPOINT);
	netd_msg_str(&m, NTAG_ENDPOINT, e->id);
	LIST_EACH(at, after, &e->ports) {
		const struct port *p = CONTAINER_OF(at, struct port, of_set);
		struct netd_wire_port w = { .proto = (uint32_t)p->proto, .host_port = address_port(&p->address),
			.host_port_end = address_port(&p->address), .count = 1, .port = address_port(&p->target),
			.flags = (p->proxy ? NETD_PORT_PROXY : 0u) | (p->src.fd < 0 ? RECORD_ONLY : 0u) };

		if (n == AT_ONCE) {
			if (send_ports(to, &m, e->id, fds, nfds) < 0)
				return -1;
			nfds = n = 0;
		}
		host_text(&p->address, w.host_ip, sizeof(w.host_ip));
		host_text(&p->target, w.target, sizeof(w.target));
		netd_msg_bytes(&m, NTAG_PORT, &w, sizeof(w));
		n++;
		if (p->src.fd >= 0)
			fds[nfds++] = p->src.fd;
	}
	return send_ports(to, &m, e->id, fds, nfds);
}

static int give_stream(int to, const char *id, size_t index, const struct stream *s)
{
	OWN_NETD_MSG struct netd_msg m;
	int fds[6] = { s->client.fd, s->target.fd };
	size_t n = 2;

	netd_msg_init(&m, NETD_TAKE_STREAM);
	netd_msg_str(&m, NTAG_ENDPOINT, id);
	netd_msg_int(&m, NTAG_INDEX, (int64_t)index);
	netd_msg_int(&m, NTAG_FLAGS, stream_flags(s));
	netd_msg_int(&m, NTAG_HELD, (int64_t)s->up.held);
	netd_msg_int(&m, NTAG_HELD, (int64_t)s->down.held);
	for (int i = 0; s->up.held && i < 2; i++)
		fds[n++] = s->up.pipe[i];
	for (int i = 0; s->down.held && i < 2; i++)
		fds[n++] = s->down.pipe[i];
	return netd_msg_send(to, &m, fds, n);
}

static int give_flow(int to, const char *id, size_t index, const struct flow *f)
{
	OWN_NETD_MSG struct netd_msg m;

	netd_msg_init(&m, NETD_TAKE_FLOW);
	netd_msg_str(&m, NTAG_ENDPOINT, id);
	netd_msg_int(&m, NTAG_INDEX, (int64_t)index);
	netd_msg_bytes(&m, NTAG_ADDRESS, &f->client, sizeof(f->client));
	netd_msg_bytes(&m, NTAG_LOCAL, &f->local, sizeof(f->local));
	return netd_msg_send(to, &m, &f->target.fd, 1);
}

static int give_endpoint(int to, struct endpoint *e)
{
	size_t index = 0;

	if (give_ports(to, e) < 0)
		return -1;
	LIST_EACH(at, after, &e->ports) {
		struct port *p = CONTAINER_OF(at, struct port, of_set);

		LIST_EACH(sat, safter, &p->streams)
			if (give_stream(to, e->id, index, CONTAINER_OF(sat, struct stream, of_port)) < 0)
				return -1;
		LIST_EACH(fat, fafter, &p->flows)
			if (give_flow(to, e->id, index, CONTAINER_OF(fat, struct flow, of_port)) < 0)
				return -1;
		index++;
	}
	return 0;
}

static int give_box(int to, const struct box *b)
{
	OWN_NETD_MSG struct netd_msg m;
	const int fds[3] = { b->netns, b->udp.fd, b->tcp.fd };

	netd_msg_init(&m, NETD_TAKE_BOX);
	buf_add(&m.body, b->told.body.data, b->told.body.size);
	m.head.size = (uint32_t)m.body.size;
	return netd_msg_send(to, &m, fds, b->netns >= 0 ? 3 : 0);
}

static int give_all(int to)
{
	OWN_NETD_MSG struct netd_msg m;
	int fd = control_listener();

	LIST_EACH(at, after, ports_endpoints())
		if (give_endpoint(to, CONTAINER_OF(at, struct endpoint, all)) < 0)
			return -1;
	LIST_EACH(bat, bafter, boxes_all())
		if (give_box(to, CONTAINER_OF(bat, struct box, all)) < 0)
			return -1;
	netd_msg_init(&m, NETD_TAKE_END);
	return netd_msg_send(to, &m, &fd, 1);
}

static void be_patient(int fd)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };

	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* The next message, waited for. */
static bool receive(int fd, struct buf *in, struct netd_fds *fds, struct netd_msg *ret)
{
	int r;

	while ((r = netd_msg_parse(in, ret)) == 0)
		if (netd_read(fd, in, fds, 0) <= 0)
			return false;
	return r > 0;
}

bool take_over_give(int fd)
{
	OWN_NETD_MSG struct netd_msg m = { 0 };
	OWN_BUF struct buf in = { 0 };
	struct netd_fds fds = { .len = 0 };
	bool given;

	be_patient(fd);
	ports_pause();
	boxes_pause();
	given = give_all(fd) == 0 && receive(fd, &in, &fds, &m) && m.head.type == NETD_OK;
	netd_fds_done(&fds);
	if (given)
		return true;
	ports_resume();
	boxes_resume();
	return false;
}

/* PORT fields of one message, each with its descriptor. */
static bool take_endpoint(struct netd_msg *m, struct netd_fds *fds)
{
	const char *id = netd_msg_get_str(m, NTAG_ENDPOINT);
	struct endpoint *e = id ? ports_find(id) : NULL;
	OWN_FREE struct port_wish *wishes = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct netd_field f;
	size_t len = 0, i = 0;

	if (!id || ports_decode(m, &wishes, &len, &err) < 0)
		return false;
	if (!e)
		e = ports_adopt_endpoint(id);
	for (size_t pos = 0; i < len && netd_msg_next(m, &pos, &f);) {
		struct netd_wire_port w;
		int fd = -1;

		if (f.tag != NTAG_PORT)
			continue;
		memcpy(&w, f.data, sizeof(w));
		if (!(w.flags & RECORD_ONLY) && !netd_fds_take(fds, &fd, 1))
			return false;
		if (!ports_adopt(e, &wishes[i++], fd))
			return false;
	}
	return true;
}

static struct port *port_of(const struct netd_msg *m)
{
	const char *id = netd_msg_get_str(m, NTAG_ENDPOINT);
	struct endpoint *e = id ? ports_find(id) : NULL;

	return e ? ports_at(e, (size_t)netd_msg_get_int(m, NTAG_INDEX, 0)) : NULL;
}

static bool take_stream(const struct netd_msg *m, struct netd_fds *fds)
{
	struct port *p = port_of(m);
	int64_t held[2] = { 0, 0 };
	struct netd_field f;
	size_t n = 0;
	int v[6];

	for (size_t pos = 0; n < 2 && netd_msg_next(m, &pos, &f);)
		if (f.tag == NTAG_HELD && netd_field_int(&f, &held[n]))
			n++;
	n = m->head.fds;
	return p && n <= 6 && held[0] >= 0 && held[1] >= 0 && netd_fds_take(fds, v, n) &&
		stream_adopt(p, (unsigned)netd_msg_get_int(m, NTAG_FLAGS, 0), (size_t)held[0], (size_t)held[1], v, n);
}

static bool take_flow(const struct netd_msg *m, struct netd_fds *fds)
{
	struct address client = { 0 }, local = { 0 };
	struct port *p = port_of(m);
	struct netd_field f;
	int fd;

	for (size_t pos = 0; netd_msg_next(m, &pos, &f);)
		if (f.size == sizeof(client) && (f.tag == NTAG_ADDRESS || f.tag == NTAG_LOCAL))
			memcpy(f.tag == NTAG_ADDRESS ? &client : &local, f.data, sizeof(client));
	return p && client.sa.sa_family && netd_fds_take(fds, &fd, 1) && flow_adopt(p, &client, &local, fd);
}

static bool take_box(struct netd_msg *m, struct netd_fds *fds)
{
	int v[3] = { -1, -1, -1 };

	return (m->head.fds == 0 || netd_fds_take(fds, v, 3)) && box_adopt(m, v, NULL) == 0;
}

int take_over_take(int fd)
{
	OWN_NETD_MSG struct netd_msg ask;
	OWN_BUF struct buf in = { 0 };
	struct netd_fds fds = { .len = 0 };
	int listening = -1;
	bool good;

	be_patient(fd);
	netd_msg_init(&ask, NETD_TAKE_OVER);
	good = netd_msg_send(fd, &ask, NULL, 0) == 0;
	while (good && listening < 0) {
		OWN_NETD_MSG struct netd_msg m = { 0 };

		good = receive(fd, &in, &fds, &m);
		if (!good)
			break;
		switch (m.head.type) {
		case NETD_TAKE_ENDPOINT: good = take_endpoint(&m, &fds); break;
		case NETD_TAKE_STREAM: good = take_stream(&m, &fds); break;
		case NETD_TAKE_FLOW: good = take_flow(&m, &fds); break;
		case NETD_TAKE_BOX: good = take_box(&m, &fds); break;
		case NETD_TAKE_END: good = netd_fds_take(&fds, &listening, 1); break;
		default: good = false;
		}
	}
	netd_msg_done(&ask);
	netd_msg_init(&ask, NETD_OK);
	if (!good || netd_msg_send(fd, &ask, NULL, 0) < 0)
		return -1;
	ports_resume();
	boxes_resume();
	return listening;
}
