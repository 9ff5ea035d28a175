/* SPDX-License-Identifier: MIT */
/*
 * An authorization driver of one's own: everybody may look, nobody may touch.
 *
 *	cc -shared -fPIC -Wl,-z,defs $(pkg-config --cflags dockerd-driver) -o look.so look.c
 *	dockerd --authorization-plugin look
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <dockerd/authz.h>

struct dkd_authz { const struct dkd_host *host; };

static int32_t look_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_authz_open *open, struct dkd_authz **ret)
{
	struct dkd_authz *a = malloc(sizeof(*a));

	(void)open;
	if (!a)
		return host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	a->host = host;
	*ret = a;
	return 0;
}

static void look_close(struct dkd_authz *a)
{
	free(a);
}

static int32_t look_request(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, dkd_emit *reason, void *to)
{
	(void)call, (void)a;
	if (strcmp(rq->method, "GET") == 0 || strcmp(rq->method, "HEAD") == 0)
		return DKD_AUTHZ_ALLOW;
	reason(to, "look, don't touch");
	return DKD_AUTHZ_DENY;
}

static const struct dkd_authz_ops ops = { .open = look_open, .close = look_close, .request = look_request };

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_AUTHZ, .abi_major = DKD_AUTHZ_MAJOR, .abi_minor = DKD_AUTHZ_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_PARALLEL, .name = "look", .version = "1.0", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
