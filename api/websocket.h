/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WebSocket (RFC 6455, version 13) on a hijacked connection. One thread at a time uses a stream. */
#ifndef API_WEBSOCKET_H
#define API_WEBSOCKET_H

#include "router.h"

/*
 * Checks the handshake's headers and sets those of the answer; ERR_INVALID when it is none. Then the caller hijacks.
 */
int websocket_accept(struct request *rq, struct err *err);
/*
 * The messages' contents as a stream: reading gives what the client's data frames hold (0 after its close), writing makes
 * binary frames, or text ones. Takes over inner, which close() closes behind a close frame. With demux what is written are
 * Docker's frames, whose contents go out.
 */
struct http_stream *websocket_wrap(struct http_stream *inner, bool text, bool demux);

#endif
