/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internal helpers by the name the program is run under: argv[0] picks one before anything of the daemon happens. */
#ifndef CORE_REEXEC_H
#define CORE_REEXEC_H

#include <stdbool.h>

/* True when argv[0] named a helper; it has run and *ret_status is its exit code. */
bool reexec_run(int argc, char *argv[], int *ret_status);

#endif
