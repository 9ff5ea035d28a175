/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Docker's protocol for plugins that are processes of their own (docs.docker.com, "Docker Plugin API"): JSON by POST to a socket, one method a
 * path. A plugin called NAME is found, in this order, as NAME.sock or NAME/NAME.sock in /run/docker/plugins, then as NAME.spec (one line, a
 * URL: unix://PATH, tcp://HOST:PORT) or NAME.json ({"Name","Addr","TLSConfig"}) in /etc/docker/plugins and /usr/lib/docker/plugins, then among
 * the plugins that the daemon runs itself. The drivers called "remote" are made of this. Their options "sockets" and "specs" name other
 * folders, the latter with colons between; "managed" is the daemon's own.
 */
#ifndef PLUGINS_DOCKER_PLUGIN_H
#define PLUGINS_DOCKER_PLUGIN_H

#include <jansson.h>

#include <dockerd/driver.h>

#define DOCKER_PLUGIN_PATH 4096

struct docker_plugin;

/* Those that a file stands for. Asks nobody. */
extern const struct dkd_provider docker_plugin_provider;
/*
 * Finds and activates it: it has to say that it implements what ("NetworkDriver"). NULL: told through host->fail(). A plugin that does not listen
 * yet is waited for, as long as the call may take, 30 s at most.
 */
struct docker_plugin *docker_plugin_open(const struct dkd_host *host, const struct dkd_call *call, const char *name, const char *what);
void docker_plugin_close(struct docker_plugin *p);
/* What the struct of a driver called "remote" begins with. */
#define DOCKER_PLUGIN_HANDLE const struct dkd_host *host; struct docker_plugin *plugin
/* Opens it (name may be NULL: there is no such) and makes such a struct of size bytes, the rest of it zeros. NULL: told. To be closed, then freed. */
void *docker_plugin_handle(const struct dkd_host *host, const struct dkd_call *call, const char *name, const char *what, size_t size);
const char *docker_plugin_name(const struct docker_plugin *p);
/*
 * Calls a method ("NetworkDriver.Join"); takes request. 0 with the answer, an object, which is the caller's; 1 when the plugin knows no such
 * method and optional is not 0; -1: told through host->fail(). An answer with "Err" is a failure. Never waits longer than the call allows, nor after the caller
 * is gone. One that let a call run out of time is given a second for each in the ten seconds after that. Where it listens is looked up each time: a
 * plugin may come back elsewhere.
 */
int docker_plugin_call(struct docker_plugin *p, const struct dkd_call *call, const char *method, int optional, json_t *request, json_t **ret);
/* The same where nobody waits for what it says: ms at most, and a failure is a line of the log. */
void docker_plugin_tell(struct docker_plugin *p, const char *method, json_t *request, int ms);
/* A member of an object, borrowed; the key in any case, as Go reads it, exactly before all. */
json_t *docker_plugin_member(const json_t *object, const char *key);
/* A string of an object, NULL for none and for "". */
const char *docker_plugin_text(const json_t *object, const char *key);
/* The pairs as an object, of which the caller becomes the owner. */
json_t *docker_plugin_pairs(const struct dkd_pair *v, uint32_t len);
/* Emits the members of an object: text as it is, other kinds printed as JSON. */
void docker_plugin_emit(const json_t *object, dkd_emit_pair *emit, void *to);
/*
 * Where a path that it gave is for us: the daemon's own plugins have a root of their own. -1: it is no path that is absolute and free of "..",
 * or too long.
 */
int docker_plugin_path(const struct docker_plugin *p, const char *given, char ret[DOCKER_PLUGIN_PATH]);

#endif
