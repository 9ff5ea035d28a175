/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firewall of a network, by the backend that it has. */
#include <errno.h>
#include <stdlib.h>

#include "firewall.h"

static const struct backend_ops *ops_of(const struct br_net *n)
{
	return n->backend == BACKEND_IPTABLES ? &iptables_backend : &nft_backend;
}

static const char *name_of(const struct br_net *n)
{
	return n->backend == BACKEND_IPTABLES ? "iptables" : "nftables";
}

static int fail(const struct br_net *n, const char *what, struct br_error *e)
{
	return br_fail(e, errno, "%s the %s rules of bridge %s", what, name_of(n), n->bridge);
}

int fw_write(const struct br_net *n, struct br_error *e)
{
	return ops_of(n)->write(n) < 0 ? fail(n, "write", e) : 0;
}

/* What cannot be taken over, because it is another version's, say, is written anew. */
int fw_adopt(const struct br_net *n, struct br_error *e)
{
	return ops_of(n)->adopt(n) < 0 ? fw_write(n, e) : 0;
}

int fw_delete(const struct br_net *n, struct br_error *e)
{
	return ops_of(n)->delete(n) < 0 ? fail(n, "remove", e) : 0;
}

void fw_delete_other(const struct br_net *n)
{
	(n->backend == BACKEND_IPTABLES ? &nft_backend : &iptables_backend)->delete(n);
}

int fw_stands(const struct br_net *n)
{
	return ops_of(n)->stands(n);
}

int fw_change(const struct br_net *n, const struct br_endpoint *before, const struct br_endpoint *after, struct br_error *e)
{
	return ops_of(n)->change(n, before, after) < 0 ? fail(n, "change", e) : 0;
}

int fw_policy_write(const struct br_net *n, int family, struct br_error *e)
{
	return ops_of(n)->policy_write(n, family) < 0 ? br_fail(e, errno, "write the %s rules of forwarding", name_of(n)) : 0;
}

int fw_policy_delete(const struct br_net *n, int family, struct br_error *e)
{
	return ops_of(n)->policy_delete(family) < 0 ? br_fail(e, errno, "remove the %s rules of forwarding", name_of(n)) : 0;
}

int fw_policy_stands(const struct br_net *n, int family)
{
	return ops_of(n)->policy_stands(family);
}

int fw_translates(const struct br_net *n, int family)
{
	enum mode m = n->f[family].mode;

	return !n->internal && (m == MODE_NAT || m == MODE_NAT_UNPROTECTED) && (!n->host_policy || n->mark_mask);
}

int fw_opens(const struct br_net *n, int family)
{
	return !n->internal && (n->f[family].mode == MODE_ROUTED || n->direct || n->trusted_len);
}

static int compare(const void *a, const void *b)
{
	const struct fw_range *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

int fw_each_open(const struct br_endpoint *ep, int family, fw_range_fn *fn, void *ctx)
{
	struct fw_range *v = calloc(ep->ports_len + 1, sizeof(*v)), now;
	size_t len = 0;

	if (!v)
		return -1;
	for (size_t i = 0; i < ep->ports_len && ep->address[family].len; i++)
		if (ep->ports[i].family == family)
			v[len++] = (struct fw_range){ ep->ports[i].proto, ep->ports[i].port,
				ep->ports[i].port + ep->ports[i].count - 1 };
	qsort(v, len, sizeof(*v), compare);
	for (size_t i = 0; i < len; i++) {
		now = v[i];
		for (; i + 1 < len && v[i + 1].proto == now.proto && v[i + 1].first <= now.last + 1; i++)
			now.last = v[i + 1].last > now.last ? v[i + 1].last : now.last;
		fn(ctx, &now);
	}
	free(v);
	return 0;
}
