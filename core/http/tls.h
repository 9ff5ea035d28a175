/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS of listeners: what a server shows and whom it believes (tls.c), and the threads that stand between TLS clients and the
 * server (tls-relay.c, tls-shake.c, tls-carry.c). Only core/http/tls*.c includes the TLS library.
 */
#ifndef CORE_HTTP_TLS_H
#define CORE_HTTP_TLS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct tls_files {
	const char *ca;        /* with verify: who may have signed the certificates of clients */
	const char *cert, *key;
	bool verify;           /* clients need a certificate */
};

/* Immutable, counted; the thread of the handshakes keeps with them whom it has verified (tls-known.h). */
struct tls_creds;
/* Reads the files. What is wrong with them is named; a certificate that is over or not yet valid is warned about. */
struct tls_creds *tls_creds_load(const struct tls_files *files, struct err *err);
struct tls_creds *tls_creds_ref(struct tls_creds *c);
void tls_creds_unref(struct tls_creds *c);
DEFINE_CLEANUP(struct tls_creds, tls_creds_unref)

/* ---- between tls.c and the relay ---- */

struct gnutls_session_int;
/* What a handshake goes by and comes to; as long as its session. */
struct tls_verdict {
	struct tls_creds *creds;
	unsigned status;       /* what is wrong with the client's certificate */
};
/* The session of a connection that has just been accepted; NULL when there is no memory. v has the credentials, which must outlive it. */
struct gnutls_session_int *tls_session(struct tls_verdict *v, int fd);
/* After a handshake: the common name of the client's certificate ("" without one) and its chain as PEM. */
void tls_session_peer(struct gnutls_session_int *s, char **ret_user, struct strv *ret_certs);
/* After a handshake that failed: tells the client why, as far as the protocol has a word for it. What to log, owned. */
char *tls_session_refuse(struct gnutls_session_int *s, int code);

#endif
