/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MAC addresses of endpoints, the same for all drivers that give them. */
#ifndef NET_MAC_H
#define NET_MAC_H

#define MAC_TEXT 18

/* "02:42:ac:11:00:02"; -1 for NULL, anything else, and a group's address, which is nobody's own. */
int mac_parse(const char *text, unsigned char ret[6]);
/*
 * 02:42 and the IPv4 address (its prefix length may follow): an address that is used again has the same MAC, whatever neighbours remember. Random
 * where there is none. -1: no random numbers.
 */
int mac_make(const char *ipv4, char ret[MAC_TEXT]);

#endif
