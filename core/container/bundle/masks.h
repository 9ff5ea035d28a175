/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is the host's in /proc and /sys: Docker's newest lists of what a container does not see there, and of what it does not write. */
#ifndef CONTAINER_MASKS_H
#define CONTAINER_MASKS_H

#include "base/str.h"

void masks_hidden(struct strv *ret);
void masks_readonly(struct strv *ret);

#endif
