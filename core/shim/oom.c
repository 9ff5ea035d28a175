/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kills for want of memory, told while the container lives: the counter is read a little after the kernel has signalled. */
#include "shim/self.h"

#include <unistd.h>

#include "base/clock.h"
#include "shim/cgroup.h"
#include "shim/control.h"

#define LOOKS 5 /* the signal may come before the kill */

static struct source watch = SOURCE_INIT;
static struct timer look_timer;
static int looks;

static void look(struct timer *t)
{
	int64_t n = cgroup_oom_kills(self.oom_file);

	if (n > self.oom_kills) {
		self.oom_kills = n;
		oom_tell();
	}
	if (++looks < LOOKS)
		loop_timer(t, SHIM_RETRY / 4 * looks, look);
}

static void signalled(struct source *src, uint32_t events)
{
	char ignored[4096];

	if (read(src->fd, ignored, sizeof(ignored)) <= 0 || self.container.state != SHIM_RUNNING) {
		loop_close(src);
		return;
	}
	looks = 0;
	loop_timer(&look_timer, 0, look);
}

void oom_watch(void)
{
	watch = (struct source){ .fd = cgroup_oom_watch(self.oom_file), .fn = signalled };
	if (watch.fd >= 0)
		loop_must_watch(&watch, EPOLLIN);
}

void oom_end(void)
{
	int64_t n = cgroup_oom_kills(self.oom_file);

	if (n > self.oom_kills)
		self.oom_kills = n;
	loop_timer_off(&look_timer);
	loop_close(&watch);
}

int64_t oom_untold(void)
{
	return self.oom_kills - self.oom_told;
}

void oom_tell(void)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };

	if (!oom_untold())
		return;
	shim_msg_init(&m, SHIM_OOM);
	shim_msg_int(&m, TAG_OOM_UNTOLD, oom_untold());
	if (control_event(&m))
		self.oom_told = self.oom_kills;
}
