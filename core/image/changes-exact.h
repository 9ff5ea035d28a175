/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether two objects of the same name, owner, mode, size and time differ after all. */
#ifndef IMAGE_CHANGES_EXACT_H
#define IMAGE_CHANGES_EXACT_H

#include <stdbool.h>
#include <sys/stat.h>

/* True also when one of them cannot be read. */
bool changes_within(int new_fd, int old_fd, const char *name, const struct stat *now, const struct stat *before);

#endif
