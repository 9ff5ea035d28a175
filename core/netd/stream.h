/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TCP connections through a published port: what a client sends goes to the container's address by splice(2), and back, with
 * half-closes kept. An idle one costs two descriptors; pipes come from a pool while bytes are on their way.
 */
#ifndef NETD_STREAM_H
#define NETD_STREAM_H

#include <stddef.h>

#include "base/loop.h"
#include "netd/address.h"
#include "netd/list.h"

struct port;

/* Bytes on their way in one direction. */
struct half {
	int pipe[2];       /* -1 for none */
	size_t held;       /* in the pipe */
	bool copy;         /* no pipe: the kernel cannot splice this protocol */
	bool bulk;         /* much came at a time */
	bool blocked;      /* the receiver takes nothing for now, and no pipe holds it */
	bool eof, done;    /* the sender has ended; the receiver was told */
};
struct stream {
	struct port *port;
	struct source client, target;
	struct half up, down; /* client -> target, target -> client */
	bool connecting;
	int64_t deadline;     /* of the connecting one */
	struct list of_port, by_time;
};

/* What connections inherit from their listening socket. */
void stream_prepare(int fd);
/* A socket for the container's side: -1 with errno. */
int stream_socket(const struct port *p);
/* A client that was accepted; takes both. The port's list gets it, or it is refused with a reset. */
void stream_begin(struct port *p, int fd, int target);
/* One that another dockerd-netd served: fds are client, target, then the pipe of each half that holds something. */
#define STREAM_CONNECTING 1
#define STREAM_UP_EOF     2
#define STREAM_UP_DONE    4
#define STREAM_DOWN_EOF   8
#define STREAM_DOWN_DONE  16
bool stream_adopt(struct port *p, unsigned flags, size_t up, size_t down, const int *fds, size_t nfds);
unsigned stream_flags(const struct stream *s);
/* Cuts it: both sides get a reset. */
void stream_cut(struct stream *s);
/* Neither is watched any more, nor again until stream_resume(). */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);
/* How many there are, and may be. */
size_t stream_count(void);
void stream_set_limit(size_t limit);
size_t stream_limit(void);
/* Called whenever one has ended. */
void stream_on_end(void (*fn)(void));

#endif
