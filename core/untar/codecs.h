/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bzip2 and xz, which only the process apart reads: the daemon never loads their libraries. */
#ifndef UNTAR_CODECS_H
#define UNTAR_CODECS_H

/* Makes inflate_new() of this process know them. */
void codecs_init(void);

#endif
