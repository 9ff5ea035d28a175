/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is wrong with a configuration as a whole, in Docker's words where Docker has them; what follows from it; what has
 * no effect yet.
 */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "config/value.h"
#include "container/bundle/cgroup.h"
#include "container/log/opts.h"
#include "gc-policy.h"

typedef int check_fn(struct config *cfg, struct err *err);
static void make_absolute(char **path);

static check_fn fill_empty, check_log, check_numbers, check_modes, check_runtime, check_labels, check_lists, check_cgroup, check_network, check_cluster,
	check_api_version, check_gc, check_not_here, check_seccomp, fill_tls, fill_hosts, fill_paths;

int config_validate(struct config *cfg, struct err *err)
{
	static check_fn *const checks[] = { fill_empty, check_log, check_labels, check_numbers, check_modes, check_runtime, check_lists,
		config_rootless_check, check_cgroup, check_network, check_cluster, check_api_version, check_gc, check_not_here, check_seccomp, fill_tls,
		fill_hosts, fill_paths };

	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		if (checks[i](cfg, err) < 0)
			return -1;
	return 0;
}

/* Variables that change the other engine's ways. */
static const char *const inert_variables[] = { "DOCKER_RAMDISK", "DOCKER_CONTAINER_LABELS_FILTER", "DOCKER_IGNORE_BR_NETFILTER_ERROR",
	"DOCKER_INSECURE_NO_IPTABLES_RAW", "DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS" };

void config_inert(const struct config *cfg, struct strv *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(inert_variables); i++)
		if (!str_empty(getenv(inert_variables[i])))
			strv_addf(ret, "%s has no effect in this version", inert_variables[i]);
	for (size_t i = 0; i < cfg->features.len; i++)
		if (!streq(cfg->features.v[i].key, "containerd-snapshotter") && !streq(cfg->features.v[i].key, "cdi") &&
			!streq(cfg->features.v[i].key, "native-exec"))
			strv_addf(ret, "the feature \"%s\" has no effect in this version", cfg->features.v[i].key);
	for (int id = 0; id < OPT_COUNT; id++) {
		if (!(opts[id].bits & OPT_INERT) || cfg->from[id] == FROM_DEFAULT)
			continue;
		if (id == OPT_ID_bridge && (streq(cfg->bridge, "none") || !*cfg->bridge))
			continue;
		if (cfg->from[id] == FROM_FLAG)
			strv_addf(ret, "--%s has no effect in this version", opts[id].flag);
		else
			strv_addf(ret, "the option \"%s\" of %s has no effect in this version", opts[id].key, cfg->file);
	}
}

static int check_gc(struct config *cfg, struct err *err)
{
	OWN_GC_POLICY struct gc_policy p = { 0 };

	return gc_policy_parse(cfg->gc, &p, err);
}

/* An empty word is the default of these, as Docker has it. */
static int fill_empty(struct config *cfg, struct err *err)
{
	static const enum opt_id ids[] = { OPT_ID_default_runtime, OPT_ID_default_ipc_mode, OPT_ID_default_cgroupns_mode,
		OPT_ID_log_driver, OPT_ID_log_level };
	struct config fresh = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char **field = opt_field(cfg, ids[i]);

		if (**field)
			continue;
		if (!fresh.log_level)
			config_init(&fresh);
		str_set(field, *(char **)opt_field(&fresh, ids[i]));
	}
	config_done(&fresh);
	return 0;
}

static int check_log(struct config *cfg, struct err *err)
{
	if (log_level_parse(cfg->log_level) < 0)
		return err_set(err, ERR_INVALID, "invalid logging level: %s", cfg->log_level);
	if (!streq(cfg->log_format, "text") && !streq(cfg->log_format, "json") && *cfg->log_format)
		return err_set(err, ERR_INVALID, "invalid log format: %s", cfg->log_format);
	if (!log_driver_builtin(cfg->log_driver)) /* looked at when drivers can be loaded */
		return 0;
	if (*cfg->check_driver) /* they are for that one */
		return 0;
	return log_opts_check(cfg->log_driver, &cfg->log_opts, err) < 0 ? err_wrap(err, "failed to set log opts") : 0;
}

