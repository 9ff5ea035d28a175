/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IMAGE_LIST_DIR_H
#define IMAGE_LIST_DIR_H

#include "base/str.h"

/* The names in the directory dirfd, sorted by bytes, without "." and "..". -1 with errno. */
int list_dir(int dirfd, struct strv *ret);

#endif
