/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the HTTP server: what its files share. */
#ifndef CORE_HTTP_CONN_H
#define CORE_HTTP_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/lock.h"
#include "http/http.h"
#include "http/head.h"

#define SLOTS_APART 16 /* beyond the limit: for those to be told so, and for pings */

enum conn_state {
	CONN_FREE,
	CONN_PENDING,   /* the acceptor's: its first header block is not whole yet */
	CONN_LINGER,    /* the acceptor's: refused, its input is read away until it closes */
	CONN_ACTIVE,    /* a thread of the library has it */
};

/* How a connection's last waits for a request went (spin.c). */
struct spin {
	uint16_t row;           /* short ones, up to now */
	uint16_t asked;         /* so many make the next one a spin; 0: as many as at first */
};

/* One connection, in a slot of the server's table. Pending and lingering ones belong to the acceptor alone. */
struct conn {
	struct http_server *srv;
	enum conn_state state;
	uint32_t slot, generation;
	int fd;                 /* the client's */
	/*
	 * A "direct" connection: the library was given one end of a socket pair with just the header block (and small body) in
	 * it, so that not a byte behind the request can get lost in its buffers; answers are written to fd by ourselves.
	 */
	int feed_fd, lib_fd;    /* our end; the library's descriptor (== fd unless direct) */
	int64_t deadline;       /* clock_mono(), 0: none; of pending and lingering ones */
	/* The guard's (guard.c), of the connection's thread once active. */
	bool passed;            /* the header block that comes next was looked at */
	bool counting;          /* the socket's peek offset counts what is read */
	int64_t request_size;   /* of the request on the wire, -1: unknown */
	int64_t taken;          /* bytes out of the socket before it; -1: they cannot be counted */
	struct spin spin;
	size_t discarded;       /* lingering */
	struct sockaddr_storage addr; /* of fd: Unix for what comes through the relay of TLS */
	socklen_t addr_len;
	struct peer peer;
};

/* One address that is served; there as long as the server is. */
struct http_listener {
	int fd;
	char *host, *policy;
	bool secure;            /* speaks TLS: the relay accepts its clients */
	struct tls_creds *tls;  /* the server's lock */
};

/* A connection that the relay of TLS has made ready: from its thread to the acceptor. */
struct http_arrival {
	int fd;
	struct http_listener *listener;
	struct peer peer;
};

struct http_server {
	struct router *router;
	struct http_limits limits;
	struct MHD_Daemon *mhd;
	int epoll_fd, wake_fd, spare_fd;
	struct http_listener **listeners;
	size_t n_listeners;
	struct tls_relay *relay; /* NULL: nothing speaks TLS */
	int arrivals[2];        /* pipe of struct http_arrival * */
	pthread_t acceptor;
	bool started;
	char *peek;             /* the acceptor's buffer */
	atomic_int spinners;    /* threads that may begin to spin */

	struct lock lock;       /* leaf: the table, by_fd, counters */
	pthread_cond_t changed;
	struct conn *conns;
	size_t n_conns, n_active, n_requests;
	uint32_t free_hint, n_slots; /* no free slot below; none used from here on */
	struct conn **by_fd;    /* what was handed to the library, by its descriptor */
	size_t n_by_fd;
	bool stopping;
};

struct upload;

/* One request. Lives from its request line to the library's completion call. */
struct http_request {
	struct request rq;      /* first: the router and handlers see this */
	struct conn *conn;
	struct MHD_Connection *mc;
	const struct route *route;
	bool begun, http10, chunked_body, upgrade;
	bool body_complete;     /* nothing of it can be in the socket any more */
	bool keep;              /* the answer leaves the connection open */
	bool raw;               /* answers are written here, the connection closes behind them */
	struct cancel cancel;   /* of writes: the client, and the engine's stop */
	char *uri, *method;
	struct strv names, values; /* header fields */
	struct buf body;        /* collected */
	size_t body_at;
	struct upload *upload;
	/* The whole answer, when the library sends it. */
	struct { bool set; char *type; struct buf data; } answer;
	bool chunked_answer;
};

/* accept.c */
#define PEEK_EXTRA 65536 /* behind the header block: small bodies of hijacking requests */
void *http_accept_main(void *server);
#define LINGER_MS 2000 /* how long a refused client may still send */
void http_say_refused(int fd, int status, const char *why);
/* The next client of l, -1: none. Where no descriptor is left, *spare makes room to tell it so. */
int http_accept(const struct http_listener *l, int *spare, struct sockaddr_storage *ret_addr, socklen_t *ret_size);
/* Any thread: a becomes the acceptor's, or is freed (-1). */
int http_arrive(struct http_server *s, struct http_arrival *a);
/*
 * Any thread: a gets its own at once when its header block is whole in the socket and good, and past the acceptor, who would look
 * at nothing else. False: a is the caller's still. room is where the bytes are looked at.
 */
