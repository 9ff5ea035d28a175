/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers and helpers that containers.c, container-streams.c and exec.c share. */
#ifndef API_CONTAINER_STREAMS_H
#define API_CONTAINER_STREAMS_H

#include "api.h"
#include "container/detach.h"

job_fn api_container_attach, api_container_attach_ws, api_container_logs, api_container_stats, api_container_wait;

int api_container_files_register(struct api *api, struct err *err); /* parts of api_containers_register() */
int api_commit_register(struct api *api, struct err *err);
int api_checkpoints_register(struct api *api, struct err *err);

/* h and w of the resize requests, both required. */
int api_terminal_size(struct request *rq, int64_t *ret_rows, int64_t *ret_cols, struct err *err);

/* What an attached connection is called: multiplexed when it has frames, the client upgraded and knows the type. */
const char *stream_type(struct request *rq, bool tty);

enum pump_end { PUMP_DONE, PUMP_DETACHED, PUMP_CLIENT_GONE };
#define PUMP_STDIN      1u /* what the client sends is passed on, and its end, too */
#define PUMP_EOF_LEAVES 2u /* ... but that it ends nothing but the connection, as Docker has it where stdin stays open behind a client */
/*
 * Carries bytes both ways between a hijacked connection and a stream socket of a shim until its output ends, the client goes
 * or types the keys, or the token's stop_fd fires. keys may be NULL.
 */
enum pump_end stream_pump(
	struct http_stream *hs, int fd, unsigned how, const struct detach_keys *keys, const struct cancel *cancel);

#endif
