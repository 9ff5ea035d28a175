/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/tls-known.h"

#include "base/cleanup.h"

static void client_done(struct tls_client *c)
{
	buf_done(&c->chain);
	free(c->user);
	strv_done(&c->certs);
	*c = (struct tls_client){ 0 };
}

/* The bytes of a chain, to the last: sizes keep two chains apart that only join to the same bytes. */
static bool is_chain(const struct buf *b, const gnutls_datum_t *chain, unsigned len)
{
	size_t at = 0;

	for (unsigned i = 0; i < len; i++) {
		if (b->size - at < sizeof(chain[i].size) || memcmp(b->data + at, &chain[i].size, sizeof(chain[i].size)) != 0)
			return false;
		at += sizeof(chain[i].size);
		if (b->size - at < chain[i].size || memcmp(b->data + at, chain[i].data, chain[i].size) != 0)
			return false;
		at += chain[i].size;
	}
	return at == b->size;
}

const struct tls_client *tls_known_find(const struct tls_known *k, const gnutls_datum_t *chain, unsigned len, time_t now)
{
	for (size_t i = 0; len && i < KNOWN_MAX; i++) {
		const struct tls_client *c = &k->v[i];

		/* A clock that was set back may stand before the validity of what was verified. */
		if (c->user && now >= c->from && now <= c->until && is_chain(&c->chain, chain, len))
			return c;
	}
	return NULL;
}

void tls_known_add(struct tls_known *k, const gnutls_datum_t *chain, unsigned len, time_t now, time_t until, const char *user,
	const struct strv *certs)
{
	struct tls_client *c = &k->v[k->turn];
	size_t size = 0;

	for (unsigned i = 0; i < len; i++)
		size += sizeof(chain[i].size) + chain[i].size;
	if (!len || size > KNOWN_SIZE_MAX || until < now)
		return;
	k->turn = (k->turn + 1) % KNOWN_MAX;
	client_done(c);
	for (unsigned i = 0; i < len; i++) {
		buf_add(&c->chain, &chain[i].size, sizeof(chain[i].size));
		buf_add(&c->chain, chain[i].data, chain[i].size);
	}
	c->from = now;
	c->until = until;
	c->user = xstrdup(user);
	strv_copy(&c->certs, certs);
}

void tls_known_done(struct tls_known *k)
{
	for (size_t i = 0; i < KNOWN_MAX; i++)
		client_done(&k->v[i]);
}
