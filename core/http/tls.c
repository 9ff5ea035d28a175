/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "http/tls-known.h"

#define FILE_MAX (1u << 20)
#define CHAIN_MAX 8       /* certificates between a client's and an authority */
#define BITS_MAX 8192     /* of a key in such a chain: checking a larger one takes long */
#define WARN_DAYS 7

/* TLS 1.2 and 1.3, keys that are gone with the connection, ciphers with authentication; nothing is compressed or resumed. */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:" \
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:" \
	"-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:%SERVER_PRECEDENCE"

struct tls_creds {
	int refs; /* atomic */
	bool verify;
	time_t ca_until;          /* when the first of the authorities ends */
	struct tls_known known;   /* of the handshakes' thread */
	gnutls_certificate_credentials_t x509;
	gnutls_priority_t priorities;
};

static int verify_client(gnutls_session_t s);

/* A key that others may read is no secret: hosts that Docker served so far have such ones, and are told. One that others may write is no key. */
static int check_key_file(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, errno, "could not read TLS key \"%s\"", path);
	if (st.st_mode & (S_IWOTH | S_IWGRP))
		return err_set(err, ERR_INVALID, "TLS key \"%s\" has mode %04o: others may change it (chmod 0600)", path, (unsigned)st.st_mode & 07777);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		log_warn("TLS key \"%s\" belongs to user %u, who may read and change it: it should be root's", path, (unsigned)st.st_uid);
	if (st.st_mode & S_IRWXO)
		log_warn("TLS key \"%s\" has mode %04o: others may read it, and be taken for this daemon (chmod 0600)", path, (unsigned)st.st_mode & 07777);
	return 0;
}

static int read_file(const char *what, const char *path, struct buf *ret, struct err *err)
{
	if (fs_read(AT_FDCWD, path, FILE_MAX, ret, err) < 0)
		return err_wrap(err, "could not read TLS %s \"%s\"", what, path);
	return 0;
}

static gnutls_datum_t datum(const struct buf *b)
{
	return (gnutls_datum_t){ (unsigned char *)b->data, (unsigned)b->size };
}

/* Clients would refuse it: that is theirs to say, but the reason is here. */
static void warn_of_dates(const char *path, const gnutls_datum_t *pem)
{
	time_t now = time(NULL), from, to;
	gnutls_x509_crt_t crt;

	if (gnutls_x509_crt_init(&crt) < 0)
		return;
	if (gnutls_x509_crt_import(crt, pem, GNUTLS_X509_FMT_PEM) == 0) {
		from = gnutls_x509_crt_get_activation_time(crt);
		to = gnutls_x509_crt_get_expiration_time(crt);
		if (now > to)
			log_warn("the TLS certificate %s has expired: clients will refuse it", path);
		else if (now < from)
			log_warn("the TLS certificate %s is not valid yet: clients will refuse it", path);
		else if (to - now < WARN_DAYS * 86400)
			log_warn("the TLS certificate %s expires in less than %d days", path, WARN_DAYS);
	}
	gnutls_x509_crt_deinit(crt);
}

