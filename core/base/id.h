/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and ids: the one validator of what may become a path. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_HEX 64 /* hex digits of a container, image, layer or volume id */

/* Fills ret with n random lower-case hex digits and a NUL. */
void id_random_hex(char *ret, size_t n);
/* A new container id: 64 hex digits whose first 12 are not all decimal. */
void id_new(char ret[ID_HEX + 1]);
/* Exactly 64 lower-case hex digits. */
bool id_is_hex64(const char *s);
/* Lower-case hex digits only, 1 to 64 of them. */
bool id_is_hex_prefix(const char *s);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at least min_len characters, at most 255: container, volume, plugin, checkpoint names. */
bool id_is_name(const char *s, size_t min_len);
/* "sha256:" + 64 hex; returns the hex part or NULL. */
const char *id_digest_hex(const char *digest);
/* A random RFC 4122 version 4 UUID, 36 characters. */
void id_uuid(char ret[37]);
/* An adjective_surname container name, as Docker's generator makes them; retry > 0 appends a digit. */
char *id_fancy_name(int retry);

/* "xx:xx:xx:xx:xx:xx", not a group's. */
bool id_is_mac(const char *s);

#endif
