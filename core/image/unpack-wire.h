/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the daemon (unpack.c) and the process that unpacks (core/untar). Both come from one build, and a daemon keeps the
 * program that it found at its start: no versions here. The task is in the program's arguments, one word each:
 *   layer WHITEOUT HASH   stream -> tree, tar-split          files FLAGS BASE [OWNER]   stream -> tree     plain   stream -> pipe
 * WHITEOUT is a number of enum graph_whiteout, HASH 0 or 1, FLAGS those of untar.h, BASE a clean path or nothing,
 * OWNER uid << 32 | gid.
 */
#ifndef IMAGE_UNPACK_WIRE_H
#define IMAGE_UNPACK_WIRE_H

#include <stdint.h>

#include "base/digest.h"

/* Descriptors of the process. */
enum unpack_fd { UNPACK_FD_CONTROL = 3, UNPACK_FD_IN, UNPACK_FD_OUT /* tree, or the pipe of plain bytes */, UNPACK_FD_SPLIT };

enum unpack_kind {
	UNPACK_DONE,   /* the last one: size, digest */
	UNPACK_FAILED, /* the last one: class, sys, text */
	UNPACK_WARN,   /* text */
	UNPACK_XATTR,  /* a descriptor rides along; text is NAME NUL VALUE. Answered by one int32_t: 0 or errno */
};

/* One packet on the control socket; text follows. */
struct unpack_msg {
	uint32_t kind;
	int32_t class, sys;
	int64_t size;
	char digest[DIGEST_TEXT];
};

#define UNPACK_TEXT_MAX (80 * 1024) /* an attribute of 64 KiB and its name */

#endif
