/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as Docker reads and prints them. */
#ifndef GRAPH_SIZE_H
#define GRAPH_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "10G", "1.5 gib", "4096": false when it is none. */
bool size_parse(const char *text, uint64_t *ret);
/* Four digits and a decimal unit: "10.74GB". Returns ret. */
#define SIZE_TEXT 32
const char *size_human(uint64_t bytes, char ret[SIZE_TEXT]);

#endif
