/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of the kernel about links, addresses and routes; the parsers are private to their file. */
#include "../../core/network/rtnl.c"

#include "fuzz.h"

/* The library that walks over messages trusts the kernel for their lengths; what is within them is ours. */
static void walk(char *at, size_t size, mnl_cb_t parser, void *ctx)
{
	while (size >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr *h = (struct nlmsghdr *)at;
		size_t step = MNL_ALIGN((size_t)h->nlmsg_len);

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > size)
			return;
		parser(h, ctx);
		if (step > size)
			return;
		at += step;
		size -= step;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const mnl_cb_t parsers[] = { on_index, on_address, on_route };
	OWN_FREE char *copy = xmalloc(size + 1);

	for (size_t i = 0; i < 3; i++) {
		struct found f = { 0 };
		int index = 0;

		memcpy(copy, data, size);
		walk(copy, size, parsers[i], i ? (void *)&f : (void *)&index);
		free(f.v);
	}
	return 0;
}