static int check_numbers(struct config *cfg, struct err *err)
{
	if (cfg->mtu < 0)
		return err_set(err, ERR_INVALID, "invalid default MTU: %lld", (long long)cfg->mtu);
	if (cfg->max_concurrent_downloads < 0)
		return err_set(err, ERR_INVALID, "invalid max concurrent downloads: %lld",
			(long long)cfg->max_concurrent_downloads);
	if (cfg->max_concurrent_uploads < 0)
		return err_set(err, ERR_INVALID, "invalid max concurrent uploads: %lld",
			(long long)cfg->max_concurrent_uploads);
	if (cfg->max_download_attempts < 1 && cfg->from[OPT_ID_max_download_attempts])
		return err_set(err, ERR_INVALID, "invalid max download attempts: %lld", (long long)cfg->max_download_attempts);
	if (cfg->max_download_stall < 1)
		return err_set(err, ERR_INVALID, "invalid max download stall: %lld", (long long)cfg->max_download_stall);
	if (cfg->min_download_rate < 1)
		return err_set(err, ERR_INVALID, "invalid min download rate: %lld", (long long)cfg->min_download_rate);
	if (cfg->default_stop_timeout < 0)
		return err_set(err, ERR_INVALID, "invalid default stop timeout: %lld", (long long)cfg->default_stop_timeout);
	if (cfg->shutdown_timeout < -1)
		return err_set(err, ERR_INVALID, "invalid shutdown timeout: %lld", (long long)cfg->shutdown_timeout);
	return 0;
}

static int check_modes(struct config *cfg, struct err *err)
{
	if (!streq(cfg->default_ipc_mode, "private") && !streq(cfg->default_ipc_mode, "shareable"))
		return err_set(err, ERR_INVALID, "IPC mode \"%s\" is not supported as default value; use "
			"\"shareable\" or \"private\"", cfg->default_ipc_mode);
	if (!streq(cfg->default_cgroupns_mode, "private") && !streq(cfg->default_cgroupns_mode, "host"))
		return err_set(err, ERR_INVALID, "default cgroup namespace mode (%s) is invalid; use \"host\" or "
			"\"private\"", cfg->default_cgroupns_mode);
	if (*cfg->firewall_backend && !streq(cfg->firewall_backend, "iptables") && !streq(cfg->firewall_backend, "nftables"))
		return err_set(err, ERR_INVALID, "invalid firewall-backend \"%s\"; use \"iptables\" or \"nftables\"",
			cfg->firewall_backend);
	if (!streq(cfg->publish_policy, "open") && !streq(cfg->publish_policy, "host"))
		return err_set(err, ERR_INVALID, "invalid publish-policy \"%s\"; use \"open\" or \"host\"", cfg->publish_policy);
	if (streq(cfg->publish_policy, "host") && !cfg->userland_proxy)
		return err_set(err, ERR_INVALID, "--publish-policy=host needs the userland proxy");
	return 0;
}

static int check_runtime(struct config *cfg, struct err *err)
{
	if (!streq(cfg->default_runtime, "runc") && !strmap_get(&cfg->runtimes, cfg->default_runtime))
		return err_set(err, ERR_INVALID, "specified default runtime '%s' does not exist", cfg->default_runtime);
	return 0;
}

static int check_labels(struct config *cfg, struct err *err)
{
	OWN_STRMAP struct strmap seen = { 0 };

	for (size_t i = 0; i < cfg->labels.len; i++) {
		const char *label = cfg->labels.v[i], *value = strchr(label, '=') + 1, *before;
		OWN_FREE char *key = xstrndup(label, (size_t)(value - 1 - label));

		before = strmap_get(&seen, key);
		if (before && !streq(before, value))
			return err_set(err, ERR_INVALID, "conflict labels for %s=%s and %s=%s", key, value, key, before);
		strmap_set(&seen, key, value);
	}
	return 0;
}

/* "http://" and "https://" are taken off, as Docker does. */
static void bare_registry(struct config *cfg, char **entry)
{
	size_t n = strncasecmp(*entry, "http://", 7) == 0 ? 7 : strncasecmp(*entry, "https://", 8) == 0 ? 8 : 0;
	OWN_FREE char *bare = xstrdup(*entry + n);

	if (!n)
		return;
	strv_take(&cfg->warnings, xasprintf("insecure registry %s should not contain '%.*s': it is left out", *entry, (int)n, *entry));
	str_set(entry, bare);
}