static int load_pair(struct tls_creds *c, const struct tls_files *f, struct err *err)
{
	OWN_BUF struct buf cert = { 0 }, key = { 0 };
	gnutls_datum_t cert_pem, key_pem;
	int r;

	if (read_file("certificate", f->cert, &cert, err) < 0 || check_key_file(f->key, err) < 0 ||
		read_file("key", f->key, &key, err) < 0)
		return -1;
	cert_pem = datum(&cert);
	key_pem = datum(&key);
	r = gnutls_certificate_set_x509_key_mem2(c->x509, &cert_pem, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (key.data)
		explicit_bzero(key.data, key.size);
	if (r < 0)
		return err_set(err, ERR_INVALID, "could not load X509 key pair (cert: \"%s\", key: \"%s\"): %s", f->cert, f->key,
			r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH ? "the key is not that of the certificate" :
			r == GNUTLS_E_DECRYPTION_FAILED ? "the key is encrypted" : gnutls_strerror(r));
	warn_of_dates(f->cert, &cert_pem);
	return 0;
}

/* When the first of these ends that has not ended; 0: that cannot be told. */
static time_t first_end(const gnutls_datum_t *v, unsigned len, gnutls_x509_crt_fmt_t format)
{
	time_t ret = 0, now = time(NULL), to;

	for (unsigned i = 0; i < len; i++) {
		gnutls_x509_crt_t *crts = NULL;
		unsigned n = 0;

		if (gnutls_x509_crt_list_import2(&crts, &n, &v[i], format, 0) < 0)
			return 0;
		for (unsigned j = 0; j < n; j++) {
			to = gnutls_x509_crt_get_expiration_time(crts[j]);
			if (to >= now && (!ret || to < ret))
				ret = to;
			gnutls_x509_crt_deinit(crts[j]);
		}
		gnutls_free(crts);
	}
	return ret;
}

static int load_ca(struct tls_creds *c, const struct tls_files *f, struct err *err)
{
	OWN_BUF struct buf ca = { 0 };
	gnutls_datum_t pem;
	int n;

	if (read_file("CA certificate", f->ca, &ca, err) < 0)
		return -1;
	pem = datum(&ca);
	n = gnutls_certificate_set_x509_trust_mem(c->x509, &pem, GNUTLS_X509_FMT_PEM);
	if (n <= 0)
		return err_set(err, ERR_INVALID, "no certificate is in the TLS CA file \"%s\"%s%s", f->ca, n < 0 ? ": " : "",
			n < 0 ? gnutls_strerror(n) : "");
	c->ca_until = first_end(&pem, 1, GNUTLS_X509_FMT_PEM);
	gnutls_certificate_set_verify_limits(c->x509, BITS_MAX, CHAIN_MAX);
	gnutls_certificate_set_verify_function(c->x509, verify_client);
	return 0;
}

struct tls_creds *tls_creds_load(const struct tls_files *files, struct err *err)
{
	CLEANUP(tls_creds_unrefp) struct tls_creds *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->verify = files->verify;
	if (gnutls_certificate_allocate_credentials(&c->x509) < 0 || gnutls_priority_init(&c->priorities, PRIORITIES, NULL) < 0) {
		err_set(err, ERR_INTERNAL, "the TLS library cannot be used");
		return NULL;
	}
	if (load_pair(c, files, err) < 0 || (files->verify && load_ca(c, files, err) < 0))
		return NULL;
	return STEAL(c);
}

struct tls_creds *tls_creds_ref(struct tls_creds *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void tls_creds_unref(struct tls_creds *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (c->x509)
		gnutls_certificate_free_credentials(c->x509);
	if (c->priorities)
		gnutls_priority_deinit(c->priorities);
	tls_known_done(&c->known);
	free(c);
}

gnutls_session_t tls_session(struct tls_verdict *v, int fd)
{
	struct tls_creds *c = v->creds;
	gnutls_datum_t protocol = { (unsigned char *)"http/1.1", 8 };
	gnutls_session_t s = NULL;

	if (gnutls_init(&s, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS) < 0)
		return NULL;
	if (gnutls_priority_set(s, c->priorities) < 0 || gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, c->x509) < 0 ||
		gnutls_alpn_set_protocols(s, &protocol, 1, GNUTLS_ALPN_MANDATORY) < 0) {
		gnutls_deinit(s);
		return NULL;
	}
	gnutls_session_set_ptr(s, v);
	gnutls_certificate_server_set_request(s, c->verify ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
	/* The relay has its own clock. */
	gnutls_handshake_set_timeout(s, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_transport_set_int(s, fd);
	return s;
}

/* The status is kept for the alert. */
static int verify_client(gnutls_session_t s)
{
	gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };
	struct tls_verdict *v = gnutls_session_get_ptr(s);
	unsigned len = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(s, &len);
	int r;

	if (chain && tls_known_find(&v->creds->known, chain, len, time(NULL)))
		return 0;
	r = gnutls_certificate_verify_peers(s, &purpose, 1, &v->status);
	if (r < 0)
		return r;
	return v->status ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

/* One value of a name, DER: the text of a UTF8, printable or IA5 string. NULL: something else, or a NUL is in it. */
static char *der_text(const unsigned char *der, size_t size)
{
	size_t head = 2;

	if (size < 2 || (der[0] != 0x0c && der[0] != 0x13 && der[0] != 0x16) || der[1] > 0x82)
		return NULL;
	if (der[1] > 0x80)
		head += der[1] & 3u;
	if (size < head || memchr(der + head, 0, size - head) || !str_is_utf8((const char *)der + head, size - head))
		return NULL;
	return xstrndup((const char *)der + head, size - head);
}

/* Of several the last, which is what Docker's plugins are told. */
static char *common_name(const gnutls_datum_t *der)
{
	gnutls_x509_crt_t crt;
	char *ret = NULL;

	if (gnutls_x509_crt_init(&crt) < 0)
		return xstrdup("");
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0) {
		for (unsigned i = 0;; i++) {
			unsigned char value[1024];
			size_t size = sizeof(value);

			if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, i, 1, value, &size) < 0)
				break;
			free(ret);
			ret = der_text(value, size);
		}
	}
	gnutls_x509_crt_deinit(crt);
	return ret ? ret : xstrdup("");
}

void tls_session_peer(gnutls_session_t s, char **ret_user, struct strv *ret_certs)
{
	struct tls_creds *c = ((struct tls_verdict *)gnutls_session_get_ptr(s))->creds;
	unsigned len = 0;
	const gnutls_datum_t *der = gnutls_certificate_get_peers(s, &len);
	time_t now = time(NULL), until;
	const struct tls_client *known = der ? tls_known_find(&c->known, der, len, now) : NULL;

	if (known) {
		*ret_user = xstrdup(known->user);
		strv_copy(ret_certs, &known->certs);
		return;
	}
	*ret_user = der && len ? common_name(&der[0]) : xstrdup("");
	for (unsigned i = 0; der && i < len; i++) {
		gnutls_datum_t pem;

		if (gnutls_pem_base64_encode2("CERTIFICATE", &der[i], &pem) < 0)
			continue;
		strv_take(ret_certs, xstrndup((const char *)pem.data, pem.size));
		gnutls_free(pem.data);
	}
	if (!der || !c->verify)
		return;
	until = first_end(der, len, GNUTLS_X509_FMT_DER);
	tls_known_add(&c->known, der, len, now, until < c->ca_until ? until : c->ca_until, *ret_user, ret_certs);
}

char *tls_session_refuse(gnutls_session_t s, int code)
{
	unsigned status = ((struct tls_verdict *)gnutls_session_get_ptr(s))->status;
	gnutls_datum_t text = { 0 };
	char *ret;

	if (code != GNUTLS_E_CERTIFICATE_ERROR || !status) {
		gnutls_alert_send_appropriate(s, code);
		return xstrdup(gnutls_strerror(code));
	}
	gnutls_alert_send(s, GNUTLS_AL_FATAL, status & GNUTLS_CERT_EXPIRED ? GNUTLS_A_CERTIFICATE_EXPIRED :
		status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA) ? GNUTLS_A_UNKNOWN_CA : GNUTLS_A_BAD_CERTIFICATE);
	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0)
		return xstrdup("the client's certificate is not valid");
	while (text.size && text.data[text.size - 1] == ' ')
		text.size--;
	ret = xstrndup((const char *)text.data, text.size);
	gnutls_free(text.data);
	return ret;
}
