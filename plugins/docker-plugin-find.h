/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to docker-plugin*.c: where plugins are. */
#ifndef PLUGINS_DOCKER_PLUGIN_FIND_H
#define PLUGINS_DOCKER_PLUGIN_FIND_H

#include "docker-plugin.h"

struct plugin_place {
	char *url;               /* "http://plugin", "https://host:port" */
	char *socket;            /* a path, or NULL */
	char *ca, *cert, *key;   /* or NULL */
	char *root;              /* of one that the daemon runs: its root, and */
	char *shared, *shared_at; /* the folder in it that both see, and where that is; or NULL */
	json_t *types;           /* what one that the daemon runs is ("docker.volumedriver/1.0"), or NULL: it is to be asked */
	int insecure;
};

/* 0; 1: there is none of that name; -1: its file, in ret_file, names no address. ret holds nothing before, and something of its own after 0 only. */
int plugin_place_find(const struct dkd_host *host, const char *name, struct plugin_place *ret, char ret_file[DOCKER_PLUGIN_PATH]);
void plugin_place_done(struct plugin_place *p);

#endif
