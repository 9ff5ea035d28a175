/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Authorization facade: the chain of authz middlewares, in order, request half and response half. The only caller of authz
 * drivers. A driver that fails, hangs or says nonsense refuses the request. Thread-safe.
 */
#ifndef CORE_AUTHZ_H
#define CORE_AUTHZ_H

#include "base/err.h"
#include "base/str.h"
#include "router.h"

struct authz;
/* Is there one of that name now, whatever it is worth? */
bool authz_found(const char *name);
/*
 * names: --authorization-plugin, in order. An unknown one is an error. policies: those that listeners name; when there are any, the
 * driver "policy" ends the chain, unless it is in it.
 */
struct authz *authz_open(const struct strv *names, const struct strv *policies, struct err *err);
void authz_close(struct authz *a);
/*
 * Another chain, from the next request on; drivers of both read their options again. On failure the old chain stays, and
 * the old rules of the driver that refused.
 */
int authz_reload(struct authz *a, const struct strv *names, struct err *err);
/* From the next question on, up to the next reload, without the plugin of this name ("NAME:latest" is also called NAME): somebody took it away by force. */
void authz_leave_out(struct authz *a, const char *name);
int authz_request(void *authz, struct request *rq, struct err *err);  /* middleware_fn */
int authz_response(void *authz, struct request *rq, struct err *err); /* middleware_fn */

#endif
