/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capabilities of containers: names, Docker's default set, --cap-add and --cap-drop. */
#ifndef CONTAINER_CAPS_H
#define CONTAINER_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* "net_admin", "CAP_NET_ADMIN", ... -> its number, "ALL" -> CAPS_ALL, -1 unknown. */
#define CAPS_ALL 64
int caps_number(const char *name);
/* Names that are not capabilities: ERR_INVALID with Docker's text, option is "CapAdd" or "CapDrop". */
int caps_check(const char *option, const struct strv *names, struct err *err);
/* The set as a mask, within what this process may give away. */
uint64_t caps_resolve(const struct strv *add, const struct strv *drop, bool privileged);
const char *caps_name(int number); /* "CAP_CHOWN"; NULL past the last */

#endif
