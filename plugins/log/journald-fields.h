/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fields of a journal entry in the form of the journal's native protocol. */
#ifndef LOG_JOURNALD_FIELDS_H
#define LOG_JOURNALD_FIELDS_H

#include <stddef.h>

#include <dockerd/log.h>

struct fields {
	char *data;
	size_t size, room;
	int failed; /* out of memory */
};

void fields_done(struct fields *f);
void fields_put(struct fields *f, const char *name, const void *value, size_t size);
void fields_puts(struct fields *f, const char *name, const char *value);
/* What is the same in each entry of a container. Attributes replace what they name. */
void fields_put_subject(struct fields *f, const struct dkd_log_subject *subject, const char *epoch);

#endif
