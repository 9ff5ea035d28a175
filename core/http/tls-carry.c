/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Carrying bytes between a client of TLS and its end of the server's socket pair, record by record. */
#include "http/tls-link.h"

#include <errno.h>

#include "base/clock.h"

#define ROUNDS 16                    /* records of one link before others have their turn */
#define STALL_NS (30 * NSEC_PER_SEC) /* nobody is left at the server's end, and the client reads nothing */

/* What could not be written stays, in memory of its own. */
static void keep(char **to, size_t *at, size_t *size, const char *data, size_t n)
{
	if (!*to)
		*to = xmalloc(RECORD);
	memmove(*to, data, n);
	*at = 0;
	*size = n;
}

static void drop(char **held, size_t *size)
{
	free(*held);
	*held = NULL;
	*size = 0;
}

static bool would_wait(int r) { return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED; }

/* One record to the client. True: something moved. May kill the link. */
static bool send_some(struct link *l)
{
	const char *data = l->out ? l->out + l->out_at : NULL;
	ssize_t n = l->sending ? gnutls_record_send(l->tls, NULL, 0) : gnutls_record_send(l->tls, data, l->out_size);

	if (would_wait((int)n)) {
		l->sending = true;
		return false;
	}
	if (n < 0) {
		tls_link_kill(l);
		return false;
	}
	l->sending = false;
	l->out_at += (size_t)n;
	l->out_size -= (size_t)n;
	if (!l->out_size)
		drop(&l->out, &l->out_size);
	if (l->discard)
		tls_link_deadline(l, STALL_NS);
	return true;
}

static bool say_bye(struct link *l)
{
	int r = gnutls_bye(l->tls, GNUTLS_SHUT_WR);

	if (would_wait(r))
		return false;
	if (r < 0) {
		tls_link_kill(l);
		return false;
	}
	l->bye_sent = true;
	return true;
}

static bool step_out(struct link *l)
{
	ssize_t n;

	if (l->sending || l->out_size)
		return send_some(l);
	if (l->out_end)
		return !l->bye_sent && say_bye(l);
	n = recv(l->pair, l->loop->scratch, RECORD, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		l->out_end = true;
		return true;
	}
	keep(&l->out, &l->out_at, &l->out_size, l->loop->scratch, (size_t)n);
	return send_some(l);
}

void tls_link_stalls(struct link *l)
{
	tls_link_deadline(l, STALL_NS);
}

/* The server's end is closed: what the client sends goes nowhere. */
static void stop_reading(struct link *l)
{
	l->discard = true;
	drop(&l->in, &l->in_size);
	if (!l->deadline)
		tls_link_deadline(l, STALL_NS);
}

/* To the server; what does not fit is kept. True: some of it did. */
static bool give(struct link *l, const char *data, size_t size)
{
	ssize_t n = send(l->pair, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stop_reading(l);
		return true;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < size)
		keep(&l->in, &l->in_at, &l->in_size, data + n, size - (size_t)n);
	else
		drop(&l->in, &l->in_size);
	if (n > 0)
		l->deadline = 0;
	return n > 0;
}

static bool step_in(struct link *l)
{
	ssize_t n;

	if (l->in_size)
		return give(l, l->in + l->in_at, l->in_size);
	if (l->in_end)
		return false;
	n = gnutls_record_recv(l->tls, l->loop->scratch, RECORD);
	if (would_wait((int)n) || (n == GNUTLS_E_WARNING_ALERT_RECEIVED && l->alerts++ < ALERTS_MAX))
		return false;
	if (n < 0) { /* an end without a word, a reset, nonsense, another handshake */
		tls_link_kill(l);
		return false;
	}
	if (n == 0) {
		l->in_end = true;
		shutdown(l->pair, SHUT_WR);
		return true;
	}
	if (!l->discard)
		return give(l, l->loop->scratch, (size_t)n);
	l->discarded += (size_t)n;
	if (l->discarded > REFUSED_MAX)
		tls_link_kill(l);
	return l->state == LINK_OPEN;
}

void tls_link_first(struct link *l)
{
	step_in(l);
}

void tls_link_pump(struct link *l, bool server_gone)
{
	if (server_gone && !l->discard)
		stop_reading(l);
	for (int i = 0; i < ROUNDS; i++) {
		bool moved = step_out(l);

		if (l->state == LINK_OPEN)
			moved |= step_in(l);
		if (l->state != LINK_OPEN)
			return;
		if (!moved)
			break;
	}
	if (l->bye_sent && (l->in_end || l->loop->ending)) {
		tls_link_kill(l);
		return;
	}
	/* Nobody is behind the pair, all is said: the client may close, for a moment. */
	if (l->bye_sent && l->discard && l->deadline > clock_mono() + LINGER_MS * NSEC_PER_MSEC)
		tls_link_deadline(l, LINGER_MS * NSEC_PER_MSEC);
	tls_link_watch(l);
}
