/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The content of volumes as tar archives. Thread-safe. */
#ifndef CORE_VOLUME_TAR_H
#define CORE_VOLUME_TAR_H

#include "base/cancel.h"
#include "base/stream.h"
#include "volume/volume.h"

/* Of one in use, too: then as its files are when they are read. */
int volume_tar_export(struct volume_store *s, const char *name, struct writer *out, const struct cancel *cancel, struct err *err);
/*
 * Adds what the archive has (plain or packed), by the rules of docker cp; nothing in it reaches outside. ERR_CONFLICT when a container has the
 * volume mounted. After an error what came before it stays.
 */
int volume_tar_import(struct volume_store *s, const char *name, struct reader *in, struct err *err);

#endif
