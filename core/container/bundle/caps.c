/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/caps.h"

#include <linux/capability.h>
#include <pthread.h>
#include <strings.h>
#include <sys/prctl.h>

/* By number (linux/capability.h). */
static const char *const names[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};

#define BIT(n) (UINT64_C(1) << (n))
#define DEFAULT_CAPS (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) | \
	BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | \
	BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))

static uint64_t ours;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_ours(void)
{
	for (int i = 0; i < (int)ARRAY_LEN(names); i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			ours |= BIT(i);
}

const char *caps_name(int number)
{
	return number >= 0 && number < (int)ARRAY_LEN(names) ? names[number] : NULL;
}

int caps_number(const char *name)
{
	const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

	if (strcasecmp(name, "ALL") == 0)
		return CAPS_ALL;
	for (int i = 0; i < (int)ARRAY_LEN(names); i++)
		if (strcasecmp(names[i] + 4, bare) == 0)
			return i;
	return -1;
}

int caps_check(const char *option, const struct strv *list, struct err *err)
{
	for (size_t i = 0; i < list->len; i++) {
		OWN_FREE char *upper = xstrdup(list->v[i]);

		if (caps_number(upper) >= 0)
			continue;
		for (char *p = upper; *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		return err_set(err, ERR_INVALID, "invalid %s: unknown capability: \"%s%s\"", option,
			str_has_prefix(upper, "CAP_") ? "" : "CAP_", upper);
	}
	return 0;
}

static bool has_all(const struct strv *list)
{
	for (size_t i = 0; i < list->len; i++)
		if (caps_number(list->v[i]) == CAPS_ALL)
			return true;
	return false;
}

/* Names that are none are refused before (caps_check). */
static uint64_t named(const struct strv *list)
{
	uint64_t set = 0;

	for (size_t i = 0; i < list->len; i++) {
		int n = caps_number(list->v[i]);

		if (n >= 0 && n < 64)
			set |= BIT(n);
	}
	return set;
}

uint64_t caps_resolve(const struct strv *add, const struct strv *drop, bool privileged)
{
	uint64_t set = DEFAULT_CAPS;

	pthread_once(&once, read_ours);
	if (privileged)
		return ours;
	/* Docker's order: ALL on either side replaces the default set, then the single names apply. */
	if (has_all(add))
		set = ours;
	else if (has_all(drop))
		set = 0;
	return ((set & ~named(drop)) | named(add)) & ours;
}
