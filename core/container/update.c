/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * POST /containers/{id}/update: resources and the restart policy as in Docker, at once where the container runs; beyond that
 * environment, stop signal and log (from the next start on), labels, stop time-out, health check, and published ports (at once).
 */
#include "container/update.h"

#include "container/bundle/bundle.h"
#include "container/internal.h"
#include "container/shim-client.h"
#include "container/validate.h"

JDESC_STATIC(restart_desc, restart_policy,
	JFIELD(restart_policy, name, "Name", J_STR, 0),
	JFIELD(restart_policy, maximum_retry_count, "MaximumRetryCount", J_I64, 0));
JDESC_STATIC(update_host_desc, host_config,
	JFIELD(host_config, cpu_shares, "CpuShares", J_I64, 0),
	JFIELD(host_config, memory, "Memory", J_I64, 0),
	JFIELD(host_config, nano_cpus, "NanoCpus", J_I64, 0),
	JFIELD(host_config, blkio_weight, "BlkioWeight", J_I64, 0),
	JFIELD(host_config, cpu_period, "CpuPeriod", J_I64, 0),
	JFIELD(host_config, cpu_quota, "CpuQuota", J_I64, 0),
	JFIELD(host_config, cpu_rt_period, "CpuRealtimePeriod", J_I64, 0),
	JFIELD(host_config, cpu_rt_runtime, "CpuRealtimeRuntime", J_I64, 0),
	JFIELD(host_config, cpuset_cpus, "CpusetCpus", J_STR, 0),
	JFIELD(host_config, cpuset_mems, "CpusetMems", J_STR, 0),
	JFIELD(host_config, kernel_memory, "KernelMemory", J_I64, 0),
	JFIELD(host_config, memory_reservation, "MemoryReservation", J_I64, 0),
	JFIELD(host_config, memory_swap, "MemorySwap", J_I64, 0),
	JFIELD(host_config, pids_limit, "PidsLimit", J_OPT_I64, 0),
	JFIELD(host_config, port_bindings, "PortBindings", J_RAW, 0),
	JFIELD_SUB(host_config, restart, "RestartPolicy", J_OBJ, 0, restart_desc),
	JFIELD_SUB(host_config, log, "LogConfig", J_OBJ, 0, log_config_desc));
JDESC_STATIC(update_config_desc, container_config,
	JFIELD(container_config, env, "Env", J_STRV, 0),
	JFIELD_SUB(container_config, healthcheck, "Healthcheck", J_PTR, 0, image_health_desc),
	JFIELD(container_config, stop_signal, "StopSignal", J_STR, 0),
	JFIELD(container_config, stop_timeout, "StopTimeout", J_OPT_I64, 0));

/* Docker's resources that are fixed from the create on, and members of a create that may be taken for one of an update. */
static const char *const not_updated[] = { "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps",
	"BlkioWeightDevice", "CgroupParent", "CpuCount", "CpuPercent", "DeviceCgroupRules", "DeviceRequests", "Devices",
	"IOMaximumBandwidth", "IOMaximumIOps", "KernelMemoryTCP", "Mounts", "OomKillDisable", "Ulimits" };

static bool is_set(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_ARRAY: return json_array_size(v) > 0;
	case JSON_OBJECT: return json_object_size(v) > 0;
	case JSON_STRING: return *json_string_value(v);
	case JSON_INTEGER: return json_integer_value(v) != 0;
	case JSON_NULL:
	case JSON_FALSE: return false;
	default: return true;
	}
}

void update_body_any_case(json_t *js)
{
	jdesc_any_case(&update_host_desc, js);
	jdesc_any_case(&update_config_desc, js);
	publish_any_case(json_object_get(js, "PortBindings"));
}

