/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <ctype.h>
#include <stdio.h>

#include "policy-sets.h"

#define RULES_MAX 4096
#define NAME_MAX_BYTES 64

/* Where a reading stands. */
struct reading {
	const struct dkd_host *host;
	const struct dkd_call *call;
	struct set *sets;
	unsigned len;
	bool failed;
};

static bool word_is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static void conditions_free(struct condition *c)
{
	while (c) {
		struct condition *next = c->next;

		free(c);
		c = next;
	}
}

static void set_free(struct set *s)
{
	while (s->rules) {
		struct rule *r = s->rules;

		s->rules = r->next;
		conditions_free(r->conditions);
		free(r->text);
		free(r->words);
		free(r);
	}
	while (s->scopes) {
		struct scope *sc = s->scopes;

		s->scopes = sc->next;
		conditions_free(sc->conditions);
		free(sc->words);
		free(sc);
	}
	free(s->uses);
	free(s->name);
	free(s);
}

void policy_free(struct set *sets)
{
	while (sets) {
		struct set *s = sets;

		sets = s->next;
		set_free(s);
	}
}

struct set *policy_find(struct set *sets, const char *name)
{
	while (sets && !word_is(sets->name, name))
		sets = sets->next;
	return sets;
}

/* Makes the name when it is new. NULL: no memory. */
static struct set *set_named(struct reading *rd, const char *name)
{
	struct set *s = policy_find(rd->sets, name);

	if (s || !(s = calloc(1, sizeof(*s))))
		return s;
	s->name = strdup(name);
	if (!s->name) {
		free(s);
		return NULL;
	}
	s->next = rd->sets;
	rd->sets = s;
	return s;
}

static void bad(struct reading *rd, const char *key, const char *what, const char *line)
{
	if (!rd->failed)
		dkd_failf(rd->host, rd->call, DKD_ERR_INVALID, 0, "[authz.policy] %s \"%.200s\": %s", key, line, what);
	rd->failed = true;
}

static void no_memory(struct reading *rd)
{
	if (!rd->failed)
		dkd_failf(rd->host, rd->call, DKD_ERR_INTERNAL, 0, "out of memory");
	rd->failed = true;
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

/* What a word asks about, by its beginning. *ret_name: what follows the dot. False: no condition at all. */
static bool condition_about(char *word, struct condition *c)
{
	static const struct { const char *word; enum about about; bool dotted; } known[] = {
		{ "user", ABOUT_USER, false }, { "uid", ABOUT_UID, false }, { "gid", ABOUT_GID, false },
		{ "host", ABOUT_HOST, false }, { "query.", ABOUT_QUERY, true }, { "body.", ABOUT_BODY, true },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].word);

		if (strncmp(word, known[i].word, n) != 0 || (known[i].dotted ? !word[n] : word[n] && !strchr("!=", word[n])))
			continue;
		c->about = known[i].about;
		c->name = known[i].dotted ? word + n : "";
		return true;
	}
	return false;
}

static bool numbers_ok(const char *values)
{
	return *values && strspn(values, "0123456789|") == strlen(values);
}

/* NULL: the word is none, and the reason begins with it. */
static struct condition *read_condition(struct reading *rd, const char *key, const char *line, char *word)
{
	char *eq = strchr(word, '=');
	struct condition seen = { 0 }, *c;

	if (!condition_about(word, &seen)) {
		if (eq)
			bad(rd, key, "a condition is about user, uid, gid, host, query.NAME or body.PATH", line);
		return NULL;
	}
	if (!eq && seen.about != ABOUT_BODY && seen.about != ABOUT_QUERY)
		return NULL; /* "user" and "host" are words as well */
	if (eq) {
		seen.not = eq > word && eq[-1] == '!';
		eq[seen.not ? -1 : 0] = '\0';
		seen.values = eq + 1;
	}
	if ((seen.about == ABOUT_UID || seen.about == ABOUT_GID) && !numbers_ok(seen.values)) {
		bad(rd, key, "a uid or gid is a number", line);
		return NULL;
	}
	c = malloc(sizeof(*c));
	if (!c)
		no_memory(rd);
	else
		*c = seen;
	return c;
}

/* Conditions from *rest on, up to the first word that is none. */
static struct condition *read_conditions(struct reading *rd, const char *key, const char *line, char **rest)
{
	struct condition *first = NULL, **last = &first;

	while (!rd->failed) {
		char *before = *rest, *word, end;

		while (isspace((unsigned char)*before))
			before++;
		*rest = before;
		if (!*before)
			break;
		word = before;
		while (**rest && !isspace((unsigned char)**rest))
			(*rest)++;
		end = **rest;
		**rest = '\0';
		*last = read_condition(rd, key, line, word);
		if (!*last) {
			**rest = end;
			*rest = before;
			break;
		}
		last = &(*last)->next;
		if (end)
			(*rest)++;
	}
	return first;
}

static void read_rule(struct reading *rd, struct set *s, const char *line)
{
	struct rule *r = calloc(1, sizeof(*r)), **last = &s->rules;
	char *rest, *verb;

	if (!r || !(r->text = strdup(line)) || !(r->words = strdup(line))) {
		if (r)
			free(r->text);
		free(r);
		no_memory(rd);
		return;
	}
	while (*last)
		last = &(*last)->next;
	*last = r;
	rest = r->words;
	verb = next_word(&rest);
	r->methods = next_word(&rest);
	r->pattern = next_word(&rest);
	r->deny = word_is(verb, "deny");
	if (!r->deny && !word_is(verb, "allow"))
		bad(rd, "rule", "it begins with neither allow nor deny", line);
	else if (!methods_ok(r->methods))
		bad(rd, "rule", "the second word is no method (GET, or GET,HEAD, or *)", line);
	else if (r->pattern[0] != '/' && r->pattern[0] != '*')
		bad(rd, "rule", "the third word is no path (it begins with / or *)", line);
	else if (strncmp(r->pattern, "/v1.", 4) == 0)
		bad(rd, "rule", "a path has no version", line);
	else if (++rd->len > RULES_MAX)
		bad(rd, "rule", "there are too many", line);
	else
		r->conditions = read_conditions(rd, "rule", line, &rest);
	r->reason = rest;
}