static int check_registry(const char *entry, struct err *err)
{
	size_t n = strspn(entry, "[]:.-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	if (strstr(entry, "://"))
		return err_set(err, ERR_INVALID, "insecure registry %s should not contain '://'", entry);
	if (config_is_cidr(entry) || (n && !entry[n]))
		return 0;
	return err_set(err, ERR_INVALID, "insecure registry %s is not valid: it is neither HOST[:PORT] nor a network in CIDR notation", entry);
}

static int check_lists(struct config *cfg, struct err *err)
{
	for (size_t i = 0; i < cfg->insecure_registries.len; i++) {
		bare_registry(cfg, &cfg->insecure_registries.v[i]);
		if (check_registry(cfg->insecure_registries.v[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < cfg->storage_opts.len; i++)
		if (!strchr(cfg->storage_opts.v[i], '='))
			return err_set(err, ERR_INVALID, "unable to parse storage-opt %s: expected key=value",
				cfg->storage_opts.v[i]);
	return 0;
}

/* As Docker takes it where nobody says: with control groups v2 there is one writer, and that is systemd where it runs and can be asked. */
static bool systemd_has_groups(void)
{
	return cgroup_is_v2() && fs_exists("/run/systemd/system") && fs_exists("/run/dbus/system_bus_socket");
}

static int check_cgroup(struct config *cfg, struct err *err)
{
	const char *driver = "";

	for (size_t i = 0; i < cfg->exec_opts.len; i++) {
		const char *opt = cfg->exec_opts.v[i];

		if (!strchr(opt, '='))
			return err_set(err, ERR_INVALID, "unable to parse key/value option: %s", opt);
		if (!str_has_prefix(opt, "native.cgroupdriver="))
			return err_set(err, ERR_INVALID, "exec-opt %s is not known: native.cgroupdriver=cgroupfs or "
				"systemd", opt);
		driver = strchr(opt, '=') + 1;
	}
	if (*driver && !streq(driver, "cgroupfs") && !streq(driver, "systemd"))
		return err_set(err, ERR_INVALID, "native.cgroupdriver option %s not supported", driver);
	if (!cfg->rootless)
		cfg->systemd_cgroup = streq(driver, "systemd") || (!*driver && systemd_has_groups());
	else if (config_rootless_cgroups(cfg, driver, err) < 0)
		return -1;
	if (cfg->systemd_cgroup && *cfg->cgroup_parent && (strlen(cfg->cgroup_parent) <= 6 ||
		!str_has_suffix(cfg->cgroup_parent, ".slice")))
		return err_set(err, ERR_INVALID, "cgroup-parent for systemd cgroup should be a valid slice named as "
			"\"xxx.slice\"");
	return 0;
}

static int check_cluster(struct config *cfg, struct err *err)
{
	static const char *const known[] = { "kv.cacertfile", "kv.certfile", "kv.keyfile", "discovery.ttl" };

	if (*cfg->cluster_store && !*cfg->cluster_advertise)
		return err_set(err, ERR_INVALID, "--cluster-store needs --cluster-advertise: the address by which other hosts reach this one");
	if (!*cfg->cluster_store && (*cfg->cluster_advertise || cfg->cluster_store_opts.len))
		return err_set(err, ERR_INVALID, "--cluster-advertise needs --cluster-store");
	for (size_t i = 0; i < cfg->cluster_store_opts.len; i++) {
		const char *key = cfg->cluster_store_opts.v[i].key;
		size_t k = 0;

		while (k < ARRAY_LEN(known) && !streq(known[k], key))
			k++;
		if (k == ARRAY_LEN(known))
			return err_set(err, ERR_INVALID, "unknown cluster store option %s", key);
	}
	return 0;
}

static int check_network(struct config *cfg, struct err *err)
{
	if (*cfg->bridge && *cfg->bip)
		return err_set(err, ERR_INVALID, "you specified -b & --bip, mutually exclusive options. Please "
			"specify only one");
	if (!cfg->iptables && !cfg->icc)
		return err_set(err, ERR_INVALID, "you specified --iptables=false with --icc=false. ICC=false uses "
			"iptables to function. Please set --icc or --iptables to true");
	if (*cfg->bip && !config_is_cidr(cfg->bip))
		return err_set(err, ERR_INVALID, "invalid CIDR address: %s", cfg->bip);
	if (*cfg->bip6 && !config_is_cidr(cfg->bip6))
		return err_set(err, ERR_INVALID, "invalid CIDR address: %s", cfg->bip6);
	if (*cfg->fixed_cidr && !config_is_cidr(cfg->fixed_cidr))
		return err_set(err, ERR_INVALID, "invalid CIDR address: %s", cfg->fixed_cidr);
	if (*cfg->fixed_cidr_v6 && !config_is_cidr(cfg->fixed_cidr_v6))
		return err_set(err, ERR_INVALID, "invalid CIDR address: %s", cfg->fixed_cidr_v6);
	return 0;
}

static int check_api_version(struct config *cfg, struct err *err)
{
	int64_t minor;

	if (!*cfg->min_api_version)
		return 0;
	if (!str_has_prefix(cfg->min_api_version, "1.") || !str_to_i64(cfg->min_api_version + 2, &minor))
		return err_set(err, ERR_INVALID, "invalid minimum API version: %s", cfg->min_api_version);
	if (minor < CONFIG_MIN_MINOR)
		return err_set(err, ERR_INVALID, "minimum supported API version is 1.%d: %s", CONFIG_MIN_MINOR,
			cfg->min_api_version);
	if (minor > CONFIG_MAX_MINOR)
		return err_set(err, ERR_INVALID, "maximum supported API version is 1.%d: %s", CONFIG_MAX_MINOR,
			cfg->min_api_version);
	cfg->min_minor = (int)minor;
	return 0;
}

/* What must not be taken for working: refused. */
static int check_not_here(struct config *cfg, struct err *err)
{
	const char *snapshotter = strmap_get(&cfg->features, "containerd-snapshotter");

	if (snapshotter && streq(snapshotter, "true"))
		return err_set(err, ERR_NOT_IMPLEMENTED, "the feature containerd-snapshotter is not in this version: "
			"images are kept by graph drivers");
	return 0;
}

static int check_seccomp(struct config *cfg, struct err *err)
{
	const char *profile = cfg->seccomp_profile;

	if (!*profile)
		str_set(&cfg->seccomp_profile, "builtin");
	else if (!streq(profile, "builtin") && !streq(profile, "unconfined") && !fs_exists(profile))
		return err_set(err, ERR_INVALID, "opening seccomp profile (%s) failed: no such file", profile);
	return 0;
}

/* Whoever speaks of tlsverify, even to say no, wants TLS: as Docker has it. */
static int fill_tls(struct config *cfg, struct err *err)
{
	if (cfg->tlsverify || cfg->from[OPT_ID_tlsverify] != FROM_DEFAULT)
		cfg->tls = true;
	make_absolute(&cfg->tlscacert);
	make_absolute(&cfg->tlscert);
	make_absolute(&cfg->tlskey);
	return 0;
}

/* ---- hosts ---- */

/* "host", "host:port", "[v6]:port", "" with a port of 1 to 65535. */
static int split_tcp(const char *addr, char **ret_host, char **ret_port, struct err *err)
{
	const char *colon, *end;
	int64_t port;

	if (*addr == '[') {
		end = strchr(addr, ']');
		if (!end || (end[1] && end[1] != ':'))
			return err_set(err, ERR_INVALID, "invalid bind address (tcp://%s)", addr);
		colon = end[1] ? end + 1 : NULL;
		*ret_host = xstrndup(addr + 1, (size_t)(end - addr - 1));
	} else {
		colon = strchr(addr, ':');
		if (colon && strchr(colon + 1, ':'))
			return err_set(err, ERR_INVALID, "invalid bind address (tcp://%s): IPv6 addresses stand in "
				"brackets", addr);
		*ret_host = colon ? xstrndup(addr, (size_t)(colon - addr)) : xstrdup(addr);
	}
	*ret_port = xstrdup(colon && colon[1] ? colon + 1 : "");
	if (**ret_port && (!str_to_i64(*ret_port, &port) || port < 0 || port > 65535))
		return err_set(err, ERR_INVALID, "invalid bind address (tcp://%s): invalid port number: %s", addr, *ret_port);
	if (strpbrk(*ret_host, "/?#@ "))
		return err_set(err, ERR_INVALID, "invalid bind address (tcp://%s): should not contain a path element", addr);
	return 0;
}

/* The end of a host, from "?" on: the policy of its clients and nothing else. *ret: the host without it. */
static int split_policy(const char *host, char **ret, struct err *err)
{
	const char *ask = strchr(host, '?'), *name = ask ? ask + strlen("?policy=") : "";

	*ret = xstrndup(host, ask ? (size_t)(ask - host) : strlen(host));
	if (!ask)
		return 0;
	if (ask == host || !str_has_prefix(ask, "?policy=") || !*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name))
		return err_set(err, ERR_INVALID, "invalid bind address (%s): after \"?\" stands policy=NAME, in small letters, digits, - and _", host);
	return 0;
}

static int check_plain_host(const char *host, struct err *err);

int config_check_host(const char *host, struct err *err)
{
	OWN_FREE char *plain = NULL;

	return split_policy(host, &plain, err) < 0 ? -1 : check_plain_host(plain, err);
}

static int check_plain_host(const char *host, struct err *err)
{
	OWN_FREE char *name = NULL;
	OWN_FREE char *port = NULL;

	if (!*host || str_has_prefix(host, "fd://"))
		return 0;
	if (str_has_prefix(host, "unix://")) {
		if (host[7] && host[7] != '/')
			return err_set(err, ERR_INVALID, "invalid bind address (%s): a unix socket has an absolute path", host);
		return strlen(host + 7) < 108 ? 0 : err_set(err, ERR_INVALID,
			"invalid bind address (%s): the path is too long for a socket", host);
	}
	if (strstr(host, "://") && !str_has_prefix(host, "tcp://"))
		return err_set(err, ERR_INVALID, "invalid bind address format: %s", host);
	return split_tcp(strstr(host, "://") ? host + 6 : host, &name, &port, err);
}

static char *full_plain_host(const char *host, bool tls);

char *config_full_host(const char *host, bool tls)
{
	OWN_FREE char *plain = NULL;
	OWN_FREE char *full = NULL;
	const char *ask = strchr(host, '?');

	split_policy(host, &plain, NULL);
	full = full_plain_host(plain, tls);
	return ask ? xasprintf("%s%s", full, ask) : STEAL(full);
}

static char *full_plain_host(const char *host, bool tls)
{
	OWN_FREE char *name = NULL;
	OWN_FREE char *port = NULL;

	if (!*host)
		return tls ? xstrdup("tcp://localhost:2376") : config_default_socket();
	if (streq(host, "unix://"))
		return config_default_socket();
	if (str_has_prefix(host, "unix://") || str_has_prefix(host, "fd://"))
		return xstrdup(host);
	if (split_tcp(str_has_prefix(host, "tcp://") ? host + 6 : host, &name, &port, NULL) < 0)
		return xstrdup(host);
	return xasprintf(strchr(name, ':') ? "tcp://[%s]:%s" : "tcp://%s:%s", *name ? name : "localhost", *port ?
		port : tls ? "2376" : "2375");
}

static int fill_hosts(struct config *cfg, struct err *err)
{
	struct strv full = { 0 };

	if (!cfg->hosts.len)
		strv_add(&cfg->hosts, "");
	for (size_t i = 0; i < cfg->hosts.len; i++) {
		OWN_FREE char *host = config_full_host(cfg->hosts.v[i], cfg->tls);

		if (!strv_contains(&full, host))
			strv_add(&full, host);
	}
	strv_done(&cfg->hosts);
	cfg->hosts = full;
	return 0;
}

static void make_absolute(char **path)
{
	char cwd[PATH_MAX];
	char *full;

	if (!**path || **path == '/' || !getcwd(cwd, sizeof(cwd)))
		return;
	full = xasprintf("%s/%s", cwd, *path);
	free(*path);
	*path = full;
}

static int fill_paths(struct config *cfg, struct err *err)
{
	if (!*cfg->data_root || !*cfg->exec_root)
		return err_set(err, ERR_INVALID, "--data-root and --exec-root need a path");
	make_absolute(&cfg->data_root);
	make_absolute(&cfg->exec_root);
	make_absolute(&cfg->pidfile);
	return 0;
}
