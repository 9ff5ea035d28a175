/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_now(void) { return read_clock(CLOCK_REALTIME); }
int64_t clock_mono(void) { return read_clock(CLOCK_MONOTONIC); }

static size_t put_seconds(int64_t ns, char *ret, int *nsec)
{
	int64_t sec = ns / NSEC_PER_SEC, rest = ns % NSEC_PER_SEC;
	time_t t;
	struct tm tm;

	if (rest < 0)
		rest += NSEC_PER_SEC, sec--;
	t = (time_t)sec;
	gmtime_r(&t, &tm);
	*nsec = (int)rest;
	return strftime(ret, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
}

char *clock_rfc3339fixed(int64_t ns, char ret[CLOCK_TEXT])
{
	int nsec;
	size_t n = put_seconds(ns, ret, &nsec);

	snprintf(ret + n, CLOCK_TEXT - n, ".%09dZ", nsec);
	return ret;
}

char *clock_rfc3339nano(int64_t ns, char ret[CLOCK_TEXT])
{
	size_t n;

	if (ns == CLOCK_ZERO)
		return strcpy(ret, "0001-01-01T00:00:00Z");
	clock_rfc3339fixed(ns, ret);
	n = strlen(ret) - 1; /* the Z */
	while (ret[n - 1] == '0')
		n--;
	if (ret[n - 1] == '.')
		n--;
	ret[n] = 'Z';
	ret[n + 1] = '\0';
	return ret;
}

static bool digits(const char **s, int n, int *ret)
{
	int v = 0;

	for (; n; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return true;
}

static int fraction(const char **s)
{
	int nsec = 0, scale = 100000000;

	for (; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
		nsec += (**s - '0') * scale;
	return nsec;
}

/* need_all: seconds and zone are mandatory (RFC 3339); else Docker's shortened forms are taken, as UTC. */
static bool parse_date(const char *s, bool need_all, int64_t *ret)
{
	struct tm tm = { 0 };
	int year, mon, nsec = 0, off = 0, oh, om;

	if (!digits(&s, 4, &year) || *s++ != '-' || !digits(&s, 2, &mon) || *s++ != '-' || !digits(&s, 2, &tm.tm_mday))
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = mon - 1;
	if (*s == 'T' || *s == 't') {
		s++;
		if (!digits(&s, 2, &tm.tm_hour))
			return false;
		if (*s == ':') {
			s++;
			if (!digits(&s, 2, &tm.tm_min))
				return false;
			if (*s == ':') {
				s++;
				if (!digits(&s, 2, &tm.tm_sec))
					return false;
				if (*s == '.') {
					s++;
					nsec = fraction(&s);
				}
			} else if (need_all) {
				return false;
			}
		} else if (need_all) {
			return false;
		}
	} else if (need_all) {
		return false;
	}
	if (*s == 'Z' || *s == 'z') {
		s++;
	} else if (*s == '+' || *s == '-') {
		int sign = *s++ == '-' ? -1 : 1;

		if (!digits(&s, 2, &oh) || *s++ != ':' || !digits(&s, 2, &om))
			return false;
		off = sign * (oh * 3600 + om * 60);
	} else if (need_all) {
		return false;
	}
	if (*s || mon < 1 || mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	if (year == 1 && mon == 1 && tm.tm_mday == 1) {
		*ret = CLOCK_ZERO;
		return true;
	}
	if (year < 1678 || year > 2261) /* what 64 bits of nanoseconds hold */
		return false;
	*ret = ((int64_t)timegm(&tm) - off) * NSEC_PER_SEC + nsec;
	return true;
}

bool clock_parse_rfc3339(const char *s, int64_t *ret)
{
	return parse_date(s, true, ret);
}

bool clock_parse_duration(const char *s, int64_t *ret)
{
	static const struct { const char *unit; double ns; } units[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
	};
	double total = 0;
	bool neg = *s == '-';

	if (*s == '-' || *s == '+')
		s++;
	if (strcmp(s, "0") == 0) {
		*ret = 0;
		return true;
	}
	if (!*s)
		return false;
	while (*s) {
		const char *num = s;
		size_t n, i;
		double v;

		n = strspn(s, "0123456789.");
		if (n == 0 || n > 30 || (n == 1 && *s == '.'))
			return false;
		v = strtod(num, NULL);
		s += n;
		n = strcspn(s, "0123456789.");
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (n == strlen(units[i].unit) && strncmp(s, units[i].unit, n) == 0)
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return false;
		total += v * units[i].ns;
		s += n;
	}
	if (total > 9.2e18)
		return false;
	*ret = neg ? -(int64_t)total : (int64_t)total;
	return true;
}

/* "-12.25": seconds since 1970. What 64 bits of nanoseconds cannot hold is the last or the first that they can. */
static bool parse_seconds(const char *s, int64_t *ret)
{
	bool neg = *s == '-';
	const char *frac = s + neg + strspn(s + neg, "0123456789");
	size_t n = (size_t)(frac - s) - neg;
	int64_t ns = INT64_MAX;

	if (n == 0 || n > 19 || (*frac && *frac++ != '.') || frac[strspn(frac, "0123456789")])
		return false;
	if (strtoll(s + neg, NULL, 10) < INT64_MAX / NSEC_PER_SEC)
		ns = strtoll(s + neg, NULL, 10) * NSEC_PER_SEC + fraction(&frac);
	*ret = neg ? -ns : ns;
	return true;
}

bool clock_parse_stamp(const char *s, int64_t now, int64_t *ret)
{
	int64_t dur;

	if (parse_seconds(s, ret))
		return true;
	if (clock_parse_duration(s, &dur)) {
		*ret = now - dur;
		return true;
	}
	return parse_date(s, false, ret);
}

char *clock_human(int64_t ns, char ret[CLOCK_TEXT])
{
	double sec = (double)ns / 1e9;
	long s = (long)sec, m = (long)(sec / 60), h = (long)(sec / 3600 + 0.5);

	if (s < 1)
		snprintf(ret, CLOCK_TEXT, "Less than a second");
	else if (s == 1)
		snprintf(ret, CLOCK_TEXT, "1 second");
	else if (s < 60)
		snprintf(ret, CLOCK_TEXT, "%ld seconds", s);
	else if (m == 1)
		snprintf(ret, CLOCK_TEXT, "About a minute");
	else if (m < 60)
		snprintf(ret, CLOCK_TEXT, "%ld minutes", m);
	else if (h == 1)
		snprintf(ret, CLOCK_TEXT, "About an hour");
	else if (h < 48)
		snprintf(ret, CLOCK_TEXT, "%ld hours", h);
	else if (h < 24 * 7 * 2)
		snprintf(ret, CLOCK_TEXT, "%ld days", h / 24);
	else if (h < 24 * 30 * 2)
		snprintf(ret, CLOCK_TEXT, "%ld weeks", h / 24 / 7);
	else if (h < 24 * 365 * 2)
		snprintf(ret, CLOCK_TEXT, "%ld months", h / 24 / 30);
	else
		snprintf(ret, CLOCK_TEXT, "%ld years", h / 24 / 365);
	return ret;
}

/* v units of 1/scale, its fraction without trailing zeros. */
static size_t put_fraction(char *at, size_t size, int64_t v, int64_t scale, const char *unit)
{
	char digits[16];
	long long ns = v % scale * (NSEC_PER_SEC / scale);
	int len = snprintf(digits, sizeof(digits), "%09lld", ns);

	while (len && digits[len - 1] == '0')
		digits[--len] = '\0';
	return (size_t)snprintf(at, size, "%lld%s%s%s", (long long)(v / scale), len ? "." : "", digits, unit);
}

char *clock_go_duration(int64_t ns, char ret[CLOCK_TEXT])
{
	uint64_t v = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	int64_t s = (int64_t)(v / NSEC_PER_SEC);
	size_t n = 0;

	if (ns < 0)
		ret[n++] = '-';
	if (v && v < NSEC_PER_SEC) {
		int64_t scale = v >= 1000000 ? 1000000 : v >= 1000 ? 1000 : 1;

		put_fraction(ret + n, CLOCK_TEXT - n, (int64_t)v, scale, scale == 1 ? "ns" : scale == 1000 ? "\302\265s" : "ms");
		return ret;
	}
	if (s >= 3600)
		n += (size_t)snprintf(ret + n, CLOCK_TEXT - n, "%lldh", (long long)(s / 3600));
	if (s >= 60)
		n += (size_t)snprintf(ret + n, CLOCK_TEXT - n, "%lldm", (long long)(s / 60 % 60));
	put_fraction(ret + n, CLOCK_TEXT - n, (int64_t)(v - (uint64_t)(s / 60 * 60) * NSEC_PER_SEC), NSEC_PER_SEC, "s");
	return ret;
}
