/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pieces.h"

#include <stdio.h>
#include <sys/random.h>

bool pieces_make_id(char ret[PIECES_ID + 1])
{
	unsigned char bytes[PIECES_ID / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

bool pieces_begin(struct pieces *p)
{
	return *p->id || pieces_make_id(p->id);
}

void pieces_end(struct pieces *p, const struct dkd_log_record *r)
{
	if (r->flags & DKD_LOG_PARTIAL)
		p->ordinal++;
	if ((r->flags & DKD_LOG_LAST) || !(r->flags & DKD_LOG_PARTIAL))
		*p = (struct pieces){ 0 };
}
