/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients whose certificates were verified before (core/http/tls-known.c): by their bytes, for as long as they hold, and no longer. */
#include "base/cleanup.h"
#include "http/tls-known.h"
#include "tap.h"

#define NOW 1000
#define CERT(s) { (unsigned char *)(s), sizeof(s) - 1 }

static struct tls_known known;

static void add(const gnutls_datum_t *chain, unsigned len, time_t now, time_t until, const char *user)
{
	OWN_STRV struct strv certs = { 0 };

	strv_addf(&certs, "pem of %s", user);
	tls_known_add(&known, chain, len, now, until, user, &certs);
}

static const char *user_of(const gnutls_datum_t *chain, unsigned len, time_t now)
{
	const struct tls_client *c = tls_known_find(&known, chain, len, now);

	return c ? c->user : NULL;
}

static void test_bytes(void)
{
	gnutls_datum_t one[] = { CERT("leaf"), CERT("middle") }, other[] = { CERT("leaf"), CERT("middlf") };
	gnutls_datum_t moved[] = { CERT("leafm"), CERT("iddle") }, longer[] = { CERT("leaf"), CERT("middle"), CERT("more") };
	gnutls_datum_t joined[] = { CERT("leafmiddle") }, empty[] = { CERT("") };

	is_str(user_of(one, 2, NOW), NULL, "nobody is known at first");
	add(one, 2, NOW, NOW + 10, "alice");
	is_str(user_of(one, 2, NOW), "alice", "who was verified is known");
	is_str(tls_known_find(&known, one, 2, NOW)->certs.v[0], "pem of alice", "with the certificates");
	is_str(user_of(other, 2, NOW), NULL, "another byte is another client");
	is_str(user_of(one, 1, NOW), NULL, "so is a part of the chain");
	is_str(user_of(longer, 3, NOW), NULL, "and a longer one");
	is_str(user_of(moved, 2, NOW), NULL, "and one that only joins to the same bytes");
	is_str(user_of(joined, 1, NOW), NULL, "in whatever way");
	is_str(user_of(empty, 1, NOW), NULL, "an empty certificate is nobody's");
	is_str(user_of(one, 0, NOW), NULL, "no certificate is nobody's");
	add(one, 0, NOW, NOW + 10, "nobody");
	is_str(user_of(one, 0, NOW), NULL, "and is never kept");
}

static void test_time(void)
{
	gnutls_datum_t one[] = { CERT("short") }, late[] = { CERT("late") };

	add(one, 1, NOW, NOW + 10, "bob");
	is_str(user_of(one, 1, NOW + 10), "bob", "known to the last second of the validity");
	is_str(user_of(one, 1, NOW + 11), NULL, "and not after it");
	is_str(user_of(one, 1, NOW - 1), NULL, "nor at a time before it was verified");
	add(late, 1, NOW, NOW - 1, "carol");
	is_str(user_of(late, 1, NOW), NULL, "what does not hold any more is not kept");
	add(late, 1, NOW, 0, "carol");
	is_str(user_of(late, 1, NOW), NULL, "nor what holds for a time that nobody knows");
}

static void test_room(void)
{
	static unsigned char big[KNOWN_SIZE_MAX];
	gnutls_datum_t fits[] = { { big, sizeof(big) - sizeof(unsigned) } }, over[] = { { big, sizeof(big) - sizeof(unsigned) + 1 } };
	gnutls_datum_t one[] = { CERT("first") };
	char names[KNOWN_MAX][8];
	size_t good = 0;

	add(over, 1, NOW, NOW + 10, "dave");
	is_str(user_of(over, 1, NOW), NULL, "a chain that is too long is not kept");
	add(fits, 1, NOW, NOW + 10, "dave");
	is_str(user_of(fits, 1, NOW), "dave", "the longest is");
	add(one, 1, NOW, NOW + 10, "first");
	for (unsigned i = 0; i < KNOWN_MAX; i++) {
		gnutls_datum_t next = { (unsigned char *)names[i], (unsigned)snprintf(names[i], sizeof(names[i]), "n%u", i) };

		is_str(user_of(one, 1, NOW), "first", "%u others have come", i);
		add(&next, 1, NOW, NOW + 10, names[i]);
	}
	is_str(user_of(one, 1, NOW), NULL, "the oldest makes room");
	for (unsigned i = 0; i < KNOWN_MAX; i++) {
		gnutls_datum_t next = { (unsigned char *)names[i], (unsigned)strlen(names[i]) };
		const char *user = user_of(&next, 1, NOW);

		good += user && strcmp(user, names[i]) == 0;
	}
	is_int(good, KNOWN_MAX, "the others stay");
}

int main(void)
{
	test_bytes();
	test_time();
	test_room();
	tls_known_done(&known);
	is_str(user_of(&(gnutls_datum_t)CERT("n0"), 1, NOW), NULL, "at the end nobody is known");
	return tap_done();
}
