/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What drivers there are, for info and /plugins: the loader's list in Docker's words. Thread-safe, keeps nothing. */
#ifndef CORE_PLUGINS_H
#define CORE_PLUGINS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct plugin {
	char id[65];             /* of its path: the same for ever */
	char *kind;              /* graph net volume authz log, or "" while it is not known */
	char *name;
	char *reference;         /* "volume/local": no two have the same */
	const char *capability;  /* Docker's word: "volumedriver"; "" with the kind */
	char *version, *abi;     /* "" while it is not loaded */
	char *path, *state;
	bool loaded;
};

/* Sorted by reference. */
size_t plugins_list(struct plugin **ret);
void plugins_free(struct plugin *v, size_t len);
/*
 * Names of the drivers of a kind, sorted, for info's Plugins: every one that is installed. In Docker's words: the network
 * driver none is "null".
 */
void plugins_names(const char *kind, struct strv *ret);

#endif
