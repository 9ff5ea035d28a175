/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors: set once at the origin, wrapped with the noun on the way up, logged or answered once by whoever stops it.
 * A failing function returns -1 (or NULL) with the object set; on success the object is untouched.
 * Messages are complete, lower-case sentences without a full stop, and are what the API client reads.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

enum err_class {
#define ERR_CLASS(name, status, text) ERR_##name,
#include "base/err.tbl"
#undef ERR_CLASS
	ERR_CLASSES
};

struct err {
	enum err_class class;
	int sys;   /* errno behind it, or 0 */
	char *msg; /* owned; NULL means no error */
};

#define ERR_INIT { 0, 0, NULL }
/* A local error object that is released at the end of the scope. */
#define OWN_ERR __attribute__((cleanup(err_done)))

/* Sets the error (an earlier one is released) and returns -1. err may be NULL. */
int err_set(struct err *err, enum err_class class, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *err, enum err_class class, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
/* The same with ": strerror(sys)" behind it; the class follows sys for ENOSPC/EDQUOT (NO_SPACE) else is INTERNAL. Returns -1. */
int err_errno(struct err *err, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the message. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Moves src into dst; src is empty afterwards. Returns -1. */
int err_move(struct err *dst, struct err *src);
void err_done(struct err *err);

int err_status(enum err_class class);
static inline const char *err_text(const struct err *err) { return err->msg ? err->msg : ""; }

/* Our own faults: stay in release builds, print the place and abort. */
#define BUG_ON(cond) ((cond) ? bug(__FILE__, __LINE__, #cond) : (void)0)
_Noreturn void bug(const char *file, int line, const char *what);

#endif
