/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to a log server: made when it is first needed, and anew after a failure. Never waits longer than the call allows. */
#ifndef LOG_WIRE_H
#define LOG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <dockerd/log.h>

enum wire_kind { WIRE_UNIX, WIRE_UNIXGRAM, WIRE_UDP, WIRE_TCP };

struct wire {
	enum wire_kind kind;
	const char *host; /* a path for the first two; the caller's */
	const char *port; /* the caller's */
	int fd;           /* -1: not connected */
};

/* All of it, as one message where messages are kept apart. -1: told through host->fail(), the connection is closed. */
int wire_send(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const void *data, size_t size);
/* One datagram with all that the header names. 1: it is too large, nothing was sent; else as wire_send(). */
int wire_send_message(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const struct msghdr *message);
/* Does somebody listen at a socket of a path now? It is connected to then. */
int wire_reaches(struct wire *w, const struct dkd_call *call);
/* What comes next, *ret bytes of at most size. -1: as above, also at the connection's end. */
int wire_receive(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, void *data, size_t size, size_t *ret);
void wire_close(struct wire *w);
/* CLOCK_MONOTONIC in ns, as in a call's deadline. */
int64_t wire_now(void);
/* Between two tries; false: the call is over before that. */
bool wire_pause(const struct dkd_call *call, int64_t ns);

#endif
