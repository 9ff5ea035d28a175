/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OCI bundles: config.json from a container's configuration. Source of the format: the OCI runtime specification 1.0.2. */
#ifndef CONTAINER_BUNDLE_H
#define CONTAINER_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "container/spec.h"
#include "network/net.h"

/* The daemon's own settings that containers inherit. Filled once at start (and at reload). */
struct daemon_defaults {
	int64_t shm_size;
	const char *cgroup_parent;
	int64_t cpu_rt_period, cpu_rt_runtime; /* of the parent groups; 0: left as they are */
	const char *default_runtime;
	const char *ipc_mode, *cgroupns_mode;  /* "private"/"shareable"; "private"/"host" */
	const char *log_driver;
	struct strmap log_opts;
	struct jlist ulimits;                  /* struct ulimit */
	bool no_new_privileges, init, selinux, systemd_cgroup, userns_remap;
	bool no_cgroup;                        /* containers have no control groups */
	bool rootless;                         /* the daemon is root of a user's namespace only */
	const char *userns_pool;               /* whose subordinate ids containers with ranges of their own get */
	const char *init_path;                 /* docker-init found, or NULL */
	const char *seccomp_profile;           /* "builtin", "unconfined" or a file */
	struct strmap runtimes;                /* name -> absolute path */
	struct strmap runtime_args;            /* name -> extra arguments, one a line */
	int stop_timeout;                      /* seconds */
	bool native_exec;                      /* execs without the runtime, where they mean the same */
	const struct strv *dns, *dns_search, *dns_opts, *host_gateway_ips; /* NULL for none */
	struct strv cdi_dirs;                  /* none: devices by name are off */
	const char *nvidia_hook;               /* a program, or NULL */
	const char *default_network;           /* what NetworkMode "default" means */
};

/* One mount of the container, ready for the runtime. Sorted by destination depth by the caller. */
struct bundle_mount {
	char *type;          /* "bind", "tmpfs" */
	char *source, *destination;
	struct strv options;
};

struct device_edits; /* cdi.h */

struct bundle_in {
	const char *id, *hostname, *domainname;
	const char *rootfs;              /* mounted */
	const struct container_config *config;
	const struct host_config *host;
	const struct daemon_defaults *defaults;
	const struct sandbox *sandbox;
	const char *path;                /* entrypoint + cmd, split as Docker's Path and Args */
	const struct strv *args;
	const struct bundle_mount *mounts;
	size_t n_mounts;
	const char *propagation;         /* of the root, for mounts that are shared; or NULL */
	const char *ipc_path, *pid_path; /* /proc/<pid>/ns/... of "container:" modes, or NULL */
	const char *shm_path;            /* host directory bound at /dev/shm, or NULL: a tmpfs of its own */
	const struct device_edits *edits; /* of devices by name, or NULL */
	const struct strv *link_env;     /* variables of linked containers, before its own; or NULL */
	const struct idmaps *ids;        /* of its user namespace, which sandbox->userns_path names; NULL: none */
	const struct idmaps *file_ids;   /* of the files below rootfs; NULL: the host's */
	const char *apparmor;            /* the profile that confines it, or NULL */
	const char *process_label, *mount_label; /* of SELinux; NULL or "" for none */
	bool tty;
};

/* Writes dir/config.json. Reads the image's passwd and group files inside rootfs only (confined). */
int bundle_write(const struct bundle_in *in, const char *dir, struct err *err);

/* The control group in which those of a container are made, for the driver cgroupfs: a clean absolute path. */
char *bundle_cgroup_parent(const struct host_config *hc, const struct daemon_defaults *d);
/* The program of a runtime by its name, or NULL. */
const char *bundle_runtime(const struct daemon_defaults *d, const char *name);
/* "nofile" -> "RLIMIT_NOFILE"; NULL for what is no ulimit. */
const char *bundle_rlimit(const char *name);
/* The daemon's own, which without rights over the machine is the least that a container can have. */
int bundle_least_oom_score(void);
/* One --device-cgroup-rule, "c 1:3 rwm", as the OCI object (w may be NULL: only checks). */
bool bundle_device_rule(const char *rule, struct jw *w);

/* An exec's OCI process object. */
struct process_in {
	const struct bundle_in *container; /* rootfs, host, config */
	const struct strv *cmd, *env;
	const char *user, *working_dir;    /* NULL: the container's */
	bool tty, privileged;
	uint16_t rows, cols;
};
char *bundle_process(const struct process_in *in, struct err *err); /* JSON text, owned by the caller */

/* "name|uid[:name|gid]" looked up in the image's own files. Errors carry Docker's text ("unable to find user X: no matching entries in passwd file"). */
struct user_ids { uint32_t uid, gid; struct strv_u32 { uint32_t *v; size_t len; } groups; char *home; };
int user_lookup(int rootfd, const char *user, const struct strv *group_add, struct user_ids *ret, struct err *err);
void user_ids_done(struct user_ids *u);

/* The limits alone, as the runtime's update reads them; devices stay as they are. */
int bundle_limits(const struct host_config *hc, struct jw *w, struct err *err);

#endif
