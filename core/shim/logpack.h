/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compresses rotated files (path.N to path.N.gz), one at a time, in a thread that is there only while it has something to do. */
#ifndef SHIM_LOGPACK_H
#define SHIM_LOGPACK_H

struct logpack;
/* What an earlier shim left half done is removed; what it left undone is done. */
struct logpack *logpack_new(const char *path, int max_file);
/* Names are moved between these two only. */
void logpack_hold(struct logpack *p);
void logpack_let_go(struct logpack *p);
/* Something was rotated. */
void logpack_kick(struct logpack *p);
/* Gives it a short while to finish. */
void logpack_free(struct logpack *p);

#endif
