/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mac.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int mac_parse(const char *text, unsigned char ret[6])
{
	unsigned v[6];
	int end = -1;

	if (!text || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || end < 0 || text[end] || v[0] & 1)
		return -1;
	for (int i = 0; i < 6; i++)
		ret[i] = (unsigned char)v[i];
	return 0;
}

int mac_make(const char *ipv4, char ret[MAC_TEXT])
{
	char plain[INET_ADDRSTRLEN] = "";
	unsigned char m[4];

	if (ipv4)
		snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(ipv4, "/"), ipv4);
	if (inet_pton(AF_INET, plain, m) != 1 && getrandom(m, sizeof(m), 0) != sizeof(m))
		return -1;
	snprintf(ret, MAC_TEXT, "02:42:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3]);
	return 0;
}
