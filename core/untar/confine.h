/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the process that unpacks gives up before it reads a byte that others made. */
#ifndef UNTAR_CONFINE_H
#define UNTAR_CONFINE_H

#include "base/err.h"

/*
 * With tree >= 0: the folder becomes the root, and five capabilities stay, what it takes to make files of any owner. With -1
 * no capability stays and no file can be opened. Either way afterwards: an empty network namespace, bounded memory, no new
 * privileges, and a list of system calls beside which the kernel kills.
 */
int confine(int tree, struct err *err);

#endif
