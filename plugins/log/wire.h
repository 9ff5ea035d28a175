/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to a log server: made when it is first needed, and anew after a failure. Never waits longer than the call allows. */
#ifndef LOG_WIRE_H
#define LOG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <dockerd/log.h>

enum wire_kind { WIRE_UNIX, WIRE_UNIXGRAM, WIRE_UDP, WIRE_TCP };

/* What stopped a step on the way to the socket. */
struct wire_hitch {
	short wait;    /* POLLIN or POLLOUT: again when the socket is ready for that; 0: it is broken */
	int sys;       /* ... by this, or */
	char why[256]; /* by that */
};

/* What a stream goes through on its way to the socket. Steps never block; they come to a number of bytes, or to -1 and a hitch. */
struct wire_layer {
	void *(*open)(const void *options, const char *host, int fd, struct wire_hitch *h);
	void (*close)(void *ctx);
	ssize_t (*begin)(void *ctx, struct wire_hitch *h);
	ssize_t (*send)(void *ctx, const void *data, size_t size, struct wire_hitch *h);
	ssize_t (*receive)(void *ctx, void *data, size_t size, struct wire_hitch *h); /* 0: the end */
};

struct wire {
	enum wire_kind kind;
	const char *host; /* a path for the first two; the caller's */
	const char *port; /* the caller's */
	int fd;           /* -1: not connected */
	const struct wire_layer *layer; /* of a WIRE_TCP; NULL: none */
	const void *layer_options;      /* the caller's */
	void *ctx;                      /* the layer's own, while it is connected */
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
