/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Execs that the shim does without the runtime (shim/join.h): the daemon's part. From what the runtime wrote down of a container, and the
 * process's OCI object, comes a plan; where anything in them is not known to mean the same both ways, there is none, and the runtime
 * does the exec.
 */
#ifndef CONTAINER_JOIN_H
#define CONTAINER_JOIN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json-exact.h"
#include "base/spawner.h"
#include "base/str.h"

/* A compiled seccomp profile, shared by all containers that have it. */
struct filter {
	char key[72];
	size_t refs;     /* under filter.c's lock */
	struct buf code; /* struct sock_filter[] */
	struct filter *next;
};
/* profile: the "seccomp" object of a configuration. From memory, dir (a folder of the exec-root), or compiled by program. */
struct filter *filter_get(struct spawner *sp, const char *program, const char *dir, const json_t *profile, struct err *err);
void filter_put(struct filter *f);

/* What all execs of one run of a container have in common. Fixed once made. */
struct join_base {
	char *why_not;        /* NULL: there are plans */
	char *apparmor;       /* or NULL */
	struct strv cgroups;
	bool no_cgroup, has_oom_score, has_rlimits;
	int64_t oom_score;
	struct filter *filter; /* or NULL */
	unsigned filter_flags;
};
struct join_source {
	const char *id;
	const char *state;    /* runc's state.json of it */
	const char *config;   /* its bundle's config.json */
	struct spawner *spawner;
	const char *program, *filters; /* of filter_get() */
	bool no_cgroup;       /* containers have no control groups */
};
/* Never NULL. Reads files, may wait for the compiler. */
struct join_base *join_base_new(const struct join_source *src);
void join_base_free(struct join_base *b);

/* process: the OCI object's text. -1 with the reason: by the runtime. */
int join_plan(const struct join_base *b, const char *id, const char *process, struct buf *ret, struct err *err);

#endif
