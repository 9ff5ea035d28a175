/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast an endpoint may be, by its driver-opts. What goes to the container waits in a token bucket at the port; what comes
 * from it is led through an interface of its own ("ifb"), where it waits in another one. The kernel takes the first one away
 * with the port.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talk.h"

#define PORT_PREFIX "veth"
#define IFB_PREFIX "dkdi" /* as long as that of ports: the digits are the port's */
#define LATENCY_MS 50     /* what waits longer is dropped */
#define BURST_MIN 65536u  /* a packet of many segments is as long as that */
#define BURST_MS 10
#define BYTE_TICKS_NS 64  /* ticks of the scheduler's clock, PSCHED_SHIFT 6 */

/* As tc writes rates: bits per second, or bytes with "bps". */
static const struct { const char *name; double factor; } units[] = {
	{ "", 1 }, { "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { "kibit", 1024 }, { "mibit", 1048576 },
	{ "gibit", 1073741824 }, { "bps", 8 }, { "kbps", 8e3 }, { "mbps", 8e6 }, { "gbps", 8e9 },
};
#define RATE_MIN 8000.0  /* bits per second */
#define RATE_MAX 400e9

static int read_rate(const char *key, const char *v, uint64_t *ret, struct br_error *e)
{
	size_t digits = strspn(v, "0123456789."), i = 0;
	char *end;
	double rate = strtod(v, &end);

	while (i < sizeof(units) / sizeof(units[0]) && strcasecmp(units[i].name, v + digits) != 0)
		i++;
	if (!digits || end != v + digits || i == sizeof(units) / sizeof(units[0]))
		return br_refuse(e, DKD_ERR_INVALID, "failed to parse %s value: %.64s (a rate like 10mbit is wanted)", key, v);
	rate *= units[i].factor;
	if (rate < RATE_MIN || rate > RATE_MAX)
		return br_refuse(e, DKD_ERR_INVALID, "failed to parse %s value: %.64s (from 8kbit to 400gbit)", key, v);
	*ret = (uint64_t)rate;
	return 0;
}

int rate_read(const struct dkd_pair *options, uint32_t len, struct br_rate *ret, struct br_error *e)
{
	static const char both[] = "com.docker.network.endpoint.rate", in[] = "com.docker.network.endpoint.rate_in",
		out[] = "com.docker.network.endpoint.rate_out";
	const char *v;

	*ret = (struct br_rate){ 0 };
	if ((v = dkd_pair_get(options, len, both)) && *v) {
		if (read_rate(both, v, &ret->in, e) < 0)
			return -1;
		ret->out = ret->in;
	}
	if ((v = dkd_pair_get(options, len, in)) && *v && read_rate(in, v, &ret->in, e) < 0)
		return -1;
	return (v = dkd_pair_get(options, len, out)) && *v ? read_rate(out, v, &ret->out, e) : 0;
}

static void ifb_name(const char *port, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, IFB_PREFIX "%s", port + strlen(PORT_PREFIX));
}

int rate_port(const char *name, char ret[IFNAMSIZ])
{
	if (strncmp(name, IFB_PREFIX, strlen(IFB_PREFIX)) != 0)
		return 0;
	snprintf(ret, IFNAMSIZ, PORT_PREFIX "%s", name + strlen(IFB_PREFIX));
	return 1;
}

static struct tcmsg *begin(struct talk *t, uint16_t type, int index, uint32_t parent, const char *kind)
{
	struct tcmsg *m;

	talk_begin(t, type, NLM_F_CREATE | NLM_F_ACK);
	m = mnl_nlmsg_put_extra_header(t->h, sizeof(*m));
	m->tcm_family = AF_UNSPEC;
	m->tcm_ifindex = index;
	m->tcm_parent = parent;
	mnl_attr_put_strz(t->h, TCA_KIND, kind);
	return m;
}

/* No such kind in this kernel is a sentence of its own. */
static int done(struct talk *t, const char *what, const char *name, struct br_error *e)
{
	if (talk_do(t, NULL, NULL) == 0)
		return 0;
	if (errno == ENOENT || errno == EOPNOTSUPP)
		return br_refuse(e, DKD_ERR_NOT_IMPLEMENTED, "the kernel has no %s, which the rate of an endpoint needs", what);
	return br_fail(e, errno, "set the rate of %s (%s)", name, what);
}

