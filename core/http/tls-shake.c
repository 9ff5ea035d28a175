/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handshakes of TLS, all in the relay's first thread: what a client speaks, whether it is let in, and what it is told if not. */
#include "http/tls-link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"

#define PLAIN_HTTP "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

static void refuse(struct link *l)
{
	shutdown(l->fd, SHUT_WR);
	l->state = LINK_REFUSED;
	tls_link_deadline(l, LINGER_MS * NSEC_PER_MSEC);
	tls_link_refused_input(l);
}

void tls_link_refused_input(struct link *l)
{
	ssize_t n;

	while ((n = recv(l->fd, l->loop->scratch, RECORD, MSG_DONTWAIT)) > 0) {
		l->discarded += (size_t)n;
		if (l->discarded > REFUSED_MAX)
			break;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		tls_link_watch(l);
	else
		tls_link_kill(l);
}

/* One line a second; how many it stands for. */
static void say_failed(struct link *l, const char *why)
{
	struct tls_relay *r = l->loop->srv->relay;
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "?", more[48] = "";
	int64_t now = clock_mono();

	if (r->said && now - r->said < NSEC_PER_SEC) {
		r->unsaid++;
		return;
	}
	getnameinfo((struct sockaddr *)&l->addr, sizeof(l->addr), host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	if (r->unsaid)
		snprintf(more, sizeof(more), " (and %u others)", r->unsaid);
	log_warn("TLS handshake with %s port %s failed: %s%s", host, port, why, more);
	r->said = now;
	r->unsaid = 0;
}

/* The first byte says what the client speaks. False: the link is done with for now. */
static bool hello(struct link *l)
{
	unsigned char first;
	ssize_t n = recv(l->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		tls_link_watch(l);
		return false;
	}
	if (n <= 0) {
		tls_link_kill(l);
		return false;
	}
	if (first >= 'A' && first <= 'Z') {
		say_failed(l, "the client speaks plain HTTP");
		send(l->fd, PLAIN_HTTP, sizeof(PLAIN_HTTP) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		refuse(l);
		return false;
	}
	l->tls = tls_session(&l->verdict, l->fd);
	if (!l->tls) {
		tls_link_kill(l);
		return false;
	}
	l->state = LINK_HANDSHAKE;
	return true;
}

/*
 * The server gets its end of a pair, and a carrier the link. Most clients send their request right behind the handshake: it is
 * here by then, and goes along, so that no carrier and no acceptor has to wake up before its thread does.
 */
static void hand_over(struct link *l)
{
	struct tls_relay *r = l->loop->srv->relay;
	struct loop *to = &r->loops[1 + r->turn++ % (r->len - 1)];
	struct http_arrival *a;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0) {
		tls_link_kill(l);
		return;
	}
	l->pair = sv[0];
	a = xcalloc(1, sizeof(*a));
	a->fd = sv[1];
	a->listener = l->listener;
	tls_session_peer(l->tls, &a->peer.user, &a->peer.certs);
	l->deadline = 0;
	l->state = LINK_OPEN;
	tls_link_first(l);
	if (l->state != LINK_OPEN) {
		http_arrival_free(a);
		return;
	}
	tls_link_chain_out(l);
	epoll_ctl(l->loop->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
	l->fd_on = 0;
	if ((!http_arrive_whole(l->loop->srv, a, l->loop->scratch, RECORD) && http_arrive(l->loop->srv, a) < 0) ||
		write(to->inbox[1], &l, sizeof(l)) != (ssize_t)sizeof(l))
		tls_link_free(l);
}

void tls_link_shake(struct link *l)
{
	OWN_FREE char *why = NULL;
	int r;

	if (l->state == LINK_HELLO && !hello(l))
		return;
	do
		r = gnutls_handshake(l->tls);
	while (r == GNUTLS_E_INTERRUPTED || (r == GNUTLS_E_WARNING_ALERT_RECEIVED && l->alerts++ < ALERTS_MAX));
	if (r == 0) {
		hand_over(l);
	} else if (r == GNUTLS_E_AGAIN) {
		tls_link_watch(l);
	} else {
		why = tls_session_refuse(l->tls, r);
		say_failed(l, why);
		refuse(l);
	}
}
