/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that authorization restricts to labels (request.scope): they see, touch and make only what has these. A middleware, behind the
 * chain of authorization drivers.
 */
#ifndef API_SCOPE_H
#define API_SCOPE_H

#include "router.h"

int api_scope(void *api, struct request *rq, struct err *err); /* middleware_fn; api: struct api */

#endif
