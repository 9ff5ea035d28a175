/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/rootless.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

static bool inside;
static uint32_t groups;
static uid_t overflow = 65534;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The kernel sorts a map by what is inside. */
static uint32_t count_groups(void)
{
	OWN_FILE FILE *map = fopen("/proc/self/gid_map", "re");
	unsigned long in, count;
	uint32_t n = 0;

	while (map && fscanf(map, "%lu %*u %lu", &in, &count) == 2 && in == n)
		n += (uint32_t)count;
	return n;
}

/* All ids as they are: that is the first one, or one that differs in nothing. */
static void ask(void)
{
	OWN_FILE FILE *map = fopen("/proc/self/uid_map", "re"), *nobody = fopen("/proc/sys/kernel/overflowuid", "re");
	unsigned long in = 0, out = 0, count = 0, id;

	inside = map && fscanf(map, "%lu %lu %lu", &in, &out, &count) == 3 && (in || out || count != UINT32_MAX);
	groups = count_groups();
	if (nobody && fscanf(nobody, "%lu", &id) == 1)
		overflow = (uid_t)id;
}

bool rootless_userns(void)
{
	pthread_once(&once, ask);
	return inside;
}

uint32_t rootless_groups(void)
{
	pthread_once(&once, ask);
	return groups;
}

const char *rootless_state(void)
{
	const char *dir = getenv("ROOTLESSKIT_STATE_DIR");

	return str_empty(dir) ? NULL : dir;
}

bool rootless_user(uid_t *ret)
{
	const char *text = getenv("ROOTLESSKIT_PARENT_EUID");
	uint64_t n;

	if (str_empty(text) || !str_to_u64(text, &n) || n >= UINT32_MAX)
		return false;
	*ret = (uid_t)n;
	return true;
}

char *rootless_path(enum rootless_dir dir, const char *rest)
{
	static const struct { const char *variable, *in_home; } places[] = {
		[ROOTLESS_CONFIG] = { "XDG_CONFIG_HOME", ".config" }, [ROOTLESS_DATA] = { "XDG_DATA_HOME", ".local/share" },
		[ROOTLESS_LIB] = { NULL, ".local/lib" }, [ROOTLESS_RUNTIME] = { "XDG_RUNTIME_DIR", NULL },
	};
	const char *given = places[dir].variable ? getenv(places[dir].variable) : NULL, *home = getenv("HOME");

	if (!str_empty(given) && *given == '/')
		return xasprintf("%s/%s", given, rest);
	if (!places[dir].in_home || str_empty(home) || *home != '/')
		return NULL;
	return xasprintf("%s/%s/%s", home, places[dir].in_home, rest);
}

bool rootless_foreign(uid_t uid)
{
	return rootless_userns() && uid == overflow;
}
