/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP/1.1 server on libmicrohttpd. One thread accepts for all listeners and holds every connection until its first header
 * block is whole and well-formed; only then the connection gets a thread of its own, which looks at every later block before
 * the library reads it.
 */
#ifndef CORE_HTTP_H
#define CORE_HTTP_H

#include <stddef.h>

#include "base/err.h"
#include "router.h"

/* 0 takes the default. */
struct http_limits {
	int max_connections;     /* 4096, less when RLIMIT_NOFILE is small; the rest gets a 503 */
	int header_timeout_ms;   /* 10000: from the first byte (first block: from accept) to the end of the header block */
	int idle_timeout_s;      /* 60: kept-alive connections, stalled uploads */
	size_t header_size;      /* 64 KiB -> 431 */
	size_t uri_size;         /* 32 KiB -> 414 */
	size_t ring_size;        /* 256 KiB: upload bytes that wait for a job */
	size_t max_handshakes;   /* 256: TLS connections that are not one yet; the oldest makes room */
};

struct http_server;
struct tls_creds;

/* How a listener is served. */
struct http_listen {
	const char *host;        /* what it is called: unix:///run/docker.sock. May be NULL */
	const char *policy;      /* what authorization is told of its clients; NULL: nothing */
	struct tls_creds *tls;   /* of TCP sockets; Unix sockets are served as they are. NULL: plain */
};

struct http_server *http_server_new(struct router *r, const struct http_limits *limits, struct err *err);
/* fd is bound and listens; the server owns it. how may be NULL. Before http_server_start(). */
int http_server_add_listener(struct http_server *s, int fd, const struct http_listen *how, struct err *err);
/* Other certificates and authorities for every listener that speaks TLS, from the next connection on. Any thread. */
void http_server_set_tls(struct http_server *s, struct tls_creds *tls);
/* From here on connections are accepted. */
int http_server_start(struct http_server *s, struct err *err);
/*
 * Accepts no more, gives running requests timeout_ms, then cuts their connections and gives them as long again. -1 when some
 * handler still runs: the server must not be freed then.
 */
int http_server_stop(struct http_server *s, int timeout_ms);
void http_server_free(struct http_server *s);
/* Open connections, for info and tests. */
size_t http_server_connections(struct http_server *s);

#endif
