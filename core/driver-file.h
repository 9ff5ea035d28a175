/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file behind a driver: is it to be trusted, is it whole, and the way to its entry. Not thread-safe: driver.c's lock. */
#ifndef CORE_DRIVER_FILE_H
#define CORE_DRIVER_FILE_H

#include "base/err.h"

/*
 * Refuses (ERR_INVALID, the path in the message) what is not a regular file of root (or of the user that runs the daemon)
 * in folders of root that nobody else may write, and what is not a complete shared object of this machine.
 */
int driver_file_check(const char *path, struct err *err);
/* Binds the file at once and returns the address of a symbol. It stays loaded for ever, also when this fails. */
void *driver_file_symbol(const char *path, const char *symbol, struct err *err);

#endif
