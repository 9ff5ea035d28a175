/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sparse files as block devices. Everything returns 0 (or a descriptor), or -1 with errno. */
#ifndef GRAPH_DM_LOOP_H
#define GRAPH_DM_LOOP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes the file with that size, or makes it that large. ret_new: it was not there. ret_size: what it has now. */
int loop_file(int dir, const char *name, uint64_t size, bool *ret_new, uint64_t *ret_size);
/* A loop device of the file, which goes with its last user: its descriptor. */
int loop_attach(const char *file);
/* The number of the device behind a descriptor, and its sectors. */
int loop_device(int fd, dev_t *ret, uint64_t *ret_sectors);
/* "/dev/NAME" of a device, and the file behind it, or "". */
void loop_name(dev_t dev, char ret[PATH_MAX]);
void loop_backing(dev_t dev, char ret[PATH_MAX]);

#endif
