/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of the log drivers, of a container's and of the daemon's configuration. */
#ifndef CONTAINER_LOGOPTS_H
#define CONTAINER_LOGOPTS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* Written by the shim, or none; "" and NULL are the default one. */
bool log_driver_builtin(const char *type);
/* ... or there is a shared object of that name. */
bool log_driver_known(const char *type);
/* In Docker's words; values that Docker refuses at the start of the container only are refused here, too. */
int log_opts_check(const char *type, const struct strmap *opts, struct err *err);

#endif
