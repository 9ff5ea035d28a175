/* SPDX-License-Identifier: MIT */
/*
 * Authorization drivers: allow or deny a request before it runs, and its answer before it is sent.
 *
 * Changes
 *   1.0  first version.
 *
 * A driver sees the very bytes that the daemon acts on. A body too large to show, or a stream, is marked; the daemon
 * never passes a request as if it had no body.
 */
#ifndef DOCKERD_AUTHZ_H
#define DOCKERD_AUTHZ_H

#include <dockerd/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_AUTHZ_MAJOR UINT32_C(1)
#define DKD_AUTHZ_MINOR UINT32_C(0)

/* The driver's own. */
struct dkd_authz;

struct dkd_authz_open {
	uint32_t size;
	uint32_t flags;       /* none yet */
	const char *instance; /* of a provider */
	/* Of the driver "policy": names that listeners carry (?policy=NAME). It knows them all, or does not open. */
	const char *const *policies;
	uint32_t policies_len;
	uint32_t reserved;    /* 0 */
};

#define DKD_AUTHZ_BODY_STREAM UINT32_C(1) /* the body is a stream (an upload): not shown */
#define DKD_AUTHZ_PEER        UINT32_C(2) /* peer_* are set: the client came through a Unix socket */

struct dkd_authz_request {
	uint32_t size;
	uint32_t flags;                 /* DKD_AUTHZ_* */
	const char *user;               /* TLS subject; "" */
	const char *user_auth;          /* "TLS" or "" */
	const char *method;
	const char *uri;                /* as received */
	const char *path;               /* without version and query, percent-decoded where that is unambiguous */
	const struct dkd_pair *headers; /* without Authorization and X-Registry-* */
	const void *body;               /* NULL: there is none, or see flags */
	uint64_t body_size;
	uint32_t headers_len;
	uint32_t certs_len;
	const char *const *certs;       /* the peer's chain, PEM */
	uint32_t peer_uid;
	uint32_t peer_gid;
	int32_t peer_pid;
	uint32_t api_minor;             /* 1.N */
	const char *listener;           /* the "host" it came in through, "unix:///run/docker.sock" */
	const char *policy;             /* that listener's ?policy=, "" without one */
};

struct dkd_authz_response {
	uint32_t size;
	uint32_t flags;                 /* DKD_AUTHZ_BODY_STREAM */
	int32_t status;
	uint32_t headers_len;
	const struct dkd_pair *headers;
	const void *body;               /* NULL: none, a stream, or sent already */
	uint64_t body_size;
};

/* Answers. */
#define DKD_AUTHZ_ALLOW 0
#define DKD_AUTHZ_DENY  1 /* the reason, for the client, was emitted */

struct dkd_authz_ops {
	/* Optional. root is NULL. DKD_PROBE_* */
	int32_t (*probe)(const struct dkd_call *call, const struct dkd_host *host, const char *root);
	int32_t (*open)(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_authz_open *open, struct dkd_authz **ret);
	/* Optional. */
	void (*close)(struct dkd_authz *a);

	/* DKD_AUTHZ_*; -1 refuses as well. */
	int32_t (*request)(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, dkd_emit *reason, void *to);

	/* All below are optional. */
	int32_t (*response)(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq,
		const struct dkd_authz_response *rs, dkd_emit *reason, void *to);
	/* The configuration may have changed: read the options of the host table again. On failure the old rules stay. */
	int32_t (*reload)(const struct dkd_call *call, struct dkd_authz *a);
	/*
	 * After request() has allowed it: emits each label, "key=value", that what this request sees and touches must have, and that
	 * what it makes is given. None emitted: everything. 0, or -1, which refuses.
	 */
	int32_t (*scope)(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, dkd_emit *label, void *to);
};

#ifdef __cplusplus
}
#endif

#endif
