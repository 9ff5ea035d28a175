/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Authorization driver "policy": rules by method and path, from the configuration:
 *
 *   [authz.policy]
 *   rule = deny POST /containers/create* no containers on this machine
 *   rule = allow GET,HEAD *
 *   default = deny
 *
 * The first rule that fits decides, else the default. A path has no version and no query; "*" stands for any text, slashes
 * too. What follows the path is the reason that a client reads.
 */
#include <ctype.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <dockerd/authz.h>

#define RULES_MAX 4096

struct rule {
	bool deny;
	char *text;                        /* the line, for the default reason */
	char *methods, *pattern, *reason;  /* in text's twin */
	char *words;                       /* that twin: the line cut up */
	struct rule *next;
};

/* One reading of the configuration. */
struct rules {
	struct rule *first;
	bool has_default, deny;
};

struct dkd_authz {
	const struct dkd_host *host;
	pthread_rwlock_t lock; /* rules */
	struct rules rules;
};

/* Where a reading stands. */
struct reading {
	const struct dkd_host *host;
	const struct dkd_call *call;
	struct rules *rules;
	struct rule **last;
	unsigned len;
	bool failed;
};

static void rules_done(struct rules *rules)
{
	while (rules->first) {
		struct rule *r = rules->first;

		rules->first = r->next;
		free(r->text);
		free(r->words);
		free(r);
	}
}

static bool word_is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static char *next_word(char **rest)
{
	char *word;

	while (isspace((unsigned char)**rest))
		(*rest)++;
	word = *rest;
	while (**rest && !isspace((unsigned char)**rest))
		(*rest)++;
	if (**rest)
		*(*rest)++ = '\0';
	return word;
}

static bool methods_ok(const char *methods)
{
	if (word_is(methods, "*"))
		return true;
	for (const char *p = methods; *p; p++)
		if (!isupper((unsigned char)*p) && *p != ',')
			return false;
	return isupper((unsigned char)*methods);
}

static void bad(struct reading *rd, const char *what, const char *line)
{
	rd->failed = true;
	dkd_failf(rd->host, rd->call, DKD_ERR_INVALID, 0, "[authz.policy] rule \"%.200s\": %s", line, what);
}

static void read_rule(struct reading *rd, const char *line)
{
	struct rule *r = calloc(1, sizeof(*r));
	char *rest, *verb;

	if (!r || !(r->text = strdup(line)) || !(r->words = strdup(line))) {
		rd->failed = true;
		dkd_failf(rd->host, rd->call, DKD_ERR_INTERNAL, 0, "out of memory");
		if (r)
			free(r->text);
		free(r);
		return;
	}
	*rd->last = r;
	rd->last = &r->next;
	rest = r->words;
	verb = next_word(&rest);
	r->methods = next_word(&rest);
	r->pattern = next_word(&rest);
	while (isspace((unsigned char)*rest))
		rest++;
	r->reason = rest;
	r->deny = word_is(verb, "deny");
	if (!r->deny && !word_is(verb, "allow"))
		bad(rd, "it begins with neither allow nor deny", line);
	else if (!methods_ok(r->methods))
		bad(rd, "the second word is no method (GET, or GET,HEAD, or *)", line);
	else if (r->pattern[0] != '/' && r->pattern[0] != '*')
		bad(rd, "the third word is no path (it begins with / or *)", line);
	else if (strncmp(r->pattern, "/v1.", 4) == 0)
		bad(rd, "a path has no version", line);
	else if (++rd->len > RULES_MAX)
		bad(rd, "there are too many", line);
}

static void read_lines(struct reading *rd, const char *value)
{
	while (!rd->failed) {
		size_t size = strcspn(value, "\n");
		char *line = strndup(value, size);

		if (line && line[strspn(line, " \t")])
			read_rule(rd, line);
		free(line);
		if (!value[size])
			return;
		value += size + 1;
	}
}

