/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/filters.h"

#include <regex.h>

#include "base/clock.h"
#include "base/json.h"

#define PATTERN_MAX 256
#define GROUPS_MAX 6 /* that are repeated */

static int read_values(const char *key, json_t *js, struct filters *f);
static bool pattern_is_safe(const char *s);
static int invalid(const struct filter_key *k, struct err *err);

int filters_parse(const char *json, struct filters *ret, struct err *err)
{
	OWN_JSON json_t *js = NULL;
	OWN_ERR struct err ignored = ERR_INIT;
	const char *key;
	json_t *value;

	*ret = (struct filters){ 0 };
	if (str_empty(json))
		return 0;
	js = json_read(json, strlen(json), &ignored);
	if (json_is_null(js))
		return 0;
	if (!json_is_object(js))
		return err_set(err, ERR_INVALID, "invalid filter");
	json_object_foreach(js, key, value) {
		if (read_values(key, value, ret) < 0) {
			filters_done(ret);
			return err_set(err, ERR_INVALID, "invalid filter");
		}
	}
	return 0;
}

void filters_done(struct filters *f)
{
	for (size_t i = 0; i < f->len; i++) {
		free(f->v[i].key);
		strv_done(&f->v[i].values);
	}
	free(f->v);
	*f = (struct filters){ 0 };
}

static struct filter_key *key_of(struct filters *f, const char *key)
{
	for (size_t i = 0; i < f->len; i++)
		if (streq(f->v[i].key, key))
			return &f->v[i];
	f->v = xrealloc(f->v, (f->len + 1) * sizeof(*f->v));
	f->v[f->len] = (struct filter_key){ .key = xstrdup(key) };
	return &f->v[f->len++];
}

void filters_add(struct filters *f, const char *key, const char *value)
{
	strv_add(&key_of(f, key)->values, value);
}

int filters_validate(const struct filters *f, const char *const *allowed, struct err *err)
{
	for (size_t i = 0; i < f->len; i++) {
		const struct filter_key *k = &f->v[i];
		const char *const *a = allowed;

		while (*a && !streq(*a, k->key))
			a++;
		if (!*a)
			return err_set(err, ERR_INVALID, "invalid filter '%s'", k->key);
		if (!streq(k->key, "name") && !streq(k->key, "id"))
			continue;
		for (size_t j = 0; j < k->values.len; j++)
			if (!pattern_is_safe(k->values.v[j]))
				return invalid(k, err);
	}
	return 0;
}

const struct strv *filters_get(const struct filters *f, const char *key)
{
	for (size_t i = 0; i < f->len; i++)
		if (streq(f->v[i].key, key))
			return &f->v[i].values;
	return NULL;
}

bool filters_exact(const struct filters *f, const char *key, const char *value)
{
	const struct strv *sv = filters_get(f, key);

	return !sv || sv->len == 0 || strv_contains(sv, value);
}

bool filters_prefix(const struct filters *f, const char *key, const char *value)
{
	const struct strv *sv = filters_get(f, key);

	if (filters_exact(f, key, value))
		return true;
	for (size_t i = 0; i < sv->len; i++)
		if (str_has_prefix(value, sv->v[i]))
			return true;
	return false;
}

bool filters_match(const struct filters *f, const char *key, const char *value)
{
	const struct strv *sv = filters_get(f, key);

	if (filters_exact(f, key, value))
		return true;
	for (size_t i = 0; i < sv->len; i++) {
		regex_t re;
		bool found;

		if (!pattern_is_safe(sv->v[i]) || regcomp(&re, sv->v[i], REG_EXTENDED | REG_NOSUB) != 0)
			continue;
		found = regexec(&re, value, 0, NULL, 0) == 0;
		regfree(&re);
		if (found)
			return true;
	}
	return false;
}

static bool label_holds(const char *want, const struct strmap *labels)
{
	const char *eq = strchr(want, '='), *value;
	OWN_FREE char *key = eq ? xstrndup(want, (size_t)(eq - want)) : xstrdup(want);

	value = strmap_get(labels, key);
	return value && (!eq || streq(value, eq + 1));
}

bool filters_labels(const struct filters *f, const char *key, const struct strmap *labels)
{
	const struct strv *sv = filters_get(f, key);

	for (size_t i = 0; sv && i < sv->len; i++)
		if (!label_holds(sv->v[i], labels))
			return false;
	return true;
}

bool filters_labels_pass(const struct filters *f, const struct strmap *labels)
{
	const struct strv *not = filters_get(f, "label!");

	if (!filters_labels(f, "label", labels))
		return false;
	return !not || not->len == 0 || !filters_labels(f, "label!", labels);
}

int filters_bool(const struct filters *f, const char *key, bool absent, bool *ret, struct err *err)
{
	const struct strv *sv = filters_get(f, key);
	bool yes, no;

	*ret = absent;
	if (!sv || sv->len == 0)
		return 0;
	yes = strv_contains(sv, "1") || strv_contains(sv, "true");
	no = strv_contains(sv, "0") || strv_contains(sv, "false");
	if (yes == no)
		return invalid((const struct filter_key *)((const char *)sv - offsetof(struct filter_key, values)), err);
	*ret = yes;
	return 0;
}

int filters_until(const struct filters *f, int64_t now, int64_t *ret, struct err *err)
{
	const struct strv *sv = filters_get(f, "until");

	*ret = INT64_MAX;
	if (!sv || sv->len == 0)
		return 0;
	if (sv->len > 1)
		return err_set(err, ERR_INVALID, "more than one until filter specified");
	if (!clock_parse_stamp(sv->v[0], now, ret))
		return err_set(err, ERR_INVALID, "invalid filter 'until=[%s]'", sv->v[0]);
	return 0;
}

static int read_values(const char *key, json_t *js, struct filters *f)
{
	struct filter_key *k = key_of(f, key);
	const char *value;
	json_t *item;
	size_t i;

	if (json_is_object(js)) {
		json_object_foreach(js, value, item) {
			if (!json_is_boolean(item))
				return -1;
			strv_add(&k->values, value);
		}
		return 0;
	}
	if (!json_is_array(js))
		return -1;
	json_array_foreach(js, i, item) {
		if (!json_is_string(item))
			return -1;
		strv_add(&k->values, json_string_value(item));
	}
	return 0;
}

static bool pattern_is_safe(const char *s)
{
	int groups = 0;
	char before = 0; /* the last character when it has a meaning */

	if (strlen(s) > PATTERN_MAX || strchr(s, '{'))
		return false;
	for (; *s; s++) {
		bool repeats = strchr("*+?", *s) != NULL;

		if (*s == '\\') {
			if (!s[1] || (s[1] >= '0' && s[1] <= '9'))
				return false;
			s++;
			before = 0;
			continue;
		}
		/* The library copies what is repeated: each repetition of a repetition takes twice the memory. */
		if (repeats && before == ')' && ++groups > GROUPS_MAX)
			return false;
		if (repeats && before && strchr("*+?", before))
			return false;
		before = *s;
	}
	return true;
}

static int invalid(const struct filter_key *k, struct err *err)
{
	OWN_FREE char *values = strv_join(&k->values, " ");

	return err_set(err, ERR_INVALID, "invalid filter '%s=[%s]'", k->key, values);
}
