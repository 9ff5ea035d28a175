/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

int err_vset(struct err *err, enum err_class class, const char *fmt, va_list ap)
{
	char *msg;

	if (!err)
		return -1;
	msg = xvasprintf(fmt, ap);
	free(err->msg);
	*err = (struct err){ .class = class, .msg = msg };
	return -1;
}

int err_set(struct err *err, enum err_class class, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, class, fmt, ap);
	va_end(ap);
	return -1;
}

int err_errno(struct err *err, int sys, const char *fmt, ...)
{
	va_list ap;
	char *what, text[128];

	if (!err)
		return -1;
	va_start(ap, fmt);
	what = xvasprintf(fmt, ap);
	va_end(ap);
	err_set(err, sys == ENOSPC || sys == EDQUOT ? ERR_NO_SPACE : ERR_INTERNAL, "%s: %s", what,
		strerror_r(sys, text, sizeof(text)));
	err->sys = sys;
	free(what);
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	va_list ap;
	char *what, *msg;

	if (!err || !err->msg)
		return -1;
	va_start(ap, fmt);
	what = xvasprintf(fmt, ap);
	va_end(ap);
	msg = xasprintf("%s: %s", what, err->msg);
	free(what);
	free(err->msg);
	err->msg = msg;
	return -1;
}

int err_move(struct err *dst, struct err *src)
{
	if (dst) {
		free(dst->msg);
		*dst = *src;
	} else {
		free(src->msg);
	}
	*src = (struct err)ERR_INIT;
	return -1;
}

void err_done(struct err *err)
{
	free(err->msg);
	*err = (struct err)ERR_INIT;
}

int err_status(enum err_class class)
{
	static const int status[] = {
#define ERR_CLASS(name, status, text) [ERR_##name] = status,
#include "base/err.tbl"
#undef ERR_CLASS
	};
	return class < ERR_CLASSES ? status[class] : 500;
}

void bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "dockerd: BUG at %s:%d: %s\n", file, line, what);
	abort();
}
