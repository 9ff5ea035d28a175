/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the authorization driver "policy": rules, their reading (policy-read.c) and their asking (policy-match.c). */
#ifndef PLUGINS_AUTHZ_POLICY_H
#define PLUGINS_AUTHZ_POLICY_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <dockerd/authz.h>

enum about { ABOUT_USER, ABOUT_UID, ABOUT_GID, ABOUT_HOST, ABOUT_QUERY, ABOUT_BODY };

/* One word of a rule: body.HostConfig.Privileged=true. All text stands in the rule's words. */
struct condition {
	enum about about;
	const char *name;            /* of the query's parameter, path in the body */
	const char *values;          /* alternatives with "|" between; NULL: it is there and not empty */
	bool not;
	struct condition *next;
};

struct rule {
	bool deny;
	char *text;                        /* the line, for the default reason */
	char *words;                       /* the line cut up */
	const char *methods, *pattern, *reason;
	struct condition *conditions;
	struct rule *next;
};

/* A label that requests are restricted to, and whose. */
struct scope {
	char *words;
	const char *label;
	struct condition *conditions;
	struct scope *next;
};

/* The rules of one name; "" are those of every request. */
struct set {
	char *name;
	struct rule *rules;
	struct scope *scopes;
	char *uses;                  /* another set that is asked behind the rules; NULL */
	bool has_default, deny, dry_run;
	struct set *next;
};

/* What a request looks like to rules. Its body is parsed when a rule asks for it. */
struct looked {
	const struct dkd_authz_request *rq;
	void *body;                  /* json_t * */
	bool parsed;
};

enum fits { FITS_NO, FITS_YES, FITS_UNKNOWN };

/* policy-read.c. The options of the host table, and the sets that are built in; NULL: failed, and said so. */
struct set *policy_read(const struct dkd_call *call, const struct dkd_host *host);
void policy_free(struct set *sets);
struct set *policy_find(struct set *sets, const char *name);

/* policy-glob.c. As fnmatch(3) without flags and escapes, in time that grows with the text and the pattern alone. */
bool policy_glob(const char *pattern, const char *text);

/* policy-match.c */
void policy_looked_done(struct looked *l);
/* The first rule that decides, of the set and those that it uses; NULL: none. *ret_last: the set whose default counts then, the first with one. */
const struct rule *policy_first(const struct set *sets, const struct set *s, struct looked *l, const struct set **ret_last);
bool policy_conditions_fit(const struct condition *c, struct looked *l, bool if_unknown);

#endif
