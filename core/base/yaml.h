/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* YAML in: one document becomes JSON, for those files that other tools write in this form. */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <jansson.h>

#include "base/err.h"

/*
 * The document as a JSON value, or NULL with ERR_INVALID and the line. Plain scalars are what YAML 1.1 says of null, true and false,
 * whole and broken numbers (octal 0640 and 0o640, hexadecimal 0x1f), else text; below one of the keys in texts (NULL at its end)
 * they are text whatever they look like. Refused: aliases, which make small files large; a key given twice; keys that are no scalar; more
 * than one document; more than 64 levels.
 */
json_t *yaml_read(const char *text, size_t size, const char *const texts[], struct err *err);

#endif
