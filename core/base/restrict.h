/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DKD_BASE_RESTRICT_H
#define DKD_BASE_RESTRICT_H

/*
 * What a helper gives up for good before it reads what strangers send: system calls (seccomp(2), filters) and capabilities.
 * For a process with one thread. Rules are asked in the order in which they were added; the first that fits decides.
 */

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_RULES_ROOM 200

struct call_rules {
	struct sock_filter v[CALL_RULES_ROOM];
	unsigned short len;
};

/* action: SECCOMP_RET_*. Calls of another architecture than this program's end the process. */
void call_rules_init(struct call_rules *r);
void call_rules_add(struct call_rules *r, const int *calls, size_t n, uint32_t action);
/* Allowed without any of the bits in that argument, of which the lower half counts; with one: otherwise. */
void call_rules_without(struct call_rules *r, int call, unsigned int arg, uint32_t bits, uint32_t otherwise);
/* Allowed where that argument's lower half is one of n values. */
void call_rules_with(struct call_rules *r, int call, unsigned int arg, const uint32_t *values, size_t n, uint32_t otherwise);
/* Puts them in force, other calls getting that action, and no new privileges. 0, or -1 with errno. */
int call_rules_enforce(struct call_rules *r, uint32_t otherwise);

/* Keeps these of the capabilities (bits by number, below 32), and in the bounding set those of `bounding`. 0, or -1 with errno. */
int caps_keep(uint32_t caps, uint32_t bounding);

#endif
