/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AppArmor: which profile confines a container, and the one that the daemon brings along. */
#ifndef CONTAINER_APPARMOR_H
#define CONTAINER_APPARMOR_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/spawner.h"
#include "container/spec.h"

#define APPARMOR_DEFAULT "docker-default"

/* Whether this kernel confines with profiles, and lets this process see it. */
bool apparmor_on(void);
/* The profile of a container: its own option's, "unconfined" for a privileged one, else the default. Borrowed. */
const char *apparmor_profile(const struct host_config *hc);
/*
 * 1: the default profile is in the kernel. 0: it is not, and the host has no program to load it with; as in Docker containers are not confined
 * then. again: loaded also where it is there already, as it may be another version's. Whoever tidies up the host's profiles takes it away, so
 * each start asks, and each exec.
 */
int apparmor_load(struct spawner *sp, bool again, struct err *err);

/* The default profile's text. daemon: the profile that confines this daemon, or NULL. */
void apparmor_text(const char *daemon, struct buf *ret);

#endif
