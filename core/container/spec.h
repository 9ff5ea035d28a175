/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Config and HostConfig of the API as plain structs, driven by tables (spec.c) in the order in which Docker prints them.
 * The same tables read create bodies and write config.v2.json, hostconfig.json and inspect.
 */
#ifndef CONTAINER_SPEC_H
#define CONTAINER_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "image/image.h"

struct container_config {
	char *hostname, *domainname, *user;
	bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once, args_escaped, network_disabled;
	struct strv exposed_ports, volumes; /* sets */
	struct strv env, cmd, entrypoint, onbuild, shell;
	struct image_health *healthcheck;
	char *image, *working_dir, *mac_address, *stop_signal;
	struct strmap labels;
	struct opt_i64 stop_timeout;
	char *rest;
};
struct log_config { char *type; struct strmap config; };
struct restart_policy { char *name; int64_t maximum_retry_count; };
struct port_binding { char *host_ip, *host_port; };
struct port_bindings { struct jlist list; };        /* struct port_binding; one key of PortBindings */
struct device_mapping { char *path_on_host, *path_in_container, *cgroup_permissions; };
struct device_request { char *driver; int64_t count; struct strv device_ids; char *capabilities; struct strmap options; };
struct ulimit { char *name; int64_t hard, soft; };
struct weight_device { char *path; int64_t weight; };
struct throttle_device { char *path; uint64_t rate; };
struct bind_options { char *propagation; bool non_recursive, create_mountpoint, read_only_non_recursive, read_only_force_recursive; };
struct volume_driver_config { char *name; struct strmap options; };
struct volume_options { bool no_copy; struct strmap labels; struct volume_driver_config *driver_config; char *subpath; };
struct tmpfs_options { int64_t size_bytes, mode; char *options; };
struct image_options { char *subpath; };
struct mount_spec {
	char *type, *source, *target, *consistency;
	bool read_only;
	struct bind_options *bind;
	struct volume_options *volume;
	struct tmpfs_options *tmpfs;
	struct image_options *image;
};

struct host_config {
	struct strv binds;
	char *container_id_file;
	struct log_config log;
	char *network_mode;
	char *port_bindings;     /* JSON text: publish.c checks and reads it */
	struct restart_policy restart;
	bool auto_remove;
	char *volume_driver;
	struct strv volumes_from;
	int64_t console_size[2]; /* rows, columns; printed as [0,0] */
	struct strmap annotations;
	struct strv cap_add, cap_drop;
	char *cgroupns_mode;
	struct strv dns, dns_options, dns_search, extra_hosts, group_add;
	char *ipc_mode, *cgroup;
	struct strv links;
	int64_t oom_score_adj;
	char *pid_mode;
	bool privileged, publish_all_ports, readonly_rootfs;
	struct strv security_opt;
	struct strmap storage_opt, tmpfs;
	char *uts_mode, *userns_mode;
	int64_t shm_size;
	struct strmap sysctls;
	char *runtime, *isolation;
	int64_t cpu_shares, memory, nano_cpus;
	char *cgroup_parent;
	int64_t blkio_weight;
	struct jlist blkio_weight_device;                 /* weight_device */
	struct jlist blkio_read_bps, blkio_write_bps, blkio_read_iops, blkio_write_iops; /* throttle_device */
	int64_t cpu_period, cpu_quota, cpu_rt_period, cpu_rt_runtime;
	char *cpuset_cpus, *cpuset_mems;
	struct jlist devices;                             /* device_mapping */
	struct strv device_cgroup_rules;
	struct jlist device_requests;                     /* device_request */
	int64_t kernel_memory, kernel_memory_tcp, memory_reservation, memory_swap;
	struct opt_i64 memory_swappiness, pids_limit;
	struct opt_bool oom_kill_disable, init;
	struct jlist ulimits;                             /* ulimit */
	int64_t cpu_count, cpu_percent, io_max_iops, io_max_bps; /* Windows' own: accepted as 0 */
	struct jlist mounts;                              /* mount_spec */
	struct strv masked_paths, readonly_paths;
	bool first_level;                                 /* not stored: read-only binds end there, as they did before API 1.44 */
	char *rest;
};

extern const struct jdesc container_config_desc, host_config_desc, mount_spec_desc, device_mapping_desc, device_request_desc,
	log_config_desc, ulimit_desc, throttle_device_desc, weight_device_desc, endpoint_wish_desc, ipam_wish_desc;

struct ipam_wish { char *ipv4, *ipv6; struct strv link_local; }; /* IPAMConfig of an endpoint */

struct daemon_defaults; /* spec.c: what the daemon's configuration adds (bundle.h) */

/* Body of POST /containers/create: Config's fields beside HostConfig and NetworkingConfig. */
struct create_body {
	struct container_config config;
	struct host_config host;
	char *networking;        /* NetworkingConfig as JSON text, or NULL */
};
/* Members in any spelling of upper and lower case become those of the schema. */
void create_body_any_case(json_t *js);
int create_body_decode(json_t *js, struct create_body *ret, struct err *err);
void create_body_done(struct create_body *b);
/*
 * To a client of API 1.minor: takes out what came later or is gone, and puts in what was the rule. ERR_INVALID where that is no choice;
 * Docker's warning of what is on its way out.
 */
int create_body_since(struct create_body *b, int minor, struct strv *warnings, struct err *err);
/* Takes out the options of volumes and tmpfs where the mount is of another type. */
void mount_spec_drop_others(struct mount_spec *m);

/*
 * Merges the image's configuration into cfg (env, cmd, entrypoint, labels, ports, volumes, user, workdir, health, stop
 * signal and timeout) by Docker's rules.
 */
void container_config_merge(struct container_config *cfg, const struct image_config *img);
/* Fills Docker's defaults into hc (shm size, ipc/cgroupns mode, masked paths, restart "no", log driver, ...). */
void host_config_defaults(struct host_config *hc, const struct daemon_defaults *d);
/* ... of it the log: the daemon's driver where none is named, and its options for that driver. */
void log_config_defaults(struct log_config *lc, const struct daemon_defaults *d);
/*
 * Docker's checks, in its words, of what a client asks for, before container_config_merge(): an image that says such things has its containers
 * all the same, with TERM for a signal that is none, without variables that have no name, and with probes a millisecond apart at least.
 */
int container_validate_asked(const struct container_config *cfg, const struct host_config *hc, struct err *err);
/*
 * Docker's checks with Docker's texts; ERR_INVALID, or ERR_NOT_IMPLEMENTED for what this build does not do yet. Limits that the
 * kernel lacks are taken out, with warnings. update: cfg and hc are what is to change of a container.
 */
int container_validate(const struct container_config *cfg, struct host_config *hc, const struct daemon_defaults *d, bool update,
	struct strv *warnings, struct err *err);

#endif
