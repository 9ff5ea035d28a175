/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "gc" of daemon.json: what is collected without being asked for, and when. */
#ifndef CORE_GC_POLICY_H
#define CORE_GC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/filters.h"

struct gc_policy {
	bool on;              /* anything is asked for at all */
	int64_t interval;     /* ns between two looks */
	int64_t high, low;    /* percent of the data-root's disk: above high images go until it is low; high 0: however full */
	int64_t min_age;      /* ns: images used since then stay, however full the disk is */
	int64_t unused;       /* ns: images that were not used for so long go; 0: none */
	int64_t containers;   /* ns: containers that ended so long ago go; 0: none */
	int64_t keep_last;    /* of each repository the newest so many images stay */
	struct filters filters; /* label and label!: what else there is stays */
};

/* json NULL, "" or {}: off. ERR_INVALID names the key. */
int gc_policy_parse(const char *json, struct gc_policy *ret, struct err *err);
void gc_policy_done(struct gc_policy *p);
#define OWN_GC_POLICY CLEANUP(gc_policy_done)

#endif
