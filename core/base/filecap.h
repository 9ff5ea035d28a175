/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The attribute that gives a program capabilities. Its revision 3 says for which namespace's root it holds, the host's id of
 * that; archives carry revision 2, as such an id means nothing elsewhere.
 */
#ifndef BASE_FILECAP_H
#define BASE_FILECAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILECAP_XATTR "security.capability"

/* Revision 3, little endian. */
struct filecap { uint32_t magic, sets[4], root; };

/* From revision 2 for the root of a namespace. False: it is another, or root is the host's; the value stays as it is. */
bool filecap_own(const void *value, size_t size, uint32_t root, struct filecap *ret);
/* Back to revision 2, in place; the size from now on. */
size_t filecap_plain(void *value, size_t size);

#endif
