/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api.h"

#include "base/clock.h"
#include "base/filters.h"
#include "container/container.h"
#include "events.h"
#include "network/net.h"

struct config_from {
	char *network;
};
JDESC(config_from_desc, config_from,
	JFIELD(config_from, network, "Network", J_STR, 0));

struct network_body {
	char *name, *driver, *scope, *ipam;
	struct config_from from;
	bool check_duplicate, internal, attachable, ingress, config_only, ipv6;
	struct opt_bool ipv4;
	struct strmap options, labels;
};
JDESC(network_body_desc, network_body,
	JFIELD(network_body, name, "Name", J_STR, 0),
	JFIELD(network_body, check_duplicate, "CheckDuplicate", J_BOOL, 0),
	JFIELD(network_body, driver, "Driver", J_STR, 0),
	JFIELD(network_body, scope, "Scope", J_STR, 0),
	JFIELD(network_body, ipv4, "EnableIPv4", J_OPT_BOOL, 0),
	JFIELD(network_body, ipv6, "EnableIPv6", J_BOOL, 0),
	JFIELD(network_body, ipam, "IPAM", J_RAW, 0),
	JFIELD(network_body, internal, "Internal", J_BOOL, 0),
	JFIELD(network_body, attachable, "Attachable", J_BOOL, 0),
	JFIELD(network_body, ingress, "Ingress", J_BOOL, 0),
	JFIELD(network_body, config_only, "ConfigOnly", J_BOOL, 0),
	JFIELD_SUB(network_body, from, "ConfigFrom", J_OBJ, 0, config_from_desc),
	JFIELD(network_body, options, "Options", J_STRMAP, 0),
	JFIELD(network_body, labels, "Labels", J_STRMAP, 0));

struct connect_body {
	char *container, *endpoint;
	bool force;
};
JDESC(connect_body_desc, connect_body,
	JFIELD(connect_body, container, "Container", J_STR, 0),
	JFIELD_SUB(connect_body, endpoint, "EndpointConfig", J_RAW, 0, endpoint_wish_desc),
	JFIELD(connect_body, force, "Force", J_BOOL, 0));

/* What of the filters has to be looked at once. */
struct wanted {
	const struct filters *f;
	bool dangling_given, dangling, custom, builtin;
};

static int read_wanted(const struct filters *f, struct wanted *ret, struct err *err)
{
	const struct strv *types = filters_get(f, "type");

	*ret = (struct wanted){ .f = f, .dangling_given = filters_has(f, "dangling") };
	if (filters_bool(f, "dangling", false, &ret->dangling, err) < 0)
		return err_set(err, ERR_INVALID, "invalid value for filter 'dangling', must be \"true\" (or "
			"\"1\"), or \"false\" (or \"0\")");
	for (size_t i = 0; types && i < types->len; i++) {
		ret->custom |= streq(types->v[i], "custom");
		ret->builtin |= streq(types->v[i], "builtin");
		if (!streq(types->v[i], "custom") && !streq(types->v[i], "builtin"))
			return err_set(err, ERR_INVALID, "invalid filter: 'type'='%s'", types->v[i]);
	}
	return 0;
}

static bool listed(struct api *api, const struct wanted *want, const struct network *n)
{
	const struct filters *f = want->f;
	bool builtin = net_is_predefined(n->name);

	if (want->dangling_given && want->dangling != (!builtin && net_users(api->nets, n, NULL) == 0))
		return false;
	if ((want->custom || want->builtin) && !(builtin ? want->builtin : want->custom))
		return false;
	return (!filters_has(f, "name") || filters_match(f, "name", n->name)) &&
		(!filters_has(f, "id") || filters_match(f, "id", n->id)) &&
		(!filters_has(f, "driver") || filters_exact(f, "driver", n->driver)) &&
		(!filters_has(f, "scope") || filters_exact(f, "scope", n->scope)) &&
		filters_labels(f, "label", &n->labels);
}

