/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* argv -> config -> daemon; nothing else. */
#include <stdio.h>

int main(void)
{
	return 0;
}
