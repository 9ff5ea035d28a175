/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Docker's protocol for plugins that are processes of their own (docs.docker.com, "Docker Plugin API"): JSON by POST to a socket, one method a
 * path. A plugin called NAME is found, in this order, as NAME.sock or NAME/NAME.sock in /run/docker/plugins, then as NAME.spec (one line, a
 * URL: unix://PATH, tcp://HOST:PORT) or NAME.json ({"Name","Addr","TLSConfig"}) in /etc/docker/plugins and /usr/lib/docker/plugins. The drivers
 * called "remote" are made of this. Their options "sockets" and "specs" name other folders, the latter with colons between.
 */
#ifndef PLUGINS_DOCKER_PLUGIN_H
#define PLUGINS_DOCKER_PLUGIN_H

#include <jansson.h>

#include <dockerd/driver.h>

struct docker_plugin;

/* Those that a file stands for. Asks nobody. */
extern const struct dkd_provider docker_plugin_provider;
/*
 * Finds and activates it: it has to say that it implements what ("NetworkDriver"). NULL: told through host->fail(). A plugin that does not listen
 * yet is waited for, as long as the call may take.
 */
struct docker_plugin *docker_plugin_open(const struct dkd_host *host, const struct dkd_call *call, const char *name, const char *what);
void docker_plugin_close(struct docker_plugin *p);
const char *docker_plugin_name(const struct docker_plugin *p);
/*
 * Calls a method ("NetworkDriver.Join"); takes request. 0 with the answer, an object, which is the caller's; 1 when the plugin knows no such
 * method and optional is not 0; -1: told through host->fail(). An answer with "Err" is a failure. Never waits longer than the call allows, nor after the caller
 * is gone.
 */
int docker_plugin_call(const struct docker_plugin *p, const struct dkd_call *call, const char *method, int optional, json_t *request, json_t **ret);
/* A string of an object, NULL for none and for "". */
const char *docker_plugin_text(const json_t *object, const char *key);
/* The pairs as an object, of which the caller becomes the owner. */
json_t *docker_plugin_pairs(const struct dkd_pair *v, uint32_t len);

#endif
