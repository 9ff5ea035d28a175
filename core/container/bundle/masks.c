/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/masks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"

/* Of those that could be there, whatever is missing in between: the last number of "0-3,8-11". */
static long highest_cpu(void)
{
	OWN_BUF struct buf b = { 0 };
	const char *at;

	if (fs_read(AT_FDCWD, "/sys/devices/system/cpu/possible", 4096, &b, NULL) < 0 || !b.size)
		return sysconf(_SC_NPROCESSORS_CONF) - 1;
	buf_addc(&b, '\0');
	at = b.data + strlen(b.data);
	while (at > b.data && !(at[-1] == '-' || at[-1] == ','))
		at--;
	return strtol(at, NULL, 10);
}

void masks_hidden(struct strv *ret)
{
	static const char *const paths[] = {
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	};
	long cpus = highest_cpu() + 1;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		strv_add(ret, paths[i]);
	for (long i = 0; i < cpus; i++) {
		OWN_FREE char *path = xasprintf("/sys/devices/system/cpu/cpu%ld/thermal_throttle", i);

		if (fs_exists(path)) /* runtimes refuse none that is not there */
			strv_add(ret, path);
	}
}

void masks_readonly(struct strv *ret)
{
	static const char *const paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		strv_add(ret, paths[i]);
}
