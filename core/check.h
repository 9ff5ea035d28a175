/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dockerd --check [--repair]: looks at a data-root that no daemon uses. */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include "config/config.h"

/*
 * Opens every store as the daemon would and reads every layer to its last byte. Without repair the data-root is mounted
 * read-only for this process, so that nothing can change; with it, what a start would put right is, and orphans go. Prints
 * a line for each finding. The exit status: 0 when all is well (or was put right), 1 when not.
 */
int check_run(const struct config *cfg);

#endif
