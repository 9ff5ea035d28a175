/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gc-policy.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#define INTERVAL_MIN (INT64_C(1) * NSEC_PER_SEC)
#define INTERVAL     (INT64_C(300) * NSEC_PER_SEC)
#define MIN_AGE      (INT64_C(3600) * NSEC_PER_SEC)
#define LOW_BELOW    5 /* percent below high */
#define KEEP_MAX     1000000

typedef int read_fn(struct gc_policy *p, const char *key, const json_t *js, struct err *err);

static int read_time(int64_t *ret, const char *key, const json_t *js, struct err *err)
{
	const char *text = json_string_value(js);

	if (!text || !clock_parse_duration(text, ret) || *ret < 0)
		return err_set(err, ERR_INVALID, "\"gc\": %s must be a duration like \"24h\"", key);
	return 0;
}

static int read_number(int64_t *ret, int64_t max, const char *key, const json_t *js, struct err *err)
{
	if (!json_is_integer(js) || json_integer_value(js) < 0 || json_integer_value(js) > max)
		return err_set(err, ERR_INVALID, "\"gc\": %s must be a number from 0 to %lld", key, (long long)max);
	*ret = json_integer_value(js);
	return 0;
}

static int read_interval(struct gc_policy *p, const char *key, const json_t *js, struct err *err)
{
	if (read_time(&p->interval, key, js, err) < 0)
		return -1;
	return p->interval < INTERVAL_MIN ? err_set(err, ERR_INVALID, "\"gc\": interval must be one second at least") : 0;
}

static int read_high(struct gc_policy *p, const char *key, const json_t *js, struct err *err) { return read_number(&p->high, 100, key, js, err); }
static int read_low(struct gc_policy *p, const char *key, const json_t *js, struct err *err) { return read_number(&p->low, 100, key, js, err); }
static int read_keep(struct gc_policy *p, const char *key, const json_t *js, struct err *err) { return read_number(&p->keep_last, KEEP_MAX, key, js, err); }
static int read_min_age(struct gc_policy *p, const char *key, const json_t *js, struct err *err) { return read_time(&p->min_age, key, js, err); }
static int read_unused(struct gc_policy *p, const char *key, const json_t *js, struct err *err) { return read_time(&p->unused, key, js, err); }
static int read_containers(struct gc_policy *p, const char *key, const json_t *js, struct err *err) { return read_time(&p->containers, key, js, err); }

/* ["label=a", "label!=b=c"] */
static int read_filters(struct gc_policy *p, const char *key, const json_t *js, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js))
		return err_set(err, ERR_INVALID, "\"gc\": filters must be an array of strings");
	json_array_foreach((json_t *)js, i, item) {
		const char *text = json_string_value(item);
		bool not = text && str_has_prefix(text, "label!=");

		if (!not && (!text || !str_has_prefix(text, "label=")))
			return err_set(err, ERR_INVALID, "\"gc\": filters must be made of \"label=KEY[=VALUE]\" and \"label!=KEY[=VALUE]\"");
		filters_add(&p->filters, not ? "label!" : "label", strchr(text, '=') + 1);
	}
	return 0;
}

static const struct { const char *key; read_fn *read; } keys[] = {
	{ "interval", read_interval }, { "high", read_high }, { "low", read_low }, { "min-age", read_min_age }, { "unused", read_unused },
	{ "containers", read_containers }, { "keep-last", read_keep }, { "filters", read_filters },
};

static int read_key(struct gc_policy *p, const char *key, const json_t *js, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (streq(keys[i].key, key))
			return keys[i].read(p, key, js, err);
	return err_set(err, ERR_INVALID, "\"gc\": there is no key %.64s", key);
}

int gc_policy_parse(const char *json, struct gc_policy *ret, struct err *err)
{
	OWN_JSON json_t *js = NULL;
	const char *key;
	json_t *value;

	*ret = (struct gc_policy){ .interval = INTERVAL, .min_age = MIN_AGE, .low = -1 };
	if (str_empty(json))
		return 0;
	js = json_read(json, strlen(json), err);
	if (!js)
		return -1;
	json_object_foreach(js, key, value)
		if (read_key(ret, key, value, err) < 0) {
			gc_policy_done(ret);
			return -1;
		}
	if (ret->low < 0)
		ret->low = ret->high > LOW_BELOW ? ret->high - LOW_BELOW : 0;
	if (ret->low > ret->high) {
		gc_policy_done(ret);
		return err_set(err, ERR_INVALID, "\"gc\": low must not be greater than high");
	}
	ret->on = ret->high || ret->unused || ret->containers;
	return 0;
}

void gc_policy_done(struct gc_policy *p)
{
	filters_done(&p->filters);
	*p = (struct gc_policy){ 0 };
}
