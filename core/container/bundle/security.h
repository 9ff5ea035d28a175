/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --security-opt, understood. */
#ifndef CONTAINER_SECURITY_H
#define CONTAINER_SECURITY_H

#include <stdbool.h>

#include "container/spec.h"

/* The last word on each; strings are borrowed from the host configuration, NULL where nothing was said. */
struct security {
	struct opt_bool no_new_privileges, writable_cgroups;
	const char *seccomp, *apparmor;
	bool labels;               /* options of SELinux: security_labels() */
};

/* Docker's grammar and its texts: "key", "key=value" or, of old, "key:value". */
int security_parse(const struct host_config *hc, struct security *ret, struct err *err);
/* Appends what stands behind "label=", each. */
void security_labels(const struct host_config *hc, struct strv *ret);
/* The same for what was checked at create. */
struct security security_of(const struct host_config *hc);

#endif
