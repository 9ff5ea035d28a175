/* SPDX-License-Identifier: MIT */
/*
 * Graph drivers for the loader's tests: one that is right (FIXTURE_GOOD) and, by the other macros, ones that are wrong
 * in one thing each. NAME is the driver's name. Built from the public headers alone.
 */
#include <dockerd/graph.h>
#include <dockerd/net.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

struct dkd_graph {
	const struct dkd_host *host;
	int running; /* calls inside, to see whether a serial driver is left alone */
};

static int32_t fx_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	const char *mood = host->option(host, "mood");
	struct dkd_graph *g;

	for (uint32_t i = 0; i < o->options_len; i++)
		dkd_logf(host, DKD_LOG_INFO, "option %s=%s", o->options[i].key, o->options[i].value);
	if (mood && strcmp(mood, "silent") == 0)
		return -1;
	if (mood && strcmp(mood, "loud") == 0)
		return dkd_failf(host, call, DKD_ERR_UNAVAILABLE, 0, "in a %s mood", mood);
	g = calloc(1, sizeof(*g));
	g->host = host;
	*ret = g;
	return 0;
}

static void fx_close(struct dkd_graph *g)
{
	free(g);
}

static int32_t fx_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	struct dkd_call copy = *call; /* what a driver may do to shorten a deadline */

	(void)c;
	return dkd_failf(g->host, &copy, DKD_ERR_NO_SPACE, 0, "never any room");
}

static int32_t fx_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	(void)call, (void)g, (void)id;
	return 0;
}

/* Says 1 when it was alone. */
static int32_t fx_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	int alone = __atomic_add_fetch(&g->running, 1, __ATOMIC_SEQ_CST) == 1;

	(void)call, (void)id;
	usleep(2000);
	alone &= __atomic_sub_fetch(&g->running, 1, __ATOMIC_SEQ_CST) == 0;
	return alone;
}

static int32_t fx_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	(void)call, (void)g, (void)m;
	emit(to, "/tmp");
	return 0;
}

static int32_t fx_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	(void)call, (void)g, (void)id;
	return 0;
}

#ifdef FIXTURE_PROBE
static int32_t fx_probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	(void)root;
	host->fail(host, call, DKD_ERR_INTERNAL, 0, "there is no such machine");
	return DKD_PROBE_NOT_HERE;
}
#else
#define fx_probe NULL
#endif

static const struct dkd_graph_ops ops = {
	.probe = fx_probe, .open = fx_open, .close = fx_close, .create = fx_create, .remove = fx_remove, .exists = fx_exists,
	.put = fx_put,
#ifndef FIXTURE_LACKS_OP
	.get = fx_get,
#endif
};

static int32_t net_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *o, struct dkd_net **ret)
{
	(void)o, (void)ret;
	return host->fail(host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "no networks");
}

static int32_t net_capabilities(const struct dkd_call *call, struct dkd_net *n, struct dkd_net_caps *ret)
{
	(void)call, (void)n, (void)ret;
	return 0;
}

const struct dkd_net_ops dkd_net_fixture_ops = { .open = net_open, .capabilities = net_capabilities };

static const struct dkd_provider provider = { .size = sizeof(provider) };

#ifdef FIXTURE_MUTANT
/* Right, but for what the environment says: "member value", numbers in C's notation. */
static struct dkd_driver mutant;
static struct dkd_graph_ops mutant_ops;

static const struct dkd_driver *mutate(const struct dkd_driver *right)
{
	const char *member = getenv("FIXTURE_MEMBER"), *value = getenv("FIXTURE_VALUE"), *name = getenv("FIXTURE_NAME");
	uint64_t n = value ? strtoull(value, NULL, 0) : 0;

	mutant = *right;
	mutant_ops = *(const struct dkd_graph_ops *)right->ops;
	mutant.ops = &mutant_ops;
	mutant.name = name;
	if (!member)
		return &mutant;
	if (strcmp(member, "magic") == 0) mutant.magic = (uint32_t)n;
	if (strcmp(member, "kind") == 0) mutant.kind = (uint32_t)n;
	if (strcmp(member, "abi_major") == 0) mutant.abi_major = (uint32_t)n;
	if (strcmp(member, "abi_minor") == 0) mutant.abi_minor = (uint32_t)n;
	if (strcmp(member, "ops_size") == 0) mutant.ops_size = (uint32_t)n;
	if (strcmp(member, "thread_model") == 0) mutant.thread_model = (uint32_t)n;
	if (strcmp(member, "features") == 0) mutant.features = n;
	if (strcmp(member, "name") == 0) mutant.name = value;
	if (strcmp(member, "aliases") == 0) mutant.aliases = value;
	if (strcmp(member, "version") == 0) mutant.version = value;
	if (strcmp(member, "op") == 0) memset((char *)&mutant_ops + n * sizeof(void (*)(void)), 0, sizeof(void (*)(void)));
	return &mutant;
}
#endif

const struct dkd_driver dkd_fixture = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_GRAPH,
	.abi_major = DKD_GRAPH_MAJOR,
	.abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_SERIAL,
	.name = TEXT(NAME),
	.version = "7",
	.ops = &ops,
#ifdef FIXTURE_MAGIC
	.magic = 0x12345678,
#endif
#ifdef FIXTURE_MAJOR
	.abi_major = DKD_GRAPH_MAJOR + 1,
#endif
#ifdef FIXTURE_MINOR
	.abi_minor = DKD_GRAPH_MINOR + 1,
#endif
#ifdef FIXTURE_KIND
	.kind = 77,
#endif
#ifdef FIXTURE_NET
	.kind = DKD_KIND_NET, .abi_major = DKD_NET_MAJOR, .abi_minor = DKD_NET_MINOR,
	.ops = &dkd_net_fixture_ops, .ops_size = sizeof(dkd_net_fixture_ops),
#endif
#ifdef FIXTURE_SHORT
	.ops_size = offsetof(struct dkd_graph_ops, put),
#endif
#ifdef FIXTURE_OBJECT
	.thread_model = DKD_THREADS_OBJECT,
#endif
#ifdef FIXTURE_THREADS
	.thread_model = 9,
#endif
#ifdef FIXTURE_NO_OPS
	.ops = NULL,
#endif
#ifdef FIXTURE_PROVIDER
	.provider = &provider,
#endif
#ifdef FIXTURE_ALIAS
	.aliases = "alias  aliased2",
#endif
};

#ifdef FIXTURE_UNDEFINED
int a_function_of_the_daemon(void);
#endif

#ifdef FIXTURE_NO_ENTRY
DKD_EXPORT const struct dkd_driver *dkd_other_entry(void);
const struct dkd_driver *dkd_other_entry(void)
#else
const struct dkd_driver *dkd_driver_entry(void)
#endif
{
	(void)provider, (void)fx_get;
#ifdef FIXTURE_UNDEFINED
	if (a_function_of_the_daemon())
		return NULL;
#endif
#ifdef FIXTURE_NULL
	return NULL;
#endif
#ifdef FIXTURE_MUTANT
	return mutate(&dkd_fixture);
#endif
	return &dkd_fixture;
}
