/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"

static atomic_int level_now = LOG_INFO;
static atomic_bool json_now;
static atomic_int fd_now = 2;

static const char *const names[] = { "panic", "fatal", "error", "warning", "info", "debug", "trace" };

int log_level_parse(const char *name)
{
	if (strcasecmp(name, "warn") == 0)
		return LOG_WARN;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return (int)i;
	return -1;
}

void log_set_level(enum log_level level) { level_now = level; }
enum log_level log_get_level(void) { return level_now; }
void log_set_json(bool json) { json_now = json; }
void log_set_fd(int fd) { fd_now = fd < 0 ? 2 : fd; }

static bool is_plain(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("-._/@^+:", *s)))
			return false;
	return true;
}

static void put_record(enum log_level level, const char *const *fields, const char *msg)
{
	OWN_BUF struct buf b = { 0 };
	char when[CLOCK_TEXT];

	clock_rfc3339nano(clock_now(), when);
	if (json_now) {
		struct jw w;

		jw_init(&w, &b);
		jw_obj(&w);
		for (; fields && fields[0]; fields += 2)
			jw_kstr(&w, fields[0], fields[1]);
		jw_kstr(&w, "level", names[level]);
		jw_kstr(&w, "msg", msg);
		jw_kstr(&w, "time", when);
		jw_obj_end(&w);
	} else {
		buf_addf(&b, "time=\"%s\" level=%s msg=", when, names[level]);
		jw_quote(&b, msg);
		for (; fields && fields[0]; fields += 2) {
			buf_addf(&b, " %s=", fields[0]);
			if (is_plain(fields[1]))
				buf_adds(&b, fields[1]);
			else
				jw_quote(&b, fields[1]);
		}
	}
	buf_addc(&b, '\n');
	while (write(fd_now, b.data, b.size) < 0 && errno == EINTR)
		;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	OWN_FREE char *msg = NULL;
	va_list ap;

	if ((int)level > level_now)
		return;
	va_start(ap, fmt);
	msg = xvasprintf(fmt, ap);
	va_end(ap);
	put_record(level, NULL, msg);
}

void log_fields(enum log_level level, const char *const *fields, const char *fmt, ...)
{
	OWN_FREE char *msg = NULL;
	va_list ap;

	if ((int)level > level_now)
		return;
	va_start(ap, fmt);
	msg = xvasprintf(fmt, ap);
	va_end(ap);
	put_record(level, fields, msg);
}
