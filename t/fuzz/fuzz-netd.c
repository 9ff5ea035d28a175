/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes over the socket of dockerd-netd: whole messages, ports, sandboxes. */
#include "fuzz.h"
#include "netd/box.h"
#include "netd/ports.h"
#include "network/netd-wire.h"

static bool none(const char *id, void *ctx)
{
	return false;
}

static void check_ports(const struct netd_msg *m)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE struct port_wish *v = NULL;
	size_t len = 0;

	if (ports_decode(m, &v, &len, &err) < 0) {
		FUZZ_CHECK(*err_text(&err));
		return;
	}
	for (size_t i = 0; i < len; i++) {
		FUZZ_CHECK(v[i].port > 0 && v[i].count > 0 && v[i].port + v[i].count <= 65536 && v[i].begin <= v[i].end && v[i].end <= 65535);
		FUZZ_CHECK(v[i].count == 1 || (v[i].begin && v[i].begin == v[i].end && v[i].begin + v[i].count <= 65536));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_BUF struct buf in = { 0 };
	int r = 1;

	buf_add(&in, data, size);
	while (r > 0) {
		OWN_NETD_MSG struct netd_msg m = { 0 };
		OWN_ERR struct err err = ERR_INIT;

		r = netd_msg_parse(&in, &m);
		if (r <= 0)
			break;
		check_ports(&m);
		if (box_put(&m, -1, &err) < 0)
			FUZZ_CHECK(*err_text(&err));
	}
	boxes_keep(none, NULL);
	FUZZ_CHECK(box_count() == 0);
	return 0;
}
