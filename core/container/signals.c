/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/signals.h"

#include <signal.h>
#include <strings.h>

#include "base/str.h"

int signal_parse(const char *s)
{
	const char *bare = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	int64_t n;

	if (str_to_i64(s, &n))
		return n >= 1 && n <= 64 ? (int)n : -1;
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && strcasecmp(sigabbrev_np(i), bare) == 0)
			return i;
	if (strcasecmp(bare, "CLD") == 0)
		return SIGCHLD;
	if (strcasecmp(bare, "IOT") == 0)
		return SIGABRT;
	if (strcasecmp(bare, "POLL") == 0)
		return SIGIO;
	/* the numbers the kernel gives them; the C library keeps two for itself, containers' libraries may not */
	if (strncasecmp(bare, "RTMIN", 5) == 0 && (!bare[5] || (bare[5] == '+' && str_to_i64(bare + 6, &n) && n >= 0 && n <= 15)))
		return bare[5] ? 34 + (int)n : 34;
	if (strncasecmp(bare, "RTMAX", 5) == 0 && (!bare[5] || (bare[5] == '-' && str_to_i64(bare + 6, &n) && n >= 0 && n <= 14)))
		return bare[5] ? 64 - (int)n : 64;
	return -1;
}
