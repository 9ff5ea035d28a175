/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One HTTP request at a time by libcurl, with limits of time and size. Follows no redirect and knows no credentials: both are
 * decided above. Thread-safe; connections are kept in a pool of handles.
 */
#ifndef FETCH_WEB_H
#define FETCH_WEB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define WEB_ERROR_MAX (64u << 10) /* of the body of an answer that is no success */

struct web_tls { bool insecure; const char *ca, *cert, *key; /* paths, NULL for none */ };
struct web_proxy { char *http, *https, *no; /* NULL for none */ };

struct web_answer {
	int status;
	char *location, *type, *link, *retry_after, *range, *sent_range;
	int64_t length;           /* -1: not told */
	struct strv challenges;   /* WWW-Authenticate, each */
	struct buf body;          /* what no sink took; capped */
};

/* Takes bytes of a success. False ends the request: WEB_STOPPED. */
typedef bool web_sink(void *ctx, const struct web_answer *a, const void *data, size_t size);

struct web_request {
	const char *method, *url, *accept, *authorization; /* NULL: none of the last two */
	const char *form;          /* of a POST to a token server */
	int body;                  /* of POST, PATCH, PUT: a file whose bytes from body_at on are sent; with body_size 0 none is */
	int64_t body_at, body_size;
	const char *body_type;     /* NULL: application/octet-stream */
	void (*sent)(void *ctx, int64_t at); /* how far it is, in the file; may be NULL */
	int64_t from;              /* Range from there on; 0: all */
	struct web_tls tls;
	size_t body_max;           /* of a success without a sink */
	bool greeting;             /* short, and nobody there when it is not answered soon */
	web_sink *sink;
	void *ctx;
};

enum web_end {
	WEB_OK,          /* answered, whatever the status is */
	WEB_UNREACHABLE, /* nothing was ever sent: no address, no connection, no TLS */
	WEB_BROKEN,      /* in the middle: another try may go on */
	WEB_STOPPED,     /* by the sink, or larger than body_max */
};

void web_init(const char *agent, const struct web_proxy *proxy);
/* A connection that brings less than rate bytes a second is given up after half of stall, in seconds: there is time for another try. */
void web_patience(int64_t stall, int rate);
void web_done(void);
/* ret is zeroed before. Not WEB_OK: err says why, in Go's words where Docker's are those. */
enum web_end web_do(const struct web_request *rq, struct web_answer *ret, struct err *err);
void web_answer_done(struct web_answer *a);
#define OWN_ANSWER CLEANUP(web_answer_done)

/* The file of authorities that are believed where nobody names others: SSL_CERT_FILE of the environment, else the system's, or NULL. */
const char *web_authorities(void);

/* Where a redirect leads, owned by the caller; NULL: to no address of http or https. */
char *web_resolve(const char *base, const char *location);
/* The same scheme, host and port. */
bool web_same_origin(const char *a, const char *b);
/* "host" or "host:port" as it stands in the address; owned by the caller, NULL: there is none. */
char *web_host(const char *url);

#endif
