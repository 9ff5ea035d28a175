/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses: subnets as text, what is given out, what lingers, what is refused. */
#include "network/ipam.h"
#include "tap.h"

static struct cidr4 net(const char *text)
{
	struct cidr4 c = { 0 };

	ok(cidr4_parse(text, &c), "%s is a network", text);
	return c;
}

static const char *taken(struct ipam *p, const char *owner)
{
	static char text[CIDR4_TEXT];
	OWN_ERR struct err err = ERR_INIT;
	uint32_t address;

	if (ipam_take(p, owner, &address, &err) < 0)
		return "none";
	cidr4_text(address, 33, text);
	return text;
}

static int take_one(struct ipam *p, const char *owner, const char *text, enum err_class *ret_class)
{
	OWN_ERR struct err err = ERR_INIT;
	uint32_t address = 0;
	int rc;

	ip4_parse(text, &address);
	rc = ipam_take_one(p, owner, address, &err);
	*ret_class = err.class;
	return rc;
}

static void test_text(void)
{
	static const char *const bad[] = { "", "1.2.3.4", "1.2.3/8", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "1.2.3.256/8", "a/8",
		"1.2.3.4/8/8", "::1/64" };
	struct cidr4 c, a = net("10.1.0.0/16"), b = net("10.1.2.0/24"), o = net("10.2.0.0/16"), all = net("0.0.0.0/0");
	char text[CIDR4_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(!cidr4_parse(bad[i], &c), "\"%s\" is none", bad[i]);
	ok(!cidr4_parse(NULL, &c), "nor is nothing");
	ok(cidr4_overlap(&a, &b) && cidr4_overlap(&b, &a), "a part overlaps its whole");
	ok(!cidr4_overlap(&a, &o) && !cidr4_overlap(&o, &b), "neighbours do not");
	ok(cidr4_overlap(&all, &b), "everything overlaps all");
	cidr4_text(0xc0a80001, 20, text);
	is_str(text, "192.168.0.1/20", "as text");
	cidr4_text(0xffffffff, 33, text);
	is_str(text, "255.255.255.255", "without its length");
}

static void test_take(void)
{
	struct cidr4 c = net("10.0.0.0/29");
	struct ipam *p = ipam_new(&c, NULL);
	OWN_STRV struct strv owners = { 0 };
	enum err_class class;

	is_int(take_one(p, "gateway", "10.0.0.1", &class), 0, "the gateway");
	is_str(taken(p, "a"), "10.0.0.2", "the lowest free one");
	is_int(take_one(p, "x", "10.0.0.4", &class), 0, "one that is wanted");
	is_str(taken(p, "b"), "10.0.0.3", "the next");
	is_str(taken(p, "c"), "10.0.0.5", "one that is taken is left out");
	is_int(take_one(p, "y", "10.0.0.4", &class), -1, "nothing is given twice");
	is_int(class, ERR_CONFLICT, "conflict");
	is_int(take_one(p, "y", "10.0.0.7", &class), -1, "the broadcast address is nobody's");
	is_int(take_one(p, "y", "10.0.0.0", &class), -1, "nor is the network's");
	is_int(take_one(p, "y", "10.0.1.2", &class), -1, "nor what lies elsewhere");
	is_int(class, ERR_INVALID, "invalid");
	is_str(taken(p, "d"), "10.0.0.6", "the last");
	is_str(taken(p, "e"), "none", "then there is none");
	ipam_linger(p, "b");
	is_str(taken(p, "e"), "none", "what lingers is not given out");
	is_int(ipam_lingering(p, &owners), 1, "one lingers");
	is_str(owners.v[0], "b", "the one given back");
	ipam_drop(p, "b");
	is_str(taken(p, "e"), "10.0.0.3", "dropped it is free again");
	ipam_drop(p, "nobody");
	is_int(ipam_used(p), 6, "six of six");
	ipam_free(p);
}

static void test_range(void)
{
	struct cidr4 c = net("10.0.0.0/24"), r = net("10.0.0.8/30"), tiny = net("10.0.0.0/31"), top = net("255.255.255.252/30");
	struct ipam *p = ipam_new(&c, &r);
	enum err_class class;

	is_str(taken(p, "a"), "10.0.0.8", "from the range");
	is_int(take_one(p, "b", "10.0.0.200", &class), 0, "one outside it by wish");
	taken(p, "c");
	taken(p, "d");
	is_str(taken(p, "e"), "10.0.0.11", "its last");
	is_str(taken(p, "f"), "none", "the range ends before the subnet");
	ipam_free(p);
	p = ipam_new(&tiny, NULL);
	is_str(taken(p, "a"), "10.0.0.0", "a network of two has both");
	is_str(taken(p, "b"), "10.0.0.1", "the other");
	is_str(taken(p, "c"), "none", "no third");
	ipam_free(p);
	p = ipam_new(&top, NULL);
	taken(p, "a");
	is_str(taken(p, "b"), "255.255.255.254", "the end of all addresses");
	is_str(taken(p, "c"), "none", "no wrap");
	ipam_free(p);
}

static void test_many(void)
{
	struct cidr4 c = net("172.17.0.0/16");
	struct ipam *p = ipam_new(&c, NULL);
	char owner[16];
	bool good = true;

	for (int i = 0; i < 1000; i++) {
		snprintf(owner, sizeof(owner), "o%d", i);
		good &= strcmp(taken(p, owner), "none") != 0;
	}
	for (int i = 0; i < 1000; i += 2) {
		snprintf(owner, sizeof(owner), "o%d", i);
		ipam_drop(p, owner);
	}
	ok(good && ipam_used(p) == 500, "a thousand, and every second one back");
	is_str(taken(p, "n"), "172.17.0.1", "the lowest gap");
	ipam_free(p);
}

int main(void)
{
	test_text();
	test_take();
	test_range();
	test_many();
	return tap_done();
}