bool http_arrive_whole(struct http_server *s, struct http_arrival *a, char *room, size_t room_size);
void http_arrival_free(struct http_arrival *a);
/* Lock held. */
struct conn *http_conn_take(struct http_server *s);
void http_conn_release(struct conn *c);

/* http.c: hands a checked connection to the library, which owns lib_fd from then on. */
int http_add_connection(struct conn *c, const char *feed, size_t feed_size);

/* request.c: what every request has, once conn, uri, method and fields are there; and its undoing, h itself apart. */
void http_request_init(struct http_request *h);
void http_request_done(struct http_request *h);
/* What its fields say of the body; NULL, or why they cannot be. */
const char *http_request_framing(const struct http_request *h, struct http_framing *f);

/* server.c */
bool http_speaks_tls(const struct http_server *s);
/* Connections through the relay need more descriptors. */
void http_limit_tls(struct http_limits *l);
/* Waits for requests, cuts what is still there after timeout_ms, and waits as long again. False: some handler still runs. */
bool http_requests_end(struct http_server *s, int timeout_ms);
/* Too many connections to keep any. */
bool http_crowded(struct http_server *s);

/* kept.c */
enum http_kept {
	KEPT_NOT,      /* nothing was taken: the library's */
	KEPT_ANSWERED, /* the connection goes on */
	KEPT_ENDS,
};
/* The size bytes of data stand in the socket, with head at their front; both may be changed. */
enum http_kept http_kept_serve(struct conn *c, char *data, size_t size, struct http_head *head);

/* guard.c */
/* head stands at the front of the socket's bytes: from here on the library may read, and what it reads is counted. */
void http_guard_pass(struct conn *c, const struct http_head *head);
/* A request begins: whether its header block had passed. */
bool http_guard_begin(struct conn *c);
/* What was read is one request, no more and no less. */
bool http_guard_even(const struct conn *c);
/*
 * Waits for the next header block within the idle time and the header time, serves what needs no library, and returns with
 * the first that does. false: the connection ends.
 */
bool http_guard_next(struct conn *c);

/* spin.c */
enum spun {
	SPUN_NOT,
	SPUN_HIT,  /* bytes, or the end of them, are here */
	SPUN_MISS,
};
/* How many threads of a server may spin at once. */
unsigned http_spinners(void);
bool http_spin_due(const struct spin *s);
/* A wait is over, from its beginning in ns. */
void http_spin_note(struct spin *s, enum spun spun, int64_t ns);
/* The first moment of a wait that begins now, if the connection has earned it. */
enum spun http_spin(struct conn *c, int64_t now);

/* raw.c */
int raw_write(const struct cancel *cancel, int fd, struct iovec *iov, int n);
/* Status line, date and the reply's own fields, as every answer has them; a single field. */
void raw_head(const struct http_request *h, int status, struct buf *b);
void raw_field(struct buf *b, const char *name, const char *value);
int raw_begin(struct http_request *h, int status, const char *content_type, int64_t length);
int raw_chunk(struct http_request *h, const void *data, size_t size);
void raw_end(struct http_request *h);
struct http_stream *raw_hijack(struct http_request *h, const char *content_type, struct err *err);
/* Ends our side and reads the client's away, for at most this long, so that the answer is not lost to a reset. */
void raw_linger(int fd, int timeout_ms);
const char *http_status_text(int status);

/* tls-relay.c */
int tls_relay_start(struct http_server *s, struct err *err);
/* From here on it accepts the clients of TLS listeners: the server can take them. */
void tls_relay_listen(struct http_server *s);
/* No more arrivals come. */
void tls_relay_end_handshakes(struct http_server *s);
/* What the server has written goes out, for at most ms. */
void tls_relay_end(struct http_server *s, int ms);
void tls_relay_free(struct http_server *s);

/* upload.c */
struct upload *upload_start(struct http_request *h);
/* The next bytes of the body. False: the job has ended with an error, its answer should leave now. */
bool upload_push(struct upload *u, const char *data, size_t size);
void upload_end(struct upload *u);   /* the body is complete: waits for the job */
void upload_free(struct upload *u);  /* cancels it when it still runs */

#endif
