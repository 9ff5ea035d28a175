/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to image_config_change(): words of Dockerfile instructions, as a shell has them. */
#ifndef IMAGE_CHANGE_H
#define IMAGE_CHANGE_H

#include "base/err.h"
#include "base/str.h"

/* Splits at blanks outside quotes; quotes and escapes stay in the words. */
void change_words(const char *s, struct strv *ret);
/* Splits at blanks, whatever stands there. */
void change_fields(const char *s, struct strv *ret);
/* Takes quotes and escapes away and puts variables ($a ${a} ${a:-b} ${a:+b} ${a:?b}) of env in; owned by the caller, NULL on error. */
char *change_expand(const char *word, const struct strv *env, struct err *err);
/* A JSON list of strings: 1; something else: 0; a JSON list with other things in it: -1 with err. */
int change_json(const char *s, struct strv *ret, struct err *err);

#endif