static int put_bucket(struct talk *t, int index, const char *name, uint64_t bits, struct br_error *e)
{
	uint64_t rate = bits / 8, burst = rate * BURST_MS / 1000, ticks, limit;
	struct tc_tbf_qopt q = { .rate = { .linklayer = TC_LINKLAYER_ETHERNET } };
	struct nlattr *options;

	if (burst < BURST_MIN)
		burst = BURST_MIN;
	q.rate.rate = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
	ticks = burst * 1000000000u / rate / BYTE_TICKS_NS;
	limit = rate * LATENCY_MS / 1000 + burst;
	q.buffer = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
	q.limit = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
	begin(t, RTM_NEWQDISC, index, TC_H_ROOT, "tbf")->tcm_handle = TC_H_MAKE(1 << 16, 0);
	options = mnl_attr_nest_start(t->h, TCA_OPTIONS);
	mnl_attr_put(t->h, TCA_TBF_PARMS, sizeof(q), &q);
	mnl_attr_put_u32(t->h, TCA_TBF_BURST, (uint32_t)(burst > UINT32_MAX ? UINT32_MAX : burst));
	if (rate > UINT32_MAX)
		mnl_attr_put_u64(t->h, TCA_TBF_RATE64, rate);
	mnl_attr_nest_end(t->h, options);
	return done(t, "token bucket (sch_tbf)", name, e);
}

static int make_ifb(struct talk *t, const struct br_net *n, const char *name, int *ret, struct br_error *e)
{
	char alias[ALIAS_SIZE];
	struct nlattr *info;
	struct link l;

	link_alias(n->id, alias);
	talk_link(t, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	mnl_attr_put_strz(t->h, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(t->h, IFLA_LINKINFO);
	mnl_attr_put_str(t->h, IFLA_INFO_KIND, "ifb");
	mnl_attr_nest_end(t->h, info);
	if (done(t, "intermediate interfaces (ifb)", name, e) < 0 || sysctl_conf(V6, name, "disable_ipv6", "1", e) < 0 ||
	    link_take_up(t, name, alias, e) < 0 || link_get(t, name, &l, e) < 0)
		return -1;
	*ret = l.index;
	return 0;
}

/* Every packet that comes in at the port goes out of the other interface, and comes from there as it would have. */
static int redirect(struct talk *t, int from, int to, const char *name, struct br_error *e)
{
	struct tc_mirred m = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to };
	struct { struct tc_u32_sel sel; struct tc_u32_key key; } all = { .sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 } };
	struct nlattr *options, *actions, *action, *inner;
	struct tcmsg *tcm;

	begin(t, RTM_NEWQDISC, from, TC_H_INGRESS, "ingress")->tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
	if (done(t, "queue for what comes in (sch_ingress)", name, e) < 0)
		return -1;
	tcm = begin(t, RTM_NEWTFILTER, from, TC_H_MAKE(TC_H_INGRESS, 0), "u32");
	tcm->tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL));
	options = mnl_attr_nest_start(t->h, TCA_OPTIONS);
	mnl_attr_put(t->h, TCA_U32_SEL, sizeof(all.sel) + sizeof(all.key), &all);
	actions = mnl_attr_nest_start(t->h, TCA_U32_ACT);
	action = mnl_attr_nest_start(t->h, 1);
	mnl_attr_put_strz(t->h, TCA_ACT_KIND, "mirred");
	inner = mnl_attr_nest_start(t->h, TCA_ACT_OPTIONS);
	mnl_attr_put(t->h, TCA_MIRRED_PARMS, sizeof(m), &m);
	mnl_attr_nest_end(t->h, inner);
	mnl_attr_nest_end(t->h, action);
	mnl_attr_nest_end(t->h, actions);
	mnl_attr_nest_end(t->h, options);
	return done(t, "filter for what comes in (cls_u32, act_mirred)", name, e);
}

static int set(struct talk *t, const struct br_net *n, const char *port, const struct br_rate *rate, struct br_error *e)
{
	char ifb[IFNAMSIZ];
	struct link l;
	int to;

	ifb_name(port, ifb);
	if (link_get(t, port, &l, e) < 0)
		return -1;
	if (!l.index)
		return br_fail(e, ENODEV, "set the rate of %s", port);
	if (rate->in && put_bucket(t, l.index, port, rate->in, e) < 0)
		return -1;
	if (!rate->out)
		return 0;
	if (make_ifb(t, n, ifb, &to, e) < 0 || put_bucket(t, to, ifb, rate->out, e) < 0)
		return -1;
	return redirect(t, l.index, to, port, e);
}

int rate_set(const struct br_net *n, const char *port, const struct br_rate *rate, struct br_error *e)
{
	struct talk t;
	int rc;

	if (talk_open(&t, e) < 0)
		return -1;
	rc = set(&t, n, port, rate, e);
	talk_close(&t);
	return rc;
}

int rate_drop(const char *port, struct br_error *e)
{
	char name[IFNAMSIZ];

	ifb_name(port, name);
	return if_nametoindex(name) ? link_delete(name, e) : 0;
}