int update_body_decode(json_t *js, struct update_body *ret, struct err *err)
{
	json_t *labels = json_object_get(js, "Labels");
	const char *key;
	json_t *v;

	if (jdesc_decode(&update_host_desc, js, &ret->host, err) < 0 || jdesc_decode(&update_config_desc, js, &ret->config, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(not_updated); i++) {
		v = json_object_get(js, not_updated[i]);
		if (v && is_set(v))
			strv_add(&ret->ignored, not_updated[i]);
	}
	if (labels && !json_is_object(labels) && !json_is_null(labels))
		return err_set(err, ERR_INVALID, "invalid JSON: /Labels: expected an object");
	json_object_foreach(labels, key, v) {
		if (json_is_null(v))
			strv_add(&ret->labels_gone, key);
		else if (json_is_string(v))
			strmap_set(&ret->config.labels, key, json_string_value(v));
		else
			return err_set(err, ERR_INVALID, "invalid JSON: /Labels/%.128s: expected a string or null", key);
	}
	return 0;
}

void update_body_done(struct update_body *b)
{
	jdesc_clear(&update_host_desc, &b->host);
	strmap_done(&b->config.labels);
	jdesc_clear(&update_config_desc, &b->config);
	strv_done(&b->labels_gone);
	strv_done(&b->ignored);
}

static int conflict(struct err *err, const char *text)
{
	return err_set(err, ERR_CONFLICT, "%s", text);
}

/* What cannot go together with what is set already. */
static int check_against(const struct host_config *now, const struct host_config *want, struct err *err)
{
	if (now->auto_remove && !str_empty(want->restart.name) && !streq(want->restart.name, "no"))
		return conflict(err, "Restart policy cannot be updated because AutoRemove is enabled for the container");
	if (want->nano_cpus && now->cpu_period)
		return conflict(err, "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
	if (want->nano_cpus && now->cpu_quota)
		return conflict(err, "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
	if (want->cpu_period && now->nano_cpus)
		return conflict(err, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
	if (want->cpu_quota && now->nano_cpus)
		return conflict(err, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
	if (want->memory && want->memory > now->memory_swap && want->memory_swap == 0)
		return conflict(err, "Memory limit should be smaller than already set memoryswap limit, "
				     "update the memoryswap at the same time");
	return 0;
}

static bool take_i64(int64_t *field, int64_t v)
{
	if (v)
		*field = v;
	return v != 0;
}

static bool take_text(char **field, const char *v)
{
	if (!str_empty(v))
		str_set(field, v);
	return !str_empty(v);
}

/* Whether something of it concerns the control groups. */
static bool take_resources(struct host_config *h, const struct host_config *want)
{
	bool any = false;

	any |= take_i64(&h->cpu_shares, want->cpu_shares);
	any |= take_i64(&h->memory, want->memory);
	any |= take_i64(&h->nano_cpus, want->nano_cpus);
	any |= take_i64(&h->blkio_weight, want->blkio_weight);
	any |= take_i64(&h->cpu_period, want->cpu_period);
	any |= take_i64(&h->cpu_quota, want->cpu_quota);
	any |= take_i64(&h->cpu_rt_period, want->cpu_rt_period);
	any |= take_i64(&h->cpu_rt_runtime, want->cpu_rt_runtime);
	any |= take_i64(&h->memory_reservation, want->memory_reservation);
	any |= take_i64(&h->memory_swap, want->memory_swap);
	any |= take_text(&h->cpuset_cpus, want->cpuset_cpus);
	any |= take_text(&h->cpuset_mems, want->cpuset_mems);
	take_i64(&h->kernel_memory, want->kernel_memory); /* shown, and without effect since long */
	if (want->pids_limit.set)
		h->pids_limit = want->pids_limit;
	return any || want->pids_limit.set;
}

static void take_health(struct container_config *cfg, const struct image_health *want)
{
	struct image_health *h = cfg->healthcheck;

	if (!h)
		h = cfg->healthcheck = xcalloc(1, sizeof(*h));
	if (want->test.len) {
		strv_done(&h->test);
		strv_copy(&h->test, &want->test);
	}
	take_i64(&h->interval, want->interval);
	take_i64(&h->timeout, want->timeout);
	take_i64(&h->start_period, want->start_period);
	take_i64(&h->start_interval, want->start_interval);
	take_i64(&h->retries, want->retries);
}

static void take_config(struct container_config *cfg, const struct update_body *b)
{
	const struct container_config *want = &b->config;

	for (size_t i = 0; i < want->env.len; i++) {
		OWN_FREE char *key = xstrndup(want->env.v[i], strcspn(want->env.v[i], "="));
		const char *value = strchr(want->env.v[i], '=');

		if (value)
			strv_env_set(&cfg->env, key, value + 1);
		else
			strv_env_del(&cfg->env, key);
	}
	for (size_t i = 0; i < want->labels.len; i++)
		strmap_set(&cfg->labels, want->labels.v[i].key, want->labels.v[i].value);
	for (size_t i = 0; i < b->labels_gone.len; i++)
		strmap_del(&cfg->labels, b->labels_gone.v[i]);
	take_text(&cfg->stop_signal, want->stop_signal);
	if (want->stop_timeout.set)
		cfg->stop_timeout = want->stop_timeout;
	if (want->healthcheck)
		take_health(cfg, want->healthcheck);
}

/* The runtime's own command, with the whole of the resources as they shall be. */
static int apply(struct container *c, struct run *run, const struct host_config *h, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (bundle_limits(h, &w, err) < 0)
		return -1;
	lock_none_held();
	if (shim_update(run->shim, &b, err) == 0)
		return 0;
	return container_ends(c) ? 0 : -1; /* what has ended takes them at its next start */
}

static bool has_bindings(const struct host_config *want)
{
	return want->port_bindings && !streq(want->port_bindings, "null");
}

/* At once where it runs: what stays is not touched, and where one cannot be bound none changes. */
static int update_ports(struct container *c, const struct host_config *want, bool live, struct err *err)
{
	const char *mode = container_mode(c);
	struct host_config h = { .port_bindings = want->port_bindings, .publish_all_ports = c->host.publish_all_ports };

	if (str_has_prefix(mode, "container:") && publish_any(&h))
		return err_set(err, ERR_INVALID, "conflicting options: port publishing and the container type network mode");
	return live && !str_has_prefix(mode, "container:") ? publish_do(c, &h, err) : 0;
}

static int update_op(struct container *c, const struct update_body *b, struct err *err)
{
	CLEANUP(run_putp) struct run *run = container_run(c);
	struct host_config h = { 0 };
	bool removing, live, limits;
	int r;

	lock_take(&c->lock);
	removing = c->rec.state.removal || c->rec.state.dead;
	live = c->rec.state.running && !c->rec.state.restarting && run;
	jdesc_copy(&host_config_desc, &h, &c->host);
	lock_drop(&c->lock);
	r = removing ? conflict(err, "Container is marked for removal and cannot be \"update\".") : check_against(&h, &b->host, err);
	limits = r == 0 && take_resources(&h, &b->host);
	if (limits && live)
		r = apply(c, run, &h, err);
	if (r == 0 && has_bindings(&b->host))
		r = update_ports(c, &b->host, live, err);
	jdesc_clear(&host_config_desc, &h);
	if (r < 0)
		return -1;
	/* in place: what no update changes is read without the lock */
	lock_take(&c->lock);
	take_resources(&c->host, &b->host);
	if (!str_empty(b->host.restart.name)) {
		str_set(&c->host.restart.name, b->host.restart.name);
		c->host.restart.maximum_retry_count = b->host.restart.maximum_retry_count;
	}
	if (has_bindings(&b->host))
		str_set(&c->host.port_bindings, b->host.port_bindings);
	take_config(&c->rec.config, b);
	if (log_config_is_set(&b->host.log))
		log_config_note(c, &b->host.log);
	lock_drop(&c->lock);
	return container_save(c, true, FS_SYNC, err);
}

int container_update(struct container *c, struct update_body *b, struct strv *warnings, struct err *err)
{
	int r;

	if (container_validate_asked(&b->config, &b->host, err) < 0 ||
	    container_validate(&b->config, &b->host, c->store->deps.defaults, true, warnings, err) < 0)
		return -1;
	if (log_config_is_set(&b->host.log) && log_config_settle(c, &b->host.log, err) < 0)
		return -1;
	for (size_t i = 0; i < b->ignored.len; i++)
		strv_addf(warnings, "%s cannot be updated: it stays as it was at create", b->ignored.v[i]);
	if (op_begin(c, err) < 0)
		return -1;
	r = update_op(c, b, err);
	op_end(c);
	if (r < 0)
		return err_wrap(err, "Cannot update container %s", c->id);
	if (b->config.healthcheck)
		health_begin(c, true);
	if (log_config_is_set(&b->host.log))
		log_config_warn(&b->host.log, warnings);
	if (log_config_is_set(&b->host.log) && container_is_running(c))
		strv_add(warnings, "LogConfig has its effect from the container's next start on.");
	container_event(c, "update", NULL);
	return 0;
}