static int on_list(struct job *job, struct err *err)
{
	static const char *const allowed[] = { "dangling", "driver", "id", "label", "name", "scope", "type", NULL };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FILTERS struct filters f = {0};
	OWN_BUF struct buf b = {0};
	struct wanted want;
	struct network **v;
	struct jw w;
	size_t len;

	if (filters_parse(request_query(rq, "filters"), &f, err) < 0 || filters_validate(&f, allowed, err) < 0 ||
	    read_wanted(&f, &want, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_arr(&w);
	len = net_list(api->nets, &v);
	/* Before 1.28 the list was as full as an inspection of each. */
	for (size_t i = 0; i < len; i++)
		if (listed(api, &want, v[i]))
			net_encode(api->nets, v[i], rq->api_minor < 28, rq->api_minor, &w);
	net_list_free(v, len);
	jw_arr_end(&w);
	return reply_json(rq, 200, &b);
}

/* Go's strconv.ParseBool. */
static int parse_bool(const char *name, const char *s, struct err *err)
{
	static const char *const words[] = { "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (streq(s, words[i]))
			return 0;
	return err_set(err, ERR_INVALID, "invalid value for %s: %s: strconv.ParseBool: parsing \"%s\": invalid "
		"syntax", name, s, s);
}

static int on_inspect(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *verbose = request_query(rq, "verbose"), *scope = request_query(rq, "scope"), *id = request_var(rq, "id");
	OWN_NETWORK struct network *n = NULL;
	OWN_BUF struct buf b = {0};
	struct jw w;

	if (!str_empty(verbose) && parse_bool("verbose", verbose, err) < 0)
		return -1;
	n = net_find(api->nets, id, err);
	if (!n)
		return -1;
	if (!str_empty(scope) && !streq(scope, n->scope))
		return err_set(err, ERR_NOT_FOUND, "network %s not found", id);
	jw_init(&w, &b);
	net_encode(api->nets, n, true, rq->api_minor, &w);
	return reply_json(rq, 200, &b);
}

static int on_create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	struct network_body body = {0};
	OWN_BUF struct buf b = {0};
	struct net_spec spec;
	char id[65];
	struct jw w;
	int ret = request_body_json(rq, &network_body_desc, &body, false, err);

	if (ret == 0) {
		spec = (struct net_spec){
			.name = body.name, .driver = body.driver, .scope = body.scope, .config_from = body.from.network,
			.ingress = body.ingress, .config_only = body.config_only, .enable_ipv4 = -1, .enable_ipv6 = -1,
		};
		ret = net_create(api->nets, &spec, id, NULL, err);
	}
	jdesc_clear(&network_body_desc, &body);
	if (ret < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Id", id);
	jw_kstr(&w, "Warning", "");
	jw_obj_end(&w);
	return reply_json(rq, 201, &b);
}

static int on_delete(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);

	if (net_remove(job_api(job)->nets, request_var(rq, "id"), err) < 0)
		return -1;
	return reply_empty(rq, 204);
}

static bool is_on(struct api *api, const struct network *n, const char *container_id)
{
	OWN_STRV struct strv users = {0};

	net_users(api->nets, n, &users);
	return strv_contains(&users, container_id);
}

static bool is_on_named(struct api *api, const char *network, const char *container_id)
{
	OWN_NETWORK struct network *n = net_find(api->nets, network, NULL);

	return n && is_on(api, n, container_id);
}

/* none and host cannot be joined by, or left to, a container that lives elsewhere. */
static int refuse_connect(struct api *api, const struct network *n, const char *container, const char *id, struct err *err)
{
	if (is_on(api, n, id))
		return err_set(err, ERR_FORBIDDEN, "endpoint with name %s already exists in network %s", container, n->name);
	if (streq(n->name, "host"))
		return err_set(err, ERR_INVALID, "container cannot be disconnected from host network or "
			"connected to host network");
	if (is_on_named(api, "host", id))
		return err_set(err, ERR_INVALID, "container sharing network namespace with another container or "
			"host cannot be connected to any other network");
	if (streq(n->name, "none"))
		return err_set(err, ERR_INVALID, "container cannot be connected to multiple networks with one "
			"of the networks in private (none) mode");
	return err_set(err, ERR_NOT_IMPLEMENTED, "containers cannot be connected to network %s yet", n->name);
}

static int refuse_disconnect(struct api *api, const struct network *n, const char *id, struct err *err)
{
	if (!is_on(api, n, id))
		return err_set(err, ERR_CONFLICT, "container %s is not connected to the network %s", id, n->name);
	if (streq(n->name, "host"))
		return err_set(err, ERR_INVALID, "container cannot be disconnected from host network or "
			"connected to host network");
	return err_set(err, ERR_NOT_IMPLEMENTED, "containers cannot be disconnected from network %s yet", n->name);
}

static int connect_or_not(struct job *job, bool connect, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_NETWORK struct network *n = NULL;
	struct connect_body body = {0};
	int ret = request_body_json(rq, &connect_body_desc, &body, false, err);

	if (ret == 0) {
		n = net_find(api->nets, request_var(rq, "id"), err);
		c = n ? container_find(api->containers, body.container ? body.container : "", err) : NULL;
		if (n && !c && !connect && body.force)
			err_set(err, ERR_NOT_FOUND, "endpoint %s not found", body.container ? body.container : "");
		ret = -1;
	}
	if (c)
		ret = connect ? refuse_connect(api, n, body.container, container_id(c), err) :
			refuse_disconnect(api, n, container_id(c), err);
	jdesc_clear(&connect_body_desc, &body);
	return ret;
}

static int on_connect(struct job *job, struct err *err)
{
	return connect_or_not(job, true, err);
}

static int on_disconnect(struct job *job, struct err *err)
{
	return connect_or_not(job, false, err);
}

/* There is no network that a prune may take. */
static int on_prune(struct job *job, struct err *err)
{
	static const char *const allowed[] = { "label", "label!", "until", NULL };
	struct request *rq = job_request(job);
	OWN_FILTERS struct filters f = {0};
	OWN_BUF struct buf b = {0};
	int64_t until;
	struct jw w;

	if (filters_parse(request_query(rq, "filters"), &f, err) < 0 || filters_validate(&f, allowed, err) < 0 ||
	    filters_until(&f, clock_now(), &until, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_knull(&w, "NetworksDeleted");
	jw_obj_end(&w);
	events_log(job_api(job)->events, "network", "prune", "", "reclaimed", "0", NULL);
	return reply_json(rq, 200, &b);
}

int api_networks_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "network_list", on_list }, { "network_inspect", on_inspect }, { "network_create", on_create },
		{ "network_delete", on_delete }, { "network_connect", on_connect }, { "network_disconnect", on_disconnect },
		{ "network_prune", on_prune },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
