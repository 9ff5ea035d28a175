/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/apparmor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rootless.h"
#include "container/bundle/security.h"

#define SECURITYFS "/sys/kernel/security/apparmor"
#define LOAD_MS 30000
#define MAX_PROFILES (4u << 20)

static const char *const parsers[] = { "/sbin/apparmor_parser", "/usr/sbin/apparmor_parser", "/usr/local/sbin/apparmor_parser" };

/* What the host has of the usual includes is taken, as Docker does: its own additions count for containers, and the base names an ABI. */
#define PROFILES "/etc/apparmor.d/"
static const char rules[] =
	"  network,\n"
	"  # families that kernels have no more, the kernel's cryptography, and what reaches a hypervisor\n"
	"  deny network ax25,\n"
	"  deny network ipx,\n"
	"  deny network appletalk,\n"
	"  deny network netrom,\n"
	"  deny network rose,\n"
	"  deny network econet,\n"
	"  deny network atmsvc,\n"
	"  deny network irda,\n"
	"  deny network wanpipe,\n"
	"  deny network alg,\n"
	"  deny network vsock,\n"
	"  capability,\n"
	"  file,\n"
	"  umount,\n"
	"  # whoever ends it: the daemon and its shim, which are not confined, the runtimes where the host confines them\n"
	"  signal (receive) peer=unconfined,\n"
	"  signal (receive) peer=runc,\n"
	"  signal (receive) peer=crun,\n"
	"  # of /proc, which is the kernel's own: processes, and kernel.shm* of the sysctls\n"
	"  deny @{PROC}/* w,\n"
	"  deny @{PROC}/{[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*}/** w,\n"
	"  deny @{PROC}/sys/[^k]** w,\n"
	"  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,\n"
	"  deny @{PROC}/sysrq-trigger rwklx,\n"
	"  deny @{PROC}/kcore rwklx,\n"
	"  deny mount,\n"
	"  # of /sys: control groups\n"
	"  deny /sys/[^f]*/** wklx,\n"
	"  deny /sys/f[^s]*/** wklx,\n"
	"  deny /sys/fs/[^c]*/** wklx,\n"
	"  deny /sys/fs/c[^g]*/** wklx,\n"
	"  deny /sys/fs/cg[^r]*/** wklx,\n"
	"  deny /sys/firmware/** rwklx,\n"
	"  deny /sys/devices/virtual/powercap/** rwklx,\n"
	"  deny /sys/kernel/security/** rwklx,\n"
	"  # among the containers' own processes\n"
	"  signal (send, receive) peer=" APPARMOR_DEFAULT ",\n"
	"  ptrace (trace, read, tracedby, readby) peer=" APPARMOR_DEFAULT ",\n";

bool apparmor_on(void)
{
	const char *container = getenv("container");
	OWN_BUF struct buf b = { 0 };

	/* the host's profiles are not a user's to load */
	return !rootless_state() && str_empty(container) && fs_exists(SECURITYFS) &&
		fs_read(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &b, NULL) == 0 && b.size && b.data[0] == 'Y';
}

const char *apparmor_profile(const struct host_config *hc)
{
	const char *own = security_of(hc).apparmor;

	if (!str_empty(own))
		return own;
	return hc->privileged ? "unconfined" : APPARMOR_DEFAULT;
}

void apparmor_text(const char *daemon, struct buf *ret)
{
	buf_adds(ret, fs_exists(PROFILES "tunables/global") ? "#include <tunables/global>\n" : "@{PROC}=/proc/\n");
	buf_adds(ret, "profile " APPARMOR_DEFAULT " flags=(attach_disconnected,mediate_deleted) {\n");
	if (fs_exists(PROFILES "abstractions/base"))
		buf_adds(ret, "  #include <abstractions/base>\n");
	buf_adds(ret, rules);
	if (!str_empty(daemon))
		buf_addf(ret, "  signal (receive) peer=\"%s\",\n", daemon);
	buf_adds(ret, "}\n");
}

/* "NAME (mode)" a line. */
static bool is_loaded(void)
{
	OWN_BUF struct buf b = { 0 };
	const char *at;

	if (fs_read(AT_FDCWD, SECURITYFS "/profiles", MAX_PROFILES, &b, NULL) < 0 || !b.size)
		return false;
	buf_addc(&b, '\0');
	at = strstr(b.data, APPARMOR_DEFAULT " (");
	return at && (at == b.data || at[-1] == '\n');
}

/* Of this process: "NAME (mode)", or "unconfined". */
static char *own_profile(void)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *name = NULL;

	if (fs_read(AT_FDCWD, "/proc/self/attr/current", 4096, &b, NULL) < 0 || !b.size)
		return NULL;
	name = xstrndup(b.data, b.size);
	name[strcspn(name, "\n")] = '\0';
	if (strstr(name, " ("))
		*strstr(name, " (") = '\0';
	return streq(name, "unconfined") || strpbrk(name, "\"\\") ? NULL : STEAL(name);
}

static const char *find_parser(void)
{
	for (size_t i = 0; i < ARRAY_LEN(parsers); i++)
		if (access(parsers[i], X_OK) == 0)
			return parsers[i];
	return NULL;
}

static int parse(struct spawner *sp, const char *parser, struct err *err)
{
	OWN_FD int in = memfd_create("profile", MFD_CLOEXEC);
	OWN_BUF struct buf text = { 0 }, out = { 0 };
	OWN_FREE char *own = own_profile();
	char *const argv[] = { (char *)parser, (char *)"-Kr", NULL }; /* no cache, in the place of an older one */
	int status = 0;

	apparmor_text(own, &text);
	if (in < 0 || fs_write_all(in, text.data, text.size) < 0 || lseek(in, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "hand on the profile");
	if (spawner_run(sp, argv, NULL, in, LOAD_MS, NULL, &status, &out, err) < 0)
		return -1;
	if (status != 0)
		return err_set(err, ERR_INTERNAL, "running '%s %s' failed with output: %.*s\nerror: exit status %d", parser, argv[1],
			(int)(out.size < 500 ? out.size : 500), out.data ? out.data : "", WEXITSTATUS(status));
	return 0;
}

int apparmor_load(struct spawner *sp, bool again, struct err *err)
{
	const char *parser = find_parser();

	if ((!again || !parser) && is_loaded())
		return 1;
	if (!parser)
		return 0;
	if (parse(sp, parser, err) < 0)
		return err_wrap(err, "AppArmor enabled on system but the " APPARMOR_DEFAULT " profile could not be loaded");
	return 1;
}
