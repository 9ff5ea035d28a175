/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of a container's log as they are in the file: lines of JSON (json-file) or length-framed protobuf (local). */
#ifndef SHIM_LOGFORMAT_H
#define SHIM_LOGFORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct log_record {
	int stream;         /* 1 stdout, 2 stderr */
	int64_t time;
	const char *text;   /* with its line feed, if it has one */
	size_t size;
	bool partial;       /* one of the pieces of a line */
	bool last;          /* ... the one that ends it */
	const char *id;     /* ... which all have this */
	int ordinal;        /* ... from 1 on */
};

/* tail: `","stream":"stdout",["attrs":{..},]"time":"` of the record's stream; stamp: its time as text. */
void logformat_json(struct buf *out, const struct log_record *r, const char *tail, const char *stamp);
void logformat_local(struct buf *out, const struct log_record *r);
/* How much of the first size bytes are whole records. */
size_t logformat_json_whole(const char *data, size_t size);
size_t logformat_local_whole(const char *data, size_t size);

#endif
