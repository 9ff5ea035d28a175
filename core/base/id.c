/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/id.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/str.h"

static void random_bytes(void *p, size_t size)
{
	char *at = p;

	while (size) {
		ssize_t n = getrandom(at, size, 0);

		BUG_ON(n <= 0);
		at += n;
		size -= (size_t)n;
	}
}

void id_random_hex(char *ret, size_t n)
{
	unsigned char raw[64];

	BUG_ON(n > 2 * sizeof(raw));
	random_bytes(raw, (n + 1) / 2);
	for (size_t i = 0; i < n; i++)
		ret[i] = "0123456789abcdef"[raw[i / 2] >> (i % 2 ? 0 : 4) & 15];
	ret[n] = '\0';
}

void id_new(char ret[ID_HEX + 1])
{
	do
		id_random_hex(ret, ID_HEX);
	while (strspn(ret, "0123456789") >= 12);
}

bool id_is_hex_prefix(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return n > 0 && n <= ID_HEX && s[n] == '\0';
}

bool id_is_hex64(const char *s)
{
	return id_is_hex_prefix(s) && strlen(s) == ID_HEX;
}

bool id_is_name(const char *s, size_t min_len)
{
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strspn(s, rest);

	return n >= min_len && n > 0 && n <= 255 && s[n] == '\0' && !strchr("_.-", *s);
}

const char *id_digest_hex(const char *digest)
{
	return str_has_prefix(digest, "sha256:") && id_is_hex64(digest + 7) ? digest + 7 : NULL;
}

void id_uuid(char ret[37])
{
	unsigned char b[16];

	random_bytes(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
		b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

char *id_fancy_name(int retry)
{
	static const char *const left[] = {
		"able", "brave", "bright", "calm", "clever", "cool", "eager", "fair", "fast", "fine", "fond", "free", "gentle", "glad",
		"happy", "honest", "jolly", "keen", "kind", "lively", "lucky", "merry", "mild", "modest", "neat", "nice", "noble",
		"patient", "polite", "proud", "quick", "quiet", "rapid", "ready", "sharp", "silent", "simple", "sleepy", "smart",
		"steady", "strong", "sunny", "swift", "tender", "tidy", "true", "vivid", "warm", "wise", "witty",
	};
	static const char *const right[] = {
		"abel", "ampere", "babbage", "banach", "bell", "bohr", "boole", "borg", "boyd", "brooks", "cantor", "carson", "cerf",
		"church", "cori", "curie", "dijkstra", "dirac", "elion", "erdos", "euclid", "euler", "faraday", "fermat", "fermi",
		"feynman", "franklin", "galileo", "galois", "gauss", "germain", "goedel", "hamilton", "hawking", "hopper", "hypatia",
		"johnson", "kepler", "knuth", "kowalevski", "lamarr", "lamport", "laplace", "leibniz", "liskov", "lovelace", "maxwell",
		"mccarthy", "meitner", "mendel", "mirzakhani", "moore", "neumann", "newton", "noether", "nobel", "pascal", "pasteur",
		"perlman", "planck", "poincare", "ramanujan", "ritchie", "sammet", "shannon", "stallman", "tesla", "thompson", "torvalds",
		"turing", "volta", "wiles", "wilson", "wozniak", "wright", "yalow",
	};
	uint32_t r[3];

	random_bytes(r, sizeof(r));
	if (retry > 0)
		return xasprintf("%s_%s%u", left[r[0] % ARRAY_LEN(left)], right[r[1] % ARRAY_LEN(right)], r[2] % 10);
	return xasprintf("%s_%s", left[r[0] % ARRAY_LEN(left)], right[r[1] % ARRAY_LEN(right)]);
}

bool id_is_mac(const char *s)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	for (int i = 0; i < 6; i++)
		if (!s[3 * i] || !strchr(hex, s[3 * i]) || !s[3 * i + 1] || !strchr(hex, s[3 * i + 1]) || s[3 * i + 2] != (i < 5 ? ':' : '\0'))
			return false;
	return !strchr("13579bdfBDF", s[1]);
}
