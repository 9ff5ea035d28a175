/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Router: method + path -> job, API versions, and the request as handlers see it. Knows nothing of the HTTP library:
 * http.c fills struct request_ops. Routes are data (api/routes.tbl).
 */
#ifndef CORE_ROUTER_H
#define CORE_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "engine.h"

#define API_MAX_MINOR 51      /* advertised: 1.51 */
#define API_ACCEPT_MINOR 55   /* accepted in the path */
#define API_MIN_MINOR 24

struct request;
struct route;

/* Who is at the other end of a connection, for as long as that lasts. */
struct peer {
	const char *listener;    /* the "host" it came in through: unix:///run/docker.sock; NULL: unknown */
	const char *policy;      /* that of the listener; NULL or "": none */
	char *user;              /* common name of its TLS certificate; NULL or "" */
	struct strv certs;       /* that certificate and those behind it, PEM */
	bool local;              /* uid, gid and pid are known: it came through a Unix socket */
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

enum http_owed {
	OWED_NOTHING,
	OWED_ROOM,   /* poll_fd is to be writable */
	OWED_HEAD,   /* the client is to read the head first, of which no event tells: in a moment */
	OWED_IN_VAIN /* it is gone */
};

/* A hijacked connection. Never a raw fd, so that TLS can stand behind it. */
struct http_stream {
	/* >0 bytes, 0 at the peer's half-close, -1 with errno (EAGAIN when nothing is there). Bytes that came with the request first. */
	ssize_t (*read)(struct http_stream *s, void *data, size_t size);
	/* Does not wait: what the peer does not take at once is kept, and owed until it is sent. -1 with errno: it is gone. */
	int (*write)(struct http_stream *s, const void *data, size_t size);
	/* Sends of that what can be sent now: whether some is left, and what to wait for before the next try. */
	enum http_owed (*owed)(struct http_stream *s);
	/* Waits until nothing is owed; -1 with errno when the peer is gone. */
	int (*settle)(struct http_stream *s);
	int (*shutdown_write)(struct http_stream *s);
	/* True when read() would not block because bytes are buffered already: look before poll(). */
	bool (*pending)(struct http_stream *s);
	void (*close)(struct http_stream *s); /* frees s */
	int poll_fd;   /* for poll(2) only */
};

struct request_ops {
	/* NULL when absent. Names match in any case. */
	const char *(*header)(struct request *rq, const char *name);
	/* Every header, in order. Optional. */
	void (*each_header)(struct request *rq, void (*emit)(void *to, const char *name, const char *value), void *to);
	/* Next bytes of the body; 0 at its end. Blocks. */
	ssize_t (*read_body)(struct request *rq, void *data, size_t size, struct err *err);
	/* The whole answer at once. */
	int (*reply)(struct request *rq, int status, const char *content_type, const void *data, size_t size);
	/* An answer of unknown length: headers leave now; chunked (raw for HTTP/1.0); the connection closes behind it. */
	int (*begin)(struct request *rq, int status, const char *content_type);
	int (*write)(struct request *rq, const void *data, size_t size); /* -1: the client is gone */
	/*
	 * Takes the connection over: answers 101 UPGRADED or 200, then it belongs to the stream. content_type may be NULL; an
	 * Upgrade among the reply headers is named instead of tcp.
	 */
	struct http_stream *(*hijack)(struct request *rq, const char *content_type, struct err *err);
};

enum request_sent { SENT_NOTHING, SENT_ALL, SENT_STREAM, SENT_HIJACK };

struct request {
	const struct request_ops *ops;
	struct job *job;         /* cancel token, arguments */
	const struct route *route; /* while its job and the middlewares run */
	const char *method, *path; /* path without version prefix, percent-decoded per segment by request_var() */
	int api_minor;           /* 1.N asked for, or API_MAX_MINOR when the path has no version */
	bool api_versioned;      /* the path names one */
	struct strmap vars;      /* {id}, {name}: percent-decoded */
	struct strmap query;     /* first value of each key, percent-decoded */
	struct strv query_all;   /* every "key=value" in order, for repeated keys */
	const char *uri;         /* as received, for logs and authz */
	const char *user, *user_auth; /* TLS subject when there is one, else "" */
	const struct peer *peer; /* NULL: unknown */
	int client_fd;           /* for the job's cancel token; -1 for none */
	enum request_sent sent;
	int status;              /* sent, for the access log */
	bool failed;             /* the job failed behind a begun answer: the stream must not end as if it were whole */
	struct strmap reply_headers; /* added to the answer */
	struct buf body;         /* once request_body() has read it */
	bool body_known;
	bool judged;             /* authorization looked at it: what it compared exactly is meant exactly */
	struct held_reply *held; /* router.c's, while middlewares wait for the answer */
	struct strv scope;       /* labels, "key=value", of all that this request may see, touch and make; none: everything */
};

const char *request_var(const struct request *rq, const char *name);        /* never NULL for a name of the route */
const char *request_query(const struct request *rq, const char *name);      /* NULL when absent */
bool request_query_bool(const struct request *rq, const char *name, bool absent);
/* Absent: leaves *ret. ERR_INVALID on something that is no integer. */
int request_query_int(const struct request *rq, const char *name, int64_t *ret, struct err *err);
/* Every value of a repeated key. */
void request_query_list(const struct request *rq, const char *name, struct strv *ret);
const char *request_header(const struct request *rq, const char *name);     /* NULL when absent */

#define REQUEST_BODY_MAX (8u << 20)
/* The whole body, capped at 8 MiB (ERR_TOO_LARGE). May be called again: middlewares and handlers see the same bytes. */
int request_body(struct request *rq, struct buf *ret, struct err *err);
/*
 * The body as JSON by table, members in any spelling of upper and lower case unless it was judged. Content-Type must be application/json (Docker's text otherwise); an empty body is an error
 * unless allow_empty, which leaves obj untouched.
 */
/* The rest of that for handlers that read by themselves: jdesc_any_case(), unless it was judged. */
void request_any_case(const struct request *rq, const struct jdesc *d, json_t *js);
int request_body_json(struct request *rq, const struct jdesc *d, void *obj, bool allow_empty, struct err *err);

int reply_json(struct request *rq, int status, const struct buf *json);
int reply_empty(struct request *rq, int status); /* 204, 304, or 200/201 without a body */
int reply_error(struct request *rq, const struct err *err); /* {"message":...} with the class's status */

/* One row of routes.tbl. */
struct route {
	const char *method, *pattern; /* "/containers/{id}/json"; "{name:.*}" takes slashes (one in a pattern) */
	const char *job;
	int min_minor;                /* least API minor, 0 for any */
	unsigned flags;
};
#define ROUTE_STREAM_BODY 1u  /* the body goes to the job while it arrives (no cap) */
#define ROUTE_UNVERSIONED 2u  /* only without a version prefix matters not; version checks are skipped (/_ping) */
#define ROUTE_HIJACK      4u  /* takes the connection over: runs at the first call, its JSON body read beforehand */

struct router;
struct router *router_new(struct engine *e, const struct route *routes, size_t len, int min_minor, struct err *err); /* unknown job: error */
void router_free(struct router *r);
/*
 * Sees the request before (status 0) its job, or its answer: after the job, of streams before they begin. An error refuses it. In order of
 * addition.
 */
typedef int middleware_fn(void *ctx, struct request *rq, struct err *err);
void router_add_middleware(struct router *r, middleware_fn *before, middleware_fn *after, void *ctx);
/* Readable once the engine shuts down. */
int router_stop_fd(const struct router *r);
/* Docker-Experimental of every answer. */
void router_set_experimental(struct router *r, bool on);
/* While "after" middlewares run: the answer that waits for them. False: a stream or a hijack that is about to begin; its type may be known. */
bool request_held_reply(const struct request *rq, int *ret_status, const char **ret_type, const void **ret_data, size_t *ret_size);
/* Percent-decodes; plus: '+' is a space. NULL on a broken escape or an encoded NUL. */
char *uri_decode(const char *s, size_t size, bool plus);
/* What http.c must know before the body: NULL when there is no such route (then router_handle answers 404). */
const struct route *router_match(struct router *r, const char *method, const char *uri_path);
/* Resolves, checks the version, runs middlewares and the job, answers errors. Always leaves an answer. */
void router_handle(struct router *r, struct request *rq);
/* What a peer owns. */
void peer_done(struct peer *p);
/* What the request owns beside what http.c gave it. */
void request_done(struct request *rq);

#endif
