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

/* caps: the container's capabilities (caps_resolve). */
void seccomp_builtin(uint64_t caps, struct jw *w);
int seccomp_custom(const char *profile, size_t size, uint64_t caps, struct jw *w, struct err *err);

#endif
