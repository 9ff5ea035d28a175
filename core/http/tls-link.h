/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the relay of TLS (tls-relay.c): a client, its thread, and what the files of the relay do with them. */
#ifndef CORE_HTTP_TLS_LINK_H
#define CORE_HTTP_TLS_LINK_H

#include <gnutls/gnutls.h>

#include "http/conn.h"
#include "http/tls.h"

#define CARRIERS_MAX 4
#define RECORD 16384                            /* bytes of the largest record */
#define ALERTS_MAX 8                            /* warnings of one client */
#define REFUSED_MAX (1u << 20)                  /* what a refused client may still send */

enum link_state {
	LINK_HELLO,     /* not a byte yet: costs no session */
	LINK_HANDSHAKE,
	LINK_REFUSED,   /* was told why; its bytes are read away, so that the reason is not lost to a reset */
	LINK_OPEN,
	LINK_DEAD,      /* freed at the end of the loop's turn */
};

struct link {
	struct link *next, *prev;      /* in its loop, oldest first */
	struct loop *loop;
	enum link_state state;
	struct http_listener *listener; /* the server's */
	struct tls_verdict verdict;    /* its credentials are the link's */
	gnutls_session_t tls;
	int fd, pair;                  /* the client's; our end of the pair */
	uint32_t fd_on, pair_on;       /* what epoll waits for */
	int64_t deadline;              /* clock_mono(), 0: none */
	/* To the client. */
	bool sending;                  /* the library has part of a record still */
	bool out_end, bye_sent;        /* the server has ended; the client was told */
	char *out;                     /* read from the pair and not in a record that is out */
	size_t out_at, out_size;
	/* From the client. */
	bool in_end;                   /* it has ended */
	bool discard;                  /* the server reads no more */
	char *in;
	size_t in_at, in_size;
	size_t discarded;
	unsigned alerts;
	struct sockaddr_storage addr;
};

/* One thread. The first of a relay does handshakes, the others carry. */
struct loop {
	struct http_server *srv;
	pthread_t thread;
	bool started;
	int epoll_fd, inbox[2];        /* pipe of struct link *; NULL: end */
	struct link *first, *last;
	size_t len;
	struct link *dead;
	bool timed;                    /* some link may have a deadline */
	bool ending;
	int64_t end;                   /* clock_mono(): of the ending, at most */
	char *scratch;                 /* RECORD bytes */
};

struct tls_relay {
	struct loop loops[1 + CARRIERS_MAX];
	size_t len;
	size_t turn;                   /* the handshake thread's: the carrier of the next link */
	int spare_fd;                  /* its, too, as the next two: see http_accept() */
	int64_t said;                  /* when a failed handshake was last logged */
	unsigned unsaid;
	atomic_int end_ms;
};

/* All of the link's own thread. tls-relay.c */
void tls_link_deadline(struct link *l, int64_t ns);
/* It is freed at the end of the loop's turn. */
void tls_link_kill(struct link *l);
void tls_link_free(struct link *l);
/* It leaves its loop. */
void tls_link_chain_out(struct link *l);
/* epoll waits for what it can go on with. */
void tls_link_watch(struct link *l);

/* tls-shake.c: a link that is not open yet can be read from, or written to. May kill it, or hand it to a carrier. */
void tls_link_shake(struct link *l);
void tls_link_refused_input(struct link *l);

/* tls-carry.c: the first record behind the handshake, if it is here, goes to the server. May kill it. */
void tls_link_first(struct link *l);
/* Something may move between the client and the server. server_gone: nobody is behind the pair. May kill it. */
void tls_link_pump(struct link *l, bool server_gone);
/* It has ended without saying so, behind bytes that the server does not take. */
void tls_link_stalls(struct link *l);

#endif
