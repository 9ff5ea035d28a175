/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/proxy.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"

static const char *default_port(const char *url)
{
	if (strncasecmp(url, "https:", 6) == 0)
		return "443";
	return strncasecmp(url, "socks", 5) == 0 ? "1080" : "80";
}

/* The proxy resolves names, as Go has it: to libcurl that is another scheme. */
static char *far_names(char *url)
{
	char *ret;

	if (strncasecmp(url, "socks5://", 9) != 0)
		return url;
	ret = xasprintf("socks5h://%s", url + 9);
	free(url);
	return ret;
}

char *proxy_address(const char *text)
{
	OWN_FREE char *url = str_empty(text) ? NULL : strstr(text, "://") ? xstrdup(text) : xasprintf("http://%s", text);
	char *port = NULL, *full = NULL, *ret;
	CURLU *u;

	if (!url)
		return xstrdup("");
	u = curl_url();
	if (!u || curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) || curl_url_get(u, CURLUPART_PORT, &port, 0) != CURLUE_NO_PORT ||
	    curl_url_set(u, CURLUPART_PORT, default_port(url), 0) || curl_url_get(u, CURLUPART_URL, &full, 0))
		ret = STEAL(url); /* it has a port, or libcurl will say what is wrong */
	else
		ret = xstrdup(full);
	curl_free(port);
	curl_free(full);
	curl_url_cleanup(u);
	return far_names(ret);
}

/* The port of "name:port" or "[address]:port"; NULL: it has none (a bare address of IPv6 is all colons). */
static const char *own_port(const char *entry)
{
	const char *colon = strrchr(entry, ':');

	if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return NULL;
	return *entry == '[' ? (colon[-1] == ']' ? colon + 1 : NULL) : memchr(entry, ':', (size_t)(colon - entry)) ? NULL : colon + 1;
}

char *proxy_exceptions(const char *list, const char *target)
{
	const char *port = own_port(target);
	size_t host = port ? (size_t)(port - 1 - target) : strlen(target);
	OWN_STRV struct strv entries = { 0 };
	OWN_BUF struct buf b = { 0 };

	strv_split(&entries, list, ",");
	for (size_t i = 0; i < entries.len; i++) {
		const char *e = entries.v[i] + strspn(entries.v[i], " \t"), *own;
		size_t n = strcspn(e, " \t");
		OWN_FREE char *entry = str_has_prefix(e, "*.") ? xstrndup(e + 1, n - 1) : xstrndup(e, n);

		if (streq(entry, "*"))
			return xstrdup(entry); /* libcurl knows it alone only */
		if (*entry == '.' && strlen(entry + 1) == host && strncasecmp(entry + 1, target, host) == 0)
			continue; /* of what is below the name */
		own = own_port(entry);
		if (own && (!port || !streq(own, port)))
			continue;
		if (own)
			entry[own - 1 - entry] = '\0';
		n = strlen(entry);
		if (*entry == '[' && entry[n - 1] == ']')
			buf_addf(&b, "%.*s,", (int)n - 2, entry + 1);
		else if (n)
			buf_addf(&b, "%s,", entry);
	}
	return b.size ? xstrndup(b.data, b.size - 1) : xstrdup("");
}
