/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/str.h"

#define LEVELS_MOST 64

struct yaml {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	bool have;
	const char *const *texts;
	struct err *err;
};

static int wrong(struct yaml *y, const char *what)
{
	return err_set(y->err, ERR_INVALID, "yaml: line %zu: %s", y->event.start_mark.line + 1, what);
}

static int next(struct yaml *y)
{
	if (y->have)
		yaml_event_delete(&y->event);
	y->have = yaml_parser_parse(&y->parser, &y->event);
	if (!y->have)
		return err_set(y->err, ERR_INVALID, "yaml: line %zu: %s", y->parser.problem_mark.line + 1,
			y->parser.problem ? y->parser.problem : "this cannot be read");
	return 0;
}

static bool is_one_of(const char *s, const char *const words[])
{
	for (; *words; words++)
		if (streq(s, *words))
			return true;
	return false;
}

static json_t *whole_number(const char *s)
{
	const char *digits = s + (*s == '-' || *s == '+');
	int base = 10;
	long long n;
	char *end;

	if (digits[0] == '0' && digits[1] == 'x')
		base = 16, digits += 2;
	else if (digits[0] == '0' && digits[1] == 'o')
		base = 8, digits += 2;
	else if (digits[0] == '0' && digits[1])
		base = 8, digits++;
	if (!*digits || strspn(digits, base == 16 ? "0123456789abcdefABCDEF" : base == 8 ? "01234567" : "0123456789") != strlen(digits))
		return NULL;
	errno = 0;
	n = strtoll(digits, &end, base);
	return errno ? NULL : json_integer(*s == '-' ? -n : n);
}

static json_t *broken_number(const char *s)
{
	char *end;
	double d;

	if (!*s || strspn(s, "0123456789.eE+-") != strlen(s) || !strpbrk(s, "0123456789"))
		return NULL;
	d = strtod(s, &end);
	return *end || !isfinite(d) ? NULL : json_real(d);
}

static json_t *plain(const char *s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL }, *const falses[] = { "false", "False", "FALSE", NULL };
	json_t *js;

	if (is_one_of(s, nulls))
		return json_null();
	if (is_one_of(s, trues))
		return json_true();
	if (is_one_of(s, falses))
		return json_false();
	js = whole_number(s);
	if (!js)
		js = broken_number(s);
	return js ? js : json_string(s);
}

static json_t *scalar(struct yaml *y, bool text)
{
	const char *s = (const char *)y->event.data.scalar.value, *tag = (const char *)y->event.data.scalar.tag;
	size_t size = y->event.data.scalar.length;
	json_t *js;

	text |= !y->event.data.scalar.plain_implicit || (tag && streq(tag, YAML_STR_TAG));
	/* null is nothing, also where a text is wanted; but not when it is quoted */
	if (text && y->event.data.scalar.plain_implicit && (streq(s, "") || streq(s, "~") || streq(s, "null")))
		text = false;
	js = memchr(s, '\0', size) ? NULL : text ? json_string(s) : plain(s);
	if (!js)
		wrong(y, "a text that is none");
	return js;
}

static json_t *value(struct yaml *y, bool text, int level);

static json_t *sequence(struct yaml *y, bool text, int level)
{
	json_t *list = json_array();

	for (;;) {
		json_t *item;

		if (next(y) < 0)
			break;
		if (y->event.type == YAML_SEQUENCE_END_EVENT)
			return list;
		item = value(y, text, level);
		if (!item)
			break;
		json_array_append_new(list, item);
	}
	json_decref(list);
	return NULL;
}

/* One key and its value: 1, 0 at the end, -1. */
static int member(struct yaml *y, json_t *object, int level)
{
	OWN_FREE char *key = NULL;
	json_t *v;

	if (next(y) < 0)
		return -1;
	if (y->event.type == YAML_MAPPING_END_EVENT)
		return 0;
	if (y->event.type != YAML_SCALAR_EVENT)
		return wrong(y, "a key that is no text");
	key = xstrdup((const char *)y->event.data.scalar.value);
	if (json_object_get(object, key))
		return wrong(y, "a key that is given twice");
	if (next(y) < 0 || !(v = value(y, is_one_of(key, y->texts), level)))
		return -1;
	return json_object_set_new(object, key, v) < 0 ? wrong(y, "a key that is no text") : 1;
}

static json_t *mapping(struct yaml *y, int level)
{
	json_t *object = json_object();
	int r;

	while ((r = member(y, object, level)) > 0)
		;
	if (r == 0)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *value(struct yaml *y, bool text, int level)
{
	if (level >= LEVELS_MOST) {
		wrong(y, "too many levels");
		return NULL;
	}
	switch (y->event.type) {
	case YAML_SCALAR_EVENT: return scalar(y, text);
	case YAML_SEQUENCE_START_EVENT: return sequence(y, text, level + 1);
	case YAML_MAPPING_START_EVENT: return mapping(y, level + 1);
	case YAML_ALIAS_EVENT: wrong(y, "aliases are not supported"); return NULL;
	default: wrong(y, "this cannot be read"); return NULL;
	}
}

/* From the stream's start to its end. */
static json_t *document(struct yaml *y)
{
	json_t *js;

	if (next(y) < 0 || next(y) < 0)
		return NULL;
	if (y->event.type == YAML_STREAM_END_EVENT)
		return json_null();
	if (next(y) < 0 || !(js = value(y, false, 0)))
		return NULL;
	if (next(y) == 0 && next(y) == 0) {
		if (y->event.type == YAML_STREAM_END_EVENT)
			return js;
		wrong(y, "more than one document");
	}
	json_decref(js);
	return NULL;
}

json_t *yaml_read(const char *text, size_t size, const char *const texts[], struct err *err)
{
	static const char *const none[] = { NULL };
	struct yaml y = { .texts = texts ? texts : none, .err = err };
	json_t *js;

	if (!yaml_parser_initialize(&y.parser)) {
		err_set(err, ERR_INTERNAL, "yaml: cannot start");
		return NULL;
	}
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text, size);
	js = document(&y);
	if (y.have)
		yaml_event_delete(&y.event);
	yaml_parser_delete(&y.parser);
	return js;
}
