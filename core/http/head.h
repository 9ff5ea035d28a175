/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict look at a raw header block, before any parser that is more tolerant sees it. Pure functions. */
#ifndef CORE_HTTP_HEAD_H
#define CORE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head {
	size_t size;            /* of the block, its empty line included */
	char method[16];
	char *uri;              /* owned: as sent */
	bool http10, chunked, json;
	int64_t content_length; /* -1: none given */
};

/*
 * 0: more bytes are needed; 200: whole and well-formed, *ret is filled (http_head_done); else the status that refuses it and
 * *why, a sentence.
 */
int http_head_check(const char *data, size_t size, size_t max_head, size_t max_uri, struct http_head *ret, const char **why);
void http_head_done(struct http_head *h);
/* The chunks behind a block, as far as they are here: sizes are hexadecimal, lines end with CRLF. */
bool http_chunks_check(const char *s, size_t size);

/* The framing that one request's header fields ask for; shared with the header lists of later requests. */
struct http_framing {
	unsigned lengths, encodings, hosts;
	bool chunked, bad;
	int64_t content_length;
};
#define HTTP_FRAMING_INIT { .content_length = -1 }
void http_framing_add(struct http_framing *f, const char *name, size_t name_size, const char *value, size_t value_size);
/* NULL when it is unambiguous. */
const char *http_framing_check(const struct http_framing *f, bool http10);

#endif
