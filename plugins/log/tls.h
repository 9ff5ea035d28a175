/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS 1.2 or 1.3 for a wire. */
#ifndef LOG_TLS_H
#define LOG_TLS_H

#include "wire.h"

/* NULL: none. The files are read for each connection. */
struct tls_options {
	const char *ca;   /* beside what the system trusts */
	const char *cert; /* with key */
	const char *key;
	bool skip_verify;
};

/* A wire's layer; its options are struct tls_options, or NULL. */
extern const struct wire_layer tls_layer;

#endif