static void read_scope(struct reading *rd, struct set *s, const char *line)
{
	struct scope *sc = calloc(1, sizeof(*sc)), **last = &s->scopes;
	char *rest;

	if (!sc || !(sc->words = strdup(line))) {
		free(sc);
		no_memory(rd);
		return;
	}
	while (*last)
		last = &(*last)->next;
	*last = sc;
	rest = sc->words;
	sc->label = next_word(&rest);
	if (!strchr(sc->label, '=') || sc->label[0] == '=')
		bad(rd, "scope", "it begins with a label, key=value", line);
	sc->conditions = read_conditions(rd, "scope", line, &rest);
	for (const struct condition *c = sc->conditions; c; c = c->next)
		if (c->about == ABOUT_BODY || c->about == ABOUT_QUERY)
			bad(rd, "scope", "a scope hangs on user, uid, gid and host alone", line);
	if (*rest)
		bad(rd, "scope", "behind the label stand conditions alone", line);
}

static void read_lines(struct reading *rd, struct set *s, const char *value, void (*read)(struct reading *, struct set *, const char *))
{
	while (!rd->failed) {
		size_t size = strcspn(value, "\n");
		char *line = strndup(value, size);

		if (!line)
			no_memory(rd);
		else if (line[strspn(line, " \t")])
			read(rd, s, line);
		free(line);
		if (!value[size])
			return;
		value += size + 1;
	}
}

static bool read_switch(struct reading *rd, const char *key, const char *value)
{
	if (!word_is(value, "true") && !word_is(value, "false"))
		bad(rd, key, "it is neither true nor false", value);
	return word_is(value, "true");
}

static void read_key(struct reading *rd, struct set *s, const char *key, const char *value)
{
	if (word_is(key, "rule")) {
		read_lines(rd, s, value, read_rule);
	} else if (word_is(key, "scope")) {
		read_lines(rd, s, value, read_scope);
	} else if (word_is(key, "dry-run")) {
		s->dry_run = read_switch(rd, key, value);
	} else if (word_is(key, "use")) {
		free(s->uses);
		if (!(s->uses = strdup(value)))
			no_memory(rd);
	} else {
		s->has_default = true;
		s->deny = word_is(value, "deny");
		if (!s->deny && !word_is(value, "allow")) {
			rd->failed = true;
			dkd_failf(rd->host, rd->call, DKD_ERR_INVALID, 0, "[authz.policy] default is neither allow nor deny: %.80s", value);
		}
	}
}

static bool key_known(const char *key)
{
	return word_is(key, "rule") || word_is(key, "default") || word_is(key, "scope") || word_is(key, "use") || word_is(key, "dry-run");
}

/* "rule" of every request, "NAME.rule" of those that come through listeners with ?policy=NAME. */
static int32_t read_option(void *to, const char *key, const char *value)
{
	struct reading *rd = to;
	const char *dot = strrchr(key, '.');
	char name[NAME_MAX_BYTES] = "";
	struct set *s;

	if ((dot && ((size_t)(dot - key) >= sizeof(name) || dot == key)) || !key_known(dot ? dot + 1 : key)) {
		rd->failed = true;
		dkd_failf(rd->host, rd->call, DKD_ERR_INVALID, 0, "[authz.policy] has an unknown key: %.80s", key);
		return 1;
	}
	if (dot)
		snprintf(name, sizeof(name), "%.*s", (int)(dot - key), key);
	s = set_named(rd, name);
	if (!s)
		no_memory(rd);
	else
		read_key(rd, s, dot ? dot + 1 : key, value);
	return rd->failed;
}

/* Whoever writes rules for a built-in name has those in their place. */
static void add_built_in(struct reading *rd)
{
	for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]) && !rd->failed; i++) {
		char name[NAME_MAX_BYTES];
		const struct set *s;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(built_in[i].key, "."), built_in[i].key);
		s = policy_find(rd->sets, name);
		if (!s || (!s->rules && !s->uses))
			read_option(rd, built_in[i].key, built_in[i].value);
	}
}

/* What a set uses is there, and leads to an end. */
static void check_uses(struct reading *rd)
{
	for (struct set *s = rd->sets; s && !rd->failed; s = s->next) {
		const struct set *at = s;

		for (int depth = 0; at && at->uses; depth++) {
			at = policy_find(rd->sets, at->uses);
			if (!at)
				bad(rd, "use", "there is no such policy", s->uses);
			else if (depth > 8)
				bad(rd, "use", "it uses itself", s->uses);
			if (rd->failed)
				return;
		}
	}
}

struct set *policy_read(const struct dkd_call *call, const struct dkd_host *host)
{
	struct reading rd = { .host = host, .call = call };

	host->each_option(host, read_option, &rd);
	if (!rd.failed)
		add_built_in(&rd);
	if (!rd.failed)
		check_uses(&rd);
	if (!rd.failed)
		return rd.sets;
	policy_free(rd.sets);
	return NULL;
}
