/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pieces of a long line of stdout or stderr: they have an id in common, and are counted. */
#ifndef LOG_PIECES_H
#define LOG_PIECES_H

#include <stdbool.h>

#include <dockerd/log.h>

#define PIECES_ID 64

struct pieces {
	char id[PIECES_ID + 1]; /* "": none came yet */
	unsigned ordinal;       /* how many came */
};

/* Random, in hexadecimal digits. False: there are no random numbers. */
bool pieces_make_id(char ret[PIECES_ID + 1]);
/* The record belongs to a line in pieces and is about to be handed on: is there an id for it? */
bool pieces_begin(struct pieces *p);
/* It was handed on. */
void pieces_end(struct pieces *p, const struct dkd_log_record *r);

#endif
