/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs for a daemon that rootlesskit started: where its files are, what it cannot do, whose control groups it has. */
#include "base/rootless.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "config/value.h"
#include "container/bundle/cgroup.h"

static void set_place(char **field, enum rootless_dir dir, const char *rest)
{
	OWN_FREE char *path = rootless_path(dir, rest);

	str_set(field, path ? path : "");
}

void config_rootless_defaults(struct config *cfg)
{
	if (!rootless_state())
		return;
	cfg->rootless = true;
	set_place(&cfg->config_file, ROOTLESS_CONFIG, "docker/daemon.json");
	set_place(&cfg->data_root, ROOTLESS_DATA, "docker");
	set_place(&cfg->exec_root, ROOTLESS_RUNTIME, "docker");
	set_place(&cfg->pidfile, ROOTLESS_RUNTIME, "docker.pid");
}

char *config_ini_path(void)
{
	return rootless_state() ? rootless_path(ROOTLESS_CONFIG, &CONFIG_INI_REST[1]) : xstrdup(CONFIG_INI_PATH);
}

char *config_default_socket(void)
{
	OWN_FREE char *path = rootless_state() ? rootless_path(ROOTLESS_RUNTIME, "docker.sock") : NULL;

	return xasprintf("unix://%s", path ? path : "/var/run/docker.sock");
}

/* systemd of the user, which alone gives away the user's groups, and can be asked for them. */
static bool user_systemd(void)
{
	OWN_FREE char *bus = rootless_path(ROOTLESS_RUNTIME, "bus");
	uid_t uid;

	return cgroup_is_v2() && fs_exists("/run/systemd/system") && rootless_user(&uid) &&
		(!str_empty(getenv("DBUS_SESSION_BUS_ADDRESS")) || (bus && fs_exists(bus)));
}

int config_rootless_cgroups(struct config *cfg, const char *driver, struct err *err)
{
	if (streq(driver, "systemd") && !cgroup_is_v2())
		return err_set(err, ERR_INVALID, "exec-opt native.cgroupdriver=systemd requires cgroup v2 for rootless mode");
	if (streq(driver, "systemd") && !user_systemd())
		return err_set(err, ERR_INVALID, "exec-opt native.cgroupdriver=systemd needs the user's systemd for rootless mode, and its bus at "
			"$DBUS_SESSION_BUS_ADDRESS or $XDG_RUNTIME_DIR/bus");
	if (streq(driver, "cgroupfs"))
		return err_set(err, ERR_INVALID, "exec-opt native.cgroupdriver=cgroupfs is not for rootless mode: the kernel's groups are not the user's "
			"to write; without the option they are systemd's to give, or none");
	cfg->systemd_cgroup = streq(driver, "systemd") || (!*driver && user_systemd());
	cfg->no_cgroup = !cfg->systemd_cgroup;
	return 0;
}

int config_rootless_check(struct config *cfg, struct err *err)
{
	const char *state = rootless_state();
	OWN_FREE char *detached = state ? xasprintf("%s/netns", state) : NULL;

	if (!cfg->rootless)
		return state ? err_set(err, ERR_INVALID, "rootless mode needs to be enabled for running with RootlessKit") : 0;
	if (!rootless_userns())
		return err_set(err, ERR_INVALID, "--rootless is for a daemon in a user namespace: start it with dockerd-rootless");
	if (detached && fs_exists(detached))
		return err_set(err, ERR_NOT_IMPLEMENTED, "rootlesskit --detach-netns is not in this version: the daemon has to be in the network "
			"namespace of its containers");
	if (!*cfg->exec_root && state)
		return err_set(err, ERR_INVALID, "XDG_RUNTIME_DIR needs to be set to a folder of the user's");
	if (!*cfg->data_root && state)
		return err_set(err, ERR_INVALID, "HOME needs to be set, or --data-root");
	if (*cfg->userns_remap)
		return err_set(err, ERR_INVALID, "--userns-remap cannot be used with --rootless: the daemon itself is in a user namespace");
	if (cfg->live_restore)
		return err_set(err, ERR_INVALID, "--live-restore cannot be used with --rootless: the namespaces of the containers end with rootlesskit");
	if (cfg->selinux_enabled)
		return err_set(err, ERR_INVALID, "--selinux-enabled cannot be used with --rootless");
	return 0;
}
