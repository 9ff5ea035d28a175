/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to the handlers of plugins. */
#ifndef API_PLUGINS_API_H
#define API_PLUGINS_API_H

#include "api.h"

/* The managed plugin that a request is about. */
struct plugin_target { char *id, *name; bool enabled; };
void plugin_target_done(struct plugin_target *t);
/* By {name}. One that is a driver of this daemon is refused in words. */
int plugin_target_find(struct job *job, struct plugin_target *ret, struct err *err);

job_fn plugin_privileges_job, plugin_pull_job, plugin_upgrade_job, plugin_push_job; /* plugins-registry.c */

/* plugins-use.c: has something that is there a need of it? ERR_CONFLICT, in Docker's words. */
int plugin_check_unused(struct api *api, const char *name, struct err *err);

#endif
