/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seccomp profiles of containers as the "seccomp" object of an OCI configuration. The built-in one allows what Docker's
 * default allows (seccomp.tbl); custom ones are Docker's profile format (archMap, includes, excludes) or plain OCI.
 */
#ifndef CONTAINER_SECCOMP_H
#define CONTAINER_SECCOMP_H

#include <stdint.h>

#include "base/err.h"
#include "base/jw.h"

/* What the conditions of a profile look at. */
struct seccomp_on {
	const char *arch;        /* "amd64", "arm64", "x86", ...; "" for one that profiles have no word for */
	unsigned kernel, major;  /* 6, 1 */
	uint64_t caps;           /* the container's (caps_resolve) */
};

/* On this machine. */
struct seccomp_on seccomp_here(uint64_t caps);
void seccomp_builtin(const struct seccomp_on *on, struct jw *w);
/* Writes nothing for an empty profile, which is none. */
int seccomp_custom(const struct seccomp_on *on, const char *profile, size_t size, struct jw *w, struct err *err);

#endif
