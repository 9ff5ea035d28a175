/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the configuration says of registries: a copy, as a pull may outlive the configuration that it began with. */
#ifndef API_REGISTRY_SETTINGS_H
#define API_REGISTRY_SETTINGS_H

#include "api.h"
#include "registry/registry.h"

struct registry_settings { struct registry_config c; struct strv mirrors, mirrors_of, insecure; char *http, *https, *no; };

/* ERR_UNAVAILABLE when registries cannot be used. */
int registry_settings_read(struct api *api, struct registry_settings *s, struct err *err);
void registry_settings_done(struct registry_settings *s);
#define OWN_REGISTRY_SETTINGS CLEANUP(registry_settings_done)

#endif
