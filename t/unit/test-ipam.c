/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses: subnets as text, what is given out, what lingers, what is refused. */
#include "network/ipam.h"
#include "tap.h"

static struct cidr net(const char *text)
{
	struct cidr c = { 0 };

	ok(cidr_parse(text, &c), "%s is a network", text);
	return c;
}

static const char *taken(struct ipam *p, const char *owner)
{
	static char text[CIDR_TEXT];
	OWN_ERR struct err err = ERR_INIT;
	struct ip address;

	if (ipam_take(p, owner, &address, &err) < 0)
		return "none";
	ip_text(&address, text);
	return text;
}

static int take_one(struct ipam *p, const char *owner, const char *text, enum err_class *ret_class)
{
	OWN_ERR struct err err = ERR_INIT;
	struct ip address = { 0 };
	int rc;

	ip_parse(text, &address);
	rc = ipam_take_one(p, owner, &address, &err);
	*ret_class = err.class;
	return rc;
}

static void test_text(void)
{
	static const char *const bad[] = { "", "1.2.3.4", "1.2.3/8", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "1.2.3.256/8", "a/8",
		"1.2.3.4/8/8", "1.2.3.4/08", "1.2.3.4/+8", "::1/129", "::1", "fg::/8" };
	struct cidr c, a = net("10.1.0.0/16"), b = net("10.1.2.0/24"), o = net("10.2.0.0/16"), all = net("0.0.0.0/0");
	struct cidr a6 = net("fd00:1::/32"), b6 = net("fd00:1:2::/48"), all6 = net("::/0"), top = net("ffff:ffff::/32");
	char text[CIDR_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(!cidr_parse(bad[i], &c), "\"%s\" is none", bad[i]);
	ok(!cidr_parse(NULL, &c), "nor is nothing");
	ok(cidr_overlap(&a, &b) && cidr_overlap(&b, &a), "a part overlaps its whole");
	ok(!cidr_overlap(&a, &o) && !cidr_overlap(&o, &b), "neighbours do not");
	ok(cidr_overlap(&all, &b), "everything overlaps all");
	ok(cidr_overlap(&a6, &b6) && cidr_overlap(&all6, &b6) && cidr_overlap(&all6, &top) && !cidr_overlap(&a6, &top), "in IPv6, too");
	ok(!cidr_overlap(&all, &all6), "the families do not meet");
	c = net("192.168.0.1/20");
	cidr_text(&c, text);
	is_str(text, "192.168.0.1/20", "as text");
	ip_text(&c.address, text);
	is_str(text, "192.168.0.1", "without its length");
	c = net("fd00:1:2:3:4:5:6:7/60");
	c = cidr_network(&c);
	cidr_text(&c, text);
	is_str(text, "fd00:1:2::/60", "a network without its host part");
	c.address = cidr_last(&c);
	ip_text(&c.address, text);
	is_str(text, "fd00:1:2:f:ffff:ffff:ffff:ffff", "its last address");
}

static void test_take(void)
{
	struct cidr c = net("10.0.0.0/29");
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
	is_int(class, ERR_CONFLICT, "as if somebody had it");
	is_int(take_one(p, "y", "10.0.1.2", &class), -1, "nor what lies elsewhere");
	is_int(class, ERR_INVALID, "which is no address of this network");
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
	struct cidr c = net("10.0.0.0/24"), r = net("10.0.0.8/30"), tiny = net("10.0.0.0/31"), top = net("255.255.255.252/30");
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
	struct cidr c = net("172.17.0.0/16");
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

static void test_ipv6(void)
{
	struct cidr c = net("fd00::/64"), r = net("fd00::ff00/120"), all = net("::/0");
	struct ipam *p = ipam_new(&c, NULL);
	uint64_t used, left;
	enum err_class class;

	is_str(taken(p, "a"), "fd00::1", "the first address is the routers'");
	is_int(take_one(p, "b", "fd00::", &class), -1, "and nobody's");
	is_int(take_one(p, "b", "fd00::ffff:ffff:ffff:ffff", &class), 0, "the last one is not");
	is_int(take_one(p, "b", "10.0.0.1", &class), -1, "one of the other family");
	ipam_figures(p, &used, &left);
	ok(used == 3 && left == UINT64_MAX - 2, "figures (%llu, %llu)", (unsigned long long)used, (unsigned long long)left);
	ipam_free(p);
	p = ipam_new(&c, &r);
	is_str(taken(p, "a"), "fd00::ff00", "from the range");
	ipam_figures(p, &used, &left);
	ok(used == 2 && left == 255, "figures of the range");
	ipam_free(p);
	p = ipam_new(&all, NULL);
	is_str(taken(p, "a"), "::1", "all of it");
	ipam_figures(p, &used, &left);
	ok(left == UINT64_MAX, "saturated");
	ipam_free(p);
}

static void test_figures(void)
{
	struct cidr c = net("10.0.0.0/24"), r = net("10.0.0.8/30");
	struct ipam *p = ipam_new(&c, &r);
	enum err_class class;
	uint64_t used, left;
	struct ip a = { 0 };

	taken(p, "a");
	take_one(p, "gw", "10.0.0.1", &class);
	ipam_figures(p, &used, &left);
	ok(used == 4 && left == 3, "used are also the network's own two addresses; left is what the range has");
	ip_parse("10.0.0.8", &a);
	ok(!ipam_lingers_at(p, &a), "in use");
	ipam_linger(p, "a");
	is_str(ipam_lingers_at(p, &a), "a", "lingering, and whose it was");
	ipam_figures(p, &used, &left);
	ok(used == 3 && left == 4, "and free in figures");
	ipam_free(p);
}

int main(void)
{
	test_text();
	test_take();
	test_range();
	test_many();
	test_ipv6();
	test_figures();
	return tap_done();
}
