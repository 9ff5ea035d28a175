/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internet addresses with a port, of either family. */
#ifndef NETD_ADDRESS_H
#define NETD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};
#define ADDRESS_TEXT (INET6_ADDRSTRLEN + sizeof("[]:65535"))

/* "1.2.3.4", "::1", "fe80::1%3", "fe80::1%eth0" (of the namespace that we are in); anything else is refused. */
bool address_parse(const char *text, uint16_t port, struct address *ret);
socklen_t address_size(const struct address *a);
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);
bool address_same(const struct address *a, const struct address *b); /* with the port */
/* Of one family, and the same or one of them "any"; whatever the ports. */
bool address_overlaps(const struct address *a, const struct address *b);
/* "1.2.3.4:80", "[::1]:80". */
const char *address_text(const struct address *a, char ret[ADDRESS_TEXT]);

#endif
