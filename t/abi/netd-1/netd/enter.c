/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/enter.h"

#include <fcntl.h>
#include <sched.h>

#include "base/err.h"

static int home = -1;

int enter_init(void)
{
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return home < 0 ? -1 : 0;
}

int enter(int netns)
{
	return setns(netns, CLONE_NEWNET);
}

void leave(void)
{
	BUG_ON(setns(home, CLONE_NEWNET) < 0);
}
