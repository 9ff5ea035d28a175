/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One dockerd-fetch at work, from the daemon's side (wire.h). Belongs to one thread. What it says is not believed further than what is checked here. */
#ifndef REGISTRY_SESSION_H
#define REGISTRY_SESSION_H

#include <jansson.h>

#include "registry/registry.h"

struct session {
	int task, fd;              /* -1: none; fd is readable when it has said something, or has ended */
	uint32_t last;             /* id of the last request */
	const struct cancel *cancel;
};
#define SESSION_INIT { -1, -1, 0, NULL }

enum session_kind { SESSION_AT, SESSION_RETRY, SESSION_DONE, SESSION_FAILED };
struct session_reply {
	uint32_t id;
	enum session_kind kind;
	int64_t n;                 /* bytes, seconds, size */
	int64_t total;             /* with bytes, of a download: 0 when it is not known */
	int64_t next;              /* a mirror answered: the number of the site after it; else 0 */
	bool yes;
	int status;                /* of HTTP, of a failure, or 0 */
	char *text, *code, *type, *token; /* of a failure the text; NULL for none */
};
void session_reply_done(struct session_reply *r);
#define OWN_REPLY CLEANUP(session_reply_done)

/* domain: "docker.io", "localhost:5000"; NULL: no registry, for downloads. */
int session_open(struct session *s, struct spawner *sp, int program, const struct registry_config *cfg, const char *domain, const struct registry_auth *auth,
	const struct cancel *c, struct err *err);
/* class: of the repositories that are asked for, "plugin"; NULL: images. */
int session_open_class(struct session *s, struct spawner *sp, int program, const struct registry_config *cfg, const char *domain, const char *class,
	const struct registry_auth *auth, const struct cancel *c, struct err *err);
/* Kills it if it lives, and waits for its end: it writes nowhere any more. */
void session_close(struct session *s);
/* Takes rq, whose id it sets. fd (or -1) stays the caller's. The id, or 0 with err. */
uint32_t session_ask(struct session *s, json_t *rq, int fd, struct err *err);
/* What came: 1, 0 after timeout_ms, -1: it ended, or the client left. */
int session_next(struct session *s, int timeout_ms, struct session_reply *ret, struct err *err);
/* One request and its answer alone. body NULL: it has none. Failures are in ret: 1. */
int session_get(struct session *s, json_t *rq, size_t max, struct buf *body, struct session_reply *ret, struct err *err);

/* The sites of a domain as the wire has them, with the certificates that are for them; descriptors in fds are the caller's to close. */
json_t *sites_of(const struct registry_config *cfg, const char *domain, int *fds, size_t max, size_t *ret_nfds, struct err *err);
/* The networks of insecure registries, the loopback's always. */
json_t *sites_cidrs(const struct registry_config *cfg);

#endif
