/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates of clients that an authority has vouched for: what was verified is known by its bytes, and not verified again while
 * every certificate that it rests on is valid. That a client has the key is no part of it: each handshake proves that anew.
 * Not locked: the thread of the handshakes has it.
 */
#ifndef CORE_HTTP_TLS_KNOWN_H
#define CORE_HTTP_TLS_KNOWN_H

#include <gnutls/gnutls.h>
#include <time.h>

#include "base/buf.h"
#include "base/str.h"

#define KNOWN_MAX 16              /* the oldest makes room */
#define KNOWN_SIZE_MAX 8192u      /* of a chain that is worth it */

struct tls_client {
	struct buf chain;             /* its certificates: sizes and bytes */
	time_t from, until;           /* when it was verified, and the last second of its validity */
	char *user;
	struct strv certs;            /* PEM */
};

struct tls_known {
	struct tls_client v[KNOWN_MAX];
	size_t turn;                  /* the next to be overwritten */
};

/* Who sends these certificates, if that is known and holds at now; else NULL. */
const struct tls_client *tls_known_find(const struct tls_known *k, const gnutls_datum_t *chain, unsigned len, time_t now);
/* They were verified at now, and hold until then. */
void tls_known_add(struct tls_known *k, const gnutls_datum_t *chain, unsigned len, time_t now, time_t until, const char *user,
	const struct strv *certs);
void tls_known_done(struct tls_known *k);

#endif