static int32_t read_option(void *to, const char *key, const char *value)
{
	struct reading *rd = to;

	if (word_is(key, "rule")) {
		read_lines(rd, value);
	} else if (word_is(key, "default")) {
		rd->rules->has_default = true;
		rd->rules->deny = word_is(value, "deny");
		if (!rd->rules->deny && !word_is(value, "allow")) {
			rd->failed = true;
			dkd_failf(rd->host, rd->call, DKD_ERR_INVALID, 0,
				"[authz.policy] default is neither allow nor deny: %.80s", value);
		}
	} else {
		rd->failed = true;
		dkd_failf(rd->host, rd->call, DKD_ERR_INVALID, 0, "[authz.policy] has an unknown key: %.80s", key);
	}
	return rd->failed;
}

static int32_t rules_read(const struct dkd_call *call, const struct dkd_host *host, struct rules *ret)
{
	struct reading rd = { .host = host, .call = call, .rules = ret, .last = &ret->first };

	*ret = (struct rules){0};
	host->each_option(host, read_option, &rd);
	if (rd.failed) {
		rules_done(ret);
		return -1;
	}
	if (!ret->has_default && !ret->first)
		return host->fail(host, call, DKD_ERR_INVALID, 0,
			"the section [authz.policy] has no rule and no default: it says neither yes nor no");
	return 0;
}

static bool method_fits(const char *methods, const char *method)
{
	size_t len = strlen(method);

	if (word_is(methods, "*"))
		return true;
	for (;;) {
		size_t size = strcspn(methods, ",");

		if (size == len && memcmp(methods, method, len) == 0)
			return true;
		if (!methods[size])
			return false;
		methods += size + 1;
	}
}

/* "/networks/" is what "/networks" is. */
static bool path_fits(const char *pattern, const char *path)
{
	size_t len = strlen(path);
	char *cut;
	bool fits;

	if (fnmatch(pattern, path, FNM_NOESCAPE) == 0)
		return true;
	if (len < 2 || path[len - 1] != '/' || !(cut = strndup(path, len - 1)))
		return false;
	fits = fnmatch(pattern, cut, FNM_NOESCAPE) == 0;
	free(cut);
	return fits;
}

static int32_t policy_request(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq,
	dkd_emit *reason, void *to)
{
	const struct rule *r;
	char text[512];
	bool deny;

	(void)call;
	pthread_rwlock_rdlock(&a->lock);
	for (r = a->rules.first; r; r = r->next)
		if (method_fits(r->methods, rq->method) && path_fits(r->pattern, rq->path))
			break;
	deny = r ? r->deny : a->rules.deny;
	if (deny) {
		if (!r)
			snprintf(text, sizeof(text), "no rule allows %s %.300s", rq->method, rq->path);
		else if (r->reason[0])
			snprintf(text, sizeof(text), "%s", r->reason);
		else
			snprintf(text, sizeof(text), "rule \"%s\"", r->text);
	}
	pthread_rwlock_unlock(&a->lock);
	if (!deny)
		return DKD_AUTHZ_ALLOW;
	reason(to, text);
	return DKD_AUTHZ_DENY;
}

static int32_t policy_reload(const struct dkd_call *call, struct dkd_authz *a)
{
	struct rules next, old;

	if (rules_read(call, a->host, &next) < 0)
		return -1;
	pthread_rwlock_wrlock(&a->lock);
	old = a->rules;
	a->rules = next;
	pthread_rwlock_unlock(&a->lock);
	rules_done(&old);
	return 0;
}

static void policy_close(struct dkd_authz *a)
{
	rules_done(&a->rules);
	pthread_rwlock_destroy(&a->lock);
	free(a);
}

static int32_t policy_open(const struct dkd_call *call, const struct dkd_host *host,
	const struct dkd_authz_open *open, struct dkd_authz **ret)
{
	struct dkd_authz *a = calloc(1, sizeof(*a));

	(void)open;
	if (!a)
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	a->host = host;
	if (rules_read(call, host, &a->rules) < 0) {
		free(a);
		return -1;
	}
	pthread_rwlock_init(&a->lock, NULL);
	*ret = a;
	return 0;
}

static const struct dkd_authz_ops ops = {
	.open = policy_open,
	.close = policy_close,
	.request = policy_request,
	.reload = policy_reload,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_AUTHZ,
	.abi_major = DKD_AUTHZ_MAJOR,
	.abi_minor = DKD_AUTHZ_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "policy",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
