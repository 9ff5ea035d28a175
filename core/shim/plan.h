/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plan of an exec that the shim carries out itself: what the runtime would make of the process's OCI object and of the container's own
 * configuration. The daemon writes it (container/join.c), the shim keeps it as bytes, the process that joins reads it (join.c). It is a
 * message's body (proto.h) with tags of its own. A reader declines a version that it does not know: the runtime does the exec then.
 */
#ifndef SHIM_PLAN_H
#define SHIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/proto.h"

/* A plan without a profile of AppArmor is of the first version, which any shim carries out. */
#define PLAN_VERSION 1
#define PLAN_VERSION_APPARMOR 2

enum plan_tag {
	PLAN_IS = 1,      /* int: PLAN_VERSION or later */
	PLAN_ARG,         /* string, repeated */
	PLAN_ENV,         /* string, repeated: NAME=VALUE, each name once */
	PLAN_CWD,         /* string, absolute */
	PLAN_UID, PLAN_GID,
	PLAN_GROUP,       /* int, repeated */
	PLAN_CAPS,        /* uint64_t[PLAN_CAP_SETS] */
	PLAN_RLIMIT,      /* struct plan_rlimit, repeated */
	PLAN_NO_NEW_PRIVS,
	PLAN_OOM_SCORE,
	PLAN_CGROUP,      /* string, repeated: folders of the container's control groups, one a hierarchy */
	PLAN_FILTER,      /* struct sock_filter[]; absent: none */
	PLAN_FILTER_FLAGS,
	PLAN_KEYRING,     /* string */
	PLAN_TTY, PLAN_ROWS, PLAN_COLS,
	PLAN_APPARMOR,    /* string: the profile of AppArmor; absent: none */
	PLAN_NO_CGROUP,   /* int: the container has no control groups; earlier shims leave such an exec to the runtime */
};

enum plan_cap_set { PLAN_BOUNDING, PLAN_EFFECTIVE, PLAN_PERMITTED, PLAN_INHERITABLE, PLAN_AMBIENT, PLAN_CAP_SETS };

struct plan_rlimit { uint64_t resource, soft, hard; };

#endif
