/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the conformance suites of all kinds share: TAP, and processes to run a driver in. A suite knows nothing of a driver but its
 * ABI. Each case runs in a process of its own, which loads the driver anew, as a daemon does that was started again; a case that is
 * "apart" has no driver in its own process and starts others, which it may kill.
 */
#ifndef T_CONFORMANCE_CHECK_H
#define T_CONFORMANCE_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "driver.h"

struct check {
	const struct driver *driver; /* NULL in a case that is apart */
	const char *file, *root;     /* root: an empty folder before the first case, the same for all of them */
	const struct strv *options;  /* "key=value", for the driver's open, or for what it makes: the suite says which */
	const struct strmap *config; /* "kind.name.key": the sections of drivers */
	const char *instance;        /* of a provider */
	uint64_t size;               /* --size, of what has one; 0: the suite's own choice */
	unsigned number;             /* of the case, from 1 on */
	bool longer;                 /* --long */
};

struct check_case {
	const char *name;
	void (*run)(struct check *c);
	bool apart;
};

/* One a kind: what there is to check, ends with a nameless case. */
struct check_suite {
	uint32_t kind;
	const struct check_case *cases;
	/* Before all cases, in a process of its own: DKD_PROBE_*, the reason printed into why. */
	int (*probe)(struct check *c, char *why, size_t size);
};
extern const struct check_suite check_graph, check_net, check_volume, check_authz, check_log, check_ipam;

/* One line of TAP. Returns cond. */
bool check_ok(bool cond, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_skip(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* From here on this process tells failures alone: one that is killed at any moment would leave a number without a line. */
void check_failures_only(void);
/* A line behind the last one, for people. */
void check_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A process with the driver loaded, in which fn runs; its status is what fn returns (0 to 63), or 64 when the driver did not load.
 * check_start() only starts it. check_wait() returns the status of waitpid(2).
 */
pid_t check_start(struct check *c, int (*fn)(struct check *c, void *arg), void *arg);
int check_wait(pid_t pid);
int check_apart(struct check *c, int (*fn)(struct check *c, void *arg), void *arg);

#endif
