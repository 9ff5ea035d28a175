/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which graph driver a data-root gets. */
#ifndef IMAGE_GRAPH_CHOOSE_H
#define IMAGE_GRAPH_CHOOSE_H

#include "base/err.h"
#include "driver.h"

/*
 * want, when given, or the driver whose data lies in data_root, or the first of the priority list that works there.
 * Data of more than one driver, or of one that cannot be used, is an error.
 */
const struct driver *graph_choose(const char *want, const char *data_root, struct err *err);

#endif
