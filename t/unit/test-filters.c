/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/filters.h"

#include "tap.h"

static void test_parse(void)
{
	static const char *const bad[] = { "x", "[]", "{\"a\":1}", "{\"a\":[1]}", "{\"a\":{\"b\":2}}", "{\"a\":[]} x" };
	struct filters f;
	struct err err = ERR_INIT;

	ok(filters_parse("{\"label\":[\"x\",\"y=1\"]}", &f, &err) == 0, "a list of values");
	is_int(filters_get(&f, "label")->len, 2, "both are there");
	filters_done(&f);
	ok(filters_parse("{\"label\":{\"x\":true,\"z\":true}}", &f, &err) == 0, "a set of values");
	is_str(filters_get(&f, "label")->v[1], "z", "its second value");
	filters_done(&f);
	ok(filters_parse(NULL, &f, &err) == 0 && filters_parse("", &f, &err) == 0 && f.len == 0, "absent is none");
	ok(filters_parse("null", &f, &err) == 0 && f.len == 0, "so is null");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ok(filters_parse(bad[i], &f, &err) < 0 && err.class == ERR_INVALID, "refused: %s", bad[i]);
		is_str(err_text(&err), "invalid filter", "in Docker's words");
		err_done(&err);
	}
}

static void test_validate(void)
{
	static const char *const allowed[] = { "name", "dangling", NULL };
	OWN_FILTERS struct filters f = { 0 }, g = { 0 };
	struct err err = ERR_INIT;

	filters_add(&f, "name", "^/x$");
	ok(filters_validate(&f, allowed, &err) == 0, "an allowed key");
	filters_add(&f, "foo", "1");
	ok(filters_validate(&f, allowed, &err) < 0, "an unknown key");
	is_str(err_text(&err), "invalid filter 'foo'", "is named");
	err_done(&err);
	filters_add(&g, "name", "(a{1,200}){1,200}");
	ok(filters_validate(&g, allowed, &err) < 0, "a pattern that explodes is refused");
	err_done(&err);
	filters_done(&g);
	filters_add(&g, "name", "(|b)+c|b)+?c++++++++++++++++++++++++++++++++++++++");
	ok(filters_validate(&g, allowed, &err) < 0, "so are repetitions of repetitions");
	err_done(&err);
	filters_done(&g);
	filters_add(&g, "name", "((((((((((((((((((((((((((a)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+");
	ok(filters_validate(&g, allowed, &err) < 0, "nested or not");
	err_done(&err);
	filters_done(&g);
	filters_add(&g, "name", "^/?(web|db)+_[0-9]+\\++$");
	ok(filters_validate(&g, allowed, &err) == 0, "others are not");
}

static void test_match(void)
{
	OWN_FILTERS struct filters f = { 0 };

	ok(filters_match(&f, "name", "any"), "an absent key matches");
	filters_add(&f, "name", "^/x");
	filters_add(&f, "name", "mid");
	ok(filters_match(&f, "name", "/xyz"), "regular expression");
	ok(filters_match(&f, "name", "amidst"), "substring");
	ok(!filters_match(&f, "name", "a/x"), "anchored");
	ok(!filters_exact(&f, "name", "amidst") && filters_exact(&f, "name", "mid"), "exact");
	ok(filters_prefix(&f, "name", "middle") && !filters_prefix(&f, "name", "amid"), "prefix");
	filters_add(&f, "bad", "([");
	ok(!filters_match(&f, "bad", "x"), "a broken pattern matches nothing else");
	ok(filters_match(&f, "bad", "(["), "but itself");
	filters_add(&f, "ref", "(a)\\1");
	ok(!filters_match(&f, "ref", "aa"), "no back-references");
}

static void test_labels(void)
{
	OWN_FILTERS struct filters f = { 0 };
	OWN_STRMAP struct strmap labels = { 0 };

	strmap_set(&labels, "a", "1");
	strmap_set(&labels, "b", "");
	ok(filters_labels_pass(&f, &labels), "no filter passes");
	filters_add(&f, "label", "a");
	filters_add(&f, "label", "b=");
	ok(filters_labels_pass(&f, &labels), "key, and key=value");
	filters_add(&f, "label!", "a=2");
	ok(filters_labels_pass(&f, &labels), "a negation that does not hold");
	filters_add(&f, "label", "a=2");
	ok(!filters_labels_pass(&f, &labels), "all must hold");
	filters_done(&f);
	filters_add(&f, "label!", "a");
	ok(!filters_labels_pass(&f, &labels), "label! excludes");
}

static void test_words(void)
{
	OWN_FILTERS struct filters f = { 0 };
	struct err err = ERR_INIT;
	int64_t t;
	bool b;

	ok(filters_bool(&f, "dangling", true, &b, &err) == 0 && b, "absent boolean");
	filters_add(&f, "dangling", "false");
	ok(filters_bool(&f, "dangling", true, &b, &err) == 0 && !b, "false");
	filters_add(&f, "dangling", "1");
	ok(filters_bool(&f, "dangling", true, &b, &err) < 0, "both");
	is_str(err_text(&err), "invalid filter 'dangling=[false 1]'", "names the values");
	err_done(&err);
	ok(filters_until(&f, 0, &t, &err) == 0 && t == INT64_MAX, "no until");
	filters_add(&f, "until", "10m");
	ok(filters_until(&f, 3600 * NSEC_PER_SEC, &t, &err) == 0, "a duration");
	is_int(t, 3000 * NSEC_PER_SEC, "before now");
	filters_add(&f, "until", "1h");
	ok(filters_until(&f, 0, &t, &err) < 0, "two untils");
	is_str(err_text(&err), "more than one until filter specified", "are refused");
	err_done(&err);
}

int main(void)
{
	test_parse();
	test_validate();
	test_match();
	test_labels();
	test_words();
	return tap_done();
}
