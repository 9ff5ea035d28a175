/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#define VERSIONS "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls {
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
};

static bool readable(const struct tls *t)
{
	struct pollfd p = { .fd = gnutls_transport_get_int(t->session), .events = POLLIN };

	return poll(&p, 1, 0) > 0 && !(p.revents & (POLLERR | POLLHUP));
}

static void tls_close(void *ctx)
{
	struct tls *t = ctx;
	char nothing[256];

	if (t->session) {
		/* what is unread when a socket is closed makes it a reset, which may overtake what was sent */
		for (int i = 0; i < 64 && readable(t); i++)
			gnutls_record_recv(t->session, nothing, sizeof(nothing));
		gnutls_bye(t->session, GNUTLS_SHUT_WR);
		gnutls_deinit(t->session);
	}
	if (t->credentials)
		gnutls_certificate_free_credentials(t->credentials);
	free(t);
}

static int fail(struct wire_hitch *h, const char *what, int code)
{
	snprintf(h->why, sizeof(h->why), "%s%s", what, code ? gnutls_strerror(code) : "");
	return -1;
}

/* In Docker's words. */
static int read_files(struct tls *t, const struct tls_options *o, struct wire_hitch *h)
{
	const char *missing = o->cert && access(o->cert, R_OK) == 0 ? o->key : o->cert;
	int r;

	if (o->ca && access(o->ca, R_OK) < 0) {
		snprintf(h->why, sizeof(h->why), "could not read CA certificate \"%.128s\": %s", o->ca, strerror(errno));
		return -1;
	}
	if (o->ca && gnutls_certificate_set_x509_trust_file(t->credentials, o->ca, GNUTLS_X509_FMT_PEM) <= 0)
		return fail(h, "failed to append certificates from PEM file: ", 0);
	if (!o->cert && !o->key)
		return 0;
	r = o->cert && o->key ? gnutls_certificate_set_x509_key_file(t->credentials, o->cert, o->key, GNUTLS_X509_FMT_PEM) : GNUTLS_E_FILE_ERROR;
	if (r >= 0)
		return 0;
	snprintf(h->why, sizeof(h->why), "could not load X509 key pair%s%.128s: %s", missing ? ": " : "", missing ? missing : "", gnutls_strerror(r));
	return -1;
}

static int set_up(struct tls *t, const struct tls_options *o, const char *host, int fd, struct wire_hitch *h)
{
	unsigned flags = GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;
	int r = gnutls_certificate_allocate_credentials(&t->credentials);

	if (r < 0)
		return fail(h, "", r);
	/* that the system trusts nobody shows when the server is asked */
	gnutls_certificate_set_x509_system_trust(t->credentials);
	if (read_files(t, o, h) < 0)
		return -1;
	if ((r = gnutls_init(&t->session, flags)) < 0 || (r = gnutls_priority_set_direct(t->session, VERSIONS, NULL)) < 0 ||
		(r = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->credentials)) < 0)
		return fail(h, "", r);
	/* an address is no name: that is refused here, and need not be told */
	gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, host, strlen(host));
	if (!o->skip_verify)
		gnutls_session_set_verify_cert(t->session, host, 0);
	gnutls_transport_set_int(t->session, fd);
	return 0;
}

static void *tls_open(const void *options, const char *host, int fd, struct wire_hitch *h)
{
	static const struct tls_options none;
	struct tls *t = calloc(1, sizeof(*t));

	*h = (struct wire_hitch){ 0 };
	if (t && set_up(t, options ? options : &none, host, fd, h) == 0)
		return t;
	if (t)
		tls_close(t);
	return NULL;
}

/* What a call of the library came to. */
static ssize_t outcome(struct tls *t, ssize_t r, struct wire_hitch *h)
{
	*h = (struct wire_hitch){ 0 };
	if (r >= 0)
		return r;
	if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_REHANDSHAKE || (r == GNUTLS_E_WARNING_ALERT_RECEIVED))
		h->wait = gnutls_record_get_direction(t->session) ? POLLOUT : POLLIN;
	else
		fail(h, "", (int)r);
	return -1;
}

static ssize_t tls_begin(void *ctx, struct wire_hitch *h)
{
	struct tls *t = ctx;
	int r = gnutls_handshake(t->session);
	gnutls_datum_t why = { 0 };

	if (r == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
		gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(t->session), GNUTLS_CRT_X509, &why, 0) == 0) {
		*h = (struct wire_hitch){ 0 };
		snprintf(h->why, sizeof(h->why), "%s", (const char *)why.data);
		gnutls_free(why.data);
		return -1;
	}
	return outcome(t, r, h);
}

static ssize_t tls_send(void *ctx, const void *data, size_t size, struct wire_hitch *h)
{
	struct tls *t = ctx;

	return outcome(t, gnutls_record_send(t->session, data, size), h);
}

static ssize_t tls_receive(void *ctx, void *data, size_t size, struct wire_hitch *h)
{
	struct tls *t = ctx;

	return outcome(t, gnutls_record_recv(t->session, data, size), h);
}

const struct wire_layer tls_layer = { tls_open, tls_close, tls_begin, tls_send, tls_receive };
