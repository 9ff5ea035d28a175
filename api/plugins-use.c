/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What needs a managed plugin: volumes and networks of it that there are, containers that run and log to it, requests that it judges. */
#include <string.h>

#include "config/config.h"
#include "container/container.h"
#include "network/net.h"
#include "plugins-api.h"
#include "volume/volume.h"

/* Somebody says "user/name" to what is called "user/name:latest". */
static bool names(const char *given, const char *name)
{
	size_t n = given ? strlen(given) : 0;

	return n && strncmp(given, name, n) == 0 && (!name[n] || streq(name + n, ":latest"));
}

static bool any_volume(struct api *api, const char *name)
{
	struct volume **v;
	size_t len = volume_list(api->volumes, &v);
	bool used = false;

	for (size_t i = 0; i < len && !used; i++)
		used = names(v[i]->driver, name);
	volume_list_free(v, len);
	return used;
}

static bool any_network(struct api *api, const char *name)
{
	struct network **v;
	size_t len = net_list(api->nets, &v);
	bool used = false;

	for (size_t i = 0; i < len && !used; i++)
		used = names(v[i]->driver, name) || names(v[i]->ipam_driver, name);
	net_list_free(v, len);
	return used;
}

static bool any_of(const struct strv *v, const char *name)
{
	bool used = false;

	for (size_t i = 0; i < v->len && !used; i++)
		used = names(v->v[i], name);
	return used;
}

int plugin_check_unused(struct api *api, const char *name, struct err *err)
{
	OWN_STRV struct strv logs = {0};

	if (api->containers)
		container_log_drivers(api->containers, &logs);
	if (any_volume(api, name) || (api->nets && any_network(api, name)) || any_of(&logs, name) ||
	    (api->config && any_of(&api->config->authorization_plugins, name)))
		return err_set(err, ERR_CONFLICT, "plugin %s is in use", name);
	return 0;
}
