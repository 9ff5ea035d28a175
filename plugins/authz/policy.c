/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Authorization driver "policy": rules by method, path, user and body, from the configuration (docs/authz.md):
 *
 *   [authz.policy]
 *   rule = deny POST /containers/create* body.HostConfig.Privileged=true no privileged containers on this machine
 *   rule = allow GET,HEAD *
 *   default = deny
 *
 * The first rule that fits decides, else the default. Rules of a name ("team.rule") are for listeners with "?policy=team"; what they
 * let through is asked of the rules without a name as well.
 */
#include "policy.h"

#include <pthread.h>
#include <stdio.h>

struct dkd_authz {
	const struct dkd_host *host;
	char **names;          /* policies of listeners */
	uint32_t names_len;
	pthread_rwlock_t lock; /* sets */
	struct set *sets;
};

static int32_t names_known(const struct dkd_call *call, struct dkd_authz *a, struct set *sets)
{
	const struct set *all = policy_find(sets, "");

	for (uint32_t i = 0; i < a->names_len; i++)
		if (!policy_find(sets, a->names[i]))
			return dkd_failf(a->host, call, DKD_ERR_INVALID, 0,
				"a listener names the policy %s: [authz.policy] has none of that name, nor is one built in", a->names[i]);
	if (!a->names_len && (!all || (!all->has_default && !all->rules && !all->uses && !all->scopes)))
		return a->host->fail(a->host, call, DKD_ERR_INVALID, 0,
			"the section [authz.policy] has no rule and no default: it says neither yes nor no");
	return 0;
}

static struct set *sets_read(const struct dkd_call *call, struct dkd_authz *a)
{
	struct set *sets = policy_read(call, a->host);

	if (sets && names_known(call, a, sets) < 0) {
		policy_free(sets);
		return NULL;
	}
	return sets;
}

static void say_who(const struct dkd_authz_request *rq, char *ret, size_t size)
{
	if (rq->user[0])
		snprintf(ret, size, "user %.80s", rq->user);
	else if (rq->flags & DKD_AUTHZ_PEER)
		snprintf(ret, size, "uid %u", rq->peer_uid);
	else
		snprintf(ret, size, "somebody");
}

/* What one set says. text: the reason of a no. */
static int32_t ask(struct dkd_authz *a, const struct set *s, struct looked *l, char *text, size_t size)
{
	const struct dkd_authz_request *rq = l->rq;
	const struct set *last;
	const struct rule *r = policy_first(a->sets, s, l, &last);
	char who[128];

	if (r ? !r->deny : !last->deny)
		return DKD_AUTHZ_ALLOW;
	if (!r)
		snprintf(text, size, "no rule allows %s %.300s", rq->method, rq->path);
	else if (r->reason[0])
		snprintf(text, size, "%s", r->reason);
	else
		snprintf(text, size, "rule \"%s\"", r->text);
	if (!s->dry_run)
		return DKD_AUTHZ_DENY;
	say_who(rq, who, sizeof(who));
	dkd_logf(a->host, DKD_LOG_WARN, "policy%s%s would deny %s %.200s of %s: %s", s->name[0] ? " " : "", s->name, rq->method, rq->path, who, text);
	return DKD_AUTHZ_ALLOW;
}

static int32_t policy_request(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq,
	dkd_emit *reason, void *to)
{
	const char *const names[] = { rq->policy, "" };
	struct looked l = { .rq = rq };
	int32_t rc = DKD_AUTHZ_ALLOW;
	char text[512];

	(void)call;
	pthread_rwlock_rdlock(&a->lock);
	for (int i = rq->policy[0] ? 0 : 1; i < 2 && rc == DKD_AUTHZ_ALLOW; i++) {
		const struct set *s = policy_find(a->sets, names[i]);

		if (s)
			rc = ask(a, s, &l, text, sizeof(text));
	}
	pthread_rwlock_unlock(&a->lock);
	policy_looked_done(&l);
	if (rc == DKD_AUTHZ_DENY)
		reason(to, text);
	return rc;
}

static void emit_scopes(const struct set *sets, const char *name, struct looked *l, dkd_emit *label, void *to)
{
	for (const struct set *s = policy_find((struct set *)sets, name); s; s = s->uses ? policy_find((struct set *)sets, s->uses) : NULL)
		for (const struct scope *sc = s->scopes; sc; sc = sc->next)
			if (policy_conditions_fit(sc->conditions, l, true))
				label(to, sc->label);
}

static int32_t policy_scope(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, dkd_emit *label, void *to)
{
	struct looked l = { .rq = rq };

	(void)call;
	pthread_rwlock_rdlock(&a->lock);
	if (rq->policy[0])
		emit_scopes(a->sets, rq->policy, &l, label, to);
	emit_scopes(a->sets, "", &l, label, to);
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

static int32_t policy_reload(const struct dkd_call *call, struct dkd_authz *a)
{
	struct set *next = sets_read(call, a), *old;

	if (!next)
		return -1;
	pthread_rwlock_wrlock(&a->lock);
	old = a->sets;
	a->sets = next;
	pthread_rwlock_unlock(&a->lock);
	policy_free(old);
	return 0;
}

static void policy_close(struct dkd_authz *a)
{
	for (uint32_t i = 0; i < a->names_len; i++)
		free(a->names[i]);
	free(a->names);
	policy_free(a->sets);
	pthread_rwlock_destroy(&a->lock);
	free(a);
}

static bool copy_names(struct dkd_authz *a, const struct dkd_authz_open *open)
{
	if (open->size < sizeof(*open) || !open->policies_len)
		return true;
	a->names = calloc(open->policies_len, sizeof(*a->names));
	for (; a->names && a->names_len < open->policies_len; a->names_len++)
		if (!(a->names[a->names_len] = strdup(open->policies[a->names_len])))
			return false;
	return a->names != NULL;
}

static int32_t policy_open(const struct dkd_call *call, const struct dkd_host *host,
	const struct dkd_authz_open *open, struct dkd_authz **ret)
{
	struct dkd_authz *a = calloc(1, sizeof(*a));

	if (!a)
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	pthread_rwlock_init(&a->lock, NULL);
	a->host = host;
	if (!copy_names(a, open)) {
		policy_close(a);
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	}
	a->sets = sets_read(call, a);
	if (!a->sets) {
		policy_close(a);
		return -1;
	}
	*ret = a;
	return 0;
}

static const struct dkd_authz_ops ops = {
	.open = policy_open,
	.close = policy_close,
	.request = policy_request,
	.reload = policy_reload,
	.scope = policy_scope,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_AUTHZ,
	.abi_major = DKD_AUTHZ_MAJOR,
	.abi_minor = DKD_AUTHZ_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "policy",
	.version = "1.1",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
