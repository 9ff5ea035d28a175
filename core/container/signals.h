/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signal names and numbers as clients write them: "TERM", "SIGTERM", "15", "SIGRTMIN+3". */
#ifndef CONTAINER_SIGNALS_H
#define CONTAINER_SIGNALS_H

/* 1..64, or -1. */
int signal_parse(const char *s);

#endif
