/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose rules the host has besides: firewalld's, which let nothing through that they do not know, and those of iptables' older variant. */
#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"
#include "inside.h"

#define FIREWALLD_TABLE "firewalld"
#define FIREWALLD_PID "/run/firewalld.pid" /* of one that writes by iptables */
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The first of that name on the way that a shell would take. */
static int which(const char *program, char ret[PATH_MAX])
{
	const char *path = getenv("PATH"), *at = path && *path ? path : PATH_DEFAULT;
	char name[PATH_MAX];

	while (*at) {
		size_t len = strcspn(at, ":");

		if (snprintf(name, sizeof(name), "%.*s/%s", (int)len, at, program) < (int)sizeof(name) && access(name, X_OK) == 0)
			return realpath(name, ret) ? 0 : -1;
		at += len + (at[len] == ':');
	}
	return -1;
}

int beside_check(const struct br_net *n, struct br_error *e)
{
	char path[PATH_MAX];

	if (n->backend != BACKEND_IPTABLES || !br_has_rules(n) || which("iptables", path) < 0 || !strstr(strrchr(path, '/'), "legacy"))
		return 0;
	return br_refuse(e, DKD_ERR_INVALID, "the firewall backend iptables writes the tables of iptables-nft, and iptables of this host is %.80s, which has others: "
		"switch it (update-alternatives --set iptables /usr/sbin/iptables-nft), or choose --firewall-backend=nftables", path);
}

static int has_firewalld(void)
{
	_Alignas(struct nlmsghdr) char buf[512];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	h->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = NFPROTO_INET;
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, FIREWALLD_TABLE);
	return batch_list(h, NULL, NULL) >= 0 || access(FIREWALLD_PID, F_OK) == 0;
}

void beside_tell(struct dkd_net *d, const struct br_net *n, int restored)
{
	if ((restored && d->told_of_firewalld) || !has_firewalld())
		return;
	d->told_of_firewalld = 1;
	dkd_logf(d->host, DKD_LOG_WARN, "firewalld runs, and is not told of the bridge %s: put it into a zone that lets its packets through, "
		"as by firewall-cmd --permanent --zone=trusted --add-interface=%s", n->bridge, n->bridge);
}
