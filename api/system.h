/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system resource, which is spread over several files; api_system_register() calls them all. */
#ifndef API_SYSTEM_H
#define API_SYSTEM_H

#include "api.h"

int system_info(struct job *job, struct err *err);    /* info.c */
int system_events(struct job *job, struct err *err);  /* events.c */
int system_df(struct job *job, struct err *err);      /* df.c */
int debug_commands(struct job *job, struct err *err); /* debug.c */
int debug_vars(struct job *job, struct err *err);
int debug_pprof(struct job *job, struct err *err);
int cluster_register(struct api *api, struct err *err); /* cluster.c: swarm answers */
/* refused.c: registers a worded refusal for each route that no room serves. */
int refused_register(struct api *api, struct err *err);

struct job_row { const char *name; job_fn *fn; };

#endif
