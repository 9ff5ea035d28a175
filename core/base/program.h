/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs beside the daemon (OCI runtimes, a container's init) say of themselves. */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H

#include <stdbool.h>

#include "base/spawner.h"

struct program {
	char *name, *version, *commit; /* of "--version"; NULL: it says nothing */
	char *features;                /* what "features" prints, as JSON on one line; NULL: nothing */
	bool rro;                      /* a word for recursively read-only mounts is among them */
};
void program_done(struct program *p);
#define OWN_PROGRAM __attribute__((cleanup(program_done)))

/* Asked once per file, for its features where those are wanted the first time. False: it cannot be run now. Thread-safe. */
bool program_ask(struct spawner *sp, const char *path, bool features, struct program *ret);

/* An executable by absolute path or by name on PATH; owned by the caller, NULL when there is none. */
char *program_find(const char *name);

#endif
