/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drivers that take the daemon down with them. A fault while a driver's function runs writes the driver's file into a record
 * of the exec-root before the process dies as it would have; a driver that did so DRIVER_CRASHES_MAX times within an hour is
 * refused by the next daemons, until that hour is over or its file is another one. Not seen: a driver's own threads, and a
 * thread that has used up its stack.
 */
#ifndef CORE_DRIVER_CRASH_H
#define CORE_DRIVER_CRASH_H

#include <stdbool.h>

#include "base/err.h"

#define DRIVER_CRASHES_MAX 3
#define DRIVER_CRASHES_FILE "driver-crashes"

/* Once, before drivers: reads the record in dir, warns of what is in it, and watches from now on. */
void driver_crash_init(const char *dir);
/* Of what the record told at the start. False and err: that file is refused. */
bool driver_crash_allows(const char *file, struct err *err);
/* Around every entry into a driver, by the thread itself. file outlives the process's drivers; NULL: none. Returns the one before. */
const char *driver_crash_within(const char *file);

#endif
