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

struct pool_body {
	char *subnet, *range, *gateway;
	struct strmap aux;
};
JDESC_STATIC(pool_body_desc, pool_body,
	JFIELD(pool_body, subnet, "Subnet", J_STR, 0),
	JFIELD(pool_body, range, "IPRange", J_STR, 0),
	JFIELD(pool_body, gateway, "Gateway", J_STR, 0),
	JFIELD(pool_body, aux, "AuxiliaryAddresses", J_STRMAP, 0));

struct ipam_body {
	char *driver;
	struct strmap options;
	struct jlist pools;
};
JDESC_STATIC(ipam_body_desc, ipam_body,
	JFIELD(ipam_body, driver, "Driver", J_STR, 0),
	JFIELD(ipam_body, options, "Options", J_STRMAP, 0),
	JFIELD_SUB(ipam_body, pools, "Config", J_LIST, 0, pool_body_desc));

struct network_body {
	char *name, *driver, *scope;
	struct ipam_body ipam;
	struct config_from from;
	bool check_duplicate, internal, attachable, ingress, config_only;
	struct opt_bool ipv4, ipv6;
	struct strmap options, labels;
};
JDESC(network_body_desc, network_body,
	JFIELD(network_body, name, "Name", J_STR, 0),
	JFIELD(network_body, check_duplicate, "CheckDuplicate", J_BOOL, 0),
	JFIELD(network_body, driver, "Driver", J_STR, 0),
	JFIELD(network_body, scope, "Scope", J_STR, 0),
	JFIELD(network_body, ipv4, "EnableIPv4", J_OPT_BOOL, 0),
	JFIELD(network_body, ipv6, "EnableIPv6", J_OPT_BOOL, 0),
	JFIELD_SUB(network_body, ipam, "IPAM", J_OBJ, 0, ipam_body_desc),
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

static int check_bool(const char *name, const char *s, struct err *err)
{
	bool ignored;

	if (str_bool(s, &ignored))
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

	if (!str_empty(verbose) && check_bool("verbose", verbose, err) < 0)
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

static void tell(struct api *api, const char *action, const struct network *n)
{
	events_log_of(api->events, &n->labels, "network", action, n->id, "name", n->name, "type", n->driver, NULL);
}

/* A network without IPv4 is of 1.48. */
static int create_network(struct api *api, const struct network_body *b, int api_minor, char id[65], struct strv *warnings, struct err *err)
{
	OWN_FREE struct net_pool *pools = xcalloc(b->ipam.pools.len + 1, sizeof(*pools));
	struct net_spec spec = {
		.name = b->name, .driver = b->driver, .scope = b->scope, .config_from = b->from.network, .ipam_driver = b->ipam.driver,
		.internal = b->internal, .attachable = b->attachable, .ingress = b->ingress, .config_only = b->config_only,
		.enable_ipv4 = b->ipv4.set && api_minor >= 48 ? b->ipv4.v : -1, .enable_ipv6 = b->ipv6.set ? b->ipv6.v : -1,
		.options = &b->options, .labels = &b->labels, .ipam_options = &b->ipam.options,
		.pools = pools, .pools_len = b->ipam.pools.len,
	};

	for (size_t i = 0; i < b->ipam.pools.len; i++) {
		const struct pool_body *p = jlist_at(&b->ipam.pools, i, &pool_body_desc);

		pools[i] = (struct net_pool){ .subnet = p->subnet, .range = p->range, .gateway = p->gateway, .aux = p->aux };
	}
	return net_create(api->nets, &spec, id, warnings, err);
}

static int on_create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	struct network_body body = {0};
	OWN_STRV struct strv warnings = {0};
	OWN_FREE char *warning = NULL;
	OWN_BUF struct buf b = {0};
	OWN_NETWORK struct network *n = NULL;
	char id[65];
	struct jw w;
	int ret = request_body_json(rq, &network_body_desc, &body, false, err);

	if (ret == 0)
		ret = create_network(api, &body, rq->api_minor, id, &warnings, err);
	jdesc_clear(&network_body_desc, &body);
	if (ret < 0)
		return -1;
	n = net_find(api->nets, id, NULL);
	if (n)
		tell(api, "create", n);
	warning = strv_join(&warnings, "\n");
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Id", id);
	jw_kstr(&w, "Warning", warning);
	jw_obj_end(&w);
	return reply_json(rq, 201, &b);
}

static int on_delete(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_NETWORK struct network *n = net_find(api->nets, request_var(rq, "id"), err);

	if (!n || net_remove(api->nets, n->id, err) < 0)
		return -1;
	tell(api, "destroy", n);
	return reply_empty(rq, 204);
}

static int on_connect(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_NETWORK struct network *n = NULL;
	struct connect_body body = {0};
	int ret = request_body_json(rq, &connect_body_desc, &body, false, err);

	if (ret == 0 && str_empty(body.container))
		ret = err_set(err, ERR_INVALID, "invalid name or ID supplied: \"\"");
	if (ret == 0) {
		n = net_find(api->nets, request_var(rq, "id"), err);
		c = n ? container_find(api->containers, body.container, err) : NULL;
		ret = c ? container_connect(c, n->id, body.endpoint, err) : -1;
	}
	jdesc_clear(&connect_body_desc, &body);
	return ret < 0 ? -1 : reply_empty(rq, 200);
}

static int on_disconnect(struct job *job, struct err *err)
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
		if (n && !c && body.force)
			err_set(err, ERR_NOT_FOUND, "endpoint %s not found", body.container ? body.container : "");
		ret = c ? container_disconnect(c, n->id, err) : -1;
	}
	jdesc_clear(&connect_body_desc, &body);
	return ret < 0 ? -1 : reply_empty(rq, 200);
}

/* What a prune was asked for, and the networks that may go. */
struct pruning {
	const struct filters *f;
	int64_t until;
	struct network **v; /* each with a reference */
	size_t len;
};

static bool may_go(void *ctx, struct network *n)
{
	struct pruning *p = ctx;

	if (n->created >= p->until || !filters_labels_pass(p->f, &n->labels))
		return false;
	p->v = xrealloc(p->v, (p->len + 1) * sizeof(*p->v));
	p->v[p->len++] = network_ref(n);
	return true;
}

static void pruning_done(struct api *api, struct pruning *p, const struct strv *gone)
{
	for (size_t i = 0; i < p->len; i++) {
		if (strv_contains(gone, p->v[i]->name))
			tell(api, "destroy", p->v[i]);
		network_unref(p->v[i]);
	}
	free(p->v);
}

static int on_prune(struct job *job, struct err *err)
{
	static const char *const allowed[] = { "label", "label!", "until", NULL };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FILTERS struct filters f = {0};
	struct pruning p = { .f = &f };
	OWN_STRV struct strv gone = {0};
	OWN_BUF struct buf b = {0};
	struct jw w;
	int ret;

	if (filters_parse(request_query(rq, "filters"), &f, err) < 0 || filters_validate(&f, allowed, err) < 0 ||
	    filters_until(&f, clock_now(), &p.until, err) < 0)
		return -1;
	ret = net_prune(api->nets, may_go, &p, &gone, err);
	pruning_done(api, &p, &gone);
	if (ret < 0)
		return -1;
	gone.set = gone.len > 0; /* null, as Docker's, where none went */
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstrv(&w, "NetworksDeleted", &gone);
	jw_obj_end(&w);
	events_log(api->events, "network", "prune", "", "reclaimed", "0", NULL);
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
