/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_FRAMING_H
#define API_FRAMING_H

#include "router.h"

/*
 * A connection whose client expects Docker's frames where bytes come, or bytes where frames come: what is written gets frames
 * of stdout, or loses them. Takes over inner.
 */
struct http_stream *framing_wrap(struct http_stream *inner, bool add);

#endif
