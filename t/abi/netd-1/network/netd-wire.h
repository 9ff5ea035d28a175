/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon and dockerd-netd say to each other on EXEC-ROOT/netd.sock, and an old dockerd-netd to the one that takes
 * its place. It only grows: numbers keep their meaning, a receiver passes over fields that it does not know and answers an
 * unknown request with 501. Integers are the machine's own. NETD_VERSION is raised where a peer of the version before would do
 * wrong.
 *
 * A message is a head, a body of fields (tag, size, bytes; strings carry their NUL, numbers are int64_t), and descriptors that
 * come with its first byte. Fields that belong together follow the one that begins their group. Each request has one answer,
 * in order; NETD_LOG comes at any time.
 */
#ifndef NETWORK_NETD_WIRE_H
#define NETWORK_NETD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define NETD_VERSION  1
#define NETD_MAX_BODY (16u << 20)
#define NETD_MAX_FDS  128
#define NETD_SOCKET   "netd.sock"
#define NETD_PORTS    65536 /* of one endpoint, each of a run counted */

enum netd_type {
	NETD_HELLO = 1,    /* VERSION, LEVEL -> OK: VERSION, IDENTITY, PID */
	NETD_PUBLISH,      /* ENDPOINT, PORT... -> OK: PORT... as they were chosen */
	NETD_REVOKE,       /* ENDPOINT; one that is not there is fine */
	NETD_BOX,          /* BOX, and what follows it; 1 descriptor: its network namespace; 0: names only */
	NETD_BOX_DROP,     /* BOX; one that is not there is fine */
	NETD_KEEP,         /* BOX..., ENDPOINT...: all others go */
	NETD_STATUS,       /* -> OK: COUNT_* */
	NETD_TAKE_OVER,    /* -> TAKE_*..., END; then the new one says OK and the old one is gone */
	NETD_OK = 100,
	NETD_ERROR,        /* STATUS (an HTTP status), TEXT */
	NETD_LOG = 120,    /* LEVEL, TEXT */
	NETD_TAKE_BOX = 140, /* as BOX; 3 descriptors: namespace, UDP, TCP; RESOLVER_PORT */
	NETD_TAKE_ENDPOINT,  /* as PUBLISH, what is there */
	NETD_TAKE_SOCKETS,   /* ENDPOINT, INDEX: the first of them; a descriptor a port */
	NETD_TAKE_STREAM,    /* ENDPOINT, INDEX, FLAGS, HELD...; descriptors: client, target, pipes */
	NETD_TAKE_FLOW,      /* ENDPOINT, INDEX, ADDRESS, LOCAL; 1 descriptor */
	NETD_TAKE_END,       /* 1 descriptor: the listening socket */
};

enum netd_tag {
	NTAG_VERSION = 1, NTAG_LEVEL, NTAG_IDENTITY, NTAG_PID, NTAG_STATUS, NTAG_TEXT,
	NTAG_ENDPOINT = 20, NTAG_PORT /* struct netd_wire_port */,
	NTAG_BOX = 40,
	NTAG_NET /* begins a group: the network's id */, NTAG_NET_NAME, NTAG_IPV4, NTAG_IPV6, NTAG_NAME /* repeated */, NTAG_INTERNAL,
	NTAG_ALIAS /* begins a group */, NTAG_ALIAS_OF, NTAG_SERVER, NTAG_SEARCH,
	NTAG_COUNT_ENDPOINTS = 60, NTAG_COUNT_PORTS, NTAG_COUNT_BOXES, NTAG_COUNT_STREAMS, NTAG_COUNT_FLOWS, NTAG_COUNT_QUERIES,
	NTAG_COUNT_FDS,
	NTAG_INDEX = 80, NTAG_FLAGS, NTAG_HELD, NTAG_ADDRESS, NTAG_LOCAL, NTAG_RESOLVER_PORT,
};

#define NETD_PORT_PROXY 1

struct netd_wire_port {
	uint32_t proto, host_port, host_port_end, count, port, flags;
	char host_ip[48], target[48];
};

struct netd_head {
	uint32_t size; /* of the body */
	uint16_t type;
	uint8_t version, fds;
};

struct netd_msg {
	struct netd_head head;
	struct buf body; /* owned */
};
struct netd_field {
	uint16_t tag;
	size_t size;
	const char *data; /* may be at any address */
};

void netd_msg_init(struct netd_msg *m, enum netd_type type);
void netd_msg_done(struct netd_msg *m);
#define OWN_NETD_MSG __attribute__((cleanup(netd_msg_done)))
void netd_msg_int(struct netd_msg *m, enum netd_tag tag, int64_t n);
void netd_msg_str(struct netd_msg *m, enum netd_tag tag, const char *s); /* NULL adds nothing */
void netd_msg_bytes(struct netd_msg *m, enum netd_tag tag, const void *data, size_t size);

/* The next field from *pos (0 at first) on; false at the end, and where the body makes no sense. */
bool netd_msg_next(const struct netd_msg *m, size_t *pos, struct netd_field *ret);
/* NULL when it is none: not ended by a NUL, or one in it. */
const char *netd_field_str(const struct netd_field *f);
bool netd_field_int(const struct netd_field *f, int64_t *ret);
/* The first of that tag. Absent: fallback, NULL. */
int64_t netd_msg_get_int(const struct netd_msg *m, enum netd_tag tag, int64_t fallback);
const char *netd_msg_get_str(const struct netd_msg *m, enum netd_tag tag);

/* Appends the message as it goes over the wire. */
void netd_msg_put(const struct netd_msg *m, struct buf *out);
/* Takes one whole message off the front of in: 1, 0 when it is not complete yet, -1 when it is none of ours. */
int netd_msg_parse(struct buf *in, struct netd_msg *ret);
/* Sends all of it, waiting for room as long as the socket's time-out lets it. 0, or -1 with errno. */
int netd_msg_send(int fd, struct netd_msg *m, const int *fds, size_t nfds);

/* Descriptors that came and were not claimed yet, in order. */
struct netd_fds {
	int v[NETD_MAX_FDS];
	size_t len;
};
/* Takes the first n out; false when there are fewer. */
bool netd_fds_take(struct netd_fds *q, int *ret, size_t n);
void netd_fds_done(struct netd_fds *q);
/* Reads what is there: as read(2), and descriptors into q. Too many of them are an error (EPROTO). */
long netd_read(int fd, struct buf *in, struct netd_fds *q, int flags);

/* The address of EXEC-ROOT/netd.sock, by way of dirfd, a descriptor of that folder, where the path is too long. */
struct sockaddr_un;
void netd_address(const char *exec_root, int dirfd, struct sockaddr_un *ret);

#endif
