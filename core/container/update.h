/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changing a container that exists. Source of the fields: Docker's UpdateConfig; the other members are this daemon's own. */
#ifndef CONTAINER_UPDATE_H
#define CONTAINER_UPDATE_H

#include "container/container.h"

/*
 * Zero, unset and empty members stay as they are, those of the health check, too. LogConfig is replaced as a whole; without Type
 * the driver stays. PortBindings that are there replace all of before, also by {}. Env and Labels are merged by key: "K" without "=" and
 * a label that is null
 * go away.
 */
struct update_body {
	struct host_config host;        /* resources, restart policy, log */
	struct container_config config; /* env, labels, stop signal and time-out, health check */
	struct strv labels_gone;
	struct strv ignored;            /* members that are set and that no update changes */
};
void update_body_any_case(json_t *js); /* as create_body_any_case() */
int update_body_decode(json_t *js, struct update_body *ret, struct err *err); /* on failure, too, to be freed */
void update_body_done(struct update_body *b);

/* ERR_INVALID for bad values, ERR_CONFLICT for what cannot go with what is set. Thread-safe. */
int container_update(struct container *c, struct update_body *b, struct strv *warnings, struct err *err);

#endif
