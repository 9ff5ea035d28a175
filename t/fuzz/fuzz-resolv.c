/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's resolv.conf, of which a container's is made, and extra hosts. The first byte chooses what is left out. */
#include "../../core/container/netfiles.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_BUF struct buf host = { 0 };
	OWN_BUF struct buf out = { 0 };
	OWN_BUF struct buf hosts = { 0 };
	OWN_STRV struct strv lines = { 0 }, gateways = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (!size)
		return 0;
	buf_add(&host, data + 1, size - 1);
	buf_adds(&host, "");
	add_host_lines(&host, data[0] & 1, data[0] & 2, data[0] & 4, data[0] & 8, &out);
	FUZZ_CHECK(out.size <= host.size + 1);
	strv_split(&lines, host.data, "\n");
	strv_add(&gateways, "192.0.2.1");
	FUZZ_CHECK(add_extra_hosts(&lines, &gateways, &hosts, &err) == 0 || err.msg);
	return 0;
}
